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
    """A label (n,) for each row of ``rows`` (n, d): rows equal to ``digits`` of the largest entry share one."""
    scale = np.abs(rows).max() or 1.0
    rounded = np.ascontiguousarray(np.round(rows / scale, digits) + 0.0)  # + 0.0: no negative zeros
    _, inverse = np.unique(rounded.view(np.dtype((np.void, rounded.dtype.itemsize * rounded.shape[1]))),
                           return_inverse=True)  # fmt: skip
    return inverse.reshape(-1)
