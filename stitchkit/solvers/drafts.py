"""Drafts of solvers for the search: every strength of a family from one decomposition, with held-out pairs.

A draft is computed on principal axes, often in single precision, and its singular vectors come from a Gram matrix.
It only serves to compare strengths: the final map is fitted anew in double precision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from stitchkit.core.arrays import Array, draft_eigh, machine_eps, namespace, take
from stitchkit.core.maps import unit
from stitchkit.solvers.axes import Axes
from stitchkit.solvers.paths import fit_width


class Draft(Protocol):
    """Every strength of one track on one training set; weak to strong."""

    axes: Axes
    inner: Array  # (k, r_t), the target coordinates of each coordinate that a map passes through

    def __len__(self) -> int:
        """Number of strengths."""
        ...

    def separation(self) -> list[float]:
        """d' of the held-out pairs at each strength: sum of true scores over the spread of all pairs."""
        ...

    def held_out_r2(self) -> list[float]:
        """Held-out R2 of the directed map at each strength, in the scaled target space."""
        ...

    def freedom(self, at: int) -> float:
        """Degrees of freedom at strength ``at``."""
        ...

    def reliability(self, at: int) -> Array | None:
        """Held-out correlation (k,) of each common direction, for families that weigh them."""
        ...

    def sides(self, at: int, weights: Array | None = None) -> tuple[Array, Array]:
        """Queries (m, k) and gallery (g, k) as rows whose inner products are their similarities."""
        ...

    def rank(self, at: int) -> int:
        """Directions that the fitted map identifies at strength ``at``."""
        ...

    def rows(self, at: int) -> tuple[Array, Array]:
        """Queries (m, k) and gallery (g, k) before they are divided by their lengths."""
        ...

    def coordinates(self, at: int) -> Array:
        """Queries (m, j) on their way through the directed map: on the first j rows of ``inner``."""
        ...

    def predictions(self, at: int) -> Array:
        """Queries through the directed map, in target coordinates, (m, r_t)."""
        ...


class DirectedDraft(ABC):
    """The directed map in two steps, the second of which is the same at every strength."""

    inner: Array

    @abstractmethod
    def coordinates(self, at: int) -> Array:
        """Queries (m, j) on their way through the directed map: on the first j rows of ``inner``."""

    def predictions(self, at: int) -> Array:
        left = self.coordinates(at)
        return left @ self.inner[: int(left.shape[1]), :]


class LeadingDraft(DirectedDraft):
    """Families whose strengths keep the first of a sequence of common directions.

    Parameters
    ----------
    axes
        The training set.
    left : (r_s, k), right : (r_t, k)
        The directions on the axes of each side.
    inner : (k, r_t)
        Target coordinates of each direction.
    kept
        Number of directions at each strength.
    """

    def __init__(self, axes: Axes, left: Array, right: Array, inner: Array, kept: Sequence[int]) -> None:
        self.axes, self.left, self.right, self.inner, self.kept = axes, left, right, inner, kept
        self.p, self.q = axes.queries @ left, axes.gallery @ right

    def __len__(self) -> int:
        return len(self.kept)

    def separation(self) -> list[float]:
        p, q = self.p, take(self.q, self.axes.truth)
        xp = namespace(p)
        scores, done, ratios = None, 0, {}
        for k in sorted(set(self.kept)):
            more = p[:, done:k] @ xp.matrix_transpose(q[:, done:k])
            scores, done = more if scores is None else scores + more, k
            spread = float(xp.sum(scores * scores))
            ratios[k] = float(xp.linalg.trace(scores)) / spread**0.5 if spread > 0 else 0.0
        return [ratios[k] for k in self.kept]

    def rank(self, at: int) -> int:
        return self.kept[at]

    def rows(self, at: int) -> tuple[Array, Array]:
        k = self.kept[at]
        return self.p[:, :k], self.q[:, :k]

    def sides(self, at: int, weights: Array | None = None) -> tuple[Array, Array]:
        left, right = (unit(rows) for rows in self.rows(at))
        return left if weights is None else left * fit_width(weights, self.kept[at]), right

    def coordinates(self, at: int) -> Array:
        return self.p[:, : self.kept[at]]

    def reliability(self, at: int) -> Array | None:
        return None


class FilterDraft(DirectedDraft):
    """Families that shrink the source's principal axes: maps ``sum_i diag(f_i) inner_i``, one filter a strength.

    Parameters
    ----------
    axes
        The training set.
    filters : (a, b r_s)
        One row for each strength; b blocks of r_s axes.
    inner : (b r_s, r_t)
        Image of each axis of each block.
    """

    def __init__(self, axes: Axes, filters: Array, inner: Array) -> None:
        xp = namespace(inner)
        blocks = int(inner.shape[0]) // int(axes.queries.shape[1])
        self.axes, self.filters, self.inner = axes, filters, inner
        self.p = xp.concat([axes.queries] * blocks, axis=1) if blocks > 1 else axes.queries

    def __len__(self) -> int:
        return int(self.filters.shape[0])

    def _traces(self, right: Array) -> tuple[Array, Array]:
        """Sum of ``mapped * target`` and of squares of ``mapped @ right``, for each strength."""
        xp = namespace(self.p)
        across = xp.matrix_transpose(self.inner)
        signal = self.filters @ xp.sum(self.p * (self.axes.targets @ across), axis=0)
        projected = right @ across
        weave = (xp.matrix_transpose(self.p) @ self.p) * (xp.matrix_transpose(projected) @ projected)
        return signal, xp.sum((self.filters @ weave) * self.filters, axis=1)

    def separation(self) -> list[float]:
        pairs = zip(*self._traces(self.axes.targets), strict=True)
        return [float(a) / float(b) ** 0.5 if float(b) > 0 else 0.0 for a, b in pairs]

    def held_out_r2(self) -> list[float]:
        xp = namespace(self.p)
        across = xp.matrix_transpose(self.inner)
        signal = self.filters @ xp.sum(self.p * (self.axes.targets @ across), axis=0)
        weave = (xp.matrix_transpose(self.p) @ self.p) * (self.inner @ across)
        square = xp.sum((self.filters @ weave) * self.filters, axis=1)
        whole = self.axes.target_spread or 1.0
        return [float((2 * a - b) / whole) for a, b in zip(signal, square, strict=True)]

    def rank(self, at: int) -> int:
        return self.axes.rank

    def rows(self, at: int) -> tuple[Array, Array]:
        return self.predictions(at), self.axes.gallery

    def sides(self, at: int, weights: Array | None = None) -> tuple[Array, Array]:
        left, right = self.rows(at)
        return unit(left), unit(right)

    def coordinates(self, at: int) -> Array:
        return self.p * self.filters[at, :]

    def reliability(self, at: int) -> Array | None:
        return None


def draft_svd(matrix: Array) -> tuple[Array, Array, Array]:
    """Singular vectors ``u`` (m, k), values (k,) and ``v`` (n, k) from the smaller Gram matrix, falling.

    Directions that a Gram matrix of this precision does not resolve are left out; at least one is kept.
    """
    xp = namespace(matrix)
    wide = matrix.shape[0] < matrix.shape[1]
    tall = xp.matrix_transpose(matrix) if wide else matrix
    values, vectors = draft_eigh(xp.matrix_transpose(tall) @ tall)
    values, vectors = xp.flip(values), xp.flip(vectors, axis=1)
    k = max(int(xp.sum(xp.astype(values > 4 * machine_eps(values) * values[0], xp.int64))), 1)
    s = xp.sqrt(xp.where(values[:k] > 0, values[:k], xp.zeros_like(values[:k])))
    inner = vectors[:, :k]
    outer = tall @ (inner / xp.where(s > 0, s, xp.ones_like(s)))
    return (inner, s, outer) if wide else (outer, s, inner)


def leading_sums(symmetric: Array) -> Array:
    """Sum of each leading square block (r,) of a symmetric (r, r)."""
    xp = namespace(symmetric)
    below = xp.sum(xp.tril(symmetric, k=-1), axis=1)
    return xp.cumulative_sum(2 * below + xp.linalg.diagonal(symmetric))
