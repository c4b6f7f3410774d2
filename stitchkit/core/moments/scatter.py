"""Sums over chunks of paired rows, in one pass: count, weight, mean and centred scatter of the joined rows [x y].

Each chunk is shifted by a point near its own middle, multiplied with itself once, and corrected to its exact mean by
a rank-one term; its mean is merged into the running one the same way. Neither a far origin nor sorted rows lose
digits so, and the corrections cost d x d a chunk, not n x d.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import array_api_compat as compat
import numpy as np

from stitchkit.core.arrays import Array, device_of, float64, like, namespace, take, working_float

SAMPLE = 256  # rows that say where a chunk lies
SMALLEST = 1e-31  # square that float32 holds to all its digits
BLOCKS, BLOCK_WIDTH = 6, 64  # at most so many blocks of columns, none narrower


class Sums(NamedTuple):
    """Sums of a :class:`Scatter` over joined rows of width d = d_s + d_t.

    ``mean + tail`` is the mean to twice the digits of float64, for two means of 1e8 can differ by less than the
    rounding of ``mean``.
    """

    pairs: int  # of weight above zero
    weight: float
    mean: Array  # (d,)
    tail: Array  # (d,)
    scatter: Array  # (d, d), symmetric


class Buffer:
    """Memory for one chunk of joined rows, used again for the next; scatters of several groups may share it."""

    def __init__(self) -> None:
        self._held: Array = None

    def fill(self, x: Array, y: Array, center: Array, dtype: object) -> Array:
        """``[x y] - center`` (m, d_s + d_t) in ``dtype``; valid until the next call."""
        xp, m, split = namespace(x, y), int(x.shape[0]), int(x.shape[1])
        width = split + int(y.shape[1])
        center = xp.astype(center, dtype, copy=False)
        if not (isinstance(x, np.ndarray) or compat.is_torch_array(x) or compat.is_cupy_array(x)):
            # elsewhere a slice need not be a view, so that nothing could be written through it
            return xp.concat([xp.astype(x, dtype), xp.astype(y, dtype)], axis=1) - center
        held = self._held
        if held is None or held.shape[0] < m or held.shape[1] != width or held.dtype != dtype:
            held = self._held = xp.empty((m, width), dtype=dtype, device=device_of(x))
        rows = held[:m, :]
        if isinstance(x, np.ndarray):  # numpy casts columns out of a wider array ten times slower than copies of them
            x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        rows[:, :split], rows[:, split:] = x, y  # casts chunk by chunk: never the whole array
        rows -= center
        return rows


class Scatter:
    """Adds chunks of pairs up.

    Parameters
    ----------
    precision
        ``"exact"``: products in float64. ``"fast"``: of chunks that are float32 or narrower on both sides, products
        in float32, added up in float64.
    buffer
        Shared with other scatters that take their chunks in turn.
    """

    def __init__(self, precision: str, buffer: Buffer | None = None) -> None:
        self._fast, self._buffer = precision == "fast", buffer or Buffer()
        self.count, self.weight = 0, 0.0
        self._origin: Array = None  # (d,) the first chunk's centre
        self._mean: Array = None  # (d,) about it
        self._sums: Array = None  # (d, d)

    def add(self, x: Array, y: Array, weights: np.ndarray | None = None) -> bool:
        """Take in rows ``x`` (m, d_s) and ``y`` (m, d_t); False, and nothing changed, if their sums are not finite.

        ``weights`` (m,) are finite and not negative.
        """
        if weights is not None and bool((weights == 1).all()):
            weights = None
        count = int(x.shape[0]) if weights is None else int(np.count_nonzero(weights))
        if count == 0:
            return True
        if weights is not None and count < len(weights):  # what counts for nothing is not looked at
            some = np.flatnonzero(weights)
            x, y, weights = take(x, some), take(y, some), weights[some]
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and overflow are looked for below
            center, weight, step, product = self._of_chunk(x, y, weights, self._dtype(x, y))
            return math.isfinite(float(namespace(product).linalg.trace(product))) and self._merge(
                count, weight, center, step, product
            )

    def _of_chunk(
        self, x: Array, y: Array, weights: np.ndarray | None, dtype: object
    ) -> tuple[Array, float, Array, Array]:
        """Centre (d,), weight, the mean about that centre (d,), and the scatter (d, d) about that mean."""
        xp = namespace(x, y)
        w = None if weights is None else like(weights, x, dtype=xp.float64)
        center = xp.concat([_middle(x, w), _middle(y, w)], axis=0)
        center = float64(xp.astype(center, dtype, copy=False))
        rows = self._buffer.fill(x, y, center, dtype)
        if w is None:
            weight, sums = float(x.shape[0]), xp.sum(rows, axis=0, dtype=xp.float64)
        else:
            root = xp.astype(xp.sqrt(w), dtype, copy=False)
            rows *= root[:, None]
            weight, sums = float(xp.sum(w)), float64(xp.sum(rows * root[:, None], axis=0, dtype=xp.float64))
        off, product = sums / math.sqrt(weight), _gram(rows)
        if dtype == xp.float32 and _underflows(rows, product):
            return self._of_chunk(x, y, weights, xp.float64)
        return center, weight, sums / weight, float64(product) - xp.linalg.outer(off, off)

    def _dtype(self, x: Array, y: Array) -> object:
        xp = namespace(x, y)
        narrow = self._fast and all(working_float(rows[:1, :]).dtype == xp.float32 for rows in (x, y))
        return xp.float32 if narrow else xp.float64

    def _merge(self, count: int, weight: float, center: Array, step: Array, product: Array) -> bool:
        if self._sums is None:
            self.count, self.weight, self._origin, self._mean, self._sums = count, weight, center, step, product
            return True
        xp, whole = namespace(product), self.weight + weight
        step = ((center - self._origin) - self._mean) + step
        between = step * math.sqrt(self.weight * (weight / whole))
        if not math.isfinite(float(xp.sum(between * between + xp.linalg.diagonal(self._sums)))):
            return False
        self._sums += product
        self._sums += xp.linalg.outer(between, between)
        self._mean = self._mean + step * (weight / whole)
        self.count, self.weight = self.count + count, whole
        return True

    def sums(self) -> Sums:
        """Sums so far; needs at least one pair of weight above zero."""
        xp = namespace(self._sums)
        mean, tail = two_sum(self._origin, self._mean)
        return Sums(self.count, self.weight, mean, tail, (self._sums + xp.matrix_transpose(self._sums)) / 2)


def two_sum(large: Array, small: Array) -> tuple[Array, Array]:
    """``large + small`` (d,) rounded, and the rounding error (Knuth, TAOCP 2, 4.2.2, theorem B)."""
    rounded = large + small
    back = rounded - large
    return rounded, (large - (rounded - back)) + (small - back)


def _middle(rows: Array, weights: Array | None) -> Array:
    """A point (d,) among ``rows`` (m, d): the mean of some, or with weights of all; of equal rows, exactly they.

    With k of m rows, sums about this point are at most m / k times those about the mean, however the rows are sorted.
    """
    xp = namespace(rows)
    first = float64(rows[0, :])
    if weights is not None:
        return first + (weights[None, :] @ (float64(rows) - first))[0, :] / xp.sum(weights)
    some = rows[:: max(int(rows.shape[0]) // SAMPLE, 1), :]
    return first + xp.mean(float64(some) - first, axis=0)


def _underflows(rows: Array, product: Array) -> bool:
    """True where squares of a column of ``rows`` (m, d) underflow in ``product`` (d, d), in float32."""
    xp = namespace(rows)
    small = xp.linalg.diagonal(product) < int(rows.shape[0]) * SMALLEST
    return bool(xp.any(small)) and bool(xp.any((rows != 0) & small[None, :]))


def _gram(rows: Array) -> Array:
    """``rows' rows`` (d, d): numpy has a routine for it; elsewhere blocks of its upper triangle, mirrored."""
    xp, width = namespace(rows), int(rows.shape[1])
    if isinstance(rows, np.ndarray):
        return rows.T @ rows  # numpy sees one array twice and calls syrk: half the work
    blocks = max(min(BLOCKS, width // BLOCK_WIDTH), 1)
    edges = [width * i // blocks for i in range(blocks + 1)]
    upper = [xp.matrix_transpose(rows[:, a:b]) @ rows[:, a:] for a, b in pairwise(edges)]
    lines = []
    for i, block in enumerate(upper):
        a, b = edges[i], edges[i + 1]
        left = [xp.matrix_transpose(upper[j][:, a - edges[j] : b - edges[j]]) for j in range(i)]
        lines.append(xp.concat([*left, block], axis=1))
    return xp.concat(lines, axis=0)
