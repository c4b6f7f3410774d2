"""Decisions at a threshold and the best of several classes: scikit-learn's numbers on every resample."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from stitchkit.metrics.decisions import (
    decision_intervals,
    multiclass_differences,
    multiclass_intervals,
    resampled_macro_f1,
    resampled_thresholds,
)

RNG = np.random.default_rng(0)
TRUTH = (RNG.random(60) < 0.4).astype(float)
CALLED = (TRUTH + RNG.normal(size=60)) > 0.7
COUNTS = RNG.multinomial(60, np.full(60, 1 / 60), size=20).astype(float)
LITERAL = {
    "sensitivity": lambda t, c, w: metrics.recall_score(t, c, sample_weight=w),
    "specificity": lambda t, c, w: metrics.recall_score(1 - t, ~c, sample_weight=w),
    "ppv": lambda t, c, w: metrics.precision_score(t, c, sample_weight=w),
    "npv": lambda t, c, w: metrics.precision_score(1 - t, ~c, sample_weight=w),
    "accuracy": lambda t, c, w: metrics.accuracy_score(t, c, sample_weight=w),
    "balanced_accuracy": lambda t, c, w: metrics.balanced_accuracy_score(t, c, sample_weight=w),
    "f1": lambda t, c, w: metrics.f1_score(t, c, sample_weight=w),
}


PATIENT = np.arange(60) // 2


@cache
def _decisions(called, truth, patient):
    return decision_intervals(np.frombuffer(called, bool), np.frombuffer(truth), np.frombuffer(patient, int))


def decisions(called, truth, patient):
    """All measures of the same items, computed once for the tests of each."""
    return _decisions(called.tobytes(), truth.tobytes(), patient.tobytes())


@pytest.mark.parametrize("name", LITERAL)
def test_every_value_is_that_of_scikit_learn_and_inside_its_interval(name):
    for row in COUNTS:
        rows = np.repeat(np.arange(60), row.astype(int))
        found = decisions(CALLED[rows], TRUTH[rows], PATIENT[rows])[name]
        assert found.value == pytest.approx(LITERAL[name](TRUTH, CALLED, row), abs=1e-12)
        assert 0 <= found.low < found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("name", "side", "right"),
    [("sensitivity", TRUTH > 0, CALLED), ("specificity", TRUTH == 0, ~CALLED), ("ppv", CALLED, TRUTH > 0),
     ("npv", ~CALLED, TRUTH == 0), ("accuracy", TRUTH >= 0, (TRUTH > 0) == CALLED)],
)  # fmt: skip
def test_shares_of_single_items_have_the_interval_of_scipy(name, side, right):
    found = decision_intervals(CALLED, TRUTH, np.arange(60))[name]
    exact = binomtest(int((side & right).sum()), int(side.sum())).proportion_ci(method="exact")
    assert found[1:] == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize("name", LITERAL)
def test_repeating_every_item_changes_nothing_and_an_error_raises_no_end(name):
    once = decisions(CALLED, TRUTH, PATIENT)[name]
    thrice = decisions(np.tile(CALLED, 3), np.tile(TRUTH, 3), np.tile(PATIENT, 3))[name]
    assert thrice == pytest.approx(once, abs=1e-9)
    for row in np.flatnonzero((TRUTH > 0) == CALLED)[::6]:
        wrong = CALLED.copy()
        wrong[row] = ~wrong[row]
        worse = decisions(wrong, TRUTH, PATIENT)[name]
        if name not in ("ppv", "npv"):  # an item that is called otherwise is among those of the other one
            assert worse.value <= once.value
            assert worse.low <= once.low + 1e-9
            assert worse.high <= once.high + 1e-9
        else:
            mistaken = TRUTH.copy()
            mistaken[row] = 1 - mistaken[row]  # among the same calls
            worse = decisions(CALLED, mistaken, PATIENT)[name]
            assert all(a <= b + 1e-9 for a, b in zip(worse, once, strict=True))


def test_what_has_nothing_to_divide_by_is_not_a_number():
    found = decision_intervals(np.zeros(3, dtype=bool), np.zeros(3), np.arange(3))
    empty = {name for name, one in found.items() if np.isnan(one.value)}
    assert empty == {"sensitivity", "ppv", "balanced_accuracy", "f1"}
    assert np.isnan([found[name].low for name in empty]).all()


def test_the_best_class_is_judged_as_scikit_learn_does():
    truth, best = RNG.integers(0, 3, 60), RNG.integers(0, 4, 60)  # class 3 is called and never true
    for found, row in zip(resampled_macro_f1(best, truth, 4, COUNTS), COUNTS, strict=True):
        f1 = metrics.f1_score(truth, best, average="macro", labels=[0, 1, 2], sample_weight=row)
        assert found == pytest.approx(f1)


def test_intervals_of_several_classes_are_around_the_measures_and_repeats_change_nothing():
    truth, best, patient = np.arange(60) % 3, RNG.integers(0, 4, 60), np.arange(60) // 4
    found = multiclass_intervals(best, truth, 4, patient)
    literal = {
        "accuracy": metrics.accuracy_score(truth, best),
        "balanced_accuracy": metrics.recall_score(truth, best, average="macro", labels=[0, 1, 2]),
        "f1": metrics.f1_score(truth, best, average="macro", labels=[0, 1, 2]),
    }
    assert list(found) == list(literal)
    for name, one in found.items():
        assert one.value == pytest.approx(literal[name], abs=1e-12)
        assert 0 <= one.low < one.value < one.high <= 1
    again = multiclass_intervals(*(np.tile(one, 2) for one in (best, truth)), 4, np.tile(patient, 2))
    assert np.ravel(list(again.values())) == pytest.approx(np.ravel(list(found.values())), abs=1e-9)


def test_an_error_more_raises_no_end_of_several_classes():
    truth, patient = np.arange(60) % 3, np.arange(60) // 4
    best = truth.copy()
    before = multiclass_intervals(best, truth, 3, patient)
    for row in np.random.default_rng(1).permutation(60)[:20]:
        best[row] = (truth[row] + 1) % 3
        after = multiclass_intervals(best, truth, 3, patient)
        for name in ("accuracy", "balanced_accuracy"):
            assert all(new <= old + 1e-9 for new, old in zip(after[name], before[name], strict=True)), name
        before = after


def test_differences_of_several_classes_are_paired():
    truth = np.arange(90) % 3
    best, other = truth.copy(), truth.copy()
    best[:20] = other[:20] = 0
    other[20:24] = 1
    found = multiclass_differences(best, other, truth, 3, np.arange(90))
    ones = [multiclass_intervals(one, truth, 3, np.arange(90)) for one in (best, other)]
    assert list(found) == ["accuracy", "balanced_accuracy"]
    for name, one in found.items():
        assert one.value == pytest.approx(ones[0][name].value - ones[1][name].value, abs=1e-12)
        assert one.high - one.low < ones[0][name].high - ones[0][name].low


def test_a_resample_without_one_of_the_classes_has_no_mean_over_classes():
    both, counts = np.array([0, 1]), np.array([[2.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(resampled_macro_f1(both, both, 2, counts), [np.nan, 1])


@pytest.mark.parametrize("at", [None, 0.4, 0.9, 1.0])
@pytest.mark.parametrize("levels", [None, 1, 4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_threshold_of_a_resample_is_the_best_of_all_scores(at, levels, dtype):
    rng = np.random.default_rng(7)
    labels = (rng.random(30) < 0.4).astype(float)
    scores = labels + rng.normal(size=30)
    scores = scores if levels is None else np.round(scores * levels) / 7
    counts = rng.poisson(0.7, size=(25, 30)).astype(dtype)
    ladder = np.unique(scores)

    def literal(row):
        positives, negatives = row[labels == 1].sum(), row[labels == 0].sum()
        if not (positives and negatives):
            return np.nan
        found = [row[(labels == 1) & (scores >= level)].sum() / positives for level in ladder]
        gains = [
            s - row[(labels == 0) & (scores >= level)].sum() / negatives for s, level in zip(found, ladder, strict=True)
        ]
        if at is not None:
            return max(level for level, s in zip(ladder, found, strict=True) if s >= at - 1e-12)
        best = max(range(len(ladder)), key=lambda place: (gains[place], place))
        return np.nan if gains[best] <= 0 else (ladder[best] + ladder[max(best - 1, 0)]) / 2

    expected = [literal(row) for row in counts.astype(float)]
    np.testing.assert_allclose(resampled_thresholds(scores, labels, counts, at), expected, atol=1e-12)
    assert np.isnan(resampled_thresholds(scores, np.zeros(30), counts, at)).all()
