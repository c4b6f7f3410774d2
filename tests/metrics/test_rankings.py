"""Rankings: the same numbers in either precision, from rows without labels, and beyond what float32 counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from stitchkit.metrics import rankings
from stitchkit.metrics.bootstrap import patient_counts
from stitchkit.metrics.rankings import Places, Ranking

MEASURES = {"auroc": roc_auc_score, "average_precision": average_precision_score}


def sample(n, seed, levels=None):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(float)
    scores = labels + rng.normal(size=n)
    return scores if levels is None else np.round(scores * levels), labels


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(("n", "levels"), [(2, None), (9, None), (400, None), (400, 2), (400, 0), (37, 1)])
def test_measures_are_those_of_scikit_learn_for_any_number_of_places(measure, n, levels):
    scores, labels = sample(n, 3, levels)
    labels[:2] = 0, 1
    counts = np.random.default_rng(0).poisson(2, size=(12, n)) + 1.0
    literal = [MEASURES[measure](labels, scores, sample_weight=row) for row in counts]
    np.testing.assert_allclose(getattr(Ranking.of(scores, labels, counts), measure)(), literal, atol=1e-12)


@pytest.mark.parametrize("levels", [None, 3])
def test_counts_in_single_precision_give_the_same_bits(levels):
    scores, labels = sample(500, 1, levels)
    places = Places.of(scores, labels)
    both = [next(iter(patient_counts(np.arange(500) // 3, 40, 0, dtype))) for dtype in (np.float64, np.float32)]
    assert [one.dtype for one in both] == [np.float64, np.float32]
    double, single = map(places.ranking, both)
    assert single.below.dtype == np.float32
    for measure in MEASURES:
        assert np.array_equal(getattr(double, measure)(), getattr(single, measure)())
        assert getattr(single, measure)().dtype == np.float64


@pytest.mark.parametrize("levels", [None, 2])
def test_rows_whose_label_is_not_known_are_left_out(levels):
    scores, labels = sample(60, 2, levels)
    known = np.random.default_rng(1).random(60) < 0.7
    counts = np.random.default_rng(2).poisson(1, size=(7, 60)).astype(float)
    whole = Ranking.of(scores, np.where(known, labels, np.nan), counts)
    part = Ranking.of(scores[known], labels[known], counts[:, known])
    for measure in MEASURES:
        assert np.array_equal(getattr(whole, measure)(), getattr(part, measure)(), equal_nan=True)


@pytest.mark.parametrize("of_each", [1.0, 2.0**22, 2.0**24 - 1, 2.0**24])
def test_more_rows_than_single_precision_counts_are_added_up_in_double(of_each):
    scores, labels = np.array([0.1, 0.4, 0.4, 0.8, 0.9]), np.array([0, 0, 1, 1, 0])
    counts = np.array([[1, of_each, of_each, 1, 3], [1, 1, 1, 1, 1]])
    ranking = Ranking.of(scores, labels, counts.astype(np.float32))
    assert ranking.below.dtype == (np.float32 if counts[0].sum() < rankings.EXACT else np.float64)
    for measure in MEASURES:
        exact = getattr(Ranking.of(scores, labels, counts), measure)()
        assert np.array_equal(getattr(ranking, measure)(), exact)
        literal = [MEASURES[measure](labels, scores, sample_weight=row) for row in counts]
        np.testing.assert_allclose(exact, literal, rtol=1e-12)
