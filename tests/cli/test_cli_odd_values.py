"""Odd values of options: refused when the line is read, by names the command has, and nothing is left behind."""

from __future__ import annotations

import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError
from stitchkit.core.seeds import LARGEST_SEED


@pytest.mark.parametrize("seed", ["-1", str(LARGEST_SEED + 1), "99999999999999999999999"])
@pytest.mark.parametrize(
    "line",
    [
        ("demo", "--out", "demo"),
        ("anchors", "check", "anchors.csv"),
        ("anchors", "select", "anchors.csv", "-n", "5", "--method", "random", "--out", "s.csv"),
        ("evaluate", "scores.csv", "--labels", "labels.csv"),
        ("compare", "x.safetensors", "y.safetensors"),
        ("diagnose", "folder", "x.safetensors", "y.safetensors"),
        ("align", "demo:general", "demo:text", "--anchors", "a.csv", "--out", "map"),
    ],
)
def test_a_seed_that_no_library_takes_is_refused_before_anything_is_read(cli, tmp_path, monkeypatch, line, seed):
    monkeypatch.chdir(tmp_path)
    for name in ("anchors.csv", "scores.csv", "labels.csv", "a.csv", "x.safetensors", "y.safetensors"):
        (tmp_path / name).write_text("id\n")
    (tmp_path / "folder").mkdir()
    done = cli(*line, "--seed", seed)
    assert done.code == 2
    assert "--seed" in done.err
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 0.5, True, "1"])
def test_python_refuses_the_same_seeds(seed):
    import numpy as np

    x = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(InputError, match="seed must be a whole number from 0"):
        sk.align(x, x, seed=seed)


@pytest.mark.parametrize("kind", ["study", "recipe"])
def test_files_refuse_the_same_seeds(tmp_path, kind):
    from stitchkit.studies.plans import read_plan
    from stitchkit.training.recipes import read_recipe

    file = tmp_path / "one.toml"
    file.write_text(f'name = "a"\nseed = {LARGEST_SEED + 1}\n' + ('kind = "retrieval"\n' if kind == "study" else ""))
    with pytest.raises(sk.StitchError, match=r"'seed'.*a whole number from 0 to"):
        (read_plan if kind == "study" else read_recipe)(file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("table=3", "the setting 'table' of the layout 'table' is a text; got 3"),
        ("classes=3", "'classes' of the layout 'table' is a list of texts; got 3"),
        ("classes=[3]", "is a list of texts; got [3]"),
        ("columns=3", "is a list of texts; got 3"),
        ("id=3", "is a text; got 3"),
        ("root=x", "no setting of the layout 'table' is called 'root'"),
        ("layout=x", "no setting of the layout 'table' is called 'layout'"),
    ],
)
def test_a_setting_of_a_layout_of_a_wrong_type_is_named(cli, tmp_path, change, words):
    (tmp_path / "films.csv").write_text("id,text,label\n1,clear,a\n")
    done = cli("anchors", "collect", "table", tmp_path, "--out", tmp_path / "k.csv", "--set", change)
    assert done.code == 2, done.err
    assert words in done.err


def test_columns_of_collect_are_named_as_it_sets_them(cli, tmp_path):
    (tmp_path / "films.csv").write_text("id,text,label\n1,clear,a\n1,dense,b\n")
    done = cli("anchors", "collect", "table", tmp_path, "--out", tmp_path / "k.csv", "--set", "table=films.csv")
    assert done.code == 4
    assert "--set id=" in done.err or "--set label=" in done.err


@pytest.mark.parametrize("what", ["g", "nothing_at_all"])
def test_an_error_of_the_users_own_encoder_names_it(cli, tmp_path, what):
    file = tmp_path / "own.py"
    file.write_text("def g(items):\n    raise ValueError('no such plug-in')\n" if what == "g" else "1 / 0\n")
    (tmp_path / "texts.txt").write_text("a\nb\n")
    done = cli("info", f"python:{file}:{what}")
    assert done.code == 2
    assert f"raised by the Python code of encoder 'python:{file}:{what}'" in done.err
    assert "stitchkit or in a library" not in done.err


def test_a_folder_is_no_toml_file(cli, tmp_path):
    done = cli("study", tmp_path, "--out", tmp_path / "out")
    assert done.code in (2, 4)
    assert "is a folder" in done.err


def test_items_of_a_stitched_folder_have_the_columns_that_are_named(cli, world, tmp_path):
    rows = [["key", "path", "person"], *([f"k{i}", world.test / f"test{i}.png", f"p{i // 2}"] for i in range(30))]
    table = tmp_path / "items.csv"
    table.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    truth = [line.split(",") for line in world.labels.read_text().splitlines()]
    at = {row[0]: row for row in truth}
    named = [["key", "person", *truth[0][2:5]], *([f"k{i}", f"p{i // 2}", *at[f"test{i}.png"][2:5]] for i in range(30))]
    labels = tmp_path / "labels.csv"
    labels.write_text("".join(",".join(row) + "\n" for row in named))
    folder = tmp_path / "stitched"
    head = ("--head", f"prompts:{world.prompts}", "--solver", "procrustes")
    made = cli("stitch", world.quick, world.quick_text, "--anchors", world.anchors, *head, "--out", folder)
    assert made.code == 0, made.err
    line = ("zeroshot", folder, "--items", table, "--id-column", "key", "--groups", "person", *world.trusted)
    done = cli(*line, "--out", tmp_path / "s.csv")
    assert done.code == 0, done.err
    assert (tmp_path / "s.csv").read_text().splitlines()[1].startswith("k0,")
    judged = cli(*line, "--labels", labels, "--min-positives", 2, "--out", tmp_path / "t.csv")
    assert judged.code == 0, judged.err
    refused = cli(*line, "--source-column", "path", "--out", tmp_path / "u.csv")
    assert refused.code == 2
    assert "--source-column names a column of the anchors' table" in refused.err


def test_a_stitch_whose_comparison_fails_leaves_nothing(cli, world, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("\n".join(world.anchors.read_text().splitlines()[:5]) + "\n")
    head = ("--head", f"prompts:{world.prompts}", "--solver", "procrustes", "--root", world.anchors.parent)
    line = ("stitch", world.quick, world.quick_text, "--anchors", few, *head, "--labels", world.labels)
    done = cli(*line, "--out", tmp_path / "out")
    assert done.code == 4
    assert "too few to judge by" in done.err
    assert [one.name for one in tmp_path.iterdir()] == ["few.csv"]
    for options in (("--class", "nope"), ("--metadata", "nope")):
        early = cli(*line, *options, "--out", tmp_path / "out")
        assert early.code in (2, 4)
        assert "nope" in early.err
        assert "loading" not in early.err
    assert [one.name for one in tmp_path.iterdir()] == ["few.csv"]
