"""Decisions by thresholds and reliability of probabilities, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stitchkit.core.calibrations import Thresholds
from stitchkit.core.errors import InputError
from stitchkit.core.patients import patient_of_each
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.scores.results import Decisions
from stitchkit.evaluation.scores.truth import in_order, known_labels
from stitchkit.metrics.decisions import decision_intervals
from stitchkit.metrics.reliability import Bin, reliability_curve
from stitchkit.runtime.progress import Progress


def decisions_by_thresholds(
    thresholds: Thresholds,
    uncalibrated: Scores,
    calibrated: Scores,
    test: Labels,
    judged: list[str],
    bar: Progress | None = None,
) -> dict[str, Decisions]:
    """Decisions of the thresholds for each judged class that has one, on the scores of their own kind."""
    known = [one for one in (calibrated, uncalibrated) if one.kind == thresholds.kind]
    if not known:
        raise InputError(
            f"the thresholds are for scores of kind {thresholds.kind!r}; these are {calibrated.kind!r}. Choose "
            f"thresholds on scores of the same kind."
        )
    wanted = [label for label in judged if label in thresholds.classes and not np.isnan(_of(thresholds, label))]
    levels = [_of(thresholds, label) for label in wanted]
    called = in_order(known[0], test, wanted, "thresholds") >= np.asarray(levels)
    decisions = measure_decisions(called, levels, test, wanted, bar)
    return {label: replace(one, kind=thresholds.kind) for label, one in decisions.items()}


def measure_decisions(
    called: np.ndarray, levels: Sequence[float], test: Labels, classes: Sequence[str], bar: Progress | None = None
) -> dict[str, Decisions]:
    """Measures of the decisions ``called`` (n, c) for each class; items whose label is not known do not count."""
    people, decisions = patient_of_each(test.groups, len(test)), {}
    bar = bar or Progress(show=False)
    bar.begin("intervals of decisions, classes", len(classes))
    for c, (label, level) in enumerate(zip(classes, levels, strict=True)):
        known, truth = known_labels(test, label)
        present = called[known, c]
        decisions[label] = Decisions(
            float(level), int(present.sum()), decision_intervals(present, truth, people[known])
        )
        bar.step(1)
    return decisions


def reliability_curves(scores: Scores, test: Labels, judged: list[str]) -> dict[str, list[Bin]]:
    """Predicted and observed shares of each judged class, in bins; none where the scores are no probabilities."""
    if scores.kind != "probability":
        return {}
    values, curves = in_order(scores, test, judged, "scores"), {}
    for c, label in enumerate(judged):
        rows, truth = known_labels(test, label)
        curves[label] = reliability_curve(values[rows, c], truth)
    return curves


def _of(thresholds: Thresholds, label: str) -> float:
    return float(thresholds.values[thresholds.classes.index(label)])
