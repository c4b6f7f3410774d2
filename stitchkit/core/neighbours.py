"""Nearest rows by inner product, in tiles, and the corrections for hubs that use them.

Rows are compared as they are: give unit rows for cosines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stitchkit.core.arrays import Array, like, namespace, to_numpy, top_k
from stitchkit.core.errors import InputError

TEMPERATURE = 0.1  # of the inverted softmax over cosines
TILE = 1024  # queries at once, so that no n x n matrix is ever held


class Nearest(NamedTuple):
    """The best ``k`` gallery rows of each query, best first: ``rows`` (q, k) int64 and ``scores`` (q, k)."""

    rows: np.ndarray
    scores: np.ndarray


def nearest(queries: Array, gallery: Array, k: int, *, skip_self: bool = False) -> Nearest:
    """The ``k`` rows of ``gallery`` (g, d) with the largest inner product with each of ``queries`` (q, d).

    Parameters
    ----------
    skip_self
        True where the gallery is the queries, so that a row is no neighbour of itself. Default: False

    Raises
    ------
    InputError
        If the gallery has fewer than ``k`` rows (besides the query itself).
    """
    queries, gallery = _alike(queries, gallery)
    have = int(gallery.shape[0]) - skip_self
    if not 1 <= k <= have:
        raise InputError(f"{k} neighbours were asked of a gallery with {have} candidates. Lower k or give more rows.")
    index, score = [], []
    for start, tile in _tiles(queries, gallery):
        if skip_self:
            xp, rows = namespace(tile), int(tile.shape[0])
            own = (
                like(np.arange(start, start + rows), tile)[:, None] == like(np.arange(gallery.shape[0]), tile)[None, :]
            )
            tile = xp.where(own, xp.full_like(tile, -float("inf")), tile)
        where, value = top_k(tile, k)
        index.append(to_numpy(where))
        score.append(to_numpy(value))
    return Nearest(np.concatenate(index), np.concatenate(score))


def crowding(queries: Array, gallery: Array, k: int = 10) -> np.ndarray:
    """Mean similarity (q,) of each query to its ``k`` nearest of ``gallery``: the r of CSLS."""
    return nearest(queries, gallery, k).scores.mean(axis=1)


def soft_crowding(queries: Array, gallery: Array) -> np.ndarray:
    """``T log mean exp(s / T)`` (q,) over similarities s to ``gallery`` (g, d), T = .1: the norm of softmax.

    It lies between the mean and the largest similarity. Subtracted, as in the inverted softmax, it lowers queries
    that are near to much of the gallery.

    References
    ----------
    Smith et al., "Offline bilingual word vectors, orthogonal transformations and the inverted softmax", ICLR 2017.
    """
    queries, gallery = _alike(queries, gallery)
    values = []
    for _, tile in _tiles(queries, gallery):
        xp = namespace(tile)
        most = xp.max(tile, axis=1, keepdims=True)
        mean = xp.mean(xp.exp((tile - most) / TEMPERATURE), axis=1)
        values.append(to_numpy(most[:, 0] + TEMPERATURE * xp.log(mean)))
    return np.concatenate(values)


def csls(similarity: Array, of_rows: np.ndarray, of_columns: np.ndarray) -> Array:
    """Cross-domain similarity local scaling: ``2 s - r_row - r_column`` for ``similarity`` (q, g).

    ``of_rows`` (q,) and ``of_columns`` (g,) are :func:`crowding` against the other side. Taken from the gallery
    that is searched they make the ranking transductive, which a report has to say.

    References
    ----------
    Conneau et al., "Word translation without parallel data", ICLR 2018.
    """
    rows, columns = (like(part, similarity, dtype=similarity.dtype) for part in (of_rows, of_columns))
    return 2 * similarity - rows[:, None] - columns[None, :]


def _alike(queries: Array, gallery: Array) -> tuple[Array, Array]:
    """Both arrays in the wider of their precisions."""
    if queries.dtype == gallery.dtype:
        return queries, gallery
    xp = namespace(queries, gallery)
    wide = xp.result_type(queries, gallery)
    return xp.astype(queries, wide), xp.astype(gallery, wide)


def _tiles(queries: Array, gallery: Array) -> Iterator[tuple[int, Array]]:
    across = namespace(gallery).matrix_transpose(gallery)
    for start in range(0, int(queries.shape[0]), TILE):
        yield start, queries[start : min(start + TILE, int(queries.shape[0])), :] @ across
