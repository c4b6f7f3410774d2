"""Items as callers give them: a value, a path, or a plain list of texts, paths, PIL images or arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.keys import visible_part
from stitchkit.core.wording import counted
from stitchkit.datasets.images import looks_like_image
from stitchkit.datasets.tables import read_items

_VISIBLE = re.compile("[!-~]")  # nearly every text has one: no look at the others
_SURROGATE = re.compile("[\ud800-\udfff]")


def as_items(items: Any, modality: str) -> Items:
    """``items`` for an encoder of ``modality``, every one of a type it takes.

    Parameters
    ----------
    items
        :class:`Items`; the path of a folder, table or line file; a list of texts, or of paths, PIL images and
        (h, w[, 3]) arrays. In a list paths are their own ids, everything else gets its row number.
    modality
        ``"image"`` or ``"text"``.

    Raises
    ------
    InputError
        For no items, another modality, a type that cannot be encoded, or a text that is empty, shows nothing, or
        holds half of a surrogate pair.
    DataError
        For a file that cannot be read, or repeated ids.
    """
    checked = as_unchecked_items(items, modality)
    for row in range(len(checked)):
        if error := fault_of(checked, row):
            raise error
    return checked


def as_unchecked_items(items: Any, modality: str) -> Items:
    """As :func:`as_items`, but single items may have a fault, which :func:`fault_of` names."""
    if isinstance(items, str | Path):
        result = read_items(items, modality=modality)
    else:
        result = items if isinstance(items, Items) else _of_list(items, modality)
    if result.modality != modality:
        raise InputError(
            f"the encoder reads {modality}s and was given {counted(len(result), result.modality)}. "
            f"Use an encoder for {result.modality}s, or the other side of the pairs."
        )
    if not len(result):
        raise InputError("there are no items to embed. Pass at least one.")
    return result


def fault_of(items: Items, row: int) -> InputError | None:
    """The error of an item of a wrong type or without content; None for a sound one."""
    fault = _fault(items.values[row], items.modality)
    return InputError(f"item {str(items.ids[row])!r} (row {row}) is {fault}.") if fault else None


def _of_list(batch: Any, modality: str) -> Items:
    if isinstance(batch, Mapping | Image.Image) or not isinstance(batch, Sequence | np.ndarray):
        from stitchkit.core.anchors import AnchorSet

        if isinstance(batch, AnchorSet):
            raise InputError("an anchor set has two sides. Pass anchors.source_items or anchors.target_items.")
        raise InputError(f"items must be Items, a path or a list; got {type(batch).__name__}. Put them into a list.")
    if isinstance(batch, np.ndarray) and batch.dtype.kind not in "UO" and batch.ndim != 4:
        raise InputError(
            f"one array of shape {batch.shape} is not clearly a list of images. Pass a list of (h, w[, 3])."
        )
    values = [str(value) if isinstance(value, np.str_) else value for value in batch]
    paths = modality == "image" and all(isinstance(value, str | Path) for value in values)
    if modality == "text" and values and all(isinstance(value, str) and looks_like_image(value) for value in values):
        raise InputError("the encoder reads texts; all items are names of image files. Use an encoder for images.")
    ids = [Path(value).as_posix() if paths else str(row) for row, value in enumerate(values)]
    return Items(np.asarray(ids, dtype=np.str_), values, modality)


def _text_fault(value: Any) -> str:
    """The fault that keeps a text from being encoded; empty if there is none."""
    if not isinstance(value, str):
        return f"a {type(value).__name__}, not a text. Pass strings"
    if half := _SURROGATE.search(value):
        return (
            f"a text with half of a surrogate pair (U+{ord(half[0]):04X} at character {half.start()}), which no file "
            f"and no tokenizer takes: an emoji or another character was cut in two. Read the text again from its "
            f"source, or put U+FFFD in its place"
        )
    if _VISIBLE.search(value) or visible_part(value).strip():
        return ""
    shown = "an empty text" if not value.strip() else "a text of invisible characters alone"
    return f"{shown}. Leave it out"


def _fault(value: Any, modality: str) -> str:
    """The fault of one item; empty if there is none."""
    if modality == "text":
        return _text_fault(value)
    if isinstance(value, str | Path | Image.Image):
        return ""
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}, not an image. Pass paths, PIL images or (h, w[, 3]) arrays"
    if value.size and (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))):
        return ""
    return f"an array of shape {value.shape}, not an image. Pass (h, w) or (h, w, 3)"
