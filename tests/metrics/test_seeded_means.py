"""Means over a few seeds: the share of false alarms by simulation, and the numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from stitchkit.metrics.seeded_means import seeded_mean


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("of_seeds", "of_patients"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.3, 1.0)])
def test_no_difference_is_called_one_in_no_more_than_five_of_a_hundred(seeds, of_seeds, of_patients):
    """Differences of patients are common to all seeds, as the same are judged; each seed adds its own shift."""
    rng, alarms, trials, people = np.random.default_rng([seeds, int(10 * of_seeds)]), 0, 1500, 60
    for _ in range(trials):
        patients = of_patients * rng.normal(size=people)
        each = patients.mean() + of_seeds / np.sqrt(people) * rng.normal(size=seeds)
        resamples = each.mean() + of_patients / np.sqrt(people) * rng.normal(size=300)
        alarms += seeded_mean(each, resamples, people).p < 0.05
    assert alarms / trials < 0.065


def test_error_degrees_and_interval_are_those_by_hand():
    each, resamples = np.array([0.1, 0.2, 0.6]), np.array([0.25, 0.3, 0.35, 0.3])
    found = seeded_mean(each, resamples, 40)
    seeds, patients = each.var(ddof=1) / 3, resamples.var(ddof=1)
    df = (seeds + patients) ** 2 / (seeds**2 / 2 + patients**2 / 39)
    error = np.sqrt(seeds + patients)
    assert (found.value, found.error, found.df) == pytest.approx((0.3, error, df))
    half = t.ppf(0.975, df) * error
    assert found.interval() == pytest.approx((0.3, 0.3 - half, 0.3 + half))
    assert found.interval(0.0, 1.0).low == 0.0
    assert found.p == pytest.approx(2 * t.sf(0.3 / error, df))
    assert found.detectable(4) == pytest.approx(error * (t.ppf(1 - 0.025 / 4, df) + t.ppf(0.8, df)))


def test_one_seed_tells_nothing_of_seeds():
    found = seeded_mean(np.array([0.4]), np.array([0.3, 0.5]), 40)
    assert found.value == 0.4
    assert np.isnan([found.interval().low, found.p, found.error]).all()


@pytest.mark.parametrize(("value", "p"), [(0.2, np.nan), (0.0, 1.0)])
def test_equal_values_have_neither_interval_nor_detectable_mean(value, p):
    same = seeded_mean(np.full(2, value), np.full(3, value), 40)
    np.testing.assert_equal(same.interval(), (value, np.nan, np.nan))
    np.testing.assert_equal([same.p, same.detectable(3)], [p, np.nan])
