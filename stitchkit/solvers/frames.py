"""The coordinates of a fit: centred, scaled, and no wider than the anchors' span or the principal part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, float64, namespace
from stitchkit.core.errors import EvidenceError, InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.maps import AffineMap
from stitchkit.core.moments.moments import Moments
from stitchkit.core.moments.row_moments import RowMoments
from stitchkit.core.space import Space, common_fingerprint
from stitchkit.solvers.settings import check_pca, check_scale
from stitchkit.solvers.sides import Side, about_mean, narrow, numerical_rank


@dataclass(frozen=True, eq=False)
class Frame:
    """Anchor moments in a solver's coordinates, and the way back.

    ``ss`` (r_s, r_s), ``st`` (r_s, r_t), ``tt`` (r_t, r_t) are centred scatters of the coordinates. Their
    decompositions are computed once, on first use.
    """

    scale: str
    pca: int | None
    moments: Moments | RowMoments
    source: Side
    target: Side
    ss: Array
    st: Array
    tt: Array

    @classmethod
    def of(cls, evidence: Evidence, scale: str = "none", pca: int | None = None) -> Frame:
        """Coordinates for ``evidence``: per-feature standard deviations divided out on the sides ``scale`` names.

        Where there are fewer anchors than dimensions each side is rotated into the span of its anchors: from the
        rows, where they are at hand, at the cost of the smaller size (the dual form). With ``pca`` only
        the first principal directions of each (scaled) side are kept; a side that is no wider keeps all.
        """
        check_scale(scale)
        check_pca(pca)
        m = evidence.moments
        rows = rows_at_hand(evidence)
        left, right = (None, None) if rows is None else rows
        source, a = narrow(Side.of_source(m, scaled=scale != "none"), m.count, left, lambda: m.scatter_ss, pca)
        target, b = narrow(Side.of_target(m, scaled=scale == "both"), m.count, right, lambda: m.scatter_tt, pca)
        if rows is None or (a is None and b is None):
            return cls(scale, pca, m, source, target, *_inside(source, target, m, None))
        a = about_mean(source.coordinates(left)) if a is None else a
        b = about_mean(target.coordinates(right)) if b is None else b
        return cls(scale, pca, m, source, target, *_products(a, b))

    @classmethod
    def of_features(cls, moments: Moments | RowMoments, scale: str = "none") -> Frame:
        """All features, centred and scaled, however few the anchors: for solvers that are not rotation-equivariant."""
        source = Side.of_source(moments, scaled=scale != "none")
        target = Side.of_target(moments, scaled=scale == "both")
        return cls(scale, None, moments, source, target, *_inside(source, target, moments, None))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a solver that this frame stands for."""
        return {"scale": self.scale} if self.pca is None else {"scale": self.scale, "pca": self.pca}

    @cached_property
    def source_eigh(self) -> tuple[Array, Array]:
        """Eigenvalues (r_s,), never below 0, and eigenvectors (r_s, r_s) of ``ss``."""
        return _eigh(self.ss)

    @cached_property
    def target_eigh(self) -> tuple[Array, Array]:
        """Eigenvalues (r_t,), never below 0, and eigenvectors (r_t, r_t) of ``tt``."""
        return _eigh(self.tt)

    @cached_property
    def source_rank(self) -> int:
        """Number of directions of the source that the anchors identify."""
        return self.source.width if self.source.filled else numerical_rank(self.source_eigh[0])

    @cached_property
    def target_rank(self) -> int:
        """Number of directions of the target that the anchors identify."""
        return self.target.width if self.target.filled else numerical_rank(self.target_eigh[0])

    @cached_property
    def cross_in_axes(self) -> Array:
        """``st`` with both sides rotated to their principal axes, (r_s, r_t)."""
        left, right = self.source_eigh[1], self.target_eigh[1]
        return namespace(left).matrix_transpose(left) @ self.st @ right

    def scatters(self, held: Evidence) -> tuple[Array, Array, Array]:
        """Scatters ``xx``, ``xy``, ``yy`` of other pairs about THIS frame's means, in its coordinates."""
        return _inside(self.source, self.target, held.moments, held.anchors)

    @property
    def target_spread(self) -> float:
        """Scatter of the anchors' targets in this frame's scale, the part outside the span included."""
        xp = namespace(self.tt)
        if self.target.basis is None:
            return float(xp.linalg.trace(self.tt))
        spread = self.moments.spread_t
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
        explained: float | None = None,
    ) -> Alignment:
        """The alignment of weights in these coordinates.

        Parameters
        ----------
        source_weight : (r_s, k), target_weight : (r_t, k)
            Into the common space.
        directed_weight : (r_s, r_t)
            From source coordinates to target coordinates.
        explained
            Scatter of the target coordinates that ``directed_weight`` explains, in-sample, where it is known.
        """
        m, xp = self.moments, namespace(source_weight)
        k = int(source_weight.shape[1])
        fingerprint = common_fingerprint((m.source, m.target), m.count, weights=[source_weight])
        common = Space(f"{m.source.name} | {m.target.name}", k, fingerprint)
        zero = xp.zeros_like(source_weight[0, :])
        # coordinates of the source to raw target rows: the target side undone
        into_target = self.source.lift(self.target.lower(directed_weight))
        return Alignment(
            AffineMap(m.source, common, self.source.mean, self.source.lift(source_weight), zero, rank),
            AffineMap(m.target, common, self.target.mean, self.target.lift(target_weight), zero, rank),
            weights,
            AffineMap(m.source, m.target, self.source.mean, into_target, self.target.mean, rank),
            {**record, "rank": rank, "anchors": m.count, "r2": self._r2(directed_weight, explained)},
        )

    def _r2(self, directed: Array, explained: float | None) -> float:
        """Share of the anchors' (scaled) target scatter that ``directed`` explains, in-sample."""
        if explained is None:
            xp = namespace(directed)
            explained = float(2 * xp.sum(directed * self.st) - xp.sum(directed * (self.ss @ directed)))
        whole = self.target_spread
        return explained / whole if whole > 0 else 0.0


def rows_of_moments(evidence: Evidence) -> tuple[Array, Array]:
    """The anchors' rows, which must be those that the moments were made of, each counted once.

    Raises
    ------
    EvidenceError
        If their number or their means differ: other rows, or moments with weights.
    """
    m, rows = evidence.moments, evidence.anchors
    if rows is None:
        raise EvidenceError("this needs the anchors' rows. Give the anchor vectors themselves to sk.align.")
    for side, mean, spread in zip(rows, (m.mean_s, m.mean_t), (m.spread_s, m.spread_t), strict=True):
        xp = namespace(spread)
        near = 1e-6 * xp.sqrt(spread / m.weight) + 1e-9 * xp.abs(mean)
        if int(side.shape[0]) != m.count or bool(xp.any(xp.abs(xp.mean(float64(side), axis=0) - mean) > near)):
            raise EvidenceError(
                f"the {int(side.shape[0])} anchor rows are not what these moments of {m.count} pairs were made of, or "
                f"the pairs have weights, which rows do not. Leave the rows out of the evidence, or the weights."
            )
    return rows


def rows_at_hand(evidence: Evidence) -> tuple[Array, Array] | None:
    """The anchors' rows where there are fewer than dimensions, so that work on them is the cheaper one."""
    m = evidence.moments
    if m.count - 1 >= max(m.shape):
        return None
    if evidence.anchors is not None:
        return rows_of_moments(evidence)
    return m.rows if isinstance(m, RowMoments) else None


def require(solver: Any, evidence: Evidence) -> None:
    """Raise unless ``evidence`` holds every part that ``solver`` needs."""
    if not isinstance(evidence, Evidence):
        raise InputError(
            f"{type(solver).__name__}.fit takes Evidence; got {type(evidence).__name__}. Write Evidence(moments)."
        )
    if "anchors" in solver.needs and evidence.anchors is not None:
        rows_of_moments(evidence)
    for part in sorted(solver.needs):
        if getattr(evidence, part) is None:
            raise EvidenceError(
                f"{type(solver).__name__} needs {part}, which moments alone do not hold. "
                f"Give the anchor vectors themselves to sk.align."
            )


def _eigh(scatter: Array) -> tuple[Array, Array]:
    xp = namespace(scatter)
    values, vectors = xp.linalg.eigh(scatter)
    return xp.where(values > 0, values, xp.zeros_like(values)), vectors


def _products(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """``a'a``, ``a'b`` and ``b'b``."""
    left = namespace(a, b).matrix_transpose(a)
    return left @ a, left @ b, namespace(a, b).matrix_transpose(b) @ b


def _inside(
    source: Side, target: Side, m: Moments | RowMoments, rows: tuple[Array, Array] | None
) -> tuple[Array, Array, Array]:
    """Scatters of pairs about the sides' means, in their coordinates; from the rows where that is smaller."""
    xp = namespace(m.mean_s)
    if rows is not None and not (source.basis is None and target.basis is None):
        return _products(source.coordinates(rows[0]), target.coordinates(rows[1]))

    def both(left: Side, middle: Array, right: Side) -> Array:
        scaled = middle if left.scale is None else left.scale[:, None] * middle
        scaled = scaled if right.scale is None else scaled * right.scale[None, :]
        scaled = scaled if left.basis is None else xp.matrix_transpose(left.basis) @ scaled
        return scaled if right.basis is None else scaled @ right.basis

    step_s, step_t = m.mean_s - source.mean, m.mean_t - target.mean
    return (
        both(source, m.scatter_ss + m.weight * xp.linalg.outer(step_s, step_s), source),
        both(source, m.scatter_st + m.weight * xp.linalg.outer(step_s, step_t), target),
        both(target, m.scatter_tt + m.weight * xp.linalg.outer(step_t, step_t), target),
    )
