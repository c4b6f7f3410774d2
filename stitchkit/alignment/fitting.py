"""The verb ``align``: two sets of paired vectors in, one alignment out, with the account of how it was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from stitchkit.alignment.choice import Finalist, Search
from stitchkit.alignment.folds import Folds, assign
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import namespace
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.items import checked_groups, rows_of
from stitchkit.core.moments import Evidence, check_paired
from stitchkit.core.roles import Solver
from stitchkit.solvers import SEARCHED, TRACKS
from stitchkit.solvers.frames import Frame

FEW = 50  # below this the folds are drawn REPEATS times
REPEATS = 5


def align(
    source: Any,
    target: Any,
    *,
    groups: Any = None,
    purpose: str = "match",
    solver: str | Solver = "auto",
    nested: bool = True,
    seed: int = 0,
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
    solver
        ``"auto"`` searches every family; ``"ridge"``, ``"procrustes"`` or ``"csa"`` searches one; a solver value
        such as ``stitchkit.Ridge(alpha=0.1)`` is fitted as it is.
    nested
        Also estimate on outer folds how well the whole procedure, choice included, does on unseen pairs.
    seed
        Of the fold assignment.

    Returns
    -------
    Alignment
        In the library of the given arrays. ``record`` tells the solver chosen, among what, with which numbers.

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
    if purpose not in SEARCHED:
        raise UnknownNameError.of("purpose", purpose, SEARCHED)
    x, y = _paired(source, target)
    cluster = _groups(groups, x)
    if isinstance(solver, type) or not (isinstance(solver, str) or hasattr(solver, "fit")):
        name = solver.__name__ if isinstance(solver, type) else repr(solver)
        raise InputError(f"solver must be a name or a solver value; got {name}. Write {name}() for its defaults.")
    if not isinstance(solver, str):
        return _fixed(solver, x, y, cluster, seed)
    if solver != "auto" and solver not in TRACKS:
        raise UnknownNameError.of("solver to search", solver, ["auto", *TRACKS], "Or pass a solver value.")
    families = list(SEARCHED[purpose]) if solver == "auto" else [solver]
    few = _too_few(len(x), cluster)
    if few:
        return _without_search(families, x, y, few)
    return _searched(families, x, y, cluster, purpose, nested, seed)


def _paired(source: Any, target: Any) -> tuple[Embeddings, Embeddings]:
    x, y = as_embeddings(source, "source"), as_embeddings(target, "target")
    if isinstance(source, Embeddings) and isinstance(target, Embeddings) and not np.array_equal(x.ids, y.ids):
        pairs = rows_of(x.ids, y.ids, f"the target embeddings of {y.space.name!r}")
        check_paired(len(x), len(y))
        y = y.take(pairs)
    check_paired(len(x), len(y))
    for side in (x, y):
        if bool(namespace(side.vectors).all(side.vectors == side.vectors[:1, :])):
            raise InputError(
                f"all {len(x)} vectors of {side.space.name!r} are the same; nothing can be learnt from them."
            )
    namespace(x.vectors, y.vectors)  # one library, or say so now
    return x, y


def _groups(groups: Any, x: Embeddings) -> np.ndarray | None:
    if groups is None:
        return None
    if isinstance(groups, Mapping):
        missing = [one for one in x.ids.tolist() if one not in groups]
        if missing:
            raise InputError(f"groups has no entry for {len(missing)} anchors, the first is {missing[0]!r}.")
        return checked_groups([groups[one] for one in x.ids.tolist()], len(x))
    return checked_groups(groups, len(x))


def _too_few(n: int, groups: np.ndarray | None) -> str:
    clusters = n if groups is None else len(np.unique(groups))
    if n < 5:
        return f"{n} anchors are too few to hold any out"
    return f"{clusters} groups are too few to hold any out" if clusters < 3 else ""


def _fixed(solver: Solver, x: Embeddings, y: Embeddings, groups: np.ndarray | None, seed: int) -> Alignment:
    folds = Folds.of(x, y, assign(len(x), groups, seed=seed))
    everything = folds.evidence()
    fitted = solver.fit(Evidence(everything.moments, everything.folds, (x.vectors, y.vectors)))
    return _with(fitted, {"chosen_by": "the caller"})


def _without_search(families: list[str], x: Embeddings, y: Embeddings, why: str) -> Alignment:
    folds = Folds.of(x, y, [np.arange(len(x))])
    first = _tracks(families, folds, "match")[0]
    fitted = first.open(Frame.of(folds.evidence(), first.scale)).alignment(0)
    return _with(fitted, {"chosen_by": "default", "notes": [f"{why}: no choice was made and no number is reported"]})


def _searched(
    families: list[str],
    x: Embeddings,
    y: Embeddings,
    groups: np.ndarray | None,
    purpose: str,
    nested: bool,
    seed: int,
) -> Alignment:
    seeds = range(seed, seed + (REPEATS if len(x) < FEW else 1))
    repeats = [Folds.of(x, y, assign(len(x), groups, seed=one), groups) for one in seeds]
    search = Search(_tracks(families, repeats[0], purpose), repeats, purpose)
    winner, finalists = search.choose()
    whole = Frame.of(repeats[0].evidence(), winner.track.scale)
    fitted = winner.track.open(whole).alignment(winner.at, winner.weights)
    account: dict[str, Any] = {
        "chosen_by": "held-out R2" if purpose == "head" else "held-out mean reciprocal rank",
        "purpose": purpose,
        "candidates": [one.record(search) for one in finalists],
        "folds": len(repeats[0].parts),
        "repeats": len(repeats),
        "groups": len(x) if groups is None else len(np.unique(groups)),
        "seed": seed,
        "notes": _notes(winner, fitted, len(x)),
    }
    if nested and len(repeats[0].parts) > 2:
        account["held_out"] = _held_out(search, repeats, purpose)
        account["notes"] += _doubts(account["held_out"])
    return _with(fitted, account)


def _tracks(families: list[str], folds: Folds, purpose: str) -> list[Any]:
    smallest = folds.evidence(frozenset({0, 1}) if len(folds.parts) > 2 else frozenset())
    found = []
    for family in families:
        module, name = TRACKS[family].split(":")
        found += getattr(import_module(module), name)(smallest, purpose)
    if not found:
        raise InputError(f"solver {families[0]!r} offers nothing for purpose {purpose!r}. Use 'auto' or 'ridge'.")
    return found


def _held_out(search: Search, repeats: list[Folds], purpose: str) -> dict[str, Any]:
    judged, clusters = search.outer()
    kind = "outer folds; the choice was made again without each"
    if purpose == "head":
        return {"r2": float(judged.mean()), "se": search.error(judged, clusters), "estimate": kind}
    gallery = float(np.mean([part.gallery.shape[0] for folds in repeats for part in folds.parts]))
    return {
        "mrr": float(judged.mean()),
        "se": search.error(judged, clusters),
        "recall@1": float(np.mean(judged == 1)),
        "gallery": round(gallery),
        "chance_mrr": float(np.mean(1 / np.arange(1, max(round(gallery), 1) + 1))),
        "estimate": kind,
    }


def _notes(winner: Finalist, fitted: Alignment, n: int) -> list[str]:
    notes = []
    if winner.track.family == "ridge" and winner.at in (0, len(winner.track.strengths) - 1):
        notes.append(f"alpha {winner.value:g} is at the end of the grid; a map beyond it may do a little better")
    if fitted.directed is not None and fitted.record["r2"] < 0.01:
        notes.append("to_target is nearly constant: this map is for matching; for a head fit with purpose='head'")
    if n - 1 < max(fitted.source.dim, fitted.target.dim):
        rank = fitted.record["rank"]
        notes.append(
            f"{n} anchors for {fitted.source.dim} -> {fitted.target.dim} dimensions: "
            f"the map has rank {rank}; directions that no anchor shows are dropped"
        )
    return notes


def _doubts(held_out: Mapping[str, Any]) -> list[str]:
    """A note where held-out pairs do no better than chance."""
    name = "r2" if "r2" in held_out else "mrr"
    chance = held_out.get("chance_mrr", 0.0)
    if held_out[name] > chance + 2 * held_out["se"]:
        return []
    return [
        f"held out, {name} {held_out[name]:.3f} is not clearly above chance ({chance:.3f}): "
        f"these anchors hardly link the two spaces"
    ]


def _with(fitted: Alignment, account: Mapping[str, Any]) -> Alignment:
    record = {**fitted.record, **account}
    return Alignment(fitted.source_map, fitted.target_map, fitted.weights, fitted.directed, record)
