"""Soft matching: few pairs start a map, a transport plan between the unpaired pools carries it on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import namespace
from stitchkit.core.errors import InputError
from stitchkit.core.evidence import Evidence
from stitchkit.solvers.pools.ensemble import Ensemble, Member, Strand
from stitchkit.solvers.pools.lowdin import Lowdin
from stitchkit.solvers.pools.sinkhorn import COLDEST, COLDEST_SINGLE, sinkhorn
from stitchkit.solvers.settings import plain_numbers

MANY, SLOW, QUICK = 40, 16, 8  # fewer anchors than MANY start further from the answer: SLOW steps instead of QUICK
ALONE, JOINED = 50, 100  # anchors up to which the members stand alone, and from which Löwdin has its full weight
NEARLY_EVEN = 1e-2  # relative error of the row sums of a draft's plan
LIMIT = 4000  # rows of a pool that are matched at once: the plan is dense


def lowdin_weight(n: int) -> float:
    """Weight of Löwdin's map beside soft matching's members, for ``n`` anchors: from 0 at 50 to 1 at 100."""
    return min(max((n - ALONE) / (JOINED - ALONE), 0.0), 1.0)


@dataclass(frozen=True)
class SoftMatching:
    """Procrustes on anchors and on softly matched pool rows, the match sharpened and the rank grown step by step.

    Each side is centred on all its visible rows, turned to its principal directions, and direction i scaled by
    ``(l_i + 1e-3 l_max)^(-a / 2)``. From ``A'B = U S V'`` over the anchors (rank n - 1) come the carriers
    ``F = U (S / S_0)^(p / 2)``, ``G = V (S / S_0)^(p / 2)``. Then, ``steps`` times: a transport plan P between the
    pools from ``cos(X F, Y G)`` at a falling heat, ``M = A'B / n + X' P Y``, and new carriers from its SVD with a
    rank that grows geometrically to r. Four members (a, p, r) do this on their own; the common space
    joins them at unit length, so a cosine in it is the mean of theirs. Above 50 anchors :class:`stitchkit.Lowdin` joins
    them; from 100 on it weighs as much as all members together.

    Parameters
    ----------
    steps
        Number of plans, at least 1; None takes 16 below 40 anchors, 8 from there on.
    heat
        Temperatures of the first and of the last plan, falling geometrically; not below 0.005.
    width
        Principal directions kept of each side.
    members
        (a, p, r) of each member; None takes the four that suit the number of anchors.
    limit
        Rows of a pool that are matched; of a longer pool a seeded draw is used. The plan is dense:
        ``16 m_s m_t`` bytes, 256 MB at the default limit.
    seed
        Seed of that draw; nothing else is random. Default: 0
    lowdin
        Weight of Löwdin's map beside that of all members together, 0 for none; None takes what suits the number of
        anchors, ``(n - 50) / 50`` within [0, 1].

    Notes
    -----
    The pools need not hold the same items, nor be of one size. There is no directed map. Where both sides have at least
    128 directions and the heat ends at .03 or above, all steps but the last are made in single precision, with singular
    directions from a Gram matrix and plans whose row sums are even to 1 %; the last step, and so the map, is in double
    precision.

    References
    ----------
    The alternation of transport plan and orthogonal map is Grave, Joulin and Berthet, "Unsupervised alignment of
    embeddings with Wasserstein Procrustes", AISTATS 2019.
    """

    steps: int | None = None
    heat: tuple[float, float] = (0.1, 0.04)
    width: int = 300
    members: tuple[Member, ...] | None = None
    limit: int = LIMIT
    seed: int = 0
    lowdin: float | None = None
    needs = frozenset({"moments", "anchors", "pools"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name, value, least in (("steps", self.steps, 1), ("width", self.width, 1), ("limit", self.limit, 20)):
            if value is not None and value < least:
                raise InputError(f"SoftMatching needs {name} of at least {least}; got {value}.")
        if self.lowdin is not None and not 0 <= self.lowdin <= 1e6:
            raise InputError(f"SoftMatching needs lowdin from 0, for none, to 1e6; got {self.lowdin}.")
        if not self.heat[0] >= self.heat[1] >= COLDEST:
            raise InputError(f"SoftMatching needs a heat that falls to no less than {COLDEST}; got {self.heat}.")

    @property
    def settings_record(self) -> dict[str, Any]:
        """Settings for the record."""
        return {"steps": self.steps, "heat": list(self.heat), "width": self.width}

    def fit(self, evidence: Evidence) -> Alignment:
        """The joined alignment of all members."""
        return self.alignment(self.match(evidence))

    def alignment(self, ensemble: Ensemble) -> Alignment:
        """The joined alignment of a matched ensemble."""
        weight = self._weight(ensemble.moments.count)
        record = {
            "solver": "soft_matching",
            "settings": self.settings_record,
            "seed": self.seed,
            "lowdin_weight": weight,
        }
        return ensemble.alignment(record, weight)

    def _weight(self, n: int) -> float:
        """Weight of Löwdin's map beside all members together."""
        return lowdin_weight(n) if self.lowdin is None else float(self.lowdin)

    def match(self, evidence: Evidence, *, draft: bool = False) -> Ensemble:
        """All members after the last step, which a draft makes in single precision like those before it."""
        start = Ensemble.start(evidence, self.members, width=self.width, limit=self.limit, seed=self.seed)
        closed = Lowdin().maps(evidence) if self._weight(evidence.moments.count) > 0 else None
        return replace(start, strands=tuple(self._climb(one, draft) for one in start.strands), closed=closed)

    def _climb(self, strand: Strand, draft: bool) -> Strand:
        steps = self.steps or (SLOW if int(strand.source.anchors.shape[0]) < MANY else QUICK)
        first, last = int(strand.carriers.source.shape[1]), strand.member.rank
        moving = strand.draft() if self.heat[1] >= COLDEST_SINGLE else strand
        for step in range(1, steps + 1):
            if step == steps and not draft:
                moving = replace(strand, carriers=moving.carriers.like(strand.source.pool))
            moving = self._step(moving, (step - 1) / max(steps - 1, 1), round(first * (last / first) ** (step / steps)))
        return moving

    def _step(self, strand: Strand, done: float, rank: int) -> Strand:
        """The carriers of one more plan, at the heat of the share ``done`` of the way."""
        hot, cold = self.heat
        x, y = strand.pools()
        single = x.dtype == namespace(x).float32
        scores = x @ namespace(y).matrix_transpose(y)
        plan = sinkhorn(scores, hot * (cold / hot) ** done, tolerance=NEARLY_EVEN if single else 0.0)
        return strand.refit(strand.anchors_cross() + plan.cross(strand.source.pool, strand.target.pool), rank)
