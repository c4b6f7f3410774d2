"""What held-out pairs are judged by: the rank of the true target, or the error of the directed map.

A criterion scores every strength of a draft, for the choice within a path, and measures the held-out pairs at one
strength. The measures of all folds together give one entry a pair, whose mean is the criterion's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from stitchkit.alignment.folds import Fold
from stitchkit.alignment.rules import along_path
from stitchkit.core.arrays import namespace, take, to_numpy
from stitchkit.metrics.ranks import pair_ranks
from stitchkit.solvers.drafts import Draft


class Criterion(Protocol):
    """Scores of strengths, and measures of held-out pairs."""

    name: str  # in the record
    curve_name: str
    words: str
    ranks: bool  # whether pairs are ranked, so that shuffled pairs have a chance of their own

    def curve(self, draft: Draft, fold: Fold) -> np.ndarray:
        """What :meth:`strength` reads of one split, (strengths, ...); comparable within one track only."""
        ...

    def strength(self, curves: Sequence[np.ndarray], repeat: np.ndarray, clusters: Sequence[np.ndarray]) -> int:
        """Position on the path: the best, or a stronger regularisation within one standard error of it.

        Parameters
        ----------
        curves
            Of each split.
        repeat : (splits,)
            The assignment of folds that a split belongs to.
        clusters
            Of each split, the patients of its queries.
        """
        ...

    def score(self, curves: Sequence[np.ndarray], at: int) -> float:
        """The path's criterion at strength ``at``."""
        ...

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        """Measures (q, p) of the fold's queries at strength ``at``."""
        ...

    def entries(self, measures: np.ndarray) -> np.ndarray:
        """One entry (n,) a query of pooled measures (n, p); their mean is the value."""
        ...


class _PerSplit:
    """Criteria that give each strength one number a split."""

    def strength(self, curves: Sequence[np.ndarray], repeat: np.ndarray, clusters: Sequence[np.ndarray]) -> int:
        return along_path(np.asarray(curves), repeat)

    def score(self, curves: Sequence[np.ndarray], at: int) -> float:
        return float(np.mean([curve[at] for curve in curves]))


class ReciprocalRank(_PerSplit):
    """Mean reciprocal rank of the true target among the distinct targets of a fold."""

    name, curve_name, words, ranks = "mrr", "separation", "held-out mean reciprocal rank", True

    def curve(self, draft: Draft, fold: Fold) -> np.ndarray:
        return np.asarray(draft.separation())

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        return 1 / pair_ranks(*draft.sides(at, weights), fold.truth)[:, None]

    def entries(self, measures: np.ndarray) -> np.ndarray:
        ranks: np.ndarray = measures[:, 0]
        return ranks


class BalancedReciprocalRank(ReciprocalRank):
    """Mean reciprocal rank of each distinct target, averaged over targets: where few targets have many queries each."""

    name, words = "balanced_mrr", "held-out mean reciprocal rank, averaged over the distinct targets"

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        return np.column_stack([super().measures(draft, at, weights, fold), fold.target])

    def entries(self, measures: np.ndarray) -> np.ndarray:
        _, of_entry, many = np.unique(measures[:, 1], return_inverse=True, return_counts=True)
        entries: np.ndarray = measures[:, 0] * len(measures) / (len(many) * many[of_entry.reshape(-1)])
        return entries


class Explained(_PerSplit):
    """R2 of the directed map, in the target's units."""

    name, curve_name, words, ranks = "r2", "r2", "held-out R2", False

    def curve(self, draft: Draft, fold: Fold) -> np.ndarray:
        return np.asarray(draft.explained())

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        axes, found = draft.axes, draft.predicted(at)
        xp, wanted, beyond = namespace(found), axes.targets, take(axes.outside, fold.truth)
        if axes.scale == "both":
            rows = xp.astype(axes.lower()[0], found.dtype, copy=False)
            found, wanted = found @ rows, wanted @ rows
        error, whole = xp.sum((found - wanted) ** 2, axis=1), xp.sum(wanted * wanted, axis=1)
        return np.stack([to_numpy(error + beyond), to_numpy(whole + beyond)], axis=1).astype(np.float64)

    def entries(self, measures: np.ndarray) -> np.ndarray:
        error, whole = measures.T
        share = error.sum() / whole.sum() if whole.sum() > 0 else 1.0
        linear: np.ndarray = 1 - share - (error - share * whole) / (whole.mean() or 1.0)
        return linear  # the ratio of two means, linear in each query's part
