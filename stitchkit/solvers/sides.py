"""One side of a frame: its features about their mean, scaled, and narrowed to what few anchors span."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stitchkit.core.arrays import Array, eye_like, float64, namespace, solve_triangular, svd
from stitchkit.core.moments.moments import Moments
from stitchkit.core.moments.row_moments import RowMoments

FLOAT32 = 2.0**-23  # relative rounding of single precision
DEAD = 1e-8  # deviation below which an output of an encoder may be dead
EPS = 2.220446049250313e-16
SAFE = 1e-8  # reciprocal condition number from which every direction is one
RESOLVED = 1e-12  # share of the largest value above which a value is a direction


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side's coordinates: ``(rows - mean) * scale @ basis``; None stands for all ones, for the identity."""

    mean: Array  # (d,)
    scale: Array | None  # (d,)
    basis: Array | None  # (d, r)
    filled: bool = False  # the anchors are known to show every coordinate; False is not knowing

    @classmethod
    def of_source(cls, m: Moments | RowMoments, *, scaled: bool) -> Side:
        """The source features about their mean."""
        return cls(m.mean_s, inverse_deviation(m.mean_s, m.spread_s / m.weight, m.count) if scaled else None, None)

    @classmethod
    def of_target(cls, m: Moments | RowMoments, *, scaled: bool) -> Side:
        """The target features about their mean."""
        return cls(m.mean_t, inverse_deviation(m.mean_t, m.spread_t / m.weight, m.count) if scaled else None, None)

    @property
    def width(self) -> int:
        """Number of coordinates r."""
        return int(self.mean.shape[0] if self.basis is None else self.basis.shape[1])

    def lift(self, inner: Array) -> Array:
        """Weight (d, k) on centred raw rows of a weight ``inner`` (r, k) on coordinates."""
        wide = inner if self.basis is None else self.basis @ inner
        return wide if self.scale is None else self.scale[:, None] * wide

    def lower(self, inner: Array) -> Array:
        """Raw rows (k, d), still centred, of rows ``inner`` (k, r) in coordinates."""
        xp = namespace(inner)
        wide = inner if self.basis is None else inner @ xp.matrix_transpose(self.basis)
        return wide if self.scale is None else wide / self.scale

    def coordinates(self, rows: Array) -> Array:
        """Coordinates (n, r) of raw rows (n, d), in float64."""
        centred = float64(rows) - self.mean
        scaled = centred if self.scale is None else centred * self.scale
        return scaled if self.basis is None else scaled @ self.basis


def narrow(
    side: Side, count: int, rows: Array | None, scatter: Callable[[], Array], pca: int | None
) -> tuple[Side, Array | None]:
    """``side`` rotated to what ``count`` anchors span, or to its first ``pca`` principal directions.

    The coordinates (count, r) of the ``rows`` come with it where they are made on the way.
    """
    few = count - 1 < side.width
    if not few and (pca is None or pca >= side.width):
        return side, None
    if few and rows is not None:
        inside = about_mean(side.coordinates(rows))
        spanned = _span(side, inside) if pca is None else None
        if spanned is not None:
            return spanned
        u, s, vh = svd(inside)
        known, axes, coordinates = numerical_rank(s), namespace(vh).matrix_transpose(vh), u * s
    else:
        whole = scatter()
        xp = namespace(whole)
        scaled = whole if side.scale is None else side.scale[:, None] * whole * side.scale[None, :]
        values, vectors = xp.linalg.eigh(scaled)
        known, axes, coordinates = numerical_rank(values) if few else side.width, xp.flip(vectors, axis=1), None
    kept = min(max(min(known, count - 1), 1), pca or side.width) if few else pca
    return Side(side.mean, side.scale, axes[:, :kept]), None if coordinates is None else coordinates[:, :kept]


def _span(side: Side, centred: Array) -> tuple[Side, Array] | None:
    """``side`` in an orthonormal basis (d, n - 1) of ``centred`` rows (n, d), n <= d, and the rows in it.

    Half the cost of singular vectors, and any basis of the span serves. None where the rows may show fewer directions.
    """
    xp, n = namespace(centred), int(centred.shape[0])
    if n < 2:
        return None
    basis, triangle = xp.linalg.qr(xp.matrix_transpose(centred[: n - 1, :]), mode="reduced")
    pivots = xp.abs(xp.linalg.diagonal(triangle))
    if not float(xp.min(pivots)) > SAFE * float(xp.max(pivots)):
        return None
    inverse = solve_triangular(triangle, eye_like(triangle, n - 1), lower=False)
    squares = float(xp.sum(triangle * triangle)) * float(xp.sum(inverse * inverse))
    margin = 1 / squares**0.5  # at most the reciprocal condition number
    if not margin > SAFE:
        return None
    first = xp.matrix_transpose(triangle)
    last = -xp.sum(first, axis=0, keepdims=True)  # centred: one row follows from the others
    return Side(side.mean, side.scale, basis, margin > RESOLVED**0.5), xp.concat([first, last], axis=0)


def about_mean(coordinates: Array) -> Array:
    """Centre ``coordinates`` (n, r) again: far from the origin the rounding of the mean would show as a direction."""
    return coordinates - namespace(coordinates).mean(coordinates, axis=0)


def inverse_deviation(mean: Array, variance: Array, count: int) -> Array:
    """1 / unbiased standard deviation of each feature (d,); 1 for a feature that is constant up to rounding.

    Rounding is that of the feature's own mean. A feature is constant too where its deviation is below 1e-8 and below
    float32's rounding of the median feature: encoders have dead outputs of 1e-9 and 1e-33 (all-MiniLM-L6-v2 has three),
    which are noise and not directions. Both hold, so that features in units of their own, counts beside shares, stay.

    ``variance`` (d,) is per pair: of weight one, the ``count`` pairs together.
    """
    xp = namespace(variance)
    sd = xp.sqrt(variance * (count / max(count - 1, 1)))
    alive, one = sd > 1e-13 * xp.abs(mean), xp.ones_like(sd)
    kept = int(xp.sum(xp.astype(alive, xp.int64)))
    if kept:
        median = xp.sort(xp.where(alive, sd, xp.zeros_like(sd)))[int(sd.shape[0]) - kept + (kept - 1) // 2]  # lower
        alive = alive & ((sd > FLOAT32 * median) | (sd > DEAD))
    return xp.where(alive, 1 / xp.where(alive, sd, one), one)


def numerical_rank(values: Array) -> int:
    """Number of the (r,) eigenvalues or singular values above rounding."""
    xp = namespace(values)
    return int(xp.sum(xp.astype(values > RESOLVED * xp.max(values), xp.int64)))
