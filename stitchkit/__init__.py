"""Connect frozen models: a few anchors, one map, and a general encoder drives a medical head or is named by text."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {  # name -> "module:attr", imported on first use
    "ASIF": "stitchkit.solvers.relative:ASIF",
    "AffineMap": "stitchkit.core.maps:AffineMap",
    "Alignment": "stitchkit.core.alignments:Alignment",
    "AnchorSet": "stitchkit.core.anchors:AnchorSet",
    "CSA": "stitchkit.solvers.csa:CSA",
    "Embeddings": "stitchkit.core.embeddings:Embeddings",
    "Evidence": "stitchkit.core.evidence:Evidence",
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
    "Moments": "stitchkit.core.moments.moments:Moments",
    "PLS": "stitchkit.solvers.pls:PLS",
    "Procrustes": "stitchkit.solvers.procrustes:Procrustes",
    "PromptSet": "stitchkit.core.prompts:PromptSet",
    "PromptVectors": "stitchkit.core.prompts:PromptVectors",
    "ReducedRank": "stitchkit.solvers.reduced_rank:ReducedRank",
    "Relative": "stitchkit.solvers.relative:Relative",
    "Ridge": "stitchkit.solvers.ridge:Ridge",
    "Scores": "stitchkit.core.scores:Scores",
    "SoftMatching": "stitchkit.solvers.pools.soft_matching:SoftMatching",
    "Space": "stitchkit.core.space:Space",
    "StitchError": "stitchkit.core.errors:StitchError",
    "align": "stitchkit.alignment.align:align",
    "align_many": "stitchkit.alignment.align_many:align_many",
    "align_through": "stitchkit.alignment.align_many:align_through",
    "align_without_pairs": "stitchkit.alignment.pools.align_without_pairs:align_without_pairs",
    "anchor_card": "stitchkit.evaluation.anchors.card:anchor_card",
    "calibrate": "stitchkit.evaluation.scores.calibrate:calibrate",
    "check_anchors": "stitchkit.evaluation.anchors.check:check_anchors",
    "choose_anchors": "stitchkit.evaluation.anchors.choose:choose_anchors",
    "choose_thresholds": "stitchkit.evaluation.scores.thresholds:choose_thresholds",
    "cka": "stitchkit.metrics.cka:cka",
    "clip_alignment": "stitchkit.encoders.clip_pairs:clip_alignment",
    "compare": "stitchkit.evaluation.retrieval.compare:compare",
    "conformal_sets": "stitchkit.evaluation.scores.thresholds:conformal_sets",
    "diagnose": "stitchkit.evaluation.diagnosis.diagnose:diagnose",
    "embed": "stitchkit.embedding:embed",
    "embed_prompts": "stitchkit.zero_shot:embed_prompts",
    "evaluate": "stitchkit.evaluation.scores.evaluate:evaluate",
    "evaluate_associations": "stitchkit.evaluation.associations.check:evaluate_associations",
    "evaluate_retrieval": "stitchkit.evaluation.retrieval.evaluate_retrieval:evaluate_retrieval",
    "fit_associations": "stitchkit.evaluation.associations.associate:fit_associations",
    "fit_probe": "stitchkit.evaluation.scores.probe:fit_probe",
    "gate": "stitchkit.evaluation.retrieval.gate:gate",
    "learning_curve": "stitchkit.evaluation.retrieval.learning_curve:learning_curve",
    "load": "stitchkit.stitching:load",
    "load_alignment": "stitchkit.storage.alignments:load_alignment",
    "load_encoder": "stitchkit.encoders:load_encoder",
    "load_joint": "stitchkit.storage.joint_alignments:load_joint",
    "load_moments": "stitchkit.storage.moments:load_moments",
    "log_likelihood_ratio": "stitchkit.solvers.hub:log_likelihood_ratio",
    "orthogonal_map": "stitchkit.solvers.orthogonal:orthogonal_map",
    "prompt_sensitivity": "stitchkit.studies.prompt_sensitivity:prompt_sensitivity",
    "read_anchors": "stitchkit.datasets.tables:read_anchors",
    "read_cohort": "stitchkit.datasets.cohorts:read_cohort",
    "read_embeddings": "stitchkit.storage.folders:read_embeddings",
    "read_labels": "stitchkit.datasets.labels:read_labels",
    "read_prompts": "stitchkit.datasets.prompt_sets:read_prompts",
    "save_alignment": "stitchkit.storage.alignments:save_alignment",
    "save_joint": "stitchkit.storage.joint_alignments:save_joint",
    "save_moments": "stitchkit.storage.moments:save_moments",
    "search_layers": "stitchkit.evaluation.spaces.search_layers:search_layers",
    "stitch": "stitchkit.stitching:stitch",
    "stitchability": "stitchkit.evaluation.spaces.stitchability:stitchability",
    "study": "stitchkit.studies.reporting:study",
    "train": "stitchkit.training.loop:train",
    "write_embeddings": "stitchkit.storage.folders:write_embeddings",
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


if TYPE_CHECKING:
    from stitchkit.alignment.align import align as align
    from stitchkit.alignment.align_many import align_many as align_many
    from stitchkit.alignment.align_many import align_through as align_through
    from stitchkit.alignment.pools.align_without_pairs import align_without_pairs as align_without_pairs
    from stitchkit.core.alignments import Alignment as Alignment
    from stitchkit.core.anchors import AnchorSet as AnchorSet
    from stitchkit.core.embeddings import Embeddings as Embeddings
    from stitchkit.core.errors import StitchError as StitchError
    from stitchkit.core.evidence import Evidence as Evidence
    from stitchkit.core.heads import LinearHead as LinearHead
    from stitchkit.core.items import Items as Items
    from stitchkit.core.joint_alignments import JointAlignment as JointAlignment
    from stitchkit.core.maps import AffineMap as AffineMap
    from stitchkit.core.moments.moments import Moments as Moments
    from stitchkit.core.prompts import PromptSet as PromptSet
    from stitchkit.core.prompts import PromptVectors as PromptVectors
    from stitchkit.core.scores import Labels as Labels
    from stitchkit.core.scores import Scores as Scores
    from stitchkit.core.space import Space as Space
    from stitchkit.datasets.cohorts import read_cohort as read_cohort
    from stitchkit.datasets.labels import read_labels as read_labels
    from stitchkit.datasets.prompt_sets import read_prompts as read_prompts
    from stitchkit.datasets.tables import read_anchors as read_anchors
    from stitchkit.embedding import embed as embed
    from stitchkit.encoders import load_encoder as load_encoder
    from stitchkit.encoders.clip_pairs import clip_alignment as clip_alignment
    from stitchkit.evaluation.anchors.card import anchor_card as anchor_card
    from stitchkit.evaluation.anchors.check import check_anchors as check_anchors
    from stitchkit.evaluation.anchors.choose import choose_anchors as choose_anchors
    from stitchkit.evaluation.associations.associate import fit_associations as fit_associations
    from stitchkit.evaluation.associations.check import evaluate_associations as evaluate_associations
    from stitchkit.evaluation.diagnosis.diagnose import diagnose as diagnose
    from stitchkit.evaluation.retrieval.compare import compare as compare
    from stitchkit.evaluation.retrieval.evaluate_retrieval import evaluate_retrieval as evaluate_retrieval
    from stitchkit.evaluation.retrieval.gate import gate as gate
    from stitchkit.evaluation.retrieval.learning_curve import learning_curve as learning_curve
    from stitchkit.evaluation.scores.calibrate import calibrate as calibrate
    from stitchkit.evaluation.scores.evaluate import evaluate as evaluate
    from stitchkit.evaluation.scores.probe import fit_probe as fit_probe
    from stitchkit.evaluation.scores.thresholds import choose_thresholds as choose_thresholds
    from stitchkit.evaluation.scores.thresholds import conformal_sets as conformal_sets
    from stitchkit.evaluation.spaces.search_layers import search_layers as search_layers
    from stitchkit.evaluation.spaces.stitchability import stitchability as stitchability
    from stitchkit.metrics.cka import cka as cka
    from stitchkit.solvers.csa import CSA as CSA
    from stitchkit.solvers.gcca import GCCA as GCCA
    from stitchkit.solvers.generalised_procrustes import GeneralisedProcrustes as GeneralisedProcrustes
    from stitchkit.solvers.hub import HubComposition as HubComposition
    from stitchkit.solvers.hub import log_likelihood_ratio as log_likelihood_ratio
    from stitchkit.solvers.isometric_ridge import IsometricRidge as IsometricRidge
    from stitchkit.solvers.least_squares import LeastSquares as LeastSquares
    from stitchkit.solvers.orthogonal import orthogonal_map as orthogonal_map
    from stitchkit.solvers.pls import PLS as PLS
    from stitchkit.solvers.pools.hard_matching import HardMatching as HardMatching
    from stitchkit.solvers.pools.lowdin import Lowdin as Lowdin
    from stitchkit.solvers.pools.soft_matching import SoftMatching as SoftMatching
    from stitchkit.solvers.procrustes import Procrustes as Procrustes
    from stitchkit.solvers.reduced_rank import ReducedRank as ReducedRank
    from stitchkit.solvers.relative import ASIF as ASIF
    from stitchkit.solvers.relative import Relative as Relative
    from stitchkit.solvers.ridge import Ridge as Ridge
    from stitchkit.stitching import load as load
    from stitchkit.stitching import stitch as stitch
    from stitchkit.storage.alignments import load_alignment as load_alignment
    from stitchkit.storage.alignments import save_alignment as save_alignment
    from stitchkit.storage.folders import read_embeddings as read_embeddings
    from stitchkit.storage.folders import write_embeddings as write_embeddings
    from stitchkit.storage.joint_alignments import load_joint as load_joint
    from stitchkit.storage.joint_alignments import save_joint as save_joint
    from stitchkit.storage.moments import load_moments as load_moments
    from stitchkit.storage.moments import save_moments as save_moments
    from stitchkit.studies.prompt_sensitivity import prompt_sensitivity as prompt_sensitivity
    from stitchkit.studies.reporting import study as study
    from stitchkit.training.loop import train as train
    from stitchkit.zero_shot import embed_prompts as embed_prompts
    from stitchkit.zero_shot import zeroshot as zeroshot
