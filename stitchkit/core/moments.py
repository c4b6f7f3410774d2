"""Moments of anchor pairs: counts, means and centred scatters, in one pass, mergeable and subtractable.

They hold all that least squares, the ridge path, orthogonal maps and CSA need, and the fold maps of
cross-validation: folds are left out by ADDING the others, which loses nothing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from stitchkit.core.arrays import Array, float64, namespace, working_float
from stitchkit.core.embeddings import as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.space import Space

EPS = 2.220446049250313e-16
CHUNK = 8192  # rows; 4096 to 16384 are equally fast
LOSS_WARN, LOSS_REFUSE = 1e4, 1e8  # of total / remaining scatter in a subtraction


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over n pairs of a source row x (d_s,) and a target row y (d_t,), in float64.

    Parameters
    ----------
    count
        Number of pairs.
    mean_s : (d_s,), mean_t : (d_t,)
    scatter_ss : (d_s, d_s), scatter_st : (d_s, d_t), scatter_tt : (d_t, d_t)
        Centred scatters: sums, not divided by n.
    source, target
        The spaces of the rows.

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

    @classmethod
    def of(cls, x: Any, y: Any, *, precision: str = "exact", chunk: int = CHUNK) -> Moments:
        """Moments of paired rows ``x`` (n, d_s) and ``y`` (n, d_t), arrays or embeddings.

        Parameters
        ----------
        precision
            ``"exact"``: float64 products. ``"fast"``: products in the input's precision, added up in float64;
            for float32 input a relative error near 1e-6.
        chunk
            Rows taken at once.

        Raises
        ------
        InputError
            If the numbers of rows differ, or for NaN, infinity or zero rows.
        """
        if precision not in ("exact", "fast"):
            raise UnknownNameError.of("precision", precision, ("exact", "fast"))
        x, y = as_embeddings(x, "x"), as_embeddings(y, "y")
        n = len(x)
        check_paired(n, len(y), least=1)
        if chunk < 1:
            raise InputError(f"chunk must be at least 1 row; got {chunk}.")
        # chunks are merged about the first one's mean: far from the origin their own means would lose digits
        first = min(chunk, n)
        shift = tuple(namespace(v).mean(float64(v[:first, :]), axis=0) for v in (x.vectors, y.vectors))
        bounds = ((a, min(a + chunk, n)) for a in range(0, n, chunk))
        near = total(
            _of_chunk(x.vectors[a:b, :], y.vectors[a:b, :], x.space, y.space, precision, shift) for a, b in bounds
        )
        return replace(near, mean_s=near.mean_s + shift[0], mean_t=near.mean_t + shift[1])

    @property
    def shape(self) -> tuple[int, int]:
        """The widths (d_s, d_t)."""
        return self.source.dim, self.target.dim

    def __add__(self, other: Moments) -> Moments:
        """Moments of both sets of pairs together; exact to a few units of the last place."""
        self._require_same_spaces(other)
        n, xp = self.count + other.count, namespace(self.scatter_st)
        step_s, step_t = other.mean_s - self.mean_s, other.mean_t - self.mean_t
        share, between = other.count / n, self.count * other.count / n
        return Moments(
            n,
            self.mean_s + share * step_s,
            self.mean_t + share * step_t,
            self.scatter_ss + other.scatter_ss + between * xp.linalg.outer(step_s, step_s),
            self.scatter_st + other.scatter_st + between * xp.linalg.outer(step_s, step_t),
            self.scatter_tt + other.scatter_tt + between * xp.linalg.outer(step_t, step_t),
            self.source,
            self.target,
        )

    def __sub__(self, part: Moments) -> Moments:
        """Moments without ``part``: for withdrawals. Warns when more than four digits are lost, refuses at eight.

        The error of a scatter entry grows with total / remaining scatter of its column (mean displacement
        included); for folds add the others instead.
        """
        self._require_same_spaces(part)
        n = self.count - part.count
        if n < 1:
            raise InputError(f"cannot take {part.count} pairs out of {self.count}; nothing would remain.")
        xp = namespace(self.scatter_st)
        mean_s = self.mean_s - (part.count / n) * (part.mean_s - self.mean_s)
        mean_t = self.mean_t - (part.count / n) * (part.mean_t - self.mean_t)
        step_s, step_t = part.mean_s - mean_s, part.mean_t - mean_t
        between = n * part.count / self.count
        rest = Moments(
            n,
            mean_s,
            mean_t,
            self.scatter_ss - part.scatter_ss - between * xp.linalg.outer(step_s, step_s),
            self.scatter_st - part.scatter_st - between * xp.linalg.outer(step_s, step_t),
            self.scatter_tt - part.scatter_tt - between * xp.linalg.outer(step_t, step_t),
            self.source,
            self.target,
        )
        _check_loss(self, rest)
        s, t = _alive(self.scatter_ss, rest.scatter_ss), _alive(self.scatter_tt, rest.scatter_tt)
        return replace(
            rest,
            scatter_ss=rest.scatter_ss * s[:, None] * s[None, :],
            scatter_st=rest.scatter_st * s[:, None] * t[None, :],
            scatter_tt=rest.scatter_tt * t[:, None] * t[None, :],
        )

    def _require_same_spaces(self, other: Moments) -> None:
        self.source.require(other.source, "these moments (source side)")
        self.target.require(other.target, "these moments (target side)")


def total(parts: Iterable[Moments]) -> Moments:
    """The sum of at least one set of moments."""
    return reduce(Moments.__add__, parts)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a solver may look at.

    Parameters
    ----------
    moments
        Of all anchors.
    folds
        Moments of each fold of the anchors, groups kept whole; their sum is ``moments``. For solvers that
        estimate something on held-out pairs.
    anchors
        The paired rows (n, d_s) and (n, d_t) themselves, for what moments cannot give (fewer anchors than
        dimensions, a fallback that needs the data again).
    """

    moments: Moments
    folds: Sequence[Moments] | None = None
    anchors: tuple[Array, Array] | None = None


def check_paired(n_source: int, n_target: int, least: int = 2) -> None:
    """Raise unless both sides have the same number of rows, and at least ``least``."""
    if n_source != n_target:
        raise InputError(
            f"source has {n_source} rows and target has {n_target}; row i of both must be one anchor. "
            f"Match them by id first."
        )
    if n_source < least:
        raise InputError(
            f"got {n_source} anchors; this needs at least {least}, and some 50 to be useful. Give more pairs."
        )


def _of_chunk(x: Array, y: Array, source: Space, target: Space, precision: str, shift: tuple[Array, ...]) -> Moments:
    xp = namespace(x, y)
    a, b = float64(x) - shift[0], float64(y) - shift[1]
    mean_s, mean_t = xp.mean(a, axis=0), xp.mean(b, axis=0)
    a, b = a - mean_s, b - mean_t
    if precision == "fast":
        a, b = xp.astype(a, working_float(x[:1, :]).dtype), xp.astype(b, working_float(y[:1, :]).dtype)
    if a.dtype != b.dtype:
        a, b = float64(a), float64(b)
    left, right = xp.matrix_transpose(a), xp.matrix_transpose(b)
    ss, st, tt = (float64(product) for product in (left @ a, left @ b, right @ b))
    return Moments(int(x.shape[0]), mean_s, mean_t, ss, st, tt, source, target)


def _alive(before: Array, after: Array) -> Array:
    """1 for a column with scatter left, 0 for one whose scatter is rounding, (d,)."""
    xp = namespace(before)
    return float64(xp.astype(xp.linalg.diagonal(after) > 32 * EPS * xp.linalg.diagonal(before), xp.int32))


def _check_loss(whole: Moments, rest: Moments) -> None:
    """Refuse or warn when subtraction cancelled too many digits of some column."""
    worst = 1.0
    for before, after in ((whole.scatter_ss, rest.scatter_ss), (whole.scatter_tt, rest.scatter_tt)):
        xp = namespace(before)
        had, left = xp.linalg.diagonal(before), xp.linalg.diagonal(after)
        alive = left > 32 * EPS * had  # below that the column is zero, not lost
        ratio = xp.where(alive, had / xp.where(alive, left, xp.ones_like(left)), xp.ones_like(left))
        worst = max(worst, float(xp.max(ratio)))
    if worst > LOSS_REFUSE:
        raise InputError(
            f"what remains is {worst:.0e} times smaller than what was there; {math.log10(worst):.0f} digits are lost. "
            f"Build the moments again from the remaining pairs."
        )
    if worst > LOSS_WARN:
        warnings.warn(f"subtraction lost {math.log10(worst):.0f} digits in the worst column", stacklevel=3)
