"""Hard matching: where pools share items, mutual neighbours become pairs and the map is fitted again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, best_values, namespace, take, to_numpy
from stitchkit.core.errors import InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.neighbours import csls
from stitchkit.solvers.pools.ensemble import Ensemble, Strand
from stitchkit.solvers.pools.soft_matching import SoftMatching
from stitchkit.solvers.settings import plain_numbers

NEIGHBOURS = 10
FEWEST = 20  # pairs kept at least
ANCHOR = 3.0  # an anchor counts as this many found pairs
FIRST = 0.3  # share of the pairs that the first round of a sweep keeps
SETTLED = 0.95  # share of the pairs that the sweep before had found too, from which another one changes nothing


class Pairs(NamedTuple):
    """Rows that are each other's best: ``source`` and ``target`` positions (k,), surest first."""

    source: np.ndarray
    target: np.ndarray

    def best(self, share: float) -> Pairs:
        """The surest part, but never fewer than 20."""
        kept = max(FEWEST, round(share * len(self.source)))
        return Pairs(self.source[:kept], self.target[:kept])

    def as_set(self) -> frozenset[tuple[int, int]]:
        """The pairs in no order."""
        return frozenset(zip(self.source.tolist(), self.target.tolist(), strict=True))


class HardMatch(NamedTuple):
    """Result of all sweeps: the ensemble, its mutual pairs, and the share of them that the sweep before had too."""

    ensemble: Ensemble
    pairs: Pairs
    again: float


@dataclass(frozen=True)
class HardMatching:
    """:class:`SoftMatching`, then rounds of mutual nearest neighbours taken as pairs.

    A round finds the rows of both pools that are each other's best by CSLS(10) on the joined similarity, keeps the
    surest of them (at least 20), and refits every member on them and the anchors, an anchor counting as three pairs.
    A sweep is ``rounds`` rounds whose share grows evenly from .3 to all, and as many that keep all. Sweeps follow one
    another until one finds the pairs of the last again, or no more of them: one sweep may end halfway, and going back
    to the surest pairs frees it.

    Parameters
    ----------
    rounds
        Rounds of growing share, and again of the full share; at least 1.
    sweeps
        Largest number of sweeps, at least 1.
    soft
        Settings of the soft matching before. Default: ``SoftMatching()``

    Notes
    -----
    The record's ``mutual_share`` is the number of mutual pairs over the size of the smaller pool. It tells how well
    pools of the SAME items were matched; where only a part is shared it is bounded by that part. ``found_again`` is
    the share of the pairs that the last sweep found as the one before did. Holds three
    (m_s, m_t) matrices. There is no directed map.

    References
    ----------
    Conneau et al., "Word translation without parallel data", ICLR 2018, for CSLS and mutual neighbours.
    """

    rounds: int = 5
    sweeps: int = 6
    soft: SoftMatching = field(default_factory=SoftMatching)
    needs = frozenset({"moments", "anchors", "pools"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name, value in (("rounds", self.rounds), ("sweeps", self.sweeps)):
            if value < 1:
                raise InputError(f"HardMatching needs {name} of at least 1; got {value}.")

    def fit(self, evidence: Evidence) -> Alignment:
        """The joined alignment of all members after the last round."""
        return self.alignment(self.run_sweeps(self.soft.match(evidence)))

    def run_sweeps(self, ensemble: Ensemble, *, draft: bool = False) -> HardMatch:
        """The ensemble and its pairs after all sweeps, from one that soft matching left.

        Pairs are found in single precision, where the members are wide; unless this is a draft, the ensemble is then
        fitted to the last pairs in its own.
        """
        moving = ensemble.draft()
        moving, used, pairs = self._sweep(moving, mutual_pairs(*moving.pools()))
        again = 0.0
        for _ in range(self.sweeps - 1):
            last = pairs.as_set()
            moving, used, pairs = self._sweep(moving, pairs)
            again = len(pairs.as_set() & last) / max(len(pairs.source), 1)
            if again >= SETTLED or len(pairs.source) <= len(last):
                break
        return HardMatch(moving if draft else refit(ensemble, used), pairs, again)

    def _sweep(self, ensemble: Ensemble, pairs: Pairs) -> tuple[Ensemble, Pairs, Pairs]:
        """The ensemble after one sweep from its mutual ``pairs``, the pairs it is fitted to, and those it finds."""
        used = None
        for share in self.shares():
            kept = pairs.best(share)
            if used is not None and share == 1 and kept.as_set() == used.as_set():
                break  # the same pairs give the same map from here on
            ensemble, used = refit(ensemble, kept), kept
            pairs = mutual_pairs(*ensemble.pools())
        return ensemble, used or pairs, pairs

    def alignment(self, settled: HardMatch) -> Alignment:
        """The joined alignment of a match, with the shares of its pairs in the record."""
        pairs = settled.pairs
        smaller = min(int(side.shape[0]) for side in settled.ensemble.pools())
        return settled.ensemble.alignment(
            {
                "solver": "hard_matching",
                "settings": {"rounds": self.rounds, "sweeps": self.sweeps, **self.soft.settings_record},
                "seed": self.soft.seed,
                "mutual_pairs": len(pairs.source),
                "mutual_share": len(pairs.source) / smaller,
                "found_again": settled.again,
            }
        )

    def shares(self) -> list[float]:
        """Share of the mutual pairs that each round of a sweep keeps."""
        growing = [FIRST + (1 - FIRST) * t / self.rounds for t in range(self.rounds)]
        return growing + [1.0] * self.rounds


def mutual_pairs(x: Array, y: Array, k: int = NEIGHBOURS) -> Pairs:
    """Rows of ``x`` (m_s, r) and ``y`` (m_t, r), both at unit length, that are each other's best by CSLS(k)."""
    xp = namespace(x)
    similar = x @ xp.matrix_transpose(y)
    near = (to_numpy(best_values(one, k)).mean(axis=1) for one in (similar, xp.matrix_transpose(similar)))
    scores = csls(similar, *near)
    there, back = to_numpy(xp.argmax(scores, axis=1)), to_numpy(xp.argmax(scores, axis=0))
    own = np.flatnonzero(back[there] == np.arange(len(there)))
    best = to_numpy(xp.max(scores, axis=1))[own]
    order = own[np.argsort(-best, kind="stable")]
    return Pairs(order, there[order])


def refit(ensemble: Ensemble, pairs: Pairs) -> Ensemble:
    """Every member fitted to the anchors and ``pairs``."""

    def again(strand: Strand) -> Strand:
        x, y = take(strand.source.pool, pairs.source), take(strand.target.pool, pairs.target)
        cross = namespace(x).matrix_transpose(x) @ y
        anchors = int(strand.source.anchors.shape[0])
        return strand.refit(ANCHOR * anchors * strand.anchors_cross() + cross, strand.member.rank)

    return replace(ensemble, strands=tuple(again(strand) for strand in ensemble.strands))
