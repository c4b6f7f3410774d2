"""Intervals of R2 over patients."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.metrics.r2_intervals import r2_interval


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
