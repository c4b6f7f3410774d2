"""Measures of the best-scored class where exactly one class applies to an item: rows of a table, and notes on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stitchkit.core.least_patients import MEAN_PATIENTS, WIDE_BELOW
from stitchkit.core.scores import Labels
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.class_patients import (
    count_class_patients,
    enough_on_average,
    where_carried,
    without_ends,
)
from stitchkit.evaluation.scores.results import MeasureValues
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.class_means import ClassMeans, class_mean_difference, recalls_and_f1
from stitchkit.metrics.decisions import multiclass_differences
from stitchkit.metrics.proportions import by_patient, exact_interval

ACCURACY, BALANCED, F1 = "accuracy", "balanced_accuracy", "f1"


@dataclass(frozen=True, slots=True, eq=False)
class MulticlassMeasures:
    """The classes that one method calls, with recall and F1 of each class and how far each patient moves them.

    Parameters
    ----------
    best, truth : (n,) int
        The class called, and the class it is.
    classes
        Number of classes.
    patients : (n,)
        Patient of each item.
    recall, f1
        Means over the classes that are true somewhere.
    """

    best: np.ndarray
    truth: np.ndarray
    classes: int
    patients: np.ndarray
    recall: ClassMeans
    f1: ClassMeans

    @classmethod
    def of(cls, best: np.ndarray, truth: np.ndarray, classes: int, patients: np.ndarray) -> MulticlassMeasures:
        """Recall and F1 added up over patients."""
        return cls(best, truth, classes, patients, *recalls_and_f1(best, truth, classes, patients))

    def intervals(self) -> dict[str, Interval]:
        """Accuracy by the rule of proportions, balanced accuracy and macro F1 as means over classes."""
        right = by_patient((self.best == self.truth).astype(np.float64), self.patients)
        accuracy = exact_interval(right, by_patient(np.ones(len(self.best)), self.patients))
        return {ACCURACY: accuracy, BALANCED: self.recall.interval(), F1: macro_f1_interval(self.f1)}

    def differences(self, other: MulticlassMeasures) -> dict[str, Interval]:
        """Each measure minus that of another method: shares of the same items by the rule of proportions, and F1."""
        differ = by_patient((self.best != other.best).astype(np.float64), self.patients)
        items = by_patient(np.ones(len(self.best)), self.patients)
        shares = multiclass_differences(self.best, other.best, self.truth, self.classes, self.patients)
        return {**shares, F1: class_mean_difference(self.f1, other.f1, differ / items)}


def multiclass_rows(
    measures: Mapping[str, MulticlassMeasures | None], people: int
) -> dict[str, dict[str, MeasureValues]]:
    """The measures of each row, on ``people`` patients, with differences from the first; none of several classes."""
    main = next(iter(measures))
    first, rows = measures[main], {}
    for name, one in measures.items():
        if one is None or first is None:
            rows[name] = dict[str, MeasureValues]()
            continue
        gaps = {} if name == main else first.differences(one)
        carried = {measure: where_carried(gap, people) for measure, gap in gaps.items()}
        rows[name] = {
            measure: MeasureValues(where_carried(mean, people), {}, carried.get(measure))
            for measure, mean in one.intervals().items()
        }
    return rows


def macro_f1_interval(means: ClassMeans) -> Interval:
    """Mean F1 over classes; the value alone where classes have too few patients, for which it is too low on average."""
    interval = means.interval()
    return interval if enough_on_average(means.shares) else without_ends(interval)


def notes_on_multiclass(test: Labels) -> list[str]:
    """In words: classes of few patients that count in balanced accuracy and macro F1, judged or not."""
    numbers = {label: one.patients[0] for label, one in count_class_patients(test).items() if one.patients[0] > 0}
    few = {label: number for label, number in numbers.items() if number < WIDE_BELOW}
    if not few:
        return []
    who = "patient" if test.groups is not None else "item"
    rarest = min(few, key=lambda label: few[label])
    notes = [
        f"balanced accuracy and macro F1 count {counted(len(few), 'class', 'classes')} of fewer than {WIDE_BELOW} "
        f"{who}s ({rarest} has {counted(few[rarest], who)}): their intervals are wide and approximate"
    ]
    mean = sum(numbers.values()) / len(numbers)
    if mean < MEAN_PATIENTS:
        notes.append(
            f"no interval of macro F1: classes have {mean:.1f} {who}s on average, and with fewer than {MEAN_PATIENTS} "
            f"it is too low on average. Give more items, or compare methods, whose difference has one"
        )
    return notes
