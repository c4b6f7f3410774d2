"""Ridge regression: the whole path of strengths from one eigendecomposition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, eye_like, namespace
from stitchkit.core.errors import UnknownNameError
from stitchkit.core.evidence import Evidence
from stitchkit.solvers.axes import Axes, Extent
from stitchkit.solvers.conditions import method, reciprocal
from stitchkit.solvers.drafts import FilterDraft
from stitchkit.solvers.frames import Frame, require
from stitchkit.solvers.paths import Track, principal_parts
from stitchkit.solvers.settings import check_pca, check_scale, check_strength, plain_numbers
from stitchkit.solvers.strengths import RULES, choose_strength, mean_eigenvalue

ALPHAS = tuple(10.0 ** (half / 2) for half in range(-12, 11))  # 1e-6 .. 1e5


@dataclass(frozen=True)
class Ridge:
    """``W = (Sx + lam I)^-1 Sxy`` with ``lam = alpha tr(Sx) / d_s``, after scaling.

    Parameters
    ----------
    alpha
        Strength, relative to the mean eigenvalue of the source scatter; or the rule that chooses it between 1e-6
        and 1e5 (four decades further at an end that wins). ``"gcv"``: generalised cross-validation, from moments
        alone. ``"loo"``: exact leave-one-out at a fixed penalty, from the anchor rows. Neither knows groups: where
        a patient has several anchors both choose too little, and ``sk.align(solver="ridge", groups=...)`` does not.
    scale
        Sides divided by their per-feature standard deviation first: ``"none"``, ``"source"`` or ``"both"``.
    pca
        Principal directions kept of each (scaled) side before the fit; None keeps all. ``tr(Sx)`` is that of the
        part kept, ``d_s`` the whole width.

    References
    ----------
    Hoerl and Kennard, Technometrics 12 (1970); Golub, Heath and Wahba, Technometrics 21 (1979).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 5))
    >>> y = x @ rng.normal(size=(5, 3)) + rng.normal(size=(60, 3))
    >>> from stitchkit.core.moments.moments import Moments
    >>> fitted = Ridge(alpha="gcv").fit(Evidence(Moments.of(x, y)))
    >>> round(fitted.record["settings"]["alpha"], 3), fitted.record["strength"]["rule"]
    (0.01, 'gcv')
    """

    alpha: float | str = 0.1
    scale: str = "none"
    pca: int | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_alpha(self.alpha)
        check_scale(self.scale)
        check_pca(self.pca)

    @property
    def needs(self) -> frozenset[str]:
        """The parts of the evidence that are read: the rows too for leave-one-out."""
        return frozenset({"moments", "anchors"} if self.alpha == "loo" else {"moments"})

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space is the (scaled) target space, centred."""
        require(self, evidence)
        frame = Frame.of(evidence, self.scale, self.pca)
        if not isinstance(self.alpha, str):
            return RidgePath(frame, (self.alpha,)).alignment(0)
        choice = choose_strength(self.alpha, frame, evidence.anchors, ALPHAS)
        fitted = RidgePath(frame, (choice.alpha,)).alignment(0)
        return replace(fitted, record={**fitted.record, "strength": choice.record, "notes": choice.notes})


def check_alpha(alpha: float | str) -> None:
    """Raise for a strength that is neither a positive number nor a rule."""
    if isinstance(alpha, str):
        if alpha not in RULES:
            raise UnknownNameError.of("rule for alpha", alpha, RULES, "Or give a number above 0.")
    else:
        check_strength(alpha, "alpha", " For no penalty use LeastSquares.")


class RidgePath:
    """Ridge maps of every alpha in ``alphas`` from one eigendecomposition."""

    name = "ridge"

    def __init__(self, frame: Frame, alphas: Sequence[float]) -> None:
        self.frame, self.alphas = frame, alphas
        xp = namespace(frame.ss)
        self.values, self.vectors = frame.source_eigh
        self.inner = xp.matrix_transpose(self.vectors) @ frame.st  # (r_s, r_t)
        self.unit = mean_eigenvalue(frame)
        shrunk = [1 / (self.values + alpha * self.unit) for alpha in alphas]
        self.filters = xp.stack(shrunk)  # (a, r_s)

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        weight = self.vectors @ (self.filters[at, :][:, None] * self.inner)
        same = eye_like(weight, self.frame.target.width)
        rank = min(self.frame.source_rank, self.frame.target_rank)
        record = {
            "solver": self.name,
            "settings": {"alpha": self.alphas[at], **self.frame.settings},
            "method": method(self.frame, "eigh"),
            "rcond": reciprocal(self.values, self.alphas[at] * self.unit),
        }
        explained = self._explained_scatter(at)
        return self.frame.alignment(
            weight, same, weight, rank=rank, weights=weights, record=record, explained=explained
        )

    def _explained_scatter(self, at: int) -> float | None:
        """Scatter of the anchors' own targets that the map explains: each axis its own part."""
        kept, xp = self.filters[at, :], namespace(self.values)
        return float(xp.sum(kept * (2 - self.values * kept) * xp.sum(self.inner * self.inner, axis=1)))


class RidgeDraft(FilterDraft):
    """Every alpha of one training set."""

    def __init__(self, axes: Axes, alphas: Sequence[float]) -> None:
        xp = namespace(axes.cross)
        filters = xp.stack([1 / (axes.source_values + alpha * axes.source_unit) for alpha in alphas])
        super().__init__(axes, filters, axes.cross)

    def freedom(self, at: int) -> float:
        """Degrees of freedom of least squares on each axis, as far as the penalty leaves it free."""
        xp = namespace(self.filters)
        kept = self.axes.source_values * self.filters[at, :]
        most = float(xp.max(kept))  # a cosine does not see a common shrinkage
        return float(xp.sum(kept)) / most * int(self.inner.shape[1]) if most > 0 else 0.0


REFERENCE = {"none": ALPHAS.index(0.1)}  # scaling -> strength
REFERENCES_OF_FEW = {**REFERENCE, "source": ALPHAS.index(1.0)}


def tracks(extent: Extent, purpose: str) -> list[Track]:
    """The rows of the search that ridge offers: one for each scaling; a head needs the target's own units."""
    scales = ("none", "source") if purpose == "head" else ("none", "source", "both")
    path, draft = partial(RidgePath, alphas=ALPHAS), partial(RidgeDraft, alphas=ALPHAS)
    usual, few = ({}, {}) if purpose == "head" else (REFERENCE, REFERENCES_OF_FEW)
    whole = [
        Track(
            "ridge", scale, {}, "alpha", ALPHAS, path, draft,
            reference=usual.get(scale), reference_of_few=few.get(scale),
        )
        for scale in scales
    ]  # fmt: skip
    parts = principal_parts(extent) if purpose != "head" else []  # a head wants every direction of the target
    return whole + [Track("ridge", "both", {}, "alpha", ALPHAS, path, draft, pca=pca) for pca in parts]
