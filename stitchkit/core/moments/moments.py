"""Moments of anchor pairs: counts, means and centred scatters, in one pass, mergeable and subtractable.

They hold all that least squares, the ridge path, orthogonal maps and CSA need, and the fold maps of
cross-validation: folds are left out by ADDING the others, which loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, namespace, take
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.evidence import Evidence as Evidence
from stitchkit.core.moments.chunks import CHUNK as CHUNK
from stitchkit.core.moments.chunks import PairedRows, check_chunk, check_fits, checked_labels, stream_item
from stitchkit.core.moments.chunks import check_paired as check_paired
from stitchkit.core.moments.resolution import warn_of_rounding
from stitchkit.core.moments.scatter import Buffer, Scatter, two_sum
from stitchkit.core.moments.subtraction import difference
from stitchkit.core.moments.subtraction import subtraction_loss as subtraction_loss
from stitchkit.core.space import Space

PRECISIONS = ("exact", "fast")
LARGEST = 1e154  # whose square float64 holds


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Moments:
    """Sums over n pairs of a source row x (d_s,) and a target row y (d_t,), in float64.

    Parameters
    ----------
    count
        Number of pairs; with weights, of those whose weight is above zero.
    mean_s : (d_s,), mean_t : (d_t,)
        Weighted means, where there are weights.
    scatter_ss : (d_s, d_s), scatter_st : (d_s, d_t), scatter_tt : (d_t, d_t)
        Centred scatters: (weighted) sums, not divided by n.
    source, target
        The spaces of the rows.
    weight
        Sum of the pairs' weights; left out it is ``count``, a weight of one each. What a mean shift multiplies and a
        mean divides; degrees of freedom come from ``count``.
    tail_s : (d_s,), tail_t : (d_t,)
        Rounding errors of the means, so that moments far from the origin merge exactly; left out zero.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(10, 3))
    >>> whole, parts = Moments.of(rows, rows), Moments.of(rows[:4], rows[:4]) + Moments.of(rows[4:], rows[4:])
    >>> bool(np.allclose(whole.scatter_st, parts.scatter_st, atol=1e-12))
    True
    """

    count: int
    mean_s: Array
    mean_t: Array
    scatter_ss: Array
    scatter_st: Array
    scatter_tt: Array
    source: Space
    target: Space
    weight: float = 0.0
    tail_s: Array = None
    tail_t: Array = None

    def __repr__(self) -> str:
        """Number of pairs and both spaces, in one line."""
        ends = [f"{space.name!r} ({space.dim})" for space in (self.source, self.target)]
        return f"Moments({self.count} pairs, weight {self.weight:g}, {' and '.join(ends)})"

    def __post_init__(self) -> None:
        d_s, d_t = self.shape
        wanted = ((d_s,), (d_t,), (d_s, d_s), (d_s, d_t), (d_t, d_t))
        parts = (self.mean_s, self.mean_t, self.scatter_ss, self.scatter_st, self.scatter_tt)
        shapes = tuple(tuple(part.shape) for part in parts)
        if shapes != wanted:
            raise InputError(f"moments of ({d_s}, {d_t}) wide rows need arrays of shapes {wanted}; got {shapes}.")
        if self.count < 1:
            raise InputError(f"moments are of at least one pair; got count {self.count}.")
        if self.weight == 0:
            object.__setattr__(self, "weight", float(self.count))
        for name, mean in (("tail_s", self.mean_s), ("tail_t", self.mean_t)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, namespace(mean).zeros_like(mean))

    @classmethod
    def of(cls, x: Any, y: Any, weights: Any = None, *, precision: str = "exact", chunk: int = CHUNK) -> Moments:
        """Moments of paired rows ``x`` (n, d_s) and ``y`` (n, d_t), arrays, memory maps or embeddings.

        One chunk of rows is in memory at a time, as float64.

        Parameters
        ----------
        weights : (n,), optional
            0 or more: how often each pair counts. Whole numbers give the sums of repeated rows.
        precision
            ``"exact"``: float64 products; as good as float64 allows, however far from the origin. ``"fast"``: where
            both sides are float32 or narrower, float32 products of centred chunks added up in float64, with a
            relative error of a few 1e-7 (1e-6 at mean/sd 1e6); anything else is exact.
        chunk
            Rows taken at once.

        Raises
        ------
        InputError
            If the numbers of rows differ, or the ids of two embeddings (rows are read as they stand); for NaN,
            infinity or zero rows (naming the first), or for weights that are negative, not finite, of another
            length, or all zero.

        Warns
        -----
        UserWarning
            If a column of float32, float16 or bfloat16 input lies so far from zero that rounding to that precision
            made more than 1 % of its variance (mean/sd above 3e6, 360 or 45): those digits were lost before.

        Examples
        --------
        >>> import numpy as np
        >>> x, y = np.array([[1.0], [2.0], [4.0]]), np.array([[0.5], [1.0], [3.0]])
        >>> once, twice = Moments.of(x, y, weights=[1, 1, 2]), Moments.of(x[[0, 1, 2, 2]], y[[0, 1, 2, 2]])
        >>> bool(np.allclose(once.scatter_st, twice.scatter_st)), once.count, once.weight
        (True, 3, 4.0)
        """
        _check_settings(precision, chunk)
        pairs, scatter = PairedRows.of(x, y, weights), Scatter(precision)
        check_paired(len(pairs), len(pairs), least=1)
        pairs.feed(scatter, chunk)
        moments = _moments(scatter, pairs, "all weights are")
        warn_of_rounding(moments, (pairs.x, pairs.y))
        return moments

    @classmethod
    def of_chunks(cls, chunks: Iterable[Any], *, precision: str = "exact", chunk: int = CHUNK) -> Moments:
        """Moments of a stream, which is read once: each item is ``(x, y)`` or ``(x, y, weights)`` as for :meth:`of`.

        Chunks may have different numbers of rows, none included, but must be of one library, width and space.
        Items and rows are counted from 0 in errors.

        Parameters
        ----------
        chunk
            Rows taken at once of an item that has more.

        Raises
        ------
        InputError
            For a stream without pairs, an item that is no such tuple or does not fit the first, and as :meth:`of`.

        Examples
        --------
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(10, 3))
        >>> stream = ((rows[i : i + 4], rows[i : i + 4]) for i in range(0, 10, 4))
        >>> Moments.of_chunks(stream).count
        10
        """
        _check_settings(precision, chunk)
        if not isinstance(chunks, Iterable):
            raise InputError(f"a stream of chunks is an iterable of (x, y); got a {type(chunks).__name__}.")
        scatter, first = Scatter(precision), None
        for i, item in enumerate(chunks):
            pairs = PairedRows.of(*stream_item(item, i), at=f" of chunk {i}")
            if first is None:
                first = pairs
            else:
                check_fits(pairs, first, i)
            pairs.feed(scatter, chunk)
        if first is None:
            raise InputError("the stream holds no chunk. Was it read before? Give a fresh iterator.")
        moments = _moments(scatter, first, "every chunk is empty or has weights")
        warn_of_rounding(moments, (first.x, first.y))
        return moments

    @property
    def shape(self) -> tuple[int, int]:
        """The widths (d_s, d_t)."""
        return self.source.dim, self.target.dim

    @property
    def spread_s(self) -> Array:
        """Diagonal (d_s,) of the source scatter."""
        return namespace(self.scatter_ss).linalg.diagonal(self.scatter_ss)

    @property
    def spread_t(self) -> Array:
        """Diagonal (d_t,) of the target scatter."""
        return namespace(self.scatter_tt).linalg.diagonal(self.scatter_tt)

    def __add__(self, other: Moments) -> Moments:
        """Moments of both sets of pairs together; exact to a few units of the last place."""
        if not isinstance(other, Moments):
            return NotImplemented
        self.require_same_spaces(other)
        weight, outer = self.weight + other.weight, namespace(self.scatter_st, other.scatter_st).linalg.outer
        step_s, step_t = self.steps_to(other)
        share, between = other.weight / weight, self.weight * (other.weight / weight)
        if not all(float(namespace(step).max(abs(step))) * between**0.5 < LARGEST for step in (step_s, step_t)):
            raise InputError(
                f"the means of {self.count} and {other.count} pairs lie so far apart that their squares overflow. "
                f"Divide the vectors by their size."
            )
        mean_s, tail_s = two_sum(self.mean_s, self.tail_s + share * step_s)
        mean_t, tail_t = two_sum(self.mean_t, self.tail_t + share * step_t)
        return Moments(
            self.count + other.count,
            mean_s,
            mean_t,
            self.scatter_ss + other.scatter_ss + between * outer(step_s, step_s),
            self.scatter_st + other.scatter_st + between * outer(step_s, step_t),
            self.scatter_tt + other.scatter_tt + between * outer(step_t, step_t),
            self.source,
            self.target,
            weight,
            tail_s,
            tail_t,
        )

    def __sub__(self, part: Moments) -> Moments:
        """Moments without ``part``, for withdrawals. Warns when more than four digits are lost, refuses at eight.

        Also warns of columns in which only rounding errors remain; they count as constant.

        The error of a scatter entry grows with total / remaining scatter of its column (mean displacement
        included), see :func:`subtraction_loss`; for folds add the others instead. A part that was never in the sum
        is refused where the remainder shows it.
        """
        return difference(self, part)

    def __radd__(self, other: Any) -> Moments:
        """``sum`` starts at 0, which adds nothing."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def steps_to(self, other: Moments) -> tuple[Array, Array]:
        """Differences of the means, ``other`` minus this one, (d_s,) and (d_t,), to all digits."""
        return (
            (other.mean_s - self.mean_s) + (other.tail_s - self.tail_s),
            (other.mean_t - self.mean_t) + (other.tail_t - self.tail_t),
        )

    def require_same_spaces(self, other: Moments) -> None:
        """Raise unless ``other`` is of pairs of the same two spaces."""
        self.source.require(other.source, "these moments (source side)")
        self.target.require(other.target, "these moments (target side)")


def total(parts: Iterable[Moments]) -> Moments:
    """The sum of at least one set of moments."""
    some = iter(parts)
    first = next(some, None)
    if first is None:
        raise InputError("there are no moments to add. Give at least one set.")
    return reduce(Moments.__add__, some, first)


def moments_by(
    x: Any, y: Any, labels: Any, *, weights: Any = None, precision: str = "exact", chunk: int = CHUNK
) -> list[Moments]:
    """The moments of each of k disjoint sets of pairs, in one pass over the rows: folds, or sites to leave out.

    Their sum is ``Moments.of(x, y)``; everything but one set comes from adding the others.

    Parameters
    ----------
    labels : (n,) int
        The set of each pair, 0 to k - 1, each at least once; ``np.unique(names, return_inverse=True)[1]`` makes
        such labels of names.
    weights, precision, chunk
        As for :meth:`Moments.of`.

    Raises
    ------
    InputError
        For labels that are not such numbers, for a set whose weights are all zero, and as :meth:`Moments.of`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(5, 3))
    >>> [part.count for part in moments_by(rows, rows, [0, 1, 0, 2, 0])]
    [3, 1, 1]
    """
    _check_settings(precision, chunk)
    pairs, buffer = PairedRows.of(x, y, weights), Buffer()
    check_paired(len(pairs), len(pairs), least=1)
    of_row = checked_labels(labels, len(pairs))
    scatters = [Scatter(precision, buffer) for _ in range(int(of_row.max()) + 1)]
    for start in range(0, len(pairs), chunk):
        stop = min(start + chunk, len(pairs))
        a, b, w = pairs.read(start, stop)
        order = np.argsort(of_row[start:stop], kind="stable")
        ends = np.searchsorted(of_row[start:stop], np.arange(len(scatters) + 1), sorter=order)
        for scatter, (low, high) in zip(scatters, pairwise(ends), strict=True):
            some = order[low:high]
            if some.size and not scatter.add(take(a, some), take(b, some), None if w is None else w[some]):
                pairs.refuse(start, stop)
    sets = [_moments(scatter, pairs, f"set {i} has weights") for i, scatter in enumerate(scatters)]
    warn_of_rounding(total(sets), (pairs.x, pairs.y))
    return sets


def _check_settings(precision: str, chunk: int) -> None:
    if precision not in PRECISIONS:
        raise UnknownNameError.of("precision", precision, PRECISIONS)
    check_chunk(chunk)


def _moments(scatter: Scatter, pairs: PairedRows, lightest: str) -> Moments:
    if scatter.count == 0:
        raise InputError(f"{lightest} zero, so there is no pair to count. Give some pair a weight above zero.")
    sums, d = scatter.sums(), pairs.x.space.dim
    return Moments(
        sums.pairs,
        sums.mean[:d],
        sums.mean[d:],
        sums.scatter[:d, :d],
        sums.scatter[:d, d:],
        sums.scatter[d:, d:],
        pairs.x.space,
        pairs.y.space,
        sums.weight,
        sums.tail[:d],
        sums.tail[d:],
    )
