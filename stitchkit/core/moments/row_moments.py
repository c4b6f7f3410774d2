"""Moments of few pairs in wide spaces: they keep the rows, and compute a scatter on demand.

Forty pairs of 2,000 wide vectors are 1 MB; their scatters are 100 MB, and cross-validation holds dozens of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

from stitchkit.core.arrays import Array, float64, namespace
from stitchkit.core.moments.moments import Moments
from stitchkit.core.space import Space


@dataclass(frozen=True, eq=False)
class RowMoments:
    """The interface of :class:`~stitchkit.core.moments.moments.Moments` over rows; scatters are computed on demand.

    Parameters
    ----------
    x : (n, d_s), y : (n, d_t)
        Paired rows, each of weight one.
    source, target
        Their spaces.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(4, 9))
    >>> few = RowMoments(rows[:2], rows[:2], Space("a", 9), Space("a", 9))
    >>> both = few + RowMoments(rows[2:], rows[2:], few.source, few.target)
    >>> bool(np.allclose(both.scatter_st, Moments.of(rows, rows).scatter_st)), both.count
    (True, 4)
    """

    x: Array
    y: Array
    source: Space
    target: Space

    @property
    def count(self) -> int:
        """Number of pairs."""
        return int(self.x.shape[0])

    @property
    def weight(self) -> float:
        """Sum of the pairs' weights."""
        return float(self.count)

    @property
    def shape(self) -> tuple[int, int]:
        """The widths (d_s, d_t)."""
        return self.source.dim, self.target.dim

    @property
    def rows(self) -> tuple[Array, Array]:
        """Both sides' rows."""
        return self.x, self.y

    @cached_property
    def mean_s(self) -> Array:
        """Mean (d_s,) of the source rows."""
        return _mean(self.x)

    @cached_property
    def mean_t(self) -> Array:
        """Mean (d_t,) of the target rows."""
        return _mean(self.y)

    @cached_property
    def spread_s(self) -> Array:
        """Diagonal (d_s,) of the source scatter."""
        return _spread(self.x, self.mean_s)

    @cached_property
    def spread_t(self) -> Array:
        """Diagonal (d_t,) of the target scatter."""
        return _spread(self.y, self.mean_t)

    @cached_property
    def whole(self) -> Moments:
        """The moments with all scatters."""
        return Moments.of(self.x, self.y)

    @property
    def scatter_ss(self) -> Array:
        """Source scatter (d_s, d_s)."""
        return self.whole.scatter_ss

    @property
    def scatter_st(self) -> Array:
        """Cross scatter (d_s, d_t)."""
        return self.whole.scatter_st

    @property
    def scatter_tt(self) -> Array:
        """Target scatter (d_t, d_t)."""
        return self.whole.scatter_tt

    def __add__(self, other: RowMoments) -> RowMoments:
        """Moments of both sets of pairs together."""
        xp = namespace(self.x, other.x)
        x, y = xp.concat([self.x, other.x], axis=0), xp.concat([self.y, other.y], axis=0)
        return RowMoments(x, y, self.source, self.target)


def together(parts: Sequence[Moments | RowMoments]) -> Moments | RowMoments:
    """The sum of at least one set of moments, all of one kind."""
    sums: Moments | RowMoments = reduce(add, parts)
    return sums


def _mean(rows: Array) -> Array:
    near = float64(rows[0, :])  # far from the origin a plain mean loses digits
    return near + namespace(rows).mean(float64(rows) - near, axis=0)


def _spread(rows: Array, mean: Array) -> Array:
    xp = namespace(rows)
    about = float64(rows) - mean
    about = about - xp.mean(about, axis=0)  # what rounding took from the mean
    return xp.sum(about * about, axis=0)
