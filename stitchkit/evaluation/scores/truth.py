"""Labels that rows of scores are judged by, and scores in the order of their items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.items import rows_of
from stitchkit.core.patients import patient_of_each, patients_or_rows
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.wording import setting
from stitchkit.evaluation.scores.multiclass_measures import MulticlassMeasures
from stitchkit.metrics.auroc_intervals import AurocPulls
from stitchkit.metrics.average_precision_intervals import PrecisionPulls
from stitchkit.metrics.reliability import Misses


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Labels that rows are judged by: those of the judged classes, with ``multiclass`` the one class of each item."""

    test: Labels
    judged: list[str]
    only: np.ndarray | None  # (n,) position of the item's class among all
    parts: np.ndarray | None = None  # (n,) whose scores are comparable with whose; None: all with all
    not_calibrated: Sequence[str] = ()  # judged classes without probabilities

    @property
    def columns(self) -> Sequence[str]:
        """The classes whose scores are asked for: the judged ones, or all where the best of them counts."""
        return self.judged if self.only is None else self.test.classes

    @property
    def people(self) -> int:
        """Number of patients; of items where patients are not known."""
        return patients_or_rows(self.test.groups, len(self.test))

    @property
    def patients(self) -> np.ndarray:
        """Patient (n,) of each item; a number of its own where patients are not known."""
        return patient_of_each(self.test.groups, len(self.test))

    @property
    def calibrated(self) -> list[str]:
        """The judged classes whose scores may be probabilities."""
        return [label for label in self.judged if label not in self.not_calibrated]

    @classmethod
    def of(
        cls, test: Labels, judged: list[str], multiclass: bool, parts: np.ndarray | None = None,
        not_calibrated: Sequence[str] = (),
    ) -> Truth:  # fmt: skip
        if not multiclass:
            return cls(test=test, judged=judged, only=None, parts=parts, not_calibrated=not_calibrated)
        check_exclusive(test)
        return cls(test, judged, test.values.argmax(axis=1), parts)

    def pulls(self, values: np.ndarray) -> AurocPulls:
        """AUROC of the judged classes by scores (n, columns), and how far each patient moves it.

        With parts the pairs are of one part.
        """
        sides = [self._side(values, label) for label in self.judged]
        scores, labels = (np.stack(side, axis=1) for side in zip(*sides, strict=True))
        return AurocPulls.of(scores, labels, self.test.groups, self.parts)

    def precision(self, values: np.ndarray, ranks: AurocPulls) -> PrecisionPulls:
        """Average precision of the judged classes, and how far each patient moves it; ``ranks`` are :meth:`pulls`."""
        sides = [self._side(values, label) for label in self.judged]
        scores, labels = (np.stack(side, axis=1) for side in zip(*sides, strict=True))
        return PrecisionPulls.of(scores, labels, self.test.groups, ranks)

    def multiclass(self, values: np.ndarray) -> MulticlassMeasures | None:
        """The best-scored class of each item, with one class an item; else None."""
        if self.only is None:
            return None
        return MulticlassMeasures.of(values.argmax(axis=1), self.only, len(self.columns), self.patients)

    def misses(self, values: np.ndarray, kind: str) -> list[Misses]:
        """Probabilities of the calibrated classes binned, for the measures that are resampled; none of other scores."""
        return [Misses.of(*self._side(values, label)) for label in (self.calibrated if kind == "probability" else [])]

    def _side(self, values: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores and labels (n,) of one class, NaN where the label is not known."""
        return values[:, self.columns.index(label)], self.test.values[:, self.test.classes.index(label)]


def check_exclusive(test: Labels) -> None:
    """Raise unless every item has exactly one class."""
    odd = np.flatnonzero(~(test.values.sum(axis=1) == 1))  # NaN is unequal too
    if len(odd):
        raise DataError(
            f"{len(odd)} of {len(test)} items do not have exactly one class, {str(test.ids[odd[0]])!r} among them. "
            "Leave out " + setting("multiclass", text="multiclass") + ", or correct the labels."
        )


def in_order(scores: Scores, test: Labels, classes: Sequence[str], name: str) -> np.ndarray:
    """The row's scores (n, c) of ``classes`` in the order of the test's items."""
    rows = rows_of(test.ids, scores.ids, f"the scores called {name!r}")
    return np.asarray(scores.of_classes(tuple(classes)).values[rows])


def known_labels(test: Labels, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Mask (n,) of the items whose label of a class is known, and those labels."""
    column = test.values[:, test.classes.index(label)]
    known = ~np.isnan(column)
    return known, column[known]


def by_chance(test: Labels) -> Scores:
    """Each class's share among the test items, the same for every item: what is known without looking."""
    known = ~np.isnan(test.values)
    share = np.nansum(test.values, axis=0) / np.maximum(known.sum(axis=0), 1)
    return Scores(np.tile(share, (len(test), 1)), "probability", test.ids, test.classes)


def standardise_within(scores: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Scores (n, c) of several maps on one scale: each column to mean 0 and sd 1 within each part (n,)."""
    scaled = np.empty_like(scores)
    for part in np.unique(parts):
        rows = scores[parts == part]
        spread = rows.std(axis=0)
        varies = np.ptp(rows, axis=0) > 1e-12 * np.abs(rows).max(axis=0)  # else what is left is rounding
        scaled[parts == part] = np.where(varies, (rows - rows.mean(axis=0)) / np.where(varies, spread, 1), 0.0)
    return scaled
