"""A few pairs and unpaired pools: the branch is chosen by held-out anchors that must find themselves in the pools.

Three branches: the closed form (Löwdin, centred on anchors and pool), soft matching (pools without common items),
hard matching (pools that share items). Where the two spaces hardly agree the pools mislead and the closed form wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.alignment.accounts import with_account
from stitchkit.alignment.choice import standard_error
from stitchkit.alignment.folds import assign
from stitchkit.alignment.pool_rows import dropped_note, pool_rows
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, namespace, take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import UnknownNameError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments import Moments
from stitchkit.core.neighbours import crowding
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.roles import Solver
from stitchkit.solvers.pools.hard_matching import HardMatching
from stitchkit.solvers.pools.lowdin import Lowdin
from stitchkit.solvers.pools.sides import at_most
from stitchkit.solvers.pools.soft_matching import LIMIT, SoftMatching

FOLDS = 4
FEW, MANY_FOLDS = 20, 10  # fewer anchors than this leave too little in three of four folds
BRANCHES = ("closed form", "soft", "hard")
SOLVED, UNSOLVED = 0.88, 0.60  # share of mutual neighbours after the hard rounds, for pools of the same items
STABLE = 0.1  # share of the smaller pool that the folds' fits pair alike, below which no common items are assumed
NEAR = 10  # typical rank among the pool at which the two spaces are taken to agree; of few anchors a tenth of the pool
MEANING = (
    "mutual_share: part of the smaller pool with a mutual nearest neighbour after the hard rounds; if both pools hold "
    f"the same items, {SOLVED} and above is solved, {UNSOLVED} and below is not, and between them nobody can say. "
    "stable_share: part of it that the fits of two folds pair alike, a low estimate of the items that both pools hold"
)
TRANSDUCTIVE = (
    "fitted on the pool's rows too: retrieval among those rows is in-sample; an honest number needs items that were "
    "neither anchors nor in a pool"
)


def align_with_pool(
    source: Any,
    target: Any,
    pool: Any,
    *,
    groups: Any = None,
    branch: str = "auto",
    closed_form: Solver | None = None,
    limit: int = LIMIT,
    seed: int = 0,
) -> Alignment:
    """The map between two spaces from few anchors and unpaired vectors of both.

    Parameters
    ----------
    source : (n, d_s), target : (n, d_t)
        Anchors: Embeddings (paired by id) or arrays paired by row.
    pool : (source_pool (m_s, d_s), target_pool (m_t, d_t))
        Unpaired Embeddings or arrays of the same two spaces, at least 20 rows each: of the same items in unknown order,
        of other items, or anything between. Rows that are anchors already are left out.
    groups : (n,), optional
        Patient of each anchor; folds never split a group.
    branch
        ``"auto"`` judges all three; ``"closed form"``, ``"soft"`` or ``"hard"`` fits that one.
    closed_form
        Solver of the first branch; None is :class:`stitchkit.Lowdin`.
    limit
        Rows of a pool that are matched (a seeded draw of a longer pool); memory is ``24 limit^2`` bytes.
    seed
        Of folds and draws.

    Returns
    -------
    Alignment
        ``record`` holds ``branch``, ``branches`` (what each reached on held-out anchors), ``overlap``, what is
        ``transductive``, and notes. Soft and hard matching have no directed map.

    Raises
    ------
    InputError
        Pools of fewer than 20 rows, NaN, zero rows, fewer than two anchors.
    SpaceMismatchError
        A pool of another encoder.

    Notes
    -----
    Each branch is fitted without each of 4 folds (10 below 20 anchors), and every held-out anchor is ranked by CSLS(10)
    among the pool of the other side, both ways; a branch is scored by mean ``log(1 / rank)``. Hard matching is taken
    where its mutual neighbours say that the pools hold the same items, or where it scores above soft matching and the
    folds' fits pair at least a tenth of the pool alike; else soft matching. Either must beat the closed form, and by
    one paired standard error where the closed form's median rank is above 10 (above a tenth of the pool for fewer than
    20 anchors). Fewer than 4 anchors (or groups) cannot be held out: the closed form is fitted and the record says so.
    """
    if branch != "auto" and branch not in BRANCHES:
        raise UnknownNameError.of("branch", branch, ["auto", *BRANCHES])
    x, y = paired_sides(source, target)
    cluster = anchor_groups(groups, x)
    pools, dropped = pool_rows(pool, x, y)
    bench = Bench(x, y, pools, closed_form or Lowdin(), HardMatching(soft=SoftMatching(limit=limit, seed=seed)))
    clusters = len(x) if cluster is None else len(np.unique(cluster))
    notes = dropped_note(dropped)
    if branch == "auto" and clusters < FOLDS:
        kind = "anchors" if cluster is None else "groups of anchors"
        notes.append(f"{clusters} {kind} are too few to hold any out: the closed form, and no choice was made")
        return _with(bench.fit(BRANCHES[0]), {"branch": BRANCHES[0], "chosen_by": "default", "notes": notes})
    if branch != "auto":
        fitted = bench.fit(branch)
        account: dict[str, Any] = {"branch": branch, "chosen_by": "the caller", "notes": notes}
        if branch == "hard":
            account["overlap"] = _overlap(fitted.record)
        return _with(fitted, account)
    return _chosen(bench, cluster, notes, seed)


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Anchors and pools, and the solvers that are to be compared on them."""

    x: Embeddings
    y: Embeddings
    pools: tuple[Array, Array]
    closed_form: Solver
    hard: HardMatching

    def evidence(self, rows: np.ndarray | None = None) -> Evidence:
        """The anchors at ``rows`` (all if None) with both pools."""
        x, y = (self.x, self.y) if rows is None else (self.x.take(rows), self.y.take(rows))
        return Evidence(Moments.of(x, y), None, (x.vectors, y.vectors), self.pools)

    def fit(self, branch: str) -> Alignment:
        """One branch on all anchors."""
        solver: dict[str, Solver] = {"closed form": self.closed_form, "soft": self.hard.soft, "hard": self.hard}
        return solver[branch].fit(self.evidence())

    def every(self, rows: np.ndarray | None = None) -> tuple[dict[str, Alignment], frozenset[tuple[int, int]]]:
        """All branches on the anchors at ``rows``, and the pool pairs that hard matching ends with."""
        given = self.evidence(rows)
        ensemble = self.hard.soft.matched(given)
        settled, pairs = self.hard.settled(ensemble)
        fitted = {
            "closed form": self.closed_form.fit(given),
            "soft": self.hard.soft.alignment(ensemble),
            "hard": self.hard.alignment(settled, pairs),
        }
        return fitted, pairs.known()

    def ranks(self, fitted: Alignment, rows: np.ndarray) -> np.ndarray:
        """Ranks (2, k) of held-out anchors among the other side's pool by CSLS(10): there, and back; ties count half.

        Without the correction pool rows, which matching has drawn to the other side, would crowd out fresh ones.
        """
        a, b = take(self.x.vectors, rows), take(self.y.vectors, rows)
        own = np.diagonal(to_numpy(fitted.similarity(a, b)))
        soft = self.hard.soft
        rivals = (at_most(pool, soft.limit, soft.seed) for pool in self.pools)  # as many as are matched
        (left, right), (p, q) = fitted.unit_rows(a, b), fitted.unit_rows(*rivals)
        there = _rank(own, left, right, q, p)
        return np.stack([there, _rank(own, right, left, p, q)])


def _chosen(bench: Bench, cluster: np.ndarray | None, notes: list[str], seed: int) -> Alignment:
    n = len(bench.x)
    groups = np.arange(n) if cluster is None else cluster
    ranks = {name: np.empty((2, n)) for name in BRANCHES}
    found = []
    parts = assign(n, cluster, seed=seed, k=MANY_FOLDS if n < FEW else FOLDS)
    for held in parts:
        fitted, pairs = bench.every(np.setdiff1d(np.arange(n), held))
        found.append(pairs)
        for name, one in fitted.items():
            ranks[name][:, held] = bench.ranks(one, held)
    whole, _ = bench.every()
    seen = _overlap(whole["hard"].record, found)
    best, gain = _best(ranks, groups, seen, min(whole["hard"].record["pool_used"].values()))
    account = {
        "branch": best,
        "chosen_by": "held-out anchors ranked among the pools by CSLS, mean log(1/rank)",
        "purpose": "match",
        "branches": [_row(name, ranks[name]) for name in BRANCHES],
        "overlap": seen,
        "folds": len(parts),
        "groups": len(np.unique(groups)),
        "seed": seed,
        "notes": notes + _branch_notes(best, gain, seen),
    }
    return _with(whole[best], account)


def _best(ranks: Mapping[str, np.ndarray], groups: np.ndarray, seen: Mapping[str, Any], pool: int) -> tuple[str, float]:
    """The branch, and what it gains on the closed form in log(rank) of an anchor.

    Ranks of ten anchors are noisy, so the pools' own evidence counts as well: hard matching is taken where it solved
    pools of the same items, and otherwise only if the folds' fits found the same pairs. Where the closed form leaves
    most anchors far from their partner, the spaces may hardly agree: there a paired standard error must be won.
    """
    logs = {name: -np.log(found).mean(axis=0) for name, found in ranks.items()}  # both directions of an anchor
    if seen["same_items"] == "solved":
        return "hard", float((logs["hard"] - logs["closed form"]).mean())
    harder = logs["hard"].mean() > logs["soft"].mean() and seen["stable_share"] >= STABLE
    best = "hard" if harder else "soft"
    gains = logs[best] - logs["closed form"]
    gain = float(gains.mean())
    near = NEAR if len(groups) >= FEW else max(NEAR, pool / 10)
    agree = np.median(ranks["closed form"]) <= near
    return (best if gain > (0 if agree else standard_error(gains, groups)) else "closed form"), gain


def _row(name: str, ranks: np.ndarray) -> dict[str, Any]:
    """What one branch reached on held-out anchors."""
    return {
        "branch": name,
        "log_rank": float(np.mean(-np.log(ranks))),
        "mrr": float(np.mean(1 / ranks)),
        "recall@1": float(np.mean(ranks <= 1)),
        "median_rank": float(np.median(ranks)),
    }


def _rank(own: np.ndarray, queries: Array, truth: Array, rivals: Array, across: Array) -> np.ndarray:
    """Rank (k,) of each query's truth, similarity ``own``, among ``rivals``; ``across`` is the queries' side's pool."""
    true = 2 * own - crowding(truth, across)
    against = 2 * to_numpy(queries @ namespace(rivals).matrix_transpose(rivals)) - crowding(rivals, across)[None, :]
    above, equal = against > true[:, None], against == true[:, None]
    return np.asarray(1 + above.sum(axis=1) + equal.sum(axis=1) / 2)


def _overlap(record: Mapping[str, Any], found: Sequence[frozenset[tuple[int, int]]] = ()) -> dict[str, Any]:
    """What hard matching's pairs tell about items that both pools share; ``found`` are the pairs of each fold's fit."""
    smaller = min(record["pool_used"].values())
    share = record["mutual_share"]
    free = smaller < 2 * record["rank"]  # so few rows find mutual neighbours whatever the truth
    verdict = "solved" if share >= SOLVED and not free else "not solved" if share <= UNSOLVED else "uncertain"
    seen = {"mutual_share": share, "same_items": verdict, "means": MEANING}
    if found:
        both = [len(one & other) for i, one in enumerate(found) for other in found[:i]]
        seen["stable_share"] = float(np.mean(both)) / smaller
    return seen


def _branch_notes(best: str, gain: float, seen: Mapping[str, Any]) -> list[str]:
    if best == "closed form":
        return [
            "the pools gave nothing: matching them does not rank held-out anchors clearly better than the closed form, "
            "which takes only its centre from them. The two spaces may hardly agree, or the anchors are enough"
        ]
    if seen["same_items"] == "solved":
        return [f"the pools hold the same items: {seen['mutual_share']:.0%} of their rows are mutual neighbours"]
    return [f"{best} matching divides the typical rank of a held-out anchor in the pool by {np.exp(gain):.2f}"]


def fit_with_pool(solver: Solver, x: Embeddings, y: Embeddings, pool: Any) -> Alignment:
    """A solver that matches pools, as it is: paired anchors ``x`` and ``y``, and both pools."""
    pools, dropped = pool_rows(pool, x, y)
    fitted = solver.fit(Evidence(Moments.of(x, y), None, (x.vectors, y.vectors), pools))
    return _with(fitted, {"chosen_by": "the caller", "notes": dropped_note(dropped)})


def _with(fitted: Alignment, account: Mapping[str, Any]) -> Alignment:
    rest = {name: value for name, value in account.items() if name != "notes"}
    return with_account(fitted, {**rest, "transductive": TRANSDUCTIVE}, account.get("notes", []))
