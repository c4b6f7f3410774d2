"""Scores come back from disk as they went, and a table that is none is refused by row and column."""

from __future__ import annotations

import os

import numpy as np
import pytest

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.scores import Scores
from stitchkit.score_tables import check_scores_path, looks_like_scores, read_scores, write_scores


@pytest.fixture
def scores():
    values = np.random.default_rng(0).normal(size=(4, 2)) * [1e-300, 1e300]
    return Scores(values, "logit", ["a", 'b,"x"', "scan 3.png", "ü"], ("edema", "effusion, large"))


def test_every_bit_of_a_score_comes_back(scores, tmp_path):
    back = read_scores(write_scores(tmp_path / "deep" / "scores.csv", scores))
    assert np.array_equal(back.values, scores.values)
    assert back.ids.tolist() == scores.ids.tolist()
    assert (back.kind, back.classes) == ("logit", scores.classes)


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
