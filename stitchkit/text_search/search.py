"""The verb ``search``: the items of every modality that are nearest to a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.alignment.binding.bound_space import BoundSpace
from stitchkit.alignment.binding.modalities import TEXT
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, like, namespace, to_numpy, top_k, working_float
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.escaping import escape
from stitchkit.core.items import Items
from stitchkit.core.maps import AffineMap, mapped_fingerprint, unit
from stitchkit.core.roles import Encoder, HasVocabulary, check_text
from stitchkit.core.space import Space
from stitchkit.core.wording import setting
from stitchkit.embedding import embed
from stitchkit.text_search.results import BINS, CENTRED, Hit, ModalityResult, QueryResult, SearchResult, Spread

ITEMS = "items"  # name of a gallery that is no mapping of modalities
TOP = 12
QUERIES, BLOCK = 64, 16_384  # queries and items that are compared at once: no matrix of all with all is ever held


def search(
    space: BoundSpace | Alignment | None,
    texts: str | Sequence[str] | Embeddings,
    gallery: Mapping[str, Any] | Embeddings | Any,
    *,
    text: Encoder | None = None,
    top: int = TOP,
    center: str | None = None,
    modalities: Sequence[str] | None = None,
    store: str | Path | None = "auto",
) -> SearchResult:
    """The items of every modality that are nearest to each text, and how far they stand out of the gallery.

    Parameters
    ----------
    space
        A bound space; an alignment from the items' encoder to the text encoder, also that of a CLIP-like pair; or None
        where items and texts are vectors of one space.
    texts
        A text or several, which ``text`` reads; or embeddings of the text encoder, whose ids are the texts.
    gallery
        Name of each modality -> embeddings of its items, by the modality's encoder or in the hub; for an alignment, or
        one space, also embeddings alone.
    text
        The text encoder, of a bound space also the one of its folder, ``stitchkit.load(folder)["text"]``.
    top
        Largest number of items in a list, default 12.
    center
        For a bound space ``"global"`` (the default), where modalities are told apart, or ``"modality"``: about each
        modality's own mean, for one class across modalities.
    modalities
        Modalities that are searched, default all of the gallery.
    store
        Cache of the text encoder's vectors, as in ``stitchkit.embed``.

    Returns
    -------
    SearchResult
        One list over all modalities and one for each, with ranks, similarities and their distribution.

    Raises
    ------
    InputError
        For texts that are empty or stand twice, a text of which the encoder knows no word, an empty gallery, or a
        centring of what is no bound space.
    UnknownNameError
        For a modality that the bound space or the gallery does not have, or an unknown centring.
    SpaceMismatchError
        If vectors are of another encoder.

    Examples
    --------
    >>> import stitchkit as sk
    >>> rng = np.random.default_rng(0)
    >>> meaning, to_texts = rng.normal(size=(120, 4)), rng.normal(size=(4, 8))
    >>> xray, ct = (meaning @ rng.normal(size=(4, 10)) for _ in range(2))
    >>> bound = sk.bind({"xray": (xray[:60], (meaning @ to_texts)[:60]), "ct": (ct[60:], (meaning @ to_texts)[60:])})
    >>> texts = sk.Embeddings((meaning @ to_texts)[:2], ["first report", "second"], sk.Space("array", 8))
    >>> result = search(bound, texts, {"xray": xray[:60], "ct": ct[:60]}, top=2, center="modality")
    >>> [(hit.modality, hit.id) for hit in result.queries[0].modalities["ct"].hits][0]
    ('ct', '0')
    """
    if isinstance(top, bool) or not isinstance(top, int | np.integer) or top < 1:
        raise InputError("a list holds at least one item; got " + setting("top", top) + ".")
    centring = centring_of(space, center)
    galleries = _galleries(space, gallery, modalities)
    queries = _queries(texts, text, store)
    rankings = {}
    for name, items in galleries.items():
        rows, wanted = _unit_rows(space, name, items, queries, centring)
        rankings[name] = _ranking(wanted, rows, min(int(top), len(items)))
    ids = {name: items.ids for name, items in galleries.items()}
    results = [_query_result(q, one, rankings, ids, int(top)) for q, one in enumerate(queries.ids.tolist())]
    reader = queries.space.name if text is None else text.name
    return SearchResult(queries=tuple(results), center=centring, top=int(top), text=reader)


def check_queries(texts: Sequence[str], place: str = "text", where: str = "the search") -> tuple[str, ...]:
    """The texts, if none is empty and none stands twice.

    Parameters
    ----------
    place, where
        Words for the number of a text and for their list: ``"line"`` and the name of a file, say.

    Raises
    ------
    InputError
        Naming the number of the first that is wrong.
    """
    if not texts:
        raise InputError("there is no text to search for. Give one.")
    first: dict[str, int] = {}
    for number, one in enumerate(texts, start=1):
        if not isinstance(one, str) or not one.strip():
            raise InputError(f"{place} {number} of {where} is empty. Leave it out, or write a text.")
        if one in first:
            raise InputError(
                f"{place} {number} of {where} repeats {place} {first[one]}, {escape(repr(one))}. Give each text once."
            )
        first[one] = number
    return tuple(texts)


def centring_of(space: Any, center: str | None) -> str:
    """The centring of a search: ``center`` or the default of a bound space, ``""`` of an alignment, ``"none"``.

    Raises
    ------
    UnknownNameError
        For an unknown centring.
    InputError
        For a centring of what is no bound space.
    """
    if isinstance(space, BoundSpace):
        if center not in (None, "global", "modality"):
            raise UnknownNameError.of("centring", str(center), ("global", "modality"))
        return center or "global"
    if space is not None and not isinstance(space, Alignment):
        raise InputError(
            f"texts are searched in a bound space, over an alignment, or in one space (None); got "
            f"{type(space).__name__}. Give the 'space' of a loaded bound folder, or the 'alignment' of a stitched one."
        )
    if center is not None:
        raise InputError(
            setting("center", center) + " is of a bound space; here vectors are compared " + _where(space) + "."
        )
    return "none" if space is None else ""


def _where(space: Alignment | None) -> str:
    return CENTRED["none" if space is None else ""]


def _galleries(space: Any, gallery: Any, modalities: Sequence[str] | None) -> dict[str, Embeddings]:
    """The embeddings by modality, those of ``modalities`` alone where it names some."""
    if isinstance(gallery, Mapping):
        every = dict(gallery)
    elif isinstance(space, BoundSpace):
        known = ", ".join(map(repr, space.names))
        raise InputError(f"the gallery of a bound space is a mapping of its modalities ({known}) to embeddings.")
    else:
        every = {ITEMS: gallery}
    for name in modalities or ():
        if name not in every:
            raise UnknownNameError.of("modality of this gallery", str(name), every)
    names = [name for name in every if not modalities or name in modalities]
    if not names:
        raise InputError("the gallery holds no modality. Give embeddings of the items to search.")
    if isinstance(space, BoundSpace):
        for name in names:
            space.modality(name)
    results = {name: as_embeddings(every[name], f"the gallery {name!r}") for name in names}
    if empty := [name for name, one in results.items() if not len(one)]:
        raise InputError(f"the gallery of {empty[0]!r} holds no items. Leave it out, or give its embeddings.")
    return results


def _queries(texts: Any, text: Encoder | None, store: str | Path | None) -> Embeddings:
    """Embeddings of the texts, whose ids are the texts."""
    if isinstance(texts, Embeddings):
        check_queries(texts.ids.tolist())
        return texts
    several = check_queries([texts] if isinstance(texts, str) else list(texts))
    if text is None:
        raise InputError("texts are read by an encoder. Give it with " + setting("text") + ", or embeddings of them.")
    check_text(text)
    if isinstance(text, HasVocabulary):
        known = text.knows(several)
        if unknown := [one for one, is_known in zip(several, known, strict=True) if not is_known]:
            raise InputError(
                f"the tokenizer of {text.space.name!r} knows no word of {escape(repr(unknown[0]))}: it would get the "
                f"vector of an empty text, whose nearest items say nothing. Use other words, or an encoder of that "
                f"language."
            )
    return embed(text, Items(np.asarray(several), list(several), "text"), store=store, progress=False)


def _unit_rows(
    space: BoundSpace | Alignment | None, name: str, items: Embeddings, queries: Embeddings, center: str
) -> tuple[Array, Array]:
    """Rows (n, k) of the items and (q, k) of the texts whose inner products are the similarities."""
    if isinstance(space, BoundSpace):
        mean, text_mean = space.centers(name, center)
        rows = _in_hub(space, space.to_hub(name), items)
        wanted = like(_in_hub(space, space.to_hub(TEXT), queries), rows, dtype=rows.dtype)
        xp = namespace(rows)
        means = (xp.astype(like(one, rows), rows.dtype) for one in (mean, text_mean))
        return unit(rows - next(means)), unit(wanted - next(means))
    if space is not None:
        space.source.require(items.space, f"the gallery {name!r}")
        return space.unit_rows(items, queries)
    queries.space.require(items.space, f"the text encoder {queries.space.name!r}")
    rows = unit(working_float(items.vectors))
    return rows, like(unit(working_float(queries.vectors)), rows, dtype=rows.dtype)


def _in_hub(bound: BoundSpace, to_hub: AffineMap, vectors: Embeddings) -> Array:
    """Vectors in the hub: those that are there already, by their space, as they are, others mapped."""
    if is_in_hub(bound.hub, to_hub, vectors.space):
        return working_float(vectors.vectors)
    mapped: Embeddings = to_hub(vectors)
    return mapped.vectors


def is_in_hub(hub: Space, to_hub: AffineMap, space: Space) -> bool:
    """True for the space of vectors that a map into the hub made, or an encoder followed by it."""
    if space.fingerprint is None:
        return space == hub and space != to_hub.source
    return space.fingerprint in (hub.fingerprint, mapped_fingerprint(to_hub.source.fingerprint, to_hub))


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """The best items of each query: positions (q, k), similarities (q, k), and the distribution of all."""

    rows: np.ndarray
    scores: np.ndarray
    spreads: list[Spread]


def _ranking(queries: Array, rows: Array, top: int) -> _Ranking:
    parts = [_tile(queries[a : a + QUERIES, :], rows, top) for a in range(0, int(queries.shape[0]), QUERIES)]
    return _Ranking(
        rows=np.concatenate([one.rows for one in parts]),
        scores=np.concatenate([one.scores for one in parts]),
        spreads=[spread for one in parts for spread in one.spreads],
    )


def _tile(queries: Array, rows: Array, top: int) -> _Ranking:
    """The ranking of a few queries, over blocks of the gallery."""
    q, n = int(queries.shape[0]), int(rows.shape[0])
    places, scores = np.empty((q, 0), dtype=np.int64), np.empty((q, 0))
    blocks: list[list[Spread]] = []
    for start in range(0, n, BLOCK):
        block = rows[start : min(start + BLOCK, n), :]
        tile = queries @ namespace(block).matrix_transpose(block)
        where, best = map(to_numpy, top_k(tile, min(top, int(block.shape[0]))))
        places, scores = np.hstack([places, where + start]), np.hstack([scores, best])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        places, scores = np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1)
        blocks.append([_spread(one) for one in to_numpy(tile).astype(np.float64)])
    return _Ranking(places, scores, [reduce(Spread.merge, parts) for parts in zip(*blocks, strict=True)])


def _spread(similarities: np.ndarray) -> Spread:
    steps = np.clip(((similarities + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)
    return Spread(
        n=len(similarities),
        mean=float(similarities.mean()),
        sd=float(similarities.std()),
        best=float(similarities.max()),
        counts=np.bincount(steps, minlength=BINS),
    )


def _query_result(
    q: int, query: str, rankings: Mapping[str, _Ranking], ids: Mapping[str, np.ndarray], top: int
) -> QueryResult:
    """The lists of one text: one for each modality, and all in one."""
    modalities = {}
    for name, one in rankings.items():
        spread = one.spreads[q]
        pairs = zip(ids[name][one.rows[q]].tolist(), one.scores[q].tolist(), strict=True)
        hits = tuple(Hit(i + 1, name, item, s, spread.z(s)) for i, (item, s) in enumerate(pairs))
        modalities[name] = ModalityResult(hits, spread)
    whole = reduce(Spread.merge, (one.spread for one in modalities.values()))
    every = sorted((hit for one in modalities.values() for hit in one.hits), key=lambda hit: -hit.similarity)[:top]
    hits = tuple(
        Hit(i + 1, hit.modality, hit.id, hit.similarity, whole.z(hit.similarity)) for i, hit in enumerate(every)
    )
    return QueryResult(query=query, hits=hits, spread=whole, modalities=modalities)
