"""Löwdin: every anchor a direction, made orthogonal with the least change; closed form, for few pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, float64, namespace, svd
from stitchkit.core.errors import InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.maps import AffineMap
from stitchkit.core.space import Space, common_fingerprint
from stitchkit.solvers.conditions import reciprocal
from stitchkit.solvers.frames import require
from stitchkit.solvers.settings import plain_numbers
from stitchkit.solvers.sides import numerical_rank


@dataclass(frozen=True)
class Lowdin:
    """``f(x) = x A' (A A' + k I)^-1/2`` on centred anchor rows A, the same with the other side's rows.

    Coordinate i of the common space belongs to anchor i on both sides, so nothing has to be turned. Of all
    orthonormal bases of the anchors' span this is the one nearest to the anchors themselves (Löwdin's symmetric
    orthogonalisation); ``k = shrink * mean eigenvalue of A A'`` keeps weak directions from being blown up.

    Parameters
    ----------
    shrink
        Relative to the mean eigenvalue, above 0.

    Notes
    -----
    The centre is the mean of all rows at hand: the anchors, and the pool where the evidence has one. The common
    space is as wide as there are anchors: the two weights hold ``8 n (d_s + d_t)`` bytes. The directed map is
    ``s A' (A A' + k)^-1/2 (B B' + k)^-1/2 B`` with the scale s that fits the anchors best: an isometry, softly cut.

    References
    ----------
    Löwdin, Journal of Chemical Physics 18 (1950) 365.

    Examples
    --------
    >>> import numpy as np
    >>> from stitchkit.core.evidence import Evidence
    >>> from stitchkit.core.moments.moments import Moments
    >>> x = np.random.default_rng(0).normal(size=(8, 20))
    >>> y = x[:, ::-1].copy()
    >>> found = Lowdin().fit(Evidence(Moments.of(x, y), None, (x, y)))
    >>> found.similarity(x, y).argmax(axis=1)
    array([0, 1, 2, 3, 4, 5, 6, 7])
    """

    shrink: float = 0.03
    needs = frozenset({"moments", "anchors"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        if not (self.shrink > 0 and math.isfinite(self.shrink)):
            raise InputError(f"Lowdin needs shrink above 0; got {self.shrink}. 0.03 is a good start.")

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space has one direction for each anchor."""
        source, target, rcond = self._both(evidence)
        m, rank, rows = evidence.moments, source.rank, evidence.anchors or (None, None)
        rotation = source.weight @ namespace(target.weight).matrix_transpose(target.weight)
        a, b = (float64(side) - one.center for side, one in zip(rows, (source, target), strict=True))
        stretch = _stretch(a @ rotation, b)
        return Alignment(
            source,
            target,
            None,
            AffineMap(m.source, m.target, source.center, stretch * rotation, target.center, rank),
            {
                "solver": "lowdin",
                "settings": {"shrink": self.shrink},
                "rank": rank,
                "anchors": m.count,
                "r2": _explained_share(stretch * (a @ rotation), b, float64(rows[1])),
                "method": "svd in the span of the anchors" if m.count - 1 < m.shape[0] else "svd",
                "rcond": rcond,
                "centre": "anchors" if evidence.pools is None else "anchors and pool",
            },
        )

    def maps(self, evidence: Evidence) -> tuple[AffineMap, AffineMap]:
        """Both maps into the common space."""
        return self._both(evidence)[:2]

    def _both(self, evidence: Evidence) -> tuple[AffineMap, AffineMap, float]:
        """Both maps into the common space, and the source's reciprocal condition number."""
        require(self, evidence)
        m, rows, pools = evidence.moments, evidence.anchors or (None, None), evidence.pools or (None, None)
        means = [_centre(float64(side), pool) for side, pool in zip(rows, pools, strict=True)]
        a, b = (float64(side) - mean for side, mean in zip(rows, means, strict=True))
        left, rank_s, rcond = _symmetric(a, self.shrink)
        right, rank_t, _ = _symmetric(b, self.shrink)
        fingerprint = common_fingerprint((m.source, m.target), m.count, weights=[left])
        common = Space(f"{m.source.name} | {m.target.name}", m.count, fingerprint)
        nil, rank = namespace(left).zeros_like(left[0, :]), min(rank_s, rank_t)
        source = AffineMap(m.source, common, means[0], left, nil, rank)
        return source, AffineMap(m.target, common, means[1], right, nil, rank), rcond


def _centre(rows: Array, pool: Array | None) -> Array:
    """Mean (d,) of all rows at hand."""
    xp = namespace(rows)
    near = rows[0, :]  # far from the origin a plain mean loses digits
    offsets = rows - near if pool is None else xp.concat([rows - near, float64(pool) - near], axis=0)
    return near + xp.mean(offsets, axis=0)


def _symmetric(rows: Array, shrink: float) -> tuple[Array, int, float]:
    """``A' (A A' + k I)^-1/2`` (d, n) of centred rows A (n, d), how many directions they show, and how evenly."""
    xp = namespace(rows)
    u, s, vh = svd(rows)
    floor = shrink * float(xp.sum(s * s)) / int(rows.shape[0])
    if floor == 0:
        return xp.zeros_like(xp.matrix_transpose(rows)), 1, 0.0
    gain = s / xp.sqrt(s * s + floor)
    return (xp.matrix_transpose(vh) * gain) @ xp.matrix_transpose(u), numerical_rank(s * s), reciprocal(s * s, floor)


def _stretch(mapped: Array, wanted: Array) -> float:
    """The factor that brings ``mapped`` (n, d) nearest to ``wanted`` (n, d)."""
    xp = namespace(mapped)
    size = float(xp.sum(mapped * mapped))
    return float(xp.sum(mapped * wanted)) / size if size > 0 else 0.0


def _explained_share(mapped: Array, wanted: Array, rows: Array) -> float:
    """Share of the anchors' own scatter in the target that the directed map explains, in-sample."""
    xp = namespace(mapped)
    whole = float(xp.sum((rows - xp.mean(rows, axis=0)) ** 2))
    return 1 - float(xp.sum((mapped - wanted) ** 2)) / whole if whole > 0 else 0.0
