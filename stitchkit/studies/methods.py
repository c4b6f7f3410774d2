"""Methods of a study: maps through a head or to text, and the baselines they must be compared with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.core.alignments import Alignment
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import EvidenceError
from stitchkit.core.heads import LinearHead
from stitchkit.core.prompts import PromptSet, PromptVectors
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.diagnosis.spectra import spectrum_of
from stitchkit.evaluation.scores.evaluate import PROBE
from stitchkit.evaluation.scores.metadata import metadata_scores
from stitchkit.evaluation.scores.naive import NAIVE, naive_scores
from stitchkit.evaluation.scores.probe import fit_probe
from stitchkit.studies.plans import PAPER
from stitchkit.zero_shot import zeroshot

OWN, RELATIVE = "own head", "relative representations"
CLIP = "CLIP-like, no anchors"


@dataclass(frozen=True, slots=True, eq=False)
class FoldData:
    """Data of one fold: anchors with their vectors and labels, and the vectors of the test items."""

    known: Labels  # labels of the anchors
    test: Labels
    x: Embeddings | None = None  # source vectors of the anchors
    x_test: Embeddings | None = None
    y: Embeddings | None = None  # target vectors of the anchors
    y_test: Embeddings | None = None
    files: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})  # values in anchors' and test images' files
    metadata: tuple[str, ...] = ()
    seed: int = 0
    first: bool = True  # of the study's folds: a cell keeps the spectrum of its first map

    @property
    def judged(self) -> tuple[Embeddings, Embeddings]:
        """Source and target vectors of the test items."""
        if self.x_test is None or self.y_test is None:
            raise EvidenceError("the test items have no vectors on one side")
        return self.x_test, self.y_test


def fit_map(
    fold: FoldData, method: str, head: LinearHead | None = None, prompts: PromptVectors | None = None
) -> Alignment:
    """The alignment that ``method`` fits on the fold's anchors, to drive ``head`` or, without one, for matching.

    A search for matching is judged by ``prompts``, where they are given.
    """
    how: dict[str, Any] = {"paper": method.removeprefix(PAPER)} if method.startswith(PAPER) else {"solver": method}
    settings: dict[str, Any] = {
        "purpose": "match" if head is None else "head",
        "head": head,
        "prompts": prompts,
        "nested": False,
        "seed": fold.seed,
        "anchor_hashes": False,
        "progress": False,
    }
    return align(fold.x, fold.y, groups=fold.known.groups, **settings, **how)


def score_through_head(fold: FoldData, method: str, head: LinearHead) -> tuple[Scores, dict[str, Any]]:
    """Scores of the test items through a map into the head, or by a baseline; and the map's record."""
    if method == OWN:
        return head.scores(fold.y_test), {}
    if method == NAIVE:
        if fold.x_test is None:
            raise EvidenceError("there are no source vectors of the test items")
        return naive_scores(fold.x_test, head), {}
    if method == RELATIVE:
        return _relative(fold), {}
    fitted = fit_map(fold, method, head)
    if fitted.directed is None:
        raise EvidenceError(f"{method} meets in a common space only and has no map that could drive a head")
    return head.scores(fitted.to_target(fold.x_test)), map_record(fitted, spectrum=fold.first)


def score_by_prompts(
    fold: FoldData, method: str, prompts: PromptSet, vectors: Embeddings
) -> tuple[Scores, dict[str, Any]]:
    """Scores of the test items for classes named by text; ``vectors`` are those of the prompts, by text."""
    fitted = fit_map(fold, method, prompts=PromptVectors.distinct_or_none(prompts, vectors))
    return zeroshot(fitted, vectors, prompts).scores(fold.x_test), map_record(fitted, spectrum=fold.first)


def map_record(fitted: Alignment, *, spectrum: bool = True) -> dict[str, Any]:
    """The record of a map with its ``spectrum``, if it has one."""
    values = spectrum_of(fitted) if spectrum else None
    return {**fitted.record, **({} if values is None else {"spectrum": asdict(values)})}


def score_baseline(fold: FoldData, method: str) -> tuple[Scores, dict[str, Any]]:
    """Scores of the probe on the anchors' labels, or of metadata alone."""
    if method == PROBE:
        return fit_probe(fold.x, fold.known, seed=fold.seed).scores(fold.x_test), {}
    result = metadata_scores(fold.known, fold.test, fold.metadata, fold.files)
    if result is None:
        raise EvidenceError("nothing of the files and no metadata column varies among these anchors")
    return result[0], {"columns": list(result[1])}


def _relative(fold: FoldData) -> Scores:
    """A probe fitted on the target's relative representations, read from the source's: no map is estimated."""
    fitted = align(fold.x, fold.y, solver="relative", progress=False)
    probe = fit_probe(fitted.target_map(fold.y), fold.known, seed=fold.seed)
    return probe.scores(fitted.source_map(fold.x_test))
