"""Canonical similarity analysis: regularised CCA whose directions are weighted by held-out correlation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, namespace, svd, take
from stitchkit.core.errors import EvidenceError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.row_moments import together
from stitchkit.solvers.axes import Axes, Extent
from stitchkit.solvers.conditions import method, reciprocal
from stitchkit.solvers.drafts import LeadingDraft, draft_svd, leading_sums
from stitchkit.solvers.frames import Frame, require
from stitchkit.solvers.paths import Track, fit_width, principal_parts
from stitchkit.solvers.settings import check_number_kept, check_pca, check_scale, check_strength, plain_numbers
from stitchkit.solvers.sides import numerical_rank

KAPPAS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class CSA:
    """SVD of ``(Sx + k_x I)^-1/2 Sxy (Sy + k_y I)^-1/2 = U diag(rho) V'``; similarity weighs direction j by rho_j.

    ``k_x = kappa tr(Sx) / d_s`` and likewise for y. In-sample rho is 1 for n < d_s + d_t, so the weights are the
    correlations on held-out folds. At full dimension the directed map is ridge with ``alpha = kappa``.

    Parameters
    ----------
    kappa
        Ridge of both whitenings, relative to the mean eigenvalue of each scatter.
    dims
        Directions kept; None keeps all.
    scale
        Sides divided by their per-feature standard deviation first: ``"none"``, ``"source"`` or ``"both"``.
    pca
        Principal directions kept of each (scaled) side before the fit; None keeps all.

    References
    ----------
    Li et al., "CSA: data-efficient mapping of unimodal features to multimodal features", ICLR 2025.
    """

    kappa: float = 0.1
    dims: int | None = None
    scale: str = "none"
    pca: int | None = None
    needs = frozenset({"moments", "folds"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_strength(self.kappa, "kappa")
        check_scale(self.scale)
        check_pca(self.pca)
        check_number_kept(self.dims, "dims")

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space holds the whitened canonical directions."""
        require(self, evidence)
        path = CSAPath(Frame.of(evidence, self.scale, self.pca), self.kappa, (self.dims,))
        folds = list(evidence.folds or ())
        if len(folds) == 1:
            raise EvidenceError("CSA weighs its directions on held-out folds; one group gives none. Give more groups.")
        held_out = []
        for i, held in enumerate(folds):
            others = Frame.of(Evidence(together(folds[:i] + folds[i + 1 :])), self.scale, self.pca)
            held_out.append(CSAPath(others, self.kappa, path.dims).reliability(0, Evidence(held)))
        return path.alignment(0, mean_reliability(held_out))


class CSAPath:
    """Canonical directions at every number of ``dims`` (None: all) from one SVD, at one kappa."""

    def __init__(self, frame: Frame, kappa: float, dims: Sequence[int | None]) -> None:
        self.frame, self.kappa = frame, kappa
        xp = namespace(frame.st)
        (s_values, s_vectors), (t_values, t_vectors) = frame.source_eigh, frame.target_eigh
        widths = frame.moments.shape
        s_root, t_root = _whitening(s_values, kappa, widths[0]), _whitening(t_values, kappa, widths[1])
        u, self.rho, self.inner_v = svd(frame.cross_in_axes / s_root[:, None] / t_root)
        self.on_axes = u / s_root[:, None], xp.matrix_transpose(self.inner_v) / t_root[:, None]
        self.a, self.b = s_vectors @ self.on_axes[0], t_vectors @ self.on_axes[1]
        self.unwhiten = t_root[:, None] * xp.matrix_transpose(t_vectors)
        known = (numerical_rank(values) for values in (self.rho, s_values, t_values))
        most = max(min(known), 1)  # what the anchors do not show is no direction
        self.dims = [most if one is None else min(one, most) for one in dims]

    def reliability(self, at: int, held: Evidence) -> Array | None:
        """Correlation of the held-out pairs along each kept direction (k,), never below 0."""
        xx, xy, yy = self.frame.scatters(held)
        k = self.dims[at]
        a, b = self.a[:, :k], self.b[:, :k]
        xp = namespace(a)
        parts = ((a, xy, b), (a, xx, a), (b, yy, b))
        return _ratio(*(xp.sum(left * (inside @ right), axis=0) for left, inside, right in parts))

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        k = self.dims[at]
        a, b = self.a[:, :k], self.b[:, :k]
        directed = a @ (self.rho[:k][:, None] * self.inner_v[:k, :]) @ self.unwhiten
        settings = {"kappa": self.kappa, "dims": k, **self.frame.settings}
        record = {
            "solver": "csa",
            "settings": settings,
            "method": method(self.frame, "eigh, then svd"),
            "rcond": reciprocal(self.rho[:k]),
        }
        return self.frame.alignment(a, b, directed, rank=k, weights=fit_width(weights, k), record=record)


def correlations(p: Array, q: Array) -> Array:
    """Correlation (k,) of paired rows (m, k) about the training means, never below 0."""
    xp = namespace(p)
    return _ratio(xp.sum(p * q, axis=0), xp.sum(p * p, axis=0), xp.sum(q * q, axis=0))


def _ratio(both: Array, left: Array, right: Array) -> Array:
    """``both / sqrt(left * right)`` (k,), never below 0; 0 where a side does not vary."""
    xp, square = namespace(both), left * right
    spread = xp.sqrt(xp.where(square > 0, square, xp.zeros_like(square)))
    rho = both / xp.where(spread > 0, spread, xp.ones_like(spread))
    return xp.where((spread > 0) & (rho > 0), rho, xp.zeros_like(rho))


def mean_reliability(parts: Sequence[Array | None]) -> Array | None:
    """Mean over folds of held-out correlations, on the directions all of them have; None without weights."""
    some = [part for part in parts if part is not None]
    if not some:
        return None
    width = min(int(part.shape[0]) for part in some)
    return sum(part[:width] for part in some) / len(some)


def _whitening(values: Array, kappa: float, width: int) -> Array:
    """Roots (r,) of the regularised eigenvalues ``values + k``; k is relative to the raw width's mean eigenvalue."""
    return namespace(values).sqrt(values + (kappa * float(namespace(values).sum(values)) / width or 1.0))


class CSADraft(LeadingDraft):
    """Every number of ``dims`` (None: all) of one training set, at one kappa."""

    def __init__(self, axes: Axes, kappa: float, dims: Sequence[int | None]) -> None:
        s_root = _whitening(axes.source_values, kappa, axes.widths[0])
        self.t_root = _whitening(axes.target_values, kappa, axes.widths[1])
        u, self.rho, v = draft_svd(axes.cross / s_root[:, None] / self.t_root)
        most = int(self.rho.shape[0])
        kept = [most if one is None else min(one, most) for one in dims]
        back = namespace(v).matrix_transpose(v * self.t_root[:, None]) * self.rho[:, None]
        super().__init__(axes, u / s_root[:, None], v / self.t_root[:, None], back, kept)

    def held_out_r2(self) -> list[float]:
        xp, whole = namespace(self.p), self.axes.target_spread or 1.0
        across = xp.matrix_transpose(self.inner)
        signal = xp.cumulative_sum(xp.sum(self.p * (self.axes.targets @ across), axis=0))
        square = leading_sums((xp.matrix_transpose(self.p) @ self.p) * (self.inner @ across))
        return [float(2 * signal[k - 1] - square[k - 1]) / whole for k in self.kept]

    def freedom(self, at: int) -> float:
        """Degrees of freedom of both sides' directions."""
        return float(self.kept[at] * (int(self.left.shape[0]) + int(self.right.shape[0])))

    def reliability(self, at: int) -> Array | None:
        k = self.kept[at]
        return correlations(self.p[:, :k], take(self.q[:, :k], self.axes.truth))


def tracks(extent: Extent, purpose: str) -> list[Track]:
    """The rows of the search that CSA offers: one for each kappa, along dims from all to few.

    d' ignores the weights, which make most cuts needless, so that the uncut form is a contender as well.
    """
    dims = [k for k in (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512) if k < extent.widest]
    path: tuple[int | None, ...] = (None, *reversed(dims))
    shown = ["all", *reversed(dims)]
    rows = [Track("csa", "none", {"kappa": kappa}, "dims", shown, *_both(kappa, path), uncut=True) for kappa in KAPPAS]
    if purpose == "head":  # a head needs the target's own units
        return rows
    parts: list[int | None] = [*principal_parts(extent)]
    for pca in parts or [None]:  # scaled, where no part cuts anything the whole
        few = tuple(k for k in path if k is None or pca is None or k < pca)
        shown_dims = ["all" if k is None else k for k in few]
        for kappa in KAPPAS[2:]:
            rows.append(
                Track("csa", "both", {"kappa": kappa}, "dims", shown_dims, *_both(kappa, few), uncut=True, pca=pca)
            )
    return rows


def _both(kappa: float, dims: Sequence[int | None]) -> tuple[Callable[[Frame], CSAPath], Callable[[Axes], CSADraft]]:
    return partial(CSAPath, kappa=kappa, dims=dims), partial(CSADraft, kappa=kappa, dims=dims)
