"""Measures of the rows of a study: scores of classes, or ranks of true partners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.scores import Labels
from stitchkit.evaluation.scores.class_patients import ClassPatients, carriers, count_class_patients, judged_classes
from stitchkit.evaluation.scores.multiclass_measures import ACCURACY, BALANCED, F1
from stitchkit.evaluation.scores.results import AUROC, PRECISION
from stitchkit.evaluation.scores.truth import Truth
from stitchkit.metrics.auroc_intervals import AurocPulls
from stitchkit.metrics.average_precision_intervals import PrecisionPulls
from stitchkit.metrics.bootstrap import Interval, exact_at_ends, percentile_interval
from stitchkit.metrics.class_means import ClassMeans
from stitchkit.metrics.rankings import share
from stitchkit.metrics.tied_ranks import Ranks

RECALL, MAP = "recall@1", "mean_average_precision"
POINTING = ("pointing_by_words", "pointing_by_sentence", "pointing_chance")
PLACES = (1, 5, 10)
DIRECTIONS = ("source to target", "target to source")


class Judge(Protocol):
    """Measures of the cells of a kind of study.

    ``main`` is the measure that rows are compared by, a mean over ``columns``; ``positives`` counts those of each
    column that is a class, ``patients`` those who have it and lack it; ``not_judged`` gives the reasons of
    classes that cannot be judged.
    """

    @property
    def main(self) -> str: ...

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def not_judged(self) -> Mapping[str, str]: ...

    @property
    def positives(self) -> Mapping[str, int]: ...

    @property
    def patients(self) -> Mapping[str, ClassPatients]: ...

    def pulls(self, values: np.ndarray) -> AurocPulls | None:
        """The main measure of a cell's values (n, ...), where that is AUROC; None where it is resampled."""

    def shares(self, values: np.ndarray) -> Mapping[str, Share]:
        """Measures of a cell's values (n, ...) that are shares of items, or means of numbers in [0, 1]."""

    def means(self, values: np.ndarray) -> Mapping[str, PrecisionPulls | ClassMeans]:
        """Measures of a cell's values (n, ...) that are means over classes, with how far each patient moves them."""

    def carriers(self, measure: str) -> int:
        """Patients who carry the mean of a measure over columns: fewer than five give it no interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """A measure that is the mean over columns of ``sum(won) / sum(of)`` over the items, each (n, columns)."""

    won: np.ndarray
    of: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class ClassJudge:
    """Scores (n, classes) by AUROC, average precision and, where exactly one class applies, the best-scored class."""

    truth: Truth
    not_judged: Mapping[str, str]
    positives: Mapping[str, int]
    patients: Mapping[str, ClassPatients]
    main: str = AUROC

    @classmethod
    def of(cls, test: Labels, *, multiclass: bool, min_positives: int, folds: np.ndarray | None = None) -> ClassJudge:
        """The judge of items with labels; ``folds`` (n,) says which items were scored by one map.

        Scores of different maps are not comparable: pairs and rankings are of one fold.

        Raises
        ------
        DataError
            If no class has enough positive and negative patients, or, with ``multiclass``, an item has not exactly one.
        """
        judged, not_judged, positives = judged_classes(test, min_positives, folds)
        if not judged:
            few = next(iter(not_judged.values()), "there are no classes")
            raise DataError(
                f"no class can be judged ({few}). Lower min_positives in [judge]"
                + (", or take fewer folds." if folds is not None else ".")
            )
        patients = count_class_patients(test.of_classes(tuple(judged)), folds)
        return cls(Truth.of(test, judged, multiclass, folds), not_judged, positives, patients)

    @property
    def columns(self) -> Sequence[str]:
        """The judged classes."""
        return self.truth.judged

    def carriers(self, measure: str) -> int:
        """As :class:`Judge` says; of what is measured of all items at once all patients."""
        truth = self.truth
        return carriers(truth.test, truth.judged, truth.parts) if measure in (AUROC, PRECISION) else truth.people

    def pulls(self, values: np.ndarray) -> AurocPulls:
        """As :class:`Judge` says."""
        return self.truth.pulls(self._judged_columns(values))

    def means(self, values: np.ndarray) -> Mapping[str, PrecisionPulls | ClassMeans]:
        """As :class:`Judge` says: average precision, but of one map's scores alone; balanced accuracy and macro F1."""
        picked, means = self._judged_columns(values), dict[str, PrecisionPulls | ClassMeans]()
        if self.truth.parts is None:
            means[PRECISION] = self.truth.precision(picked, self.truth.pulls(picked))
        if (multiclass := self.truth.multiclass(picked)) is not None:
            means |= {BALANCED: multiclass.recall, F1: multiclass.f1}
        return means

    def shares(self, values: np.ndarray) -> Mapping[str, Share]:
        """As :class:`Judge` says: accuracy."""
        only = self.truth.only
        if only is None:
            return {}
        right = (self._judged_columns(values).argmax(axis=1) == only).astype(np.float64)[:, None]
        return {ACCURACY: Share(right, np.ones_like(right))}

    def _judged_columns(self, values: np.ndarray) -> np.ndarray:
        classes = self.truth.test.classes
        return values[:, [classes.index(label) for label in self.truth.columns]]


@dataclass(frozen=True, slots=True, eq=False)
class PairJudge:
    """Places (n, 2, 3) of each item's partner, both ways, by recall@k and mean reciprocal rank; NaN is skipped.

    A place is the numbers of candidates above, of candidates that score the same, and of right ones of that score.
    """

    people: int
    main: str = RECALL
    columns: Sequence[str] = DIRECTIONS
    not_judged: Mapping[str, str] = field(default_factory=dict)
    positives: Mapping[str, int] = field(default_factory=dict)
    patients: Mapping[str, ClassPatients] = field(default_factory=dict)

    def carriers(self, measure: str) -> int:
        """As :class:`Judge` says: all patients."""
        return self.people

    def pulls(self, values: np.ndarray) -> AurocPulls | None:
        """As :class:`Judge` says."""
        return None

    def means(self, values: np.ndarray) -> Mapping[str, PrecisionPulls | ClassMeans]:
        """As :class:`Judge` says: none."""
        return {}

    def shares(self, values: np.ndarray) -> Mapping[str, Share]:
        """As :class:`Judge` says: all measures."""
        ranks, of = _ranks(values)
        shares = {f"recall@{k}": Share(of * ranks.recall(k), of) for k in PLACES}
        return shares | {"mrr": Share(of * ranks.reciprocal, of)}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RankingJudge(PairJudge):
    """Place and average precision (n, 2, 4) of each query, both ways, by their means; NaN queries are skipped.

    Runs are resampled as well as patients. Recall is given at places up to a twentieth of the ``gallery``, beyond which
    chance finds most partners.
    """

    gallery: int
    main: str = MAP

    def measure(self, values: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Measures of a cell's values (n, ...) in resamples (b, n), each (b, columns)."""
        return {name: share(counts @ one.won, counts @ one.of) for name, one in self.shares(values).items()}

    def interval(self, value: float, draws: np.ndarray) -> Interval:
        """A value with its interval from resamples (b,); at 0 and 1 as wide as so many patients allow."""
        return exact_at_ends(percentile_interval(value, draws), self.people)

    def shares(self, values: np.ndarray) -> Mapping[str, Share]:
        """As :class:`Judge` says: all measures."""
        (ranks, of), precision = _ranks(values[..., :-1]), values[..., -1]
        places = [k for k in PLACES if k == 1 or k <= self.gallery / 20]
        shares = {MAP: Share(np.nan_to_num(precision), of)}
        return shares | {f"recall@{k}": Share(of * ranks.recall(k), of) for k in places}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ObjectiveJudge(RankingJudge):
    """Rankings as :class:`RankingJudge` has them, and behind them hits of sentences about each item (n, 2, 4 + 4).

    The four are sums over an item's sentences, the same for both ways: hits of the best patch by words, and by the
    sentence's vector, chance of a random patch, and the number of sentences.

    ``pointed`` is the number of patients with such sentences.
    """

    pointed: int = 0

    def carriers(self, measure: str) -> int:
        """As :class:`Judge` says: all patients, or those with sentences."""
        return self.pointed if measure in POINTING else self.people

    def shares(self, values: np.ndarray) -> Mapping[str, Share]:
        """As :class:`Judge` says: all measures."""
        ranked = RankingJudge.shares(self, values[..., :4])
        if values.shape[-1] == 4:
            return ranked
        *won, of = np.moveaxis(values[..., 4:], -1, 0)
        return {**ranked, **{name: Share(one, of) for name, one in zip(POINTING, won, strict=True)}}


def places(ranks: Ranks) -> np.ndarray:
    """Values (..., 3) of a cell: for each rank the candidates above, those that score the same, and the right ones."""
    return np.stack([ranks.above, ranks.equal, ranks.right], axis=-1).astype(np.float64)


def _ranks(values: np.ndarray) -> tuple[Ranks, np.ndarray]:
    """Ranks (n, 2) of a cell's places, and 1 for queries, 0 for what is skipped, (n, 2).

    Cells of earlier versions hold one rank a query, (n, 2) or (n, 2, 1), with equal scores in an order that was drawn.
    """
    if values.ndim == 2 or values.shape[-1] == 1:
        rank = values.reshape(len(values), 2)
        values = np.stack([rank - 1, np.zeros_like(rank), np.ones_like(rank)], axis=-1)
    known = ~np.isnan(values[..., 0])
    above, equal, right = np.moveaxis(np.where(known[..., None], values, [0, 0, 1]), -1, 0)
    return Ranks.of(above, equal, right), known.astype(np.float64)
