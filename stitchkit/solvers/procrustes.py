"""Orthogonal Procrustes for any widths: a partial isometry on the directions the anchors identify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, namespace, svd, take
from stitchkit.core.evidence import Evidence
from stitchkit.solvers.axes import Axes, Extent
from stitchkit.solvers.conditions import method, reciprocal
from stitchkit.solvers.drafts import LeadingDraft, draft_svd
from stitchkit.solvers.frames import Frame, require
from stitchkit.solvers.paths import Track
from stitchkit.solvers.settings import check_cut, check_number_kept, check_pca, check_scale, plain_numbers

RANKS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)


@dataclass(frozen=True)
class Procrustes:
    """``R = U_r V_r'`` from the SVD of the cross scatter ``Sxy = U S V'``.

    Both sides are projected on the r kept directions; the directed map is ``s U_r V_r'`` with
    ``s = tr(S) / tr(R' Sx R)``. For unequal widths this maximises the trace, as zero padding would; for a wider
    source it is not the minimiser of ``||X R - Y||``.

    Parameters
    ----------
    rank
        Directions kept; None keeps all that the anchors identify.
    scale
        Sides divided by their per-feature standard deviation first: ``"none"``, ``"source"`` or ``"both"``.
    pca
        Principal directions kept of each (scaled) side before the fit; None keeps all.
    rcond
        Singular values below ``rcond`` times the largest are not identified.
    stretch
        True for a directed map with the scale s, False for a rigid one (s = 1); cosines are the same. Default: True
    reflections
        True to allow det R = -1 (default). False flips the direction of least singular value where that is the answer
        (Kabsch). A determinant exists only for equal widths at full rank; a map of lower rank is part of a
        proper rotation and of an improper one, so nothing is flipped there, and the record says so.

    References
    ----------
    Schoenemann, Psychometrika 31 (1966); Kabsch, Acta Crystallographica A32 (1976); Umeyama, IEEE PAMI 13 (1991).
    """

    rank: int | None = None
    scale: str = "none"
    pca: int | None = None
    rcond: float = 1e-10
    stretch: bool = True
    reflections: bool = True
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_number_kept(self.rank, "rank")
        check_cut(self.rcond)
        check_scale(self.scale)
        check_pca(self.pca)

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space holds the r kept directions."""
        require(self, evidence)
        frame = Frame.of(evidence, self.scale, self.pca)
        path = ProcrustesPath(frame, (self.rank,), self.rcond, stretch=self.stretch, reflections=self.reflections)
        return path.alignment(0)


class ProcrustesPath:
    """Maps of every rank in ``ranks`` (None: all) from one SVD."""

    def __init__(
        self,
        frame: Frame,
        ranks: Sequence[int | None],
        rcond: float = 1e-10,
        *,
        stretch: bool = True,
        reflections: bool = True,
    ) -> None:
        self.frame, self.stretch, self.reflections = frame, stretch, reflections
        xp = namespace(frame.st)
        u, s, vh = svd(frame.st)
        identified = max(int(xp.sum(xp.astype(s > rcond * xp.max(s), xp.int64))), 1)
        self.ranks = [identified if rank is None else min(rank, identified) for rank in ranks]
        self.u, self.s, self.v = u[:, :identified], s[:identified], xp.matrix_transpose(vh)[:, :identified]
        self.full = identified == frame.moments.shape[0] == frame.moments.shape[1]
        self.gap = (
            reciprocal(self.s[-2:]) if self.full and identified > 1 else 0.0
        )  # 1: which one to flip is not determined
        self.flipped = self.full and not reflections and _is_improper(self.u, self.v)
        if self.flipped:
            self.s = xp.concat([self.s[:-1], -self.s[-1:]])
            self.v = xp.concat([self.v[:, :-1], -self.v[:, -1:]], axis=1)

    def factor(self, rank: int) -> float:
        """The scale s of the directed map: tr(S) / tr(R' Sx R) over the kept directions; never below 0."""
        if not self.stretch:
            return 1.0 if bool(self.s[0] > 0) else 0.0  # sides that do not vary together turn nothing
        xp, u = namespace(self.u), self.u[:, :rank]
        spread = float(xp.sum(u * (self.frame.ss @ u)))
        return max(float(xp.sum(self.s[:rank])) / spread, 0.0) if spread > 0 else 0.0

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        r = self.ranks[at]
        u, v = self.u[:, :r], self.v[:, :r]
        directed = self.factor(r) * (u @ namespace(v).matrix_transpose(v))
        return self.frame.alignment(u, v, directed, rank=r, weights=weights, record=self._record(r))

    def _record(self, r: int) -> dict[str, Any]:
        settings = {"rank": r, **self.frame.settings}
        settings |= {} if self.stretch else {"stretch": False}
        settings |= {} if self.reflections else {"reflections": False}
        return {
            "solver": "procrustes",
            "settings": settings,
            "method": method(self.frame, "svd"),
            "rcond": reciprocal(self.s[:r]),
            "stretch": self.factor(r),
            "notes": [] if self.reflections else self._on_reflections(r),
        }

    def _on_reflections(self, r: int) -> list[str]:
        d_s, d_t = self.frame.moments.shape
        if not (self.full and r == d_s):
            return [f"rank {r} of {d_s} -> {d_t} dimensions is part of a proper rotation: there was nothing to flip"]
        if self.flipped and self.gap > 1 - 1e-9:
            return ["the two least singular values are equal: which direction is flipped is not determined"]
        return []


def _is_improper(u: Array, v: Array) -> bool:
    """True where the square ``u v'`` has determinant -1."""
    xp = namespace(u)
    return float(xp.linalg.det(u)) * float(xp.linalg.det(v)) < 0


class ProcrustesDraft(LeadingDraft):
    """Every rank of one training set."""

    def __init__(self, axes: Axes, ranks: Sequence[int | None]) -> None:
        u, self.s, v = draft_svd(axes.cross)
        identified = int(self.s.shape[0])
        kept = [identified if rank is None else min(rank, identified) for rank in ranks]
        super().__init__(axes, u, v, namespace(v).matrix_transpose(v), kept)

    def factor(self, at: int) -> float:
        """The scale of the directed map, as :meth:`ProcrustesPath.factor`."""
        r, xp = self.kept[at], namespace(self.s)
        u = self.left[:, :r]
        spread = float(xp.sum(u * (self.axes.source_values[:, None] * u)))
        return float(xp.sum(self.s[:r])) / spread if spread > 0 else 0.0

    def held_out_r2(self) -> list[float]:
        xp, whole = namespace(self.p), self.axes.target_spread or 1.0
        signal = xp.cumulative_sum(xp.sum(self.p * take(self.q, self.axes.truth), axis=0))
        square = xp.cumulative_sum(xp.sum(self.p * self.p, axis=0))
        factors = [self.factor(at) for at in range(len(self.kept))]
        return [
            float(2 * f * signal[r - 1] - f**2 * square[r - 1]) / whole for r, f in zip(self.kept, factors, strict=True)
        ]

    def coordinates(self, at: int) -> Array:
        return self.factor(at) * super().coordinates(at)

    def freedom(self, at: int) -> float:
        """Degrees of freedom of two orthonormal frames that share their rotation."""
        r = self.kept[at]
        widths = int(self.left.shape[0]) + int(self.right.shape[0])
        return r * (widths - r) - r * (r + 1) / 2


def rank_path(extent: Extent, more: Sequence[int] = ()) -> tuple[tuple[int | None, ...], list[int | str]]:
    """Ranks from all (None) to few that the anchors can identify, and their values in a record; ``more`` are added."""
    ranks = [r for r in (*more, *RANKS) if r < extent.widest]
    return (None, *reversed(ranks)), ["all", *reversed(ranks)]


def tracks(extent: Extent, purpose: str) -> list[Track]:
    """The rows of the search that Procrustes offers: one for each scaling, along ranks from all to few.

    For a head the map of full rank is a contender as well, since a low rank costs in its outputs, not in d'.
    """
    path, shown = rank_path(extent)
    opened, draft = partial(ProcrustesPath, ranks=path), partial(ProcrustesDraft, ranks=path)
    return [
        Track("procrustes", scale, {}, "rank", shown, opened, draft, uncut=purpose == "head")
        for scale in ("none", "source", "both")
    ]
