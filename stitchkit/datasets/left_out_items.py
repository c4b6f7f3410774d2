"""Items that cannot be embedded: the first ends the work, or all are left out with a reason, kept in a table."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, InputError, StitchError
from stitchkit.core.escaping import as_csv_cell
from stitchkit.core.items import Items
from stitchkit.datasets.given import fault_of
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.path_checks import checked_file

_LEFT_OUT = ("id", "reason")  # columns


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
