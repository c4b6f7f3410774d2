"""Intervals of R2 over patients."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.metrics.r2_intervals import r2_difference, r2_interval


def sample(k, seed, tails=0.5):
    rng = np.random.default_rng(seed)
    missed = np.exp(2 * tails * rng.normal(size=k)) * rng.chisquare(8, size=k)
    return missed, 8 * rng.chisquare(8, size=k)


def test_the_value_is_one_minus_the_ratio_of_sums():
    missed, spread = sample(30, 0)
    found = r2_interval(missed, spread)
    assert found.value == pytest.approx(1 - missed.sum() / spread.sum())
    assert found.low < found.value < found.high < 1


def test_the_logarithm_of_the_ratio_has_equal_sides():
    found = r2_interval(*sample(30, 1))
    assert (1 - found.low) / (1 - found.value) == pytest.approx((1 - found.value) / (1 - found.high))


def test_units_and_order_of_patients_change_nothing():
    missed, spread = sample(30, 2)
    order = np.random.default_rng(0).permutation(30)
    assert r2_interval(1e6 * missed[order], 1e6 * spread[order]) == pytest.approx(r2_interval(missed, spread))


def test_repeating_every_item_of_every_patient_changes_nothing():
    missed, spread = sample(30, 3)
    assert r2_interval(3 * missed, 3 * spread) == pytest.approx(r2_interval(missed, spread))


def test_with_equal_parts_the_interval_is_student_s():
    from scipy.stats import t

    k, rng = 50, np.random.default_rng(4)
    missed, spread = 1 + 0.01 * rng.normal(size=k), np.full(k, 4.0)
    found = r2_interval(missed, spread)
    error = missed.std(ddof=1) / np.sqrt(k) / missed.mean()
    assert np.log((1 - found.low) / (1 - found.value)) == pytest.approx(t.ppf(0.975, k - 1) * error, rel=0.01)


@pytest.mark.filterwarnings("error")
def test_ends_of_what_cannot_be_judged():
    assert np.isnan(r2_interval(np.ones(3), np.zeros(3))).all()
    one = r2_interval(np.array([1.0]), np.array([4.0]))
    assert one.value == 0.75
    assert np.isnan(one[1:]).all()
    assert r2_interval(np.zeros(3), np.ones(3)) == (1.0, 1.0, 1.0)
    all_in_one = r2_interval(np.array([5.0, 0.0, 0.0]), np.ones(3))
    assert all_in_one.low < -100
    assert all_in_one.high <= 1


def test_few_patients_with_skewed_errors_are_covered():
    rng, covered, draws = np.random.default_rng(5), 0, 400
    for _ in range(draws):
        missed = np.exp(rng.normal(size=15)) * rng.chisquare(8, size=15)
        found = r2_interval(missed, 8 * rng.chisquare(8, size=15))
        covered += found.low <= 1 - np.exp(0.5) / 8 <= found.high
    assert covered / draws > 0.9  # percentiles of resamples: .85


def two_maps(k, seed, scale=1.3, tails=0.5):
    """Squared errors of two maps on the same patients, and squared distances of the targets."""
    rng = np.random.default_rng(seed)
    common = np.exp(2 * tails * rng.normal(size=k))
    one, other = common * rng.chisquare(8, size=k), scale * common * rng.chisquare(8, size=k)
    return one, other, 8 * rng.chisquare(8, size=k)


def test_the_difference_is_that_of_the_two_values_and_inside_its_interval():
    one, other, spread = two_maps(30, 0)
    found = r2_difference(one, other, spread)
    assert found.value == pytest.approx(r2_interval(one, spread).value - r2_interval(other, spread).value)
    assert found.low < found.value < found.high


def test_the_other_way_round_the_difference_is_the_negative():
    one, other, spread = two_maps(30, 1)
    there, back = r2_difference(one, other, spread), r2_difference(other, one, spread)
    assert (-back.value, -back.high, -back.low) == pytest.approx(there, rel=1e-5)


def test_the_difference_is_paired():
    rng = np.random.default_rng(2)
    one, _, spread = two_maps(40, 2)
    near = one * np.exp(0.02 * rng.normal(size=40))
    found, alone = r2_difference(one, near, spread), r2_interval(one, spread)
    assert found.high - found.low < 0.1 * (alone.high - alone.low)


def test_a_map_without_errors_leaves_the_interval_of_the_other():
    one, _, spread = two_maps(30, 3)
    alone = r2_interval(one, spread)
    expected = (1 - alone.value, 1 - alone.high, 1 - alone.low)
    for tiny in (0.0, 1e-9):
        assert r2_difference(tiny * one, one, spread) == pytest.approx(expected, rel=1e-5)
        back = r2_difference(one, tiny * one, spread)
        assert back == pytest.approx((-expected[0], -expected[2], -expected[1]), rel=1e-5)


def test_small_errors_of_one_patient_cost_no_degrees_of_freedom():
    one, _, spread = two_maps(30, 3)
    small = np.zeros(30)
    small[0] = 1e-6 * one.sum()
    assert r2_difference(small, one, spread) == pytest.approx(r2_difference(0 * one, one, spread), rel=1e-3)
    large = np.zeros(30)
    large[0] = one.sum()
    wide, alone = r2_difference(large, one, spread), r2_interval(one, spread)
    assert wide.high - wide.low > 5 * (alone.high - alone.low)


def test_units_order_and_repeats_change_no_difference():
    one, other, spread = two_maps(30, 4)
    order = np.random.default_rng(0).permutation(30)
    found = r2_difference(one, other, spread)
    assert r2_difference(1e6 * one[order], 1e6 * other[order], 1e6 * spread[order]) == pytest.approx(found, rel=1e-6)
    assert r2_difference(3 * one, 3 * other, 3 * spread) == pytest.approx(found, rel=1e-6)


def test_a_difference_of_many_patients_is_student_s():
    from scipy.stats import t

    k, (one, other, spread) = 3000, two_maps(3000, 5, tails=0.1)
    found = r2_difference(one, other, spread)
    parts = (other - one) - found.value * spread
    error = np.sqrt(np.sum(parts**2)) / spread.sum()
    assert (found.low, found.high) == pytest.approx(
        found.value + np.array([-1, 1]) * t.ppf(0.975, k - 1) * error, rel=0.02
    )


def test_a_higher_level_is_wider():
    maps = two_maps(20, 6)
    inner, outer = r2_difference(*maps, level=0.8), r2_difference(*maps, level=0.99)
    assert outer.low < inner.low < inner.high < outer.high


@pytest.mark.filterwarnings("error")
def test_ends_of_differences_that_cannot_be_judged():
    one, other, spread = two_maps(4, 7)
    assert np.isnan(r2_difference(one, other, np.zeros(4))).all()
    alone = r2_difference(one[:1], other[:1], spread[:1])
    assert alone.value == pytest.approx((other[0] - one[0]) / spread[0])
    assert not alone.has_ends
    assert r2_difference(one, one, spread) == pytest.approx((0.0, 0.0, 0.0))
    assert r2_difference(np.zeros(4), np.zeros(4), spread) == (0.0, 0.0, 0.0)
    all_in_one = r2_difference(np.array([5.0, 0.0, 0.0]), np.array([9.0, 0.0, 0.0]), np.ones(3))
    assert np.isfinite(all_in_one).all()
    assert all_in_one.high > 100


def test_differences_of_few_patients_with_skewed_errors_are_covered():
    covered, draws = 0, 400
    for seed in range(draws):
        found = r2_difference(*two_maps(15, 100 + seed, scale=1.4))
        covered += found.low <= 0.4 * np.exp(0.5) / 8 <= found.high
    assert covered / draws > 0.9  # percentiles of resamples: .86
