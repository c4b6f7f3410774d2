"""Ranks of true pairs: recall@k and mean reciprocal rank.

The true pair's score is read from the same tile of the similarity matrix as its rivals', and equal targets are
one target: a gallery holds each distinct one once. Equal scores are counted as such, and measures are means over
their orders: similarities that are all equal score what a random ranking does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import comb

import numpy as np

from stitchkit.core.arrays import Array, device_of, lent, like, namespace, take, to_numpy
from stitchkit.core.errors import InputError
from stitchkit.metrics.tied_ranks import Ranks, harmonic_sums, weighted_ranks

TILE = 1024  # queries scored at once, so that no n x n matrix is ever held
NEAR = 1 << 22  # scores of one tile: it is read several times and should stay in a cache
SORTED = 1 << 22  # scores that are sorted for a chance; of more, those of a random part of the queries
SAMPLED = 2000  # queries at least in such a part: a chance of one half is then known to about .01
FEW = 8  # targets whose ranks are counted by comparison, without sorting
COMPARED = 1 << 30  # comparisons for such counts, a few seconds


def true_ranks(similarity: Array, truth: np.ndarray) -> Ranks:
    """Rank of each query's true target.

    Parameters
    ----------
    similarity : (q, g)
        Scores of q queries against a gallery of g distinct targets.
    truth : (q,) int
        Column of each query's true target.

    Returns
    -------
    Ranks
        Rivals above and rivals equal, (q,).

    Examples
    --------
    >>> ranks = true_ranks(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0, 1]))
    >>> ranks.recall(1).tolist(), ranks.reciprocal.tolist()
    ([1.0, 0.5], [1.0, 0.75])
    """
    xp = namespace(similarity)
    column = xp.asarray(np.asarray(truth, dtype=np.int64), device=device_of(similarity))
    true = xp.take_along_axis(similarity, column[:, None], axis=1)
    return _ranks(similarity, true, 1)  # the true one itself is among the equal


def tiled_ranks(similarity: Callable[[int, int], Array], truth: np.ndarray, *, tile: int = TILE) -> Ranks:
    """:func:`true_ranks` over tiles of queries; ``similarity(a, b)`` gives rows a to b, (b - a, g)."""
    bounds = [(a, min(a + tile, len(truth))) for a in range(0, len(truth), tile)]
    return Ranks.joined([true_ranks(similarity(a, b), truth[a:b]) for a, b in bounds])


def pair_ranks(queries: Array, gallery: Array, truth: np.ndarray) -> Ranks:
    """:func:`true_ranks` of the inner products of ``queries`` (q, k) with ``gallery`` (g, k), tile by tile."""
    across = namespace(gallery).matrix_transpose(gallery)
    return tiled_ranks(lambda a, b: queries[a:b, :] @ across, truth, tile=_tile(gallery))


def shuffled_reciprocal(queries: Array, gallery: Array, truth: np.ndarray) -> tuple[Ranks, np.ndarray, float]:
    """Ranks of true pairs, and the reciprocal ranks that the same ranking gives to pairs shuffled among the queries.

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
    ranks : (q,) Ranks
        Ranks of the true targets.
    expected : (q,) float64
        Mean reciprocal rank over all q true targets.
    variance : float
        Variance of the sum of reciprocal ranks over random permutations of the true targets.

    Examples
    --------
    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> ranks, expected, variance = shuffled_reciprocal(rows, rows, np.array([0, 1]))
    >>> ranks.reciprocal.tolist(), expected.tolist(), variance
    ([1.0, 1.0], [0.75, 0.75], 0.25)
    """
    share = _shares(truth, gallery)
    ranks, expected = [], np.empty(len(truth))
    columns, squares, rows = np.zeros(len(share)), 0.0, 0.0
    for a, b, scores in _tiles(queries, gallery):
        each = reciprocal_ranks(scores)
        ranks.append(true_ranks(scores, truth[a:b]))
        expected[a:b] = each @ share
        columns += each.sum(axis=0)
        squares += float((each**2 @ share).sum())
        rows += float((expected[a:b] ** 2).sum())
    q, column = len(truth), columns / len(truth)
    grand = float(column @ share)
    # the sum of squares of the doubly centred (q, q) table of reciprocal ranks, by its parts
    centred = q * squares - q * rows - q * q * float(column**2 @ share) + q * q * grand**2
    return Ranks.joined(ranks), expected, max(centred, 0.0) / (q - 1) if q > 1 else 0.0


def chance_both_ways(
    queries: Array, gallery: Array, truth: np.ndarray, ks: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Reciprocal ranks and recalls that the same rankings give to pairs shuffled among the queries, there and back.

    Going there, a ranking that puts frequent targets first does better than a random one, as in
    :func:`shuffled_reciprocal`. Where targets are equally frequent, and going back, where the right queries of a target
    are shuffled, every place is as likely as another: chance is that of a random ranking, whatever scores are equal.
    Only targets that are more or less frequent than most need their ranks.

    In large tables with many targets of unequal frequency only ``chance_queries`` queries are ranked, the same random
    ones in every call; with 2,000 a recall is known to about .01.

    Parameters
    ----------
    queries : (q, d), gallery : (g, d)
        Scored by inner product, tile by tile.
    truth : (q,) int
        Gallery row of each query; every row of the gallery is the truth of one at least.
    ks
        Places of the recalls.

    Returns
    -------
    there : (q, 1 + len(ks)) float64
        The expected reciprocal rank of each query's target, and the chances that it is among the best k. Where
        ranks are estimated, queries that were not ranked have the mean of the others.
    back : (g, 1 + len(ks)) float64
        The same of the best of each target's queries among all queries.

    Examples
    --------
    >>> rows = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])  # the frequent target is nearest to most
    >>> there, back = chance_both_ways(rows, rows[[0, 2]], np.array([0, 0, 1]), ks=[1])
    >>> there.mean(axis=0).round(3).tolist(), back.mean(axis=0).round(3).tolist()
    ([0.778, 0.556], [0.722, 0.5])
    """
    q, g = len(truth), int(gallery.shape[0])
    many, usual, _ = _frequency(truth, g)
    # share of a target = usual / q + (many - usual) / q: the first sum over all targets is that of a random ranking
    there = _random_chance(g, np.ones(q, dtype=np.int64), ks) * (usual * g / q)
    there += _of_unusual(queries, gallery, truth, ks)
    return there, _random_chance(q, many, ks)


def chance_queries(truth: np.ndarray, size: int) -> int:
    """Number of queries whose rankings :func:`chance_both_ways` looks at; fewer than all make it an estimate.

    All of them, where at most ``FEW`` of the ``size`` targets are more or less frequent than most and at most
    ``COMPARED`` comparisons are needed, or where all scores are at most ``SORTED``; otherwise a random part of them:
    ``SAMPLED``, or as many as have ``SORTED`` scores.

    Examples
    --------
    >>> chance_queries(np.zeros(50_000, dtype=int), 1), chance_queries(np.arange(50_000) ** 2 % 20_000, 20_000)
    (50000, 2000)
    """
    _, _, unusual = _frequency(truth, size)
    n = len(truth)
    exact = len(unusual) == 0 or (len(unusual) <= FEW and n * size * len(unusual) <= COMPARED)
    return n if exact else min(n, _sample_size(size))


def _frequency(truth: np.ndarray, size: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Queries of each target (size,), the number that most targets have, and the targets with another number."""
    many = np.bincount(truth, minlength=size)
    usual = int(np.bincount(many).argmax())
    return many, usual, np.flatnonzero(many != usual)


def _random_chance(size: int, right: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Chance (q, 1 + len(ks)) of the best of ``right`` (q,) random ones among ``size``."""
    return np.stack([chance_reciprocal(size, right), *(chance_recall(k, size, right) for k in ks)], axis=1)


def _of_unusual(queries: Array, gallery: Array, truth: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Additions (q, 1 + len(ks)) to the chance of each query by targets of another frequency than most."""
    many, usual, unusual = _frequency(truth, int(gallery.shape[0]))
    n, weight = len(truth), (many - usual) / len(truth)
    if len(unusual) == 0:
        return np.zeros((n, 1 + len(ks)))
    some = _some(n, chance_queries(truth, len(many)))
    added = np.empty((len(some), 1 + len(ks)))
    for a, b, scores in _tiles(queries, gallery, some):
        if len(unusual) > FEW:
            added[a:b] = weighted_ranks(scores, weight, ks)
        else:
            each = [_ranks(scores, scores[:, at, None], 1).reached(ks) for at in unusual]
            added[a:b] = np.einsum("tbk,t->bk", np.stack(each), weight[unusual])
    whole = np.tile(added.mean(axis=0), (n, 1))
    whole[some] = added
    return whole


def _sample_size(size: int) -> int:
    """Number of queries to rank among ``size`` candidates where not all are."""
    return max(SAMPLED, SORTED // max(size, 1))


def _some(n: int, most: int) -> np.ndarray:
    """Positions of ``most`` of n rows at random, of all where they are no more; the same in every call."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def _shares(truth: np.ndarray, gallery: Array) -> np.ndarray:
    """The share of the queries (g,) whose target each row of the gallery is."""
    shares: np.ndarray = np.bincount(truth, minlength=int(gallery.shape[0])) / len(truth)
    return shares


def _tiles(queries: Array, gallery: Array, rows: np.ndarray | None = None) -> Iterator[tuple[int, int, np.ndarray]]:
    """Scores of every target for the queries a to b (of those at ``rows``), (b - a, g), tile by tile."""
    across, step = namespace(gallery).matrix_transpose(gallery), _tile(gallery)
    n = int(queries.shape[0]) if rows is None else len(rows)
    for a in range(0, n, step):
        b = min(a + step, n)
        part = queries[a:b, :] if rows is None else take(queries, rows[a:b])
        yield a, b, to_numpy(part @ across)


def reciprocal_ranks(similarity: np.ndarray) -> np.ndarray:
    """The reciprocal rank of every target for each query (q, g), its mean over the orders of equal scores."""
    order = np.argsort(-similarity, axis=1)
    falling = np.take_along_axis(similarity, order, axis=1)
    n = falling.shape[1]
    places = np.broadcast_to(np.arange(n), falling.shape)
    changes = falling[:, 1:] != falling[:, :-1]
    if changes.all():
        values = np.broadcast_to(1 / np.arange(1, n + 1), falling.shape)
    else:
        edge = np.ones((len(falling), 1), dtype=bool)
        first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), places, 0), axis=1)
        last = np.where(np.hstack([changes, edge]), places, n)
        last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
        sums = harmonic_sums(n)
        values = np.where(first == last, 1 / (1 + first), (sums[last + 1] - sums[first]) / (last - first + 1))
    found = np.empty(falling.shape)
    np.put_along_axis(found, order, values, axis=1)
    return found


def pair_ranks_back(queries: Array, gallery: Array, truth: np.ndarray) -> Ranks:
    """Rank of each gallery row's best true query among all queries, (g,).

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
    >>> pair_ranks_back(rows, rows[:2], np.array([0, 1, 0])).recall(1).tolist()
    [1.0, 1.0]
    >>> pair_ranks_back(rows, rows[:2], np.array([1, 1, 0])).reciprocal.tolist()
    [0.5, 1.0]
    """
    size, n = int(gallery.shape[0]), int(queries.shape[0])
    many = np.bincount(truth, minlength=size)
    if not many.all():
        raise InputError(f"row {int(np.argmin(many))} of {size} targets is no query's. Leave it out of the gallery.")
    order = np.argsort(truth, kind="stable")  # the queries of one target stand together
    start = np.concatenate([[0], np.cumsum(many)])
    across, step = namespace(queries).matrix_transpose(queries), _tile(queries)

    def ranks(a: int, b: int) -> Ranks:
        scores, own, first = gallery[a:b, :] @ across, order[start[a] : start[b]], start[a:b] - start[a]  # (b - a, n)
        true = to_numpy(take(namespace(scores).reshape(scores, (-1,)), (truth[own] - a) * n + own))
        best = np.maximum.reduceat(true, first)
        tied = np.add.reduceat((true == np.repeat(best, many[a:b])).astype(np.int64), first)
        return _ranks(scores, like(best, scores)[:, None], tied)

    return Ranks.joined([ranks(a, min(a + step, size)) for a in range(0, size, step)])


def _ranks(similarity: Array, true: Array, right: np.ndarray | int) -> Ranks:
    """Scores above ``true`` (q, 1) and scores equal to it, of which ``right`` are no rivals."""
    similarity, true = lent(similarity), lent(true)
    xp = namespace(similarity)
    above = to_numpy(xp.count_nonzero(similarity > true, axis=1))
    equal = to_numpy(xp.count_nonzero(similarity == true, axis=1))
    return Ranks.of(above, equal - right, right)


def _tile(gallery: Array) -> int:
    """Queries that are scored at once against ``gallery`` (g, k)."""
    return max(min(TILE, NEAR // max(int(gallery.shape[0]), 1)), 64)


def recall_at(ranks: Ranks, k: int) -> float:
    """Share of queries whose true target is among the best k, its mean over the orders of equal scores."""
    return float(np.mean(ranks.recall(k)))


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
    spread = float(np.sqrt(np.median(np.sum(centred**2, axis=1))))  # which one far row does not widen
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
