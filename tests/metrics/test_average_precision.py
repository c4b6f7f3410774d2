"""Average precision: scikit-learn's on every resample, and its ends."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from stitchkit.metrics.average_precision import (
    average_precision,
    chance_average_precision,
    resampled_average_precision,
)

RNG = np.random.default_rng(0)
LABELS = (RNG.random(80) < 0.3).astype(float)
SCORES = {
    "distinct": LABELS + RNG.normal(size=80),
    "tied": np.round(LABELS + RNG.normal(size=80)),
    "equal": np.ones(80),
}


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_every_resample_is_what_scikit_learn_gives_for_its_weights(scores):
    counts = RNG.multinomial(80, np.full(80, 1 / 80), size=30).astype(float)
    literal = [average_precision_score(LABELS, scores, sample_weight=row) for row in counts]
    np.testing.assert_allclose(resampled_average_precision(scores, LABELS, counts), literal, atol=1e-12)
    assert average_precision(scores, LABELS) == pytest.approx(average_precision_score(LABELS, scores))


def test_equal_scores_reach_the_share_of_positives():
    assert average_precision(np.zeros(80), LABELS) == pytest.approx(LABELS.mean())


def test_it_is_not_a_number_without_a_positive():
    assert np.isnan(average_precision(np.arange(4.0), np.zeros(4)))
    assert np.isnan(average_precision(np.empty(0), np.empty(0)))
    only_negatives = (LABELS == 0).astype(float)[None, :]
    assert np.isnan(resampled_average_precision(SCORES["distinct"], LABELS, only_negatives)[0])


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_chance_is_that_of_every_order_counted(n):
    for right in range(1, n + 1):
        found = [
            np.mean(np.arange(1, right + 1) / np.asarray(places)) for places in combinations(range(1, n + 1), right)
        ]
        assert chance_average_precision(n, np.array([right]))[0] == pytest.approx(np.mean(found))
