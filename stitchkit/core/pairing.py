"""Checks of the input of every verb: paired sides of one library, groups by row or by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, namespace
from stitchkit.core.embeddings import BLOCK, Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.items import checked_groups, rows_of
from stitchkit.core.moments.chunks import check_paired
from stitchkit.core.space import Space

SMALLEST, LARGEST = 1e-70, 1e70  # whose fourth powers float64 holds


def paired_sides(source: Any, target: Any) -> tuple[Embeddings, Embeddings]:
    """Both sides as embeddings whose row i is one anchor: by id where both have ids, else by row.

    Raises
    ------
    InputError
        Numbers of rows that differ, fewer than two, a side whose vectors are all the same, two libraries; data frames
        whose row labels differ.
    DataError
        Ids of the source that the target does not have.
    """
    _check_row_labels(source, target)
    x, y = as_embeddings(source, "source"), as_embeddings(target, "target")
    if isinstance(source, Embeddings) and isinstance(target, Embeddings):
        y = in_order_of(x, y, ("source", "target"), f"the target embeddings of {y.space.name!r}")
    check_paired(len(x), len(y))
    for label, side in (("the source", x), ("the target", y)):
        if _all_the_same(side.vectors):
            raise InputError(
                f"all {len(x)} vectors of {_description(label, side)} are the same; nothing can be learnt from them."
            )
        size = _largest(side.vectors)
        if not SMALLEST < size < LARGEST:
            raise InputError(
                f"the vectors of {_description(label, side)} are of size {size:.0e}, and products of them leave double "
                f"precision. Divide them by that size."
            )
    namespace(x.vectors, y.vectors)  # one library, or say so now
    return x, y


def _check_row_labels(source: Any, target: Any) -> None:
    """Raise for two data frames of pandas whose rows are labelled otherwise: rows are paired by their place."""
    one, other = (getattr(side, "index", None) for side in (source, target))  # of a list it is a method
    if one is None or other is None or not (hasattr(one, "equals") and hasattr(other, "equals")):
        return
    if len(one) == len(other) and not one.equals(other):
        raise InputError(
            "source and target are data frames whose row labels differ, and rows are paired by their place. Bring them "
            "into one order, as in target.loc[source.index], or pass arrays."
        )


def in_order_of(first: Embeddings, other: Embeddings, names: tuple[str, str], what: str) -> Embeddings:
    """``other`` with its rows in the order of the ids of ``first``; ``names`` of both and ``what`` are for errors.

    Raises
    ------
    DataError
        Ids of ``first`` that the other does not have.
    InputError
        Ids that only the other has, since the caller has to say which items are pairs.
    """
    if np.array_equal(first.ids, other.ids):
        return other
    rows = rows_of(first.ids, other.ids, what)
    if len(first) != len(other):
        raise InputError(
            f"{names[0]} has {len(first)} rows and {names[1]} has {len(other)}, {len(other) - len(first)} of them with "
            f"ids of their own; every item must be on both sides. Take the rows of the other's ids: .of_ids(ids)."
        )
    return other.take(rows)


def anchor_groups(groups: Any, x: Embeddings) -> np.ndarray | None:
    """The group of each row (n,) of ``x``, from an array or a mapping of ids; None stays None."""
    if groups is None:
        return None
    if isinstance(groups, Mapping):
        missing = [one for one in x.ids.tolist() if one not in groups]
        if missing:
            raise InputError(f"groups has no entry for {len(missing)} anchors, the first is {missing[0]!r}.")
        return checked_groups([groups[one] for one in x.ids.tolist()], len(x))
    return checked_groups(groups, len(x))


def _description(label: str, side: Embeddings) -> str:
    """Name of a side for errors; a plain array is named by its place alone."""
    return label if side.space.name == Space.of_array(1).name else repr(side.space.name)


def _largest(vectors: Array) -> float:
    n, xp = int(vectors.shape[0]), namespace(vectors)
    return max(float(xp.max(xp.abs(vectors[a : min(a + BLOCK, n), :]))) for a in range(0, n, BLOCK))


def _all_the_same(vectors: Array) -> bool:
    n, first, xp = int(vectors.shape[0]), vectors[:1, :], namespace(vectors)
    return all(bool(xp.all(vectors[a : min(a + BLOCK, n), :] == first)) for a in range(0, n, BLOCK))
