"""The leakage audit: what is refused, what is said, what is let through on request."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.core.errors import DataError, LeakageError
from stitchkit.core.items import Items
from stitchkit.core.scores import Labels
from stitchkit.evaluation.leakage import audit, check_apart, same_files, spelled_notes

ANCHORS, TEST = np.array(["a1", "a2", "a3"]), np.array(["t1", "t2"])
ANCHOR_PATIENTS, TEST_PATIENTS = np.array(["p1", "p1", "p2"]), np.array(["p3", "p4"])


def test_two_sides_without_overlap_pass_and_it_is_said():
    assert audit(ANCHORS, TEST, ANCHOR_PATIENTS, TEST_PATIENTS) == ["no patient has both anchors and test items"]


def test_an_item_on_both_sides_is_refused_and_counted():
    with pytest.raises(LeakageError, match=r"2 items are both anchors and test items.*or allow"):
        audit(ANCHORS, np.array(["a1", "a3", "t1"]), None, None)


def test_a_patient_on_both_sides_is_refused_even_with_other_items():
    with pytest.raises(LeakageError, match="1 patient has both anchors and test items"):
        audit(ANCHORS, TEST, ANCHOR_PATIENTS, np.array(["p2", "p4"]))


def test_the_refusal_is_a_data_error_and_names_no_patient():
    with pytest.raises(DataError) as refused:
        audit(ANCHORS, TEST, np.array(["Jane Doe"] * 3), np.array(["Jane Doe", "p4"]))
    assert "Jane" not in str(refused.value)


def test_patients_are_compared_as_text():
    with pytest.raises(LeakageError, match="1 patient "):
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
        "LEAKAGE: 1 item is both anchors and test items",
        "LEAKAGE: 1 patient has both anchors and test items",
    ]
    assert "LEAKAGE" not in " ".join(audit(ANCHORS, TEST, ANCHOR_PATIENTS, TEST_PATIENTS, allow=True))


def test_a_patient_number_is_one_however_a_table_program_wrote_it():
    values, ids = np.zeros((3, 1)), ["a", "b", "c"]
    written = (["5", "6", "7"], [5, 6, 7], [5.0, 6.0, 7.0], ["5.0", "6.0 ", "7.00"])
    for groups in written:
        assert Labels(values, ids, ("p",), groups).groups.tolist() == ["5", "6", "7"]


@pytest.mark.parametrize(
    "missing",
    [None, float("nan"), pd.NA, pd.NaT, "", " ", "NA", "None", "unknown", "<NA>", "?", "n/a", "\u200b", "NULL"],
)
def test_a_missing_patient_is_no_patient(missing):
    with pytest.raises(DataError, match="row 1 has no group; 1 of 3"):
        Labels(np.zeros((3, 1)), ["a", "b", "c"], ("p",), ["x", missing, "y"])


def test_the_word_for_an_unknown_patient_is_shown_with_the_way_out():
    with pytest.raises(DataError, match=r"row 1 has no group; 2 of 3 have none \('<NA>' stands for unknown\).*take"):
        Labels(np.zeros((3, 1)), ["a", "b", "c"], ("p",), ["x", "<NA>", "unknown"])


SPELLINGS = [
    (["00007", "8"], ["7", "9"]),
    (["x7", "x8"], ["X7", "9"]),
    (["P 12"], ["p12"]),
    (["\uff11\uff12"], ["12"]),
    (["12\u200b"], ["12"]),
    (["1.2E+05"], ["120000"]),
    (["patient_007", "patient_12"], ["7", "13"]),
    (["12\u201134"], ["12-34"]),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_one_patient_in_two_spellings_is_refused_and_never_called_clean(one, other):
    mine, theirs = (np.array([f"{side}{i}" for i in range(len(names))]) for side, names in (("a", one), ("t", other)))
    found = f"1 patient has both anchors and test items in two spellings, for example {one[0]!r} and {other[0]!r}"
    with pytest.raises(LeakageError) as refused:
        audit(mine, theirs, np.array(one), np.array(other))
    assert f"{found}. Write each name the same way on both sides" in str(refused.value)
    assert audit(mine, theirs, np.array(one), np.array(other), allow=True) == [f"LEAKAGE: {found}"]
    sides = (vectors_of(mine), None, np.array(one)), (vectors_of(theirs), None, np.array(other))
    with pytest.raises(LeakageError, match="1 patient is both anchors and held out in two spellings"):
        check_apart(*sides, "anchors and held out")


def vectors_of(ids):
    return sk.Embeddings(np.random.default_rng(0).normal(size=(len(ids), 3)), ids, sk.Space("a", 3))


def test_patients_of_two_sites_are_two_patients():
    groups = np.array(["A12", "A13", "A14"]), np.array(["B12", "B13"])
    assert audit(ANCHORS, TEST, *groups) == ["no patient has both anchors and test items"]
    check_apart((vectors_of(ANCHORS), None, groups[0]), (vectors_of(TEST), None, groups[1]), "anchors and held out")


@pytest.mark.parametrize(
    ("one", "other"),
    [("Films/X.JPG", "films/x.jpg"), ("films\\x.jpg", "films/x.jpg"), ("./x.jpg", "x.jpg"), ("scan 7", "scan7")],
)
def test_an_item_in_two_spellings_is_refused(one, other):
    with pytest.raises(LeakageError, match="1 item is both anchors and test items in two spellings, for example"):
        audit(np.array([one, "a"]), np.array([other, "t"]), None, None)


def test_bare_numbers_that_differ_in_zeros_may_be_items_of_two_tables():
    notes = audit(np.array(["01", "02"]), np.array(["1", "3"]), ANCHOR_PATIENTS[:2], TEST_PATIENTS)
    assert notes == [
        "1 pair of ids of anchors and test items differs in spelling only, for example '01' and '1': "
        "are they one item?",
        "no patient has both anchors and test items",
    ]


def test_two_spellings_in_one_table_are_a_note():
    (note,) = spelled_notes(np.array(["7", "007", "8", "8"]))
    assert note == "1 pair of patients differs in spelling only, for example '007' and '7': are they one patient?"
    assert spelled_notes(np.array(["7", "8", "8"])) == spelled_notes(None) == []


def test_anchor_files_under_other_ids_are_found(tmp_path):
    for name, grey in (("a.png", 10), ("b.png", 20), ("copy.png", 10)):
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(tmp_path / name)
    anchors = Items(["x", "y"], [tmp_path / "a.png", tmp_path / "b.png"], "image")
    test = Items(["z"], [tmp_path / "copy.png"], "image")
    with pytest.raises(LeakageError, match="1 test item is an anchor's own file"):
        same_files(anchors, test)
    assert same_files(anchors, test, allow=True)[0].startswith("LEAKAGE")
    assert same_files(anchors.take(np.array([1])), test) == []
