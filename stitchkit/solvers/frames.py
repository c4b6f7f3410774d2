"""The coordinates a solver works in: centred, scaled, and no wider than the anchors' span."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, float64, namespace
from stitchkit.core.errors import EvidenceError, UnknownNameError
from stitchkit.core.maps import AffineMap
from stitchkit.core.moments import Evidence, Moments
from stitchkit.core.space import Space

SCALES = ("none", "source", "both")  # which sides are divided by their per-feature standard deviation
EPS = 2.220446049250313e-16


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side's coordinates: ``(rows - mean) * scale @ basis``; None stands for all ones, for the identity."""

    mean: Array  # (d,)
    scale: Array | None  # (d,)
    basis: Array | None  # (d, r)

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


@dataclass(frozen=True, eq=False)
class Frame:
    """Anchor moments in a solver's coordinates, and the way back.

    ``ss`` (r_s, r_s), ``st`` (r_s, r_t), ``tt`` (r_t, r_t) are centred scatters of the coordinates. Their
    decompositions are made once, when a solver first asks for them.
    """

    scale: str
    moments: Moments
    source: Side
    target: Side
    ss: Array
    st: Array
    tt: Array

    @classmethod
    def of(cls, evidence: Evidence, scale: str = "none") -> Frame:
        """Coordinates for ``evidence``: per-feature standard deviations divided out on the sides ``scale`` names.

        Where there are fewer anchors than dimensions and the rows are at hand, each side is rotated into the
        span of its anchors: the same answer (the dual form) at the cost of the smaller size.
        """
        check_scale(scale)
        m = evidence.moments
        rows = evidence.anchors or (None, None)
        source = _side(m.mean_s, m.scatter_ss, m.count, rows[0], scale != "none")
        target = _side(m.mean_t, m.scatter_tt, m.count, rows[1], scale == "both")
        return cls(scale, m, source, target, *_inside(source, target, evidence))

    @cached_property
    def source_eigh(self) -> tuple[Array, Array]:
        """Eigenvalues (r_s,), never below 0, and eigenvectors (r_s, r_s) of ``ss``."""
        return _eigh(self.ss)

    @cached_property
    def target_eigh(self) -> tuple[Array, Array]:
        """Eigenvalues (r_t,), never below 0, and eigenvectors (r_t, r_t) of ``tt``."""
        return _eigh(self.tt)

    def view(self, held: Evidence) -> tuple[Array, Array, Array]:
        """Scatters of other pairs about THIS frame's means, in its coordinates: (r_s, r_s), (r_s, r_t), (r_t, r_t)."""
        return _inside(self.source, self.target, held)

    def target_spread(self, held: Evidence, inside: Array) -> float:
        """Scatter of held-out target rows about this frame's mean, in its scale, the part outside the span included.

        ``inside`` is their scatter in coordinates, (r_t, r_t).
        """
        if self.target.basis is None:
            return float(namespace(inside).linalg.trace(inside))
        m, xp = held.moments, namespace(inside)
        step = m.mean_t - self.target.mean
        spread = xp.linalg.diagonal(m.scatter_tt) + m.count * step * step
        return float(xp.sum(spread if self.target.scale is None else spread * self.target.scale**2))

    def alignment(
        self,
        source_weight: Array,
        target_weight: Array,
        directed_weight: Array,
        *,
        rank: int,
        record: Mapping[str, Any],
        weights: Array | None = None,
    ) -> Alignment:
        """The alignment of weights in these coordinates.

        Parameters
        ----------
        source_weight : (r_s, k), target_weight : (r_t, k)
            Into the common space.
        directed_weight : (r_s, r_t)
            From source coordinates to target coordinates.
        """
        m, xp = self.moments, namespace(source_weight)
        k = int(source_weight.shape[1])
        common = Space(f"{m.source.name} | {m.target.name}", k, _pair_mark(m, source_weight))
        zero = xp.zeros_like(source_weight[0, :])
        # coordinates of the source to raw target rows: the target side undone
        into_target = self.source.lift(self.target.lower(directed_weight))
        return Alignment(
            AffineMap(m.source, common, self.source.mean, self.source.lift(source_weight), zero, rank),
            AffineMap(m.target, common, self.target.mean, self.target.lift(target_weight), zero, rank),
            weights,
            AffineMap(m.source, m.target, self.source.mean, into_target, self.target.mean, rank),
            {**record, "rank": rank, "anchors": m.count, "r2": self._explained(directed_weight)},
        )

    def _explained(self, directed: Array) -> float:
        """Share of the anchors' target scatter (in coordinates) that ``directed`` explains, in-sample."""
        xp = namespace(directed)
        got = 2 * xp.sum(directed * self.st) - xp.sum(directed * (self.ss @ directed))
        return float(got / xp.linalg.trace(self.tt)) if float(xp.linalg.trace(self.tt)) > 0 else 0.0


def check_scale(scale: str) -> None:
    """Raise for a scaling that does not exist."""
    if scale not in SCALES:
        raise UnknownNameError.of("scale", scale, SCALES)


def require(solver: Any, evidence: Evidence) -> None:
    """Raise unless ``evidence`` holds every part that ``solver`` needs."""
    for part in sorted(solver.needs):
        if getattr(evidence, part) is None:
            raise EvidenceError(
                f"{type(solver).__name__} needs {part}, which moments alone do not hold. "
                f"Give the anchor vectors themselves to sk.align."
            )


def identified(values: Array) -> int:
    """How many of the (r,) eigenvalues or singular values are above rounding."""
    xp = namespace(values)
    return int(xp.sum(xp.astype(values > 1e-12 * xp.max(values), xp.int64)))


def _eigh(scatter: Array) -> tuple[Array, Array]:
    xp = namespace(scatter)
    values, vectors = xp.linalg.eigh(scatter)
    return xp.where(values > 0, values, xp.zeros_like(values)), vectors


def _pair_mark(moments: Moments, weight: Array) -> str | None:
    """A mark that tells this common space from another fit's; None where the spaces are nameless arrays."""
    if moments.source.fingerprint is None or moments.target.fingerprint is None:
        return None
    xp = namespace(weight)
    trace = float(xp.sum(xp.abs(weight)))
    return f"{moments.source.fingerprint}|{moments.target.fingerprint}|{moments.count}|{trace.hex()}"


def _side(mean: Array, scatter: Array, count: int, rows: Array | None, scaled: bool) -> Side:
    side = Side(mean, _inverse_deviation(mean, scatter, count) if scaled else None, None)
    if rows is None or count - 1 >= rows.shape[1]:
        return side
    xp = namespace(scatter)
    _, s, vh = xp.linalg.svd(side.coordinates(rows), full_matrices=False)
    return Side(mean, side.scale, xp.matrix_transpose(vh[: max(identified(s), 1), :]))


def _inverse_deviation(mean: Array, scatter: Array, count: int) -> Array:
    """1 / unbiased standard deviation of each feature (d,); 1 for a feature that is constant up to rounding."""
    xp = namespace(scatter)
    sd = xp.sqrt(xp.linalg.diagonal(scatter) / max(count - 1, 1))
    alive, one = sd > 1e-13 * xp.abs(mean), xp.ones_like(sd)
    return xp.where(alive, 1 / xp.where(alive, sd, one), one)


def _inside(source: Side, target: Side, evidence: Evidence) -> tuple[Array, Array, Array]:
    """Scatters of the evidence about the sides' means, in their coordinates; from the rows where that is smaller."""
    xp = namespace(evidence.moments.scatter_st)
    if evidence.anchors is not None and not (source.basis is None and target.basis is None):
        a, b = source.coordinates(evidence.anchors[0]), target.coordinates(evidence.anchors[1])
        left = xp.matrix_transpose(a)
        return left @ a, left @ b, xp.matrix_transpose(b) @ b

    def both(left: Side, middle: Array, right: Side) -> Array:
        scaled = middle if left.scale is None else left.scale[:, None] * middle
        scaled = scaled if right.scale is None else scaled * right.scale[None, :]
        scaled = scaled if left.basis is None else xp.matrix_transpose(left.basis) @ scaled
        return scaled if right.basis is None else scaled @ right.basis

    m = evidence.moments
    step_s, step_t = m.mean_s - source.mean, m.mean_t - target.mean
    return (
        both(source, m.scatter_ss + m.count * xp.linalg.outer(step_s, step_s), source),
        both(source, m.scatter_st + m.count * xp.linalg.outer(step_s, step_t), target),
        both(target, m.scatter_tt + m.count * xp.linalg.outer(step_t, step_t), target),
    )
