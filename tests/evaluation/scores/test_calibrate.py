"""Scores to probabilities: true curves are found, prevalence is kept, wrong items are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import stitchkit as sk
from stitchkit.core.calibrations import FittedOn, sigmoid
from stitchkit.core.errors import DataError, InputError, LeakageError, UnknownNameError
from stitchkit.evaluation.scores.calibrate import audit_calibration_items, calibratable, calibrate_possible_classes

N = 4000
IDS = [f"scan{i}" for i in range(N)]
CLASSES = ("Edema", "Mass")


def drawn(slope=2.0, intercept=-1.5, seed=0, n=N):
    """Scores and labels whose probability is a logistic curve."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2))
    truth = (rng.random((n, 2)) < sigmoid(slope * values + intercept)).astype(float)
    people = np.arange(n) // 2
    return sk.Scores(values, "logit", IDS[:n], CLASSES), sk.Labels(truth, IDS[:n], CLASSES, people)


def test_platt_finds_the_true_curve():
    scores, labels = drawn()
    found = sk.calibrate(scores, labels)
    np.testing.assert_allclose(found.slope, 2, rtol=0.1)
    np.testing.assert_allclose(found.intercept, -1.5, rtol=0.1)
    said = found(scores)
    assert said.kind == "probability"
    np.testing.assert_allclose(said.values.mean(axis=0), labels.values.mean(axis=0), atol=1e-3)
    fresh, truth = drawn(seed=1)
    judged = sk.evaluate(replace(fresh, ids=[f"new{i}" for i in range(N)]),
                         sk.Labels(truth.values, [f"new{i}" for i in range(N)], CLASSES), calibration=found,
                         replicates=20)  # fmt: skip
    assert judged.main.measures["ece"].macro.value < 0.03
    assert judged.kind == "probability"
    assert set(judged.reliability) == set(CLASSES)


def test_platt_is_logistic_regression_on_softened_targets():
    scores, labels = drawn(n=60)
    found = sk.calibrate(scores, labels)
    truth, values = labels.values[:, 0], scores.values[:, 0]
    positives = truth.sum()
    soft = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (60 - positives + 2))

    def loss(slope, intercept):
        p = sigmoid(slope * values + intercept)
        return -np.mean(soft * np.log(p) + (1 - soft) * np.log(1 - p))

    best = loss(found.slope[0], found.intercept[0])
    for step in (1e-3, -1e-3):
        assert loss(found.slope[0] + step, found.intercept[0]) > best
        assert loss(found.slope[0], found.intercept[0] + step) > best


def test_separable_scores_stay_finite():
    truth = np.repeat([0.0, 1.0], 20)[:, None]
    scores = sk.Scores(10 * truth, "logit", IDS[:40], ("Edema",))
    said = sk.calibrate(scores, sk.Labels(truth, IDS[:40], ("Edema",)))(scores).values
    assert 0 < said.min() < 0.06
    assert 0.94 < said.max() < 1


def test_scores_that_run_against_the_class_keep_its_prevalence_and_say_so():
    scores, labels = drawn(slope=-2.0)
    found = sk.calibrate(scores, labels)
    assert any("higher scores do not go with the class" in note for note in found.notes)
    np.testing.assert_allclose(found(scores).values.std(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found(scores).values[0], labels.values.mean(axis=0), atol=1e-3)


def test_temperature_is_one_slope_without_an_intercept():
    scores, labels = drawn(slope=3.0, intercept=0.0)
    found = sk.calibrate(scores, labels, method="temperature")
    assert found.slope[0] == found.slope[1] == pytest.approx(3, rel=0.1)
    literal = LogisticRegression(C=np.inf, fit_intercept=False).fit(scores.values.reshape(-1, 1), labels.values.ravel())
    assert found.slope[0] == pytest.approx(literal.coef_[0, 0], rel=1e-3)
    assert found(sk.Scores(np.zeros((1, 2)), "logit", ["x"], CLASSES)).values.tolist() == [[0.5, 0.5]]


def test_a_softmax_temperature_is_found_for_exclusive_classes():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, 3))
    shares = np.exp(4 * values) / np.exp(4 * values).sum(axis=1, keepdims=True)
    best = (shares.cumsum(axis=1) > rng.random((N, 1))).argmax(axis=1)
    classes = ("a", "b", "c")
    scores = sk.Scores(values / 10, "cosine", IDS, classes)
    labels = sk.Labels(np.eye(3)[best], IDS, classes)
    found = sk.calibrate(scores, labels, method="temperature", multiclass=True)
    assert found.temperature == pytest.approx(1 / 40, rel=0.1)
    np.testing.assert_allclose(found(scores).values.sum(axis=1), 1)
    with pytest.raises(InputError, match="exactly one class an item"):
        sk.calibrate(scores, sk.Labels(np.ones((N, 3)), IDS, classes), method="temperature", multiclass=True)


def test_isotonic_never_falls_and_keeps_the_mean():
    scores, labels = drawn()
    found = sk.calibrate(scores, labels, method="isotonic")
    said = found(scores).values
    for c in range(2):
        order = np.argsort(scores.values[:, c])
        assert (np.diff(said[order, c]) >= 0).all()
        assert said[:, c].mean() == pytest.approx(labels.values[:, c].mean(), abs=0.01)
    far = found(sk.Scores(np.array([[-99.0, 99.0]]), "logit", ["x"], CLASSES)).values
    assert far[0, 0] == found.knots[0][1][0]
    assert far[0, 1] == found.knots[1][1][-1]


@pytest.mark.parametrize("method", ["platt", "temperature", "isotonic"])
def test_the_order_of_items_is_kept(method):
    scores, labels = drawn()
    said = sk.calibrate(scores, labels, method=method)(scores)
    order = np.argsort(scores.values[:, 0], kind="stable")
    assert (np.diff(said.values[order, 0]) >= 0).all()


def test_unknown_labels_are_left_out_class_by_class():
    scores, labels = drawn(n=400)
    blank = labels.values.copy()
    blank[200:, 0] = np.nan
    half = sk.calibrate(scores, sk.Labels(blank, labels.ids, CLASSES))
    whole = sk.calibrate(scores, labels)
    assert half.slope[0] != whole.slope[0]
    assert half.slope[1] == whole.slope[1]


def test_another_kind_and_a_missing_class_are_refused():
    scores, labels = drawn(n=100)
    found = sk.calibrate(scores, labels)
    with pytest.raises(InputError, match="the calibration read scores of kind 'logit'; got 'margin'"):
        found(sk.Scores(np.zeros((1, 2)), "margin", ["x"], CLASSES))
    with pytest.raises(UnknownNameError, match="Mass"):
        found(sk.Scores(np.zeros((1, 1)), "logit", ["x"], ("Edema",)))


def test_bad_input_is_named():
    scores, labels = drawn(n=100)
    with pytest.raises(UnknownNameError, match="platt"):
        sk.calibrate(scores, labels, method="plat")
    with pytest.raises(DataError, match="'Edema' has 0 positives and 100 negatives"):
        sk.calibrate(scores, sk.Labels(np.zeros((100, 2)), labels.ids, CLASSES))


def test_anchors_and_test_items_are_refused():
    scores, labels = drawn(n=200)
    with pytest.raises(LeakageError, match="1 item is both anchors and calibration items"):
        sk.calibrate(scores, labels, anchors=["scan0", "other"])
    noted = sk.calibrate(scores, labels, anchors=["scan0", "other"], allow_leakage=True).notes
    assert any("LEAKAGE" in note for note in noted)
    found = sk.calibrate(scores, labels)
    with pytest.raises(LeakageError, match="200 items are both calibration items and test items"):
        sk.evaluate(scores, labels, calibration=found, replicates=10)
    other = sk.Scores(scores.values, "logit", [f"new{i}" for i in range(200)], CLASSES)
    same_people = sk.Labels(labels.values, other.ids, CLASSES, labels.groups)
    with pytest.raises(LeakageError, match="100 patients have both calibration items and test items"):
        sk.evaluate(other, same_people, calibration=found, replicates=10)
    told = sk.evaluate(other, same_people, calibration=found, replicates=10, allow_leakage=True)
    assert any("LEAKAGE: 100 patients" in note for note in told.notes)


def test_few_patients_are_told():
    scores, labels = drawn(n=30)
    rare = np.zeros((30, 2))
    rare[:6] = 1
    found = sk.calibrate(scores, sk.Labels(rare, labels.ids, CLASSES, labels.groups))
    assert any("Edema: 3 patients" in note for note in found.notes)


def test_what_is_printed_names_no_item_and_no_patient():
    scores, labels = drawn(n=100)
    named = sk.Labels(labels.values, labels.ids, CLASSES, [f"Jane{i}" for i in range(100)])
    for made in (sk.calibrate(scores, named), sk.conformal_sets(scores, named),
                 sk.choose_thresholds(scores, named, replicates=10)):  # fmt: skip
        for text in (str(made), repr(made)):
            assert "Jane" not in text
            assert "scan1" not in text
            assert "100 items of 100 patients" in text


@pytest.mark.parametrize("value", [0.3, -1.7, 1e6])
def test_constant_scores_give_the_prevalence_and_no_step(value):
    truth = (np.arange(400) % 10 < 7).astype(float)[:, None]
    scores = sk.Scores(np.full((400, 1), value), "logit", IDS[:400], ("Edema",))
    found = sk.calibrate(scores, sk.Labels(truth, IDS[:400], ("Edema",)))
    near = sk.Scores(np.array([[value - 1e-6], [value], [value + 1e-6]]), "logit", ["a", "b", "c"], ("Edema",))
    np.testing.assert_allclose(found(near).values, 0.7, atol=2e-3)
    assert any("prevalence" in note for note in found.notes)


def test_a_temperature_is_refused_where_zero_is_not_one_half():
    truth = np.tile([[0.0], [1.0]], (20, 1))
    scores = sk.Scores(np.linspace(0.1, 0.9, 40)[:, None], "probability", IDS[:40], ("Edema",))
    with pytest.raises(InputError, match="keeps a score of 0 at one half"):
        sk.calibrate(scores, sk.Labels(truth, IDS[:40], ("Edema",)), method="temperature")


def test_patients_of_anchors_given_as_ids_are_looked_up():
    scores, labels = drawn(n=200)
    both = sk.Labels(np.concatenate([labels.values, labels.values]),
                     [*labels.ids, *(f"anchor{i}" for i in range(200))], CLASSES,
                     np.concatenate([labels.groups, labels.groups]))  # fmt: skip
    with pytest.raises(LeakageError, match="100 patients have both anchors and calibration items"):
        sk.calibrate(scores, both, anchors=[f"anchor{i}" for i in range(200)])
    unknown = sk.calibrate(scores, sk.Labels(labels.values, labels.ids, CLASSES))
    assert any("patients are not known" in note for note in unknown.notes)


def without_positives(labels):
    """Labels of which none of the second class is positive."""
    values = labels.values.copy()
    values[:, 1] = 0
    return sk.Labels(values, labels.ids, labels.classes, labels.groups)


def test_classes_without_both_labels_are_named_with_the_way_out():
    scores, labels = drawn(n=400)
    none = without_positives(labels)
    with pytest.raises(DataError, match=r"scores.of_classes\(...\)"):
        sk.calibrate(scores, none)
    kept, reasons = calibratable(scores, none)
    assert kept == ("Edema",)
    assert reasons == {"Mass": "0 positives and 400 negatives among the calibration items"}
    assert sk.calibrate(scores.of_classes(kept), none).classes == kept


def test_classes_that_a_calibration_lacks_are_judged_by_their_order():
    scores, labels = drawn(n=400)
    fitted = replace(sk.calibrate(scores.of_classes(("Edema",)), labels), fitted_on=FittedOn(np.array(["other"])))
    found = sk.evaluate(scores, labels, calibration=fitted, replicates=20)
    plain = sk.evaluate(scores, labels, replicates=20)
    assert found.not_calibrated == ("Mass",)
    assert found.main.classes == plain.main.classes
    assert set(found.main.measures["brier"].classes) == set(found.reliability) == {"Edema"}
    assert set(found.method("chance").measures["brier"].classes) == {"Edema"}
    assert "not calibrated" in str(found)
    chance = found.method("chance").measures
    assert chance["ece"].difference is None  # resamples make both calibration errors larger, and not alike
    assert chance["brier"].difference is not None
    rare = sk.evaluate(scores, without_positives(labels), calibration=fitted, replicates=20)
    assert "Mass" in rare.not_judged
    with pytest.raises(InputError, match="calibration lacks Mass"):
        sk.evaluate(scores, labels, calibration=fitted, multiclass=True, replicates=20)


def test_no_judged_class_may_be_calibrated():
    scores, labels = drawn(n=400)
    fitted = replace(sk.calibrate(scores.of_classes(("Edema",)), labels), fitted_on=FittedOn(np.array(["other"])))
    values = labels.values.copy()
    values[:, 0] = 0
    found = sk.evaluate(scores, sk.Labels(values, labels.ids, labels.classes), calibration=fitted, replicates=20)
    assert set(found.main.classes) == {"Mass"}
    assert "brier" not in found.main.measures
    assert found.reliability == {}


def test_classes_that_can_be_calibrated_are_and_the_others_are_named():
    scores, labels = drawn(n=400)
    fitted = calibrate_possible_classes(scores, without_positives(labels))
    assert fitted.method == "platt"
    assert fitted.classes == ("Edema",)
    assert fitted.notes[0].startswith("Mass: 0 positives and 400 negatives")
    none = sk.Labels(np.zeros_like(labels.values), labels.ids, labels.classes)
    with pytest.raises(DataError, match="pass calibration=None"):
        calibrate_possible_classes(scores, none)


def test_probabilities_are_not_calibrated_again():
    scores, labels = drawn(n=400)
    probabilities = sk.calibrate(scores, labels)(scores)
    assert calibrate_possible_classes(probabilities, labels) is None


def test_calibration_items_of_the_test_are_refused_by_file_name_too():
    labels = sk.Labels(np.eye(2), ["a.png", "b.png"], ("Edema", "Mass"), groups=["p1", "p2"])
    test = np.array(["a.png"]), np.array(["p1"])
    assert audit_calibration_items(labels, ["films/b.png"], *test)[0].startswith("1 item was matched by file name")
    with pytest.raises(LeakageError, match="both test items and calibration items"):
        audit_calibration_items(labels, ["films/a.png"], *test)
