"""Paired rows read a chunk at a time, each chunk checked when it is read; an error names the row of the whole.

Nothing here looks at a whole array: it may be a memory map of more rows than fit in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, as_array, device_of, namespace, take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.moments.scatter import Scatter
from stitchkit.core.space import Space
from stitchkit.core.wording import counted, setting

CHUNK = 8192  # rows; 4096 to 16384 are equally fast
SUSPECTS = 1024  # rows looked through at once for one of zeros, so that no (m, d) booleans are made


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One side of the pairs, not read yet: vectors (n, d), their space, and ids (n,) if they have any."""

    name: str  # as the caller knows it
    vectors: Array
    space: Space
    ids: np.ndarray | None = None

    @classmethod
    def of(cls, values: Any, name: str) -> Rows:
        """Rows of embeddings, or of a plain array (n, d) of real numbers, whose space is nameless."""
        if isinstance(values, Embeddings):
            return cls(f"{name} ({values.space.name})", values.vectors, values.space, values.ids)
        array = as_array(values, name)
        if array.ndim != 2:
            raise InputError(f"{name} must be (n, d); got shape {tuple(array.shape)}.")
        xp = namespace(array)
        if not (xp.isdtype(array.dtype, "real floating") or xp.isdtype(array.dtype, "integral")):
            raise InputError(f"the numbers of {name} are {array.dtype}, not real. Pass an (n, d) array of floats.")
        return cls(name, array, Space.of_array(int(array.shape[1])))

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    def read(self, start: int, stop: int) -> Array:
        """Rows ``start`` to ``stop``; a row of zeros is refused, unless these are embeddings, which may be mapped."""
        rows = self.vectors[start:stop, :]
        if self.ids is not None:
            return rows
        xp, suspects = namespace(rows), np.flatnonzero(to_numpy(rows[:, 0] == 0))
        for first in range(0, suspects.size, SUSPECTS):  # one question a block: on a GPU each waits for an answer
            some = suspects[first : first + SUSPECTS]
            alive = to_numpy(xp.any(take(rows, some) != 0, axis=1))
            if not alive.all():
                row = start + int(some[np.argmin(alive)])
                self._refuse(row, "is all zeros, which has no direction. Is the item empty? Leave it out.")
        return rows

    def refuse_infinite(self, start: int, stop: int) -> None:
        """Raise for the first row from ``start`` to ``stop`` that is not finite; return if all are."""
        rows = self.vectors[start:stop, :]
        xp = namespace(rows)
        bad = np.flatnonzero(~to_numpy(xp.all(xp.isfinite(rows), axis=1)))
        if bad.size:
            half = "" if str(rows.dtype).rsplit(".", 1)[-1] != "float16" else " (float16 holds nothing above 65504)"
            step = "Find out why the encoder made it, or leave it out."
            self._refuse(start + int(bad[0]), f"holds NaN or infinity{half}. {step}")

    def _refuse(self, row: int, fault: str) -> None:
        name = f"row {row}" if self.ids is None else f"item {str(self.ids[row])!r} (row {row})"
        raise InputError(f"in {self.name} {name} {fault}")


@dataclass(frozen=True, slots=True, eq=False)
class PairedRows:
    """Rows of both sides with the weight of each pair, ready to be read by chunks."""

    x: Rows
    y: Rows
    weights: np.ndarray | None  # (n,) float64

    @classmethod
    def of(cls, x: Any, y: Any, weights: Any, at: str = "") -> PairedRows:
        """Checked for everything that can be known before the rows are read; ``at`` names a chunk of a stream."""
        pairs = cls(Rows.of(x, f"x{at}"), Rows.of(y, f"y{at}"), None)
        one, other = pairs.x.vectors, pairs.y.vectors
        namespace(one, other)
        if device_of(one) != device_of(other):
            raise InputError(f"x{at} is on {device_of(one)} and y{at} on {device_of(other)}. Move one of them.")
        check_paired(len(pairs.x), len(pairs.y), least=0)
        check_order(pairs.x.ids, pairs.y.ids, f"x{at}", f"y{at}")
        return pairs if weights is None else cls(pairs.x, pairs.y, checked_weights(weights, len(pairs.x), at))

    def __len__(self) -> int:
        return len(self.x)

    def read(self, start: int, stop: int) -> tuple[Array, Array, np.ndarray | None]:
        """Rows and weights from ``start`` to ``stop``."""
        weights = None if self.weights is None else self.weights[start:stop]
        return self.x.read(start, stop), self.y.read(start, stop), weights

    def refuse(self, start: int, stop: int) -> None:
        """Raise for rows whose sums were not finite, naming the first that is to blame."""
        self.x.refuse_infinite(start, stop)
        self.y.refuse_infinite(start, stop)
        raise InputError(
            f"the squares of rows {start} to {stop - 1} of {self.x.name} and {self.y.name} overflow. "
            f"Divide the vectors by their size, or with " + setting("precision", "fast") + " use 'exact'."
        )

    def feed(self, scatter: Scatter, chunk: int) -> None:
        """Read everything, ``chunk`` rows at a time, into ``scatter``."""
        for start in range(0, len(self), chunk):
            stop = min(start + chunk, len(self))
            if not scatter.add(*self.read(start, stop)):
                self.refuse(start, stop)


def check_paired(n_source: int, n_target: int, least: int = 2) -> None:
    """Raise unless both sides have the same number of rows, and at least ``least``."""
    if n_source != n_target:
        raise InputError(
            f"source has {n_source} rows and target has {n_target}; row i of both must be one anchor. "
            f"Match them by id first."
        )
    if n_source < least:
        raise InputError(
            f"got {counted(n_source, 'anchor')}; this needs at least {least}, and some 50 to be useful. Give "
            f"more pairs."
        )


def check_order(one: np.ndarray | None, other: np.ndarray | None, x: str = "x", y: str = "y") -> None:
    """Raise for sides that both have ids (n,), but not row by row the same: what is read once pairs by row."""
    if one is None or other is None or np.array_equal(one, other):
        return
    row = int(np.argmax(one != other))
    raise InputError(
        f"{x} and {y} both have ids, and row {row} is {str(one[row])!r} in {x} and {str(other[row])!r} in {y}; rows "
        f"are read as they stand. Pair them first: y.of_ids(x.ids)."
    )


def check_chunk(chunk: int) -> None:
    """Raise for a number of rows that cannot be read at once."""
    if isinstance(chunk, bool) or not isinstance(chunk, Integral) or chunk < 1:
        raise InputError(f"chunk must be at least 1 row, a whole number; got {chunk!r}.")


def checked_weights(values: Any, n: int, at: str = "") -> np.ndarray:
    """``values`` as (n,) float64, none negative, none infinite."""
    weights = to_numpy(as_array(values, f"weights{at}"))
    if weights.shape != (n,):
        raise InputError(f"weights{at} must be ({n},), one for each pair; got shape {weights.shape}.")
    if weights.dtype.kind not in "fiub":
        raise InputError(f"weights{at} are {weights.dtype}, not real numbers. Pass floats of 0 or more.")
    weights = weights.astype(np.float64)
    bad = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"weights{at} are finite and 0 or more; got {weights[row]} in row {row}. To leave a pair out give it 0."
        )
    return weights


def stream_item(item: Any, i: int) -> tuple[Any, Any, Any]:
    """``x``, ``y`` and weights (or None) of item ``i`` of a stream."""
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        many = f" of {len(item)} things" if isinstance(item, tuple | list) else ""
        raise InputError(f"chunk {i} of the stream is a {type(item).__name__}{many}; give (x, y) or (x, y, weights).")
    return item[0], item[1], item[2] if len(item) == 3 else None


def check_fits(pairs: PairedRows, first: PairedRows, i: int) -> None:
    """Raise unless chunk ``i`` has the widths, spaces and library of the first."""
    for side, one, other in (("x", pairs.x, first.x), ("y", pairs.y, first.y)):
        if one.space.dim != other.space.dim:
            raise InputError(
                f"{side} of chunk {i} is {one.space.dim} wide and of chunk 0 {other.space.dim}. "
                f"Give a stream of one encoder's vectors."
            )
        other.space.require(one.space, f"the stream before chunk {i} ({side})")
        namespace(one.vectors, other.vectors)


def checked_labels(labels: Any, n: int) -> np.ndarray:
    """``labels`` as (n,) whole numbers from 0 without gaps."""
    array = to_numpy(as_array(labels, "labels"))
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise InputError(f"labels must be ({n},) whole numbers, one a pair; got {array.dtype} of shape {array.shape}.")
    if array.min() < 0:
        row = int(np.argmin(array))
        raise InputError(f"labels are 0 or more; got {array[row]} in row {row}. Leave such pairs out, or number them.")
    most = int(array.max())
    present = np.unique(array)
    if len(present) <= most:
        absent = next(i for i, label in enumerate(present) if i != label)
        raise InputError(
            f"labels go up to {most}, but no pair has label {absent}. Number the sets without gaps: "
            f"np.unique(labels, return_inverse=True)[1]."
        )
    return array
