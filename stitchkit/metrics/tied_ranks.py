"""Equal scores in a ranking: groups of them, and what their middle ranks change in an expected rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def reached(ranks: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Reciprocal rank and, for each k, whether the rank is at most k: (..., 1 + len(ks)) of ``ranks`` (...)."""
    table: np.ndarray = np.stack([1 / ranks, *(np.where(ranks <= k, 1.0, 0.0) for k in ks)], axis=-1)
    return table


def weighted_ranks(scores: np.ndarray, weight: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Sums over all candidates of their weight times :func:`reached` of their rank; ties count half.

    Parameters
    ----------
    scores : (b, n)
        Scores of n candidates for each of b queries.
    weight : (n,)
        Weight of each candidate.
    ks
        Places of the recalls.

    Returns
    -------
    (b, 1 + len(ks)) float64

    Examples
    --------
    >>> weighted_ranks(np.array([[0.9, 0.1, 0.5]]), np.array([1, 2, 0]), ks=[1]).round(3)  # 1/1 + 2/3, and 1
    array([[1.667, 1.   ]])
    """
    order = np.argsort(scores, axis=1)[:, ::-1]
    weights, places = weight[order], reached(np.arange(1, scores.shape[1] + 1), ks)
    sums: np.ndarray = weights @ places
    row, above, size = _tied_groups(np.take_along_axis(scores, order, axis=1))
    if len(row):
        rows, of_row = np.unique(row, return_inverse=True)
        first, last = (of_row, above), (of_row, above + size)
        middle = reached(1 + above + (size - 1) / 2, ks)
        mass = _running(weights[rows])
        for column in range(places.shape[1]):
            apart = _running(weights[rows] * places[:, column])
            np.add.at(sums[:, column], row, (mass[last] - mass[first]) * middle[:, column] - apart[last] + apart[first])
    return sums


def tie_correction(scores: np.ndarray, right: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Chance with ties minus chance without any, of the best of ``right`` candidates that are drawn at random.

    Without ties the best of m random ones among n is at place r in ``C(n - r, m - 1)`` of ``C(n, m)`` draws. With
    ties its rank is 1, plus the candidates above, plus half of the equal ones that are not right themselves.

    Parameters
    ----------
    scores : (b, n)
        Scores of n candidates for each of b queries.
    right : (b,) int
        Number of right candidates of each query.
    ks
        Places of the recalls.

    Returns
    -------
    (b, 1 + len(ks)) float64
        Change of the expected reciprocal rank and of each recall.

    Examples
    --------
    >>> tie_correction(np.array([[0.5, 0.5], [0.5, 0.1]]), np.array([1, 1]), ks=[1]).round(3)  # 1/1.5 - (1 + 1/2) / 2
    array([[-0.083, -0.5  ],
           [ 0.   ,  0.   ]])
    """
    change = np.zeros((len(scores), 1 + len(ks)))
    row, above, size = _tied_groups(np.sort(scores, axis=1)[:, ::-1])
    for many in np.unique(right[row]).tolist():
        mine = np.flatnonzero(right[row] == many)
        groups = (scores.shape[1], many, above[mine], size[mine], ks)
        np.add.at(change, row[mine], _at_middle(*groups) - _at_places(*groups))
    return change


def _tied_groups(falling: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, number of higher scores and size of every group of equal scores in rows sorted from the highest, (b, n)."""
    same = falling[:, 1:] == falling[:, :-1]
    rows = np.flatnonzero(same.any(axis=1))
    edges = np.diff(np.pad(same[rows], ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (row, first), (_, last) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    return rows[row], first, last - first + 1


def _running(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... n columns, (b, n + 1)."""
    return np.pad(np.cumsum(values, axis=1, dtype=np.float64), ((0, 0), (1, 0)))


def _at_places(n: int, many: int, above: np.ndarray, size: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """The part of the chance without ties (groups, 1 + len(ks)) that the places of each group contribute."""
    place, table = np.arange(1, n + 1), _log_factorials(n)
    share = np.exp(_log_comb(table, n - place, many - 1) - _log_comb(table, np.array(n), many))
    sums = _running((share[:, None] * reached(place, ks)).T)
    part: np.ndarray = (sums[:, above + size] - sums[:, above]).T
    return part


def _at_middle(n: int, many: int, above: np.ndarray, size: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """The same part where the scores of a group are equal: j of its members are right, the others count half."""
    below, total, table = n - above - size, np.zeros((len(above), 1 + len(ks))), _log_factorials(n)
    whole = _log_comb(table, np.array(n), many)
    for own in range(max(1, int((many - below).min())), min(many, int(size.max())) + 1):
        share = np.exp(_log_comb(table, size, own) + _log_comb(table, below, many - own) - whole)
        total += share[:, None] * reached(1 + above + np.maximum(size - own, 0) / 2, ks)
    return total


def _log_factorials(n: int) -> np.ndarray:
    """Logarithms of the factorials of 0 to n, (n + 1,)."""
    from scipy.special import gammaln

    table: np.ndarray = gammaln(np.arange(1.0, n + 2))
    return table


def _log_comb(table: np.ndarray, n: np.ndarray, k: int) -> np.ndarray:
    """Logarithm of the binomial coefficients of ``n`` (any shape) over ``k``, by log factorials; -inf where 0."""
    found: np.ndarray = np.where(n >= k, table[n] - table[k] - table[np.maximum(n - k, 0)], -np.inf)
    return found
