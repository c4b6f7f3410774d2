"""Settings from TOML: wrong kinds and unknown keys are named with the file and the nearest key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from stitchkit.core.errors import DataError, InputError
from stitchkit.storage.toml_files import (
    AtLeastOne,
    Flag,
    NotNegative,
    Positive,
    Share,
    Text,
    Texts,
    Whole,
    merge,
    read_record,
    read_toml,
)

TEXT = """
kind = "wide"
name = "mine"
root = "data"
[grid]
draws = 3
sources = "a"
anchors = [50, "all"]
flag = true
rate = 1
[grid.where]
subset = "both"
[arms.one]
layers = 2
"""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Grid(Record, frozen=True, kw_only=True):
    draws: AtLeastOne = 1
    sources: Texts
    anchors: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=2)] | Literal["all"], ...],
        msgspec.Meta(description="a list of whole numbers, 2 or more each, or 'all'"),
    ] = ("all",)
    flag: Flag = False
    rate: Positive = 0.5
    decay: NotNegative = 0.5
    held: Share | None = None
    best: Literal["loss", "rank"] = "loss"
    where: dict[str, Texts] = {}
    reader: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.flag and self.best == "rank":
            raise InputError("'flag' and best = 'rank' exclude each other")


class Arm(Record, frozen=True, kw_only=True):
    layers: Whole = 0
    settings: dict[str, Any] = {}


class Wide(Record, frozen=True, kw_only=True, tag_field="kind", tag="wide"):
    name: Text
    root: Path = Path()
    grid: Grid
    arms: dict[str, Arm] = {}
    file: str = ""


class Narrow(Record, frozen=True, kw_only=True, tag_field="kind", tag="narrow"):
    name: Text
    images: Whole = 0


def read(path, text=TEXT):
    path.write_text(text)
    return read_record(read_toml(path), Wide | Narrow, path, hidden=("file",))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.toml"


def test_every_kind_is_read_and_defaults_stand_in(path):
    plan = read(path)
    assert (plan.name, plan.root, plan.file) == ("mine", path.parent / "data", "")
    grid = plan.grid
    assert (grid.draws, grid.sources, grid.anchors, grid.flag) == (3, ("a",), (50, "all"), True)
    assert (grid.decay, grid.held, grid.best, grid.where) == (0.5, None, "loss", {"subset": ("both",)})
    assert plan.arms == {"one": Arm(layers=2)}
    assert read(path, 'kind = "narrow"\nname = "n"') == Narrow(name="n")


def test_a_number_without_a_point_stays_whole(path):
    rate = read(path).grid.rate
    assert type(rate) is int
    assert type(read(path, TEXT.replace("rate = 1", "rate = 1.0")).grid.rate) is float


MISTAKES = {  # what is written instead of what -> the whole message
    "unknown": (
        "draws = 3", "darws = 3", "no key of [grid] in {file} is called 'darws'; nearest: draws, anchors, decay.",
    ),
    "top": ("name =", "nmae =", "no key of {file} is called 'nmae'; nearest: name."),
    "in arm": ("layers = 2", "layer = 2", "no key of [arms.one] in {file} is called 'layer'; nearest: layers."),
    "of another kind": (
        "[grid]\n", "images = 3\n[grid]\n",
        "no key of {file} is called 'images'; nearest: name, arms. It is a key of kind = 'narrow'.",
    ),
    "hidden": (
        "[grid]\n", "file = 'x'\n[grid]\n", "no key of {file} is called 'file'; known: arms, grid, kind, name, root.",
    ),
    "missing": ('sources = "a"', "", "[grid] in {file} lacks 'sources': a list of texts."),
    "no table": ("[grid]\n", "[grids]\n", "no key of {file} is called 'grids'; nearest: grid, kind, arms."),
    "whole": ("draws = 3", 'draws = "x"', "'draws' of [grid] in {file} is a whole number, 1 or more; got 'x'."),
    "least": ("draws = 3", "draws = 0", "'draws' of [grid] in {file} is a whole number, 1 or more; got 0."),
    "truth": ("draws = 3", "draws = true", "'draws' of [grid] in {file} is a whole number, 1 or more; got True."),
    "flag": ("flag = true", "flag = 1", "'flag' of [grid] in {file} is true or false; got 1."),
    "texts": ('sources = "a"', "sources = [1]", "'sources' of [grid] in {file} is a list of texts; got [1]."),
    "none": ('sources = "a"', "sources = []", "'sources' of [grid] in {file} is a list of texts; got []."),
    "blank": ('name = "mine"', 'name = " "', "'name' of {file} is a text; got ' '."),
    "path": ('root = "data"', "root = 3", "'root' of {file} is a text; got 3."),
    "union": (
        '[50, "all"]', '[1, "all"]',
        "'anchors' of [grid] in {file} is a list of whole numbers, 2 or more each, or 'all'; got [1, 'all'].",
    ),
    "above": ("rate = 1", "rate = 0", "'rate' of [grid] in {file} is a number above 0; got 0."),
    "infinite": ("rate = 1", "decay = inf", "'decay' of [grid] in {file} is a number, 0 or more; got inf."),
    "no number": ("rate = 1", "decay = nan", "'decay' of [grid] in {file} is a number, 0 or more; got nan."),
    "share": ("rate = 1", "held = 1.5", "'held' of [grid] in {file} is a share in (0, 1]; got 1.5."),
    "choice": ("rate = 1", 'best = "lost"', "no best of [grid] in {file} is called 'lost'; nearest: loss."),
    "choice kind": ("rate = 1", "best = 3", "'best' of [grid] in {file} is 'loss' or 'rank'; got 3."),
    "key of a dictionary": (
        'subset = "both"', "subset = 3", "'subset' of [grid.where] in {file} is a list of texts; got 3.",
    ),
    "table": ("[arms.one]\nlayers = 2", "[arms]\none = 3", "'one' of [arms] in {file} is a table [one]; got 3."),
    "tag": ('"wide"', '"wid"', "no kind of {file} is called 'wid'; nearest: wide."),
    "tag kind": ('"wide"', "3", "'kind' of {file} is 'wide' or 'narrow'; got 3."),
    "no tag": ('kind = "wide"', "", "{file} lacks 'kind': 'wide' or 'narrow'."),
    "rule": ("rate = 1", 'best = "rank"', "[grid] in {file}: 'flag' and best = 'rank' exclude each other."),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_file_table_key_and_value(path, name):
    before, after, said = MISTAKES[name]
    assert before in TEXT
    with pytest.raises(DataError) as error:
        read(path, TEXT.replace(before, after, 1))
    assert str(error.value) == said.format(file=path)


class Stack(Record, frozen=True, kw_only=True):
    arms: tuple[Arm, ...] = ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[[arms]]\nlayers = 1\n[[arms]]\nlayer = 2",
            "no key of [arms, entry 2] in {file} is called 'layer'; nearest: layers.",
        ),
        ("[[arms]]\nlayers = -1", "'layers' of [arms, entry 1] in {file} is a whole number, 0 or more; got -1."),
        ("[arms]\nlayers = 1", "'arms' of {file} is tables [[arms]]; got {{'layers': 1}}."),
        ("arms = [3]", "[arms, entry 1] in {file} is a table; got 3."),
        ("arms = 'x'", "'arms' of {file} is tables [[arms]]; got 'x'."),
    ],
)
def test_a_mistake_in_a_list_of_tables_is_named_with_its_entry(path, text, said):
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_record(read_toml(path), Stack, path)
    assert str(error.value) == said.format(file=path)


def test_a_list_of_tables_is_read(path):
    path.write_text("[[arms]]\nlayers = 1\n[[arms]]")
    assert read_record(read_toml(path), Stack, path) == Stack(arms=(Arm(layers=1), Arm()))


def test_changes_are_made_table_by_table():
    content = {"a": 1, "t": {"b": 2, "c": 3}}
    assert merge(content, {"t": {"b": None, "d": 4}, "u": {"e": 5}}) == {"a": 1, "t": {"c": 3, "d": 4}, "u": {"e": 5}}
    assert content == {"a": 1, "t": {"b": 2, "c": 3}}


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
