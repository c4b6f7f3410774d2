"""Resampling whole patients: what a resample is, and the intervals that come of it."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.metrics import bootstrap
from stitchkit.metrics.auroc import auroc, resampled_auroc
from stitchkit.metrics.bootstrap import Interval, exact_at_ends, patient_counts, percentile_interval
from stitchkit.metrics.rankings import Ranking

PATIENTS = np.repeat(["p3", "p1", "p2", "p7"], [1, 4, 2, 3])


def counts_of(groups, replicates=500, seed=0):
    return np.concatenate(list(patient_counts(groups, replicates, seed)))


def interval_of(scores, labels, groups):
    return percentile_interval(auroc(scores, labels), resampled_auroc(scores, labels, counts_of(groups)))


def test_every_resample_draws_as_many_patients_as_there_are():
    _, first = np.unique(PATIENTS, return_index=True)
    assert (counts_of(PATIENTS)[:, first].sum(axis=1) == 4).all()


def test_each_row_stands_once_on_average_and_a_resample_is_as_long_as_the_data_on_average():
    counts = counts_of(PATIENTS, 20_000)
    assert np.allclose(counts.mean(axis=0), 1, atol=0.03)
    assert counts.sum(axis=1).mean() == pytest.approx(len(PATIENTS), abs=0.1)


def test_the_counts_of_patients_are_those_of_drawing_with_replacement():
    patients = 6
    counts = counts_of(np.arange(patients), 20_000)
    drawn = np.random.default_rng(5).multinomial(patients, np.full(patients, 1 / patients), size=20_000)
    assert np.allclose(np.cov(counts.T), np.eye(patients) - 1 / patients, atol=0.03)  # the covariance of a multinomial
    for times in range(4):
        assert (counts == times).mean() == pytest.approx((drawn == times).mean(), abs=0.01)


def test_single_precision_gives_the_same_resamples():
    single = np.concatenate(list(patient_counts(PATIENTS, 50, 4, np.float32)))
    assert single.dtype == np.float32
    assert (single == counts_of(PATIENTS, 50, 4)).all()


def test_the_rows_of_a_patient_stay_together():
    counts = counts_of(PATIENTS)
    for patient in set(PATIENTS):
        own = counts[:, patient == PATIENTS]
        assert (own == own[:, :1]).all()
    assert len({tuple(row) for row in counts.T.tolist()}) == 4  # and those of different patients do not


def test_the_seed_decides_the_resamples():
    assert (counts_of(PATIENTS, seed=1) == counts_of(PATIENTS, seed=1)).all()
    assert (counts_of(PATIENTS, seed=1) != counts_of(PATIENTS, seed=2)).any()


@pytest.mark.parametrize("rows_at_once", [1, 25, 70, 10**9])
def test_blocks_add_up_to_the_replicates_and_their_size_changes_nothing(monkeypatch, rows_at_once):
    whole = counts_of(PATIENTS, 23)
    monkeypatch.setattr(bootstrap, "ROWS_AT_ONCE", rows_at_once)
    blocks = list(patient_counts(PATIENTS, 23, 0))
    assert all(block.size <= max(rows_at_once, len(PATIENTS)) for block in blocks)
    assert sum(len(block) for block in blocks) == 23
    assert (np.concatenate(blocks) == whole).all()


def test_names_of_patients_may_be_numbers():
    _, number = np.unique(PATIENTS, return_inverse=True)
    assert (counts_of(number) == counts_of(PATIENTS)).all()


def test_repeating_every_row_leaves_the_interval_as_it_was():
    rng = np.random.default_rng(0)
    groups, labels = np.repeat(np.arange(40), 2), np.repeat(rng.random(40) < 0.4, 2)
    scores = labels + rng.normal(size=80)
    once = interval_of(scores, labels, groups)
    thrice = interval_of(*(np.repeat(part, 3) for part in (scores, labels, groups)))
    assert np.allclose(once, thrice, atol=1e-12)
    naive = interval_of(*(np.repeat(part, 3) for part in (scores, labels)), np.arange(240))
    assert naive.high - naive.low < 0.7 * (once.high - once.low)  # rows as if they were patients: too narrow


def test_the_interval_is_that_of_the_quantiles():
    replicates = np.random.default_rng(0).permutation(np.arange(1001) / 1000)
    assert percentile_interval(0.4, replicates) == pytest.approx((0.4, 0.025, 0.975))
    assert percentile_interval(0.4, replicates, level=0.5) == pytest.approx((0.4, 0.25, 0.75))


def test_undefined_replicates_are_left_out():
    replicates = np.array([0.2, np.nan, 0.6, np.nan])
    assert percentile_interval(0.5, replicates) == percentile_interval(0.5, np.array([0.2, 0.6]))
    nothing = percentile_interval(0.5, np.full(3, np.nan))
    assert nothing.value == 0.5
    assert np.isnan([nothing.low, nothing.high]).all()


def test_an_interval_prints_its_three_numbers():
    assert str(Interval(0.8123, 0.7, 0.9)) == "0.812 [0.700, 0.900]"


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0.0, 1.0], 50)
        scores = rng.normal(size=100) + labels  # true AUROC: Phi(1 / sqrt 2) = 0.7602
        counts = counts_of(np.arange(100), 200, seed)
        _, low, high = percentile_interval(auroc(scores, labels), resampled_auroc(scores, labels, counts))
        covered.append(low < 0.7602 < high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_all_or_nothing_has_the_exact_bound_and_its_mirror():
    whole, nothing = (exact_at_ends(Interval(end, end, end), 20) for end in (1.0, 0.0))
    assert whole == pytest.approx((1.0, 0.025 ** (1 / 20), 1.0))
    assert nothing == pytest.approx((0.0, 0.0, 1 - 0.025 ** (1 / 20)))
    assert whole.low**20 == pytest.approx(0.025)  # a share that gives twenty of twenty in 2.5 % of cases
    between = Interval(0.4, 0.3, 0.5)
    assert exact_at_ends(between, 20) is between


def test_a_measure_that_resampling_makes_larger_keeps_its_value_inside():
    from stitchkit.metrics.bootstrap import centred_interval
    from stitchkit.metrics.reliability import Misses

    inside, covered = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        said = rng.random(400)
        seen = (rng.random(400) < said**1.5).astype(float)
        counts = rng.multinomial(400, np.full(400, 1 / 400), size=100).astype(float)
        value = float(Misses.of(said, seen).calibration_error(np.ones((1, 400)))[0])
        found = centred_interval(value, Misses.of(said, seen).calibration_error(counts))
        inside.append(found.low <= value <= found.high)
        covered.append(found.low <= 0.1 <= found.high)  # the true error: the mean of p - p^1.5
    assert all(inside)
    assert np.mean(covered) > 0.8


def test_the_resamples_of_one_row_lie_together_and_rankings_do_not_depend_on_it():
    rng = np.random.default_rng(2)
    scores, labels = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    counts = next(iter(patient_counts(np.arange(40) // 3, 30, 1)))
    assert counts.shape == (30, 40)
    assert counts.T.flags.c_contiguous
    across = Ranking.of(scores, labels, np.ascontiguousarray(counts))
    along = Ranking.of(scores, labels, counts)
    assert np.array_equal(across.auroc(), along.auroc())
    assert np.array_equal(across.average_precision(), along.average_precision())
    for b in (0, 17):  # a resample is its rows written out
        rows = np.repeat(np.arange(40), counts[b].astype(int))
        assert along.auroc()[b] == pytest.approx(auroc(scores[rows], labels[rows]))
