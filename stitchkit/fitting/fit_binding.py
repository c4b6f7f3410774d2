"""Encoders, tables of anchors and a list of texts to a bound space, with each modality's items in the hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.alignment.binding.bind import bind
from stitchkit.alignment.binding.bound_space import BoundSpace
from stitchkit.alignment.binding.modalities import ModalityPairs
from stitchkit.core.anchors import AnchorSet
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoder, Solver, check_text
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.text_lists import check_texts
from stitchkit.embedding import embed
from stitchkit.encoders.clip_pairs import clip_alignment

TEXT_SPACE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, eq=False)
class ModalityItems:
    """One modality to be bound.

    Parameters
    ----------
    encoder
        The encoder of its items, or their vectors with the ids of the anchors.
    text_encoder
        The encoder of its texts.
    anchors
        Its items with their texts; or items alone, for an encoder that shares a space with its text encoder, as the two
        halves of a CLIP-like checkpoint do.
    """

    encoder: Encoder | Embeddings
    text_encoder: Encoder
    anchors: AnchorSet | Items


@dataclass(frozen=True, slots=True, eq=False)
class FittedBinding:
    """A bound space, and what it was fitted on.

    Parameters
    ----------
    bound
        The bound space.
    vectors
        Name of a modality -> embeddings of its items by its own encoder.
    query
        The text encoder that reads queries.
    reading
        Settings of :func:`stitchkit.embed` that the items were read with.
    """

    bound: BoundSpace
    modalities: Mapping[str, ModalityItems]
    vectors: Mapping[str, Embeddings]
    query: Encoder
    reading: Mapping[str, Any]

    def in_hub(self, name: str) -> Embeddings:
        """The items of a modality in the hub, for an index."""
        mapped: Embeddings = self.bound.into_hub(name, self.vectors[name])
        return Embeddings(np.asarray(mapped.vectors, dtype=np.float32), mapped.ids, self.bound.hub)


def fit_binding(
    modalities: Mapping[str, ModalityItems],
    *,
    texts: Sequence[str] = (),
    query: Encoder | None = None,
    hub: str | None = None,
    hub_solver: str = "procrustes",
    solver: str | Solver = "auto",
    maps: str = "auto",
    seed: int = 0,
    batch_size: int = 32,
    store: str | Path | None = "auto",
    progress: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> FittedBinding:
    """Embed every modality's items and texts, and bind them.

    Parameters
    ----------
    modalities
        Name -> encoders and anchors.
    texts
        List of texts that every text encoder reads. Default: the distinct texts of all anchors.
    query
        Text encoder that will read queries. Default: that of the first modality.
    hub
        Name of a text encoder whose space is the hub. Default: the consensus of all.
    hub_solver, solver, maps, seed
        As in :func:`stitchkit.bind`.
    batch_size, store
        As in :func:`stitchkit.embed`.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.
    say
        Reader of a line on the step that begins.

    Raises
    ------
    InputError
        If a text encoder reads images, a modality without texts is no half of a CLIP-like pair, or the hub is no text
        encoder of these.
    DataError
        For a list of texts with duplicates or blank texts.
    """
    check_texts(texts)
    reading: dict[str, Any] = {"batch_size": batch_size, "store": store, "progress": progress}
    tell = say or (lambda line: None)
    first = next(iter(modalities.values())).text_encoder if modalities else query
    spaces = _text_spaces([*(one.text_encoder for one in modalities.values()), *([query] if query else [])])
    reader = query or first
    if reader is None:
        raise InputError("binding joins at least two modalities; got none.")
    if hub is not None:
        named = [name for name, one in spaces.items() if hub in (name, one.name)]
        if not named:
            known = ", ".join(repr(one.name) for one in spaces.values())
            raise InputError(
                f"the hub {hub!r} is none of the text encoders {known}. Name one of them, or leave it out."
            )
        hub = named[0]
    vectors: dict[str, Embeddings] = {}
    pairs: dict[str, ModalityPairs] = {}
    for name, one in modalities.items():
        tell(f"reading {name}")
        vectors[name], pairs[name] = _pairs(name, one, _name_of(one.text_encoder, spaces), reading)
    views = None
    if len(spaces) > 1 or texts or any(one.texts is None for one in pairs.values()):
        shared = list(texts) or _texts_of(modalities)
        if not shared:
            raise InputError(
                "no modality has texts and there is no list of them. Give one with " + setting("texts") + "."
            )
        tell(f"reading {counted(len(shared), 'text')} by {counted(len(spaces), 'text encoder')}")
        items = Items(np.arange(len(shared)).astype(np.str_), shared, "text")
        views = {name: embed(encoder, items, **reading) for name, encoder in spaces.items()}
    tell(f"binding {', '.join(modalities)}")
    alone = next(iter(spaces))
    bound = bind(
        pairs if views is not None else {name: _without_space(one) for name, one in pairs.items()},
        texts=views,
        text=None if views is None else _name_of(reader, spaces),
        hub=hub,
        hub_solver=hub_solver,
        solver=solver,
        maps=maps,
        text_encoders={name: one.name for name, one in spaces.items()} if views else {"text": spaces[alone].name},
        seed=seed,
    )
    return FittedBinding(bound=bound, modalities=modalities, vectors=vectors, query=reader, reading=reading)


def add_to_binding(
    bound: BoundSpace,
    modalities: Mapping[str, ModalityItems],
    *,
    known: Callable[[], Encoder],
    texts: Sequence[str] = (),
    solver: str | Solver = "auto",
    seed: int = 0,
    batch_size: int = 32,
    store: str | Path | None = "auto",
    progress: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> FittedBinding:
    """Add modalities to a bound space; only their maps are fitted.

    Parameters
    ----------
    bound
        The bound space, which stays as it is.
    modalities
        Name -> encoders and anchors of each new modality.
    known
        Loads the text encoder of queries, without its map, for texts of an encoder that is not bound yet.
    texts
        List of texts that both text encoders read then. Default: the distinct texts of the new anchors.
    solver, seed, batch_size, store, progress, say
        As in :func:`fit_binding`.

    Raises
    ------
    InputError
        For a name that is taken, and as in :func:`fit_binding`.
    """
    check_texts(texts)
    reading: dict[str, Any] = {"batch_size": batch_size, "store": store, "progress": progress}
    vectors: dict[str, Embeddings] = {}
    for name, one in modalities.items():
        if say is not None:
            say(f"reading {name}")
        space, views = _known_space(bound, one.text_encoder), None
        if space is None:
            space = text_space_name(one.text_encoder.name, list(bound.text_maps))
            shared = list(texts) or _texts_of({name: one})
            items = Items(np.arange(len(shared)).astype(np.str_), shared, "text")
            views = {space: embed(one.text_encoder, items, **reading), bound.text: embed(known(), items, **reading)}
        vectors[name], pairs = _pairs(name, one, space, reading)
        bound = bound.add(
            name, pairs, texts=views, solver=solver, text_encoder=one.text_encoder.name if views else "", seed=seed
        )
    reader = next(iter(modalities.values())).text_encoder
    return FittedBinding(bound=bound, modalities=modalities, vectors=vectors, query=reader, reading=reading)


def _known_space(bound: BoundSpace, encoder: Encoder) -> str | None:
    """The text space of an encoder that is bound already."""
    known = encoder.space.fingerprint
    spaces = (name for name, one in bound.text_maps.items() if known is not None and one.source.fingerprint == known)
    return next(spaces, None)


def text_space_name(encoder: str, taken: Sequence[str] = ()) -> str:
    """A short name for the space of a text encoder, which can name a folder.

    Examples
    --------
    >>> text_space_name("hf:sentence-transformers/all-MiniLM-L6-v2#pool=mean")
    'all-MiniLM-L6-v2'
    >>> text_space_name("demo:text", ["demo-text"])
    'demo-text-2'
    """
    start = encoder.partition("#")[0].rstrip("/")
    last = re.split(r"[/\\]", start)[-1]
    name = (TEXT_SPACE.sub("-", last).strip("-") or "texts")[:50]
    name = f"{name}-space" if name in ("text", "texts", "index") else name
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    return unique


def _text_spaces(encoders: Sequence[Encoder]) -> dict[str, Encoder]:
    """The distinct text encoders by short names; equal fingerprints are one encoder."""
    spaces: dict[str, Encoder] = {}
    for one in encoders:
        check_text(one)
        if not any(_same(one, other) for other in spaces.values()):
            spaces[text_space_name(one.name, list(spaces))] = one
    return spaces


def _same(one: Encoder, other: Encoder) -> bool:
    known = one.space.fingerprint is not None and one.space.fingerprint == other.space.fingerprint
    return one is other or known


def _name_of(encoder: Encoder, spaces: Mapping[str, Encoder]) -> str:
    return next(name for name, one in spaces.items() if _same(one, encoder))


def _pairs(name: str, one: ModalityItems, space: str, reading: Mapping[str, Any]) -> tuple[Embeddings, ModalityPairs]:
    """Vectors of a modality's items, and the pairs that link it with texts."""
    encoder = "" if isinstance(one.encoder, Embeddings) else one.encoder.name
    items = one.anchors if isinstance(one.anchors, Items) else one.anchors.source_items
    if isinstance(one.encoder, Embeddings):
        x = one.encoder.of_ids(items.ids)
    else:
        x = embed(one.encoder, items, **reading)
    if isinstance(one.anchors, Items):
        if isinstance(one.encoder, Embeddings):
            raise InputError(
                f"the modality {name!r} is known by vectors alone and has no texts. Give a table with texts."
            )
        try:
            clip_alignment(one.encoder, one.text_encoder)
        except InputError as error:
            raise InputError(
                f"the modality {name!r} has no texts, so its encoders must be two halves of a CLIP-like checkpoint: "
                + error.message
            ) from error
        return x, ModalityPairs(x, text_space=space, encoder=encoder)
    t = embed(one.text_encoder, one.anchors.target_items, **reading)
    return x, ModalityPairs(x, t, groups=one.anchors.groups, text_space=space, encoder=encoder)


def _without_space(one: ModalityPairs) -> ModalityPairs:
    """The pairs where all texts are of one encoder, whose space then has the name that ``bind`` gives it."""
    return ModalityPairs(one.vectors, one.texts, groups=one.groups, encoder=one.encoder)


def _texts_of(modalities: Mapping[str, ModalityItems]) -> list[str]:
    """The distinct texts of all anchors, in their order."""
    texts: dict[str, None] = {}
    for one in modalities.values():
        if isinstance(one.anchors, AnchorSet):
            texts |= dict.fromkeys(str(text) for text in one.anchors.target_items.values)
    return list(texts)
