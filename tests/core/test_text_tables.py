"""Tables of text: columns line up, and no line ends in spaces."""

from __future__ import annotations

import pytest

from stitchkit.core.text_tables import text_table


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_end_together():
    rows = [["class", "images"], ["Edema", "7"], ["Pneumonia", "1200"]]
    assert text_table(rows, numbers=[1], indent="  ") == [
        "  class      images",
        "  Edema           7",
        "  Pneumonia    1200",
    ]


def test_a_column_has_at_least_the_width_asked_for_and_no_line_ends_in_spaces():
    assert text_table([["a", "b", ""]], least=(3,)) == ["a    b"]


def test_no_rows_are_no_lines():
    assert text_table([]) == []


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        text_table([["a", "b"], ["a"]])
