"""Rows of a study are chosen by the values of columns; a missing value is one value, however it is written."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.studies.study_data import _is_one_of

COLUMNS = {"words": np.asarray(["AP", "PA", "nan", ""]), "numbers": np.asarray([1.0, 2.0, np.nan])}


@pytest.mark.parametrize("values", [("AP",), ("nan",), ("AP", "")])
@pytest.mark.parametrize("kind", COLUMNS)
def test_of_no_rows_none_is_chosen(kind, values):
    mask = _is_one_of(COLUMNS[kind][:0], values)
    assert (mask.dtype, mask.shape) == (bool, (0,))


@pytest.mark.parametrize(
    ("kind", "values", "chosen"),
    [
        ("words", ("PA",), [1]),
        ("words", ("PA", "NaN"), [1, 2, 3]),
        ("numbers", ("2",), [1]),
        ("numbers", ("1.0", ""), [0, 2]),
        ("numbers", ("AP",), []),
    ],
)
def test_missing_values_are_one_value(kind, values, chosen):
    assert np.flatnonzero(_is_one_of(COLUMNS[kind], values)).tolist() == chosen
