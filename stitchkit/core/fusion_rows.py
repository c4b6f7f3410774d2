"""Vectors of several modalities by item, any of which an item may lack."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.items import checked_ids
from stitchkit.core.space import Space
from stitchkit.core.table_features import LARGEST, TableFeatures, TableRows
from stitchkit.core.wording import counted

_FOLDERS = re.compile(r"/(?:[^/\s#:&=]+/)+")  # of an absolute path; hf:owner/model keeps its owner
NARROW = 8  # width below which a layer norm of a row would leave little of it: of one number nothing


@dataclass(frozen=True, slots=True)
class Modality:
    """One input of a fused head.

    Parameters
    ----------
    name
        The user's word for it.
    space
        Space of its vectors.
    table
        Fitted features, if it is a table; None for vectors of an encoder.
    encoder
        Name of the encoder of its vectors; empty if it is not known.
    column
        Column of a table of items that the encoder reads; empty if it is not known.

    Examples
    --------
    >>> Modality("image", Space("net", 9), encoder="python:/home/ann/mine.py:thumbnails").reader
    'python:mine.py:thumbnails'
    """

    name: str
    space: Space
    table: TableFeatures | None = None
    encoder: str = ""
    column: str = ""

    @property
    def reader(self) -> str:
        """Its reader in words: an encoder's name without folders of this machine, or the columns of a table."""
        if self.table is not None:
            return repr(self.table).partition("(")[2].removesuffix(")")
        return _FOLDERS.sub("", self.encoder or self.space.name)

    @property
    def normed(self) -> bool:
        """True if a layer norm and a ReLU come first; columns of a table, and narrow vectors, enter as they are."""
        return self.table is None and self.space.dim >= NARROW


@dataclass(frozen=True, slots=True, eq=False)
class FusionRows:
    """Vectors of several modalities by item, with a mask of what is present.

    Parameters
    ----------
    ids : (n,) str
    vectors
        Modality -> (n, d) float; rows that are not present may hold anything and are set to 0.
    present : (n, M) bool
        True where an item has a modality, in the order of ``vectors``.

    Raises
    ------
    InputError
        For shapes that do not fit, and for NaN, infinity or numbers above 1e100 in a vector that is said to be present,
        naming the item.

    Examples
    --------
    >>> rows = FusionRows(["a", "b"], {"ct": np.ones((2, 3)), "age": [[0.5], [np.nan]]}, [[True, True], [True, False]])
    >>> rows.vectors["age"].tolist(), rows.masks
    ([[0.5], [0.0]], {('ct',): 1, ('ct', 'age'): 1})
    """

    ids: np.ndarray
    vectors: Mapping[str, np.ndarray]
    present: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", checked_ids(self.ids))
        mask = np.asarray(self.present)
        if mask.dtype != np.bool_ or mask.shape != (len(self.ids), len(self.vectors)):
            raise InputError(
                f"the mask of {len(self.ids)} items and {len(self.vectors)} modalities is bool ({len(self.ids)}, "
                f"{len(self.vectors)}); got {mask.dtype} {mask.shape}."
            )
        held = {}
        for m, (name, values) in enumerate(self.vectors.items()):
            array = np.asarray(values, dtype=np.float64)
            if array.ndim != 2 or len(array) != len(self.ids):
                raise InputError(f"the vectors of {name!r} have shape {array.shape} for {len(self.ids)} items.")
            odd = mask[:, m] & ~(np.abs(array) <= LARGEST).all(axis=1)  # NaN is no smaller
            if odd.any():
                first = int(np.flatnonzero(odd)[0])
                raise InputError(
                    f"item {str(self.ids[first])!r} is said to have {name!r}, and its vector holds NaN, infinity or "
                    f"numbers above {LARGEST:g}; "
                    f"{counted(int(odd.sum()), 'row does', 'rows do')}. Mark these as missing, or embed them again."
                )
            held[name] = np.where(mask[:, [m]], array, 0.0)
        object.__setattr__(self, "vectors", held)
        object.__setattr__(self, "present", mask.copy())

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self.vectors)

    @property
    def masks(self) -> dict[tuple[str, ...], int]:
        """Number of items with exactly these modalities, the most frequent first."""
        patterns, counts = np.unique(self.present, axis=0, return_counts=True)
        return {self.names_of(patterns[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}

    def names_of(self, mask: np.ndarray) -> tuple[str, ...]:
        """Names of the modalities of one mask (M,)."""
        return tuple(name for name, there in zip(self.names, mask, strict=True) if there)

    def take(self, rows: np.ndarray) -> FusionRows:
        """The items at positions ``rows`` (k,)."""
        return FusionRows(self.ids[rows], {name: one[rows] for name, one in self.vectors.items()}, self.present[rows])

    def only(self, names: Sequence[str]) -> FusionRows:
        """The same items with every other modality hidden."""
        for name in names:
            if name not in self.vectors:
                raise UnknownNameError.of("modality", name, self.vectors)
        kept = np.asarray([name in names for name in self.vectors])
        return FusionRows(self.ids, self.vectors, self.present & kept)


def join_modalities(
    modalities: Sequence[Modality], inputs: Mapping[str, Any], ids: Sequence[str] | np.ndarray | None = None
) -> FusionRows:
    """Rows of several modalities joined by id; an item that one of them lacks is marked as missing there.

    Parameters
    ----------
    inputs
        Modality -> :class:`Embeddings` or an (n, d) array with row numbers for ids; of a table :class:`TableRows`. A
        modality that is left out is missing everywhere.
    ids
        Items, in order; by default all ids of the inputs, in the order in which they come.

    Raises
    ------
    SpaceMismatchError
        For vectors of another encoder.
    DataError
        If no input shares an id with ``ids``.
    """
    known = {one.name for one in modalities}
    for name in inputs:
        if name not in known:
            raise UnknownNameError.of("modality", name, known)
    if not inputs:
        raise InputError(f"a fused head reads {', '.join(sorted(known))}; got none of them. Give at least one.")
    read = {one.name: _read(one, inputs[one.name]) for one in modalities if one.name in inputs}
    order = [name for one_ids, _, _ in read.values() for name in one_ids.tolist()] if ids is None else list(ids)
    names = checked_ids(dict.fromkeys(order) if ids is None else order)
    place = {name: row for row, name in enumerate(names.tolist())}
    vectors, present = {}, np.zeros((len(names), len(modalities)), dtype=bool)
    for m, one in enumerate(modalities):
        whole = np.zeros((len(names), one.space.dim))
        if one.name in read:
            own_ids, values, there = read[one.name]
            rows = np.asarray([place.get(name, -1) for name in own_ids.tolist()], dtype=np.int64)
            used = (rows >= 0) & there
            whole[rows[used]], present[rows[used], m] = values[used], True
            if len(names) and len(own_ids) and not (rows >= 0).any():
                raise DataError(
                    f"no id of {one.name!r}, such as {str(own_ids[0])!r}, is among the {len(names)} items, such as "
                    f"{str(names[0])!r}. Read all modalities from one table, or give them the same ids."
                )
        vectors[one.name] = whole
    return FusionRows(names, vectors, present)


def _read(modality: Modality, values: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids (n,), vectors (n, d), and which rows have any."""
    if isinstance(values, TableRows):
        if modality.table is None:
            raise InputError(f"modality {modality.name!r} takes vectors of {modality.space.name!r}; got a table.")
        return values.ids, *modality.table.vectors(values)
    if modality.table is not None and not isinstance(values, Embeddings):
        raise InputError(
            f"modality {modality.name!r} takes the rows of a table; got {type(values).__name__}. Read them with "
            f"sk.read_table_rows."
        )
    embeddings = as_embeddings(values, f"modality {modality.name!r}")
    modality.space.require(embeddings.space, f"modality {modality.name!r} of the fused head")
    whole = np.asarray(to_numpy(embeddings.vectors), dtype=np.float64)
    return embeddings.ids, whole, np.ones(len(whole), dtype=bool)
