"""Texts that an encoder does not read as they are: those of unknown words, with like vectors, and those too long."""

from __future__ import annotations

import warnings

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoder, HasContext, HasVocabulary


def check_vocabulary(encoder: Encoder, items: Items, first: np.ndarray, which: np.ndarray) -> None:
    """Warn of texts of which the tokenizer knows no word; raise if it knows no word of any text.

    Encoders of images, and those that cannot say what they know, pass.

    Parameters
    ----------
    items
        n items.
    first : (m,) int
        Row of each distinct item.
    which : (n,) int
        Place in ``first`` of each row's content.

    Raises
    ------
    InputError
        If there is not one known word in all the texts.
    """
    if encoder.modality != "text" or not isinstance(encoder, HasVocabulary):
        return
    known = np.asarray(encoder.knows([items.values[int(row)] for row in first]), dtype=np.bool_)[which]
    if known.all():
        return
    example = str(items.ids[int(np.flatnonzero(~known)[0])])
    if not known.any():
        raise InputError(
            f"the tokenizer of {encoder.space.name!r} knows no word of any of the {len(items)} texts, such as item "
            f"{example!r}: all would get one vector. Use an encoder of their language."
        )
    warnings.warn(
        f"the tokenizer of {encoder.space.name!r} knows no word of {int((~known).sum())} of {len(items)} texts, the "
        f"first is item {example!r}: they get one vector, whatever they say. Leave them out, or use an encoder of "
        f"their language.",
        stacklevel=3,
    )


def warn_of_cut_texts(encoder: Encoder, items: Items, first: np.ndarray, which: np.ndarray) -> None:
    """Warn of texts that are longer than what the encoder reads, with their number; the rest of them is cut off.

    Parameters are those of :func:`check_vocabulary`.
    """
    if encoder.modality != "text" or not isinstance(encoder, HasContext):
        return
    is_cut = np.asarray(encoder.cuts([items.values[int(row)] for row in first]), dtype=np.bool_)[which]
    if not is_cut.any():
        return
    example = str(items.ids[int(np.flatnonzero(is_cut)[0])])
    warnings.warn(
        f"{int(is_cut.sum())} of {len(items)} texts are longer than {encoder.space.name!r} reads, the first is item "
        f"{example!r}: their vectors are of the beginning alone. Shorten them to what matters (the impression of a "
        f"report, say), or use an encoder of longer texts.",
        stacklevel=3,
    )
