"""Intervals of many patients, who are taken together in bins, against those of patients taken one by one."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.metrics import proportions
from stitchkit.metrics.proportions import exact_difference, exact_interval, mean_difference
from stitchkit.metrics.share_tests import mean_difference_p

N = 1200


def samples(n=N):
    """Sums and sizes of n different patients: even, heavy-tailed, nearly all right, one who has half of the items."""
    rng = np.random.default_rng(0)
    even, heavy = 0.1 + rng.random(n), np.exp(1.5 * rng.normal(size=n))
    giant = heavy.copy()
    giant[0] = giant.sum()
    return {
        "between 0 and 1": (rng.random(n) * even, even),
        "right or wrong": ((rng.random(n) < 0.9) * even, even),
        "heavy tails": (rng.random(n) * heavy, heavy),
        "all right": (heavy.copy(), heavy),
        "hardly any wrong": ((rng.random(n) < 0.998) * heavy, heavy),
        "hardly any right": ((rng.random(n) < 0.002) * heavy, heavy),
        "reciprocal ranks": (1 / (rng.integers(1, 4000, n) + 1e-6 * rng.random(n)), np.ones(n)),
        "half of one patient": (rng.random(n) * giant, giant),
        "nearly alike": (0.5 + 1e-9 * rng.random(n), np.ones(n)),
        "powers of ten": (10.0 ** rng.uniform(-12, 0, n), np.ones(n)),
    }


@pytest.mark.parametrize(
    ("name", "level"),
    [*((name, 0.95) for name in samples()), *(("hardly any wrong", level) for level in (0.5, 0.9999))],
)
def test_patients_in_bins_have_the_interval_of_patients_one_by_one(monkeypatch, name, level):
    won, of = samples()[name]
    binned = exact_interval(won, of, level), exact_difference(won, np.roll(won / of, 1) * of, of, level)
    monkeypatch.setattr(proportions, "MANY", N + 1)
    alone = exact_interval(won, of, level), exact_difference(won, np.roll(won / of, 1) * of, of, level)
    for one, other in zip(binned, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("name", samples())
def test_sums_of_logarithms_are_within_their_bound_wherever_the_points_are(name):
    won, of = samples()[name]
    worth = np.append(won - 0.9 * won.sum() / of.sum() * of, -of.mean())
    scaled, times = worth / worth.min(), np.append(np.ones(N), 0.5)
    points = np.concatenate([0.3 + 1j * np.geomspace(1e-3, 1e5, 30), 0.9 + (1j - 0.5) * np.geomspace(1e-3, 1e3, 30)])
    one, binned = proportions._One(scaled, times), proportions._Binned.of_patients(scaled, times)
    for block in np.split(points, 6):
        apart = one.logs(block) - binned.logs(block)
        apart -= 2j * np.pi * np.round(apart.imag / (2 * np.pi))
        assert np.abs(apart).max() < proportions.BINS * proportions.CLOSE + 1e-10


def test_few_logarithms_are_taken_of_many_patients(monkeypatch):
    """The work counted: one by one it is patients times points, for each of some twenty shares."""
    rng, taken, real = np.random.default_rng(0), [], np.log1p
    monkeypatch.setattr(proportions.np, "log1p", lambda values: taken.append(values.size) or real(values))
    size = np.exp(rng.normal(size=8000))
    won = rng.random(8000) * size
    exact_interval(won, size)
    binned = sum(taken)
    taken.clear()
    monkeypatch.setattr(proportions, "MANY", 8001)
    exact_interval(won, size)
    assert binned < sum(taken) / 15


@pytest.mark.parametrize("shift", [0.0, 0.002, 0.02, 0.05])
def test_p_of_many_patients_agrees_with_their_interval(shift):
    rng = np.random.default_rng(3)
    of = 0.5 + rng.random((N, 2))
    won = of * rng.beta(4, 2, size=(N, 2))
    other = np.clip(won + of * (rng.normal(scale=0.2, size=(N, 2)) - shift), 0, of)
    p = mean_difference_p(won, other, of)
    for level in (0.8, 0.95, 0.99):
        found = mean_difference(won, other, of, level)
        assert (p < 1 - level) == (found.low > 0 or found.high < 0)


def test_a_difference_that_even_the_median_does_not_show_has_p_1():
    right = np.ones((3, 1))
    assert mean_difference_p(right, right - [[0.0], [0.0], [0.001]], right) == 1
