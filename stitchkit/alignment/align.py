"""The verb ``align``: two sets of paired vectors in, one alignment out, with the account of how it was chosen."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from stitchkit.alignment.clusters import Clusters
from stitchkit.alignment.criteria import (
    FEW_TARGETS,
    BalancedReciprocalRank,
    Criterion,
    Explained,
    Margin,
    ReciprocalRank,
)
from stitchkit.alignment.folds import JUDGED, Folds, assign, assign_by_target, evidence_of
from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.alignment.pools.align_with_pool import align_with_pool, fit_with_pool
from stitchkit.alignment.prompt_margins import PromptCriterion, PromptMargin, criterion_of
from stitchkit.alignment.record import (
    candidate,
    doubts_of,
    held_out_numbers,
    notes_of,
    notes_on_head,
    notes_on_prompts,
    notes_on_targets,
    settings_of,
    with_account,
)
from stitchkit.alignment.request import asked_for, check_head, check_prompts, check_purpose, solver_called, with_pools
from stitchkit.alignment.search import FEW_CLUSTERS, Search
from stitchkit.alignment.training_axes import TrainingSets
from stitchkit.core.alignment_summary import NO_PATIENTS
from stitchkit.core.alignments import NO_COMMON_CENTRE, Alignment
from stitchkit.core.anchor_hashes import KEY, ids_of, of_pairs
from stitchkit.core.arrays import like, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.patients import count_patients
from stitchkit.core.prompts import PromptVectors
from stitchkit.core.roles import Head, Solver
from stitchkit.core.wording import counted, setting
from stitchkit.metrics.ranks import distinct_rows
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import is_small, one_blas_thread
from stitchkit.solvers import SEARCHED, TRACKS
from stitchkit.solvers.axes import Extent
from stitchkit.solvers.frames import Frame
from stitchkit.solvers.paths import Track

REPEATED = 400  # below this the folds are drawn REPEATS times: one assignment is too noisy to choose by
REPEATS = 5
SPREAD = 5  # distinct targets whose standard deviations tell something of other wordings: two differ nowhere by chance
COMMON = 0.2  # share of the anchors of one target, from which all targets are judged alike


def align(
    source: Any,
    target: Any,
    *,
    groups: Any = None,
    purpose: str = "match",
    head: Head | None = None,
    prompts: PromptVectors | None = None,
    pool: Any = None,
    solver: str | Solver = "auto",
    paper: str | None = None,
    nested: bool = True,
    seed: int = 0,
    anchor_hashes: bool = True,
    progress: bool | None = None,
) -> Alignment:
    """Fit the map between two spaces from anchors.

    Parameters
    ----------
    source : (n, d_s), target : (n, d_t)
        Embeddings (paired by id) or plain arrays of one library (paired by row). Row i of both means the same.
    groups : (n,) or mapping id -> group, optional
        Patient of each anchor; folds never split a group.
    purpose
        ``"match"`` for zero-shot and retrieval in the common space, ``"head"`` for driving a head of the target.
        They are judged differently and may choose differently.
    head
        With ``purpose="head"`` the head that is to be driven, over the target space: maps are chosen by how well it
        reads mapped held-out vectors (:class:`~stitchkit.alignment.head_agreement.HeadAgreement`). Without it the
        choice is by R2, which ranks maps otherwise than a head does. Not read where a solver value or ``paper`` leaves
        nothing to choose.
    prompts : PromptVectors, optional
        For matching, the prompts that will name classes, from :func:`stitchkit.embed_prompts`: maps are chosen by how
        these read mapped held-out vectors, against how they read the anchors' own targets
        (:mod:`stitchkit.alignment.prompt_margins`). They enter no fit. Not read where a solver value or ``paper``
        leaves nothing to choose.
    pool : (source_pool (m_s, d_s), target_pool (m_t, d_t)), optional
        Unpaired vectors of both spaces, for few anchors:
        :func:`stitchkit.alignment.pools.align_with_pool.align_with_pool` chooses among a closed form, soft and hard
        matching by held-out anchors; a solver value stands in for the closed form. For matching only.
    solver
        ``"auto"`` searches the families that hold up; a family's name (``"ridge"``, ``"procrustes"``, ``"csa"``,
        ``"isometric_ridge"``, ``"reduced_rank"``, ``"pls"``, ``"lowdin"``) searches that one; another solver's name
        fits its defaults; a solver value such as ``stitchkit.Ridge(alpha=0.1)`` is fitted as it is.
    paper
        Instead of a solver one of the published maps ``"affine"``, ``"linear"``, ``"l-ortho"``, ``"ortho"``, to the
        letter (:class:`stitchkit.solvers.presets.Preset`).
    nested
        Also estimate on held-out folds how well the procedure, choice included, does on unseen pairs.
    seed
        Seed of the folds, of draws from a pool, and of the first weights of ``paper="affine"``.
    anchor_hashes
        Keep salted hashes of the anchors' ids, patients and vectors in ``record["anchor_hashes"]``, by which
        :func:`stitchkit.gate` and :func:`stitchkit.diagnose` refuse to judge the map on its own anchors. They hide no
        short number: all patient numbers of eight digits can be tried in minutes. False leaves them out.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    Alignment
        In the library of the given arrays. ``record`` tells the solver chosen, among what, with which numbers;
        ``notes``, ``r2``, ``held_out``, ``patients`` and ``common_centre`` are always there, the middle three None
        where nothing was measured or no groups were given; the last says that maps fitted separately have none.

    Raises
    ------
    InputError
        Rows that do not match, fewer than two anchors, NaN, zero vectors, a head for matching or without outputs that
        vary, prompts for a head or beside a pool.
    UnknownNameError
        For a solver or a purpose that there is not.
    NoDirectedMapError
        For ``purpose="head"`` with a solver that has no map into the target's units.
    SpaceMismatchError
        For a head over another space, or prompts of another one.
    DataError
        Ids of one side that the other does not have.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 6))
    >>> turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    >>> alignment = align(x, x @ turn)
    >>> alignment.record["solver"], round(alignment.record["held_out"]["recall@1"], 2)
    ('ridge', 1.0)
    """
    asked = asked_for(solver, paper, seed)
    check_purpose(asked, purpose)
    check_prompts(prompts, purpose, pool)
    x, y = paired_sides(source, target)
    cluster = anchor_groups(groups, x)
    check_head(head, purpose, y.space)
    if prompts is not None:
        y.space.require(prompts.embeddings.space, "the choice by prompts")
    with one_blas_thread(is_small(len(x), max(x.space.dim, y.space.dim))):
        if pool is not None:
            fitted = _pooled(asked, x, y, pool, cluster, (purpose, paper), seed, progress)
        else:
            fitted = _by_anchors(
                asked, x, y, Clusters.of(x, cluster), purpose, prompts if head is None else head, nested, seed, progress
            )
    record = {**fitted.record, "patients": count_patients(cluster)}
    standing = [*fitted.record.get("notes", []), *notes_on_targets(y), *([NO_PATIENTS] if cluster is None else [])]
    record["common_centre"] = NO_COMMON_CENTRE
    record["notes"] = list(dict.fromkeys(standing))  # a search beside pools has written some already
    if anchor_hashes:
        record[KEY] = of_pairs(x, y, cluster, ids_of(source, target))
    return replace(fitted, record=record)


def _by_anchors(
    asked: str | Solver, x: Embeddings, y: Embeddings, clusters: Clusters, purpose: str,
    reader: Head | PromptVectors | None, nested: bool, seed: int, progress: bool | None,
) -> Alignment:  # fmt: skip
    if not isinstance(asked, str):
        return _fixed(asked, x, y, clusters, seed)
    families = list(SEARCHED[purpose]) if asked == "auto" else [asked]
    few = _too_few(len(x), clusters)
    if few:
        return _without_search(families[0], x, y, few)
    with Progress(progress) as bar:
        return _searched(families, x, y, clusters, purpose, reader, nested, seed, bar)


def _pooled(
    asked: str | Solver,
    x: Embeddings,
    y: Embeddings,
    pool: Any,
    groups: np.ndarray | None,
    purpose_and_paper: tuple[str, str | None],
    seed: int,
    progress: bool | None,
) -> Alignment:
    purpose, paper = purpose_and_paper
    if purpose != "match":
        raise InputError(
            "a pool helps matching; "
            + setting("purpose", purpose)
            + " needs a map into the target's own units. Leave the pool out."
        )
    asked = with_pools(asked)
    if paper is not None or (isinstance(asked, str) and asked != "auto"):
        name, kind = (setting("paper", paper), "paper") if paper is not None else (f"solver {asked!r}", "solver")
        raise InputError(name + f" does not look at a pool. Leave the pool out, or the {kind}.")
    if isinstance(asked, str):

        def search(x: Embeddings, y: Embeddings, groups: np.ndarray | None) -> Alignment:
            return align(x, y, groups=groups, nested=False, seed=seed, anchor_hashes=False, progress=False)

        return align_with_pool(x, y, pool, groups=groups, seed=seed, progress=progress, search=search)
    if "pools" in asked.needs:
        return fit_with_pool(asked, x, y, pool)
    return align_with_pool(x, y, pool, groups=groups, closed_form=asked, seed=seed, progress=progress)


def _too_few(n: int, clusters: Clusters) -> str:
    if n < 5:
        return f"{counted(n, 'anchor is', 'anchors are')} too few to hold any out"
    found = clusters.count(n)
    return f"{counted(found, 'group is', 'groups are')} too few to hold any out" if found < 3 else ""


def _fixed(solver: Solver, x: Embeddings, y: Embeddings, clusters: Clusters, seed: int) -> Alignment:
    n, parted = len(x), "folds" in solver.needs
    whole = evidence_of(x, y, assign(n, clusters.labels, seed=seed) if parted else [np.arange(n)])
    fitted = solver.fit(Evidence(whole.moments, whole.folds, (x.vectors, y.vectors)))
    return with_account(fitted, {"chosen_by": "the caller"}, clusters.notes(n))


def _without_search(family: str, x: Embeddings, y: Embeddings, why: str) -> Alignment:
    """The family at its default settings; its directions weigh alike, for nothing can be held out."""
    whole = evidence_of(x, y, [np.arange(len(x))])
    extent = Extent(len(x), (x.space.dim, y.space.dim))
    track, at = _default(_tracks([family], extent, "match"), solver_called(family)())
    fitted = track.open(Frame.of(whole, track.scale, track.pca)).alignment(at)
    note = f"{why}: no choice was made and no number is reported"
    return with_account(fitted, {"chosen_by": "default"}, [note])


def _default(tracks: list[Track], solver: Any) -> tuple[Track, int]:
    """The track and the place on its path that stand for the solver's own default settings."""
    for track in tracks:
        fixed = {"scale": track.scale, "pca": track.pca, **track.settings}
        if all(getattr(solver, name, value) == value for name, value in fixed.items()):
            value = getattr(solver, track.strength)
            return track, track.strengths.index(value) if value in track.strengths else 0
    return tracks[0], 0


def _searched(
    families: list[str],
    x: Embeddings,
    y: Embeddings,
    clusters: Clusters,
    purpose: str,
    reader: Head | PromptVectors | None,
    nested: bool,
    seed: int,
    bar: Progress,
) -> Alignment:
    n = len(x)
    repeats, balanced = _assignments(x, y, clusters, purpose, seed)
    if max(len(part.gallery) for part in repeats[0].parts) < 2:
        raise InputError(
            f"the {n} target vectors cannot be told apart at their precision ({y.vectors.dtype}). "
            f"Embed in a wider precision, or centre the vectors before they are narrowed."
        )
    smallest = n - max(len(part.rows) for folds in repeats for part in folds.parts)
    tracks = _tracks(families, Extent(smallest, (x.space.dim, y.space.dim)), purpose)
    whole, criterion = repeats[0].evidence(), _criterion(purpose, reader, y, balanced, repeats)
    if balanced:
        tracks = _of_few(tracks, criterion, len(np.unique(repeats[0].targets)), clusters.count(n))
    targets = y.vectors
    if isinstance(criterion, PromptCriterion):
        repeats, targets = [criterion.galleries(folds) for folds in repeats], criterion.table(y)
    search = Search(TrainingSets(x.vectors, targets, whole.moments), tracks, repeats, criterion, bar)
    winner, finalists = search.run()
    frame = Frame.of(whole, winner.track.scale, winner.track.pca)
    weights = search.weights(winner)
    weights = None if weights is None else like(weights, frame.st, dtype=frame.st.dtype)
    fitted = winner.track.open(frame).alignment(winner.at, weights)
    account: dict[str, Any] = {
        "chosen_by": criterion.words,
        "purpose": purpose,
        "candidates": [candidate(one, search) for one in finalists],
        "given_up": [{**settings_of(track), "folds": folds} for track, folds in search.given_up],
        "folds": len(repeats[0].parts),
        "repeats": len({r for r, _ in search.splits}),
        "groups": clusters.count(n),
        "seed": seed,
    }
    notes = [*notes_of(winner, fitted, n, purpose), *clusters.notes(n)]
    notes += notes_on_head(criterion)
    if isinstance(reader, PromptVectors):
        notes += notes_on_prompts(criterion, reader)
    if nested and len(repeats[0].parts) > 2:
        account["held_out"] = held_out_numbers(search)
        notes += doubts_of(account["held_out"], account["groups"])
    return with_account(fitted, account, notes)


def _assignments(x: Embeddings, y: Embeddings, clusters: Clusters, purpose: str, seed: int) -> tuple[list[Folds], bool]:
    """The assignments of folds, and whether they are balanced over few distinct targets."""
    n = len(x)
    seeds = range(seed * REPEATS, (seed + 1) * REPEATS) if n < REPEATED else [seed]
    distinct = distinct_rows(to_numpy(y.vectors)) if purpose == "match" and n <= JUDGED else None
    few = distinct is not None and _are_few(distinct)
    members = [
        assign_by_target(distinct, clusters.labels, seed=one)
        if distinct is not None and few
        else assign(n, clusters.labels, seed=one)
        for one in seeds
    ]
    repeats = [Folds.of(x, y, rows, clusters.labels, distinct=distinct, few=few) for rows in members]
    if purpose == "match" and distinct is None:  # of so many anchors the judged ones tell
        few = _are_few(repeats[0].targets)
    return repeats, few


def _of_few(tracks: list[Track], criterion: Criterion, distinct: int, clusters: int) -> list[Track]:
    """The tracks for few distinct targets, and the references that hold there where clusters can tell them apart."""
    if distinct < SPREAD:
        tracks = [one for one in tracks if one.scale != "both"]
    if isinstance(criterion, (Margin, PromptMargin)) and clusters >= FEW_CLUSTERS:
        tracks = [replace(one, reference=one.reference_of_few) for one in tracks]
    return tracks


def _are_few(distinct: np.ndarray) -> bool:
    """True where few targets are distinct, or one is very common: plain ranks then hardly tell maps apart."""
    many = np.unique(distinct, return_counts=True)[1]
    return 1 < len(many) < len(distinct) and (len(many) < FEW_TARGETS or bool(many.max() > COMMON * len(distinct)))


def _criterion(
    purpose: str, reader: Head | PromptVectors | None, y: Embeddings, balanced: bool, repeats: list[Folds]
) -> Criterion:
    if isinstance(reader, PromptVectors):
        prompted = criterion_of(reader, y, repeats)
        if prompted.judges:
            return prompted
    elif purpose == "head":
        return Explained(y.vectors) if reader is None else HeadAgreement(reader, y)
    if not balanced:
        return ReciprocalRank()
    targets = repeats[0].targets
    return Margin(targets) if len(np.unique(targets)) < FEW_TARGETS else BalancedReciprocalRank()


def _tracks(families: list[str], smallest: Extent, purpose: str) -> list[Track]:
    """Every row of the search; ``smallest`` is the size of the smallest training set that it will meet."""
    found: list[Track] = []
    for family in families:
        module, name = TRACKS[family].split(":")
        found += getattr(import_module(module), name)(smallest, purpose)
    if not found:
        raise InputError(f"solver {families[0]!r} offers nothing for purpose {purpose!r}. Use 'auto' or 'ridge'.")
    return found
