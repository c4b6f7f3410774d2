"""Thresholds and conformal sets: literal rules, promised error rates, patients that count once."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, LeakageError, UnknownNameError

CLASSES = ("Edema", "Mass")


def drawn(n=600, seed=0, share=0.3, prefix="scan"):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 2)) < share).astype(float)
    ids = [f"{prefix}{i}" for i in range(n)]
    scores = sk.Scores(1.5 * truth + rng.normal(size=(n, 2)), "logit", ids, CLASSES)
    return scores, sk.Labels(truth, ids, CLASSES, [f"{prefix}-patient{i // 2}" for i in range(n)])


def test_youden_is_the_best_point_of_the_curve():
    scores, labels = drawn()
    found = sk.choose_thresholds(scores, labels, replicates=50)
    false, true, _ = roc_curve(labels.values[:, 0], scores.values[:, 0])
    called = found.decide(scores)[:, 0]
    positive = labels.values[:, 0] == 1
    assert called[positive].mean() - called[~positive].mean() == pytest.approx((true - false).max())
    assert found.low[0] <= found.values[0] <= found.high[0]


@pytest.mark.parametrize("at", [0.5, 0.9, 1.0])
def test_a_fixed_sensitivity_is_reached_by_the_highest_threshold_that_does(at):
    scores, labels = drawn()
    found = sk.choose_thresholds(scores, labels, rule="sensitivity", at=at, replicates=50)
    positive = scores.values[labels.values[:, 1] == 1, 1]
    assert (positive >= found.values[1]).mean() >= at
    assert (positive > found.values[1]).mean() < at


def test_intervals_are_over_patients_and_repeating_every_row_does_not_narrow_them():
    scores, labels = drawn(100)
    twice = np.repeat(np.arange(100), 2)
    ids = [f"copy{i}" for i in range(200)]
    more = sk.Scores(scores.values[twice], "logit", ids, CLASSES)
    known = sk.Labels(labels.values[twice], ids, CLASSES, labels.groups[twice])
    once, doubled = (sk.choose_thresholds(*one, replicates=200) for one in ((scores, labels), (more, known)))
    np.testing.assert_allclose(once.low, doubled.low)
    np.testing.assert_allclose(once.high, doubled.high)


def test_classes_are_counted_for_whoever_watches(capfd):
    scores, labels = drawn(100)
    sk.choose_thresholds(scores, labels, replicates=20)
    assert capfd.readouterr() == ("", "")
    sk.choose_thresholds(scores, labels, replicates=20, progress=True)
    assert capfd.readouterr().err.startswith("choosing thresholds, classes 2/2 ")


def test_a_threshold_of_few_patients_has_no_interval():
    scores, labels = drawn(60, share=0.05)
    found = sk.choose_thresholds(scores, labels, min_positives=1, replicates=20)
    few = [
        label for label in CLASSES if len(set(labels.groups[labels.values[:, labels.classes.index(label)] == 1])) < 5
    ]
    assert few
    assert all(np.isnan(found.low[CLASSES.index(label)]) for label in few)
    assert any("fewer than 5 patients" in note for note in found.notes)


def test_a_threshold_for_a_sensitivity_has_no_interval_where_few_patients_have_most_positives():
    rng = np.random.default_rng(0)
    sizes = np.r_[60, np.ones(39, dtype=int), np.ones(80, dtype=int)]  # 40 positive patients, 80 negative
    people = np.repeat(np.arange(120), sizes)
    truth = (people < 40).astype(float)[:, None]
    ids = [f"scan{i}" for i in range(len(people))]
    scores = sk.Scores(1.5 * truth + rng.normal(size=truth.shape), "logit", ids, ("Edema",))

    def chosen(groups, **settings):
        return sk.choose_thresholds(scores, sk.Labels(truth, ids, ("Edema",), groups), replicates=50, **settings)

    found = chosen(people, rule="sensitivity", at=0.8)
    assert np.isfinite(found.values[0])
    assert np.isnan(found.low[0])
    (note,) = (note for note in found.notes if "no interval" in note)
    assert "few of 40 positive patients have most positives, so that they count as 2.7" in note
    assert np.isfinite(chosen(np.arange(len(people)), rule="sensitivity", at=0.8).low[0])
    assert np.isfinite(chosen(people).low[0])  # Youden's threshold rests on both sides


def test_youdens_threshold_is_covered_where_few_positives_hardly_overlap_with_negatives():
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = (np.arange(120) < 10).astype(float)[:, None]
        ids = [f"scan{i}" for i in range(120)]
        scores = sk.Scores(2.66 * truth + rng.normal(size=truth.shape), "logit", ids, ("Edema",))  # AUROC .97
        found = sk.choose_thresholds(scores, sk.Labels(truth, ids, ("Edema",)), replicates=200)
        held += found.low[0] <= 1.33 <= found.high[0]
    assert held >= 57  # 54 by resamples alone


def test_a_threshold_that_nearly_no_positive_reaches_has_no_interval():
    scores, labels = drawn(200)
    found = sk.choose_thresholds(scores, labels, rule="sensitivity", at=0.01, replicates=20)
    assert np.isnan(found.high).all()
    assert any("may all score below the threshold that finds 0.01" in note for note in found.notes)


def test_thresholds_need_a_resample():
    with pytest.raises(InputError, match="at least 1 resample"):
        sk.choose_thresholds(*drawn(200), replicates=0)


def test_a_threshold_that_finds_every_positive_has_no_interval():
    scores, labels = drawn()
    found = sk.choose_thresholds(scores, labels, rule="sensitivity", at=1.0, replicates=20)
    assert np.isfinite(found.values).all()
    assert np.isnan(found.low).all()
    assert any("no number of patients bounds the lowest score" in note for note in found.notes)


def test_a_class_with_few_positives_gets_no_threshold_and_is_never_called():
    scores, labels = drawn(100)
    rare = labels.values.copy()
    rare[:, 1] = np.arange(100) < 3
    found = sk.choose_thresholds(scores, sk.Labels(rare, labels.ids, CLASSES), replicates=20)
    assert np.isnan(found.values[1])
    assert not found.decide(scores)[:, 1].any()
    assert "Mass: 3 patients with or without it, fewer than 10: no threshold chosen" in found.notes
    assert "none: see the notes" in str(found)
    with pytest.raises(DataError, match="no class has 50 positive and negative patients"):
        sk.choose_thresholds(scores, labels, min_positives=50)


def test_decisions_are_judged_on_other_patients():
    scores, labels = drawn()
    found = sk.choose_thresholds(scores, labels, rule="sensitivity", at=0.9, replicates=20)
    fresh, truth = drawn(2000, seed=1, prefix="new")
    result = sk.evaluate(fresh, truth, thresholds=found, replicates=50)
    one = result.decisions["Edema"]
    called = fresh.values[:, 0] >= found.values[0]
    positive = truth.values[:, 0] == 1
    assert one.called == called.sum()
    assert one.measures["sensitivity"].value == pytest.approx(called[positive].mean())
    assert one.measures["specificity"].value == pytest.approx((~called[~positive]).mean())
    assert one.measures["sensitivity"].low < 0.92
    assert "at its threshold" in str(result)
    assert result.to_dict()["decisions"]["Edema"]["f1"]["value"] == one.measures["f1"].value
    with pytest.raises(LeakageError, match="both threshold items and test items"):
        sk.evaluate(scores, labels, thresholds=found, replicates=10)
    with pytest.raises(InputError, match="thresholds are for scores of kind 'logit'"):
        sk.evaluate(sk.Scores(fresh.values / 100, "margin", fresh.ids, CLASSES), truth, thresholds=found, replicates=10)


def test_thresholds_of_probabilities_go_with_their_calibration():
    scores, labels = drawn()
    half = np.arange(600) % 4 < 2
    parts = [(sk.Scores(scores.values[rows], "logit", scores.ids[rows], CLASSES), labels.take(np.flatnonzero(rows)))
             for rows in (half, ~half)]  # fmt: skip
    calibration = sk.calibrate(*parts[0])
    thresholds = sk.choose_thresholds(calibration(parts[1][0]), parts[1][1], replicates=20)
    fresh, truth = drawn(seed=2, prefix="new")
    result = sk.evaluate(fresh, truth, calibration=calibration, thresholds=thresholds, replicates=20)
    assert set(result.decisions) == set(CLASSES)
    assert 0 < result.decisions["Edema"].threshold < 1


def test_conformal_sets_keep_their_promise_on_fresh_patients():
    missed = []
    for seed in range(40):
        sets = sk.conformal_sets(*drawn(200, seed=seed), alpha=0.2)
        fresh, truth = drawn(2000, seed=1000 + seed, prefix="new")
        found = sets(fresh)
        for side, word in ((1, "absent"), (0, "present")):
            of = truth.values == side
            missed.append(np.mean((found[of] == word) | (found[of] == "neither")))
    assert np.mean(missed) <= 0.2 + 0.01
    assert np.mean(missed) > 0.15  # and it does not promise less than it could


def test_one_item_of_each_patient_counts():
    scores, labels = drawn(40, share=0.5)
    copies = np.repeat(np.arange(40), 50)
    ids = [f"copy{i}" for i in range(2000)]
    many = sk.Scores(scores.values[copies], "logit", ids, CLASSES)
    each = sk.Labels(labels.values, labels.ids, CLASSES, [f"p{i}" for i in range(40)])
    people = sk.Labels(labels.values[copies], ids, CLASSES, each.groups[copies])
    once, often = sk.conformal_sets(scores, each), sk.conformal_sets(many, people)
    np.testing.assert_array_equal(once.present_from, often.present_from)


def test_too_few_patients_rule_nothing_out():
    scores, labels = drawn(30, share=0.2)
    sets = sk.conformal_sets(scores, labels, alpha=0.02)
    assert set(sets(scores).ravel()) == {"either"}
    assert any("too few for alpha 0.02: no limit" in note for note in sets.notes)


def test_bad_settings_are_named():
    scores, labels = drawn(100)
    with pytest.raises(UnknownNameError, match="youden"):
        sk.choose_thresholds(scores, labels, rule="yuden")
    with pytest.raises(InputError, match="at= in"):
        sk.choose_thresholds(scores, labels, rule="sensitivity")
    with pytest.raises(InputError, match="at= in"):
        sk.choose_thresholds(scores, labels, at=0.9)
    with pytest.raises(InputError, match="alpha is a share"):
        sk.conformal_sets(scores, labels, alpha=1.0)
    with pytest.raises(LeakageError, match="both anchors and calibration items"):
        sk.conformal_sets(scores, labels, anchors=["scan3"])


def test_scores_that_run_against_the_class_get_no_threshold():
    scores, labels = drawn(200)
    against = sk.Scores(-10 * labels.values + scores.values / 10, "logit", scores.ids, CLASSES)
    turned = sk.Labels(np.stack([labels.values[:, 0], 1 - labels.values[:, 1]], axis=1), labels.ids, CLASSES)
    found = sk.choose_thresholds(against, turned, replicates=10)
    assert np.isnan(found.values[0])
    assert np.isfinite(found.values[1])
    assert any("higher scores do not go with the class" in note for note in found.notes)


def test_few_patients_with_many_items_are_told():
    scores, labels = drawn(200)
    one = sk.Labels(labels.values, labels.ids, CLASSES, np.where(labels.values[:, 0] == 1, "p0", labels.groups))
    found = sk.choose_thresholds(scores, one, replicates=10)
    assert any("Edema: 1 patient " in note for note in found.notes)


def test_thresholds_on_probabilities_are_for_the_calibrated_ones():
    scores, labels = drawn()
    said = sk.Scores(1 / (1 + np.exp(-scores.values)), "probability", scores.ids, CLASSES)
    calibration = sk.calibrate(said, labels)
    thresholds = sk.choose_thresholds(calibration(said), labels, rule="sensitivity", at=0.9, replicates=10)
    fresh, truth = drawn(seed=5, prefix="new")
    raw = sk.Scores(1 / (1 + np.exp(-fresh.values)), "probability", fresh.ids, CLASSES)
    found = sk.evaluate(raw, truth, calibration=calibration, thresholds=thresholds, replicates=10)
    assert found.decisions["Edema"].called == thresholds.decide(calibration(raw))[:, 0].sum()


def test_all_found_leaves_room_for_doubt():
    scores, labels = drawn(200)
    sure = sk.Scores(10 * labels.values + scores.values / 10, "logit", scores.ids, CLASSES)
    thresholds = sk.choose_thresholds(sure, labels, replicates=10)
    fresh, truth = drawn(60, seed=5, prefix="new")
    clear = sk.Scores(10 * truth.values + fresh.values / 10, "logit", fresh.ids, CLASSES)
    interval = (
        sk.evaluate(clear, truth, thresholds=thresholds, replicates=20).decisions["Edema"].measures["sensitivity"]
    )
    assert interval.value == 1
    assert 0.7 < interval.low < 1


def test_a_sensitivity_that_few_patients_cannot_bound_has_no_interval_and_says_so():
    rng = np.random.default_rng(0)
    truth = (np.arange(200) < 20).astype(float)[:, None]
    ids = [f"scan{i}" for i in range(200)]
    known = sk.Scores(truth + rng.normal(size=(200, 1)), "logit", ids, ("Edema",)), sk.Labels(truth, ids, ("Edema",))
    bounded, loose = (sk.choose_thresholds(*known, rule="sensitivity", at=at, replicates=50) for at in (0.8, 0.9))
    assert bounded.low[0] <= bounded.values[0] <= bounded.high[0]
    assert not any("no interval" in note for note in bounded.notes)
    assert np.isfinite(loose.values[0])
    assert np.isnan([loose.low[0], loose.high[0]]).all()
    assert "Edema: no interval: 20 positive patients" in str(loose)
    assert "nan" not in str(loose)
    assert np.isfinite(sk.choose_thresholds(*known, replicates=50).low[0])  # Youden's is bounded
