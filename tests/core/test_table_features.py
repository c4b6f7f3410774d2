"""Columns of a table as vectors: what training rows decide, and what later rows may hold."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.table_features import TableFeatures, TableRows


def rows_of(**columns):
    n = len(next(iter(columns.values())))
    return TableRows([f"r{i}" for i in range(n)], columns)


def test_numbers_are_standardised_by_training_rows_alone():
    fitted = TableFeatures.fit(rows_of(age=[40.0, 60.0, 80.0]))
    vectors, present = fitted.vectors(rows_of(age=[60.0, 100.0]))
    sd = np.std([40.0, 60.0, 80.0])
    np.testing.assert_allclose(vectors[:, 0], [0, 40 / sd])
    assert present.all()


def test_a_gap_has_a_flag_where_training_rows_had_gaps_and_is_the_mean_otherwise():
    flagged = TableFeatures.fit(rows_of(age=[40.0, np.nan, 80.0]))
    vectors, present = flagged.vectors(rows_of(age=[np.nan, 60.0]))
    assert vectors.tolist() == [[0, 0], [0, 0]]  # the row without any value is missing, not flagged
    assert present.tolist() == [False, True]
    with_site = TableFeatures.fit(rows_of(age=[40.0, np.nan, 80.0], site=["a", "a", "a"]))
    assert with_site.names == ("age",)
    both = TableFeatures.fit(rows_of(age=[40.0, np.nan, 80.0] * 2, site=["a", "a", "a", "b", "b", "b"]))
    vectors, present = both.vectors(rows_of(age=[np.nan], site=["a"]))
    assert vectors.tolist() == [[0, 1, 1, 0]]
    assert present.tolist() == [True]
    assert TableFeatures.fit(rows_of(age=[40.0, 60.0])).width == 1


def test_an_unseen_category_shares_the_code_of_rare_ones():
    fitted = TableFeatures.fit(rows_of(site=["arm"] * 4 + ["leg"] * 3 + ["ear"]))
    vectors, _ = fitted.vectors(rows_of(site=["arm", "leg", "ear", "toe"]))
    assert vectors.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert "2 cells" in fitted.notes(rows_of(site=["arm", "ear", "toe"]))[0]


def test_a_code_that_no_training_row_showed_is_not_there():
    fitted = TableFeatures.fit(rows_of(site=["arm"] * 4 + ["leg"] * 3))
    vectors, present = fitted.vectors(rows_of(site=["toe", ""]))
    assert vectors.tolist() == [[0, 0], [0, 0]]
    assert present.tolist() == [True, False]


def test_words_for_a_missing_value_are_gaps():
    rows = rows_of(site=["arm", "unknown", "NA", "", "leg"], age=[1.0, np.nan, 3.0, np.nan, 5.0])
    assert rows.has_values(["site"]).tolist() == [True, False, False, False, True]
    assert rows.has_values().tolist() == [True, False, True, False, True]


def test_columns_without_information_are_left_out_with_the_reason():
    fitted = TableFeatures.fit(rows_of(age=[40.0, 60.0], year=[2020, 2020], site=["x", "x"], note=["", ""]))
    assert fitted.names == ("age",)
    assert dict(fitted.dropped) == {
        "year": "is 2020 in every training row",
        "site": "is 'x' in every training row",
        "note": "is blank in every training row",
    }
    with pytest.raises(DataError, match="no column of the table tells rows apart: 'year' is 2020"):
        TableFeatures.fit(rows_of(year=[2020, 2020]))


def test_a_table_of_one_row_tells_nothing_apart():
    with pytest.raises(DataError, match="no column of the table tells rows apart"):
        TableFeatures.fit(rows_of(age=[40.0], site=["arm"]))


def test_a_missing_column_and_words_among_numbers_are_named():
    fitted = TableFeatures.fit(rows_of(age=[40.0, 60.0]))
    with pytest.raises(DataError, match="no column 'age', by which the head was fitted; it has site"):
        fitted.vectors(rows_of(site=["a"]))
    with pytest.raises(DataError, match="'age' held numbers when the head was fitted, and item 'r0' has 'old' there"):
        fitted.vectors(rows_of(age=["old", "young"]))
    blank, present = fitted.vectors(rows_of(age=["", "NA"]))
    assert not present.any()
    assert not blank.any()


def test_numbers_as_names_are_known_however_they_are_written():
    fitted = TableFeatures.fit(rows_of(grade=["1", "1.0", "1", "x", "x", "x"]))
    vectors, _ = fitted.vectors(rows_of(grade=[1.0]))
    assert vectors.tolist() == [[1, 0]]


def test_codes_are_not_rounded_nor_read_as_numbers():
    from stitchkit.core.table_features import _names

    codes = np.asarray(["1000001", "1000002", "007", "7", "1_000", "1000", "1.50", "1.5", "2.0", "2", "A12"])
    names = _names(codes)
    assert len(set(names)) == len(codes) - 2
    assert names[6] == names[7]
    assert names[8] == names[9]
    assert len(set(_names(np.asarray([1000001.0, 1000002.0])))) == 2


def test_a_column_of_texts_is_refused():
    with pytest.raises(InputError, match="'report' holds 300 different texts in 300 rows"):
        TableFeatures.fit(rows_of(report=[f"text {i}" for i in range(300)]))


def test_infinity_and_a_short_column_are_refused():
    with pytest.raises(InputError, match="'age' holds infinity, first for item 'r0'"):
        rows_of(age=[np.inf])
    with pytest.raises(InputError, match=r"shape \(1,\) for 2 ids"):
        TableRows(["a", "b"], {"age": [1.0]})
    with pytest.raises(InputError, match="at least one column"):
        TableRows(["a"], {})


def test_the_space_is_known_by_the_statistics():
    one, same, other = (
        TableFeatures.fit(rows_of(age=ages)).space("table") for ages in ([40.0, 60.0], [40.0, 60.0], [40.0, 61.0])
    )
    assert one == same
    assert not one.accepts(other)


def test_a_number_out_of_all_range_is_read_as_ten_standard_deviations_and_said():
    ages = np.random.default_rng(0).normal(60, 10, 50)
    fitted = TableFeatures.fit(rows_of(age=ages))
    column = fitted.columns[0]
    near = [column.mean + 9.5 * column.sd, column.mean - 9.5 * column.sd]
    np.testing.assert_allclose(fitted.vectors(rows_of(age=near))[0][:, 0], [9.5, -9.5])
    assert fitted.notes(rows_of(age=near)) == []
    far = rows_of(age=[1e300, -1e300, 999.0, np.nan, 60.0])
    assert fitted.vectors(far)[0][:3, 0].tolist() == [10, -10, 10]
    (note,) = fitted.notes(far)
    assert note.startswith("column 'age': 3 numbers more than 10 standard deviations from the training rows' mean")
    assert note.endswith("read as 10: first item 'r0' with 1e+300")
    with pytest.raises(DataError, match="column 'age' is -1e\\+300 for item 'r1', which is no measurement"):
        TableFeatures.fit(rows_of(age=[60.0, -1e300, 70.0]))


def test_whole_numbers_and_texts_of_a_category_are_one_and_texts_of_a_number_are_numbers():
    fitted = TableFeatures.fit(rows_of(code=["900000000000000001"] * 3 + ["900000000000000002"] * 3, flag=["True"] * 6,
                                       age=[40.0, 50.0, 60.0, 40.0, 50.0, 60.0]))  # fmt: skip
    texts = rows_of(code=["900000000000000002"], age=["50"])
    numbers = rows_of(code=np.asarray([900000000000000002]), age=[50.0])
    np.testing.assert_array_equal(fitted.vectors(texts)[0], fitted.vectors(numbers)[0])
    assert fitted.vectors(numbers)[0][0].tolist()[:2] == [0, 1]
