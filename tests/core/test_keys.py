"""Words for a missing value, and keys of two tables that differ in spelling only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stitchkit.core.anchor_hashes import common, hashes_of
from stitchkit.core.keys import folded_key, folded_path, is_missing, spelled_alike, spelled_twice, visible_part

ONE_PATIENT = [
    ("00007", "7"),
    ("7.0", "7"),
    ("7.00", "007"),
    ("7.", "7"),
    ("P7", "p7"),
    ("P 007", "P7"),
    (" 7\u00a0", "7"),
    ("\ufeff7", "7"),
    ("7\u200b", "7"),
    ("\uff17", "7"),
    ("\u0667", "7"),
    ("'007", "7"),
    ("a\u20117", "a-7"),
    ("a\u22127", "a-07"),
    ("site1-007", "SITE1-7"),
    ("1.2E+05", "120000"),
    ("\u212bngstr\u00f6m", "\u00c5ngstro\u0308m"),
    ("STRASSE", "stra\u00dfe"),
]
PUNCTUATED = [
    ("P-7", "P7"),
    ("P_7", "P7"),
    ("P.7", "p 007"),
    ("P/7", "P7"),
    ("P: 7", "P-7"),
    ("P #7", "P7"),
    ("P (7)", "P7"),
    ("P\u20137", "P_07"),
    ("S1-P-7", "S1-P7"),
    ("7-A", "7a"),
    ("12 (b)", "12B"),
    ("(7)", "7"),
    ("[007]", "7"),
    ("<7>", "7"),
    ("#7", "7"),
    ("# 7", "#07"),
    ("_7_", "7"),
    ("7;", "7"),
    ("7/", "7"),
    ("7,", "7"),
    ('="007"', "7"),
    ("7,0", "7"),
    ("7,00", "7.0"),
    ("(7,0)", "7"),
    ("1,2E+05", "120000"),
    ("01E+5", "1E+05"),
    ("P-", "p"),
    ("P7.0", "P7"),
    ("P-007.00", "p7"),
    ("P7,0", "P7"),
    ("DOE^JOHN^^^", "doe^john"),
    ("\u00ab7\u00bb", "7"),
    ("P~7", "P7"),
    ("P*7", "P7"),
    ("P+7", "P7"),
    ("P\u00b77", "P7"),
    ("P\u30fb7", "P7"),
    ("12 - A", "12a"),
]
ONE_PATIENT += PUNCTUATED
TWO_PATIENTS = [("7", "70"), ("A12", "B12"), ("1.5", "15"), ("100", "1"), ("7a", "7b"), ("1e5", "100000"), ("0", "00a")]
TWO_PATIENTS += [
    ("1-23", "12-3"),
    ("1-23", "123"),
    ("1_23", "12_3"),
    ("1/23", "123"),
    ("1.23", "12.3"),
    ("1,5", "15"),
    ("1,5", "1"),
    ("7,000", "7"),
    ("1.05", "1.5"),
    ("1,05", "1,5"),
    ("A-12", "B-12"),
    ("(A)12", "(B)12"),
    ("A-1-23", "A-12-3"),
    ("1-A2", "1A-2"),
    ("A-1B2", "A1B-2"),
    ("12-A3", "12A-3"),
    ("A-B", "AB"),
    ("A-B7", "AB7"),
    ("-7", "7"),
    (".5", "5"),
    (",5", "5"),
    ("#", "()"),
    ("A+", "A-"),
    ("7*", "7"),
    ("P7-1", "P71"),
    ("1.2.840.0", "1.2.840"),
    ("P7.1", "P7"),
    ("P1.10", "P1.1"),
    ("1-A2", "1A2"),
    ("12-A-3", "12A3"),
    ("DOE^JOHN", "DOE^JOHN^M"),
]


@pytest.mark.parametrize(("one", "other"), ONE_PATIENT)
def test_two_spellings_of_one_key_fold_to_the_same(one, other):
    assert folded_key(one) == folded_key(other)
    assert spelled_alike([one], [other]) == [(one, other)]


@pytest.mark.parametrize(("one", "other"), TWO_PATIENTS)
def test_keys_of_two_things_stay_two(one, other):
    assert folded_key(one) != folded_key(other)
    assert spelled_alike([one, "x"], [other, "y"]) == []


@settings(max_examples=500, database=None, derandomize=True, deadline=None)
@given(st.text() | st.text("aAéŁβ´¨¸ ́ ﬁ٣7０0.,-_()+eE", max_size=8))
@example("O´Brien 7")
@example("1.2E+05")
def test_a_folded_key_is_its_own_folded_key(key):
    assert folded_key(folded_key(key)) == folded_key(key)


@pytest.mark.parametrize(
    "text", ["\u034f", "\u17b4", "\u180b", "\ufe0f", "\U000e0100", "\ufffe", "\ufdd0", "\U0001ffff"]
)
def test_marks_selectors_and_code_points_that_are_no_characters_show_nothing(text):
    assert visible_part(text) == ""
    assert is_missing(text)


@pytest.mark.parametrize("text", ["\u0301", "\u00e9", "\U0001fae8", "\ue000", "\ufffd", "\u20dd"])
def test_accents_new_symbols_and_private_characters_are_visible(text):
    assert visible_part(text) == text


def test_zero_keeps_its_digit():
    assert folded_key("000") == "0"


def test_a_prefix_of_every_key_of_one_table_is_left_out():
    assert spelled_alike(["patient00007", "patient00012"], ["7", "8"]) == [("patient00007", "7")]
    assert spelled_alike(["7", "8"], ["sub-007", "sub-012"]) == [("7", "sub-007")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["S1-P007", "S1-P008"], ["P7", "P9"]),
        (["S1-P007", "S1-P008"], ["7", "9"]),
        (["site 1/p7", "site 1/p8"], ["P-7", "P-9"]),
        (["CheXpert-v1.0/train/patient00007", "CheXpert-v1.0/train/patient00008"], ["patient7", "patient9"]),
        (["P7.0", "P8.0"], ["7", "9"]),
        (["anon_DOE^JOHN", "anon_ROE^JANE"], ["DOE^JOHN^", "POE^ANN"]),
    ],
)
def test_a_prefix_may_be_followed_by_letters(one, other):
    assert spelled_alike(one, other) == [(one[0], other[0])]
    assert spelled_alike(other, one) == [(other[0], one[0])]
    assert common(hashes_of(None, one), groups=other).counts == {"groups": 1}
    assert common(hashes_of(None, other), groups=one).counts == {"groups": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["S1-P7", "S1-P8"], ["S2-P7", "S2-P8"]),
        (["A12", "A13"], ["B12", "B13"]),
        (["S17", "S18"], ["7", "8"]),
        (["1-P7", "1-P8"], ["2-P7", "2-P8"]),
        (["apple", "apricot"], ["ple", "ricot"]),
    ],
)
def test_what_is_left_of_a_prefix_must_be_a_whole_name(one, other):
    assert spelled_alike(one, other) == []
    assert common(hashes_of(None, one), groups=other).counts == {"groups": 0}


def test_a_prefix_of_only_some_keys_stays():
    assert spelled_alike(["P7", "Q8"], ["7", "8"]) == []


def test_a_prefix_that_the_other_table_has_too_stays():
    assert spelled_alike(["P7", "P8"], ["P9", "7"]) == []


def test_patients_of_two_sites_with_the_same_numbers_are_two():
    assert spelled_alike(["A12", "A13"], ["B12", "B13"]) == []


def test_common_leading_digits_are_no_prefix():
    assert spelled_alike(["17", "18"], ["7", "8"]) == []


def test_the_same_spelling_on_both_sides_is_no_pair_of_spellings():
    assert spelled_alike(["7", "9"], ["7"]) == []
    assert spelled_alike(["7", "07"], ["7"]) == []
    assert spelled_alike(["7"], ["07", "7"]) == []


def test_words_for_a_missing_value_are_no_pair():
    assert spelled_alike(["NA", "7"], ["na", "8"]) == []


def test_what_punctuation_parts_in_one_table_is_a_pair_of_spellings():
    assert spelled_twice(["P-7", "P7", "P8"]) == [("P-7", "P7")]
    assert spelled_twice(["1-23", "12-3", "123"]) == []


@pytest.mark.parametrize(
    ("one", "other"), [("img_1.png", "img1.png"), ("films/7", "films7"), (r"a\-7", "a7"), ("a-1.nii.gz", "a1.nii.gz")]
)
def test_punctuation_in_the_names_of_files_counts(one, other):
    assert folded_path(one) != folded_path(other)


@pytest.mark.parametrize(("one", "other"), [("scan-7", "scan007"), ("#7", "7"), ("7.0", "7"), ("(P_7)", "p7")])
def test_punctuation_in_names_that_are_no_files_does_not(one, other):
    assert folded_path(one) == folded_path(other)


def test_a_prefix_with_punctuation_is_left_out():
    assert spelled_alike(["P-007", "P-012"], ["7", "8"]) == [("P-007", "7")]
    assert spelled_alike(["A-12", "A-13"], ["B-12", "B-13"]) == []


def test_two_spellings_within_one_table_are_found():
    assert spelled_twice(["7", "8", "007", "8"]) == [("007", "7")]


MISSING = ["", "  ", "nan", "NaN", "NA", "N/A", "None", "NULL", "<NA>", "NaT", "unknown", "?", "-", "\u200b", "#N/A"]


@pytest.mark.parametrize("word", [*MISSING, None, float("nan"), np.float32("nan")])
def test_words_for_unknown_are_missing(word):
    assert is_missing(word)


def test_the_missing_value_of_pandas_is_missing():
    assert is_missing(pd.NA)
    assert is_missing(pd.NaT)


@pytest.mark.parametrize("word", ["0", "No", "no finding", "normal", "nana", "N", 0, False, "Unknown opacity."])
def test_other_words_are_values(word):
    assert not is_missing(word)


def test_what_shows_nothing_is_left_out():
    assert visible_part("a\u200b\ufeff\x1b\u3164b\tc\n") == "ab c "
