"""Probabilities and decisions of test items by calibrations and thresholds that other patients of the test gave.

For a study whose patients are all either anchors or judged: nobody is left to calibrate on, so the judged ones do it
for each other. What comes out is what a calibration on so many patients would be worth, not one to be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.least_patients import FEW_POSITIVES, REPLICATES
from stitchkit.core.patients import count_patients, patient_of_each
from stitchkit.core.plain_values import plain_values
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.calibrate import AGAINST, calibrate
from stitchkit.evaluation.scores.decisions import measure_decisions, reliability_curves
from stitchkit.evaluation.scores.results import BRIER, ECE, Decisions, Method
from stitchkit.evaluation.scores.tables import table_of
from stitchkit.evaluation.scores.truth import known_labels
from stitchkit.metrics.decisions import resampled_thresholds
from stitchkit.metrics.reliability import Bin, expected_error
from stitchkit.runtime.threads import one_blas_thread

FOLDS = 5
CALIBRATED, PREVALENCE = "calibrated", "prevalence alone"


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """Worth of the scores as probabilities and for decisions.

    Parameters
    ----------
    methods
        Brier score and calibration error of ``"calibrated"`` and, to compare with, of ``"prevalence alone"``: every
        item gets its class's share among the other folds' items.
    reliability
        Class -> bins of what was said and what was seen.
    decisions
        Class -> decisions; the threshold is the median of the folds'.
    not_calibrated
        Class -> why it could not be calibrated.
    notes
        In words: classes whose scores run against their labels, decisions that could not be made.
    folds
        Number of folds of patients.
    """

    methods: tuple[Method, ...]
    reliability: dict[str, list[Bin]]
    decisions: dict[str, Decisions]
    not_calibrated: dict[str, str]
    notes: tuple[str, ...]
    folds: int

    @property
    def expected_error(self) -> float:
        """The calibration error that perfect probabilities would show in the same bins, mean over classes."""
        return float(np.mean([expected_error(bins) for bins in self.reliability.values()]))

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "calibration": {
                one.name: {name: values.to_dict() for name, values in one.measures.items()} for one in self.methods
            },
            "reliability": {label: [one._asdict() for one in bins] for label, bins in self.reliability.items()},
            "decisions": {label: one.to_dict() for label, one in self.decisions.items()},
            "not_calibrated": dict(self.not_calibrated),
            "notes": list(self.notes),
            "folds": self.folds,
        }


@one_blas_thread()
def cross_fitted(
    scores: Scores,
    test: Labels,
    *,
    sensitivity: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> CrossFitted:
    """Platt's calibration and a threshold for each class, each item's by the other folds' patients.

    Parameters
    ----------
    scores : (n, c)
        Scores of the test items.
    test
        Their labels, in the same order; ``groups`` are patients.
    sensitivity
        The share of positives that thresholds must find; None for Youden's.

    Returns
    -------
    CrossFitted
        Classes that fewer than ten patients of some fold's others have, or lack, are left out.
    """
    members = assign(len(test), test.groups, seed=seed, k=FOLDS)
    people = patient_of_each(test.groups, len(test))
    probabilities: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    decided: dict[str, tuple[np.ndarray, float]] = {}  # what is called, and the typical threshold
    not_calibrated, notes = {}, []
    for label in scores.classes:
        known, _ = known_labels(test, label)
        rests = [np.setdiff1d(np.flatnonzero(known), held) for held in members]
        truth, values = test.values[:, test.classes.index(label)], scores.column(label)
        own, labels = scores.of_classes((label,)), test.of_classes((label,))
        few = min((count_patients(people[rest][truth[rest] == side]) for rest in rests for side in (0, 1)), default=0)
        if few < FEW_POSITIVES or len(rests) < 2:
            not_calibrated[label] = (
                f"{counted(few, 'patient')} with or without it in some fold's others, fewer than {FEW_POSITIVES}"
            )
            continue
        probability, share, called = np.empty(len(test)), np.empty(len(test)), np.zeros(len(test), dtype=bool)
        levels, against = [], 0
        for held, rest in zip(members, rests, strict=True):
            fitted = calibrate(own.take(rest), labels.take(rest))
            against += AGAINST in " ".join(fitted.notes)
            probability[held] = fitted(own.take(held)).values[:, 0]
            share[held] = truth[rest].mean()
            level = float(resampled_thresholds(values[rest], truth[rest], np.ones((1, len(rest))), sensitivity)[0])
            called[held] = values[held] >= level  # never where no threshold is better than none
            levels.append(level)
        probabilities[label] = probability, share
        if against:
            every = "every item gets" if against == len(rests) else "items of those folds get"
            notes.append(f"{label}: in {against} of {len(rests)} folds {AGAINST}; {every} its prevalence")
        if none := int(np.isnan(levels).sum()):
            notes.append(f"{label}: no decisions, since in {none} of {len(rests)} folds {AGAINST}")
        else:
            decided[label] = called, float(np.median(levels))
    distinct_notes = tuple(dict.fromkeys(notes))
    if not probabilities:
        return CrossFitted(
            methods=(),
            reliability={},
            decisions={},
            not_calibrated=not_calibrated,
            notes=distinct_notes,
            folds=len(members),
        )
    classes = tuple(probabilities)
    kept = test.of_classes(classes)
    calibrated, prevalence = (
        Scores(np.stack([both[side] for both in probabilities.values()], axis=1), "probability", test.ids, classes)
        for side in (0, 1)
    )
    rows = {CALIBRATED: calibrated, PREVALENCE: prevalence}
    table = table_of(rows, kept, list(classes), multiclass=False, replicates=replicates, seed=seed)
    methods = tuple(Method(one.name, {name: one.measures[name] for name in (BRIER, ECE)}) for one in table)
    decisions: dict[str, Decisions] = {}
    if decided:
        every, levels = zip(*decided.values(), strict=True)
        decisions = measure_decisions(np.stack(every, axis=1), levels, test, list(decided))
    return CrossFitted(
        methods=methods,
        reliability=reliability_curves(calibrated, kept, list(classes)),
        decisions=decisions,
        not_calibrated=not_calibrated,
        notes=distinct_notes,
        folds=len(members),
    )
