"""How commands refuse, fail and stop: one line on stderr, an exit code, and nothing written."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from typer.testing import CliRunner

from stitchkit.cli.main import app

COMMANDS = ("demo", "embed", "align", "stitch", "zeroshot", "evaluate", "info")


def refused(done, code, *words):
    """One line on stderr that begins with 'error:', nothing on stdout."""
    assert done.code == code, done.err
    last = done.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert [line for line in done.err.splitlines() if not line.startswith(("loading ", "searching "))] == [last]
    assert done.out == ""
    for word in words:
        assert word in last


@pytest.fixture
def lines(world, tmp_path):
    """A sound line of every command that writes, and where it writes."""
    out = tmp_path / "out"
    anchors = ("--anchors", world.anchors)
    return {
        "embed": (("embed", world.quick, world.test), out.with_suffix(".safetensors")),
        "align": (("align", world.quick, world.quick_text, *anchors), out),
        "stitch": (("stitch", world.quick, world.quick_text, *anchors), out),
        "zeroshot": (
            ("zeroshot", world.quick, world.quick_text, *anchors, "--prompts", world.prompts, "--items", world.test),
            out.with_suffix(".csv"),
        ),
        "demo": (("demo",), out),
    }


WRITING = ("embed", "align", "stitch", "zeroshot", "demo")


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize("command", WRITING)
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(cli, lines, tmp_path, command):
    line, out = lines[command]
    before = sorted(tmp_path.rglob("*"))
    done = cli(*line, "--out", out, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.json["dry_run"] is True
    assert str(out) in done.out
    assert sorted(tmp_path.rglob("*")) == before
    assert cli(*line, "--out", out, "--dry-run").out.startswith("dry run: nothing was done")


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize("command", WRITING)
def test_an_output_that_exists_is_refused_before_any_work(cli, lines, command):
    line, out = lines[command]
    if out.suffix:
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    page = command == "demo"  # written beside other files
    refused(cli(*line, "--out", out), 2, "--overwrite" if out.suffix or page else "something else, which is never")
    if not page:
        assert cli(*line, "--out", out, "--overwrite").code == 2  # never what is not ours
    kept = out if out.suffix else out / "mine.txt"
    assert kept.read_text() == "mine"


def test_overwrite_replaces_an_earlier_output(cli, lines):
    for command in ("embed", "align"):
        line, out = lines[command]
        assert cli(*line, "--out", out).code == 0
        assert cli(*line, "--out", out).code == 2
        assert cli(*line, "--out", out, "--overwrite").code == 0


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize("place", ["no/such", "file/below"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(cli, world, tmp_path, place):
    (tmp_path / "file").write_text("")
    done = cli(
        "stitch", world.quick, world.quick_text, "--anchors", world.anchors, "--out", tmp_path / place, "--dry-run"
    )
    assert done.code == (2 if place.startswith("file") else 0)


# what is wrong -> the command line, its exit code, a word of the message
MISTAKES = {
    "unknown command": ("tsitch", 2, "No such command"),
    "unknown option": ("info chexpert5 --frob", 2, "No such option"),
    "missing argument": ("embed", 2, "Missing argument"),
    "no number": ("demo --seed x", 2, "--seed"),
    "bare name": ("info resnet18", 2, "names no family"),
    "unknown family": ("info tmmi:resnet18", 2, "nearest: timm"),
    "wrong ending": ("embed {quick} {test} --out {tmp}/x.npy", 2, ".safetensors"),
    "pool of one side": ("align {pair} {on} --pool-source {test} --out {tmp}/x", 2, "--pool-target"),
    "pool for a head": ("align {pair} {on} {pools} --purpose head --out {tmp}/x", 2, "--purpose head"),
    "pool for ridge": ("align {pair} {on} {pools} --solver ridge --out {tmp}/x", 2, "--solver ridge"),
    "pool that is not there": ("align {pair} {on} --pool-source {tmp}/no --out {tmp}/x", 2, "--pool-source"),
    "unknown solver": ("align {pair} {on} --solver rigde --out {tmp}/x", 2, "ridge"),
    "unknown purpose": ("align {pair} {on} --purpose mach --out {tmp}/x", 2, "match"),
    "no anchors": ("align {pair} --out {tmp}/x", 2, "--anchors"),
    "no such file": ("align {quick} x.safetensors {on} --out {tmp}/x", 2, "no file of vectors x.safetensors"),
    "unknown head": ("stitch {pair} {on} --head mine --out {tmp}/x", 2, "own, none"),
    "unknown prompts": ("zeroshot {pair} {on} --prompts chexprt5 --items {test} --out {tmp}/x.csv", 2, "chexpert5"),
    "prompts without anchors": ("zeroshot {pair} --prompts view --items {test} --out {tmp}/x.csv", 2, "--anchors"),
    "no device": ("embed {quick} {test} --device cuda:77 --out {tmp}/x.safetensors", 2, "--device auto"),
    "prompts to an image encoder": ("stitch {pair} {on} --head prompts:view --out {tmp}/x", 2, "text encoder"),
    "no table": ("stitch {pair} --anchors {tmp}/no.csv --out {tmp}/x", 2, "no.csv"),
    "no labels": ("evaluate {anchors} --labels {tmp}/no.csv", 2, "no.csv"),
    "no root": ("align {pair} {on} --root {tmp}/no --out {tmp}/x", 2, "--root"),
    "no such items": ("embed {quick} {tmp}/no --out {tmp}/x.safetensors", 2, "ITEMS"),
    "no embeddings": ("align {tmp}/no.safetensors {tmp}/no.safetensors --out {tmp}/x", 2, "no.safetensors"),
    "no prompt file": ("stitch {pair} {on} --head prompts:{tmp}/no.toml --out {tmp}/x", 2, "no.toml"),
    "no stitched folder": ("zeroshot {tmp}/no --items {test} --out {tmp}/x.csv", 2, "no stitched folder"),
    "no alignment": ("gate {tmp}/no --test {anchors} --min-mrr 0.1", 2, "FOLDER"),
    "no alignment to diagnose": ("diagnose {tmp}/no {quick} {quick} {on} --out {tmp}/x", 2, "ALIGNMENT"),
    "not an alignment": ("gate {test} --test {anchors} --min-mrr 0.1", 2, "is no alignment or stitched folder"),
    "not a table": ("stitch {pair} --anchors {test} --out {tmp}/x", 4, "folder"),
    "not embeddings": ("align {bad} {bad} --out {tmp}/x", 4, "no safetensors file"),
    "no column": ("align {pair} {on} --target-column tekst --out {tmp}/x", 4, "nearest: text"),
    "no items": ("embed {quick} {tmp} --out {tmp}/x.safetensors", 4, "no images"),
    "no scores": ("evaluate {tmp}/no.csv --labels {anchors}", 2, "SCORES"),
    "not scores": ("evaluate {anchors} --labels {anchors}", 4, "no table of scores"),
    "not a stitched folder": (
        "evaluate {test} --labels {anchors} --items {test}",
        2,
        "is no alignment or stitched folder",
    ),
    "no checkpoint": ("info hf:local-dir:{tmp}/gone", 5, "no folder"),
    "gone from the hub": ("info timm:hf-hub:nobody/nothing --offline", 5, "hub calls are forbidden"),
    "a fault inside": (
        "embed {broken} {test} --store none --out {tmp}/x.safetensors",
        2,
        "TypeError: the battery is empty",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_every_kind_of_error_is_one_line_with_its_exit_code(cli, world, tmp_path, case):
    line, code, word = MISTAKES[case]
    names = {
        "quick": world.quick,
        "pair": f"{world.quick} {world.quick}",
        "broken": world.own("broken"),
        "anchors": world.anchors,
        "on": f"--anchors {world.anchors}",
        "pools": f"--pool-source {world.test} --pool-target {world.test}",
        "bad": _bad(world.folder / "bad.safetensors"),
        "test": world.test,
        "tmp": tmp_path,
    }
    refused(cli(*line.format(**names).split()), code, word)
    assert list(tmp_path.iterdir()) == []


def _bad(path):
    path.write_text("not safetensors")
    return path


def test_a_missing_library_is_named_with_the_command_that_installs_it(cli, world, monkeypatch):
    name = world.vision
    monkeypatch.setitem(sys.modules, "timm", None)
    refused(cli("info", name), 3, "pip install timm")


def test_a_traceback_is_shown_only_when_asked_for(cli, world, tmp_path):
    line = ("embed", world.own("broken"), world.test, "--store", "none", "--out", tmp_path / "x.safetensors")
    assert "Traceback" not in cli(*line).err
    done = cli(*line, "-v")
    assert "Traceback" in done.err
    assert "the battery is empty" in done.err.splitlines()[-1]
    assert done.code == 2


def test_a_fault_of_the_package_is_an_internal_error(cli, world, tmp_path, monkeypatch):
    def fault(*args, **settings):
        raise TypeError("a wrong turn")

    monkeypatch.setattr("stitchkit.embedding.embed", fault)
    done = cli("embed", world.quick, world.test, "--store", "none", "--out", tmp_path / "x.safetensors")
    refused(done, 70, "internal error, TypeError: a wrong turn. The fault is in stitchkit")


def test_advice_is_given_in_flags_and_not_in_python(cli, world, tmp_path):
    line = ("align", world.quick, world.quick, "--anchors", world.anchors, "--out", tmp_path / "x")
    unknown = cli(*line, "--solver", "rigde")
    refused(unknown, 2, "nearest: ridge")
    assert "solver value" not in unknown.err
    assert cli(*line, "--solver", "procrustes", "--quiet").code == 0
    nothing = cli("gate", tmp_path / "x", "--test", world.anchors)
    refused(nothing, 2, "give --min-mrr, --min-recall-at-1, --min-r2 or --against.")


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(cli, world, tmp_path):
    done = cli("embed", world.own("interrupted"), world.test, "--out", tmp_path / "x.safetensors")
    refused(done, 130, "interrupted", "goes on from there")


def _test_table(tmp_path, patient):
    path = tmp_path / "test.csv"
    path.write_text(f"id,patient\nscan-1,{patient}\n")
    return path


@pytest.mark.usefixtures("no_models")
def test_stitch_refuses_anchors_of_tested_patients_before_any_model_is_loaded(cli, world, tmp_path):
    line = ("stitch", world.quick, world.own("small"), "--anchors", world.anchors, "--out", tmp_path / "x")
    refused(cli(*line, "--test", _test_table(tmp_path, "anchors-3")), 4, "1 patient ")


def test_leakage_that_is_allowed_stands_in_the_folder(cli, world, tmp_path):
    out = tmp_path / "x"
    line = ("stitch", world.quick, world.own("small"), "--anchors", world.anchors, "--out", out)
    done = cli(*line, "--test", _test_table(tmp_path, "anchors-3"), "--allow-leakage", "--json")
    assert done.json["audit"] == ["LEAKAGE: 1 patient has both anchors and test items"]
    assert json.loads((out / "config.json").read_text())["audit"] == done.json["audit"]


def test_scoring_for_an_evaluation_refuses_leakage_before_the_items_are_embedded(cli, world, tmp_path, monkeypatch):
    line = ("zeroshot", world.quick, world.quick_text, "--anchors", world.anchors, "--prompts", world.prompts)
    rest = ("--items", world.anchors.parent, "--labels", world.labels, "--out", tmp_path / "x.csv")
    refused(cli(*line, *rest), 4, "both anchors and test items")
    assert list(tmp_path.iterdir()) == []


def test_a_test_item_without_a_label_is_named(cli, world, tmp_path):
    scores = tmp_path / "scores.csv"
    scores.write_text("id,kind,effusion\nnobody,logit,0.5\n")
    refused(cli("evaluate", scores, "--labels", world.labels), 4, "'nobody'")


def test_an_uncertain_label_asks_for_a_policy_in_the_words_of_the_command_line(cli, tmp_path):
    (tmp_path / "labels.csv").write_text("id,effusion\na,-1\n")
    (tmp_path / "scores.csv").write_text("id,kind,effusion\na,logit,0.5\n")
    done = cli("evaluate", tmp_path / "scores.csv", "--labels", tmp_path / "labels.csv")
    refused(done, 4, "row 2", "'effusion'", "--uncertain ignore")


def test_a_changed_encoder_is_refused(cli, world, tmp_path):
    source = tmp_path / "source"
    world.builders.timm_vit(source, seed=1)
    name = f"timm:local-dir:{source}"
    out = tmp_path / "map"
    done = cli("stitch", name, world.own("small"), "--anchors", world.anchors, "--head", "none", "--out", out)
    assert done.code == 0, done.err
    shutil.rmtree(source)
    world.builders.timm_vit(source, seed=2)
    probe = cli("zeroshot", out, "--prompts", world.prompts, "--items", world.test, "--out", tmp_path / "x.csv")
    refused(probe, 2, "now has fingerprint", "stitch again")


def test_an_encoder_that_prints_does_not_spoil_the_json(cli, world, tmp_path):
    line = ("embed", world.own("chatty"), world.test, "--store", "none", "--out", tmp_path / "x.safetensors")
    done = cli(*line, "--json")
    assert done.json["n"] == 30
    assert "a library that prints" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "--json" in result.stdout
    if command not in ("demo", "info"):
        assert "Dangerous options" in result.stdout


def test_zeroshot_writes_no_scores_when_they_cannot_be_judged(cli, world, tmp_path):
    out = tmp_path / "scores.csv"
    line = ("zeroshot", world.vision, world.text, "--anchors", world.anchors, "--prompts", world.prompts)
    done = cli(*line, "--items", world.test, "--labels", world.labels, "--min-positives", "1000", "--out", out)
    assert done.code == 4
    assert not out.exists()
