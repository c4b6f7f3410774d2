"""Connect frozen models: a few anchors, one map, and a general encoder drives a medical head or is named by text."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {  # name -> "module:attr", imported on first use; ``make stub`` after a change, for type checkers
    "ASIF": "stitchkit.solvers.relative:ASIF",
    "AffineMap": "stitchkit.core.maps:AffineMap",
    "Alignment": "stitchkit.core.alignments:Alignment",
    "AnchorSet": "stitchkit.core.anchors:AnchorSet",
    "BoundSpace": "stitchkit.alignment.binding.bound_space:BoundSpace",
    "CSA": "stitchkit.solvers.csa:CSA",
    "Cohort": "stitchkit.datasets.cohorts:Cohort",
    "Embeddings": "stitchkit.core.embeddings:Embeddings",
    "Evidence": "stitchkit.core.evidence:Evidence",
    "FusedHead": "stitchkit.core.fused_heads:FusedHead",
    "FusionRecipe": "stitchkit.training.fusion.recipe:FusionRecipe",
    "FusionRows": "stitchkit.core.fusion_rows:FusionRows",
    "GCCA": "stitchkit.solvers.gcca:GCCA",
    "GeneralisedProcrustes": "stitchkit.solvers.generalised_procrustes:GeneralisedProcrustes",
    "HardMatching": "stitchkit.solvers.pools.hard_matching:HardMatching",
    "HubComposition": "stitchkit.solvers.hub:HubComposition",
    "IsometricRidge": "stitchkit.solvers.isometric_ridge:IsometricRidge",
    "Items": "stitchkit.core.items:Items",
    "JointAlignment": "stitchkit.core.joint_alignments:JointAlignment",
    "Labels": "stitchkit.core.scores:Labels",
    "LeastSquares": "stitchkit.solvers.least_squares:LeastSquares",
    "LinearHead": "stitchkit.core.heads:LinearHead",
    "Lowdin": "stitchkit.solvers.pools.lowdin:Lowdin",
    "ModalityPairs": "stitchkit.alignment.binding.modalities:ModalityPairs",
    "ModalityTest": "stitchkit.evaluation.binding.evaluate_binding:ModalityTest",
    "Moments": "stitchkit.core.moments.moments:Moments",
    "PLS": "stitchkit.solvers.pls:PLS",
    "Procrustes": "stitchkit.solvers.procrustes:Procrustes",
    "PromptSet": "stitchkit.core.prompts:PromptSet",
    "PromptVectors": "stitchkit.core.prompts:PromptVectors",
    "Provenance": "stitchkit.core.scores:Provenance",
    "ReducedRank": "stitchkit.solvers.reduced_rank:ReducedRank",
    "Relative": "stitchkit.solvers.relative:Relative",
    "Ridge": "stitchkit.solvers.ridge:Ridge",
    "Scores": "stitchkit.core.scores:Scores",
    "SoftMatching": "stitchkit.solvers.pools.soft_matching:SoftMatching",
    "Space": "stitchkit.core.space:Space",
    "StitchError": "stitchkit.core.errors:StitchError",
    "StitchedModel": "stitchkit.stitching:StitchedModel",
    "TableRows": "stitchkit.core.table_features:TableRows",
    "ZeroShotHead": "stitchkit.core.heads:ZeroShotHead",
    "align": "stitchkit.alignment.align:align",
    "align_many": "stitchkit.alignment.align_many:align_many",
    "align_through": "stitchkit.alignment.align_many:align_through",
    "align_without_pairs": "stitchkit.alignment.pools.align_without_pairs:align_without_pairs",
    "anchor_card": "stitchkit.evaluation.anchors.card:anchor_card",
    "bind": "stitchkit.alignment.binding.bind:bind",
    "bundle": "stitchkit.persistence.bundling:bundle",
    "calibrate": "stitchkit.evaluation.scores.calibrate:calibrate",
    "check_anchors": "stitchkit.evaluation.anchors.check:check_anchors",
    "choose_anchors": "stitchkit.evaluation.anchors.choose:choose_anchors",
    "choose_thresholds": "stitchkit.evaluation.scores.thresholds:choose_thresholds",
    "cka": "stitchkit.metrics.cka:cka",
    "clip_alignment": "stitchkit.encoders.clip_pairs:clip_alignment",
    "compare": "stitchkit.evaluation.retrieval.compare:compare",
    "conformal_sets": "stitchkit.evaluation.scores.thresholds:conformal_sets",
    "diagnose": "stitchkit.evaluation.diagnosis.diagnose:diagnose",
    "draw_prompts": "stitchkit.core.prompts:draw_prompts",
    "embed": "stitchkit.embedding:embed",
    "embed_prompts": "stitchkit.zero_shot:embed_prompts",
    "evaluate": "stitchkit.evaluation.scores.evaluate:evaluate",
    "evaluate_associations": "stitchkit.evaluation.associations.check:evaluate_associations",
    "evaluate_binding": "stitchkit.evaluation.binding.evaluate_binding:evaluate_binding",
    "evaluate_retrieval": "stitchkit.evaluation.retrieval.evaluate_retrieval:evaluate_retrieval",
    "exam": "stitchkit.tasks.exam:exam",
    "fit_associations": "stitchkit.evaluation.associations.associate:fit_associations",
    "fit_probe": "stitchkit.evaluation.scores.probe:fit_probe",
    "fuse": "stitchkit.training.fusion.fuse:fuse",
    "gate": "stitchkit.evaluation.retrieval.gate:gate",
    "learning_curve": "stitchkit.evaluation.retrieval.learning_curve:learning_curve",
    "load": "stitchkit.persistence.save_and_load:load",
    "load_encoder": "stitchkit.encoders:load_encoder",
    "log_likelihood_ratio": "stitchkit.solvers.hub:log_likelihood_ratio",
    "make_phantoms": "stitchkit.datasets.phantoms:make_phantoms",
    "make_renderings": "stitchkit.datasets.phantoms.renderings:make_renderings",
    "orthogonal_map": "stitchkit.solvers.orthogonal:orthogonal_map",
    "prompt_sensitivity": "stitchkit.studies.prompt_sensitivity:prompt_sensitivity",
    "read_anchors": "stitchkit.datasets.tables:read_anchors",
    "read_cohort": "stitchkit.datasets.cohorts:read_cohort",
    "read_embeddings": "stitchkit.storage.embeddings:read_embeddings",
    "read_items": "stitchkit.datasets.tables:read_items",
    "read_labels": "stitchkit.datasets.labels:read_labels",
    "read_prompts": "stitchkit.datasets.prompt_sets:read_prompts",
    "read_scores": "stitchkit.storage.scores:read_scores",
    "read_table_rows": "stitchkit.datasets.table_rows:read_table_rows",
    "read_task": "stitchkit.tasks.cards:read_task",
    "read_vectors": "stitchkit.datasets.vector_files:read_vectors",
    "save": "stitchkit.persistence.save_and_load:save",
    "search": "stitchkit.text_search.search:search",
    "search_layers": "stitchkit.evaluation.spaces.search_layers:search_layers",
    "stitch": "stitchkit.stitching:stitch",
    "stitchability": "stitchkit.evaluation.spaces.stitchability:stitchability",
    "study": "stitchkit.studies.study:study",
    "train": "stitchkit.training.loop:train",
    "tune_binding": "stitchkit.training.binding.tune_binding:tune_binding",
    "write_embeddings": "stitchkit.storage.embeddings:write_embeddings",
    "write_scores": "stitchkit.storage.scores:write_scores",
    "zeroshot": "stitchkit.zero_shot:zeroshot",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'stitchkit' has no attribute {name!r}")
    module, attribute = _PUBLIC[name].split(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
