"""``stitchkit anchors collect``: a published layout as a table that the other commands read."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError
from stitchkit.datasets.cohort_tables import cohort_table
from stitchkit.datasets.cohorts import LAYOUTS


@pytest.fixture(scope="module")
def copies():
    """The builders of miniature copies of the public layouts, by name."""
    builders = {}
    for name in ("published_copies", "evaluation_copies"):  # the second imports from the first
        if name not in sys.modules:
            path = Path(__file__).parents[1] / "datasets" / f"{name}.py"
            spec = importlib.util.spec_from_file_location(name, path)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        builders |= vars(sys.modules[name])
    return SimpleNamespace(**builders)


ARRAYS = ("medmnist", "pcam")  # whose images are no files, so that no table can name them
SETTINGS = {  # what a layout's reader must be told of the miniature copies
    "folders": {"folders": {"Benign": ["Photos/Benign"]}},
    "chexpert": {"uncertain": "ignore"},
    "mimic-cxr": {"uncertain": "ignore"},
    "padchest": {"uncertain": "ignore"},
    "open-i": {"uncertain": "ignore"},
}


def _toml(value):
    return (
        value if isinstance(value, str) else "{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + "}"
    )


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one not in ("table", "dicom", *ARRAYS)])
def test_what_the_table_says_is_what_the_reader_read(cli, copies, tmp_path, layout):
    if layout in copies.NOT_HERE:
        pytest.skip(f"{copies.NOT_HERE[layout]} is not installed: pip install 'stitchkit[exam]'")
    root = getattr(copies, layout.replace("-", "_"))(tmp_path)
    given = SETTINGS.get(layout, {})
    out = tmp_path / "tables" / "all.csv"
    done = cli(
        "anchors", "collect", layout, root, "--out", out, *(f"--set={key}={_toml(one)}" for key, one in given.items())
    )
    assert done.code == 0, done.err
    cohort = sk.read_cohort(layout, root, **given)
    columns = [name for name in cohort.labels.columns if name not in ("patient", "split")]
    again = sk.read_cohort("table", out.parent, table="all.csv", id="id", classes=list(cohort.labels.classes),
                           columns=columns, text="text" if cohort.texts else None,
                           split="split" if cohort.split is not None else None)  # fmt: skip
    np.testing.assert_array_equal(again.labels.ids, cohort.labels.ids)
    np.testing.assert_array_equal(again.labels.values, cohort.labels.values)
    assert [Path(one).resolve() for one in again.images.values] == [Path(one).resolve() for one in cohort.images.values]
    for side in ("groups", "classes"):
        np.testing.assert_array_equal(getattr(again.labels, side), getattr(cohort.labels, side))
    for name in columns:
        told, read = again.labels.columns[name], cohort.labels.columns[name]
        if read.dtype.kind == "f":
            np.testing.assert_allclose(told, read)
        else:
            assert [str(one).removesuffix(".0") for one in told] == [str(one) for one in read]
    if cohort.texts is not None:
        assert [str(one) for one in again.texts.values] == [str(one) for one in cohort.texts.values]
    card = json.loads(out.with_name("all.card.json").read_text())
    assert card["source"] == cohort.card["source"]
    assert card["table"]["items"] == len(cohort)


def test_one_split_is_collected_and_images_below_the_table_are_relative(cli, copies, tmp_path):
    root = copies.mimic_cxr(tmp_path)
    done = cli("anchors", "collect", "mimic-cxr", root, "--out", tmp_path / "train.csv", "--split", "train",
               "--set", "uncertain=ignore", "--json")  # fmt: skip
    with (tmp_path / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"train"}
    assert len(rows) == done.json["items"]
    assert not any(Path(row["path"]).is_absolute() for row in rows)
    assert all((tmp_path / row["path"]).is_file() for row in rows)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("nhi", "{root}", "--out", "{out}.csv"), 2, "nearest: nih"),
        (("nih", "{root}", "--out", "{out}.txt"), 2, "does not end in .csv"),
        (("nih", "{root}", "--out", "{out}.csv", "--set", "uncertain"), 2, "KEY=VALUE"),
        (("nih", "{root}", "--out", "{out}.csv", "--set", "viewz=all"), 2, "viewz"),
        (("nih", "{root}", "--out", "{out}.csv", "--split", "dev"), 2, "known: test, train"),
        (("nih", "{root}/no", "--out", "{out}.csv"), 4, "there is no folder"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(cli, copies, tmp_path, change, code, said):
    root = copies.nih(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = cli("anchors", "collect", *(one.format(root=root, out=tmp_path / "x") for one in change))
    assert (done.code, said in done.err) == (code, True), done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_counts_and_writes_nothing(cli, copies, tmp_path):
    root = copies.nih(tmp_path)
    done = cli("anchors", "collect", "nih", root, "--out", tmp_path / "x.csv", "--dry-run")
    assert done.code == 0
    assert "items" in done.out
    assert not (tmp_path / "x.csv").exists()


def test_what_is_no_file_has_no_place_in_a_table():
    ids = np.asarray(["a", "b"])
    labels = sk.Labels([[1], [0]], ids, ("Edema",))
    from stitchkit.datasets.cohorts import Cohort

    with pytest.raises(DataError, match="no image files"):
        cohort_table(Cohort(sk.Items(ids, ["one", "two"], "text"), labels), ".")
    twice = sk.Labels([[1], [0]], ids, ("Edema",), columns={"Edema": np.asarray([1.0, 2.0])})
    with pytest.raises(DataError, match="'Edema' of the cohort would stand twice"):
        cohort_table(Cohort(sk.Items(ids, ["a.png", "b.png"], "image"), twice), ".")


def test_numbers_keep_all_their_digits(tmp_path):
    values = np.asarray([21800500.0, 21800501.0, 123.4562, 0.1 + 0.2, np.nan, -3.0])
    ids = np.asarray([f"i{k}" for k in range(6)])
    labels = sk.Labels(np.empty((6, 0)), ids, (), columns={"dose": values})
    from stitchkit.datasets.cohorts import Cohort

    rows = cohort_table(Cohort(sk.Items(ids, [f"{one}.png" for one in ids], "image"), labels), tmp_path)
    told = [row[-1] for row in rows[1:]]
    assert told == ["21800500", "21800501", "123.4562", repr(0.1 + 0.2), "", "-3"]
