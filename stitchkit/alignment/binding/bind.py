"""The verb ``bind``: many modalities in one space, through texts, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stitchkit.alignment.binding.bound_space import BoundSpace
from stitchkit.alignment.binding.hubs import TextHub, text_hub
from stitchkit.alignment.binding.images import HubMap, HubPairs, fit_to_hub, maps_to_hub
from stitchkit.alignment.binding.modalities import (
    TEXT,
    BoundModality,
    ModalityPairs,
    check_modality_name,
    check_name,
    fitted_modality,
    in_joint_space,
    modality_pairs,
    pairs_in_hub,
    text_space_of,
)
from stitchkit.alignment.request import resolve_solver
from stitchkit.core.arrays import Array, like, namespace
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.moments.moments import Moments
from stitchkit.core.pairing import paired_sides
from stitchkit.core.roles import Solver
from stitchkit.core.seeds import check_seed
from stitchkit.runtime.threads import is_small, one_blas_thread
from stitchkit.solvers.hub import HubComposition

CHOICES = ("auto", "own", "joint")


def bind(
    modalities: Mapping[str, Any],
    *,
    texts: Mapping[str, Any] | None = None,
    text: str | None = None,
    hub: str | None = None,
    hub_solver: str = "procrustes",
    solver: str | Solver = "auto",
    maps: str = "auto",
    text_encoders: Mapping[str, str] | None = None,
    seed: int = 0,
) -> BoundSpace:
    """Bring modalities whose encoders know nothing of each other into one space, through texts and in closed form.

    The text encoders' spaces are brought into one hub by a list of texts that all of them have read; no images and no
    pairs of images are needed for that. Each modality follows by a map of its own vectors onto its texts in the hub.

    Parameters
    ----------
    modalities
        Name -> :class:`ModalityPairs`, or a pair ``(vectors, texts)`` of embeddings or arrays.
    texts
        Name of each text space -> vectors of one shared list of texts by its encoder, paired by id or row. Left out
        where all texts are of one encoder, which then is the hub.
    text
        Text space whose encoder will read queries: the student that stands in for all the others. Default: the first.
    hub
        One of the text spaces as the hub. Default: the consensus of all.
    hub_solver
        ``"procrustes"`` (generalised Procrustes, maps by a shared ridge of 0.1) or ``"gcca"`` for a consensus;
        ``"ridge"``, or ``"composition"`` through each modality's own text space, for a hub that is one of the text
        spaces (``hub``, or the space of the query).
    solver
        Solver of the modalities' maps, as in :func:`stitchkit.align`.
    maps
        ``"own"``: a map for each modality; ``"joint"``: one for all that share an encoder; ``"auto"`` chooses by
        held-out anchors, a joint map only where no modality loses by it.
    text_encoders
        Name of a text space -> name by which its encoder is loaded.
    seed
        Seed of the folds, default 0.

    Returns
    -------
    BoundSpace
        ``alignment(name)`` serves every other verb; ``stitchkit.save`` writes one folder.

    Raises
    ------
    InputError
        Fewer than two modalities, names that cannot be folders, texts that fit no text space, fewer than two anchors.
    UnknownNameError
        For an unknown text space, hub, solver or partner.
    DataError
        Ids of one side that the other does not have.

    References
    ----------
    M3Bind, arXiv 2506.18072, trains the text agreement that is solved here; generalised Procrustes: Gower,
    Psychometrika 40 (1975).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> meaning = rng.normal(size=(300, 4))
    >>> notes, letters = (meaning @ rng.normal(size=(4, 9)) for _ in range(2))  # two text encoders, 300 texts
    >>> xray, skin = (meaning @ rng.normal(size=(4, 7)) for _ in range(2))
    >>> import stitchkit as sk
    >>> bound = bind(
    ...     {"xray": sk.ModalityPairs(xray[:100], notes[:100], text_space="notes"),
    ...      "skin": sk.ModalityPairs(skin[100:200], letters[100:200], text_space="letters")},
    ...     texts={"notes": notes[200:], "letters": letters[200:]}, text="notes",
    ... )
    >>> found = bound.similarity("skin", skin[:100], notes[:100]).argmax(axis=1)
    >>> bool((found == np.arange(100)).mean() > 0.9)
    True
    """
    check_seed(seed)
    if maps not in CHOICES:
        raise UnknownNameError.of("choice of maps", maps, CHOICES)
    members = _modalities(modalities)
    request = resolve_solver(solver, None, seed)
    views = _views(members, texts)
    query = next(iter(views)) if text is None else text
    for name, what in ((query, "text space of the query"), (hub, "hub")):
        if name is not None and name not in views:
            if name in members:
                raise InputError(f"{name!r} is a modality; the {what} is a text space: {', '.join(map(repr, views))}.")
            raise UnknownNameError.of(what, name, views)
    widest = max(one.space.dim for one in views.values())
    with one_blas_thread(is_small(max(map(len, views.values())), widest)):
        shared = text_hub(views, query, hub=hub, solver=hub_solver, seed=seed)
        composed = hub_solver == "composition" and len(views) > 1
        return _bound(members, shared, views if composed else {}, request, maps, text_encoders or {}, seed)


def _bound(
    members: Mapping[str, ModalityPairs],
    hub: TextHub,
    composed: Mapping[str, Embeddings],
    solver: str | Solver,
    maps: str,
    text_encoders: Mapping[str, str],
    seed: int,
) -> BoundSpace:
    """The bound space of the modalities in a hub; ``composed`` are the shared texts where maps go through them."""
    linked = {name: one for name, one in members.items() if one.texts is not None}
    pairs = {name: pairs_in_hub(name, one, hub, {}) for name, one in linked.items()}
    own = "own" if composed else maps  # compositions have no joint map
    chosen, compared = maps_to_hub(pairs, solver, own, seed=seed) if pairs else ({}, {})
    fitted: dict[str, BoundModality] = {}
    for name, one in linked.items():
        through = bool(composed) and text_space_of(name, one, hub.maps) != hub.record["hub"]
        to_hub = _through(one, hub, pairs[name], composed) if through else chosen[name]
        fitted[name] = fitted_modality(one, hub, to_hub, pairs[name])
    for name, one in members.items():
        if one.texts is None and one.partner is None:
            fitted[name] = in_joint_space(name, one, hub)
    waiting = [name for name in members if name not in fitted]
    while waiting:  # partners of partners
        ready = [name for name in waiting if members[name].partner[0] in fitted]  # type: ignore[index]
        if not ready:
            partner = members[waiting[0]].partner[0]  # type: ignore[index]
            raise UnknownNameError.of("partner that is linked with texts", str(partner), fitted)
        for name in ready:
            one = members[name]
            partners = pairs_in_hub(name, one, hub, {key: value.to_hub for key, value in fitted.items()})
            fitted[name] = fitted_modality(one, hub, fit_to_hub(partners, solver, seed=seed), partners)
        waiting = [name for name in waiting if name not in fitted]
    record = {"hub": dict(hub.record), "query": hub.text, **compared, "seed": seed}
    every = {name: fitted[name] for name in members}
    return BoundSpace(hub.text, hub.maps, every, dict(text_encoders), record, _text_root(pairs))


def _text_root(pairs: Mapping[str, HubPairs]) -> Array:
    """Square root (k, k) of the covariance of texts in the hub about each modality's mean; None without texts."""
    if not pairs:
        return None
    every = [Moments.of(one.x, one.y) for one in pairs.values()]
    scatters = [m.scatter_tt / m.count for m in every]
    xp = namespace(scatters[0])
    values, vectors = xp.linalg.eigh(sum(like(one, scatters[0]) for one in scatters) / len(scatters))
    return (vectors * xp.sqrt(xp.clip(values, min=0))[None, :]) @ xp.matrix_transpose(vectors)


def _through(one: ModalityPairs, hub: TextHub, pairs: HubPairs, views: Mapping[str, Embeddings]) -> HubMap:
    """Composition of the modality's pairs with its text space and of the shared texts' pairs with the hub."""
    x, t = paired_sides(one.vectors, one.texts)
    shared = views[text_space_of("", one, hub.maps)], views[hub.record["hub"]]
    composed = HubComposition().fit(Moments.of(x, t), Moments.of(*shared))
    # the composition ends at the mean of the shared texts, which would move all modalities onto one point
    mean = like(Moments.of(pairs.x, pairs.y).mean_t, composed.to_target.weight)
    return HubMap(replace(composed.to_target, target=hub.space, bias=mean), composed.record)


def _modalities(modalities: Any) -> dict[str, ModalityPairs]:
    """The modalities by name; fewer than two, and names that cannot be folders, are errors."""
    if not isinstance(modalities, Mapping):
        raise InputError("modalities must be a mapping of names to (vectors, texts): {'xray': (x, t), 'ct': (y, u)}.")
    if len(modalities) < 2:
        raise InputError(
            f"binding joins at least two modalities; got {len(modalities)}. One encoder and its texts are joined by "
            f"stitchkit.align."
        )
    pairs: dict[str, ModalityPairs] = {}
    for name, one in modalities.items():
        check_modality_name(name, pairs)
        pairs[name] = modality_pairs(name, one)
    return pairs


def _views(members: Mapping[str, ModalityPairs], texts: Mapping[str, Any] | None) -> dict[str, Embeddings]:
    """The shared texts by text space; without a shared list the modalities' own texts, which are then of one space."""
    if texts is not None:
        if not isinstance(texts, Mapping) or not texts:
            raise InputError("texts must be a mapping of text spaces to vectors of one list: {'minilm': t, 'bert': u}.")
        if overlap := [name for name in texts if name in members]:
            raise InputError(f"{overlap[0]!r} names a modality and a text space. Name them differently.")
        for name in texts:
            check_name(name, "a text space", "minilm")
        views = {name: as_embeddings(one, name) for name, one in texts.items()}
        if empty := [name for name, one in views.items() if not len(one)]:
            raise InputError(f"the list of texts of {empty[0]!r} is empty. Give the texts that all text encoders read.")
        return views
    known = {
        name: as_embeddings(one.texts, f"texts of {name!r}") for name, one in members.items() if one.texts is not None
    }
    if not known:
        raise InputError("no modality has texts, and there is no list of texts. Give texts={name: vectors}.")
    first = next(iter(known))
    for name, one in known.items():
        if not len(one):
            raise InputError(f"the modality {name!r}: got 0 anchors. Give pairs of items and texts.")
        if not known[first].space.accepts(one.space):
            raise InputError(
                f"the texts of {first!r} and {name!r} are of two encoders ({known[first].space.name!r} and "
                f"{one.space.name!r}). Give texts={{name: vectors}}: one list of texts by both of them."
            )
    return {TEXT: known[first]}
