"""Means over a few seeds: the share of false alarms and the power by simulation, and the numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from stitchkit.metrics.seeded_means import SeededMean, seeded_mean

PEOPLE = 60


def simulated(seeds, of_seeds, of_patients, mean=0.0, trials=1500):
    """Means over seeds of differences of patients, which are the same for all, and a shift of each seed."""
    rng = np.random.default_rng([seeds, int(10 * of_seeds)])
    for _ in range(trials):
        patients = mean + of_patients * rng.normal(size=PEOPLE)
        each = patients.mean() + of_seeds / np.sqrt(PEOPLE) * rng.normal(size=seeds)
        resamples = each.mean() + of_patients / np.sqrt(PEOPLE) * rng.normal(size=300)
        yield seeded_mean(each, resamples, PEOPLE)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("of_seeds", "of_patients"), [(1, 0), (0, 1), (1, 1), (0.3, 1), (3, 1), (6, 1)])
def test_no_difference_is_called_one_in_no_more_than_the_nominal_share(seeds, of_seeds, of_patients):
    """Both at .05 and at the level of the first of nine comparisons by Holm; two standard errors are allowed."""
    p = np.array([one.p for one in simulated(seeds, of_seeds, of_patients)])
    for level in (0.05, 0.05 / 9):
        assert np.mean(p < level) < level + 2.5 * np.sqrt(level * (1 - level) / len(p))


@pytest.mark.parametrize(("seeds", "of_seeds", "of_patients"), [(2, 3, 1), (3, 0, 1), (3, 1, 1), (5, 2, 1)])
def test_a_detectable_difference_is_shown_in_four_of_five_repetitions(seeds, of_seeds, of_patients):
    true = SeededMean(0.0, of_seeds**2 / PEOPLE / seeds, of_patients**2 / PEOPLE, seeds, PEOPLE)
    for comparisons in (1, 4):
        mean = true.detectable(comparisons)
        p = np.array([one.p for one in simulated(seeds, of_seeds, of_patients, mean, 800)])
        assert np.mean(p < 0.05 / comparisons) == pytest.approx(0.8, abs=0.05)


def test_the_numbers_are_those_by_hand():
    each, resamples = np.array([0.1, 0.2, 0.6]), np.array([0.25, 0.3, 0.35, 0.3])
    found = seeded_mean(each, resamples, 40)
    seeds, patients = each.var(ddof=1) / 3, resamples.var(ddof=1)
    assert (found.value, found.error) == pytest.approx((0.3, np.sqrt(seeds + patients)))

    def half(level):
        return np.sqrt(t.ppf(1 - level / 2, 2) ** 2 * seeds + t.ppf(1 - level / 2, 39) ** 2 * patients)

    assert found.interval() == pytest.approx((0.3, 0.3 - half(0.05), 0.3 + half(0.05)))
    assert found.interval(0.0, 1.0).low == 0.0
    assert half(found.p) == pytest.approx(0.3)


@pytest.mark.parametrize("one", ["of_seeds", "of_patients"])
def test_with_one_source_of_variance_the_p_value_is_that_of_students_t(one):
    parts = {"of_seeds": 0.0, "of_patients": 0.0, one: 0.04}
    df = {"of_seeds": 2, "of_patients": 49}[one]
    assert SeededMean(0.5, **parts, seeds=3, people=50).p == pytest.approx(2 * t.sf(0.5 / 0.2, df))
    assert SeededMean(0.0, **parts, seeds=3, people=50).p == 1.0


def test_one_seed_tells_nothing_of_seeds():
    found = seeded_mean(np.array([0.4]), np.array([0.3, 0.5]), 40)
    assert found.value == 0.4
    assert np.isnan([found.interval().low, found.p, found.error, found.detectable(2)]).all()


def test_differences_that_are_rounding_are_none():
    same = seeded_mean(np.array([1e-16, 2e-16]), np.array([1e-16, 3e-16]), 40)
    assert np.isnan(same.interval().low)
    assert np.isnan(same.detectable(2))


@pytest.mark.parametrize(("value", "p"), [(0.2, np.nan), (0.0, 1.0)])
def test_equal_values_have_neither_interval_nor_detectable_mean(value, p):
    same = seeded_mean(np.full(2, value), np.full(3, value), 40)
    np.testing.assert_equal(same.interval(), (value, np.nan, np.nan))
    np.testing.assert_equal([same.p, same.detectable(3)], [p, np.nan])
