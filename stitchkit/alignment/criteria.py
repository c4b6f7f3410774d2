"""Criteria for held-out pairs: the rank of the true target, or the error of the directed map.

A criterion scores every strength of a draft, for the choice within a path, and measures the held-out pairs at one
strength. The measures of all folds together give one entry a pair, whose mean is the criterion's value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from stitchkit.alignment.folds import Fold
from stitchkit.alignment.rules import along_path, standard_error
from stitchkit.core.arrays import Array, namespace, take, to_numpy
from stitchkit.metrics.ranks import pair_ranks
from stitchkit.solvers.drafts import Draft

FEW_TARGETS = 20  # distinct targets, or classes, below which margins are judged and not ranks
MOST = 0.95  # largest share in a sum that the correction for leverage uses: at 1 it would divide by zero
RARE = 8  # anchors of a target from which it has full weight; below, a few items would decide


class Criterion(Protocol):
    """Scores of strengths, and measures of held-out pairs."""

    name: str  # in the record
    curve_name: str
    words: str
    ranks: bool  # True where pairs are ranked, so that chance is that of shuffled pairs
    beside: int  # last rows of a fold's gallery that are no anchor's target

    def curve(self, draft: Draft, fold: Fold) -> np.ndarray:
        """Scores of one split, (strengths, ...); d' and agreement compare tracks of a family, R2 those of one scale."""
        ...

    def strength(self, curves: Sequence[np.ndarray], repeat: np.ndarray, clusters: Sequence[np.ndarray]) -> int:
        """Position on the path: the best, or a stronger regularisation within one standard error of it.

        Parameters
        ----------
        curves
            Scores of each split.
        repeat : (splits,)
            Assignment of folds of each split.
        clusters
            Patients of the queries of each split.
        """
        ...

    def score(self, curves: Sequence[np.ndarray], at: int) -> float:
        """The path's criterion at strength ``at``."""
        ...

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        """Measures (q, p) of the fold's queries at strength ``at``."""
        ...

    def pool(self, measures: Sequence[np.ndarray]) -> np.ndarray:
        """Measures (n, p) of splits that are each judged by a map of their own."""
        ...

    def entries(self, measures: np.ndarray) -> np.ndarray:
        """One entry (n,) a query of pooled measures (n, p); their mean is the value."""
        ...

    def error(self, measures: np.ndarray, clusters: np.ndarray) -> float:
        """Standard error of the value of pooled measures (n, p) over ``clusters`` (n,), the maps taken as given."""
        ...

    def by_chance(self, measures: np.ndarray) -> np.ndarray:
        """Entries (n,) of pairs shuffled within a fold, where pairs are not ranked."""
        ...


class _PerSplit(ABC):
    """Criteria that give each strength one number a split."""

    beside = 0

    def strength(self, curves: Sequence[np.ndarray], repeat: np.ndarray, clusters: Sequence[np.ndarray]) -> int:
        return along_path(np.asarray(curves), repeat)

    def score(self, curves: Sequence[np.ndarray], at: int) -> float:
        return float(np.mean([curve[at] for curve in curves]))

    def pool(self, measures: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(measures)

    @abstractmethod
    def entries(self, measures: np.ndarray) -> np.ndarray:
        """One entry (n,) a query of pooled measures (n, p); their mean is the value."""

    def error(self, measures: np.ndarray, clusters: np.ndarray) -> float:
        return standard_error(self.entries(measures), clusters)

    def by_chance(self, measures: np.ndarray) -> np.ndarray:
        return np.zeros(len(measures))


class ReciprocalRank(_PerSplit):
    """Mean reciprocal rank of the true target among the distinct targets of a fold."""

    name, curve_name, words, ranks = "mrr", "separation", "held-out mean reciprocal rank", True

    def curve(self, draft: Draft, fold: Fold) -> np.ndarray:
        return np.asarray(draft.separation())

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        return pair_ranks(*draft.sides(at, weights), fold.truth).reciprocal[:, None]

    def entries(self, measures: np.ndarray) -> np.ndarray:
        ranks: np.ndarray = measures[:, 0]
        return ranks


class BalancedReciprocalRank(ReciprocalRank):
    """Mean reciprocal rank of each distinct target, averaged over targets: where few targets have many queries each."""

    name, words = "balanced_mrr", "held-out mean reciprocal rank, averaged over the distinct targets"

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        return np.column_stack([super().measures(draft, at, weights, fold), fold.target])

    def entries(self, measures: np.ndarray) -> np.ndarray:
        return balanced_entries(measures[:, 0], measures[:, 1])


class Margin(ReciprocalRank):
    """Margins between few distinct targets: the correlation of similarities with the indicator of the true target.

    Both are taken about their mean over the targets. Targets count alike, but for those of few anchors. Ranks among two
    to some targets say little more than right or wrong; a margin also says by how much.

    Parameters
    ----------
    targets : (n,)
        Number of each judged anchor's target.
    """

    name, words = "margin", "margin between the distinct targets of held-out anchors, averaged over targets"

    def __init__(self, targets: np.ndarray) -> None:
        self.weights = weights_of_kinds(targets)

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        """Margin, squared length and weight of each query, (q, 3)."""
        one_direction = draft.rank(at) == 1  # angles would be signs
        queries, gallery = draft.rows(at) if one_direction else draft.sides(at, weights)
        scores = to_numpy(queries).astype(np.float64) @ to_numpy(gallery).astype(np.float64).T
        return np.column_stack([margins(scores, fold.truth), self.weights[fold.target]])

    def entries(self, measures: np.ndarray) -> np.ndarray:
        return margin_entries(*measures.T)


def weights_of_kinds(kinds: np.ndarray) -> np.ndarray:
    """Weight of an item of each kind, by its number: kinds of at least ``RARE`` items count alike, rarer ones less."""
    return 1 / np.maximum(np.bincount(kinds), RARE)


def margins(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The true column's score above the mean of all columns, and the squared length of the row about it: (q, 2).

    Parameters
    ----------
    scores : (q, k)
    truth : (q,)
        Column of each row's true answer.
    """
    apart = scores - scores.mean(axis=1, keepdims=True)
    longest = (1 - 1 / apart.shape[1]) ** 0.5  # of a row of length one that points at the truth
    return np.column_stack([apart[np.arange(len(apart)), truth] / longest, np.sum(apart * apart, axis=1)])


def margin_entries(margin: np.ndarray, square: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Entries (n,) whose mean is the weighted correlation of scores with the truth; linear in each item's part."""
    shares = weights / weights.mean()
    size = float(np.mean(shares * square))
    if size <= 0:
        return np.zeros(len(margin))
    apart = margin / size**0.5
    value = float(np.mean(shares * apart))
    entries: np.ndarray = value + shares * (apart - value - value * (square / size - 1) / 2)
    return entries


def balanced_entries(values: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Entries (n,) whose mean is the mean over ``kinds`` (n,) of the mean of ``values`` (n,) of each kind.

    They are linear in each value's part, so that their spread is that of the mean of means.
    """
    _, of_entry, many = np.unique(kinds, return_inverse=True, return_counts=True)
    of_entry = of_entry.reshape(-1)
    means = np.bincount(of_entry, weights=values) / many
    share = len(values) / (len(many) * many[of_entry])
    entries: np.ndarray = means.mean() + share * (values - means[of_entry])
    return entries


class ExplainedVariance(_PerSplit):
    """R2 of the directed map, in the target's units.

    Parameters
    ----------
    target : (n, d_t)
        The raw target vectors of all anchors.
    """

    name, curve_name, words, ranks = "r2", "r2", "held-out R2", False

    def __init__(self, target: Array) -> None:
        self.target = target

    def curve(self, draft: Draft, fold: Fold) -> np.ndarray:
        return np.asarray(draft.held_out_r2())

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        axes, predicted = draft.axes, draft.predictions(at)
        if axes.scale == "both":  # the axes are of scaled targets
            rows, mean = axes.lower()
            predicted = to_numpy(predicted @ namespace(predicted).astype(rows, predicted.dtype, copy=False))
            true = to_numpy(take(self.target, fold.queries)).astype(np.float64) - to_numpy(mean)
            return np.stack([np.sum((true - predicted) ** 2, axis=1), np.sum(true**2, axis=1)], axis=1)
        xp, true, beyond = namespace(predicted), axes.targets, take(axes.outside, fold.truth)
        error, whole = xp.sum((predicted - true) ** 2, axis=1), xp.sum(true * true, axis=1)
        return np.stack([to_numpy(error + beyond), to_numpy(whole + beyond)], axis=1).astype(np.float64)

    def entries(self, measures: np.ndarray) -> np.ndarray:
        error, whole = measures.T
        share = error.sum() / whole.sum() if whole.sum() > 0 else 1.0
        linear: np.ndarray = 1 - share - (error - share * whole) / (whole.mean() or 1.0)
        return linear  # the ratio of two means, linear in each query's part

    def error(self, measures: np.ndarray, clusters: np.ndarray) -> float:
        """Standard error of the ratio; a patient's part is divided by one minus the larger of his shares in the sums.

        As for residuals of high leverage: with heavy tails a few patients carry both sums, and draw the ratio to
        themselves.
        """
        _, owner = np.unique(clusters, return_inverse=True)
        error, whole = (np.bincount(owner.reshape(-1), weights=one) for one in measures.T)
        if len(error) < 2 or not (error.sum() > 0 and whole.sum() > 0):
            return 0.0
        parts = (error - error.sum() / whole.sum() * whole) / whole.sum()
        share = np.minimum(np.maximum(error / error.sum(), whole / whole.sum()), MOST)
        return float(np.sqrt(np.sum((parts / (1 - share)) ** 2)))
