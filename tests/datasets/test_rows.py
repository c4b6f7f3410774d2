"""The one reader of tables: what it refuses, and how it says so."""

import pytest

from stitchkit.core.errors import DataError
from stitchkit.datasets.rows import read_rows


def written(folder, content, name="table.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_cells_are_stripped_and_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    table = read_rows(written(tmp_path, b'\xef\xbb\xbfid, text\n1, "two, three"\n\n2,x\n'.replace(b', "', b',"')))
    assert table.columns == ("id", "text")
    assert table.column("text") == ("two, three", "x")
    assert table.numbers == (2, 4)  # the blank line counts, as in a spreadsheet


def test_line_breaks_and_quotes_inside_cells_survive(tmp_path):
    table = read_rows(written(tmp_path, 'id,text\r\na,"first\nsecond ""quoted"""\r\n'))
    assert table.column("text") == ('first\nsecond "quoted"',)


def test_tabs_separate_a_tsv(tmp_path):
    assert read_rows(written(tmp_path, "id\ttext\n1\ta, b\n", "table.tsv")).column("text") == ("a, b",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"<!DOCTYPE html><html>login</html>", "web page"),
        (b"  <HTML><body>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "LFS"),
        (b"PK\x03\x04\x14\x00", "spreadsheet"),
        (b"PAR1\x15", "Parquet"),
        (b"\xff\xfei\x00d\x00", "UTF-16"),
        (b"i\x00d\x00,\x00", "NUL"),
        ("id,text\n1,Erguß\n".encode("cp1252"), "line 2"),
        (b"id,text\n", "no rows"),
        (b"id,text\n1,a\n2\n", "row 3: 1 cell under a header of 2"),
        (b"id,text\n1,a,b\n", "row 2: 3 cells"),
        (b"id,text,text\n1,a,b\n", "2 columns .* are called 'text'"),
        (b",id,\n1,a,b\n", "have no name"),
        (b"id;text\n1;a\n", "separated by ';'"),
        (b'id,text\n1,"never closed\n', "quotes"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        read_rows(written(tmp_path, content))


def test_a_missing_table_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no table"):
        read_rows(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="folder"):
        read_rows(tmp_path)


def test_one_nameless_index_column_is_let_through(tmp_path):
    assert read_rows(written(tmp_path, ",text\n0,a\n")).column("text") == ("a",)


def test_a_missing_column_lists_the_nearest(tmp_path):
    table = read_rows(written(tmp_path, "Patient_ID,Report\nsecret,words\n"))
    with pytest.raises(DataError, match="no column 'patient'; nearest: Patient_ID") as caught:
        table.column("patient")
    assert "secret" not in str(caught.value)
