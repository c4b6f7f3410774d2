"""The main row of a study from near: as probabilities, for decisions, its map, its best and worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stitchkit.core.plain_values import plain_values
from stitchkit.core.scores import KINDS, Scores
from stitchkit.evaluation.diagnosis.spectra import Spectrum
from stitchkit.evaluation.scores.cross_fitting import CrossFitted, cross_fitted
from stitchkit.evaluation.scores.truth import known_labels, standardise_within
from stitchkit.studies.results import StudyRow
from stitchkit.studies.running import Ran

STANDARDISED = "scores standardised within each fold"
FOUND, MISSED, FALSE = "present, scored highest", "present, scored lowest", "absent, scored highest"


@dataclass(frozen=True, slots=True)
class Shown:
    """One image to be shown: where it is among the judged items, and its score."""

    at: int
    id: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class CloseUp:
    """One row of a study, by its first draw of anchors.

    Parameters
    ----------
    judged
        Probabilities and decisions; None where the row gives no scores of classes.
    scale
        What its thresholds are of.
    spectrum
        Of its map (cross-fitted: of the first fold's); None where there is none.
    images
        Class -> which -> the images to show; empty unless they were asked for.
    """

    judged: CrossFitted | None
    scale: str
    spectrum: Spectrum | None
    images: Mapping[str, Mapping[str, Sequence[Shown]]]

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        judged = self.judged
        found: dict[str, Any] = {"spectrum": None if self.spectrum is None else asdict(self.spectrum)}
        if judged is not None:
            found |= judged.to_dict()
        found["images"] = {
            label: {which: [{"id": one.id, "score": one.score} for one in row] for which, row in rows.items()}
            for label, rows in self.images.items()
        }
        return found


def close_up(ran: Ran, row: StudyRow) -> CloseUp:
    """What the page shows of its main row."""
    wanted = (row.source, row.target, row.method, row.anchors)
    key = next(key for one, key in ran.cells if (one.source, one.target, one.method, one.anchors) == wanted)
    line = ran.log[key]
    found = line["record"].get("spectrum")
    spectrum = None if found is None else Spectrum(**{**found, "values": tuple(found["values"])})
    if line["kind"] not in KINDS:  # ranks
        return CloseUp(None, line["kind"], spectrum, {})
    plan, judged = ran.plan, tuple(ran.judge.columns)
    scores = Scores(ran.log.scores(key), line["kind"], ran.test.ids, ran.test.classes)
    kept = scores.of_classes(judged)
    if ran.parts is not None:
        kept = Scores(standardise_within(kept.values, ran.parts), "logit", kept.ids, judged)
    crossed = cross_fitted(kept, ran.test, sensitivity=plan.sensitivity, replicates=plan.replicates, seed=plan.seed)
    count = plan.images if ran.items.modality == "image" else 0
    images = {label: _extremes(kept, ran, label, count) for label in judged} if count else {}
    return CloseUp(crossed, f"scores of kind {scores.kind}" if ran.parts is None else STANDARDISED, spectrum, images)


def _extremes(scores: Scores, ran: Ran, label: str, count: int) -> dict[str, list[Shown]]:
    """The items of a class that speak most for the scores, and most against them."""
    known, truth = known_labels(ran.test, label)
    rows, values = np.flatnonzero(known), scores.column(label)[known]
    by_score = np.argsort(-values, kind="stable")
    present, absent = by_score[truth[by_score] == 1], by_score[truth[by_score] == 0]
    half = min(count, max(len(present) // 2, 1))  # no image is both best and worst
    picked = {FOUND: present[:half], MISSED: present[half:][::-1][:half], FALSE: absent[:count]}
    ids = ran.test.ids
    return {
        which: [Shown(int(rows[i]), str(ids[rows[i]]), float(values[i])) for i in found]
        for which, found in picked.items()
    }
