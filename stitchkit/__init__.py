"""Connect frozen models: a few anchors, one map, and a general encoder drives a medical head or is named by text."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {  # name -> "module:attr", imported on first use
    "AffineMap": "stitchkit.core.maps:AffineMap",
    "Alignment": "stitchkit.core.alignments:Alignment",
    "AnchorSet": "stitchkit.core.anchors:AnchorSet",
    "CSA": "stitchkit.solvers.csa:CSA",
    "Embeddings": "stitchkit.core.embeddings:Embeddings",
    "Items": "stitchkit.core.items:Items",
    "Labels": "stitchkit.core.scores:Labels",
    "LeastSquares": "stitchkit.solvers.least_squares:LeastSquares",
    "LinearHead": "stitchkit.core.heads:LinearHead",
    "Moments": "stitchkit.core.moments:Moments",
    "Procrustes": "stitchkit.solvers.procrustes:Procrustes",
    "PromptSet": "stitchkit.core.prompts:PromptSet",
    "Ridge": "stitchkit.solvers.ridge:Ridge",
    "Scores": "stitchkit.core.scores:Scores",
    "Space": "stitchkit.core.space:Space",
    "StitchError": "stitchkit.core.errors:StitchError",
    "align": "stitchkit.alignment.fitting:align",
    "embed": "stitchkit.embedding:embed",
    "evaluate": "stitchkit.evaluation.judging:evaluate",
    "evaluate_retrieval": "stitchkit.evaluation.retrieval:evaluate_retrieval",
    "fit_probe": "stitchkit.evaluation.probes:fit_probe",
    "load": "stitchkit.stitching:load",
    "load_encoder": "stitchkit.encoders:load_encoder",
    "read_anchors": "stitchkit.datasets.tables:read_anchors",
    "read_labels": "stitchkit.datasets.tables:read_labels",
    "read_prompts": "stitchkit.datasets.prompt_sets:read_prompts",
    "stitch": "stitchkit.stitching:stitch",
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
    from stitchkit.alignment import align as align
    from stitchkit.core.alignments import Alignment as Alignment
    from stitchkit.core.anchors import AnchorSet as AnchorSet
    from stitchkit.core.embeddings import Embeddings as Embeddings
    from stitchkit.core.errors import StitchError as StitchError
    from stitchkit.core.heads import LinearHead as LinearHead
    from stitchkit.core.items import Items as Items
    from stitchkit.core.maps import AffineMap as AffineMap
    from stitchkit.core.moments import Moments as Moments
    from stitchkit.core.prompts import PromptSet as PromptSet
    from stitchkit.core.scores import Labels as Labels
    from stitchkit.core.scores import Scores as Scores
    from stitchkit.core.space import Space as Space
    from stitchkit.datasets.prompt_sets import read_prompts as read_prompts
    from stitchkit.datasets.tables import read_anchors as read_anchors
    from stitchkit.datasets.tables import read_labels as read_labels
    from stitchkit.embedding import embed as embed
    from stitchkit.encoders import load_encoder as load_encoder
    from stitchkit.evaluation.judging import evaluate as evaluate
    from stitchkit.evaluation.probes import fit_probe as fit_probe
    from stitchkit.evaluation.retrieval import evaluate_retrieval as evaluate_retrieval
    from stitchkit.solvers.csa import CSA as CSA
    from stitchkit.solvers.least_squares import LeastSquares as LeastSquares
    from stitchkit.solvers.procrustes import Procrustes as Procrustes
    from stitchkit.solvers.ridge import Ridge as Ridge
    from stitchkit.stitching import load as load
    from stitchkit.stitching import stitch as stitch
    from stitchkit.zero_shot import zeroshot as zeroshot
