"""PLS by one SVD of the cross scatter: Procrustes' directions, with a regression on the source scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, eye_like, machine_eps, namespace, solve_triangular
from stitchkit.core.evidence import Evidence
from stitchkit.solvers.axes import Axes, Extent
from stitchkit.solvers.conditions import method, reciprocal
from stitchkit.solvers.drafts import leading_sums
from stitchkit.solvers.frames import Frame, require
from stitchkit.solvers.paths import Track
from stitchkit.solvers.procrustes import ProcrustesDraft, ProcrustesPath, rank_path
from stitchkit.solvers.settings import check_number_kept, check_pca, check_scale, plain_numbers


@dataclass(frozen=True)
class PLS:
    """The r pairs of directions of largest covariance, from ``Sxy = U S V'`` (PLS-SVD).

    Source vectors meet target vectors as scores ``x U_r`` and ``y V_r``, exactly as in :class:`~stitchkit.Procrustes`
    of that rank. The directed map differs: it is the regression of the target on the r source scores,
    ``W = U_r (U_r' Sx U_r)^+ U_r' Sxy``. The only regularisation is the rank: at full rank W is least squares.

    Parameters
    ----------
    rank
        Directions kept; None keeps all that the anchors identify.
    scale
        Sides divided by their per-feature standard deviation first: ``"none"``, ``"source"`` or ``"both"``.
    pca
        Principal directions kept of each (scaled) side before the fit; None keeps all.

    References
    ----------
    Wegelin, "A survey of partial least squares (PLS) methods", University of Washington, 2000; Rosipal and Kraemer,
    "Overview and recent advances in partial least squares", 2006 (its PLS-SB).

    Examples
    --------
    >>> import numpy as np
    >>> from stitchkit.core.moments.moments import Moments
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 5))
    >>> y = x @ rng.normal(size=(5, 4)) + rng.normal(size=(60, 4))
    >>> fitted = PLS(rank=2).fit(Evidence(Moments.of(x, y)))
    >>> fitted.source_map(x).shape, fitted.to_target(x).shape
    ((60, 2), (60, 4))
    """

    rank: int | None = None
    scale: str = "none"
    pca: int | None = None
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_number_kept(self.rank, "rank")
        check_scale(self.scale)
        check_pca(self.pca)

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space holds the r pairs of scores."""
        require(self, evidence)
        return PLSPath(Frame.of(evidence, self.scale, self.pca), (self.rank,)).alignment(0)


class PLSPath(ProcrustesPath):
    """Maps of every rank in ``ranks`` (None: all) from one eigendecomposition, one SVD and one QR.

    Scores made orthonormal in the order of their directions (``a``, (r_s, r)) are nested: the map of rank r is
    ``a_r c_r`` with the first r coefficients ``c`` (r, r_t), whatever the ranks after it.
    """

    def __init__(self, frame: Frame, ranks: Sequence[int | None]) -> None:
        super().__init__(frame, ranks)
        xp = namespace(frame.ss)
        values, vectors = frame.source_eigh
        back = xp.matrix_transpose(vectors)
        a, self.c, self.triangle = _nested_regressions(values, back @ self.u, back @ frame.st)
        self.a = vectors @ a

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        r = self.ranks[at]
        directed = self.a[:, :r] @ self.c[:r, :]
        return self.frame.alignment(
            self.u[:, :r], self.v[:, :r], directed, rank=r, weights=weights, record=self._record(r)
        )

    def _record(self, r: int) -> dict[str, Any]:
        n, pivot = self.frame.moments.count, namespace(self.triangle).linalg.diagonal(self.triangle)
        note = f"{n} anchors for a regression on {r} scores: it overfits; lower the rank, or try ridge"
        return {
            "solver": "pls",
            "settings": {"rank": r, **self.frame.settings},
            "method": method(self.frame, "svd and qr"),
            "rcond": reciprocal(pivot[:r]) ** 2,
            "notes": [] if n > 3 * r else [note],
        }


class PLSDraft(ProcrustesDraft):
    """Every rank of one training set."""

    def __init__(self, axes: Axes, ranks: Sequence[int | None]) -> None:
        super().__init__(axes, ranks)
        a, self.inner, _ = _nested_regressions(axes.source_values, self.left, axes.cross)
        self.scores = axes.queries @ a

    def held_out_r2(self) -> list[float]:
        xp, whole = namespace(self.inner), self.axes.target_spread or 1.0
        across = xp.matrix_transpose(self.inner)
        signal = xp.cumulative_sum(xp.sum(self.scores * (self.axes.targets @ across), axis=0))
        square = leading_sums((xp.matrix_transpose(self.scores) @ self.scores) * (self.inner @ across))
        return [float(2 * signal[r - 1] - square[r - 1]) / whole for r in self.kept]

    def coordinates(self, at: int) -> Array:
        return self.scores[:, : self.kept[at]]

    def freedom(self, at: int) -> float:
        """Those of a map of rank r."""
        r = self.kept[at]
        return float(r * (int(self.left.shape[0]) + int(self.right.shape[0]) - r))


def _nested_regressions(values: Array, u: Array, cross: Array) -> tuple[Array, Array, Array]:
    """Directions ``a`` (r_s, r) of orthonormal scores, their coefficients ``c`` (r, r_t), and the QR factor's triangle.

    All on the source's principal axes, with the scatter's eigenvalues ``values`` (r_s,).
    """
    xp = namespace(values)
    root = xp.sqrt(values)
    q, triangle = xp.linalg.qr(root[:, None] * u, mode="reduced")
    pivot = xp.abs(xp.linalg.diagonal(triangle))
    dead = pivot <= int(values.shape[0]) * machine_eps(values) * xp.max(pivot)  # those before it hold this score
    one = xp.astype(dead, values.dtype)
    upright = triangle + eye_like(values, int(one.shape[0])) * one
    lower = solve_triangular(xp.matrix_transpose(upright), xp.matrix_transpose(u), lower=True)
    alive = root > 1e-6 * xp.max(root)
    flat = xp.where(alive, 1 / xp.where(alive, root, xp.ones_like(root)), xp.zeros_like(root))
    return xp.matrix_transpose(lower), (1 - one)[:, None] * (xp.matrix_transpose(q) @ (flat[:, None] * cross)), triangle


def tracks(extent: Extent, purpose: str) -> list[Track]:
    """The rows of the search that PLS offers: one for each scaling, along ranks from all to few."""
    ranks, shown = rank_path(extent, more=(1, 2, 3, 4, 6))
    scales = ("none", "source") if purpose == "head" else ("none", "source", "both")
    path, draft = partial(PLSPath, ranks=ranks), partial(PLSDraft, ranks=ranks)
    return [Track("pls", scale, {}, "rank", shown, path, draft) for scale in scales]
