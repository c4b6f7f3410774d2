"""Scores come back from disk as they went, and a table that is none is refused by row and column."""

from __future__ import annotations

import csv
import io
import json
import os
import tracemalloc
from datetime import date

import numpy as np
import pytest

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.scores import Provenance, Scores
from stitchkit.storage.digests import sha256_of_file
from stitchkit.storage.scores import check_scores_path, looks_like_scores, provenance_path, read_scores, write_scores


@pytest.fixture
def scores():
    values = np.random.default_rng(0).normal(size=(4, 2)) * [1e-300, 1e300]
    return Scores(values, "logit", ["a", 'b,"x"', "scan 3.png", "ü"], ("edema", "effusion, large"))


def test_every_bit_of_a_score_comes_back(scores, tmp_path):
    back = read_scores(write_scores(tmp_path / "deep" / "scores.csv", scores))
    assert np.array_equal(back.values, scores.values)
    assert back.ids.tolist() == scores.ids.tolist()
    assert (back.kind, back.classes) == ("logit", scores.classes)


NUMBERS = np.array(
    [0.0, -0.0, 1.0, -1e5, 1e-4, 9.999999999999999e-5, 1e-5, 1.5e-7, 5e-324, 2.2250738585072011e-308, 1 / 3,
     123456789012345.67, 9999999999999998.0, 1e16, 1.2345678901234567e17, 1e22, 1e23, -1.7976931348623157e308]
)  # fmt: skip


def test_numbers_are_written_as_python_writes_them_and_come_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 2**63, 6000).view(np.float64)  # of every size
    values = np.concatenate([NUMBERS, drawn[np.isfinite(drawn)][:3985], rng.normal(size=2000)]).reshape(-1, 3)
    ids = [f"scan {row}" for row in range(len(values))]
    path = write_scores(tmp_path / "s.csv", Scores(values, "logit", ids, ("x", "y", "z")))
    lines = [f"{name},logit,{','.join(map(repr, row))}\n" for name, row in zip(ids, values.tolist(), strict=True)]
    assert path.read_text() == "".join(["id,kind,x,y,z\n", *lines])
    assert np.array_equal(read_scores(path).values.view(np.int64), values.view(np.int64))


def test_cells_are_quoted_as_the_csv_module_quotes_them(tmp_path):
    ids = ["a,b", 'c"d', "two\nlines", "=1", " blank ", "'=2", "plain", "ü"]
    values = np.arange(8.0)[:, None]
    path = write_scores(tmp_path / "s.csv", Scores(values, "logit", ids, ("x, large",)))
    text = io.StringIO()
    cells = ["'=1" if one == "=1" else "''=2" if one == "'=2" else one for one in ids]
    rows = [[one, "logit", number] for one, number in zip(cells, values[:, 0].tolist(), strict=True)]
    csv.writer(text, lineterminator="\n").writerows([["id", "kind", "x, large"], *rows])
    assert path.read_bytes() == text.getvalue().encode()
    back = read_scores(path)
    assert back.ids.tolist() == ids
    assert np.array_equal(back.values, values)


@pytest.mark.parametrize(
    "cell", ["-0", "-0 ", " 0.5", "+1", ".5", "1.", "1_000", "1e5", '"0.25"', "9007199254740993", "1e-400", "٣"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_number_is_read_as_python_reads_it_however_it_is_written(tmp_path, cell, end):
    path = tmp_path / "s.csv"
    path.write_bytes(end.join(["id,kind,x,y", f"a,logit,1.5,{cell}", f'"b",logit,{cell},-2.5', ""]).encode())
    number = float(cell.strip('"'))
    expected = np.array([[1.5, number], [number, -2.5]])
    assert np.array_equal(read_scores(path).values.view(np.int64), expected.view(np.int64))


def test_rows_are_numbered_by_record_behind_cells_of_several_lines(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text('id,kind,x\n\n"a\nb\nc",logit,1\nd,logit,1,2\n')
    with pytest.raises(DataError, match="row 4: 4 cells under a header of 3"):
        read_scores(path)


def test_the_first_fault_of_a_table_is_the_one_that_is_named(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("id,kind,x\na,logit,high\nb,logit\nc,cosine,1\n")
    with pytest.raises(DataError, match="row 2, column 'x': 'high' is no finite number"):
        read_scores(path)


def test_neither_the_text_of_a_table_nor_its_numbers_one_by_one_are_held_in_memory(tmp_path):
    values = np.random.default_rng(0).normal(size=(3000, 100))
    scores = Scores(values, "logit", [f"i{row}" for row in range(3000)], tuple(f"c{c}" for c in range(100)))
    path = tmp_path / "s.csv"

    def peak(work):
        tracemalloc.start()
        try:
            kept = work()
            return kept, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    _, writing = peak(lambda: write_scores(path, scores))
    back, reading = peak(lambda: read_scores(path))
    assert np.array_equal(back.values, values)
    assert writing < values.nbytes
    assert reading < 2 * values.nbytes < path.stat().st_size


def test_classes_may_be_called_id_and_kind(tmp_path):
    odd = Scores([[1.0, 2.0]], "logit", ["a"], ("id", "kind"))
    assert read_scores(write_scores(tmp_path / "s.csv", odd)).classes == ("id", "kind")


def test_a_table_that_a_spreadsheet_saved_again_is_read(scores, tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(b"\xef\xbb\xbfid,kind,edema\r\na,logit,0.5\r\n\r\nb,logit,1\r\n")
    assert looks_like_scores(path)
    assert read_scores(path).values.tolist() == [[0.5], [1.0]]


def test_an_earlier_table_is_replaced_and_nothing_else(scores, tmp_path):
    path = tmp_path / "s.csv"
    write_scores(path, scores)
    write_scores(path, scores)
    assert [one.name for one in tmp_path.iterdir()] == ["s.csv"]
    path.write_text("id,text\n1,mine\n")
    with pytest.raises(InputError, match="no table of scores; it was left alone"):
        write_scores(path, scores)
    assert path.read_text() == "id,text\n1,mine\n"


def test_a_write_that_fails_leaves_the_earlier_table(scores, tmp_path, monkeypatch):
    path = write_scores(tmp_path / "s.csv", scores)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_scores(path, scores)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("name", "word"), [("s.txt", ".csv file"), ("folder.csv", "is a folder")])
def test_a_path_that_cannot_be_is_refused_before_the_work(tmp_path, name, word):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=word):
        check_scores_path(tmp_path / name)


@pytest.mark.parametrize(
    ("values", "classes", "word"),
    [
        ([[float("nan"), 1.0]], ("x", "y"), "item 'a' for 'x' is nan"),
        ([[1.0, float("inf")]], ("x", "y"), "item 'a' for 'y' is inf"),
        ([[1.0, 2.0]], ("x", "x"), "class 'x' stands twice"),
        (np.empty((1, 0)), (), "nothing to write"),
    ],
)
def test_scores_that_would_not_come_back_are_not_written(tmp_path, values, classes, word):
    with pytest.raises(InputError, match=word):
        write_scores(tmp_path / "s.csv", Scores(values, "logit", ["a"], classes))
    assert list(tmp_path.iterdir()) == []


BROKEN = {
    "empty": ("", "no table of scores"),
    "another table": ("id,patient,x\na,1,2\n", "first columns must be called id and kind"),
    "no rows": ("id,kind,x\n", "a header and no rows"),
    "no classes": ("id,kind\na,logit\n", "row 1"),
    "nameless class": ("id,kind,\na,logit,1\n", "row 1"),
    "class twice": ("id,kind,x,x\na,logit,1,1\n", "row 1: two columns are called 'x'"),
    "short row": ("id,kind,x\na,logit,1\nb,logit\n", "row 3: 2 cells under a header of 3"),
    "a word": ("id,kind,x,y\na,logit,1,high\n", "row 2, column 'y': 'high' is no finite number"),
    "nan": ("id,kind,x\na,logit,nan\n", "row 2, column 'x'"),
    "unknown kind": ("id,kind,x\na,logits,1\n", "row 2, column 'kind': no kind of score is called 'logits'; nearest"),
    "two kinds": ("id,kind,x\na,logit,1\nb,cosine,1\n", "row 3, column 'kind': cosine after logit"),
    "id twice": ("id,kind,x\na,logit,1\na,logit,1\n", "column 'id': id 'a' stands 2 times"),
    "open quote": ('id,kind,x\n"a,logit,1\n', "Check the quotes"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_table_is_refused_by_path_row_and_column(tmp_path, case):
    text, word = BROKEN[case]
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_scores(path)
    assert word in str(caught.value)
    assert "broken.csv" in str(caught.value)


def test_a_missing_or_undecodable_table_says_so(tmp_path):
    with pytest.raises(DataError, match="there is no table of scores"):
        read_scores(tmp_path / "gone.csv")
    (tmp_path / "s.csv").write_bytes(b"id,kind,x\n\xff,logit,1\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_scores(tmp_path / "s.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_scores(tmp_path)


ORIGIN = Provenance(source="demo:general", anchors="pairs.csv, 200 pairs", anchors_sha256="ab" * 32, command="mine")


def test_provenance_comes_back_with_the_day_and_the_version(scores, tmp_path):
    bare = write_scores(tmp_path / "bare.csv", scores).read_bytes()
    path = write_scores(tmp_path / "scores.csv", scores.with_provenance(ORIGIN))
    assert path.read_bytes() == bare, "the table is the same with and without a record"
    back = read_scores(path).provenance
    assert date.fromisoformat(back.date) <= date.today()
    assert back.version.startswith("stitchkit ")
    assert back.to_dict() == ORIGIN.to_dict() | {"date": back.date, "version": back.version}
    again = read_scores(write_scores(tmp_path / "again.csv", read_scores(path)))
    assert again.provenance == back
    assert json.loads((tmp_path / "again.provenance.json").read_text())["table_sha256"] == sha256_of_file(path)


def test_scores_without_provenance_leave_no_record_behind(scores, tmp_path):
    path = write_scores(tmp_path / "s.csv", scores.with_provenance(ORIGIN))
    write_scores(path, scores)
    assert [one.name for one in tmp_path.iterdir()] == ["s.csv"]
    assert read_scores(path).provenance is None


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("logit,", "margin,"), lambda text: text + "new,logit,0,0\n"]
)
def test_a_record_of_another_table_is_noticed_and_not_believed(change, tmp_path):
    mine = Scores(np.zeros((3, 2)), "logit", ["a", "b", "c"], ("edema", "mass"), ORIGIN)
    path = write_scores(tmp_path / "s.csv", mine)
    path.write_text(change(path.read_text()))
    back = read_scores(path).provenance
    assert list(back.to_dict()) == ["remark"]
    assert "s.provenance.json is the provenance of another table than s.csv" in back.remark
    assert read_scores(write_scores(path, read_scores(path))).provenance is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff", b'{"stitchkit_provenance": 1, "table_sha256": 3, "scores": {}}', b'{"more": ' + b"[" * 99999],
    ids=["empty", "nothing", "no text", "no digest", "deep"],
)
def test_a_file_that_is_no_record_is_named_and_left_alone(content, scores, tmp_path):
    path = write_scores(tmp_path / "s.csv", scores)
    beside = provenance_path(path)
    beside.write_bytes(content)
    with pytest.raises(DataError, match=r"s\.provenance\.json is no provenance of scores"):
        read_scores(path)
    with pytest.raises(InputError, match=r"s\.provenance\.json exists and is no provenance of scores"):
        write_scores(path, scores.with_provenance(ORIGIN))
    assert beside.read_bytes() == content


def test_a_record_of_another_version_of_the_format_is_refused(tmp_path):
    scores = Scores(np.zeros((2, 1)), "logit", ["a", "b"], ("Mass",)).with_provenance(Provenance(source="demo:x"))
    write_scores(tmp_path / "s.csv", scores)
    record = tmp_path / "s.provenance.json"
    assert read_scores(tmp_path / "s.csv").provenance.source == "demo:x"
    record.write_text(record.read_text().replace('"stitchkit_provenance": 1', '"stitchkit_provenance": 99'))
    with pytest.raises(DataError, match="is no provenance of scores"):
        read_scores(tmp_path / "s.csv")
