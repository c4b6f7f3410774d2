"""Intervals of Brier scores, calibration errors and thresholds: their ends, and how often the truth is inside."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.evaluation.scores.results import AUROC, BRIER, ECE
from stitchkit.evaluation.scores.tables import interval_of
from stitchkit.metrics.bootstrap import patient_counts, percentile_interval
from stitchkit.metrics.decisions import resampled_thresholds
from stitchkit.metrics.probability_intervals import brier_interval, calibration_error_interval
from stitchkit.metrics.reliability import Misses
from stitchkit.metrics.threshold_intervals import patients_for_sensitivity, threshold_interval, unseen_range


def sample(seed, n=100, shift=0.0):
    """Probabilities with the patients' labels, too low by ``shift`` on the logit scale."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=n) - 1
    return 1 / (1 + np.exp(-logit)), (rng.random(n) < 1 / (1 + np.exp(-logit - shift))).astype(float)


def ends(seed, shift=0.0, n=100):
    said, seen = sample(seed, n, shift)
    missed, counts = Misses.of(said, seen), np.concatenate(list(patient_counts(np.arange(n), 200, seed)))
    once = np.ones((1, n))
    return (
        calibration_error_interval(float(missed.calibration_error(once)[0]), missed.calibration_error(counts)),
        brier_interval(float(missed.brier(once)[0]), missed.brier(counts)),
    )


def test_perfect_probabilities_have_a_calibration_error_of_zero_inside():
    found = [ends(seed)[0] for seed in range(100)]
    assert np.mean([one.low == 0 for one in found]) >= 0.93  # of centred percentiles 2 % were
    assert all(one.low <= one.value <= one.high for one in found)


@pytest.mark.parametrize(("shift", "truth"), [(0.8, 0.151), (1.6, 0.316)])
def test_the_calibration_error_of_poor_probabilities_is_inside_and_zero_is_not(shift, truth):
    said, _ = sample(1, 400_000)
    logit = np.log(said / (1 - said))
    assert np.mean(1 / (1 + np.exp(-logit - shift)) - said) == pytest.approx(truth, abs=0.01)
    found = [ends(seed, shift, 300)[0] for seed in range(60)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.88
    assert np.mean([one.low > 0 for one in found]) >= 0.95


def test_a_brier_score_has_its_high_end_further_away():
    for seed in range(5):
        found = ends(seed)[1]
        assert found.high - found.value > found.value - found.low > 0


def test_a_brier_score_of_sixty_patients_is_covered():
    truth = np.mean([np.mean((said - seen) ** 2) for said, seen in (sample(seed, 5000) for seed in range(60))])
    found = [ends(seed, n=60)[1] for seed in range(200)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.92


@pytest.mark.parametrize("function", [brier_interval, calibration_error_interval])
@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [0.1], [0.1, np.nan], [0.0, 0.0]], ids=str)
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_few_or_no_resamples_give_ends_in_range_or_none(function, values, value):
    found = function(value, np.asarray(values, dtype=float))
    assert found.value == value
    assert np.isnan([found.low, found.high]).all() or 0 <= found.low <= found.high <= 1


def test_a_table_makes_these_intervals():
    assert interval_of(BRIER) is brier_interval
    assert interval_of(ECE) is calibration_error_interval
    assert interval_of(AUROC) is percentile_interval


def test_a_threshold_ends_within_the_scores_and_is_at_least_as_wide_as_percentiles():
    rng = np.random.default_rng(0)
    labels = (np.arange(120) < 20).astype(float)
    scores = labels + rng.normal(size=120)
    counts = np.concatenate(list(patient_counts(np.arange(120), 300, 0)))
    draws = resampled_thresholds(scores, labels, counts)
    value = float(resampled_thresholds(scores, labels, np.ones((1, 120)))[0])
    found, inner = threshold_interval(value, draws, scores), percentile_interval(value, draws)
    assert scores.min() <= found.low <= inner.low <= inner.high <= found.high <= scores.max()
    assert threshold_interval(1.0, np.array([-9.0, 9.0]), np.array([0.0, 2.0]))[1:] == (0.0, 2.0)


def apart(positives, negatives):
    """Scores -1, -2, ... of negatives and 1, 2, ... of positives, one patient each, with 0 between them."""
    scores = np.r_[np.arange(1.0, positives + 1), -np.arange(1.0, negatives + 1)]
    return scores, (scores > 0).astype(float), np.arange(len(scores))


def test_a_threshold_between_groups_that_are_apart_may_be_as_far_as_unseen_patients_lie():
    low, high = unseen_range(0.0, *apart(12, 400))
    share = 1 - 0.2 ** (1 / 12)  # of positives that twelve patients lack with a chance of .2
    assert low == -np.ceil(400 * share)
    assert high == 1
    lows = [unseen_range(0.0, *apart(k, 400))[0] for k in (1, 2, 5, 12, 40, 400)]
    assert np.all(np.diff(lows) > 0)


def test_the_range_of_unseen_patients_mirrors_with_labels_and_signs_and_counts_patients():
    scores, labels, people = apart(12, 30)
    moved = np.where(np.arange(42) == 3, -2.5, np.where(np.arange(42) == 20, 3.5, scores))
    low, high = unseen_range(0.5, moved, labels, people)
    assert unseen_range(-0.5, -moved, 1 - labels, people) == (-high, -low)
    again = np.tile(np.arange(42), 3)
    assert unseen_range(0.5, moved[again], labels[again], people[again]) == (low, high)
    assert unseen_range(0.5, moved, labels, people // 2)[0] < low  # half as many patients
    most = np.where(labels == 1, np.minimum(people, 3), people)  # nine of twelve images are one patient's
    equal = np.where(labels == 1, people // 3, people)
    assert unseen_range(0.5, moved, labels, most)[0] < unseen_range(0.5, moved, labels, equal)[0]


def test_an_interval_reaches_as_far_as_unseen_patients():
    draws, scores = np.array([0.4, 0.5, 0.6]), np.array([-3.0, 9.0])
    plain = threshold_interval(0.5, draws, scores)
    assert threshold_interval(0.5, draws, scores, (0.45, 0.55)) == plain
    assert threshold_interval(0.5, draws, scores, (-1.0, 2.0))[1:] == (-1.0, 2.0)
    assert threshold_interval(0.5, draws, scores, (-9.0, 0.5))[1:] == (-3.0, plain.high)


@pytest.mark.parametrize("at", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_patients_for_a_sensitivity_are_the_fewest_that_bound_it(at):
    m = patients_for_sensitivity(at)
    assert at**m <= 0.025 < at ** (m - 1)


def test_no_number_of_patients_bounds_the_lowest_score():
    assert patients_for_sensitivity(1.0) is None
