"""Prompts to class embeddings to a head: classes named by text, read from another encoder's vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, like, namespace, take
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.heads import ZeroShotHead, one_direction
from stitchkit.core.items import Items
from stitchkit.core.maps import unit
from stitchkit.core.prompts import PromptSet, PromptVectors
from stitchkit.core.roles import Encoder, check_text
from stitchkit.datasets.prompt_sets import read_prompts
from stitchkit.embedding import embed


def zeroshot(
    alignment: Alignment,
    text: Encoder | Embeddings | PromptVectors,
    prompts: PromptSet | str | Path | None = None,
    *,
    store: str | Path | None = "auto",
) -> ZeroShotHead:
    """A head over the alignment's SOURCE space whose classes are named by ``prompts``.

    A class embedding is the unit mean of its prompts' unit vectors in the common space, where both sides are
    centred on the anchors. Where the anchors show one direction only (two distinct texts, say) it is the mean of their
    vectors as they are, and scores are projections.

    Parameters
    ----------
    alignment
        From the encoder to be classified to the text encoder.
    text
        The text encoder, or embeddings of the prompts with the prompt texts as ids; or prompts with their vectors,
        from :func:`stitchkit.embed_prompts`.
    prompts
        Classes with their positive and, optionally, negative texts; or what :func:`stitchkit.read_prompts` takes.
    store
        Cache of the text encoder's vectors, as in ``stitchkit.embed``.

    Returns
    -------
    ZeroShotHead
        Its scores are margins in [-2, 2] where there are negatives, cosines in [-1, 1] where there are none, logits
        where the anchors show one direction only.

    Raises
    ------
    SpaceMismatchError
        If ``text`` is not the encoder that the alignment was fitted to.
    InputError
        If ``text`` is neither an encoder nor embeddings of every prompt, or the prompts are not given once.
    """
    if isinstance(text, PromptSet):
        raise InputError(
            f"the prompt set {text.name!r} stands where the text encoder belongs: zeroshot(alignment, text_encoder, "
            f"prompts), or zeroshot(alignment, stitchkit.embed_prompts(text_encoder, prompts))."
        )
    if isinstance(text, PromptVectors):
        if prompts is not None:
            raise InputError("embedded prompts hold their prompt set: leave prompts out, or give the text encoder.")
        prompts, vectors = text.prompts, text.embeddings
    elif prompts is None:
        raise InputError("zeroshot needs prompts: zeroshot(alignment, text_encoder, stitchkit.read_prompts('nih14')).")
    else:
        prompts = _prompt_set(prompts)
        vectors = prompt_vectors(text, prompts, store)
    alignment.target.require(vectors.space, "the alignment's target side")
    common = alignment.target_map(vectors)
    row = {text_: i for i, text_ in enumerate(vectors.ids.tolist())}
    flat = one_direction(alignment.source_map)
    positive = _class_embeddings(common.vectors, prompts.positive, prompts.classes, row, flat)
    negative = None
    if prompts.negative:
        negative = _class_embeddings(common.vectors, prompts.negative, prompts.classes, row, flat)
    return ZeroShotHead(
        to_common=alignment.source_map,
        classes=prompts.classes,
        positive=positive,
        negative=negative,
        weights=alignment.weights,
        multiclass=prompts.multiclass,
    )


def embed_prompts(
    text: Encoder | Embeddings, prompts: PromptSet | str | Path, *, store: str | Path | None = "auto"
) -> PromptVectors:
    """The vectors of a prompt set's texts, by which ``stitchkit.align(..., prompts=)`` chooses a map.

    Parameters
    ----------
    text
        The text encoder, or embeddings of the prompts with the prompt texts as ids; other rows are dropped.
    prompts
        Classes with their positive and, optionally, negative texts; or what :func:`stitchkit.read_prompts` takes.
    store
        Cache of the text encoder's vectors, as in ``stitchkit.embed``.

    Returns
    -------
    PromptVectors
        The set with its vectors (m, d_t), whose ids are the texts.

    Raises
    ------
    InputError
        If ``text`` is neither a text encoder nor embeddings, or the prompts tell no items apart.
    DataError
        If a prompt has no vector.
    """
    prompts = _prompt_set(prompts)
    return PromptVectors(prompts, prompt_vectors(text, prompts, store))


def _prompt_set(prompts: PromptSet | str | Path) -> PromptSet:
    if isinstance(prompts, str | Path):
        return read_prompts(prompts)
    if not isinstance(prompts, PromptSet):
        raise InputError(
            f"prompts must be a PromptSet or what stitchkit.read_prompts takes; got {type(prompts).__name__}. "
            f"stitchkit.PromptSet('mine', {{class: (text, ...)}}) makes one."
        )
    return prompts


def prompt_vectors(text: Encoder | Embeddings, prompts: PromptSet, store: str | Path | None) -> Embeddings:
    """Embeddings of a prompt set's texts, with the texts as ids."""
    texts = prompts.texts
    if isinstance(text, Embeddings):
        return text.of_ids(texts)
    if not (hasattr(text, "encode") and hasattr(text, "modality")):  # a str has a method encode as well
        raise InputError(f"text must be a text encoder or embeddings; got {type(text).__name__}.")
    check_text(text)
    return embed(text, Items(np.asarray(texts), list(texts), "text"), store=store, progress=False)


def _class_embeddings(
    common: Array, sides: Mapping[str, tuple[str, ...]], classes: tuple[str, ...], row: Mapping[str, int], flat: bool
) -> Array:
    """Unit class embeddings (c, k) from unit prompt vectors; ``flat``: means of the vectors as they are."""
    xp, units = namespace(common), common if flat else unit(common)
    means = [xp.mean(take(units, np.asarray([row[text] for text in sides[c]])), axis=0) for c in classes]
    stacked = xp.stack(means)
    return like(stacked if flat else unit(stacked), common)
