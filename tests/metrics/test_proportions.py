"""Exact intervals of proportions: scipy's, monotone in the errors, and honest where patients are of unequal sizes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from stitchkit.metrics.proportions import effective_number, exact_interval


@pytest.mark.parametrize("n", [1, 2, 10, 30, 137])
def test_independent_items_have_the_interval_of_scipy(n):
    for right in range(n + 1):
        found = exact_interval(np.r_[np.ones(right), np.zeros(n - right)], np.ones(n))
        exact = binomtest(right, n).proportion_ci(0.95, method="exact")
        assert found == pytest.approx((right / n, exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize("sizes", [[1] * 20, [3] * 10, [1, 2, 3, 40], [7], range(1, 15)])
def test_both_ends_fall_with_every_error_whoever_makes_it(sizes):
    of = np.asarray(list(sizes), dtype=float)
    rng = np.random.default_rng(0)
    for _ in range(5):
        won, order = of.copy(), rng.permutation(np.repeat(np.arange(len(of)), of.astype(int)))
        ends = [exact_interval(won, of)]
        for patient in order:
            won[patient] -= 1
            ends.append(exact_interval(won, of))
        assert (np.diff([one.low for one in ends[:-1]]) < 0).all()
        assert (np.diff([one.high for one in ends]) <= 0).all()  # 1 to double precision where few effective items are
        assert all(one.low <= one.value <= one.high for one in ends)
        assert (ends[0].high, ends[-1].low) == (1, 0)


def test_a_part_of_an_error_lowers_the_bound_too():
    won = np.ones(20)
    whole = exact_interval(won, np.ones(20))
    half = exact_interval(np.r_[0.5, won[1:]], np.ones(20))
    assert exact_interval(np.r_[0.0, won[1:]], np.ones(20)).low < half.low < whole.low


def test_repeated_items_of_patients_change_nothing():
    won, of = np.array([1.0, 2, 0, 4]), np.array([1.0, 3, 1, 4])
    assert exact_interval(won * 5, of * 5) == pytest.approx(exact_interval(won, of), abs=1e-12)
    assert effective_number(np.full(12, 6)) == pytest.approx(12)
    assert effective_number(np.array([1, 1, 8])) < 3


def test_patients_without_items_are_left_out():
    assert exact_interval(np.array([1.0, 0, 0]), np.array([1.0, 0, 1])) == exact_interval(
        np.array([1.0, 0]), np.ones(2)
    )
    assert np.isnan(exact_interval(np.zeros(2), np.zeros(2))).all()


@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_the_lower_end_is_above_the_truth_at_most_one_time_in_forty(p):
    """Patients of one to ten items, correlation within a patient .5: half of them are right or wrong as a whole."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(2000):
        of = rng.geometric(0.4, size=25).clip(max=10).astype(float)
        whole = rng.random(25) < 0.5
        won = np.where(whole, of * (rng.random(25) < p), rng.binomial(of.astype(int), p))
        wrong += exact_interval(won, of).low > p
    assert wrong / 2000 <= 0.03


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_the_lower_end_of_a_mean_reciprocal_rank_is_above_the_truth_at_most_one_time_in_forty(spread):
    rng = np.random.default_rng(2)
    ranks = np.exp(rng.exponential(spread, size=200_000)).astype(int).clip(1, 40)
    truth = np.mean(1 / ranks)
    drawn = 1 / rng.choice(ranks, size=(2000, 30))
    assert np.mean([exact_interval(one, np.ones(30)).low > truth for one in drawn]) <= 0.03
