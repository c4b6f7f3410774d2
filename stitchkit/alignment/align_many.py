"""The verbs for more than two spaces: ``align_many`` binds them all, ``align_through`` joins two by a third."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import KEY, ids_of, of_views
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.joint_alignments import JointAlignment
from stitchkit.core.moments.moments import Moments
from stitchkit.core.pairing import anchor_groups, in_order_of
from stitchkit.core.seeds import check_seed
from stitchkit.runtime.threads import is_small, one_blas_thread
from stitchkit.solvers import MANY
from stitchkit.solvers.gcca import GCCA
from stitchkit.solvers.generalised_procrustes import GeneralisedProcrustes
from stitchkit.solvers.hub import HubComposition
from stitchkit.solvers.many import JointMoments, check_views


def align_many(
    views: Mapping[str, Any] | Sequence[Embeddings],
    *,
    solver: str | GCCA | GeneralisedProcrustes = "procrustes",
    groups: Any = None,
    seed: int = 0,
    anchor_hashes: bool = True,
) -> JointAlignment:
    """Bind two or more spaces of the same items into one common space.

    All spaces share one centre, the mean of the same items. Alignments that were fitted separately do not: each
    subtracts the mean of its own anchors, so vectors of different alignments cannot be compared with each other.

    Parameters
    ----------
    views
        Name -> embeddings (paired by id) or plain arrays (n, d_i) of one library (paired by row); or embeddings
        alone, called by their spaces' names. The order of the items is the first view's. Among plain arrays the
        embeddings must be in one order already.
    solver
        ``"procrustes"`` (ridge regression on the consensus of rotations), ``"gcca"`` (canonical correlation of many),
        or a value such as ``stitchkit.GCCA(kappa=0.1)``.
    groups : (n,) or mapping id -> group, optional
        Patient of each item; where a solver holds items out, a group stays together.
    seed
        Seed of the fold assignment, default 0.
    anchor_hashes
        Keep salted hashes of the items' ids, patients and vectors in ``record["anchor_hashes"]``, as
        :func:`stitchkit.align` does, so that no alignment of ``between(a, b)`` is judged on its own anchors. False
        leaves them out.

    Returns
    -------
    JointAlignment
        ``between(a, b)`` gives the alignment of two of the spaces.

    Raises
    ------
    InputError
        Fewer than two views or two items, views of different length, two spaces of one name, or plain arrays beside
        embeddings whose ids are not in one order.
    DataError
        Ids of the first view that another does not have.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(80, 3))
    >>> views = {name: z @ rng.normal(size=(3, 5)) for name in ("xray", "ct", "text")}
    >>> joint = align_many(views, solver=GCCA(kappa=0.01))
    >>> similarity = joint.between("ct", "text").similarity(views["ct"], views["text"])
    >>> bool((similarity.argmax(axis=1) == np.arange(80)).mean() > 0.9)
    True
    """
    check_seed(seed)
    settings = _many_solver(solver)
    named = _named_views(views)
    paired = _paired_views(named)
    first = next(iter(paired.values()))
    patients = anchor_groups(groups, first)
    with one_blas_thread(is_small(len(first), max(one.space.dim for one in paired.values()))):
        fitted = _fit(settings, paired, patients, seed)
    if not anchor_hashes:
        return fitted
    hashes = of_views(paired, patients, ids_of(*named.values()))
    return replace(fitted, record={**fitted.record, KEY: hashes})


def align_through(source: Any, target: Any, *, solver: HubComposition | None = None) -> Alignment:
    """Align two spaces that share no items, through a hub space that each shares items with.

    Parameters
    ----------
    source
        ``(a, hub_of_a)``: paired vectors (n, d_a) and (n, d_h), embeddings (by id) or plain arrays (by row); or
        their :class:`~stitchkit.Moments`.
    target
        ``(hub_of_b, b)``: the hub's vectors (m, d_h) of OTHER items, and the target's (m, d_b); or their moments.
    solver
        Settings of the composition. Default: ``HubComposition()``

    Returns
    -------
    Alignment
        From A to B, with a directed map. No pair of A and B was seen, so evaluate it on pairs if there are any. Notes
        of its record say where the two sets of pairs cover different parts of the hub, and what then helps.

    Raises
    ------
    SpaceMismatchError
        If the two hubs are different spaces.
    InputError
        Pairs that do not match, or fewer than two on a side.

    References
    ----------
    The map is exact for Gaussian vectors where A and B are independent given the hub.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> to_image, to_text, to_ecg = (rng.normal(size=(4, 6)) for _ in range(3))
    >>> z, other = rng.normal(size=(2, 400, 4))
    >>> weak = HubComposition(kappa=0.01)  # there is no noise
    >>> alignment = align_through((z @ to_image, z @ to_text), (other @ to_text, other @ to_ecg), solver=weak)
    >>> fresh = rng.normal(size=(50, 4))
    >>> similarity = alignment.similarity(fresh @ to_image, fresh @ to_ecg)
    >>> bool((similarity.argmax(axis=1) == np.arange(50)).mean() > 0.8)
    True
    """
    if isinstance(solver, type) or not (solver is None or hasattr(solver, "fit")):
        raise InputError(f"solver must be a HubComposition; got {solver!r}. Write HubComposition() for its defaults.")
    left = _moments(source, "source", ("a", "the hub of a"))
    right = _moments(target, "target", ("the hub of b", "b"))
    with one_blas_thread(is_small(max(*left.shape), max(*right.shape))):
        return (solver or HubComposition()).fit(left, right)


def _fit(
    solver: GCCA | GeneralisedProcrustes, views: Mapping[str, Embeddings], patients: np.ndarray | None, seed: int
) -> JointAlignment:
    if "folds" not in solver.needs:
        return solver.fit([JointMoments.of(views)])
    parts = assign(len(next(iter(views.values()))), patients, seed=seed)
    fitted = solver.fit([JointMoments.of({name: one.take(rows) for name, one in views.items()}) for rows in parts])
    return replace(fitted, record={**fitted.record, "seed": seed})


def _many_solver(solver: Any) -> GCCA | GeneralisedProcrustes:
    if isinstance(solver, str):
        if solver not in MANY:
            raise UnknownNameError.of("solver for many spaces", solver, MANY, "Or pass a solver value.")
        module, _, attribute = MANY[solver].partition(":")
        default: GCCA | GeneralisedProcrustes = getattr(import_module(module), attribute)()
        return default
    if not isinstance(solver, GCCA | GeneralisedProcrustes):
        name = f"the class {solver.__name__}" if isinstance(solver, type) else f"a {type(solver).__name__}"
        raise InputError(f"solver must be one of {sorted(MANY)}, or a value such as GCCA(kappa=0.1); got {name}.")
    return solver


def _named_views(views: Any) -> dict[str, Any]:
    """Views by name; embeddings given alone are called by their spaces."""
    if not isinstance(views, Mapping):
        embeddings = list(views)
        if not all(isinstance(one, Embeddings) for one in embeddings):
            raise InputError("plain arrays have no name. Give a mapping of names to vectors: {'xray': x, 'ct': y}.")
        names = [one.space.name for one in embeddings]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InputError(f"two views are called {twice[0]!r}. Give a mapping with a name of its own for each.")
        return dict(zip(names, embeddings, strict=True))
    odd = [name for name in views if not (isinstance(name, str) and name)]
    if odd:
        raise InputError(f"a view needs a name, a string that is not empty; got {odd[0]!r}.")
    return dict(views)


def _paired_views(views: Mapping[str, Any]) -> dict[str, Embeddings]:
    """Views whose row i is one item: by id where all are embeddings, as they stand where not."""
    paired = {name: as_embeddings(one, name) for name, one in views.items()}
    named = [name for name, one in views.items() if isinstance(one, Embeddings)]
    plain = [name for name in paired if name not in named]
    for name in named[1:]:
        first, one = paired[named[0]], paired[name]
        if plain and not np.array_equal(first.ids, one.ids):
            raise InputError(
                f"the views {named[0]!r} and {name!r} have other ids or another order of them, and {plain[0]!r} is a "
                f"plain array, which is paired by row: whose rows it follows cannot be told. Make it Embeddings with "
                f"ids, or bring the others into its order with .of_ids(ids)."
            )
        paired[name] = in_order_of(first, one, (repr(named[0]), repr(name)), f"the view {name!r}")
    check_views(paired)
    return paired


def _moments(pair: Any, what: str, names: tuple[str, str]) -> Moments:
    """Moments of a pair of views, or the moments given."""
    if isinstance(pair, Moments):
        return pair
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputError(f"{what} must be a pair ({names[0]}, {names[1]}) of vectors, or their Moments.")
    x, y = _paired_views(dict(zip(names, pair, strict=True))).values()
    return Moments.of(x, y)
