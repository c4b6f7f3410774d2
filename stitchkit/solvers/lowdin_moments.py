"""Löwdin without a pool, from moments: the same similarity in a common space as wide as the spaces, not the anchors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, eye_like, namespace, svd
from stitchkit.solvers.axes import Axes, Extent
from stitchkit.solvers.conditions import method, reciprocal
from stitchkit.solvers.drafts import DirectedDraft
from stitchkit.solvers.frames import Frame
from stitchkit.solvers.paths import Track
from stitchkit.solvers.sides import numerical_rank

SHRINKS = (0.01, 0.03, 0.1, 0.3)


class LowdinPath:
    """Maps of every shrinkage in ``shrinks`` from one eigendecomposition a side.

    With the anchors' thin decompositions ``A = P L^1/2 V'`` and ``B = Q M^1/2 Z'`` the similarity of
    :class:`~stitchkit.Lowdin` is that of ``x V (L / (L + k))^1/2`` and ``y Z (M / (M + h))^1/2`` under ``P' Q``, whose
    singular vectors are the common space and whose singular values are its weights.
    """

    def __init__(self, frame: Frame, shrinks: Sequence[float]) -> None:
        self.frame, self.shrinks = frame, shrinks
        self.source, self.target = (_above_rounding(*side) for side in (frame.source_eigh, frame.target_eigh))

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        frame, shrink, n = self.frame, self.shrinks[at], self.frame.moments.count
        xp = namespace(frame.st)
        (s_values, s_axes), (t_values, t_axes) = self.source, self.target
        floors = [shrink * float(xp.sum(values)) / n for values in (s_values, t_values)]
        s_root, t_root = (xp.sqrt(values + (k or 1.0)) for values, k in zip((s_values, t_values), floors, strict=True))
        cross = xp.matrix_transpose(s_axes) @ frame.st @ t_axes
        u, c, vh = svd(cross / xp.sqrt(_alive(s_values))[:, None] / xp.sqrt(_alive(t_values)))
        gains = xp.sqrt(s_values) / s_root, xp.sqrt(t_values) / t_root
        left, right, c = _complete(u, xp.matrix_transpose(vh), c)
        directed = (s_axes / s_root) @ cross @ xp.matrix_transpose(t_axes / t_root)
        stretch = _stretch(frame, directed)
        record = {
            "solver": "lowdin",
            "settings": {"shrink": shrink},
            "method": method(frame, "eigh, then svd"),
            "rcond": reciprocal(s_values, floors[0]),
            "centre": "anchors",
        }
        rank = min(frame.source_rank, frame.target_rank)
        return frame.alignment(
            s_axes @ (gains[0][:, None] * left),
            t_axes @ (gains[1][:, None] * right),
            stretch * directed,
            rank=rank,
            record=record,
            weights=c,
        )


class LowdinDraft(DirectedDraft):
    """Every shrinkage of one training set."""

    def __init__(self, axes: Axes, shrinks: Sequence[float]) -> None:
        self.axes, self.shrinks = axes, shrinks
        self.inner = eye_like(axes.cross, int(axes.cross.shape[1]))  # no step is the same at every strength

    def __len__(self) -> int:
        return len(self.shrinks)

    def _roots(self, at: int) -> tuple[Array, Array]:
        """Roots of the regularised eigenvalues of both sides."""
        xp, axes = namespace(self.axes.cross), self.axes
        roots = []
        for values in (axes.source_values, axes.target_values):
            floor = self.shrinks[at] * float(xp.sum(values)) / axes.count
            roots.append(xp.sqrt(values + (floor or 1.0)))
        return roots[0], roots[1]

    def _query_rows(self, at: int) -> Array:
        """Queries as rows (m, r_t) whose inner products with the gallery are the scores before the lengths."""
        axes, (s_root, t_root) = self.axes, self._roots(at)
        return ((axes.queries / s_root) @ axes.cross) / t_root

    def separation(self) -> list[float]:
        xp, ratios = namespace(self.axes.cross), []
        for at in range(len(self.shrinks)):
            scores = self._query_rows(at) @ xp.matrix_transpose(self.axes.targets)
            spread = float(xp.sum(scores * scores))
            ratios.append(float(xp.linalg.trace(scores)) / spread**0.5 if spread > 0 else 0.0)
        return ratios

    def held_out_r2(self) -> list[float]:
        xp, whole, targets = namespace(self.axes.cross), self.axes.target_spread or 1.0, self.axes.targets
        shares = []
        for at in range(len(self.shrinks)):
            rows = self.predictions(at)
            shares.append(float(2 * xp.sum(rows * targets) - xp.sum(rows * rows)) / whole)
        return shares

    def freedom(self, at: int) -> float:
        """Degrees of freedom of an isometry of the directions that the anchors show."""
        a, b = (int(side.shape[0]) for side in (self.axes.source_values, self.axes.target_values))
        r = min(a, b)
        return r * (a + b - r) - r * (r + 1) / 2

    def reliability(self, at: int) -> Array | None:
        return None

    def rank(self, at: int) -> int:
        return self.axes.rank

    def rows(self, at: int) -> tuple[Array, Array]:
        return self._query_rows(at), self.axes.gallery

    def sides(self, at: int, weights: Array | None = None) -> tuple[Array, Array]:
        axes, (s_root, t_root) = self.axes, self._roots(at)
        xp = namespace(axes.cross)
        left = axes.queries * (xp.sqrt(axes.source_values) / s_root)
        right = axes.gallery * (xp.sqrt(axes.target_values) / t_root)
        return _divide(self._query_rows(at), left), _divide(axes.gallery, right)

    def coordinates(self, at: int) -> Array:
        return self.predictions(at)

    def predictions(self, at: int) -> Array:
        axes, (s_root, t_root) = self.axes, self._roots(at)
        xp = namespace(axes.cross)
        weight = axes.cross / s_root[:, None] / t_root
        size = float(xp.sum(axes.source_values[:, None] * weight * weight))
        stretch = float(xp.sum(axes.cross * weight)) / size if size > 0 else 0.0
        return stretch * (axes.queries @ weight)


def _divide(rows: Array, measured: Array) -> Array:
    """``rows`` (m, k) by the lengths of ``measured`` (m, r)."""
    xp = namespace(rows)
    lengths = xp.linalg.vector_norm(measured, axis=1, keepdims=True)
    return rows / xp.where(lengths > 0, lengths, xp.ones_like(lengths))


def _above_rounding(values: Array, vectors: Array) -> tuple[Array, Array]:
    """The eigenvalues above rounding, falling, and their vectors."""
    xp = namespace(values)
    r = max(numerical_rank(values), 1)
    return xp.flip(values)[:r], xp.flip(vectors, axis=1)[:, :r]


def _alive(values: Array) -> Array:
    xp = namespace(values)
    return xp.where(values > 0, values, xp.ones_like(values))


def _complete(u: Array, v: Array, c: Array) -> tuple[Array, Array, Array]:
    """``u`` (r_s, k) or ``v`` (r_t, k) made square with directions of weight 0, the other with zeros.

    A direction that one side lacks adds nothing to an inner product, but to the length of the rows that have it.
    """
    xp = namespace(u)
    k, most = int(c.shape[0]), max(int(u.shape[0]), int(v.shape[0]))
    if most == k:
        return u, v, c
    wide, narrow = (u, v) if int(u.shape[0]) > int(v.shape[0]) else (v, u)
    whole, _ = xp.linalg.qr(wide, mode="complete")
    wide = xp.concat([wide, whole[:, k:]], axis=1)
    narrow = xp.concat([narrow, xp.zeros_like(narrow[:, :1]) @ xp.zeros_like(wide[:1, k:])], axis=1)
    c = xp.concat([c, xp.zeros_like(wide[0, k:])])
    return (wide, narrow, c) if int(u.shape[0]) > int(v.shape[0]) else (narrow, wide, c)


def _stretch(frame: Frame, directed: Array) -> float:
    """The factor that brings the anchors through ``directed`` nearest to their targets."""
    xp = namespace(directed)
    size = float(xp.sum(directed * (frame.ss @ directed)))
    return float(xp.sum(directed * frame.st)) / size if size > 0 else 0.0


def tracks(extent: Extent, purpose: str) -> list[Track]:
    """The row of the search that Löwdin offers, along the shrinkage."""
    path, draft = partial(LowdinPath, shrinks=SHRINKS), partial(LowdinDraft, shrinks=SHRINKS)
    return [Track("lowdin", "none", {}, "shrink", SHRINKS, path, draft)]
