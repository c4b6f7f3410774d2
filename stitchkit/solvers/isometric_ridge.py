"""Ridge that shrinks toward the scaled isometry instead of toward zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import namespace
from stitchkit.core.evidence import Evidence
from stitchkit.solvers.axes import Axes, Extent
from stitchkit.solvers.drafts import FilterDraft
from stitchkit.solvers.frames import Frame, require
from stitchkit.solvers.paths import Track
from stitchkit.solvers.procrustes import ProcrustesDraft, ProcrustesPath
from stitchkit.solvers.ridge import ALPHAS, RidgePath
from stitchkit.solvers.settings import check_pca, check_scale, check_strength, plain_numbers


@dataclass(frozen=True)
class IsometricRidge:
    """``W = (Sx + lam I)^-1 (Sxy + lam s R)``: from least squares to scaled Procrustes in one dial.

    ``R = U_r V_r'`` and ``s`` are those of :class:`~stitchkit.Procrustes`, ``lam = alpha tr(Sx) / d_s``. It minimises
    ``||Yc - Xc W||^2 + lam ||W - s R||^2``: alpha -> 0 is least squares, alpha -> inf is ``s R``.

    Parameters
    ----------
    alpha
        Strength, relative to the mean eigenvalue of the source scatter.
    scale
        Sides divided by their per-feature standard deviation first: ``"none"``, ``"source"`` or ``"both"``.
    pca
        Principal directions kept of each (scaled) side before the fit; None keeps all.

    Examples
    --------
    >>> import numpy as np
    >>> from stitchkit.core.moments.moments import Moments
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(8, 5))  # hardly more anchors than dimensions
    >>> turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    >>> fitted = IsometricRidge(alpha=10.0).fit(Evidence(Moments.of(x, x @ turn)))
    >>> bool(np.allclose(fitted.to_target.weight, turn))
    True
    """

    alpha: float = 1.0
    scale: str = "none"
    pca: int | None = None
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_strength(self.alpha, "alpha", " The ends are LeastSquares and Procrustes.")
        check_scale(self.scale)
        check_pca(self.pca)

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space is the (scaled) target space, centred."""
        require(self, evidence)
        return IsometricRidgePath(Frame.of(evidence, self.scale, self.pca), (self.alpha,)).alignment(0)


class IsometricRidgePath(RidgePath):
    """Maps of every alpha in ``alphas`` from one eigendecomposition and one SVD.

    On the source's principal axes the map is ``f * inner + lam f * sR``, which is a ridge path whose axes are
    listed twice, with two filters.
    """

    name = "isometric_ridge"

    def __init__(self, frame: Frame, alphas: Sequence[float]) -> None:
        super().__init__(frame, alphas)
        xp = namespace(frame.ss)
        isometry = ProcrustesPath(frame, (None,))
        rank = isometry.ranks[0]
        toward = isometry.factor(rank) * (isometry.u @ xp.matrix_transpose(isometry.v))
        held = xp.stack([alpha * self.unit * self.filters[i, :] for i, alpha in enumerate(alphas)])
        self.filters = xp.concat([self.filters, held], axis=1)  # (a, 2 r_s)
        self.inner = xp.concat([self.inner, xp.matrix_transpose(self.vectors) @ toward], axis=0)
        self.vectors = xp.concat([self.vectors, self.vectors], axis=1)

    def _explained_scatter(self, at: int) -> None:
        return None  # two maps meet on every axis: no sum over axes


class IsometricRidgeDraft(FilterDraft):
    """Every alpha of one training set."""

    def __init__(self, axes: Axes, alphas: Sequence[float]) -> None:
        xp = namespace(axes.cross)
        isometry = ProcrustesDraft(axes, (None,))
        toward = isometry.factor(0) * (isometry.left @ xp.matrix_transpose(isometry.right))
        self.isometry_freedom = isometry.freedom(0)
        penalties = [alpha * axes.source_unit for alpha in alphas]
        filters = xp.stack([1 / (axes.source_values + penalty) for penalty in penalties])
        held = xp.stack([penalty * filters[i, :] for i, penalty in enumerate(penalties)])
        self.shrunk = axes.source_values * filters  # (a, r_s), the share of each axis that the data decide
        super().__init__(axes, xp.concat([filters, held], axis=1), xp.concat([axes.cross, toward], axis=0))

    def freedom(self, at: int) -> float:
        """Of least squares as far as the data decide, of the isometry as far as they do not."""
        kept = float(namespace(self.shrunk).sum(self.shrunk[at, :]))
        held = 1 - kept / int(self.shrunk.shape[1])
        return kept * int(self.inner.shape[1]) + max(held, 0.0) * self.isometry_freedom


def tracks(extent: Extent, purpose: str) -> list[Track]:
    """The rows of the search that isometric ridge offers: one for each scaling, along alpha, as for ridge."""
    scales = ("none", "source") if purpose == "head" else ("none", "source", "both")
    path, draft = partial(IsometricRidgePath, alphas=ALPHAS), partial(IsometricRidgeDraft, alphas=ALPHAS)
    safe = {"none": ALPHAS.index(1.0)} if purpose == "head" else {}
    return [
        Track("isometric_ridge", scale, {}, "alpha", ALPHAS, path, draft, reference=safe.get(scale)) for scale in scales
    ]
