"""Embeddings: vectors that know their ids and the space they live in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, as_array, namespace, take, to_numpy
from stitchkit.core.errors import InputError
from stitchkit.core.items import checked_ids, rows_of
from stitchkit.core.space import Space

VECTOR_FILES = (".safetensors", ".npy", ".npz", ".parquet")  # endings of files of vectors, of this package first
BLOCK = 16_384  # rows checked at once, so that a memory map is never read whole


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Vectors of one space, one row an item.

    Parameters
    ----------
    vectors : (n, d) float
        Finite, no row all zero.
    ids : (n,) str
        Unique.
    space
        Space of the vectors; ``space.dim == d``.
    left_out
        Id and reason of each item that could not be embedded, where damaged items were skipped; kept in no file.

    Raises
    ------
    InputError
        For NaN, infinity, zero rows or a wrong shape, naming the item.
    DataError
        For repeated or empty ids.
    """

    vectors: Array
    ids: np.ndarray
    space: Space
    left_out: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", as_array(self.vectors, f"the vectors of {self.space.name!r}"))
        object.__setattr__(self, "ids", checked_ids(self.ids))
        check_vectors(self.vectors, self.space.name, self.ids)
        n, d = self.vectors.shape
        if n != len(self.ids):
            raise InputError(f"{n} vectors of {self.space.name!r} came with {len(self.ids)} ids. Give one id a row.")
        if d != self.space.dim:
            raise InputError(f"space {self.space.name!r} is {self.space.dim} wide; got (n, {d}) vectors.")

    @classmethod
    def without_checks(cls, vectors: Array, ids: np.ndarray, space: Space) -> Embeddings:
        """Embeddings that a map made of checked ones; a row may be zero, where a vector lies exactly on the centre."""
        embeddings = object.__new__(cls)
        for name, value in (("vectors", vectors), ("ids", ids), ("space", space), ("left_out", ())):
            object.__setattr__(embeddings, name, value)
        return embeddings

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    def take(self, rows: np.ndarray) -> Embeddings:
        """The rows at positions ``rows`` (k,)."""
        return Embeddings(take(self.vectors, rows), self.ids[rows], self.space)

    def of_ids(self, ids: Any) -> Embeddings:
        """The rows with these ids, in their order; a missing id is an error that names it."""
        return self.take(rows_of(np.asarray(ids, dtype=np.str_), self.ids, f"the embeddings of {self.space.name!r}"))

    def joined(self, other: Embeddings) -> Embeddings:
        """These rows, then those of ``other``, which must be of the same space; in numpy.

        Examples
        --------
        >>> space = Space("ct", 2)
        >>> first = Embeddings(np.eye(2), ["a", "b"], space)
        >>> first.joined(Embeddings([[1.0, 1.0]], ["c"], space)).ids.tolist()
        ['a', 'b', 'c']
        """
        self.space.require(other.space, f"the embeddings of {self.space.name!r}")
        both = np.concatenate([to_numpy(self.vectors), to_numpy(other.vectors)])
        return Embeddings(both, np.concatenate([self.ids, other.ids]), self.space)


def as_embeddings(values: Any, what: str = "array") -> Embeddings:
    """``values`` if they are embeddings, else a plain (n, d) array with row numbers for ids and a nameless space."""
    if isinstance(values, Embeddings):
        return values
    array = as_array(values, what)
    if array.ndim != 2:
        raise InputError(f"{what} must be (n, d); got shape {tuple(array.shape)}.")
    check_vectors(array, what)
    n = int(array.shape[0])
    ids = np.arange(n).astype(f"<U{len(str(max(n - 1, 0)))}")  # without a width numpy takes 21 letters a number
    return Embeddings.without_checks(array, ids, Space.of_array(int(array.shape[1])))


def check_vectors(vectors: Array, what: str, ids: np.ndarray | None = None) -> None:
    """Raise unless ``vectors`` is (n, d), finite and without zero rows; the error names the first bad row."""
    if vectors.ndim != 2:
        raise InputError(f"the vectors of {what!r} must be (n, d); got shape {tuple(vectors.shape)}.")
    xp = namespace(vectors)
    if not (xp.isdtype(vectors.dtype, "real floating") or xp.isdtype(vectors.dtype, "integral")):
        raise InputError(f"the vectors of {what!r} are {vectors.dtype}, not real numbers.")
    if xp.isdtype(vectors.dtype, "real floating") and all(_have_lengths(rows) for rows in _blocks(vectors)):
        return  # the usual case, in one product a row
    finite = _by_rows(vectors, lambda rows: xp.all(xp.isfinite(rows), axis=1))
    if not finite.all():
        _refuse(~finite, what, ids, "holds NaN or infinity", "Find out why the encoder made it, or leave it out.")
    alive = _by_rows(vectors, lambda rows: xp.any(rows != 0, axis=1))
    if not alive.all():
        _refuse(~alive, what, ids, "is all zeros, which has no direction", "Is the item empty? Leave it out.")


def _have_lengths(rows: Array) -> bool:
    """True if every row's sum of squares is positive and finite; of valid rows only huge and tiny ones fail this."""
    xp = namespace(rows)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = xp.vecdot(rows, rows)
        return bool(xp.all(xp.isfinite(squares) & (squares > 0)))


def _blocks(vectors: Array) -> Iterator[Array]:
    """Blocks of rows of ``vectors`` (n, d)."""
    n = int(vectors.shape[0])
    return (vectors[a : min(a + BLOCK, n), :] for a in range(0, n, BLOCK))


def _by_rows(vectors: Array, function: Callable[[Array], Array]) -> np.ndarray:
    """Values (n,) of ``function`` for each row."""
    values = [to_numpy(function(rows)) for rows in _blocks(vectors)]
    return np.concatenate(values) if values else np.ones(0, dtype=bool)


def _refuse(bad: np.ndarray, what: str, ids: np.ndarray | None, fault: str, step: str) -> None:
    first = int(np.flatnonzero(bad)[0])
    name = f"item {str(ids[first])!r} (row {first})" if ids is not None and first < len(ids) else f"row {first}"
    raise InputError(f"in the vectors of {what!r} {name} {fault}; {int(bad.sum())} of {len(bad)} rows do. {step}")
