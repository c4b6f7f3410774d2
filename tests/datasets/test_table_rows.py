"""Rows of a table for a head: every column is read as it was in training, whatever else the table holds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.table_features import NumberColumn, TableFeatures
from stitchkit.datasets.table_rows import ItemTable, read_table_rows

LONG = ("900000000000000001", "900000000000000002")  # one number to a float
NAMES = ("site", "snomed", "grade", "dose", "age")
TRAINING = [  # site and snomed are codes, grade and dose are words and numbers, age is a number
    ["01", LONG[0], "1", "1,5", "60"], ["01", LONG[0], "1.0", "1,5", "70.5"], ["02", LONG[1], "2", "2,5", ""],
    ["02", LONG[1], "2", "2,5", "45.5"], ["x3", "other", "high", "none yet", "50"],
    ["x3", "other", "high", "none yet", "55"], ["x3", "other", "high", "none yet", "65"],
    ["01", LONG[0], "1", "1,5", "60"], ["02", LONG[1], "2", "2,5", "60"],
]  # fmt: skip
LATER = [
    ["01", LONG[0], "1", "1,5", "61"], ["02", LONG[1], "2.0", "2,5", "61.0"], ["x3", "other", "high", "none yet", ""],
    ["01", LONG[1], "1", "1e3", "61,5"], ["", "", "", "", "44"], ["2", LONG[0], "high", "", "0061"],
]  # fmt: skip


def written(path, rows, names=NAMES):
    quoted = [",".join(f'"{cell}"' for cell in row) for row in rows]
    path.write_text("\n".join([",".join(("id", *names)), *(f"i{i},{row}" for i, row in enumerate(quoted))]) + "\n")
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    path = written(tmp_path_factory.mktemp("table") / "train.csv", TRAINING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TableFeatures.fit(read_table_rows(path, NAMES))


@pytest.mark.parametrize("door", ["python", "head", "frame", "taken"])
def test_a_row_has_the_same_vector_alone_and_in_any_company(fitted, tmp_path, door):
    def vectors(rows):
        path = written(tmp_path / "some.csv", rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes on columns of several kinds
            if door == "head":
                return fitted.vectors(ItemTable.of(path).rows_of(fitted))[0]
            if door == "frame":
                import pandas as pd

                return fitted.vectors(read_table_rows(pd.read_csv(path, dtype=str), NAMES))[0]
            read = read_table_rows(path, NAMES)
            return fitted.vectors(read.take(np.arange(len(read))) if door == "taken" else read)[0]

    whole = vectors(LATER)
    for i, row in enumerate(LATER):
        np.testing.assert_array_equal(vectors([row])[0], whole[i])
        for j, other in enumerate(LATER):
            np.testing.assert_array_equal(vectors([other, row])[1], whole[i], err_msg=f"beside row {j}")
    assert [isinstance(one, NumberColumn) for one in fitted.columns] == [False, False, False, False, True]
    codes = whole[:, : fitted.columns[0].width]
    assert codes[0].tolist() == [1, 0, 0]  # 01 is 01 in a table that holds numbers alone too
    assert codes[5].tolist() == [0, 0, 0]  # and 2 is not 02
    assert (whole[0] != whole[3]).any()  # two long codes are two
    assert whole[5, -2] == whole[0, -2]


def test_codes_of_numbers_alone_are_categories_where_they_are_named_or_plainly_codes(tmp_path):
    path = written(tmp_path / "t.csv", [["1", "01", LONG[0]], ["2", "02", LONG[1]]] * 3, ("scanner", "site", "snomed"))
    with pytest.warns(
        UserWarning, match="holds codes in 6 of 6 rows, the first is row 2: zeros stand in front"
    ) as told:
        rows = read_table_rows(path, ["scanner", "site", "snomed"])
    assert len(told) == 2
    assert [rows.columns[name].dtype.kind for name in rows.columns] == ["f", "U", "U"]
    named = read_table_rows(path, ["scanner"], categories=["scanner"])
    assert TableFeatures.fit(named).columns[0].categories == ("1", "2")
    with pytest.raises(UnknownNameError, match="column of the table modality"):
        read_table_rows(path, ["scanner"], categories=["scaner"])


def test_a_cell_that_is_no_number_is_named_by_file_row_and_column(fitted, tmp_path):
    path = written(tmp_path / "t.csv", [["01", "other", "1", "", "61"], ["01", "other", "1", "", "old"]])
    with pytest.raises(DataError, match=r"t\.csv, row 3, column 'age': the cell is 'old', and the head was fitted on"):
        ItemTable.of(path).rows_of(fitted)
    with (
        pytest.warns(UserWarning, match="site"),
        pytest.raises(DataError, match=r"column 'age' held numbers .*item 'i1' has 'old'"),
    ):
        fitted.vectors(read_table_rows(path, NAMES))
    path = written(tmp_path / "t.csv", [["01", "other", "1", "", "61"], ["01", "other", "1", "", "inf"]])
    with pytest.raises(DataError, match=r"row 3, column 'age': the cell is infinite"):
        ItemTable.of(path).rows_of(fitted)


def test_a_missing_image_needs_ids_of_their_own(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path,age\na.png,61\n,62\n")
    words = (
        r"row 3, column 'path': the cell is blank, as 1 of 2 are, and the column holds the ids too\. Add a column 'id' "
        r"of unique ids, or name another one with id="
    )
    with pytest.raises(DataError, match=words):
        sk.read_table_rows(path, ["age"])
    path.write_text("id,path,age\n1,a.png,61\n2,,62\n")
    assert len(sk.read_table_rows(path, ["age"])) == 2
