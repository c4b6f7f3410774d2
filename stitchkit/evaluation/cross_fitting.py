"""Probabilities and decisions of test items by calibrations and thresholds that other patients of the test gave.

For a study whose patients are all either anchors or judged: nobody is left to calibrate on, so the judged ones do it
for each other. What comes out is what a calibration on so many patients would be worth, not one to be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.calibrating import calibrate
from stitchkit.evaluation.calibration_items import FEW_POSITIVES
from stitchkit.evaluation.results import Decisions, Method
from stitchkit.evaluation.tables import by_chance, decisions_of, known_labels, reliability_of, table_of
from stitchkit.metrics.decisions import resampled_thresholds
from stitchkit.metrics.reliability import Bin, expected_error

CALIBRATED, PREVALENCE = "calibrated", "prevalence alone"


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """What the scores are worth as probabilities and for decisions.

    Parameters
    ----------
    methods
        ``"calibrated"`` and, to compare with, ``"prevalence alone"``: every item gets its class's share of the test.
    reliability
        Class -> bins of what was said and what was seen.
    decisions
        Class -> decisions; the threshold is the median of the folds'.
    left_out
        Class -> why it could not be calibrated.
    folds
        Of patients.
    """

    methods: tuple[Method, ...]
    reliability: dict[str, list[Bin]]
    decisions: dict[str, Decisions]
    left_out: dict[str, str]
    folds: int

    @property
    def expected_error(self) -> float:
        """The calibration error that perfect probabilities would show in the same bins, mean over classes."""
        return float(np.mean([expected_error(bins) for bins in self.reliability.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "calibration": {
                one.name: {name: found.to_dict() for name, found in one.measures.items()} for one in self.methods
            },
            "reliability": {label: [one._asdict() for one in bins] for label, bins in self.reliability.items()},
            "decisions": {label: one.to_dict() for label, one in self.decisions.items()},
            "not_calibrated": dict(self.left_out),
            "folds": self.folds,
        }


def cross_fitted(
    scores: Scores,
    test: Labels,
    *,
    sensitivity: float | None = None,
    folds: int = 5,
    replicates: int = 2000,
    seed: int = 0,
) -> CrossFitted:
    """Platt's calibration and a threshold for each class, each item's by the other folds' patients.

    Parameters
    ----------
    scores : (n, c)
        Of the test items.
    test
        Their labels, in the same order; ``groups`` are patients.
    sensitivity
        The share of positives that thresholds must find; None for Youden's.

    Returns
    -------
    CrossFitted
        Classes for which some fold's others have fewer than ten positives or negatives are left out.
    """
    members = assign(len(test), test.groups, seed=seed, k=folds)
    probabilities, left_out = {}, {}
    decisions: dict[str, Decisions] = {}
    for label in scores.classes:
        known, _ = known_labels(test, label)
        rests = [np.setdiff1d(np.flatnonzero(known), held) for held in members]
        truth, values = test.values[:, test.classes.index(label)], scores.column(label)
        few = min((min(int(truth[rest].sum()), int((1 - truth[rest]).sum())) for rest in rests), default=0)
        if few < FEW_POSITIVES or len(rests) < 2:
            left_out[label] = f"{few} positives or negatives to calibrate by in some fold, fewer than {FEW_POSITIVES}"
            continue
        said, called, levels = np.empty(len(test)), np.zeros(len(test), dtype=bool), []
        for held, rest in zip(members, rests, strict=True):
            one = test.of_classes((label,)).take(rest)
            fitted = calibrate(Scores(values[rest, None], scores.kind, test.ids[rest], (label,)), one)
            said[held] = fitted(Scores(values[held, None], scores.kind, test.ids[held], (label,))).values[:, 0]
            level = float(resampled_thresholds(values[rest], truth[rest], np.ones((1, len(rest))), sensitivity)[0])
            called[held] = values[held] >= level  # never where no threshold is better than none
            levels.append(level)
        probabilities[label] = said
        if not np.isnan(levels).any():
            decisions[label] = decisions_of(called, float(np.median(levels)), test, label, replicates, seed)
    if not probabilities:
        return CrossFitted((), {}, {}, left_out, len(members))
    classes = tuple(probabilities)
    found = Scores(np.stack(list(probabilities.values()), axis=1), "probability", test.ids, classes)
    kept = test.of_classes(classes)
    rows = {CALIBRATED: found, PREVALENCE: by_chance(kept)}
    methods, _ = table_of(rows, kept, list(classes), multiclass=False, replicates=replicates, seed=seed)
    return CrossFitted(methods, reliability_of(found, kept, list(classes)), decisions, left_out, len(members))
