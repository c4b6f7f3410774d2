"""Ranks of true pairs: recall@k and mean reciprocal rank.

The true pair's score is read from the same tile of the similarity matrix as its rivals', and equal targets are
one target: a gallery holds each distinct one once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stitchkit.core.arrays import Array, device_of, float64, namespace, to_numpy

TILE = 1024  # queries scored at once, so that no n x n matrix is ever held


def middle_ranks(similarity: Array, truth: np.ndarray) -> np.ndarray:
    """Rank of each query's true target, 1 the best; ties count half.

    Parameters
    ----------
    similarity : (q, g)
        Scores of q queries against a gallery of g distinct targets.
    truth : (q,) int
        Column of each query's true target.

    Returns
    -------
    (q,) float64
        ``1 + #(rivals above) + #(rivals equal) / 2``.

    Examples
    --------
    >>> middle_ranks(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0, 1]))
    array([1. , 1.5])
    """
    xp = namespace(similarity)
    columns = xp.arange(similarity.shape[1], device=device_of(similarity))
    picked = columns[None, :] == xp.asarray(truth, device=device_of(similarity))[:, None]
    true = xp.sum(xp.where(picked, similarity, xp.zeros_like(similarity)), axis=1, keepdims=True)
    above = xp.sum(float64(xp.astype(similarity > true, xp.int32)), axis=1)
    equal = xp.sum(float64(xp.astype(similarity == true, xp.int32)), axis=1) - 1
    return to_numpy(above + equal / 2) + 1


def tiled_ranks(similarity: Callable[[int, int], Array], truth: np.ndarray, *, tile: int = TILE) -> np.ndarray:
    """:func:`middle_ranks` over tiles of queries; ``similarity(a, b)`` gives rows a to b, (b - a, g)."""
    bounds = [(a, min(a + tile, len(truth))) for a in range(0, len(truth), tile)]
    return np.concatenate([middle_ranks(similarity(a, b), truth[a:b]) for a, b in bounds])


def recall_at(ranks: np.ndarray, k: int) -> float:
    """Share of queries whose true target is among the best k; a tie counts as the middle of its places."""
    return float(np.mean(ranks <= k))


def distinct_rows(rows: np.ndarray, *, digits: int = 5) -> np.ndarray:
    """A label (n,) for each row of ``rows`` (n, d): rows within 10^-digits of the rows' own spread share one."""
    wide = rows.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    spread = float(np.sqrt(np.mean(np.sum(centred**2, axis=1))))
    eps = float(np.finfo(rows.dtype).eps) if np.issubdtype(rows.dtype, np.floating) else 0.0
    rounding = eps * float(np.sqrt(np.sum(np.max(np.abs(wide), axis=0) ** 2)))
    reach = max(10.0**-digits * spread, rounding)
    axis = np.random.default_rng(0).normal(size=rows.shape[1])
    along = centred @ (axis / np.sqrt(np.sum(axis**2)))  # close rows are close along any direction
    label = np.empty(len(rows), dtype=np.int64)
    window: list[int] = []  # one row of each label that may still be met
    found = 0
    for row in np.argsort(along, kind="stable").tolist():
        window = [one for one in window if along[row] - along[one] <= reach]
        same = [one for one in window if np.sum((centred[row] - centred[one]) ** 2) <= reach**2]
        if same:
            label[row] = label[same[0]]
        else:
            label[row], found = found, found + 1
            window.append(row)
    return label
