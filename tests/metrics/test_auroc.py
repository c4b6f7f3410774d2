"""AUROC: against scikit-learn, against rows that are literally repeated, and where it is not defined."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from stitchkit.metrics.auroc import auroc, resampled_auroc


def drawn(n, seed, *, levels=None):
    """Scores and labels; with ``levels`` the scores take so many values and tie."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n) if levels is None else rng.integers(levels, size=n).astype(float)
    labels = (rng.random(n) < 0.3).astype(float)
    labels[:2] = 0, 1
    return scores, labels


@pytest.mark.parametrize("levels", [None, 20, 3, 1])
@pytest.mark.parametrize("n", [2, 7, 300])
def test_it_agrees_with_scikit_learn_with_and_without_ties(n, levels):
    scores, labels = drawn(n, seed=n, levels=levels)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_it_is_the_share_of_pairs_won_with_ties_half():
    scores, labels = drawn(60, seed=1, levels=5)
    pairs = [(p > q) + (p == q) / 2 for p in scores[labels == 1] for q in scores[labels == 0]]
    assert auroc(scores, labels) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_order_of_rows_and_increasing_functions_of_the_score_change_nothing():
    scores, labels = drawn(80, seed=2, levels=9)
    order = np.random.default_rng(0).permutation(80)
    assert auroc(scores[order], labels[order]) == auroc(scores, labels)
    assert auroc(np.exp(scores), labels) == auroc(scores, labels)
    assert auroc(-scores, labels) == pytest.approx(1 - auroc(scores, labels), abs=1e-12)


def test_labels_may_be_booleans_or_integers():
    scores, labels = drawn(50, seed=3)
    assert auroc(scores, labels > 0) == auroc(scores, labels.astype(int)) == auroc(scores, labels)


@pytest.mark.parametrize("levels", [None, 4])
def test_resamples_equal_rows_that_are_literally_repeated(levels):
    scores, labels = drawn(40, seed=4, levels=levels)
    counts = np.random.default_rng(0).integers(0, 4, size=(25, 40))
    literal = [roc_auc_score(np.repeat(labels, row), np.repeat(scores, row)) for row in counts]
    assert np.allclose(resampled_auroc(scores, labels, counts), literal, atol=1e-12)


@pytest.mark.parametrize("kind", [0.0, 1.0])
def test_a_missing_kind_gives_nan_without_a_warning(kind):
    assert np.isnan(auroc(np.arange(5.0), np.full(5, kind)))


def test_no_rows_at_all_give_nan():
    assert np.isnan(auroc(np.zeros(0), np.zeros(0)))


def test_only_the_resamples_that_lack_a_kind_are_nan():
    counts = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0], [3, 1, 0]])
    found = resampled_auroc(np.array([0.1, 0.9, 0.5]), np.array([0, 1, 0]), counts)
    assert np.isnan(found).tolist() == [False, True, True, True, False]
    assert found[0] == found[4] == 1
