"""The verb ``align``: two sets of paired vectors in, one alignment out, with the record of how it was chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stitchkit.alignment.anchor_search import AnchorSearch
from stitchkit.alignment.pools.align_with_pool import align_with_pool, fit_with_pool
from stitchkit.alignment.record import (
    with_facts,
)
from stitchkit.alignment.request import (
    check_head,
    check_prompts,
    check_purpose,
    resolve_solver,
    solver_beside_pools,
)
from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import KEY, ids_of, of_pairs
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.prompts import PromptVectors
from stitchkit.core.roles import Head, Solver
from stitchkit.runtime.threads import is_small, one_blas_thread


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
        Maps are compared by different criteria for the two, and the choice may differ.
    head
        With ``purpose="head"`` the head to drive, over the target space: maps are chosen by how well it
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
        ``"auto"`` (default) searches all families for the purpose; a family's name (``"ridge"``, ``"procrustes"``,
        ``"csa"``, ``"isometric_ridge"``, ``"reduced_rank"``, ``"pls"``, ``"lowdin"``) searches that one; another
        solver's name fits its defaults; a solver value such as ``stitchkit.Ridge(alpha=0.1)`` is fitted as it is.
    paper
        Instead of a solver one of the published maps ``"affine"``, ``"linear"``, ``"l-ortho"``, ``"ortho"``, to the
        letter (:class:`stitchkit.solvers.presets.Preset`).
    nested
        Also estimate on held-out folds how well the procedure, choice included, does on unseen pairs. Default: True
    seed
        Seed of the folds, of draws from a pool, and of the first weights of ``paper="affine"``. Default: 0
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
        For an unknown solver or purpose.
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
    >>> rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    >>> alignment = align(x, x @ rotation)
    >>> alignment.record["solver"], round(alignment.record["held_out"]["recall@1"], 2)
    ('ridge', 1.0)
    """
    request = resolve_solver(solver, paper, seed)
    check_purpose(request, purpose)
    check_prompts(prompts, purpose, pool)
    x, y = paired_sides(source, target)
    patients = anchor_groups(groups, x)
    check_head(head, purpose, y.space)
    if prompts is not None:
        y.space.require(prompts.embeddings.space, "the choice by prompts")
    if pool is None:
        reader = prompts if head is None else head
        settings = AnchorSearch(
            solver=request, purpose=purpose, reader=reader, nested=nested, seed=seed, progress=progress
        )
        fitted = settings.fit(x, y, patients)
    else:
        beside = solver_beside_pools(request, purpose, paper)
        with one_blas_thread(is_small(len(x), max(x.space.dim, y.space.dim))):
            fitted = with_facts(_fit_with_pools(beside, x, y, pool, patients, seed, progress), y, patients)
    if not anchor_hashes:
        return fitted
    return replace(fitted, record={**fitted.record, KEY: of_pairs(x, y, patients, ids_of(source, target))})


def _fit_with_pools(
    solver: str | Solver,
    x: Embeddings,
    y: Embeddings,
    pool: Any,
    patients: np.ndarray | None,
    seed: int,
    progress: bool | None,
) -> Alignment:
    if isinstance(solver, str):
        alone = AnchorSearch(nested=False, seed=seed, progress=False)
        return align_with_pool(x, y, pool, groups=patients, seed=seed, progress=progress, search=alone)
    if "pools" in solver.needs:
        return fit_with_pool(solver, x, y, pool)
    return align_with_pool(x, y, pool, groups=patients, closed_form=solver, seed=seed, progress=progress)
