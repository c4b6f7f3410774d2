"""The main row of a study from near: as probabilities, for decisions, its map, its best and worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from stitchkit.core.plain_values import plain_values
from stitchkit.core.scores import KINDS, Scores
from stitchkit.evaluation.diagnosis.spectra import Spectrum
from stitchkit.evaluation.scores.cross_fitting import CrossFitted, cross_fitted
from stitchkit.evaluation.scores.truth import known_labels, standardise_within
from stitchkit.studies.plans import ClassJudgePlan
from stitchkit.studies.results import StudyRow
from stitchkit.studies.running import StudyRun

STANDARDISED = "scores standardised within each fold"
DETECTED, MISSED, FALSE = "present, scored highest", "present, scored lowest", "absent, scored highest"


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """One image to be shown: where it is among the judged items, and its score."""

    at: int
    id: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class MainRowDetail:
    """One row of a study, by its first draw of anchors.

    Parameters
    ----------
    judged
        Probabilities and decisions; None where the row gives no scores of classes.
    scale
        Scale of its thresholds, in words.
    spectrum
        Spectrum of its map (cross-fitted: of the first fold's); None where there is none.
    images
        Class -> which -> the images to show; empty by default.
    """

    judged: CrossFitted | None
    scale: str
    spectrum: Spectrum | None
    images: Mapping[str, Mapping[str, Sequence[ExampleImage]]]

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        judged = self.judged
        plain: dict[str, Any] = {"spectrum": None if self.spectrum is None else asdict(self.spectrum)}
        if judged is not None:
            plain |= judged.to_dict()
        plain["images"] = {
            label: {which: [{"id": one.id, "score": one.score} for one in row] for which, row in rows.items()}
            for label, rows in self.images.items()
        }
        return plain


def main_row_detail(run: StudyRun, row: StudyRow) -> MainRowDetail:
    """Detail of the main row of a page."""
    wanted = (row.source, row.target, row.method, row.anchors)
    key = next(key for one, key in run.cells if (one.source, one.target, one.method, one.anchors) == wanted)
    line = run.log[key]
    fields = line["record"].get("spectrum")
    spectrum = None if fields is None else Spectrum(**{**fields, "values": tuple(fields["values"])})
    if line["kind"] not in KINDS:  # ranks
        return MainRowDetail(None, line["kind"], spectrum, {})
    judged, settings = tuple(run.judge.columns), cast(ClassJudgePlan, run.plan.judge)  # scores are judged by class
    scores = Scores(run.log.scores(key), line["kind"], run.test.ids, run.test.classes)
    kept = scores.of_classes(judged)
    if run.folds is not None:
        kept = Scores(standardise_within(kept.values, run.folds), "logit", kept.ids, judged)
    crossed = cross_fitted(kept, run.test, sensitivity=settings.sensitivity, replicates=settings.replicates,
                           seed=run.plan.seed)  # fmt: skip
    count = settings.images if run.items.modality == "image" else 0
    images = {label: _extremes(kept, run, label, count) for label in judged} if count else {}
    return MainRowDetail(
        crossed, f"scores of kind {scores.kind}" if run.folds is None else STANDARDISED, spectrum, images
    )


def _extremes(scores: Scores, run: StudyRun, label: str, count: int) -> dict[str, list[ExampleImage]]:
    """The items of a class that speak most for the scores, and most against them."""
    known, truth = known_labels(run.test, label)
    rows, values = np.flatnonzero(known), scores.column(label)[known]
    by_score = np.argsort(-values, kind="stable")
    present, absent = by_score[truth[by_score] == 1], by_score[truth[by_score] == 0]
    half = min(count, max(len(present) // 2, 1))  # no image is both best and worst
    picked = {DETECTED: present[:half], MISSED: present[half:][::-1][:half], FALSE: absent[:count]}
    ids = run.test.ids
    return {
        which: [ExampleImage(int(rows[i]), str(ids[rows[i]]), float(values[i])) for i in places]
        for which, places in picked.items()
    }
