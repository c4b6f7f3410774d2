"""The verb ``align``: two sets of paired vectors in, one alignment out, with the account of how it was chosen."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from stitchkit.alignment.accounts import doubts_of, held_out_numbers, notes_of, with_account
from stitchkit.alignment.asking import asked_for, check_purpose, solver_called
from stitchkit.alignment.choice import Search
from stitchkit.alignment.clusters import Clusters
from stitchkit.alignment.folds import Folds, assign
from stitchkit.alignment.pooling import align_with_pool, fit_with_pool
from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import KEY, ids_of, of_pairs
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.moments import Evidence
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.roles import Solver
from stitchkit.progress import Progress
from stitchkit.solvers import SEARCHED, TRACKS
from stitchkit.solvers.frames import Frame
from stitchkit.solvers.paths import Track
from stitchkit.threads import is_small, one_blas_thread

FEW = 400  # below this the folds are drawn REPEATS times: one assignment is too noisy to choose by
VERY_FEW = 50  # below this the nested estimate is repeated as well
REPEATS = 5


def align(
    source: Any,
    target: Any,
    *,
    groups: Any = None,
    purpose: str = "match",
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
    pool : (source_pool (m_s, d_s), target_pool (m_t, d_t)), optional
        Unpaired vectors of both spaces, for few anchors: :func:`stitchkit.alignment.pooling.align_with_pool` chooses
        among a closed form, soft and hard matching by held-out anchors; a solver value stands in for the closed form.
        For matching only.
    solver
        ``"auto"`` searches the families that hold up; a family's name (``"ridge"``, ``"procrustes"``, ``"csa"``,
        ``"isometric_ridge"``, ``"reduced_rank"``, ``"pls"``) searches that one; another solver's name fits its
        defaults; a solver value such as ``stitchkit.Ridge(alpha=0.1)`` is fitted as it is.
    paper
        Instead of a solver one of the published maps ``"affine"``, ``"linear"``, ``"l-ortho"``, ``"ortho"``, to the
        letter (:class:`stitchkit.solvers.presets.Preset`).
    nested
        Also estimate on outer folds how well the whole procedure, choice included, does on unseen pairs.
    seed
        Of the fold assignment, of draws from a pool, of the first weights of ``paper="affine"``.
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
        ``notes``, ``r2``, ``held_out`` and ``patients`` are always there, the last three None where nothing was
        measured or no groups were given.

    Raises
    ------
    InputError
        Rows that do not match, fewer than two anchors, NaN, zero vectors.
    DataError
        Ids of one side that the other does not have.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 6))
    >>> turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    >>> alignment = align(x, x @ turn)
    >>> alignment.record["solver"], round(alignment.record["held_out"]["recall@1"], 2)
    ('procrustes', 1.0)
    """
    asked = asked_for(solver, paper, seed)
    check_purpose(asked, purpose)
    x, y = paired_sides(source, target)
    cluster = anchor_groups(groups, x)
    if pool is not None:
        fitted = _pooled(asked, x, y, pool, cluster, (purpose, paper), seed, progress)
    else:
        fitted = _by_anchors(asked, x, y, Clusters.of(x, cluster), purpose, nested, seed, progress)
    record = {**fitted.record, "patients": None if cluster is None else len(np.unique(cluster))}
    if anchor_hashes:
        record[KEY] = of_pairs(x, y, cluster, ids_of(source, target))
    return replace(fitted, record=record)


def _by_anchors(
    asked: str | Solver, x: Embeddings, y: Embeddings, clusters: Clusters, purpose: str, nested: bool, seed: int,
    progress: bool | None,
) -> Alignment:  # fmt: skip
    if not isinstance(asked, str):
        return _fixed(asked, x, y, clusters, seed)
    families = list(SEARCHED[purpose]) if asked == "auto" else [asked]
    few = _too_few(len(x), clusters)
    if few:
        return _without_search(families[0], x, y, few)
    with Progress(progress) as bar, one_blas_thread(is_small(len(x), max(x.vectors.shape[1], y.vectors.shape[1]))):
        return _searched(families, x, y, clusters, purpose, nested, seed, bar)


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
            f"a pool helps matching; purpose={purpose!r} needs a map into the target's own units. Leave the pool out."
        )
    if paper is not None or (isinstance(asked, str) and asked != "auto"):
        name = f"paper={paper!r}" if paper is not None else f"solver {asked!r}"
        raise InputError(f"{name} does not look at a pool. Leave the pool out, or the {name.split('=')[0].split()[0]}.")
    if isinstance(asked, str):

        def search(x: Embeddings, y: Embeddings, groups: np.ndarray | None) -> Alignment:
            return align(x, y, groups=groups, nested=False, seed=seed, anchor_hashes=False, progress=False)

        return align_with_pool(x, y, pool, groups=groups, seed=seed, progress=progress, search=search)
    if "pools" in asked.needs:
        return fit_with_pool(asked, x, y, pool)
    return align_with_pool(x, y, pool, groups=groups, closed_form=asked, seed=seed, progress=progress)


def _too_few(n: int, clusters: Clusters) -> str:
    if n < 5:
        return f"{n} anchors are too few to hold any out"
    found = clusters.count(n)
    return f"{found} groups are too few to hold any out" if found < 3 else ""


def _fixed(solver: Solver, x: Embeddings, y: Embeddings, clusters: Clusters, seed: int) -> Alignment:
    whole = Folds.of(x, y, assign(len(x), clusters.labels, seed=seed)).evidence()
    fitted = solver.fit(Evidence(whole.moments, whole.folds, (x.vectors, y.vectors)))
    return with_account(fitted, {"chosen_by": "the caller"}, clusters.notes(len(x)))


def _without_search(family: str, x: Embeddings, y: Embeddings, why: str) -> Alignment:
    """The family at its default settings; its directions weigh alike, for nothing can be held out."""
    whole = Folds.of(x, y, [np.arange(len(x))]).evidence()
    track, at = _default(_tracks([family], whole, "match"), solver_called(family)())
    fitted = track.open(Frame.of(whole, track.scale, track.pca)).alignment(at)
    note = f"{why}: no choice was made and no number is reported"
    return with_account(fitted, {"chosen_by": "default"}, [note])


def _default(tracks: list[Track], solver: Any) -> tuple[Track, int]:
    """The track and the place on its path that stand for the solver's own default settings."""
    for track in tracks:
        fixed = {"scale": track.scale, "pca": track.pca, **track.settings}
        if all(getattr(solver, name) == value for name, value in fixed.items()):
            value = getattr(solver, track.strength)
            return track, track.strengths.index(value) if value in track.strengths else 0
    return tracks[0], 0


def _searched(
    families: list[str],
    x: Embeddings,
    y: Embeddings,
    clusters: Clusters,
    purpose: str,
    nested: bool,
    seed: int,
    bar: Progress,
) -> Alignment:
    n = len(x)
    seeds = range(seed * REPEATS, (seed + 1) * REPEATS) if n < FEW else [seed]
    repeats = [Folds.of(x, y, assign(n, clusters.labels, seed=one), clusters.labels) for one in seeds]
    if max(part.gallery.shape[0] for part in repeats[0].parts) < 2:
        raise InputError(
            f"the {n} target vectors cannot be told apart at their precision ({y.vectors.dtype}). "
            f"Embed in a wider precision, or centre the vectors before they are narrowed."
        )
    smallest = repeats[0].evidence(frozenset({0, 1}) if len(repeats[0].parts) > 2 else frozenset())
    search = Search(_tracks(families, smallest, purpose), repeats, purpose, bar)
    winner, finalists = search.choose()
    whole = Frame.of(repeats[0].evidence(), winner.track.scale, winner.track.pca)
    fitted = winner.track.open(whole).alignment(winner.at, winner.weights)
    account: dict[str, Any] = {
        "chosen_by": "held-out R2" if purpose == "head" else "held-out mean reciprocal rank",
        "purpose": purpose,
        "candidates": [one.record(search) for one in finalists],
        "folds": len(repeats[0].parts),
        "repeats": len(repeats),
        "groups": clusters.count(n),
        "seed": seed,
    }
    notes = [*notes_of(winner, fitted, n, purpose), *clusters.notes(n)]
    if nested and len(repeats[0].parts) > 2:
        outer = repeats if n < VERY_FEW else repeats[:1]
        account["held_out"] = held_out_numbers(search, outer, purpose)
        notes += doubts_of(account["held_out"])
    return with_account(fitted, account, notes)


def _tracks(families: list[str], smallest: Evidence, purpose: str) -> list[Track]:
    """Every row of the search; ``smallest`` is the smallest training set that it will meet."""
    found: list[Track] = []
    for family in families:
        module, name = TRACKS[family].split(":")
        found += getattr(import_module(module), name)(smallest, purpose)
    if not found:
        raise InputError(f"solver {families[0]!r} offers nothing for purpose {purpose!r}. Use 'auto' or 'ridge'.")
    return found
