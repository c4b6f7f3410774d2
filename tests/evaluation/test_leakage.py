"""The leakage audit: what is refused, what is said, what is let through on request."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import DataError, LeakageError
from stitchkit.core.items import Items
from stitchkit.core.scores import Labels
from stitchkit.evaluation.leakage import audit, same_files

ANCHORS, TEST = np.array(["a1", "a2", "a3"]), np.array(["t1", "t2"])
ANCHOR_PATIENTS, TEST_PATIENTS = np.array(["p1", "p1", "p2"]), np.array(["p3", "p4"])


def test_two_sides_without_overlap_pass_and_it_is_said():
    assert audit(ANCHORS, TEST, ANCHOR_PATIENTS, TEST_PATIENTS) == ["no patient has both anchors and test items"]


def test_an_item_on_both_sides_is_refused_and_counted():
    with pytest.raises(LeakageError, match=r"2 items are both anchors and test items.*or allow"):
        audit(ANCHORS, np.array(["a1", "a3", "t1"]), None, None)


def test_a_patient_on_both_sides_is_refused_even_with_other_items():
    with pytest.raises(LeakageError, match="1 patients have both anchors and test items"):
        audit(ANCHORS, TEST, ANCHOR_PATIENTS, np.array(["p2", "p4"]))


def test_the_refusal_is_a_data_error_and_names_no_patient():
    with pytest.raises(DataError) as refused:
        audit(ANCHORS, TEST, np.array(["Jane Doe"] * 3), np.array(["Jane Doe", "p4"]))
    assert "Jane" not in str(refused.value)


def test_patients_are_compared_as_text():
    with pytest.raises(LeakageError, match="1 patients"):
        audit(ANCHORS, TEST, np.array([1, 1, 2]), np.array(["2", "3"]))


@pytest.mark.parametrize(
    ("left", "right"), [(None, TEST_PATIENTS), (ANCHOR_PATIENTS, None), (None, None)], ids=["anchors", "test", "both"]
)
def test_unknown_patients_are_said_not_passed_over(left, right):
    (note,) = audit(ANCHORS, TEST, left, right)
    assert "patients are not known" in note
    assert "not checked" in note


def test_leakage_that_is_allowed_stands_in_the_notes():
    notes = audit(ANCHORS, np.array(["a1", "t1"]), ANCHOR_PATIENTS, np.array(["p1", "p4"]), allow=True)
    assert notes == [
        "LEAKAGE: 1 items are both anchors and test items",
        "LEAKAGE: 1 patients have both anchors and test items",
    ]
    assert "LEAKAGE" not in " ".join(audit(ANCHORS, TEST, ANCHOR_PATIENTS, TEST_PATIENTS, allow=True))


def test_a_patient_number_is_one_however_a_table_program_wrote_it():
    values, ids = np.zeros((3, 1)), ["a", "b", "c"]
    written = (["5", "6", "7"], [5, 6, 7], [5.0, 6.0, 7.0], ["5.0", "6.0 ", "7.00"])
    for groups in written:
        assert Labels(values, ids, ("p",), groups).groups.tolist() == ["5", "6", "7"]


@pytest.mark.parametrize("missing", [None, float("nan"), "", " "])
def test_a_missing_patient_is_no_patient(missing):
    with pytest.raises(DataError, match="row 1 has no group; 1 of 3"):
        Labels(np.zeros((3, 1)), ["a", "b", "c"], ("p",), ["x", missing, "y"])


def test_anchor_files_under_other_ids_are_found(tmp_path):
    for name, grey in (("a.png", 10), ("b.png", 20), ("copy.png", 10)):
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(tmp_path / name)
    anchors = Items(["x", "y"], [tmp_path / "a.png", tmp_path / "b.png"], "image")
    test = Items(["z"], [tmp_path / "copy.png"], "image")
    with pytest.raises(LeakageError, match="1 test items are anchors' own files"):
        same_files(anchors, test)
    assert same_files(anchors, test, allow=True)[0].startswith("LEAKAGE")
    assert same_files(anchors.take(np.array([1])), test) == []
