"""Intervals of a head's agreement: coverage over patients, and samples with nothing to estimate."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.metrics.agreement_intervals import (
    correlation_difference,
    correlation_interval,
    cosine_difference,
    cosine_interval,
)


def outputs(k, noise, rng):
    patients = np.repeat(np.arange(k), rng.integers(1, 4, size=k))

    def drawn():
        return 0.5**0.5 * (rng.normal(size=(k, 4))[patients] + rng.normal(size=(len(patients), 4)))

    wanted = drawn()
    return patients, wanted, *(wanted + size * drawn() for size in noise)


def cosines(found, wanted):
    return np.sum(found * wanted, axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)


@pytest.mark.parametrize("k", [12, 40])
def test_correlations_are_covered(k):
    rng, noise, inside = np.random.default_rng(k), (0.5, 1.0), np.zeros(2)
    truth = 1 / np.sqrt(1 + np.square(noise))
    for _ in range(300):
        patients, wanted, one, other = outputs(k, noise, rng)
        value, gap = correlation_interval(one, wanted, patients), correlation_difference(one, other, wanted, patients)
        inside += value.low <= truth[0] <= value.high, gap.low <= truth[0] - truth[1] <= gap.high
    assert (inside / 300 >= 0.92).all()


@pytest.mark.parametrize("k", [12, 40])
def test_cosines_are_covered(k):
    rng, noise, inside = np.random.default_rng(k), (0.5, 1.0), np.zeros(2)
    wanted = rng.normal(size=(200_000, 4))
    truth = [cosines(wanted + size * rng.normal(size=wanted.shape), wanted).mean() for size in noise]
    for _ in range(200):
        patients, wanted, one, other = outputs(k, noise, rng)
        one, other = cosines(one, wanted), cosines(other, wanted)
        value, gap = cosine_interval(one, patients), cosine_difference(one, other, patients)
        inside += value.low <= truth[0] <= value.high, gap.low <= truth[0] - truth[1] <= gap.high
    assert (inside / 200 >= 0.92).all()


def test_the_value_is_the_mean_correlation_of_classes_that_vary():
    rng = np.random.default_rng(0)
    wanted, found = rng.normal(size=(2, 50, 3))
    wanted[:, 1] = 2.0
    expected = np.mean([np.corrcoef(found[:, c], wanted[:, c])[0, 1] for c in (0, 2)])
    assert correlation_interval(found, wanted, np.arange(50)).value == pytest.approx(expected)


def test_a_perfect_map_has_a_narrow_interval_at_1_and_a_constant_one_is_0():
    wanted = np.random.default_rng(0).normal(size=(50, 3))
    perfect = correlation_interval(2 * wanted + 1, wanted, np.arange(50))
    assert perfect.value == pytest.approx(1)
    assert perfect.low > 0.999
    assert correlation_interval(np.ones_like(wanted), wanted, np.arange(50)).value == 0
    assert cosine_interval(np.ones(50), np.arange(50)).high == 1


@pytest.mark.parametrize("patients", [1, 2])
def test_one_or_two_patients_have_no_interval_of_correlations(patients):
    found, wanted = np.random.default_rng(0).normal(size=(2, 20, 2))
    assert not correlation_interval(found, wanted, np.arange(20) % patients).has_ends
