"""Reduced-rank ridge regression: every rank from one decomposition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, namespace, svd, take
from stitchkit.core.evidence import Evidence
from stitchkit.solvers.axes import Axes, Extent
from stitchkit.solvers.conditions import method, reciprocal
from stitchkit.solvers.drafts import LeadingDraft, draft_svd
from stitchkit.solvers.frames import Frame, require
from stitchkit.solvers.paths import Track
from stitchkit.solvers.procrustes import rank_path
from stitchkit.solvers.settings import check_number_kept, check_pca, check_scale, check_strength, plain_numbers
from stitchkit.solvers.sides import numerical_rank
from stitchkit.solvers.strengths import mean_eigenvalue

STEPS = (1e-1, 1.0, 10.0)  # alphas that the search tries, each along all ranks


@dataclass(frozen=True)
class ReducedRank:
    """Ridge's ``W`` on the r target directions it explains best: ``W P P'``.

    ``P`` (d_t, r) holds the leading eigenvectors of ``W' (Sx + lam I) W``, ``lam = alpha tr(Sx) / d_s``. Of all
    maps of rank r this one has the least ``||Yc - Xc W||^2 + lam ||W||^2``. Both sides meet on P: source vectors by
    ``W P``, target vectors by ``P``; the directed map is ``W P P'``.

    Parameters
    ----------
    rank
        Directions kept; None keeps all that the anchors identify.
    alpha
        Strength of the ridge, relative to the mean eigenvalue of the source scatter.
    scale
        Sides divided by their per-feature standard deviation first: ``"none"``, ``"source"`` or ``"both"``.
    pca
        Principal directions kept of each (scaled) side before the fit; None keeps all.

    References
    ----------
    Izenman, Journal of Multivariate Analysis 5 (1975); Mukherjee and Zhu, Statistical Analysis and Data Mining 4
    (2011) for the ridge form.

    Examples
    --------
    >>> import numpy as np
    >>> from stitchkit.core.moments.moments import Moments
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 5))
    >>> y = x @ rng.normal(size=(5, 4)) + rng.normal(size=(60, 4))
    >>> fitted = ReducedRank(rank=2).fit(Evidence(Moments.of(x, y)))
    >>> int(np.linalg.matrix_rank(fitted.to_target.weight)), fitted.source_map.target.dim
    (2, 2)
    """

    rank: int | None = None
    alpha: float = 0.1
    scale: str = "none"
    pca: int | None = None
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_number_kept(self.rank, "rank")
        check_strength(self.alpha, "alpha", " Take 1e-9 for hardly any.")
        check_scale(self.scale)
        check_pca(self.pca)

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space holds the r kept target directions."""
        require(self, evidence)
        return ReducedRankPath(Frame.of(evidence, self.scale, self.pca), self.alpha, (self.rank,)).alignment(0)


class ReducedRankPath:
    """Maps of every rank in ``ranks`` (None: all) at one alpha, from one eigendecomposition and one SVD."""

    def __init__(self, frame: Frame, alpha: float, ranks: Sequence[int | None]) -> None:
        self.frame, self.alpha = frame, alpha
        xp = namespace(frame.ss)
        values, vectors = frame.source_eigh
        self.raised = values + alpha * mean_eigenvalue(frame)
        inner = xp.matrix_transpose(vectors) @ frame.st
        # (Sx + lam I)^1/2 W on the principal axes: its right singular vectors are the directions wanted
        u, s, vh = svd(inner / xp.sqrt(self.raised)[:, None])
        known = min(numerical_rank(s), frame.source_rank, frame.target_rank)
        identified = max(known, 1)
        self.ranks = [identified if rank is None else min(rank, identified) for rank in ranks]
        self.p = xp.matrix_transpose(vh)[:, :identified]  # (r_t, r)
        self.a = vectors @ (u[:, :identified] * s[:identified] / xp.sqrt(self.raised)[:, None])  # W P (r_s, r)
        self.s = s[:identified]

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        r = self.ranks[at]
        a, p = self.a[:, :r], self.p[:, :r]
        record = {
            "solver": "reduced_rank",
            "settings": {"rank": r, "alpha": self.alpha, **self.frame.settings},
            "method": method(self.frame, "eigh and svd"),
            "rcond": reciprocal(self.raised),
            "kept": _share(self.s, r),
        }
        directed = a @ namespace(p).matrix_transpose(p)
        return self.frame.alignment(a, p, directed, rank=r, weights=weights, record=record)


def _share(s: Array, r: int) -> float:
    """The share of the explained scatter (penalised) that the first r directions hold."""
    xp = namespace(s)
    whole = float(xp.sum(s * s))
    return float(xp.sum(s[:r] * s[:r])) / whole if whole > 0 else 0.0


class ReducedRankDraft(LeadingDraft):
    """Every rank of one training set, at one alpha."""

    def __init__(self, axes: Axes, alpha: float, ranks: Sequence[int | None]) -> None:
        xp = namespace(axes.cross)
        raised = axes.source_values + alpha * axes.source_unit
        root = xp.sqrt(raised)[:, None]
        u, s, v = draft_svd(axes.cross / root)
        identified = int(s.shape[0])
        ranked = [identified if rank is None else min(rank, identified) for rank in ranks]
        super().__init__(axes, u * s / root, v, xp.matrix_transpose(v), ranked)
        kept = axes.source_values / raised
        most = float(xp.max(kept))  # a cosine does not see a common shrinkage
        self.source_freedom = float(xp.sum(kept)) / most if most > 0 else 0.0

    def held_out_r2(self) -> list[float]:
        xp, whole = namespace(self.p), self.axes.target_spread or 1.0
        signal = xp.cumulative_sum(xp.sum(self.p * take(self.q, self.axes.truth), axis=0))
        square = xp.cumulative_sum(xp.sum(self.p * self.p, axis=0))
        return [float(2 * signal[r - 1] - square[r - 1]) / whole for r in self.kept]

    def freedom(self, at: int) -> float:
        """Those of a map of rank r, the source counted as far as the penalty leaves it free."""
        r = self.kept[at]
        return r * max(self.source_freedom + int(self.right.shape[0]) - r, 0.0)


def tracks(extent: Extent, purpose: str) -> list[Track]:
    """The rows of the search: one for each scaling and alpha, along ranks from all to few."""
    ranks, shown = rank_path(extent)
    scales = ("none", "source") if purpose == "head" else ("none", "source", "both")

    def track(scale: str, alpha: float) -> Track:
        path = partial(ReducedRankPath, alpha=alpha, ranks=ranks)
        return Track(
            "reduced_rank", scale, {"alpha": alpha}, "rank", shown, path,
            partial(ReducedRankDraft, alpha=alpha, ranks=ranks),
        )  # fmt: skip

    return [track(scale, alpha) for scale in scales for alpha in STEPS]
