"""The ensemble of matching: members with the same rows and different spreads, powers and ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, float64, namespace
from stitchkit.core.evidence import Evidence
from stitchkit.core.maps import AffineMap, JoinedMap, unit
from stitchkit.core.moments.moments import Moments
from stitchkit.core.moments.row_moments import RowMoments
from stitchkit.core.space import Space, common_fingerprint
from stitchkit.solvers.frames import rows_of_moments
from stitchkit.solvers.pools.leading import leading
from stitchkit.solvers.pools.sides import PooledSide, TemperedRows, at_most, visible

SINGLE = 128  # width of both sides from which drafts are made in single precision


class Member(NamedTuple):
    """Settings of one member: spreads tempered by ``exponent``, carriers weighted by ``power``, ``rank`` of them."""

    exponent: float
    power: float
    rank: int


def members_for(n: int) -> tuple[Member, ...]:
    """The four members for ``n`` anchors: the fewer anchors, the fewer carriers and the more the first ones count."""
    low = int(np.clip(round(1.6 * n), 40, 160))
    high = min(2 * low, 256)
    weak, strong = (0.3, 0.6) if n < 20 else (0.15, 0.45) if n < 40 else (0.0, 0.3)
    return Member(0.0, weak, low), Member(0.25, weak, high), Member(0.25, strong, low), Member(0.5, strong, high)


class Carriers(NamedTuple):
    """Directions that go together, (k_s, r) and (k_t, r), in a member's coordinates."""

    source: Array
    target: Array

    @classmethod
    def of(cls, cross: Array, rank: int, power: float) -> Carriers:
        """The first ``rank`` singular directions of ``cross`` (k_s, k_t), each times ``(s / s_0)^(power / 2)``."""
        xp = namespace(cross)
        u, s, v = leading(cross, rank)
        kept = max(int(xp.sum(xp.astype(s > 1e-10 * s[0], xp.int64))), 1)
        weight = (s[:kept] / xp.where(s[0] > 0, s[0], xp.ones_like(s[0]))) ** (power / 2)
        return cls(u[:, :kept] * weight, v[:, :kept] * weight)

    def like(self, rows: Array) -> Carriers:
        """The same in the precision of ``rows``."""
        xp = namespace(rows)
        return Carriers(*(xp.astype(one, rows.dtype, copy=False) for one in self))


@dataclass(frozen=True, slots=True, eq=False)
class Strand:
    """State of one member: both sides in its coordinates, and its carriers so far."""

    member: Member
    source: TemperedRows
    target: TemperedRows
    carriers: Carriers

    @classmethod
    def start(cls, member: Member, source: PooledSide, target: PooledSide) -> Strand:
        """Carriers of the anchors alone, as many as they show."""
        left, right = source.temper(member.exponent), target.temper(member.exponent)
        first = min(max(int(left.anchors.shape[0]) - 1, 1), member.rank)
        return cls(member, left, right, Carriers.of(_product(left.anchors, right.anchors), first, member.power))

    def anchors_cross(self) -> Array:
        """``A' B / n`` (k_s, k_t) of the anchors."""
        return _product(self.source.anchors, self.target.anchors) / int(self.source.anchors.shape[0])

    def refit(self, cross: Array, rank: int) -> Strand:
        """The same member with the carriers of ``cross``."""
        return replace(self, carriers=Carriers.of(cross, rank, self.member.power))

    def draft(self) -> Strand:
        """The same member in single precision, where the coordinates are wide enough for that to be worth it."""
        if min(int(side.lift.shape[1]) for side in (self.source, self.target)) < SINGLE:
            return self
        source = self.source.single()
        return replace(self, source=source, target=self.target.single(), carriers=self.carriers.like(source.pool))

    def pools(self) -> tuple[Array, Array]:
        """Both pools along the carriers, (m_s, r) and (m_t, r), at unit length."""
        return unit(self.source.pool @ self.carriers.source), unit(self.target.pool @ self.carriers.target)


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """All members over one pair of sides."""

    moments: Moments | RowMoments
    means: tuple[Array, Array]
    strands: tuple[Strand, ...]
    pool_sizes: tuple[int, int]  # rows of the pools before any draw
    closed: tuple[AffineMap, AffineMap] | None = None  # a closed form's maps, which may stand beside the members

    @classmethod
    def start(
        cls, evidence: Evidence, members: Sequence[Member] | None, *, width: int, limit: int, seed: int
    ) -> Ensemble:
        """Members that know the anchors only; pools above ``limit`` rows are cut to a seeded draw."""
        m = evidence.moments
        rows_of_moments(evidence)
        rows, pools = visible(evidence, "matching with pools")
        sizes = int(pools[0].shape[0]), int(pools[1].shape[0])
        names = (m.source.name, m.target.name)
        source, target = (
            PooledSide.of(side, at_most(pool, limit, seed), width, name)
            for side, pool, name in zip(rows, pools, names, strict=True)
        )
        strands = tuple(Strand.start(one, source, target) for one in members or members_for(m.count))
        return cls(m, (source.mean, target.mean), strands, sizes)

    def draft(self) -> Ensemble:
        """The same members in single precision, where they are wide enough."""
        return replace(self, strands=tuple(strand.draft() for strand in self.strands))

    def pools(self) -> tuple[Array, Array]:
        """Both pools in the joined space: the members' unit rows side by side, at unit length together."""
        both = [strand.pools() for strand in self.strands]
        xp = namespace(both[0][0])
        share = len(both) ** -0.5
        x, y = (share * xp.concat([pair[i] for pair in both], axis=1) for i in (0, 1))
        return x, y

    def alignment(self, record: Mapping[str, Any], weight: float = 0.0) -> Alignment:
        """The joined alignment, the closed form with ``weight`` beside all members; it has no directed map."""
        m = self.moments
        parts = [
            tuple(view.lift @ float64(side) for view, side in zip((one.source, one.target), one.carriers, strict=True))
            for one in self.strands
        ]
        widths = [int(left.shape[1]) for left, _ in parts]
        fingerprint = common_fingerprint((m.source, m.target), m.count, weights=[parts[0][0]])
        name = f"{m.source.name} | {m.target.name}"
        maps = []
        for i, space in enumerate((m.source, m.target)):
            one_side = tuple(
                AffineMap(
                    space,
                    Space(f"{name} ({at + 1})", width, fingerprint and f"{fingerprint}|{at}"),
                    self.means[i],
                    pair[i],
                    namespace(pair[i]).zeros_like(pair[i][0, :]),
                    width,
                )
                for at, (pair, width) in enumerate(zip(parts, widths, strict=True))
            )
            maps.append(self._join(one_side, Space(name, sum(widths), fingerprint), i, weight))
        used = [int(view.pool.shape[0]) for view in (self.strands[0].source, self.strands[0].target)]
        return Alignment(
            maps[0],
            maps[1],
            None,
            None,
            {
                **record,
                "rank": max(widths),
                "anchors": m.count,
                "members": [one.member._asdict() for one in self.strands],
                "pool": {"source": self.pool_sizes[0], "target": self.pool_sizes[1]},
                "pool_used": {"source": used[0], "target": used[1]},
                "centre": "anchors and pool",
            },
        )

    def _join(self, members: tuple[AffineMap, ...], space: Space, side: int, weight: float) -> JoinedMap:
        """One side's members side by side, and the closed form behind them where it has a weight."""
        if self.closed is None or not weight > 0:
            return JoinedMap(members, space)
        own, fingerprint = self.closed[side], space.fingerprint
        wider = Space(space.name, space.dim + own.target.dim, fingerprint and f"{fingerprint}|{weight}")
        return JoinedMap((*members, own), wider, (*[1.0] * len(members), weight * len(members)))


def _product(x: Array, y: Array) -> Array:
    """``X' Y`` of rows (n, k_s) and (n, k_t)."""
    return namespace(x).matrix_transpose(x) @ y
