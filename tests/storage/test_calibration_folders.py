"""Calibrations and thresholds on disk: the same numbers, hashes in place of names, and refusals of what is damaged."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from crafted import edited

import stitchkit as sk
from stitchkit.core.errors import InputError, LeakageError, ModelUnavailableError

CLASSES = ("Edema", "Mass")


@pytest.fixture(scope="module")
def known():
    """Scores and labels of 240 items of 120 patients."""
    rng = np.random.default_rng(0)
    truth = np.zeros((240, 2))
    truth[np.arange(240), rng.integers(0, 2, 240)] = 1
    ids = [f"film{i}" for i in range(240)]
    scores = sk.Scores(truth + rng.normal(size=truth.shape), "logit", ids, CLASSES)
    return scores, sk.Labels(truth, ids, CLASSES, [f"patient{i // 2}" for i in range(240)])


@pytest.mark.parametrize(
    ("method", "multiclass"), [("platt", False), ("isotonic", False), ("temperature", False), ("temperature", True)]
)
def test_probabilities_come_back_to_the_last_bit(known, tmp_path, method, multiclass):
    scores, labels = known
    calibration = sk.calibrate(scores, labels, method=method, multiclass=multiclass)
    stored = sk.load(sk.save(calibration, tmp_path / "fit"))
    assert type(stored) is type(calibration)
    np.testing.assert_array_equal(stored(scores).values, calibration(scores).values)
    assert (stored.method, stored.kind, stored.classes, stored.notes) == (
        method, calibration.kind, CLASSES, calibration.notes,
    )  # fmt: skip
    assert repr(stored.fitted_on) == "240 items of 120 patients"
    again = sk.load(sk.save(stored, tmp_path / "again"))  # hashes are kept as they are
    assert again.fitted_on.hashes == stored.fitted_on.hashes


@pytest.mark.parametrize(("rule", "at"), [("youden", None), ("sensitivity", 0.9)])
def test_thresholds_come_back_to_the_last_bit_with_their_gaps(known, tmp_path, rule, at):
    scores, labels = known
    chosen = sk.choose_thresholds(scores, labels, rule=rule, at=at, replicates=50)
    chosen = replace(chosen, values=np.array([chosen.values[0], np.nan]))
    stored = sk.load(sk.save(chosen, tmp_path / "fit"))
    for name in ("values", "low", "high"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(chosen, name))
    np.testing.assert_array_equal(stored.decide(scores), chosen.decide(scores))
    assert str(stored) == str(chosen)


def test_no_file_holds_an_id_or_a_patient(known, tmp_path):
    scores, labels = known
    folder = sk.save(sk.calibrate(scores, labels), tmp_path / "fit")
    for file in folder.iterdir():
        assert b"film1" not in file.read_bytes()
        assert b"patient1" not in file.read_bytes()


@pytest.mark.parametrize("part", ["calibration", "thresholds"])
def test_a_stored_fit_knows_its_own_items_and_patients(known, tmp_path, part):
    scores, labels = known
    one = sk.calibrate(scores, labels) if part == "calibration" else sk.choose_thresholds(scores, labels, replicates=20)
    stored = sk.load(sk.save(one, tmp_path / "fit"))
    few = np.arange(100)
    test = sk.Scores(scores.values[few], "logit", scores.ids[few], CLASSES)
    with pytest.raises(LeakageError, match=f"100 of these items and 50 of these patients are {part.rstrip('s')} items"):
        sk.evaluate(test, labels, **{part: stored})
    renamed = [f"new{i}" for i in range(100)]
    other = sk.Labels(labels.values[few], renamed, CLASSES, labels.groups[few])
    test = sk.Scores(test.values, "logit", renamed, CLASSES)
    with pytest.raises(LeakageError, match="50 of these patients"):
        sk.evaluate(test, other, **{part: stored})
    told = sk.evaluate(test, other, allow_leakage=True, **{part: stored})
    assert any(note.startswith("LEAKAGE: 50 of these patients") for note in told.notes)
    apart = sk.Labels(labels.values[few], renamed, CLASSES, [f"q{i // 2}" for i in range(100)])
    fresh, same = (sk.evaluate(test, apart, **{part: each}) for each in (stored, one))
    assert fresh.to_dict() == same.to_dict()  # as with the fit that was never on disk
    assert any("no patient has both" in note for note in fresh.notes)


def test_labels_of_a_stored_fits_items_are_not_counted_as_unused(known, tmp_path):
    scores, labels = known
    first, last = np.arange(120), np.arange(120, 240)
    fit = sk.calibrate(sk.Scores(scores.values[first], "logit", scores.ids[first], CLASSES), labels)
    stored = sk.load(sk.save(fit, tmp_path / "fit"))
    test = sk.Scores(scores.values[last], "logit", scores.ids[last], CLASSES)
    notes = [sk.evaluate(test, labels, calibration=one).notes for one in (fit, stored)]
    assert notes[0] == notes[1]
    assert not any("labelled items are neither" in note for note in notes[1])


def test_a_folder_of_both_needs_the_name_of_a_part(known, tmp_path):
    from stitchkit.storage.calibrations import save_calibration

    scores, labels = known
    calibration = sk.calibrate(scores, labels)
    thresholds = sk.choose_thresholds(calibration(scores), labels, replicates=20)
    folder = save_calibration(calibration, thresholds, tmp_path / "both")
    with pytest.raises(InputError, match="holds a calibration and thresholds"):
        sk.load(folder)
    assert sk.load(folder, part="thresholds").kind == "probability"
    alone = sk.save(calibration, tmp_path / "alone")
    with pytest.raises(InputError, match="holds no thresholds"):
        sk.load(alone, part="thresholds")


BROKEN = {
    "a slope too few": lambda c: c["calibration"]["slope"].pop(),
    "no intercept": lambda c: c["calibration"].pop("intercept"),
    "a negative slope": lambda c: c["calibration"]["slope"].__setitem__(0, -1.0),
    "an unknown kind": lambda c: c["calibration"].update(kind="spline"),
    "an unknown kind of scores": lambda c: c["calibration"].update(scores="votes"),
    "one class twice": lambda c: c["calibration"].update(classes=["Edema", "Edema"]),
    "no hashes": lambda c: c["calibration"]["fitted_on"].pop("hashes"),
    "a text for a number": lambda c: c["calibration"]["slope"].__setitem__(0, "1.0"),
    "a threshold too few": lambda c: c["thresholds"]["low"].pop(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_config_is_refused_by_name(known, tmp_path, name):
    from stitchkit.storage.calibrations import save_calibration

    scores, labels = known
    folder = save_calibration(
        sk.calibrate(scores, labels), sk.choose_thresholds(scores, labels, replicates=20), tmp_path / "both"
    )
    edited(folder, BROKEN[name])
    part = "thresholds" if "threshold" in name else "calibration"
    with pytest.raises(ModelUnavailableError, match=f"holds no {part}"):
        sk.load(folder, part=part)


def test_a_curve_that_falls_is_refused(known, tmp_path):
    from stitchkit.storage.calibrations import pack_calibration, unpack_calibration

    config = pack_calibration(sk.calibrate(*known, method="isotonic"))
    config["calibration"]["knots"][0][1].reverse()
    with pytest.raises(ModelUnavailableError, match="knots are no curve"):
        unpack_calibration(json.loads(json.dumps(config)))


def test_parts_for_some_classes_say_the_same_of_these(known):
    scores, labels = known
    for method in ("platt", "isotonic"):
        calibration = sk.calibrate(scores, labels, method=method)
        mass = calibration.of_classes(["Mass"])
        np.testing.assert_array_equal(mass(scores).values[:, 0], calibration(scores).column("Mass"))
    thresholds = sk.choose_thresholds(scores, labels, replicates=20)
    np.testing.assert_array_equal(thresholds.of_classes(["Mass"]).decide(scores)[:, 0], thresholds.decide(scores)[:, 1])
    with pytest.raises(InputError, match="none of the classes Nodule"):
        thresholds.of_classes(["Nodule"])
    softmax = sk.calibrate(scores, labels, method="temperature", multiclass=True)
    with pytest.raises(InputError, match="need all of them"):
        softmax.of_classes(["Mass"])


@pytest.fixture
def model(known):
    """A stitched model without an encoder, its calibration and thresholds on probabilities."""
    scores, labels = known
    space = sk.Space("general", 2, "g1")
    x = sk.Embeddings(scores.values + 3, scores.ids, space)
    head = sk.LinearHead(sk.Space("medical", 2, "m1"), CLASSES, np.eye(2), np.zeros(2))
    y = sk.Embeddings(scores.values + 4, scores.ids, head.space)
    alignment = sk.align(x, y, solver="ridge", purpose="head")
    driven = sk.stitch(None, alignment, head).scores(x)
    calibration = sk.calibrate(driven, labels)
    thresholds = sk.choose_thresholds(calibration(driven), labels, replicates=20)
    return x, sk.stitch(None, alignment, head, calibration=calibration, thresholds=thresholds)


def test_a_stitched_model_keeps_both_and_decides_with_them(model, tmp_path):
    x, before = model
    after = sk.load(sk.save(before, tmp_path / "stitched"))
    np.testing.assert_array_equal(after.probabilities(x).values, before.probabilities(x).values)
    calls = after.decide(x)
    assert set(calls) == set(CLASSES)
    for c, label in enumerate(CLASSES):
        above = before.probabilities(x).values[:, c] >= before.thresholds.values[c]
        np.testing.assert_array_equal(calls[label], above)
    assert repr(after) == "StitchedModel('general' -> 'medical', head of 2 classes, calibrated)"
    bare = replace(before, calibration=None, thresholds=None)
    for verb in (bare.probabilities, bare.decide):
        with pytest.raises(InputError, match="has no"):
            verb(x)


def test_parts_that_do_not_belong_to_the_head_are_refused(model):
    _, whole = model
    one = whole.calibration.of_classes(["Mass"])
    sk.stitch(None, whole.alignment, whole.head, calibration=one, thresholds=whole.thresholds.of_classes(["Mass"]))
    wrong = {
        "which the calibration lacks": {"calibration": one, "thresholds": whole.thresholds},
        "which the head lacks": {"calibration": replace(whole.calibration, classes=("Edema", "Nodule"))},
        "of kind 'margin'": {"calibration": replace(whole.calibration, kind="margin")},
        "of kind 'probability'": {"thresholds": whole.thresholds},  # which no calibration makes
    }
    for says, parts in wrong.items():
        with pytest.raises(InputError, match=says):
            sk.stitch(None, whole.alignment, whole.head, **parts)
    with pytest.raises(InputError, match="there is no head"):
        sk.stitch(None, whole.alignment, None, calibration=one)


def test_a_part_that_a_folder_lacks_is_an_error_and_never_another_part(known, model, tmp_path):
    fit = sk.save(sk.calibrate(*known), tmp_path / "fit")
    probe = sk.save(model[1].head, tmp_path / "probe")
    x = np.random.default_rng(0).normal(size=(40, 3))
    joint = sk.save(sk.align_many({"a": x, "b": x[:, ::-1], "c": -x}), tmp_path / "joint")
    for folder, lacking in ((fit, ("head", "alignment", "thresholds")), (probe, ("alignment", "calibration")),
                            (joint, ("head", "alignment", "calibration"))):  # fmt: skip
        for part in lacking:
            with pytest.raises(InputError, match=rf"holds no {part}|many spaces"):
                sk.load(folder, part=part)
    assert isinstance(sk.load(probe, part="head"), sk.LinearHead)
    whole = sk.save(model[1], tmp_path / "stitched")
    kinds = [type(sk.load(whole, part=part)).__name__ for part in ("alignment", "head", "calibration", "thresholds")]
    assert kinds == ["Alignment", "LinearHead", "LogisticCalibration", "Thresholds"]


def test_notes_that_quote_an_id_stay_out_of_the_file(known, tmp_path):
    scores, labels = known
    elsewhere = sk.Labels(labels.values, [f"scans/{one}" for one in labels.ids], CLASSES, labels.groups)
    calibration = sk.calibrate(scores, elsewhere)
    assert any("film0" in note for note in calibration.notes)
    folder = sk.save(calibration, tmp_path / "fit")
    for file in folder.iterdir():
        assert b"film0" not in file.read_bytes()
    kept = [note for note in calibration.notes if "film0" not in note]
    assert list(sk.load(folder).notes) == kept


def test_a_stored_fit_knows_its_items_under_other_folders(known, tmp_path):
    """As the fit in memory does, where the ids of one side have folders in front."""
    scores, labels = known
    bare = sk.Labels(labels.values, labels.ids, CLASSES)  # no patients that would tell
    stored = sk.load(sk.save(sk.calibrate(scores, bare), tmp_path / "fit"))
    moved = [f"pacs/scans/{one}" for one in labels.ids]
    test = sk.Scores(scores.values, "logit", moved, CLASSES)
    with pytest.raises(LeakageError, match="240 of these items are calibration items"):
        sk.evaluate(test, sk.Labels(labels.values, moved, CLASSES), calibration=stored)
    other = sk.load(sk.save(sk.calibrate(test, sk.Labels(labels.values, moved, CLASSES)), tmp_path / "other"))
    notes = sk.evaluate(scores, bare, calibration=other).notes
    assert any("240 test items have the file names of calibration items" in note for note in notes)


@pytest.mark.parametrize(
    "knots", [[[0.0, 1.0], [0.0, 1.5]], [[0.0, 1.0], [-0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]], [[], []]]
)
def test_a_curve_outside_of_probabilities_is_refused(known, knots):
    from stitchkit.storage.calibrations import pack_calibration, unpack_calibration

    config = pack_calibration(sk.calibrate(*known, method="isotonic"))
    config["calibration"]["knots"][0] = knots
    with pytest.raises(ModelUnavailableError, match="knots"):
        unpack_calibration(config)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_slope_that_is_no_number_is_refused(known, value):
    from stitchkit.storage.calibrations import pack_calibration, unpack_calibration

    config = pack_calibration(sk.calibrate(*known))
    config["calibration"]["slope"][0] = value
    with pytest.raises(ModelUnavailableError, match="slope holds NaN or infinity"):
        unpack_calibration(config)
