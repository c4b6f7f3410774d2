"""The items that probabilities, thresholds and conformal sets are fitted on: neither anchors nor test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.calibrations import FittedOn
from stitchkit.core.items import checked_ids
from stitchkit.core.patients import patient_of_each
from stitchkit.core.scores import Labels, Scores, check_decidable
from stitchkit.evaluation.leakage import audit, spelled_notes
from stitchkit.evaluation.scores.item_matching import labels_of_items

SIDES = ("anchors", "calibration items")

Anchors = AnchorSet | Sequence[str] | np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationItems:
    """Scores with their truth, patients and what the audit said."""

    values: np.ndarray  # (n, c)
    truth: np.ndarray  # (n, c) of 0, 1, NaN
    groups: np.ndarray  # (n,)
    fitted_on: FittedOn
    notes: list[str]

    @classmethod
    def of(cls, scores: Scores, labels: Labels, groups: Any, anchors: Anchors, allow: bool) -> CalibrationItems:
        check_decidable(scores)
        if groups is not None:
            labels = Labels(labels.values, labels.ids, labels.classes, np.asarray(groups), labels.columns)
        ids = anchors.ids if isinstance(anchors, AnchorSet) else checked_ids([] if anchors is None else anchors)
        matched = labels_of_items(
            labels.of_classes(scores.classes), scores.ids, ids.tolist(), allow=allow, sides=SIDES
        )  # fmt: skip
        known, notes = matched.labels.of_ids(scores.ids), matched.notes
        if anchors is not None:
            patients = anchors.groups if isinstance(anchors, AnchorSet) else None
            named = labels.take(np.flatnonzero(np.isin(labels.ids, ids)))
            if patients is None and len(named) == len(ids):  # one unknown patient leaves the audit open
                patients = named.groups
            notes += audit(ids, scores.ids, patients, known.groups, allow=allow, sides=SIDES)
        notes += spelled_notes(known.groups)
        if known.groups is None:
            notes.append("patients are not known: every calibration item counts as a patient of its own")
        fitted_on = FittedOn(scores.ids, known.groups)
        people = patient_of_each(known.groups, len(known))
        return cls(scores.values, known.values, people, fitted_on, notes)

    def of_class(self, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores, truth and patients of the items whose label of class ``c`` is known."""
        known = ~np.isnan(self.truth[:, c])
        return self.values[known, c], self.truth[known, c], self.groups[known]
