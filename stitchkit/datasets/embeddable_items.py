"""Items that an encoder can embed: what callers pass, checked item by item.

An item with a fault ends the work, or is left out with the reason, which a table beside the embeddings keeps.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stitchkit.core.errors import DataError, InputError, StitchError
from stitchkit.core.escaping import as_csv_cell
from stitchkit.core.items import Items
from stitchkit.core.keys import visible_part
from stitchkit.core.wording import counted
from stitchkit.datasets.images import looks_like_image
from stitchkit.datasets.tables import read_items, with_all_frames
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.path_checks import checked_file

_VISIBLE = re.compile("[!-~]")  # nearly every text has one: no look at the others
_SURROGATE = re.compile("[\ud800-\udfff]")
_LEFT_OUT = ("id", "reason")  # columns


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
        result = with_all_frames(items if isinstance(items, Items) else _of_list(items, modality))
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


class Failures:
    """Items that cannot be embedded: the first is raised, or all are kept with a reason."""

    def __init__(self, skip: bool, ids: np.ndarray) -> None:
        self.skip, self.ids = skip, ids
        self.reasons: dict[str, str] = {}

    def add(self, name: str, error: StitchError) -> None:
        """Raise the error of the item ``name``, or keep it."""
        if not self.skip:
            raise error
        self.reasons[name] = error.message

    def sound(self, items: Items) -> Items:
        """``items`` without those of a wrong type or without content, and without earlier failures."""
        for row, name in enumerate(items.ids.tolist()):
            if name not in self.reasons and (error := fault_of(items, row)):
                self.add(name, error)
        return self.without_failed(items)

    def without_failed(self, items: Items) -> Items:
        """``items`` without those that failed."""
        if not self.reasons:
            return items
        return items.take(np.flatnonzero([name not in self.reasons for name in items.ids.tolist()]))

    def spread(self, ids: np.ndarray, first: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Let every row fail whose content failed in the row ``first[which]``; the rows (k,) that are left."""
        reasons = [self.reasons.get(name) for name in ids[first[which]].tolist()]
        self.reasons |= {name: reason for name, reason in zip(ids.tolist(), reasons, strict=True) if reason}
        return np.flatnonzero([reason is None for reason in reasons])

    def excluded(self) -> tuple[tuple[str, str], ...]:
        """Ids and reasons in the order of the items."""
        return tuple((name, self.reasons[name]) for name in self.ids.tolist() if name in self.reasons)

    def summarize(self) -> None:
        """Warn of what was left out; raise if that is everything."""
        for name, reason in self.excluded()[:1]:
            if len(self.reasons) == len(self.ids):
                raise DataError(f"none of {len(self.ids)} items can be embedded; the first, {name!r}: " + reason)
            count = f"{len(self.reasons)} of {len(self.ids)} items were left out"
            warnings.warn(f"{count}; the first, {name!r}: " + reason, stacklevel=3)


def left_out_path(out: str | Path) -> Path:
    """The table of left-out items beside the file of embeddings ``out``: ``films.left_out.csv``."""
    return Path(out).with_suffix(".left_out.csv")


def write_left_out(path: Path, left_out: Sequence[tuple[str, str]]) -> Path:
    """Write id and reason of each left-out item as a CSV; only its header if there is none.

    Raises
    ------
    InputError
        If ``path`` is a folder or a file of another kind.
    OSError
        If it cannot be written; its ``filename`` is ``path``.
    """
    check_left_out(path)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_LEFT_OUT, *(map(as_csv_cell, row) for row in left_out)])
    return write_text(path, text.getvalue(), errors="backslashreplace")


def check_left_out(path: Path) -> None:
    """Raise unless a table of left-out items may be written to ``path``.

    Raises
    ------
    InputError
        If ``path`` is a folder or a file of another kind.
    """
    header = ",".join(_LEFT_OUT).encode()
    path = checked_file(path, "a table", InputError)
    if path.is_dir() or (path.exists() and path.read_bytes()[: len(header)] != header):
        raise InputError(f"{path} exists and is no table of left-out items; it was left alone. Choose another name.")


def _of_list(items: Any, modality: str) -> Items:
    if isinstance(items, Mapping | Image.Image) or not isinstance(items, Sequence | np.ndarray):
        from stitchkit.core.anchors import AnchorSet

        if isinstance(items, AnchorSet):
            raise InputError("an anchor set has two sides. Pass anchors.source_items or anchors.target_items.")
        if hasattr(items, "columns"):
            raise InputError(f"items must be Items, a path or a list; got {type(items).__name__}. Read it first: "
                             f"stitchkit.read_items(frame).")  # fmt: skip
        raise InputError(f"items must be Items, a path or a list; got {type(items).__name__}. Put them into a list.")
    if isinstance(items, np.ndarray) and items.dtype.kind not in "UO" and items.ndim != 4:
        raise InputError(
            f"one array of shape {items.shape} is not clearly a list of images. Pass a list of (h, w[, 3])."
        )
    values = [str(value) if isinstance(value, np.str_) else value for value in items]
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
