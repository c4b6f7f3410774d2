"""The choice among branches for a few pairs and two pools: held-out anchors are ranked among the pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stitchkit.alignment.anchor_search import AnchorSearch
from stitchkit.alignment.folds import assign
from stitchkit.alignment.rules import standard_error
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, float64, namespace, take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments
from stitchkit.core.neighbours import crowding
from stitchkit.core.pairing import paired_sides
from stitchkit.core.patients import count_patients, patient_of_each
from stitchkit.core.roles import Solver
from stitchkit.metrics.tied_ranks import Ranks
from stitchkit.runtime.progress import Progress
from stitchkit.solvers.pools.hard_matching import SETTLED, HardMatching
from stitchkit.solvers.pools.sides import at_most

FOLDS = 4
FEW, MANY_FOLDS = 20, 10  # below FEW anchors three of four folds are too few to fit on, so that more folds are used
BRANCHES = ("closed form", "soft", "hard")
ALONE = "pairs alone"  # the search over solvers, which looks at no pool
SOLVED, UNSOLVED = 0.88, 0.60  # share of mutual neighbours after the hard sweeps, for pools of the same items
STABLE = 0.1  # share of the smaller pool that the folds' fits pair alike, below which no common items are assumed
NEAR = 10  # typical rank among the pool at which the two spaces are taken to agree; of few anchors a tenth of the pool
ERRORS = 2.0  # standard errors by which held-out anchors must beat a random ranking
MEANING = (
    "mutual_share: part of the smaller pool with a mutual nearest neighbour after the hard sweeps; if both pools hold "
    f"the same items, {SOLVED} and above is solved, {UNSOLVED} and below is not, and between them it is uncertain. "
    "stable_share: part of it that the fits of two folds pair alike, a low estimate of the items that both pools hold"
)


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """Anchors, pools, and the solvers to compare on them."""

    x: Embeddings
    y: Embeddings
    pools: tuple[Array, Array]
    closed_form: Solver
    hard: HardMatching
    cluster: np.ndarray | None = None  # (n,) patient of each anchor
    seed: int = 0
    search: AnchorSearch | None = None  # the rival that uses no pool

    @property
    def compares_alone(self) -> bool:
        """True where the search on the pairs alone is a rival; fewer anchors are too few to choose by."""
        return self.search is not None and len(self.x) >= FEW

    def fit_pairs_alone(self, rows: np.ndarray | None = None) -> Alignment:
        """The map that the search chooses on the anchors at ``rows`` (all if None), without the pools."""
        if self.search is None:
            raise InputError("there is no search on the pairs alone to compare the pools with.")
        at = np.arange(len(self.x)) if rows is None else rows
        x, y = paired_sides(self.x.take(at), self.y.take(at))
        return self.search.fit(x, y, None if self.cluster is None else self.cluster[at])

    def evidence(self, rows: np.ndarray | None = None) -> Evidence:
        """The anchors at ``rows`` (all if None) with both pools."""
        x, y = (self.x, self.y) if rows is None else (self.x.take(rows), self.y.take(rows))
        folds = None
        if "folds" in self.closed_form.needs:
            whose = self.cluster if self.cluster is None or rows is None else self.cluster[rows]
            parts = assign(len(x), whose, seed=self.seed)
            folds = [Moments.of(x.take(part), y.take(part)) for part in parts]
        return Evidence(Moments.of(x, y), folds, (x.vectors, y.vectors), self.pools)

    @property
    def rivals(self) -> tuple[int, int]:
        """Rows of each pool that an anchor is ranked among: as many as are matched."""
        left, right = (min(int(pool.shape[0]), self.hard.soft.limit) for pool in self.pools)
        return left, right

    def fit(self, branch: str) -> Alignment:
        """One branch on all anchors."""
        solver: dict[str, Solver] = {"closed form": self.closed_form, "soft": self.hard.soft, "hard": self.hard}
        return solver[branch].fit(self.evidence())

    def fit_all(
        self, rows: np.ndarray | None = None, *, sweeps: int | None = None
    ) -> tuple[dict[str, Alignment], frozenset[tuple[int, int]]]:
        """All branches on the anchors at ``rows``, and the pool pairs that hard matching ends with.

        Without some of the anchors both matchings are drafts: single precision where the spaces are wide.
        """
        evidence, draft = self.evidence(rows), rows is not None
        ensemble = self.hard.soft.match(evidence, draft=draft)
        settled = (self.hard if sweeps is None else replace(self.hard, sweeps=sweeps)).run_sweeps(ensemble, draft=draft)
        fitted = {
            "closed form": self.closed_form.fit(evidence),
            "soft": self.hard.soft.alignment(ensemble),
            "hard": self.hard.alignment(settled),
        }
        return fitted, settled.pairs.as_set()

    def ranks(self, fitted: Alignment, rows: np.ndarray) -> np.ndarray:
        """Pool rows above and pool rows equal, (2, 2, k), of held-out anchors by CSLS(10), in both directions.

        Without the correction pool rows, which matching has drawn to the other side, would crowd out fresh ones.
        """
        a, b = take(self.x.vectors, rows), take(self.y.vectors, rows)
        own = np.diagonal(to_numpy(fitted.similarity(a, b)))
        soft = self.hard.soft
        others = (at_most(pool, soft.limit, soft.seed) for pool in self.pools)  # as many as are matched
        (left, right), (p, q) = fitted.unit_rows(a, b), fitted.unit_rows(*others)
        there = _rank(own, left, right, q, p)
        return np.stack([there, _rank(own, right, left, p, q)], axis=1)


def choose_branch(branches: Branches, bar: Progress) -> tuple[Alignment, dict[str, Any]]:
    """The best branch fitted on all anchors, and the record of the choice."""
    n = len(branches.x)
    groups = patient_of_each(branches.cluster, n)
    names = (*BRANCHES, ALONE) if branches.compares_alone else BRANCHES
    places = {name: np.empty((2, 2, n), dtype=np.int64) for name in names}
    pairs_of_folds = []
    whole, _ = branches.fit_all()
    hard = whole["hard"].record
    solved = overlap(hard)["same_items"] == "solved"
    folds = assign(n, branches.cluster, seed=branches.seed, k=MANY_FOLDS if n < FEW and not solved else FOLDS)
    settles = hard["found_again"] >= SETTLED or hard["mutual_share"] > UNSOLVED
    sweeps = None if settles else 1  # if all anchors cannot decide, fewer cannot either
    bar.begin("matching the pools, fits", 1 + len(folds), done=1)
    for held in folds:
        rest = np.setdiff1d(np.arange(n), held)
        fitted, pairs = branches.fit_all(rest, sweeps=sweeps)
        pairs_of_folds.append(pairs)
        if branches.compares_alone:
            fitted[ALONE] = branches.fit_pairs_alone(rest)
        for name, one in fitted.items():
            places[name][:, :, held] = branches.ranks(one, held)
        bar.step(1)
    common = overlap(hard, pairs_of_folds)
    ranks = {name: Ranks.of(*one) for name, one in places.items()}
    best, why = _best({name: ranks[name] for name in BRANCHES}, groups, common, branches.rivals)
    if branches.compares_alone and _clearly_better(ranks[ALONE], ranks[best], groups):
        why = f"a map searched on the pairs alone ranks held-out anchors clearly better than {best}: pools did harm"
        best = ALONE
    rows = {name: _row(name, one, groups, branches.rivals) for name, one in ranks.items()}
    return branches.fit_pairs_alone() if best == ALONE else whole[best], {
        "branch": best,
        "chosen_by": "held-out anchors ranked among the pools by CSLS, mean log(1/rank)",
        "purpose": "match",
        "branches": list(rows.values()),
        "held_out": {
            **{name: rows[best][name] for name in ("mrr", "se", "recall@1", "gallery", "chance_mrr")},
            "estimate": "anchors that no fit saw, ranked among the pool; the branch was chosen by the same",
        },
        "overlap": common,
        "folds": len(folds),
        "groups": count_patients(groups),
        "seed": branches.seed,
        "notes": [why],
    }


def _best(
    ranks: Mapping[str, Ranks], groups: np.ndarray, common: Mapping[str, Any], rivals: tuple[int, int]
) -> tuple[str, str]:
    """The branch and the reason for it.

    Ranks of ten anchors are noisy, so the pools' own evidence counts as well: hard matching is chosen where it solved
    pools of the same items, and otherwise only if the fits of the folds matched the same pairs. Where the closed form
    leaves most anchors far from their partner, the spaces may hardly agree; there matching must be better by a paired
    standard error. And a matching must rank held-out anchors better than chance does.
    """
    logs = {name: -one.logarithm.mean(axis=0) for name, one in ranks.items()}  # both directions of an anchor
    solved = common["same_items"] == "solved"
    harder = logs["hard"].mean() > logs["soft"].mean() and common["stable_share"] >= STABLE
    best = "hard" if solved or harder else "soft"
    expected, error = _of_chance(rivals, count_patients(groups))
    if max(float(one.mean()) for one in logs.values()) < expected + ERRORS * error:
        return BRANCHES[0], (
            "the pools gave nothing, and no branch ranks held-out anchors clearly better than chance: these anchors "
            "hardly link the two spaces"
        )
    gains = logs[best] - logs["closed form"]
    near = NEAR if len(groups) >= FEW else max(NEAR, min(rivals) / 10)
    agree = np.median(ranks["closed form"].middle) <= near
    beaten = float(logs[best].mean()) < expected + ERRORS * error
    if beaten or not (solved or gains.mean() > (0 if agree else standard_error(gains, groups))):
        return BRANCHES[0], (
            "the pools gave nothing: matching them does not rank held-out anchors clearly better than the closed form, "
            "which takes only its centre from them. The two spaces may hardly agree, or the anchors are enough"
        )
    if solved:
        return best, f"the pools hold the same items: {common['mutual_share']:.0%} of their rows are mutual neighbours"
    return best, (
        f"{best} matching divides the typical rank of a held-out anchor in the pool by {np.exp(gains.mean()):.2f}"
    )


def _clearly_better(one: Ranks, other: Ranks, groups: np.ndarray) -> bool:
    """True where ranks (2, n) are better than others by more than one paired standard error of their logarithm."""
    gains = (other.logarithm - one.logarithm).mean(axis=0)
    return bool(gains.mean() > standard_error(gains, groups))


def _of_chance(rivals: tuple[int, int], groups: int) -> tuple[float, float]:
    """Mean log(1/rank) of a random ranking among each pool and the truth, and its standard error over ``groups``."""
    logs = [-np.log(np.arange(1, m + 2)) for m in rivals]
    # both directions of an anchor may rank alike, so that the second adds no certainty
    return float(np.mean([one.mean() for one in logs])), max(float(one.std()) for one in logs) / groups**0.5


def _row(name: str, ranks: Ranks, groups: np.ndarray, rivals: tuple[int, int]) -> dict[str, Any]:
    """Numbers of one branch on held-out anchors, beside chance."""
    return {
        "branch": name,
        "log_rank": float(np.mean(-ranks.logarithm)),
        "mrr": float(np.mean(ranks.reciprocal)),
        "se": standard_error(ranks.reciprocal.mean(axis=0), groups),
        "recall@1": float(np.mean(ranks.recall(1))),
        "median_rank": float(np.median(ranks.middle)),
        "gallery": round(float(np.mean(rivals))) + 1,
        "chance_mrr": float(np.mean([np.mean(1 / np.arange(1, m + 2)) for m in rivals])),
    }


def _rank(own: np.ndarray, queries: Array, truth: Array, rivals: Array, across: Array) -> np.ndarray:
    """Rivals above and rivals equal, (2, k), of each query's truth, similarity ``own``; ``across``: its side's pool."""
    queries, rivals = (float64(rows) for rows in (queries, rivals))
    true = 2 * own - crowding(truth, across)
    against = 2 * to_numpy(queries @ namespace(rivals).matrix_transpose(rivals)) - crowding(rivals, across)[None, :]
    above, equal = against > true[:, None], against == true[:, None]
    return np.stack([above.sum(axis=1), equal.sum(axis=1)])


def overlap(record: Mapping[str, Any], pairs: Sequence[frozenset[tuple[int, int]]] = ()) -> dict[str, Any]:
    """Evidence of items that both pools share, from hard matching; ``pairs`` are those of each fold's fit."""
    smaller = min(record["pool_used"].values())
    share = record["mutual_share"]
    free = smaller < 2 * record["rank"]  # so few rows have mutual neighbours by chance
    verdict = "solved" if share >= SOLVED and not free else "not solved" if share <= UNSOLVED else "uncertain"
    result = {"mutual_share": share, "same_items": verdict, "means": MEANING}
    if pairs:
        both = [len(one & other) for i, one in enumerate(pairs) for other in pairs[:i]]
        result["stable_share"] = float(np.mean(both)) / smaller
    return result
