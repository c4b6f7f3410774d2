"""Probabilities and decisions of the judged items by each other's patients: as good as those of strangers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

import stitchkit as sk
from stitchkit.alignment.folds import assign
from stitchkit.evaluation.scores import cross_fitting
from stitchkit.evaluation.scores.cross_fitting import CALIBRATED, PREVALENCE, cross_fitted

CLASSES = ("often", "seldom")


def drawn(n, seed=0, patients=None, slope=2.0):
    """Scores of two classes, and labels that hang on them by a logistic law."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2))
    chance = 1 / (1 + np.exp(-(slope * values + np.array([0.0, -2.0]))))
    truth = (rng.random((n, 2)) < chance).astype(float)
    ids = [f"scan{i}" for i in range(n)]
    groups = None if patients is None else [f"p{i % patients}" for i in range(n)]
    return sk.Scores(values, "logit", ids, CLASSES), sk.Labels(truth, ids, CLASSES, groups), chance


def test_probabilities_come_near_the_law_and_beat_prevalence():
    scores, test, chance = drawn(3000)
    found = cross_fitted(scores, test, replicates=40)
    calibrated, prevalence = found.methods
    assert (calibrated.name, prevalence.name) == (CALIBRATED, PREVALENCE)
    best = np.mean([brier_score_loss(test.values[:, c], chance[:, c]) for c in range(2)])
    assert calibrated.measures["brier"].macro.value == pytest.approx(best, abs=0.003)
    assert prevalence.measures["brier"].macro.value > best + 0.04
    assert calibrated.measures["ece"].macro.value < 2 * found.expected_error < 0.05


def test_probabilities_are_by_calibrations_on_the_other_folds_patients():
    scores, test, _ = drawn(150, patients=40)
    found = cross_fitted(scores, test, replicates=1)
    said = np.empty((150, 2))
    for held in assign(150, test.groups, seed=0, k=5):
        rest = np.setdiff1d(np.arange(150), held)
        assert not set(test.groups[held]) & set(test.groups[rest])
        fitted = sk.calibrate(sk.Scores(scores.values[rest], "logit", test.ids[rest], CLASSES), test.take(rest))
        said[held] = fitted(sk.Scores(scores.values[held], "logit", test.ids[held], CLASSES)).values
    literal = np.mean([brier_score_loss(test.values[:, c], said[:, c]) for c in range(2)])
    assert found.methods[0].measures["brier"].macro.value == pytest.approx(literal, abs=1e-9)
    for c, label in enumerate(CLASSES):
        assert sum(one.n * one.said for one in found.reliability[label]) == pytest.approx(said[:, c].sum())


def test_decisions_are_those_of_thresholds_chosen_on_the_other_folds():
    scores, test, _ = drawn(300, patients=150)
    found = cross_fitted(scores, test, sensitivity=0.9, replicates=5, seed=3)
    for c, label in enumerate(CLASSES):
        called, levels = np.zeros(300, dtype=bool), []
        for held in assign(300, test.groups, seed=3, k=5):
            rest = np.setdiff1d(np.arange(300), held)
            positive = np.sort(scores.values[rest, c][test.values[rest, c] == 1])[::-1]
            level = positive[int(np.ceil(0.9 * len(positive))) - 1]
            called[held] = scores.values[held, c] >= level
            levels.append(level)
        one = found.decisions[label]
        assert one.threshold == pytest.approx(np.median(levels))
        assert one.called == called.sum()
        assert one.measures["sensitivity"].value == pytest.approx(called[test.values[:, c] == 1].mean())


def test_a_class_with_few_positives_is_left_out_and_unknown_labels_do_not_count():
    scores, test, _ = drawn(200)
    values = test.values.copy()
    values[np.flatnonzero(values[:, 1] == 1)[11:], 1] = np.nan
    found = cross_fitted(scores, sk.Labels(values, test.ids, CLASSES), replicates=5)
    assert list(found.reliability) == ["often"]
    assert "fewer than 10" in found.not_calibrated["seldom"]
    nothing = cross_fitted(scores, sk.Labels(np.zeros((200, 2)), test.ids, CLASSES), replicates=5)
    assert (nothing.methods, nothing.reliability, nothing.decisions) == ((), {}, {})


def test_scores_that_say_nothing_are_worth_no_more_than_prevalence():
    scores, test, _ = drawn(1500, slope=0.0)
    found = cross_fitted(scores, test, replicates=200)
    gain = found.methods[1].measures["brier"].difference  # calibrated minus prevalence alone
    assert gain.low < 0.001
    assert gain.value > -0.001


def test_few_patients_are_few_however_many_images_they_have():
    scores, test, _ = drawn(200, patients=200)
    groups = np.where(test.values[:, 0] == 1, np.char.add("p", (np.arange(200) % 4).astype(str)), test.groups)
    found = cross_fitted(scores, sk.Labels(test.values, test.ids, CLASSES, groups), replicates=5)
    assert "often" in found.not_calibrated
    assert "patients" in found.not_calibrated["often"]


def test_what_runs_against_its_labels_is_told():
    scores, test, _ = drawn(300)
    turned = sk.Scores(-scores.values, "logit", scores.ids, CLASSES)
    found = cross_fitted(turned, test, replicates=5)
    assert any(
        note == "often: in 5 of 5 folds higher scores do not go with the class; every item gets its prevalence"
        for note in found.notes
    )
    assert set(found.decisions) < set(CLASSES)
    assert any("no decisions" in note for note in found.notes)


def test_what_is_true_of_some_folds_is_said_of_them(monkeypatch):
    scores, test, _ = drawn(300)
    whole = cross_fitting.calibrate
    calls = []

    def some(given, labels):
        calls.append(given.classes)
        turned = given.classes == ("often",) and calls.count(("often",)) in (2, 4)
        return whole(sk.Scores(-given.values, given.kind, given.ids, given.classes) if turned else given, labels)

    monkeypatch.setattr(cross_fitting, "calibrate", some)
    found = cross_fitted(scores, test, replicates=5)
    (note,) = [one for one in found.notes if one.startswith("often:")]
    assert note == (
        "often: in 2 of 5 folds higher scores do not go with the class; items of those folds get its prevalence"
    )


def test_prevalence_is_that_of_the_other_folds():
    scores, test, _ = drawn(100)
    share = np.empty((100, 2))
    for held in assign(100, None, seed=0, k=5):
        rest = np.setdiff1d(np.arange(100), held)
        share[held] = test.values[rest].mean(axis=0)
    found = cross_fitted(scores, test, replicates=1)
    literal = np.mean([brier_score_loss(test.values[:, c], share[:, c]) for c in range(2)])
    assert found.methods[1].measures["brier"].macro.value == pytest.approx(literal, abs=1e-12)
    assert set(found.methods[0].measures) == {"brier", "ece"}
