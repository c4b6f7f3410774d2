"""Calibrations, thresholds and conformal sets of scores; each keeps the items that it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import count_patients
from stitchkit.core.plain_values import plain_values
from stitchkit.core.scores import Scores, check_decidable
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted

PRESENT, ABSENT, EITHER, NEITHER = "present", "absent", "either", "neither"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FittedOn:
    """Items of a fit: ids (n,) and, where known, their patients (n,); printed as counts, so that no id leaks."""

    ids: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        people = "" if self.patients is None else f" of {counted(self.patients, 'patient')}"
        return f"{counted(len(self), 'item')}{people}"

    @property
    def patients(self) -> int | None:
        """Number of patients; None where they are not known."""
        return count_patients(self.groups)

    def as_hashes(self) -> HashedItems:
        """The same items as hashes, which is how a file holds them."""
        from stitchkit.core.anchor_hashes import hashes_of, with_files
        from stitchkit.core.item_names import file_name

        names = [file_name(one).encode("utf-8", "surrogatepass") for one in self.ids.tolist()]
        return HashedItems(with_files(hashes_of(self.ids, self.groups), names), len(self), self.patients)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HashedItems:
    """Items of a fit that was read from a file: salted hashes of their ids and patients, and how many there are.

    Parameters
    ----------
    hashes
        As :func:`stitchkit.core.anchor_hashes.hashes_of` makes them; of files the names without their folders.
    n
        Number of items.
    patients
        Number of patients; None where they are not known.
    """

    hashes: Mapping[str, Any]
    n: int
    patients: int | None = None

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        people = "" if self.patients is None else f" of {counted(self.patients, 'patient')}"
        return f"{counted(len(self), 'item')}{people}"

    def as_hashes(self) -> HashedItems:
        """The items themselves."""
        return self


FittedItems = FittedOn | HashedItems


@dataclass(frozen=True, slots=True, eq=False)
class LogisticCalibration:
    """``p = 1 / (1 + exp(-(slope * score + intercept)))`` for each class by itself.

    Parameters
    ----------
    method
        ``"platt"``, or ``"temperature"`` with one slope for all classes and no intercept.
    kind
        Kind of the scores it reads.
    slope : (c,), intercept : (c,)
    """

    method: str
    kind: str
    classes: tuple[str, ...]
    slope: np.ndarray
    intercept: np.ndarray
    fitted_on: FittedItems
    notes: tuple[str, ...] = ()

    def __call__(self, scores: Scores) -> Scores:
        """Probabilities of scores of the same kind and classes."""
        values = matching(scores, self.kind, self.classes, "the calibration")
        return _probabilities(sigmoid(values * self.slope + self.intercept), scores, self)

    def of_classes(self, classes: Sequence[str]) -> LogisticCalibration:
        """The calibration of those of its classes that are among ``classes``."""
        kept = _places(self.classes, classes)
        labels = tuple(self.classes[c] for c in kept)
        return replace(self, classes=labels, slope=self.slope[kept], intercept=self.intercept[kept])


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxCalibration:
    """``p = softmax(score / temperature)`` over classes of which exactly one applies.

    Parameters
    ----------
    temperature
        Divisor in the scores' own unit, above 0.
    """

    method: str
    kind: str
    classes: tuple[str, ...]
    temperature: float
    fitted_on: FittedItems
    notes: tuple[str, ...] = ()

    def __call__(self, scores: Scores) -> Scores:
        """Probabilities that add up to one, of scores of the same kind and classes."""
        values = matching(scores, self.kind, self.classes, "the calibration") / self.temperature
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        return _probabilities(shares, scores, self)

    def of_classes(self, classes: Sequence[str]) -> SoftmaxCalibration:
        """The calibration itself, whose probabilities need all of its classes."""
        if missing := [label for label in self.classes if label not in classes]:
            raise InputError(
                f"exactly one of the calibration's classes applies, so its probabilities need all of them; missing is "
                f"{missing[0]!r}. Keep all classes, or leave the calibration out."
            )
        return self


@dataclass(frozen=True, slots=True, eq=False)
class IsotonicCalibration:
    """A non-decreasing curve for each class, linear between its knots and flat outside.

    Parameters
    ----------
    knots
        For each class its scores and probabilities, each (k,).
    """

    method: str
    kind: str
    classes: tuple[str, ...]
    knots: tuple[tuple[np.ndarray, np.ndarray], ...]
    fitted_on: FittedItems
    notes: tuple[str, ...] = ()

    def __call__(self, scores: Scores) -> Scores:
        """Probabilities of scores of the same kind and classes."""
        values = matching(scores, self.kind, self.classes, "the calibration")
        columns = [np.interp(values[:, c], *knots) for c, knots in enumerate(self.knots)]
        return _probabilities(np.stack(columns, axis=1), scores, self)

    def of_classes(self, classes: Sequence[str]) -> IsotonicCalibration:
        """The calibration of those of its classes that are among ``classes``."""
        kept = _places(self.classes, classes)
        labels = tuple(self.classes[c] for c in kept)
        return replace(self, classes=labels, knots=tuple(self.knots[c] for c in kept))


Calibration = LogisticCalibration | SoftmaxCalibration | IsotonicCalibration


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds(NotebookText):
    """Lowest scores at which classes are called present.

    Parameters
    ----------
    kind
        Kind of the scores.
    values : (c,)
        Threshold of each class, in the scores' unit; NaN for a class with too few items to choose one.
    low, high : (c,)
        Ends of the interval over resamples of patients; NaN where there is none.
    rule
        ``"youden"``, or ``"sensitivity"``, for which ``at`` is the share of positives to detect.
    """

    kind: str
    classes: tuple[str, ...]
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rule: str
    at: float | None
    fitted_on: FittedItems
    notes: tuple[str, ...] = ()

    def of_classes(self, classes: Sequence[str]) -> Thresholds:
        """The thresholds of those classes that are among ``classes``."""
        kept = _places(self.classes, classes)
        labels = tuple(self.classes[c] for c in kept)
        return replace(self, classes=labels, values=self.values[kept], low=self.low[kept], high=self.high[kept])

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Threshold of each class and the ends of its interval, ready for JSON; None where there is none."""
        ends = {"threshold": self.values, "low": self.low, "high": self.high}
        return {label: {name: values[c] for name, values in ends.items()} for c, label in enumerate(self.classes)}

    def decide(self, scores: Scores) -> np.ndarray:
        """Present classes as bool (n, c); a class without a threshold is never present."""
        values = matching(scores, self.kind, self.classes, "the thresholds")
        return np.asarray(values >= np.where(np.isnan(self.values), np.inf, self.values))

    def __str__(self) -> str:
        rule = self.rule if self.at is None else f"{self.rule} {self.at:g}"
        lines = [f"thresholds by {rule}, chosen on {self.fitted_on!r}; scores are of kind {self.kind}"]
        rows = []
        for label, value, low, high in zip(self.classes, self.values, self.low, self.high, strict=True):
            ends = "" if np.isnan(low) else f" [{low:.4g}, {high:.4g}]"
            chosen = "none: see the notes" if np.isnan(value) else f"{value:.4g}{ends}"
            rows.append((label, chosen))
        lines += text_table(rows, indent="  ")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True, eq=False)
class ConformalSets:
    """For each item and class the answers that cannot be ruled out: present, absent, either, or neither.

    Of one image drawn of each new patient with a class at most a share ``alpha`` gets a set without "present"; of one
    image drawn of each patient without it at most a share ``alpha`` gets one without "absent". That holds if these
    patients are like those it was fitted on. It does not hold of all images together, nor of all images of a patient.

    Parameters
    ----------
    alpha
        Share of errors allowed, in (0, 1).
    present_from : (c,)
        Lowest score that a present class may have; minus infinity where too few positives were seen.
    absent_to : (c,)
        Highest score that an absent class may have; infinity where too few negatives were seen.
    """

    kind: str
    classes: tuple[str, ...]
    alpha: float
    present_from: np.ndarray
    absent_to: np.ndarray
    fitted_on: FittedItems
    notes: tuple[str, ...] = ()

    def __call__(self, scores: Scores) -> np.ndarray:
        """``"present"``, ``"absent"``, ``"either"`` or ``"neither"`` (n, c) for scores of the same kind and classes."""
        values = matching(scores, self.kind, self.classes, "the conformal sets")
        may, may_not = values >= self.present_from, values <= self.absent_to
        return np.where(may & may_not, EITHER, np.where(may, PRESENT, np.where(may_not, ABSENT, NEITHER)))


def _probabilities(values: np.ndarray, scores: Scores, calibration: Calibration) -> Scores:
    """Probabilities (n, c) made of ``scores``, whose provenance names the calibration too."""
    known = scores.provenance
    origin = known and replace(known, calibration=f"{calibration.method}, fitted on {calibration.fitted_on!r}")
    return Scores(values, "probability", scores.ids, calibration.classes, origin)


def _places(classes: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Positions of the classes that are among ``wanted``; an error where none is."""
    kept = [c for c, label in enumerate(classes) if label in wanted]
    if not kept:
        raise InputError(f"none of the classes {', '.join(wanted)} is among {', '.join(classes)}. Name one of these.")
    return kept


def matching(scores: Scores, kind: str, classes: Sequence[str], what: str) -> np.ndarray:
    """The scores' values (n, c) in the order of ``classes``; other kinds and missing classes are refused."""
    check_decidable(scores)
    if scores.kind != kind:
        raise InputError(f"{what} read scores of kind {kind!r}; got {scores.kind!r}. Give scores of that kind.")
    return scores.of_classes(tuple(classes)).values


def sigmoid(values: Any) -> np.ndarray:
    """``1 / (1 + exp(-values))`` without overflow."""
    small = np.exp(-np.abs(values))  # the exponent is never positive, so that nothing overflows
    return np.asarray(np.where(values >= 0, 1 / (1 + small), small / (1 + small)))
