"""Balanced accuracy and macro F1: scikit-learn's values, numerical derivatives, and laws of their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from stitchkit.metrics.class_means import ClassMeans, class_mean_difference, recalls_and_f1
from stitchkit.metrics.proportions import mean_interval

CLASSES = 4


def sample(seed=0, patients=30, right=0.7):
    """Classes called by two methods, the true ones, and patients."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    truth = rng.integers(CLASSES, size=len(groups))
    truth[:CLASSES] = np.arange(CLASSES)
    called = [np.where(rng.random(len(truth)) < right, truth, rng.integers(CLASSES, size=len(truth))) for _ in range(2)]
    return *called, truth, groups


def apart(one, other, groups):
    return np.bincount(groups, one != other) / np.bincount(groups)


def test_values_are_those_of_scikit_learn():
    best, _, truth, groups = sample()
    recall, f1 = recalls_and_f1(best, truth, CLASSES, groups)
    assert recall.interval().value == pytest.approx(balanced_accuracy_score(truth, best))
    assert f1.interval().value == pytest.approx(f1_score(truth, best, average="macro"))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_class_that_is_never_true_does_not_count():
    best, _, truth, groups = sample(1)
    truth = np.where(truth == 2, 1, truth)
    recall, f1 = recalls_and_f1(best, truth, CLASSES, groups)
    assert recall.value.shape == f1.value.shape == (3,)
    assert recall.interval().value == pytest.approx(balanced_accuracy_score(truth, best))


@pytest.mark.parametrize("which", [0, 1])
def test_pulls_are_numerical_derivatives_by_patients_weights(which):
    best, _, truth, groups = sample(2)
    found, step = recalls_and_f1(best, truth, CLASSES, groups)[which], 1e-5
    for g in (0, 7, 19):
        up, down = (np.where(groups == g, 1 + sign * step, 1.0) for sign in (1, -1))
        if which:
            ends = [f1_score(truth, best, average=None, sample_weight=one) for one in (up, down)]
        else:
            hits = [np.bincount(truth, one * (best == truth)) / np.bincount(truth, one) for one in (up, down)]
            ends = [hits[0], hits[1]]
        share = np.bincount(truth[groups == g], minlength=CLASSES) / np.bincount(truth)
        assert np.allclose(found.pull[g] * np.sqrt(1 - share), (ends[0] - ends[1]) / (2 * step), atol=1e-8)


def test_repeating_every_item_changes_nothing():
    best, other, truth, groups = sample(3)

    def found(times):
        rows = np.repeat(np.arange(len(truth)), times)
        (_, f1), (_, second) = (recalls_and_f1(one[rows], truth[rows], CLASSES, groups[rows]) for one in (best, other))
        differ = apart(best[rows], other[rows], groups[rows])
        return [*f1.interval(), *class_mean_difference(f1, second, differ)]

    assert np.allclose(found(1), found(3), atol=1e-9)


def test_the_variance_of_items_without_patients_is_unbiased():
    best, _, truth, _ = sample(4)
    recall, _ = recalls_and_f1(best, truth, CLASSES, np.arange(len(truth)))
    number = np.bincount(truth)
    literal = np.sum(recall.value * (1 - recall.value) / (number - 1)) / CLASSES**2
    assert np.sum(recall.pull.mean(axis=1) ** 2) == pytest.approx(literal)


def test_an_interval_is_never_narrower_than_that_of_proportions():
    for seed in range(10):
        best, _, truth, groups = sample(seed, patients=12, right=0.9)
        for one in recalls_and_f1(best, truth, CLASSES, groups):
            found, exact = one.interval(), mean_interval(one.won, one.of)
            assert 0 <= found.low <= exact.low <= found.value <= exact.high <= found.high <= 1


def test_a_difference_the_other_way_round_is_its_mirror_image():
    best, other, truth, groups = sample(5)
    (_, one), (_, two) = (recalls_and_f1(called, truth, CLASSES, groups) for called in (best, other))
    there, back = (class_mean_difference(*pair, apart(best, other, groups)) for pair in ((one, two), (two, one)))
    assert np.allclose(there, (-back.value, -back.high, -back.low))
    assert there.low < there.value < there.high


def test_two_methods_that_never_differ_have_a_width_that_shrinks_with_the_patients():
    widths = []
    for patients in (10, 100):
        best, _, truth, groups = sample(6, patients)
        _, one = recalls_and_f1(best, truth, CLASSES, groups)
        found = class_mean_difference(one, one, np.zeros(patients))
        assert found.value == 0
        widths.append(found.high)
    assert 0.02 < widths[1] < widths[0] / 3


def test_draws_that_are_all_alike_are_as_one():
    best, _, truth, groups = sample(7)
    _, one = recalls_and_f1(best, truth, CLASSES, groups)
    assert np.allclose(ClassMeans.mean_of([one] * 3).interval(), one.interval())


def test_one_patient_in_a_class_leaves_a_width():
    truth = np.array([0] * 12 + [1])
    recall, f1 = recalls_and_f1(truth, truth, 2, np.arange(13))
    for one in (recall, f1):
        found = one.interval()
        assert found.value == 1
        assert found.low < 0.75  # the one item of a class may as well have been wrong


def test_two_methods_that_are_equally_good_are_told_apart_by_chance_alone():
    rng, outside = np.random.default_rng(8), 0
    truth = np.repeat(np.arange(8), 4)  # four items a class
    for _ in range(200):
        shared = rng.normal(size=(32, 8)) + 1.5 * np.eye(8)[truth]
        called = [(shared + 0.6 * rng.normal(size=shared.shape)).argmax(axis=1) for _ in range(2)]
        (_, one), (_, other) = (recalls_and_f1(best, truth, 8, np.arange(32)) for best in called)
        found = class_mean_difference(one, other, (called[0] != called[1]).astype(float))
        outside += not found.low <= 0 <= found.high
    assert outside <= 12
