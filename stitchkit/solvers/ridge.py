"""Ridge regression: the whole path of strengths from one eigendecomposition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, eye_like, namespace
from stitchkit.core.errors import InputError
from stitchkit.core.moments import Evidence
from stitchkit.solvers.frames import Frame, check_scale, identified, require
from stitchkit.solvers.paths import Track, separations

ALPHAS = tuple(10.0 ** (half / 2) for half in range(-12, 11))  # 1e-6 .. 1e5


@dataclass(frozen=True)
class Ridge:
    """``W = (Sx + lam I)^-1 Sxy`` with ``lam = alpha tr(Sx) / d_s``, after scaling.

    Parameters
    ----------
    alpha
        Strength, relative to the mean eigenvalue of the source scatter.
    scale
        Sides divided by their per-feature standard deviation first: ``"none"``, ``"source"`` or ``"both"``.

    References
    ----------
    Hoerl and Kennard, Technometrics 12 (1970).
    """

    alpha: float = 0.1
    scale: str = "none"
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise InputError(f"ridge needs a finite alpha > 0; got {self.alpha}. For no penalty use LeastSquares.")
        check_scale(self.scale)

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space is the (scaled) target space, centred."""
        require(self, evidence)
        return RidgePath(Frame.of(evidence, self.scale), (self.alpha,)).alignment(0)


class RidgePath:
    """Ridge maps of every alpha in ``alphas`` from one eigendecomposition."""

    def __init__(self, frame: Frame, alphas: Sequence[float]) -> None:
        self.frame, self.alphas = frame, alphas
        xp = namespace(self.frame.ss)
        self.values, self.vectors = frame.source_eigh
        self.inner = xp.matrix_transpose(self.vectors) @ self.frame.st  # (r_s, r_t)
        mean = float(xp.linalg.trace(self.frame.ss)) / self.frame.moments.shape[0] or 1.0
        shrunk = [1 / (self.values + alpha * mean) for alpha in alphas]
        self.filters = xp.stack(shrunk)  # (a, r_s)

    def _in_eigenbasis(self, held: Evidence) -> tuple[Array, Array, Array]:
        xx, xy, yy = self.frame.view(held)
        back = namespace(xx).matrix_transpose(self.vectors)
        return back @ xx @ self.vectors, back @ xy, yy

    def separation(self, held: Evidence) -> list[float]:
        xx, xy, yy = self._in_eigenbasis(held)
        return separations(*self._traces(xx, xy, self.inner @ yy))

    def explained(self, held: Evidence) -> list[float]:
        xx, xy, yy = self._in_eigenbasis(held)
        signal, square = self._traces(xx, xy, self.inner)
        whole = self.frame.target_spread(held, yy) or 1.0
        return [float((2 * a - b) / whole) for a, b in zip(signal, square, strict=True)]

    def _traces(self, xx: Array, xy: Array, right: Array) -> tuple[Array, Array]:
        """tr(W' M_xy) and tr(W' M_xx W M) for every alpha, with ``right`` = inner @ M (r_s, r_t); O(r_s^2) each."""
        xp = namespace(xx)
        signal = self.filters @ xp.sum(xy * self.inner, axis=1)
        weave = xx * (right @ xp.matrix_transpose(self.inner))
        return signal, xp.sum((self.filters @ weave) * self.filters, axis=1)

    def freedom(self, at: int) -> float:
        xp = namespace(self.values)
        kept = self.values * self.filters[at, :]
        most = float(xp.max(kept))  # a cosine does not see a common shrinkage
        return float(xp.sum(kept)) / most * self.frame.target.width if most > 0 else 0.0

    def reliability(self, at: int, held: Evidence) -> Array | None:
        return None

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        weight = self.vectors @ (self.filters[at, :][:, None] * self.inner)
        same = eye_like(weight, self.frame.target.width)
        settings = {"alpha": self.alphas[at], "scale": self.frame.scale}
        rank = min(identified(self.values), identified(self.frame.target_eigh[0]))
        return self.frame.alignment(
            weight, same, weight, rank=rank, weights=weights, record={"solver": "ridge", "settings": settings}
        )


def tracks(evidence: Evidence, purpose: str) -> list[Track]:
    """The rows of the search that ridge offers: one for each scaling; a head wants the target's own units."""
    scales = ("none", "source") if purpose == "head" else ("none", "source", "both")
    return [Track("ridge", scale, {}, "alpha", ALPHAS, partial(RidgePath, alphas=ALPHAS)) for scale in scales]
