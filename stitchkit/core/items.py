"""Items: the inputs of an encoder by id, not yet decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.escaping import escape
from stitchkit.core.keys import is_missing, visible_part
from stitchkit.core.wording import counted

MODALITIES = ("image", "text")


@dataclass(frozen=True, slots=True)
class Items:
    """Images or texts with their ids.

    Parameters
    ----------
    ids : (n,) str
        Unique names of the items.
    values
        For texts the strings; for images paths, PIL images or (h, w[, 3]) arrays.
    modality
        ``"image"`` or ``"text"``.
    """

    ids: np.ndarray
    values: Sequence[Any]
    modality: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", checked_ids(self.ids))
        if len(self.ids) != len(self.values):
            raise DataError(f"{len(self.ids)} ids came with {len(self.values)} {self.modality}s. Give one id for each.")
        if self.modality not in MODALITIES:
            raise DataError(f"items are of modality 'image' or 'text'; got {self.modality!r}.")

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def take(self, rows: np.ndarray) -> Items:
        """The items at positions ``rows`` (k,)."""
        return Items(self.ids[rows], [self.values[i] for i in rows], self.modality)


def checked_ids(ids: Any) -> np.ndarray:
    """``ids`` as a (n,) array of unique, non-empty strings.

    Raises
    ------
    DataError
        Naming the first empty or repeated id, or one that is no Unicode text, as file names may be.
    """
    array = np.asarray([str(one) for one in ids], dtype=np.str_)
    if len(array) and (empty := np.flatnonzero(np.char.str_len(array) == 0)).size:
        raise DataError(f"row {empty[0]} has no id. Give every item a unique, non-empty id.")
    for one in array.tolist():
        if not one.isascii() and any("\ud800" <= letter <= "\udfff" for letter in one):
            raise DataError(
                f"the id '{escape(one)}' is no Unicode text and cannot be written. Rename the item or file."
            )
    unique, counts = np.unique(array, return_counts=True)
    if (counts > 1).any():
        twice = unique[counts > 1]
        raise DataError(
            f"id {str(twice[0])!r} stands {counts.max()} times ({len(twice)} ids are repeated). Make the ids unique."
        )
    return array


def checked_groups(groups: Any, n: int) -> np.ndarray:
    """``groups`` as (n,) names: 5, 5.0 and "5.0" are one patient, and a missing one is an error.

    Missing are blanks, NaN, None and words for unknown (``NA``, ``<NA>``, ``unknown``, ``?``, ...): rows of unknown
    patients are not all of one patient.

    Raises
    ------
    InputError
        If their number is not ``n``.
    DataError
        Naming the first row without a group.
    """
    array = np.asarray(groups, dtype=object)
    values = array.tolist()
    if array.ndim > 1:
        raise InputError(f"groups has shape {array.shape}. Give one patient (or site) a row, not a table of them.")
    if not isinstance(values, list) or len(values) != n:
        raise InputError(
            f"{counted(int(np.size(groups)), 'group')} came with {counted(n, 'row')}. Give one patient (or site) a row."
        )
    names = [_group_name(value) for value in values]
    if "" in names:
        first = names.index("")
        word = visible_part(values[first]).strip() if isinstance(values[first], str) else ""
        note = f" ({word!r} stands for unknown)" if word else ""
        raise DataError(
            f"row {first} has no group; {names.count('')} of {n} have none{note}. Give every row its patient, take "
            f"those rows out, or leave groups out."
        )
    return np.asarray(names, dtype=np.str_)


def _group_name(value: Any) -> str:
    if is_missing(value):
        return ""
    text = str(value).strip()
    whole, dot, rest = text.partition(".")
    return whole if dot and whole.isdigit() and not rest.strip("0") else text  # a table program's 5.0 for 5


def rows_of(wanted: np.ndarray, among: np.ndarray, what: str) -> np.ndarray:
    """Positions of the ids ``wanted`` (k,) in ``among`` (n,).

    Raises
    ------
    DataError
        If an id is missing, naming it, an id that is there, ``what`` and how many are missing.
    """
    place = {name: row for row, name in enumerate(among.tolist())}
    missing = [name for name in wanted.tolist() if name not in place]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} ids are not in {what}, the first is {missing[0]!r}{_example(among)}. "
            f"Check that both sides use the same ids: read both from the same table, or both from the same folder."
        )
    return np.asarray([place[name] for name in wanted.tolist()], dtype=np.int64)


def _example(ids: np.ndarray) -> str:
    return f"; the ids there are such as {str(ids[0])!r}" if len(ids) else ""
