"""Orthogonal Procrustes for any widths: a partial isometry on the directions the anchors identify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, namespace
from stitchkit.core.errors import InputError
from stitchkit.core.moments import Evidence
from stitchkit.solvers.frames import Frame, check_scale, require
from stitchkit.solvers.paths import Track, separations


@dataclass(frozen=True)
class Procrustes:
    """``R = U_r V_r'`` from the SVD of the cross scatter ``Sxy = U S V'``; reflections are allowed.

    Both sides are projected on the r kept directions; the directed map is ``s U_r V_r'`` with
    ``s = tr(S) / tr(R' Sx R)``. For unequal widths this maximises the trace, as zero padding would; for a wider
    source it is not the minimiser of ``||X R - Y||``.

    Parameters
    ----------
    rank
        Directions kept; None keeps all that the anchors identify.
    scale
        Sides divided by their per-feature standard deviation first: ``"none"``, ``"source"`` or ``"both"``.
    rcond
        Singular values below ``rcond`` times the largest are not identified.

    References
    ----------
    Schoenemann, Psychometrika 31 (1966).
    """

    rank: int | None = None
    scale: str = "none"
    rcond: float = 1e-10
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise InputError(f"Procrustes needs rank >= 1; got {self.rank}.")
        check_scale(self.scale)

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space holds the r kept directions."""
        require(self, evidence)
        return ProcrustesPath(Frame.of(evidence, self.scale), (self.rank,), self.rcond).alignment(0)


class ProcrustesPath:
    """Maps of every rank in ``ranks`` (None: all) from one SVD."""

    def __init__(self, frame: Frame, ranks: Sequence[int | None], rcond: float = 1e-10) -> None:
        self.frame = frame
        xp = namespace(self.frame.st)
        u, s, vh = xp.linalg.svd(self.frame.st, full_matrices=False)
        found = max(int(xp.sum(xp.astype(s > rcond * xp.max(s), xp.int64))), 1)
        self.ranks = [found if rank is None else min(rank, found) for rank in ranks]
        self.u, self.s, self.v = u[:, :found], s[:found], xp.matrix_transpose(vh)[:, :found]

    def separation(self, held: Evidence) -> list[float]:
        xx, xy, yy = self.frame.view(held)
        xp = namespace(xx)
        signal = xp.cumulative_sum(xp.sum(self.u * (xy @ self.v), axis=0))
        left = xp.matrix_transpose(self.u) @ xx @ self.u
        right = xp.matrix_transpose(self.v) @ yy @ self.v
        woven = left * right
        square = xp.linalg.diagonal(xp.cumulative_sum(xp.cumulative_sum(woven, axis=0), axis=1))
        return separations(*([part[r - 1] for r in self.ranks] for part in (signal, square)))

    def explained(self, held: Evidence) -> list[float]:
        xx, xy, yy = self.frame.view(held)
        xp = namespace(xx)
        signal = xp.cumulative_sum(xp.sum(self.u * (xy @ self.v), axis=0))
        square = xp.cumulative_sum(xp.sum(self.u * (xx @ self.u), axis=0))
        whole = self.frame.target_spread(held, yy) or 1.0
        return [
            float((2 * stretch * signal[r - 1] - stretch**2 * square[r - 1]) / whole)
            for r, stretch in ((r, self._stretch(r)) for r in self.ranks)
        ]

    def _stretch(self, rank: int) -> float:
        """The scale s of the directed map: tr(S) / tr(R' Sx R) over the kept directions."""
        xp, u = namespace(self.u), self.u[:, :rank]
        spread = float(xp.sum(u * (self.frame.ss @ u)))
        return float(xp.sum(self.s[:rank])) / spread if spread > 0 else 0.0

    def freedom(self, at: int) -> float:
        r = self.ranks[at]
        return r * (self.frame.source.width + self.frame.target.width - r) - r * (r + 1) / 2

    def reliability(self, at: int, held: Evidence) -> Array | None:
        return None

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        r = self.ranks[at]
        u, v = self.u[:, :r], self.v[:, :r]
        record = {"solver": "procrustes", "settings": {"rank": r, "scale": self.frame.scale}}
        directed = self._stretch(r) * (u @ namespace(v).matrix_transpose(v))
        return self.frame.alignment(u, v, directed, rank=r, weights=weights, record=record)


def tracks(evidence: Evidence, purpose: str) -> list[Track]:
    """The rows of the search that Procrustes offers: one for each scaling, along ranks from all to few.

    A head wants the target's own units, so the target side is not scaled for one.
    """
    widest = min(*evidence.moments.shape, evidence.moments.count - 1)
    ranks = [r for r in (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768) if r < widest]
    path: tuple[int | None, ...] = (None, *reversed(ranks))
    shown = ["all", *reversed(ranks)]
    return [
        Track("procrustes", scale, {}, "rank", shown, partial(ProcrustesPath, ranks=path))
        for scale in (("none", "source") if purpose == "head" else ("none", "source", "both"))
    ]
