"""The verb for a few pairs and unpaired pools.

Three branches: the closed form (Löwdin, centred on anchors and pool), soft matching (pools without common items),
hard matching (pools that share items). Where the two spaces hardly agree, pools mislead and the closed form is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stitchkit.alignment.anchor_search import AnchorSearch
from stitchkit.alignment.pools.branches import ALONE, BRANCHES, FOLDS, Branches, choose_branch, overlap
from stitchkit.alignment.pools.rows import dropped_note, pool_rows
from stitchkit.alignment.record import with_record
from stitchkit.core.alignments import Alignment
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import UnknownNameError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.patients import patients_or_rows
from stitchkit.core.roles import Solver
from stitchkit.runtime.progress import Progress
from stitchkit.solvers.pools.hard_matching import HardMatching
from stitchkit.solvers.pools.lowdin import Lowdin
from stitchkit.solvers.pools.soft_matching import SoftMatching, lowdin_weight

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
    seed: int = 0,
    progress: bool | None = None,
    search: AnchorSearch | None = None,
) -> Alignment:
    """The map between two spaces from few anchors and unpaired vectors of both.

    Parameters
    ----------
    source : (n, d_s), target : (n, d_t)
        Anchors: Embeddings (paired by id) or arrays paired by row.
    pool : (source_pool (m_s, d_s), target_pool (m_t, d_t))
        Unpaired Embeddings or arrays of the same two spaces, at least 20 rows each: of the same items in unknown order,
        of other items, or anything between. Rows that are anchors already are left out, and of a longer pool a seeded
        draw of 4,000 rows is matched.
    groups : (n,), optional
        Patient of each anchor; folds never split a group.
    branch
        ``"auto"`` compares all three; ``"closed form"``, ``"soft"`` or ``"hard"`` fits that one.
    closed_form
        Solver of the first branch. Default: None, for :class:`stitchkit.Lowdin`
    seed
        Seed of the folds and of draws from a pool. Default: 0
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.
    search
        Settings of a search on the anchors without the pools, which from 20 anchors on is a rival of the branches
        (``"pairs alone"``). Default: None, for no such rival; :func:`stitchkit.align` gives its own search.

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
    Each branch is fitted without each of 4 folds (10 below 20 anchors, unless the pools are solved), and every held-out
    anchor is ranked by CSLS(10) among the pool of the other side, both ways; a branch is scored by mean
    ``log(1 / rank)``. Hard matching is taken where its mutual neighbours say that the pools hold the same items, or
    where it scores above soft matching and the folds' fits pair at least a tenth of the pool alike; else soft matching.
    Either must beat a random ranking by two standard errors, and the closed form: by one paired standard error where
    the closed form's median rank is above 10 (above a tenth of the pool for fewer than 20 anchors). Fewer than 4
    anchors (or groups) cannot be held out: the closed form is fitted and the record says so. From 20 anchors on the
    choice is held against ``search`` as well: where that ranks held-out anchors better by one paired standard error,
    the pools did harm and it is taken. Where both spaces are at least 128 wide, matching without a fold is in single
    precision; the alignment that is returned is fitted in double.
    """
    if branch != "auto" and branch not in BRANCHES:
        raise UnknownNameError.of("branch", branch, ["auto", *BRANCHES])
    x, y = paired_sides(source, target)
    cluster = anchor_groups(groups, x)
    pools, dropped = pool_rows(pool, x, y)
    # the weight is that of all anchors, so that folds fit the same solver
    hard = HardMatching(soft=SoftMatching(seed=seed, lowdin=lowdin_weight(len(x))))
    branches = Branches(
        x=x,
        y=y,
        pools=pools,
        closed_form=closed_form or Lowdin(),
        hard=hard,
        cluster=cluster,
        seed=seed,
        search=search,
    )
    clusters = patients_or_rows(cluster, len(x))
    notes = dropped_note(dropped)
    if branch == "auto" and clusters < FOLDS:
        kind = "anchors" if cluster is None else "groups of anchors"
        notes.append(f"{clusters} {kind} are too few to hold any out: the closed form, and no choice was made")
        return _with(branches.fit(BRANCHES[0]), {"branch": BRANCHES[0], "chosen_by": "default", "notes": notes})
    if branch != "auto":
        fitted = branches.fit(branch)
        summary: dict[str, Any] = {"branch": branch, "chosen_by": "the caller", "notes": notes}
        if branch == "hard":
            summary["overlap"] = overlap(fitted.record)
        return _with(fitted, summary)
    with Progress(progress) as bar:
        fitted, summary = choose_branch(branches, bar)
    if summary["branch"] == ALONE:  # fitted without the pools, so not transductive
        rest = {name: value for name, value in summary.items() if name != "notes"}
        return with_record(fitted, rest, notes + summary["notes"])
    return _with(fitted, {**summary, "notes": notes + summary["notes"]})


def fit_with_pool(solver: Solver, x: Embeddings, y: Embeddings, pool: Any) -> Alignment:
    """Fit a solver that matches pools itself to paired anchors ``x`` and ``y`` and both pools."""
    pools, dropped = pool_rows(pool, x, y)
    fitted = solver.fit(Evidence(Moments.of(x, y), None, (x.vectors, y.vectors), pools))
    return _with(fitted, {"chosen_by": "the caller", "notes": dropped_note(dropped)})


def _with(fitted: Alignment, summary: Mapping[str, Any]) -> Alignment:
    rest = {name: value for name, value in summary.items() if name != "notes"}
    return with_record(fitted, {**rest, "transductive": TRANSDUCTIVE}, summary.get("notes", []))
