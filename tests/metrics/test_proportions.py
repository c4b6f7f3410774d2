"""Intervals of proportions: scipy's for single items, monotone in the errors, and honest for patients of any sizes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from stitchkit.metrics.proportions import by_patient, exact_difference, exact_interval, mean_difference, mean_interval

SIZES = ([1] * 20, [3] * 10, [1, 2, 3, 40], [7], range(1, 15))


@pytest.mark.parametrize("n", [1, 2, 10, 30, 137])
def test_independent_items_have_the_interval_of_scipy(n):
    for right in range(n + 1):
        found = exact_interval(np.r_[np.ones(right), np.zeros(n - right)], np.ones(n))
        exact = binomtest(right, n).proportion_ci(0.95, method="exact")
        assert found == pytest.approx((right / n, exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 30, 137, 3000])
def test_the_integral_gives_the_interval_of_scipy_too(n):
    size = np.ones(n)
    size[0] += 1e-9  # not of one size: no closed form
    for right in sorted({1, n // 3, n - n // 10, n}):
        found = exact_interval(np.where(np.arange(n) < right, size, 0), size)
        exact = binomtest(right, n).proportion_ci(0.95, method="exact")
        assert found == pytest.approx((right / n, exact.low, exact.high), abs=1e-7)


@pytest.mark.parametrize("sizes", [[1, 2, 3, 4, 5, 6] * 5, [1, 2, 3, 40], [1] * 1500 + [2] * 500])
def test_the_ends_are_those_of_weights_that_are_drawn(sizes):
    rng, of = np.random.default_rng(0), np.asarray(sizes, dtype=float)
    won = rng.binomial(of.astype(int), 0.8).astype(float)
    found, draws, extra = exact_interval(won, of), 40_000, np.sum(of**2) / of.sum()
    shares = np.empty((2, draws))
    for at in range(0, draws, 2000):
        weight, more = rng.exponential(size=(2000, len(of))), extra * rng.exponential(size=2000)
        shares[:, at : at + 2000] = (weight @ won + np.stack([0 * more, more])) / (weight @ of + more)
    for end, share, tail in ((found.low, shares[0], 0.025), (found.high, shares[1], 0.975)):
        assert abs(np.mean(share <= end) - tail) < 4 * (0.025 * 0.975 / draws) ** 0.5


@pytest.mark.parametrize("sizes", SIZES)
def test_both_ends_fall_with_every_error_whoever_makes_it(sizes):
    of = np.asarray(list(sizes), dtype=float)
    rng = np.random.default_rng(0)
    for _ in range(5 if of.sum() < 100 else 2):
        won, order = of.copy(), rng.permutation(np.repeat(np.arange(len(of)), of.astype(int)))
        ends = [exact_interval(won, of)]
        for patient in order:
            won[patient] -= 1
            ends.append(exact_interval(won, of))
        assert (np.diff([one.low for one in ends]) < 0).all()
        assert (np.diff([one.high for one in ends]) <= 0).all()
        assert all(one.low <= one.value <= one.high for one in ends)
        assert (ends[0].high, ends[-1].low) == (1, 0)


@pytest.mark.parametrize("sizes", SIZES)
def test_differences_and_means_over_classes_are_monotone_in_the_errors(sizes):
    of = np.asarray(list(sizes), dtype=float)
    rng = np.random.default_rng(1)
    shares = np.stack([of, np.roll(of, 1), np.where(np.arange(len(of)) % 2, 0, of)], axis=1)
    won, other = of.copy(), rng.binomial(of.astype(int), 0.7).astype(float)
    each, against = shares.copy(), rng.binomial(shares.astype(int), 0.7).astype(float)
    before = [exact_difference(won, other, of), exact_difference(other, won, of)]
    before += [mean_interval(each, shares), mean_difference(each, against, shares)]
    for _ in range(12):
        won[rng.choice(np.flatnonzero(won))] -= 1
        where = np.argwhere(each)
        patient, c = where[rng.integers(len(where))]
        each[patient, c] -= 1
        after = [exact_difference(won, other, of), exact_difference(other, won, of)]
        after += [mean_interval(each, shares), mean_difference(each, against, shares)]
        for (_, *old), (_, *new), sign in zip(before, after, (1, -1, 1, 1), strict=True):
            assert all(sign * a <= sign * b + 1e-9 for a, b in zip(new, old, strict=True))
        before = after
        if not won.any():
            break


def test_a_part_of_an_error_lowers_the_bound_too():
    won = np.ones(20)
    whole = exact_interval(won, np.ones(20))
    half = exact_interval(np.r_[0.5, won[1:]], np.ones(20))
    assert exact_interval(np.r_[0.0, won[1:]], np.ones(20)).low < half.low < whole.low


def test_repeated_items_of_patients_change_nothing():
    won, of = np.array([1.0, 2, 0, 4]), np.array([1.0, 3, 1, 4])
    other = np.array([0.0, 3, 0, 3])
    assert exact_interval(won * 5, of * 5) == pytest.approx(exact_interval(won, of), abs=1e-9)
    assert exact_difference(won * 5, other * 5, of * 5) == pytest.approx(exact_difference(won, other, of), abs=1e-9)
    both, shares = np.stack([won, other], axis=1), np.stack([of, of], axis=1)
    assert mean_interval(both * 5, shares * 5) == pytest.approx(mean_interval(both, shares), abs=1e-9)


def test_patients_count_where_their_items_agree_and_items_where_they_do_not():
    of = np.full(40, 5.0)
    together = exact_interval(np.where(np.arange(40) < 36, 5.0, 0.0), of)
    assert together == pytest.approx(exact_interval(np.arange(40) < 36, np.ones(40)))
    apart = exact_interval(np.where(np.arange(40) % 2, 5.0, 4.0), of)
    assert apart.value == together.value
    assert together.low < apart.low
    assert apart.high - apart.low < 0.6 * (together.high - together.low)
    assert exact_interval(of, of).low == pytest.approx(0.025 ** (1 / 40))  # all right: nothing tells them apart


def test_patients_without_items_are_left_out():
    assert exact_interval(np.array([1.0, 0, 0]), np.array([1.0, 0, 1])) == exact_interval(
        np.array([1.0, 0]), np.ones(2)
    )
    assert np.isnan(exact_interval(np.zeros(2), np.zeros(2))).all()
    assert np.isnan(exact_difference(np.zeros(2), np.zeros(2), np.zeros(2))).all()
    assert np.isnan(mean_interval(np.zeros((2, 2)), np.zeros((2, 2)))).all()
    one = np.stack([np.ones(9), np.zeros(9)], axis=1)
    assert mean_interval(one, one) == pytest.approx(exact_interval(np.ones(9), np.ones(9)))


def test_sums_are_over_patients_of_any_names():
    assert by_patient(np.array([True, False, True]), np.array(["b", "a", "b"])).tolist() == [0, 2]


def test_classes_of_the_same_patients_are_not_taken_for_independent():
    right = (np.arange(40) < 34).astype(float)
    same = mean_interval(np.stack([right, right], axis=1), np.ones((40, 2)))
    assert same == pytest.approx(exact_interval(right, np.ones(40)))
    zero = np.zeros(40)
    columns = [np.concatenate(one) for one in ((right, zero), (zero, right), (zero + 1, zero), (zero, zero + 1))]
    apart = mean_interval(np.stack(columns[:2], axis=1), np.stack(columns[2:], axis=1))
    assert apart.high - apart.low == pytest.approx((same.high - same.low) / 2**0.5)


def test_a_mean_of_one_difference_is_that_difference():
    rng = np.random.default_rng(2)
    one, other = (rng.integers(0, 2, size=(30, 1)).astype(float) for _ in range(2))
    of = np.ones((30, 1))
    assert mean_difference(one, other, of) == pytest.approx(exact_difference(one[:, 0], other[:, 0], of[:, 0]))


@pytest.mark.parametrize("p", [0.8, *(pytest.param(p, marks=pytest.mark.slow) for p in (0.5, 0.95))])
def test_the_lower_end_is_above_the_truth_at_most_one_time_in_forty(p):
    """Patients of one to ten items, correlation within a patient .5: half of them are right or wrong as a whole."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(600):
        of = rng.geometric(0.4, size=25).clip(max=10).astype(float)
        whole = rng.random(25) < 0.5
        won = np.where(whole, of * (rng.random(25) < p), rng.binomial(of.astype(int), p))
        wrong += exact_interval(won, of).low > p
    assert wrong / 600 <= 0.025 + 2 * (0.025 * 0.975 / 600) ** 0.5


@pytest.mark.parametrize("spread", [0.3, pytest.param(2.0, marks=pytest.mark.slow)])
def test_the_lower_end_of_a_mean_reciprocal_rank_is_above_the_truth_at_most_one_time_in_forty(spread):
    rng = np.random.default_rng(2)
    ranks = np.exp(rng.exponential(spread, size=200_000)).astype(int).clip(1, 40)
    truth = np.mean(1 / ranks)
    drawn = 1 / rng.choice(ranks, size=(600, 30))
    wrong = np.mean([exact_interval(one, np.ones(30)).low > truth for one in drawn])
    assert wrong <= 0.025 + 2 * (0.025 * 0.975 / 600) ** 0.5


def test_a_difference_of_two_methods_covers_the_truth_near_one():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        shared, own = rng.random((2, 20))
        one, other = shared < 0.98, np.where(own < 0.5, shared, rng.random(20)) < 0.9
        found = exact_difference(one, other, np.ones(20))
        held += found.low <= 0.08 <= found.high
    assert held / 400 >= 0.93
