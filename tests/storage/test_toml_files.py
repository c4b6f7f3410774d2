"""Settings from TOML: wrong kinds and unknown keys are named with the file and the nearest key."""

from __future__ import annotations

import pytest

from stitchkit.core.errors import DataError
from stitchkit.storage.toml_files import TomlTable, read_toml

TEXT = """
name = "mine"
[grid]
draws = 3
sources = ["a", "b"]
anchors = [50, "all"]
flag = true
[grid.where]
subset = "both"
"""


@pytest.fixture
def top(tmp_path):
    (tmp_path / "plan.toml").write_text(TEXT)
    return TomlTable(read_toml(tmp_path / "plan.toml"), str(tmp_path / "plan.toml"), "")


def test_every_kind_is_read_and_defaults_stand_in(top):
    grid = top.table("grid")
    assert top.text("name") == "mine"
    assert grid.whole("draws") == 3
    assert grid.whole("absent", 7) == 7
    assert grid.texts("sources") == ("a", "b")
    assert grid.wholes("anchors", word="all") == (50, "all")
    assert grid.flag("flag") is True
    where = grid.table("where")
    assert where.texts("subset") == ("both",)
    for table in (where, grid, top):
        table.close()


def test_a_key_that_nobody_asked_for_is_an_error_with_the_nearest(top):
    grid = top.table("grid")
    grid.whole("draw", 1)
    with pytest.raises(DataError, match=r"no key of \[grid\] in .*plan.toml is called 'draws'; nearest: draw"):
        grid.close()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda t: t.whole("sources"), "'sources' of .* is a whole number, 0 or more; got"),
        (lambda t: t.whole("draws", least=5), "a whole number, 5 or more; got 3"),
        (lambda t: t.whole("flag"), "a whole number"),
        (lambda t: t.flag("draws"), "true or false"),
        (lambda t: t.texts("anchors"), "a list of texts"),
        (lambda t: t.wholes("anchors"), "a list of whole numbers"),
        (lambda t: t.text("gone"), "lacks 'gone'"),
        (lambda t: t.table("draws"), "a table"),
    ],
)
def test_wrong_kinds_are_named(top, ask, said):
    with pytest.raises(DataError, match=said):
        ask(top.table("grid"))


def test_one_of_lists_the_nearest(top):
    with pytest.raises(DataError, match="'mine'; nearest: mind"):
        top.one_of("name", ["mind", "other"])


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_toml(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(DataError, match=r"bad\.toml cannot be parsed"):
        read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000, "0x" + "f" * 5000 + "g", "{a = " * 3000])
def test_numbers_and_nesting_without_end_cannot_be_parsed(tmp_path, value):
    (tmp_path / "bad.toml").write_text(f"a = {value}\n")
    with pytest.raises(DataError, match=r"bad\.toml cannot be parsed"):
        read_toml(tmp_path / "bad.toml")
