"""The training sets of the search in their principal axes, from the anchors' rows or from the moments of folds.

Where a training set has no more rows than a side has dimensions, that side is computed from inner products of the rows
(the dual form), which all training sets share. Everything is centred on the training set; standard deviations are those
of all anchors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from stitchkit.alignment.folds import Folds
from stitchkit.core.arrays import Array, draft_eigh, float64, lent, machine_eps, namespace, take
from stitchkit.core.moments.moments import Moments
from stitchkit.core.moments.row_moments import RowMoments
from stitchkit.solvers.axes import Axes
from stitchkit.solvers.sides import EPS, inverse_deviation

SINGLE = 128  # width from which drafts are computed in single precision: half the time, and drafts only rank maps
TAME = 1e-5  # least eigenvalue, of the largest, that single precision still resolves
SIDES = {"none": (False, False), "source": (True, False), "both": (True, True)}  # which sides are scaled


@dataclass(frozen=True, eq=False)
class AnchorSide:
    """One side of the anchors: its raw vectors (n, d), their mean (d,), and the factor of each feature (d,) or None."""

    vectors: Array
    mean: Array
    scale: Array | None

    def rows(self, index: np.ndarray) -> Array:
        """Rows (m, d) about the mean of all anchors, scaled."""
        centred = float64(take(self.vectors, index)) - self.mean
        return centred if self.scale is None else centred * self.scale

    @cached_property
    def gram(self) -> Array:
        """Inner products (n, n) of all rows."""
        rows = self.rows(np.arange(int(self.vectors.shape[0])))
        return rows @ namespace(rows).matrix_transpose(rows)


@dataclass(frozen=True, eq=False)
class Principal:
    """One side of a training set in its principal axes.

    Parameters
    ----------
    values : (r,)
        Eigenvalues of the scatter, falling.
    held : (h, r)
        Held-out rows about the training mean.
    outside : (h,)
        Squared length of the held-out rows outside the axes.
    train : (n, r) or None
        Training rows on the axes, where they were computed.
    vectors
        Function that computes the axes (d, r) in the scaled space.
    """

    values: Array
    held: Array
    outside: Array
    train: Array | None
    vectors: Callable[[], Array]


def from_rows(side: AnchorSide, train: np.ndarray, held: np.ndarray) -> Principal:
    """The axes of the anchors ``train``, and the anchors ``held`` on them."""
    if len(train) <= int(side.vectors.shape[1]):
        return _dual(side, train, held)
    known, new = side.rows(train), side.rows(held)
    xp = namespace(known)
    mean = xp.mean(known, axis=0)
    known = known - mean
    values, vectors = _eigh(xp.matrix_transpose(known) @ known)
    return _primal(values, vectors, new - mean, _cast(known, vectors) @ vectors)


def from_moments(side: AnchorSide, scatter: Array, mean: Array, held: np.ndarray) -> Principal:
    """The axes of a raw ``scatter`` (d, d) about the raw ``mean`` (d,), and the anchors ``held`` on them."""
    step = mean - side.mean
    if side.scale is not None:
        scatter, step = side.scale[:, None] * scatter * side.scale, step * side.scale
    return _primal(*_eigh(scatter), side.rows(held) - step, None)


def _primal(values: Array, vectors: Array, held: Array, train: Array | None) -> Principal:
    held = _cast(held, vectors)
    inside = held @ vectors
    lengths = namespace(held).sum(held * held, axis=1)
    return Principal(values, inside, _beyond(lengths, inside), train, lambda: vectors)


def _dual(side: AnchorSide, train: np.ndarray, held: np.ndarray) -> Principal:
    gram, xp = side.gram, namespace(side.gram)
    both = np.concatenate([train, held])
    inner = take(xp.matrix_transpose(take(gram, train)), both)  # (n + h, n), for gram is symmetric
    inner, across = inner[: len(train), :], inner[len(train) :, :]
    column, grand, centre = xp.mean(inner, axis=0), xp.mean(inner), xp.mean(across, axis=1)
    lengths = take(xp.linalg.diagonal(gram), held) - 2 * centre + grand
    values, u = _eigh(inner - column - column[:, None] + grand, most=len(train) - 1)
    root = xp.sqrt(values)
    per_root = u / xp.where(root > 0, root, xp.ones_like(root))
    inside = _cast(across - centre[:, None] - column + grand, u) @ per_root

    def vectors() -> Array:
        rows = side.rows(train)
        return xp.matrix_transpose(_cast(rows - xp.mean(rows, axis=0), u)) @ per_root

    return Principal(values, inside, _beyond(_cast(lengths, u), inside), u * root, vectors)


def _readable(vectors: Array) -> Array:
    """``vectors`` as numpy arrays where they are in main memory; in double precision where numpy lacks theirs."""
    borrowed = lent(vectors)
    return lent(float64(vectors)) if borrowed is vectors and str(vectors.dtype) == "torch.bfloat16" else borrowed


def _cast(array: Array, like: Array) -> Array:
    return namespace(array).astype(array, like.dtype, copy=False)


def _beyond(lengths: Array, inside: Array) -> Array:
    """Squared ``lengths`` (h,) outside the coordinates ``inside`` (h, r)."""
    xp = namespace(inside)
    left = lengths - xp.sum(inside * inside, axis=1)
    return xp.where(left > 0, left, xp.zeros_like(left))


def _eigh(scatter: Array, most: int | None = None) -> tuple[Array, Array]:
    """Eigenvalues (r,) above rounding, falling, at most ``most``, and their vectors (d, r).

    In single precision where the matrix is large and that resolves all of its eigenvalues.
    """
    width = int(scatter.shape[0])
    if width >= SINGLE:
        values, vectors = draft_eigh(namespace(scatter).astype(scatter, namespace(scatter).float32))
        if float(values[width - (most or width)]) > TAME * float(values[-1]):
            return _above(0.0, values, vectors, most)
    return _above(width * EPS, *draft_eigh(scatter), most)


def _above(share: float, values: Array, vectors: Array, most: int | None) -> tuple[Array, Array]:
    """The eigenvalues above a share of the largest, falling, and their vectors."""
    xp = namespace(values)
    values, vectors = xp.flip(values)[:most], xp.flip(vectors, axis=1)[:, :most]
    floor = share * float(values[0])
    r = max(int(xp.sum(xp.astype(values > floor, xp.int64))), 1)
    values = values[:r]
    return xp.where(values > 0, values, xp.zeros_like(values)), vectors[:, :r]


@dataclass(frozen=True, eq=False)
class TrainingSets:
    """The training sets of one table of anchors: everything but one fold, for any assignment of folds.

    Parameters
    ----------
    x : (n, d_s), y : (n, d_t)
        Raw vectors.
    whole
        The moments of all anchors.
    """

    x: Array
    y: Array
    whole: Moments | RowMoments
    sides: dict[tuple[bool, bool], AnchorSide] = field(default_factory=dict)

    def axes(self, folds: Folds, held: int, scales: Sequence[str]) -> dict[str, Axes]:
        """Axes of each of ``scales`` without the fold ``held``."""
        train = np.sort(np.concatenate([part.rows for i, part in enumerate(folds.parts) if i != held]))
        from_rows_only = len(train) <= max(self.whole.shape)
        moments = None if from_rows_only else folds.without(held)
        principal: dict[tuple[bool, bool], Principal] = {}
        for key in {(target, SIDES[scale][target]) for scale in scales for target in (False, True)}:
            index = folds.parts[held].gallery if key[0] else folds.parts[held].queries
            if moments is None:
                principal[key] = from_rows(self.side(*key), train, index)
            else:
                scatter = moments.scatter_tt if key[0] else moments.scatter_ss
                mean = moments.mean_t if key[0] else moments.mean_s
                principal[key] = from_moments(self.side(*key), lent(scatter), lent(mean), index)
        truth = folds.parts[held].truth
        return {scale: self._axes_between(scale, principal, moments, train, truth) for scale in scales}

    def side(self, target: bool, scaled: bool) -> AnchorSide:
        """One side of the anchors, scaled or not."""
        if (target, scaled) not in self.sides:
            m = self.whole
            mean, spread = (m.mean_t, m.spread_t) if target else (m.mean_s, m.spread_s)
            scale = lent(inverse_deviation(mean, spread / m.weight, m.count)) if scaled else None
            self.sides[target, scaled] = AnchorSide(_readable(self.y if target else self.x), lent(mean), scale)
        return self.sides[target, scaled]

    def _axes_between(
        self,
        scale: str,
        principal: dict[tuple[bool, bool], Principal],
        moments: Moments | RowMoments | None,
        train: np.ndarray,
        truth: np.ndarray,
    ) -> Axes:
        keys = tuple((target, SIDES[scale][target]) for target in (False, True))
        (left, right), (source, target) = (principal[key] for key in keys), (self.side(*key) for key in keys)
        xp = namespace(left.values)
        exact = left.values if machine_eps(left.values) < machine_eps(right.values) else right.values
        if moments is None:
            cross = xp.matrix_transpose(_cast(left.train, exact)) @ _cast(right.train, exact)
        else:
            raw = lent(moments.scatter_st)
            raw = raw if source.scale is None else source.scale[:, None] * raw
            raw = raw if target.scale is None else raw * target.scale
            cross = xp.matrix_transpose(_cast(left.vectors(), exact)) @ _cast(raw, exact)
            cross = cross @ _cast(right.vectors(), exact)
        return Axes(
            scale=scale,
            pca=None,
            count=len(train),
            widths=self.whole.shape,
            source_values=_cast(left.values, exact),
            target_values=_cast(right.values, exact),
            cross=cross,
            queries=_cast(left.held, exact),
            gallery=_cast(right.held, exact),
            truth=truth,
            outside=_cast(right.outside, exact),
            target_scale=target.scale,
            lower=lambda: self._raw_targets(right, target, train, moments),
        )

    def _raw_targets(
        self, right: Principal, target: AnchorSide, train: np.ndarray, moments: Moments | RowMoments | None
    ) -> tuple[Array, Array]:
        """The rows (r_t, d_t) that turn target coordinates into raw target rows, and the mean (d_t,) to be added."""
        rows = namespace(right.values).matrix_transpose(right.vectors())
        rows = rows if target.scale is None else rows / target.scale
        if moments is not None:
            return rows, lent(moments.mean_t)
        raw = float64(take(target.vectors, train)) - target.mean
        return rows, target.mean + namespace(raw).mean(raw, axis=0)
