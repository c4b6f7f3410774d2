"""Centred kernel alignment of two spaces with linear kernels, from sums that need d x d memory and no more.

Nothing here holds an n x n matrix; everything is added up in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, float64, namespace, take
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.moments.chunks import CHUNK, check_chunk, check_order, check_paired
from stitchkit.core.moments.moments import Moments

EPS = 2.220446049250313e-16
SUMS = ("xx", "xy", "yy", "x_of_x", "y_of_x", "x_of_y", "y_of_y", "q_xx", "q_xy", "q_yy")  # of KernelSums
LEAST = 4  # rows; the unbiased estimate divides by n - 3


def cka(moments: Moments) -> float:
    """Linear centred kernel alignment of the two sides of ``moments``, in [0, 1]; biased upwards.

    ``|Sxy|^2 / (|Sx| |Sy|)`` with Frobenius norms of the centred scatters. It does not change when either side is
    rotated, shifted or scaled as a whole. With few rows for the widths it is far above 0 even for independent
    sides: compare with :func:`debiased_cka`.

    Parameters
    ----------
    moments
        Moments of any number of pairs; merge them as you like first.

    Raises
    ------
    InputError
        If one side does not vary.

    References
    ----------
    Kornblith et al., "Similarity of neural network representations revisited", ICML 2019.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    >>> round(cka(Moments.of(x, 5 * x @ turn + 2)), 12)
    1.0
    """
    _require_spread(moments.scatter_ss, moments.mean_s, moments.count, moments.source.name)
    _require_spread(moments.scatter_tt, moments.mean_t, moments.count, moments.target.name)
    cross, own, other = (_squared(part) for part in (moments.scatter_st, moments.scatter_ss, moments.scatter_tt))
    return cross / (own * other) ** 0.5


def debiased_cka(x: Any, y: Any, *, chunk: int = CHUNK) -> float:
    """Linear CKA with the unbiased estimate of each of its three parts: about 0 for independent sides.

    At most 1, and below 0 by chance. One pass over the rows in chunks, memory of d x d.

    Parameters
    ----------
    x : (n, d_x), y : (n, d_y)
        Arrays paired by row, or embeddings in one order; at least 4 rows.
    chunk
        Rows taken at once; the result does not depend on it.

    Raises
    ------
    InputError
        If the numbers of rows differ, or the ids of two embeddings, for fewer than 4, or if one side does not vary.

    References
    ----------
    Song et al., "Feature selection via dependence maximization", JMLR 2012 (the unbiased HSIC).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(60, 40)), rng.normal(size=(60, 40))
    >>> bool(cka(Moments.of(x, y)) > 0.3), bool(abs(debiased_cka(x, y)) < 0.05)
    (True, True)
    """
    left, right = as_embeddings(x, "x"), as_embeddings(y, "y")
    n = len(left)
    check_paired(n, len(right), least=1)
    if isinstance(x, Embeddings) and isinstance(y, Embeddings):
        check_order(x.ids, y.ids)
    if n < LEAST:
        raise InputError(f"debiased CKA needs at least {LEAST} rows; got {n}. Give more pairs, or use cka.")
    check_chunk(chunk)
    bounds = ((a, min(a + chunk, n)) for a in range(0, n, chunk))
    sums = reduce(KernelSums.__add__, (KernelSums.of(left.vectors[a:b, :], right.vectors[a:b, :]) for a, b in bounds))
    _require_spread(sums.xx, sums.mean_x, n, left.space.name)
    _require_spread(sums.yy, sums.mean_y, n, right.space.name)
    return sums.alignment()


def debiased_cka_error(x: Array, y: Array, *, groups: int = 20, seed: int = 0) -> float | None:
    """Standard error of :func:`debiased_cka` of independent rows ``x`` (n, d_x), ``y`` (n, d_y); None for too few.

    A jackknife: rows are left out in ``groups`` parts drawn with ``seed`` (n parts where there are fewer rows). For
    unrelated sides it is too large, by up to 1.4 times.
    """
    n = int(x.shape[0])
    parts = np.array_split(np.random.default_rng(seed).permutation(n), min(groups, n))
    if n - max(map(len, parts)) < LEAST:
        return None

    def sums(rows: np.ndarray) -> KernelSums:
        chunks = (np.sort(rows[a : a + CHUNK]) for a in range(0, len(rows), CHUNK))
        return reduce(KernelSums.__add__, (KernelSums.of(take(x, some), take(y, some)) for some in chunks))

    whole = sums(np.arange(n))
    try:
        without = np.asarray([(whole + -sums(part)).alignment() for part in parts])
    except InputError:  # what a part leaves does not vary
        return None
    return float(np.sqrt((len(parts) - 1) * np.mean((without - without.mean()) ** 2)))


@dataclass(frozen=True, slots=True, eq=False)
class KernelSums:
    """What the unbiased HSIC of two linear kernels needs of n pairs of rows, about the pairs' own means.

    Two of them add up to that of all pairs, as moments do; displacements only ever add, so that nothing cancels.

    Parameters
    ----------
    count
        Number of pairs.
    mean_x : (d_x,), mean_y : (d_y,)
    xx : (d_x, d_x), xy : (d_x, d_y), yy : (d_y, d_y)
        Sums of outer products.
    x_of_x : (d_x,), y_of_x : (d_y,)
        Sums of ``|x|^2 x`` and ``|x|^2 y``.
    x_of_y : (d_x,), y_of_y : (d_y,)
        Sums of ``|y|^2 x`` and ``|y|^2 y``.
    q_xx, q_xy, q_yy
        Sums of ``|x|^4``, ``|x|^2 |y|^2`` and ``|y|^4``.
    """

    count: int
    mean_x: Array
    mean_y: Array
    xx: Array
    xy: Array
    yy: Array
    x_of_x: Array
    y_of_x: Array
    x_of_y: Array
    y_of_y: Array
    q_xx: float
    q_xy: float
    q_yy: float

    @classmethod
    def of(cls, x: Array, y: Array) -> KernelSums:
        """The sums of one chunk of rows ``x`` (n, d_x) and ``y`` (n, d_y)."""
        xp = namespace(x, y)
        a, b = float64(x), float64(y)
        mean_x, mean_y = xp.mean(a, axis=0), xp.mean(b, axis=0)
        a, b = a - mean_x, b - mean_y
        k, l = xp.sum(a * a, axis=1), xp.sum(b * b, axis=1)  # noqa: E741  the kernels' diagonals
        left, right = xp.matrix_transpose(a), xp.matrix_transpose(b)
        return cls(
            int(x.shape[0]), mean_x, mean_y, left @ a, left @ b, right @ b,
            left @ k, right @ k, left @ l, right @ l,
            float(xp.sum(k * k)), float(xp.sum(k * l)), float(xp.sum(l * l)),
        )  # fmt: skip

    def __add__(self, other: KernelSums) -> KernelSums:
        """The sums of both sets of pairs together."""
        n = self.count + other.count
        mean_x = self.mean_x + (other.count / n) * (other.mean_x - self.mean_x)
        mean_y = self.mean_y + (other.count / n) * (other.mean_y - self.mean_y)
        a, b = self.about(mean_x, mean_y), other.about(mean_x, mean_y)
        return KernelSums(n, mean_x, mean_y, *(getattr(a, name) + getattr(b, name) for name in SUMS))

    def __neg__(self) -> KernelSums:
        """Sums that take these pairs out again where they are added; few of many, or digits are lost."""
        sums = (getattr(self, name) for name in SUMS)
        return KernelSums(-self.count, self.mean_x, self.mean_y, *(-one for one in sums))

    def about(self, mean_x: Array, mean_y: Array) -> KernelSums:
        """The same pairs' sums about another pair of points; add them up about one point only."""
        xp, n = namespace(self.xy), self.count
        u, v = self.mean_x - mean_x, self.mean_y - mean_y
        uu, vv = float(xp.sum(u * u)), float(xp.sum(v * v))
        a, b = float(xp.linalg.trace(self.xx)), float(xp.linalg.trace(self.yy))
        xx_u, yy_v, xy_v = self.xx @ u, self.yy @ v, self.xy @ v
        yx_u = xp.matrix_transpose(self.xy) @ u

        def dot(one: Array, two: Array) -> float:
            return float(xp.sum(one * two))

        return KernelSums(
            n,
            mean_x,
            mean_y,
            self.xx + n * xp.linalg.outer(u, u),
            self.xy + n * xp.linalg.outer(u, v),
            self.yy + n * xp.linalg.outer(v, v),
            self.x_of_x + 2 * xx_u + (a + n * uu) * u,
            self.y_of_x + 2 * yx_u + (a + n * uu) * v,
            self.x_of_y + 2 * xy_v + (b + n * vv) * u,
            self.y_of_y + 2 * yy_v + (b + n * vv) * v,
            self.q_xx + 4 * dot(self.x_of_x, u) + 4 * dot(u, xx_u) + 2 * a * uu + n * uu * uu,
            self.q_xy + 2 * dot(self.y_of_x, v) + 2 * dot(self.x_of_y, u) + 4 * dot(u, xy_v) + a * vv + b * uu
            + n * uu * vv,
            self.q_yy + 4 * dot(self.y_of_y, v) + 4 * dot(v, yy_v) + 2 * b * vv + n * vv * vv,
        )  # fmt: skip

    def alignment(self) -> float:
        """The debiased CKA; what divides the three estimates is common to them and left out."""
        xp, n = namespace(self.xy), self.count
        a, b = float(xp.linalg.trace(self.xx)), float(xp.linalg.trace(self.yy))

        def hsic(cross: Array, q: float, traces: float) -> float:
            # about the means the rows of both kernels sum to zero, which leaves three terms of the five
            return _squared(cross) - n / (n - 2) * q + traces / ((n - 1) * (n - 2))

        own, other = hsic(self.xx, self.q_xx, a * a), hsic(self.yy, self.q_yy, b * b)
        small = 64 * EPS  # of the squared scatter: below it the estimate is rounding
        if own <= small * a * a or other <= small * b * b:
            raise InputError(
                f"debiased CKA of {n} rows is not defined: one side's unbiased spread is zero. Give more pairs."
            )
        return hsic(self.xy, self.q_xy, a * b) / (own * other) ** 0.5


def _squared(matrix: Array) -> float:
    """The squared Frobenius norm."""
    return float(namespace(matrix).sum(matrix * matrix))


def _require_spread(scatter: Array, mean: Array, count: int, what: str) -> None:
    """Raise for a side whose rows are all the same, up to rounding about their mean."""
    xp = namespace(scatter)
    rounding = count * (32 * EPS) ** 2 * float(xp.sum(mean * mean))
    if float(xp.linalg.trace(scatter)) <= rounding:
        raise InputError(f"all {count} vectors of {what!r} are the same; a similarity of spaces needs them to differ.")
