"""Matching without pairs: the assignment's exchanges, and what the confidence is made of."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core.errors import InputError
from stitchkit.core.maps import unit
from stitchkit.solvers.pools.pair_free import exchange, match_clouds


def symmetric(size, seed):
    half = np.random.default_rng(seed).normal(size=(size, size))
    return half + half.T


def fit(left, right, order):
    return np.sum(left * right[np.ix_(order, order)])


@pytest.mark.parametrize("seed", range(5))
def test_no_exchange_raises_what_exchanges_reached(seed):
    left, right = symmetric(9, seed), symmetric(9, seed + 50)
    start = np.random.default_rng(seed).permutation(9)
    reached, order = exchange(left, right, start)
    assert sorted(order) == list(range(9))
    assert reached == pytest.approx(fit(left, right, order))
    assert reached >= fit(left, right, start)
    for i in range(9):
        for j in range(i):
            other = order.copy()
            other[[i, j]] = order[[j, i]]
            assert fit(left, right, other) <= reached + 1e-9


def test_one_wrong_exchange_is_undone():
    left = symmetric(8, 3)
    hidden = np.random.default_rng(1).permutation(8)
    right = left[np.ix_(hidden, hidden)]
    answer = np.argsort(hidden)
    start = answer.copy()
    start[[2, 6]] = answer[[6, 2]]
    np.testing.assert_array_equal(exchange(left, right, start)[1], answer)


def test_too_few_rows_for_the_clusters_are_refused():
    rows = unit(np.random.default_rng(0).normal(size=(99, 4)))
    with pytest.raises(InputError, match="99 and 99 rows are too small for 20 clusters"):
        match_clouds(rows, rows)
