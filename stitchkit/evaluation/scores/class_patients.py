"""Numbers of items and patients with and without each class, and what follows from small ones.

``MIN_POSITIVES`` decides which classes are judged, ``LEAST_PATIENTS`` and ``LEAST_EFFECTIVE`` which of them, and which
means over classes or items, have an interval, and ``WIDE_BELOW`` which of these are followed by a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.core.least_patients import LEAST_EFFECTIVE, LEAST_PATIENTS, MEAN_PATIENTS, WIDE_BELOW
from stitchkit.core.patients import count_patients, patient_of_each
from stitchkit.core.scores import Labels
from stitchkit.core.wording import counted, setting
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.degrees_of_freedom import effective_number


@dataclass(frozen=True, slots=True)
class ClassPatients:
    """Numbers of one class among the test items whose label is known.

    Parameters
    ----------
    items
        Positives and negatives.
    patients
        Patients who have positives, and who have negatives; a patient may have both. Items if patients are not known.
    known
        True if patients are known.
    within
        Words on a restriction of what was counted; empty if there is none.
    effective
        Kish's effective number of patients who have positives, and of those who have negatives: of as many patients
        with one number of items a mean would vary as much, if the items of a patient are alike. 0 where there are none.
    """

    items: tuple[int, int]
    patients: tuple[int, int]
    known: bool
    within: str = ""
    effective: tuple[float, float] = (float("inf"), float("inf"))

    @property
    def fewest(self) -> int:
        """Patients of the side that has fewer."""
        return min(self.patients)

    @property
    def has_interval(self) -> bool:
        """True if both sides have enough patients for an interval, and no few of them have nearly all items."""
        return self.fewest >= LEAST_PATIENTS and not self.on_few

    @property
    def on_few(self) -> bool:
        """True if a side has enough patients, of whom few have nearly all of its items."""
        return self.fewest >= LEAST_PATIENTS and min(self.effective) < LEAST_EFFECTIVE

    @property
    def fewer(self) -> str:
        """The side that has fewer patients in words, ``"8 negative patients"``."""
        positive = self.patients[0] <= self.patients[1]
        side = "positive" if positive else "negative"
        return counted(self.fewest, f"{side} patient" if self.known else side)

    @property
    def unequal(self) -> str:
        """The side with the smaller effective number in words, ``"10 positive patients count as 2.1"``."""
        positive = self.effective[0] <= self.effective[1]
        many = counted(self.patients[0 if positive else 1], f"{'positive' if positive else 'negative'} patient")
        return f"{many} count as {min(self.effective):.1f}"

    def __str__(self) -> str:
        present, absent = self.items
        items = f"{counted(present, 'positive')} and {counted(absent, 'negative')}{self.within}"
        return f"{items}, of {self.patients[0]:,} and {counted(self.patients[1], 'patient')}" if self.known else items


def count_class_patients(test: Labels, parts: np.ndarray | None = None) -> dict[str, ClassPatients]:
    """Numbers of each class of ``test``.

    With ``parts`` (n,) an item counts only where its part has both kinds: elsewhere it is in no pair.

    Examples
    --------
    >>> test = Labels(np.array([[1.0], [1.0], [0.0], [np.nan]]), ["a", "b", "c", "d"], ("Edema",), ["p", "p", "q", "r"])
    >>> print(count_class_patients(test)["Edema"])
    2 positives and 1 negative, of 1 and 1 patient
    """
    people = np.arange(len(test)) if test.groups is None else np.unique(test.groups, return_inverse=True)[1]
    return {label: _class_patients(test, c, people, parts) for c, label in enumerate(test.classes)}


def _class_patients(test: Labels, c: int, people: np.ndarray, parts: np.ndarray | None) -> ClassPatients:
    sides = _sides(test, c, parts)
    present, absent = (int(side.sum()) for side in sides)
    held = [np.bincount(people[side]) for side in sides]
    with_it, without = (int(np.count_nonzero(one)) for one in held)
    effective = tuple(float(effective_number(one / one.sum())) if one.any() else 0.0 for one in held)
    within = "" if parts is None else " in folds that have both"
    known = test.groups is not None
    return ClassPatients(
        items=(present, absent),
        patients=(with_it, without),
        known=known,
        within=within,
        effective=(effective[0], effective[1]),
    )


def _sides(test: Labels, c: int, parts: np.ndarray | None) -> list[np.ndarray]:
    """Items (n,) with class ``c``, and without it; with ``parts`` only those in parts that have both."""
    sides = [test.values[:, c] == side for side in (1, 0)]
    if parts is None:
        return sides
    both = np.isin(parts, np.intersect1d(parts[sides[0]], parts[sides[1]]))
    return [side & both for side in sides]


def carriers(test: Labels, judged: Sequence[str], parts: np.ndarray | None = None) -> int:
    """Patients with a positive of any class of ``judged``, or with a negative of any, whichever are fewer.

    Patients carry a mean over classes together: the same two may stand well in one class and badly in the other, and
    the variance of the mean cancels. 0 if every class rests on few patients with most items: a mean over them does too.
    ``parts`` (n,) as in :func:`count_class_patients`.

    Examples
    --------
    >>> test = Labels(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), ["a", "b", "c"], ("Edema", "Mass"))
    >>> carriers(test, ["Edema", "Mass"]), carriers(test, ["Mass"])
    (2, 1)
    """
    if all(one.on_few for one in count_class_patients(test.of_classes(tuple(judged)), parts).values()):
        return 0
    people = patient_of_each(test.groups, len(test))
    each = [_sides(test, test.classes.index(label), parts) for label in judged]
    fewest: int = min(count_patients(people[np.any(sides, axis=0)]) for sides in zip(*each, strict=True))
    return fewest


def judged_classes(
    test: Labels, least: int, parts: np.ndarray | None = None
) -> tuple[list[str], dict[str, str], dict[str, int]]:
    """Classes with at least ``least`` positive and negative patients, the others with the reason, and all positives.

    ``parts`` (n,) as in :func:`count_class_patients`.
    """
    judged, not_judged, least = [], {}, max(least, 1)
    for label, numbers in count_class_patients(test, parts).items():
        if numbers.fewest >= least:
            judged.append(label)
        else:
            not_judged[label] = f"{numbers}, fewer than {least}"
    positives = (test.values == 1).sum(axis=0).tolist()
    return judged, not_judged, dict(zip(test.classes, positives, strict=True))


def positive_patients(test: Labels) -> dict[str, int]:
    """Patients who have positives of each class; empty where patients are not known."""
    return {} if test.groups is None else {label: one.patients[0] for label, one in count_class_patients(test).items()}


def where_enough(intervals: Mapping[str, Interval], numbers: Mapping[str, ClassPatients]) -> dict[str, Interval]:
    """``intervals`` of classes, without ends where a side has too few patients for them."""
    return {label: one if numbers[label].has_interval else without_ends(one) for label, one in intervals.items()}


def where_carried(mean: Interval, people: int) -> Interval:
    """A mean over classes or items, or a difference of two, without ends where fewer than five patients carry it.

    Parameters
    ----------
    people
        Patients: :func:`carriers` of a mean of AUROCs or average precisions, all of any other.
    """
    return mean if people >= LEAST_PATIENTS else without_ends(mean)


def note_on_carriers(people: int, what: str) -> list[str]:
    """In words, that ``what``, which ``people`` carry, have no interval; nothing where these are enough.

    Nothing either of 0, where :func:`notes_on_patients` has the reason.

    Examples
    --------
    >>> note_on_carriers(4, "means over classes"), note_on_carriers(5, "means over classes")
    (['no interval of means over classes: 4 patients are too few, at least 5 are needed'], [])
    """
    if people >= LEAST_PATIENTS or people == 0:
        return []
    few = f"{counted(people, 'patient')} {'is' if people == 1 else 'are'} too few"
    return [f"no interval of {what}: {few}, at least {LEAST_PATIENTS} are needed"]


def without_ends(one: Interval) -> Interval:
    """The value alone."""
    return Interval(one.value, float("nan"), float("nan"))


def enough_on_average(shares: np.ndarray) -> bool:
    """True if classes have enough patients on average, by the ``shares`` (k, c) of each patient in each class.

    With fewer, average precision is too high on average and F1 too low.

    Examples
    --------
    >>> enough_on_average(np.eye(4)), enough_on_average(np.ones((4, 2)) / 4)
    (False, True)
    """
    return float(np.count_nonzero(shares, axis=0).mean()) >= MEAN_PATIENTS


def precision_has_ends(numbers: Mapping[str, ClassPatients], judged: Sequence[str]) -> bool:
    """True if classes have enough patients on average for an interval of macro average precision."""
    return not judged or sum(numbers[label].fewest for label in judged) >= MEAN_PATIENTS * len(judged)


def note_on_precision(numbers: Mapping[str, ClassPatients], judged: Sequence[str]) -> list[str]:
    """In words, that classes have too few patients on average for an interval of macro average precision."""
    if precision_has_ends(numbers, judged):
        return []
    mean = sum(numbers[label].fewest for label in judged) / len(judged)
    who = "patients" if numbers[judged[0]].known else "items"
    return [
        f"no interval of macro average precision: classes have {mean:.1f} {who} on average, and with fewer than "
        f"{MEAN_PATIENTS} it is too high on average. Give more items, or raise "
        + setting("min_positives", text="min_positives")
    ]


def notes_on_patients(numbers: Mapping[str, ClassPatients], judged: Sequence[str]) -> list[str]:
    """In words: judged classes without an interval, with an uncertain one, and a macro value that has none."""
    bare = [label for label in judged if numbers[label].fewest < LEAST_PATIENTS]
    held = [label for label in judged if numbers[label].on_few]
    few = [label for label in judged if numbers[label].has_interval and numbers[label].fewest < WIDE_BELOW]
    alone = [label for label in bare if numbers[label].fewest < 2]
    notes: list[str] = []
    if bare:
        notes.append(
            f"no interval where a class has fewer than {LEAST_PATIENTS} positive or negative patients: "
            f"{_numbers_in_words(numbers, bare)}"
        )
    if held:
        listed = ", ".join(f"{label} ({numbers[label].unequal})" for label in held)
        notes.append(
            f"no interval where few patients have most positives or negatives of a class, as good as fewer than "
            f"{LEAST_EFFECTIVE:g} patients with equally many, nor of a mean over such classes alone: {listed}. Add "
            f"patients, or keep fewer items of those with most"
        )
    if alone:
        notes.append(
            f"no interval of macro AUROC, macro average precision and their differences, since one patient tells "
            f"nothing of how patients differ: {_numbers_in_words(numbers, alone)}. A "
            + setting("min_positives", text="min_positives")
            + " of 2 leaves such classes out"
        )
    if few:
        notes.append(
            f"intervals of classes with fewer than {WIDE_BELOW} positive or negative patients are wide and "
            f"approximate: {_numbers_in_words(numbers, few)}"
        )
    return notes


def _numbers_in_words(numbers: Mapping[str, ClassPatients], labels: Iterable[str]) -> str:
    return ", ".join(f"{label} ({numbers[label].fewer})" for label in labels)
