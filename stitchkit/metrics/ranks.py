"""Ranks of true pairs: recall@k and mean reciprocal rank.

The true pair's score is read from the same tile of the similarity matrix as its rivals', and equal targets are
one target: a gallery holds each distinct one once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import comb

import numpy as np

from stitchkit.core.arrays import Array, device_of, lent, like, namespace, take, to_numpy
from stitchkit.core.errors import InputError

TILE = 1024  # queries scored at once, so that no n x n matrix is ever held
SORTED = 1 << 22  # scores that are sorted for a chance, of evenly spread queries where there are more
NEAR = 1 << 22  # scores of one tile: it is read several times and should stay in a cache


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
    column = xp.asarray(np.asarray(truth, dtype=np.int64), device=device_of(similarity))
    true = xp.take_along_axis(similarity, column[:, None], axis=1)
    return _middle(similarity, true, 1)  # the true one itself is among the equal


def tiled_ranks(similarity: Callable[[int, int], Array], truth: np.ndarray, *, tile: int = TILE) -> np.ndarray:
    """:func:`middle_ranks` over tiles of queries; ``similarity(a, b)`` gives rows a to b, (b - a, g)."""
    bounds = [(a, min(a + tile, len(truth))) for a in range(0, len(truth), tile)]
    return np.concatenate([middle_ranks(similarity(a, b), truth[a:b]) for a, b in bounds])


def pair_ranks(queries: Array, gallery: Array, truth: np.ndarray) -> np.ndarray:
    """:func:`middle_ranks` of the inner products of ``queries`` (q, k) with ``gallery`` (g, k), tile by tile."""
    across = namespace(gallery).matrix_transpose(gallery)
    return tiled_ranks(lambda a, b: queries[a:b, :] @ across, truth, tile=_tile(gallery))


def shuffled_reciprocal(queries: Array, gallery: Array, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Reciprocal ranks of true pairs, and those that the same ranking gives to pairs shuffled among the queries.

    A ranking that ignores its query but puts frequent targets first is above the chance of a random ranking, and not
    above this one.

    Parameters
    ----------
    queries : (q, k), gallery : (g, k)
        Scored by inner product.
    truth : (q,) int
        Gallery row of each query.

    Returns
    -------
    reciprocal : (q,) float64
        One over the rank of the true target.
    expected : (q,) float64
        Its mean over all q true targets.
    variance : float
        Variance of the sum of reciprocal ranks over random permutations of the true targets.

    Examples
    --------
    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> reciprocal, expected, variance = shuffled_reciprocal(rows, rows, np.array([0, 1]))
    >>> reciprocal.tolist(), expected.tolist(), variance
    ([1.0, 1.0], [0.75, 0.75], 0.25)
    """
    share = _shares(truth, gallery)
    reciprocal, expected = np.empty(len(truth)), np.empty(len(truth))
    columns, squares, rows = np.zeros(len(share)), 0.0, 0.0
    for a, b, ranks in _tiles_of_ranks(queries, gallery):
        each = 1 / ranks
        reciprocal[a:b] = each[np.arange(b - a), truth[a:b]]
        expected[a:b] = each @ share
        columns += each.sum(axis=0)
        squares += float((each**2 @ share).sum())
        rows += float((expected[a:b] ** 2).sum())
    q, column = len(truth), columns / len(truth)
    grand = float(column @ share)
    # the sum of squares of the doubly centred (q, q) table of reciprocal ranks, by its parts
    centred = q * squares - q * rows - q * q * float(column**2 @ share) + q * q * grand**2
    return reciprocal, expected, max(centred, 0.0) / (q - 1) if q > 1 else 0.0


def chance_both_ways(
    queries: Array, gallery: Array, truth: np.ndarray, ks: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Reciprocal ranks and recalls that the same rankings give to pairs shuffled among the queries, there and back.

    Going there, a ranking that puts frequent targets first does better than a random one, as in
    :func:`shuffled_reciprocal`. Where targets are equally frequent, and going back, where the right queries of a target
    are shuffled, every place is as likely as another, so that chance is that of a random ranking (ties aside).

    Parameters
    ----------
    queries : (q, k), gallery : (g, k)
        Scored by inner product. Of more scores than ``SORTED`` evenly spread queries stand for the others.
    truth : (q,) int
        Gallery row of each query; every row of the gallery is the truth of one at least.
    ks
        Places of the recalls.

    Returns
    -------
    there : (q, 1 + len(ks)) float64
        The expected reciprocal rank of each query's target, and the chances that it is among the best k.
    back : (g, 1 + len(ks)) float64
        The same of the best of each target's queries among all queries.

    Examples
    --------
    >>> rows = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])  # the frequent target is nearest to most
    >>> there, back = chance_both_ways(rows, rows[[0, 2]], np.array([0, 0, 1]), ks=[1])
    >>> there.mean(axis=0).round(3).tolist(), back.mean(axis=0).round(3).tolist()
    ([0.778, 0.556], [0.722, 0.5])
    """
    many, (q, g) = np.bincount(truth, minlength=int(gallery.shape[0])), (len(truth), int(gallery.shape[0]))
    back = np.stack([chance_reciprocal(q, many), *(chance_recall(k, q, many) for k in ks)], axis=1)
    if len(np.unique(many)) == 1:
        single = np.ones(q, dtype=np.int64)
        return np.stack([chance_reciprocal(g, single), *(chance_recall(k, g, single) for k in ks)], axis=1), back
    some = np.arange(0, q, max(-(-q * g // SORTED), 1))
    share, found = _shares(truth, gallery), np.empty((len(some), 1 + len(ks)))
    for a, b, ranks in _tiles_of_ranks(take(queries, some), gallery):
        found[a:b] = np.stack([(1 / ranks) @ share, *((ranks <= k) @ share for k in ks)], axis=1)
    there = np.tile(found.mean(axis=0), (q, 1))
    there[some] = found
    return there, back


def _shares(truth: np.ndarray, gallery: Array) -> np.ndarray:
    """The share of the queries (g,) whose target each row of the gallery is."""
    shares: np.ndarray = np.bincount(truth, minlength=int(gallery.shape[0])) / len(truth)
    return shares


def _tiles_of_ranks(queries: Array, gallery: Array) -> Iterator[tuple[int, int, np.ndarray]]:
    """Ranks of every target for the queries a to b, (b - a, g), tile by tile."""
    across, n, step = namespace(gallery).matrix_transpose(gallery), int(queries.shape[0]), _tile(gallery)
    for a in range(0, n, step):
        b = min(a + step, n)
        yield a, b, _all_ranks(to_numpy(queries[a:b, :] @ across))


def _all_ranks(similarity: np.ndarray) -> np.ndarray:
    """The rank of every target for each query (q, g), 1 the best; ties count half."""
    from scipy.stats import rankdata

    ranks: np.ndarray = rankdata(-similarity, method="average", axis=1)
    return ranks


def pair_ranks_back(queries: Array, gallery: Array, truth: np.ndarray) -> np.ndarray:
    """Rank of each gallery row's best true query among all queries, (g,), 1 the best; ties with rivals count half.

    The way back of :func:`pair_ranks`: a target is asked once, and any of its queries is right.

    Parameters
    ----------
    queries : (q, k), gallery : (g, k)
        Scored by inner product, tile by tile.
    truth : (q,) int
        Gallery row of each query; every row of the gallery is the truth of one at least.

    Raises
    ------
    InputError
        If a row of the gallery has no query.

    Examples
    --------
    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> pair_ranks_back(rows, rows[:2], np.array([0, 1, 0]))
    array([1., 1.])
    >>> pair_ranks_back(rows, rows[:2], np.array([1, 1, 0]))
    array([2., 1.])
    """
    size, n = int(gallery.shape[0]), int(queries.shape[0])
    many = np.bincount(truth, minlength=size)
    if not many.all():
        raise InputError(f"row {int(np.argmin(many))} of {size} targets is no query's. Leave it out of the gallery.")
    order = np.argsort(truth, kind="stable")  # the queries of one target stand together
    start = np.concatenate([[0], np.cumsum(many)])
    across, step = namespace(queries).matrix_transpose(queries), _tile(queries)

    def ranks(a: int, b: int) -> np.ndarray:
        scores, own, first = gallery[a:b, :] @ across, order[start[a] : start[b]], start[a:b] - start[a]  # (b - a, n)
        true = to_numpy(take(namespace(scores).reshape(scores, (-1,)), (truth[own] - a) * n + own))
        best = np.maximum.reduceat(true, first)
        tied = np.add.reduceat((true == np.repeat(best, many[a:b])).astype(np.int64), first)
        return _middle(scores, like(best, scores)[:, None], tied)

    return np.concatenate([ranks(a, min(a + step, size)) for a in range(0, size, step)])


def _middle(similarity: Array, true: Array, tied: np.ndarray | int) -> np.ndarray:
    """1 + the scores above ``true`` (q, 1) + half of the equal ones, of which ``tied`` are no rivals."""
    similarity, true = lent(similarity), lent(true)
    xp = namespace(similarity)
    above = to_numpy(xp.count_nonzero(similarity > true, axis=1))
    equal = to_numpy(xp.count_nonzero(similarity == true, axis=1))
    ranks: np.ndarray = 1 + above + (equal - tied) / 2
    return ranks


def _tile(gallery: Array) -> int:
    """Queries that are scored at once against ``gallery`` (g, k)."""
    return max(min(TILE, NEAR // max(int(gallery.shape[0]), 1)), 64)


def recall_at(ranks: np.ndarray, k: int) -> float:
    """Share of queries whose true target is among the best k; a tie counts as the middle of its places."""
    return float(np.mean(ranks <= k))


def chance_recall(k: int, gallery: int, right: np.ndarray) -> np.ndarray:
    """Recall@k (q,) of a random ranking of ``gallery`` candidates, ``right`` (q,) of which are right.

    ``1 - C(g - m, k) / C(g, k)`` for m right ones among g.

    Examples
    --------
    >>> chance_recall(2, 10, np.array([1, 3])).round(3).tolist()
    [0.2, 0.533]
    """
    many, of_query = np.unique(right, return_inverse=True)
    among = comb(gallery, min(k, gallery))
    missed = [comb(gallery - m, min(k, gallery)) for m in many.tolist()]
    found: np.ndarray = np.asarray([(among - one) / among for one in missed])[of_query.reshape(-1)]  # whole numbers
    return found


def chance_reciprocal(gallery: int, right: np.ndarray) -> np.ndarray:
    """Expected reciprocal rank (q,) of the best of ``right`` (q,) among ``gallery`` candidates ranked at random.

    Examples
    --------
    >>> chance_reciprocal(4, np.array([1, 4])).round(4).tolist()  # (1 + 1/2 + 1/3 + 1/4) / 4, and 1
    [0.5208, 1.0]
    """
    many, of_query = np.unique(right, return_inverse=True)
    place = np.arange(1, gallery + 1)
    means = []
    for m in many.tolist():
        later = np.cumprod(np.maximum(gallery - m - place + 1, 0) / (gallery - place + 1))  # none among the first r
        means.append(float(np.sum((np.concatenate([[1.0], later[:-1]]) - later) / place)))
    found: np.ndarray = np.asarray(means)[of_query.reshape(-1)]
    return found


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
