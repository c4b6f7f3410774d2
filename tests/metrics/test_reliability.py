"""Probabilities at their word: literal Brier score and calibration error, bins of equal numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from stitchkit.metrics.reliability import (
    Misses,
    expected_error,
    reliability_bins,
    reliability_curve,
)

RNG = np.random.default_rng(0)
SAID = RNG.random(200)
SEEN = (RNG.random(200) < SAID).astype(float)
COUNTS = RNG.multinomial(200, np.full(200, 1 / 200), size=10).astype(float)


def test_the_brier_score_is_scikit_learns_on_every_resample():
    literal = [brier_score_loss(SEEN, SAID, sample_weight=row) for row in COUNTS]
    np.testing.assert_allclose(Misses.of(SAID, SEEN).brier(COUNTS), literal, atol=1e-12)


def test_the_calibration_error_is_the_mean_distance_of_its_bins():
    of = np.argsort(np.argsort(SAID)) // 20
    for row, found in zip(COUNTS, Misses.of(SAID, SEEN).calibration_error(COUNTS), strict=True):
        gaps = [abs(np.sum(row[of == k] * (SAID - SEEN)[of == k])) for k in range(10)]
        assert found == pytest.approx(sum(gaps) / 200)


def test_rows_whose_label_is_not_known_are_left_out():
    known = np.arange(200) % 3 > 0
    missed = Misses.of(SAID, np.where(known, SEEN, np.nan))
    part, counts = Misses.of(SAID[known], SEEN[known]), COUNTS[:, known]
    np.testing.assert_allclose(missed.brier(COUNTS), part.brier(counts), rtol=1e-12)
    np.testing.assert_allclose(missed.calibration_error(COUNTS), part.calibration_error(counts), rtol=1e-12)


def test_bins_hold_equal_numbers_and_never_part_equal_probabilities():
    assert np.bincount(reliability_bins(SAID)).tolist() == [20] * 10
    tied = np.repeat([0.1, 0.2, 0.9], [150, 30, 20])
    of = reliability_bins(tied)
    assert len(np.unique(of)) == len(np.unique(np.stack([of, tied]), axis=1).T)
    assert of.max() + 1 == len(np.unique(of)) <= 3


def test_the_curve_tells_what_was_said_and_seen_from_low_to_high():
    curve = reliability_curve(SAID, SEEN)
    assert sum(one.n for one in curve) == 200
    assert [one.said for one in curve] == sorted(one.said for one in curve)
    assert np.average([one.seen for one in curve], weights=[one.n for one in curve]) == pytest.approx(SEEN.mean())


def test_what_is_perfect_and_what_is_wrong_are_told_apart():
    once = np.ones((1, 20_000))
    said = np.random.default_rng(1).random(20_000)
    seen = (np.random.default_rng(2).random(20_000) < said).astype(float)
    assert Misses.of(said, seen).calibration_error(once)[0] < 0.015
    assert Misses.of(said**2, seen).calibration_error(once)[0] > 0.1


def test_perfect_probabilities_show_the_expected_error():
    rng = np.random.default_rng(0)
    said = np.tile(np.linspace(0.05, 0.95, 10), 40)
    bins = reliability_curve(said, said > 2, bins=10)
    drawn = [
        Misses.of(said, (rng.random(400) < said) * 1.0).calibration_error(np.ones((1, 400)))[0] for _ in range(600)
    ]
    assert expected_error(bins) == pytest.approx(np.mean(drawn), rel=0.03)
