"""Intervals of measured sizes: patients and draws, of which those from one pool are alike."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.evaluation.retrieval.curve_intervals import DrawnSums
from stitchkit.metrics.proportions import exact_interval
from stitchkit.metrics.r2_intervals import r2_interval

SIZES = np.array([20, 40, 80, 160])


def drawn(seed, *, pool=160, draws=5, patients=100, strength=0.5, sizes=SIZES):
    """Sums of a measure whose value is .5 plus the mean effect of the anchors; the effects of a pool are drawn once."""
    rng = np.random.default_rng(seed)
    effects, base = strength * rng.normal(size=pool), rng.uniform(0.2, 0.8, size=patients)
    orders = [rng.permutation(pool) for _ in range(draws)]
    mean = np.array([[effects[order[:n]].mean() for n in sizes] for order in orders])
    return DrawnSums(mean[:, :, None] + base, np.ones(patients), np.asarray(sizes) / pool)


@pytest.mark.parametrize(("draws", "patients"), [(2, 100), (5, 20), (20, 100)])
def test_intervals_of_all_sizes_cover_other_pools_and_patients(draws, patients):
    held = []
    for seed in range(300):
        sums = drawn(seed, draws=draws, patients=patients)
        held.append([one.low <= 0.5 <= one.high for one in sums.intervals("r2")])
    assert np.mean(held, axis=0).min() >= 0.89  # of patients alone, at the whole pool: .57 and .87 of the last two


def test_draws_of_a_large_pool_are_as_good_as_fresh_ones():
    sums = drawn(0, pool=20_000)
    variance = sums.values.var(axis=1, ddof=1) / 5
    neighbours = [max(variance[max(j - 1, 0) : j + 2].mean(), variance[j]) for j in range(4)]
    np.testing.assert_allclose(sums.draw_variances, neighbours, rtol=0.05)


def test_overlapping_draws_vary_more_than_they_show():
    sums = drawn(1, sizes=[40, 80, 160])
    one = sums.values[:2].var(axis=1, ddof=1) / (1 - sums.overlap[:2])
    assert sums.values[-1].var() < 1e-20
    assert sums.draw_variances[-1] == pytest.approx(one.mean())  # the whole pool is one draw
    assert sums.draw_variances[0] == pytest.approx(max(one.mean(), one[0]) * (1 / 4 + 3 / 4 / 5))


@pytest.mark.parametrize("metric", ["mrr", "r2"])
def test_where_draws_agree_the_interval_is_that_of_patients(metric):
    sums = drawn(2, strength=0.0)
    won = sums.won[0, 0]
    expected = r2_interval(1 - won, np.ones(100)) if metric == "r2" else exact_interval(won, np.ones(100))
    for one in sums.intervals(metric):
        assert one.value == pytest.approx(expected.value)
        assert (one.low, one.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_ends_stay_within_the_measure():
    wide = drawn(3, strength=4.0, draws=2)
    assert any(one.low < 0 for one in wide.intervals("r2"))
    ranks = DrawnSums(np.clip(wide.won, 0, 1), wide.of, wide.overlap)
    assert all(one.low >= 0 and one.high <= 1 for one in ranks.intervals("mrr"))
    assert any(one.low == 0 for one in ranks.intervals("mrr"))
    resampled = ranks.resampled("mrr", 200, 0)
    assert (resampled.min(), resampled.max()) == (0, 1)


@pytest.mark.parametrize("settings", [{"draws": 1}, {"sizes": [150, 160]}])
def test_draws_that_cannot_tell_give_no_interval(settings):
    sums = drawn(4, **settings)
    assert np.isnan(sums.draw_variances).all()
    assert not any(one.has_ends for one in sums.intervals("mrr"))
    assert np.isfinite(sums.resampled("mrr", 20, 0)).all()


@pytest.mark.parametrize("draws", [3, 10])
def test_resamples_spread_as_the_intervals_do(draws):
    sums = drawn(5, draws=draws)
    resampled, found = sums.resampled("mrr", 4000, 0), sums.intervals("mrr")
    assert resampled.shape == (4000, 4)
    np.testing.assert_allclose(np.median(resampled, axis=0), sums.values.mean(axis=1), atol=0.01)
    for at in range(len(SIZES)):
        low, high = np.quantile(resampled[:, at], [0.025, 0.975])
        assert high - low == pytest.approx(found[at].high - found[at].low, rel=0.35)


def test_one_seed_gives_one_set_of_resamples():
    sums = drawn(6)
    assert np.array_equal(sums.resampled("mrr", 30, 1), sums.resampled("mrr", 30, 1))
    assert not np.array_equal(sums.resampled("mrr", 30, 1), sums.resampled("mrr", 30, 2))
