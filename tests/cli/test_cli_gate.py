"""``stitchkit gate``: exit code 0 or 1 by the pairs, and what it refuses before any encoder is loaded."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from crafted import edited

import stitchkit as sk
from stitchkit.datasets.anchor_tables import AnchorTable
from stitchkit.evaluation.anchors.fitted_folders import audit_folder
from stitchkit.storage.embeddings import write_embeddings


@pytest.fixture(scope="module")
def files(cli, tmp_path_factory):
    """An alignment of 150 pairs, a worse one of 12, and 50 fresh pairs of 25 patients, all as files."""
    folder, rng = tmp_path_factory.mktemp("gate"), np.random.default_rng(0)
    x = rng.normal(size=(200, 8))
    sides = {"x": x, "y": x @ rng.normal(size=(8, 6)) + 1.2 * rng.normal(size=(200, 6))}
    ids = np.asarray([f"item{i}" for i in range(200)])
    for part, rows in (("good", slice(0, 150)), ("few", slice(0, 12)), ("fresh", slice(150, 200))):
        for name, vectors in sides.items():
            space = sk.Space(name, vectors.shape[1], f"mark of {name}")
            write_embeddings(folder / f"{part}-{name}.safetensors", sk.Embeddings(vectors[rows], ids[rows], space))
        table = "\n".join(f"{one},p{int(one[4:]) // 2},text" for one in ids[rows])
        (folder / f"{part}.csv").write_text(f"id,patient,text\n{table}\n")
    for part in ("good", "few"):
        pair = [folder / f"{part}-{name}.safetensors" for name in "xy"]
        rest = ("--anchors", folder / f"{part}.csv", "--solver", "least_squares", "--out", folder / part)
        assert cli("align", *pair, *rest).code == 0
    return folder


def fresh(files, *, part="good"):
    sides = ("--source", files / "fresh-x.safetensors", "--target", files / "fresh-y.safetensors")
    return ("gate", files / part, *sides, "--test", files / "fresh.csv")


def test_a_good_alignment_passes_with_a_line_a_check(cli, files, tmp_path):
    out = tmp_path / "gate.json"
    done = cli(*fresh(files), "--min-mrr", "0.3", "--min-recall-at-1", "0.2", "--min-r2", "0.1", "--out", out)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["passed", "mrr"], ["passed", "recall@1"], ["passed", "r2"]]
    assert "gate passed: 3 of 3 checks passed on 50 pairs (25 patients), gallery of 50" in done.out
    assert json.loads(out.read_text())["passed"] is True


def test_a_missed_threshold_ends_with_1(cli, files):
    done = cli(*fresh(files), "--min-mrr", "0.999", "--json")
    assert done.code == 1
    assert done.json["passed"] is False
    assert done.json["checks"][0]["reached"] == done.json["checks"][0]["interval"]["low"]
    assert done.err == ""


def test_a_worse_alignment_fails_against_the_old_one_and_not_the_other_way(cli, files):
    assert cli(*fresh(files, part="few"), "--against", files / "good").code == 1
    done = cli(*fresh(files), "--against", files / "few")
    assert done.code == 0, done.err
    assert "mrr minus the other" in done.out
    assert "at least -0.020" in done.out
    assert cli(*fresh(files, part="few"), "--against", files / "good", "--margin", "0.99").code == 0


def test_the_shell_sees_the_exit_code(shell, files):
    assert shell(*fresh(files), "--min-mrr", "0.999").code == 1
    assert shell(*fresh(files), "--min-mrr", "0.1").code == 0


def test_the_table_of_the_fit_is_no_test(cli, files):
    sides = ("--source", files / "good-x.safetensors", "--target", files / "good-y.safetensors")
    line = ("gate", files / "good", *sides, "--test", files / "good.csv", "--min-mrr", "0.1")
    done = cli(*line)
    assert done.code == 4
    assert "fitted on this very table of 150 pairs" in done.err
    allowed = cli(*line, "--allow-leakage")
    assert allowed.code == 0
    assert "note: LEAKAGE" in allowed.out


def test_a_folder_that_names_its_encoders_reads_the_items(cli, world, tmp_path):
    rows = "\n".join(f"test{i}.png,test{i}.png,heart clear {'lung ' * (i % 5)},q{i}" for i in range(30))
    (tmp_path / "pairs.csv").write_text(f"id,path,text,patient\n{rows}\n")
    out = tmp_path / "map"
    done = cli(
        "align", world.quick, world.quick_text, "--anchors", world.anchors, "--out", out, "--solver", "procrustes"
    )
    assert done.code == 0, done.err
    line = ("gate", out, "--test", tmp_path / "pairs.csv", "--root", world.test, *world.trusted)
    done = cli(*line, "--min-recall-at-1", "0", "--json", "--quiet")
    assert done.code == 0, done.err
    assert done.json["pairs"] == 30
    assert done.json["patients"] == 30
    assert cli(*line, "--against", out, "--margin", "0", "--quiet").code == 0


MISTAKES = {
    "nothing to check": ((), "nothing to check"),
    "a percentage": (("--min-mrr", "80"), "from 0 to 1"),
    "no such end": (("--min-mrr", "0.5", "--by", "lowest"), "nearest: lower"),
    "margin": (("--min-mrr", "0.5", "--margin", "1"), "margin"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_before_any_encoder_is_loaded(cli, files, no_models, case):
    more, word = MISTAKES[case]
    done = cli(*fresh(files), *more)
    assert done.code == 2
    assert word in done.err
    assert done.out == ""


def test_a_folder_without_encoders_asks_for_vectors(cli, files, no_models):
    done = cli("gate", files / "good", "--test", files / "fresh.csv", "--min-mrr", "0.1")
    assert done.code == 2
    assert "--source source.safetensors --target target.safetensors" in done.err
    assert cli("gate", files / "good", "--min-mrr", "0.1").code == 2
    assert cli("gate", files / "nothing", "--min-mrr", "0.1").code == 2


def test_vectors_of_another_encoder_are_refused(cli, files):
    sides = ("--source", files / "fresh-y.safetensors", "--target", files / "fresh-y.safetensors")
    done = cli("gate", files / "good", *sides, "--min-mrr", "0.1")
    assert done.code == 2
    assert "takes (n, 8) vectors of 'x'" in done.err


def test_a_dry_run_measures_nothing(cli, files, no_models):
    done = cli(*fresh(files), "--min-mrr", "0.999", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.json["dry_run"] is True


def test_help_names_the_exit_codes(cli):
    assert "1 gate failed" in " ".join(cli("--help").out.replace("│", " ").split())
    assert "Dangerous options" in cli("gate", "--help").out


@pytest.fixture(scope="module")
def noise(cli, tmp_path_factory):
    """A map of 40 pairs of noise, and tables of parts of the same pairs."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(1)
    ids = np.asarray([f"scan-{i}" for i in range(80)])
    for name, d in (("x", 60), ("y", 50)):
        space = sk.Space(name, d, f"mark of {name}")
        write_embeddings(folder / f"{name}.safetensors", sk.Embeddings(rng.normal(size=(80, d)), ids, space))
    tables = {"fit": range(40), "all but one": range(39), "patients": range(41, 80, 2), "fresh": range(40, 80)}
    for part, rows in tables.items():
        patient = (lambda i: i - 40) if part == "patients" else (lambda i: i)
        lines = "\n".join(f"{ids[i]},smith{patient(i)},text" for i in rows)
        (folder / f"{part}.csv").write_text(f"id,patient,text\n{lines}\n")
    sides = [folder / f"{name}.safetensors" for name in "xy"]
    rest = ("--anchors", folder / "fit.csv", "--solver", "least_squares", "--out", folder / "map")
    assert cli("align", *sides, *rest).code == 0
    return folder


def on(noise, part):
    sides = ("--source", noise / "x.safetensors", "--target", noise / "y.safetensors")
    return ("gate", noise / "map", *sides, "--test", noise / f"{part}.csv", "--min-mrr", "0.5")


def test_parts_of_the_fit_are_no_test_either(cli, noise):
    done = cli(*on(noise, "all but one"))
    assert done.code == 4
    assert "fitted on 39 of these items and 39 of these patients" in done.err
    allowed = cli(*on(noise, "all but one"), "--allow-leakage")
    assert allowed.code == 0  # what it would have passed on
    assert allowed.out.count("note: LEAKAGE: ") == 1
    assert "note: LEAKAGE: the map was fitted on 39 of these items and 39 of these patients and 39" in allowed.out
    other = cli(*on(noise, "patients"))
    assert other.code == 4
    assert "fitted on 20 of these patients" in other.err
    clean = cli(*on(noise, "fresh"))
    assert clean.code == 1
    assert f"by id and patient, none of these pairs is among the anchors of {noise / 'map'}; the same" in clean.out


def test_what_two_folders_do_not_know_is_said_once(cli, files, tmp_path):
    other = tmp_path / "good"  # another folder of the same name
    shutil.copytree(files / "good", other)
    line = fresh(files)[:6]  # without the table, patients are not known
    said = "the patients of these pairs are not known, so that patients were not compared"
    for folder in (other, files / "good"):
        found = cli(*line, "--against", folder, "--margin", "0.5", "--json").json
        assert found["audit"] == []
        assert found["notes"].count(said) == 1


@pytest.mark.usefixtures("no_models")
def test_too_few_pairs_are_told_what_a_gate_needs(cli, files, tmp_path):
    (tmp_path / "one.csv").write_text("id,patient,text\nitem150,p,text\n")
    line = [one if one != files / "fresh.csv" else tmp_path / "one.csv" for one in fresh(files)]
    done = cli(*line, "--min-mrr", "0.1")
    assert done.code == 2
    assert "1 pair is too few to judge by; a gate needs at least 10 pairs" in done.err
    rows = "\n".join(f"item{150 + i},q{i % 3},text" for i in range(12))
    (tmp_path / "one.csv").write_text(f"id,patient,text\n{rows}\n")
    done = cli(*line, "--min-mrr", "0.1")
    assert done.code == 2
    assert done.err.endswith(": --by value.\n")


def test_files_without_a_table_are_audited_by_their_ids(cli, noise):
    line = ("gate", noise / "map", "--source", noise / "x.safetensors", "--target", noise / "y.safetensors")
    done = cli(*line, "--min-mrr", "0.5")
    assert done.code == 4
    assert "fitted on 40 of these items" in done.err


def test_a_folder_keeps_no_id_and_no_patient(noise):
    for path in (noise / "map").iterdir():
        text = path.read_bytes().decode("latin-1")
        assert "scan-" not in text
        assert "smith" not in text


def test_a_folder_of_older_times_is_known_by_its_table_alone_and_that_is_said(cli, noise, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(noise / "map", folder)
    edited(folder, lambda config: config["record"].pop("anchor_hashes"))
    line = on(noise, "all but one")
    done = cli(*line[:1], folder, *line[2:])
    assert "keeps no hashes of its anchors: of leakage that the pairs are its own table was checked" in done.out
    line = on(noise, "fit")
    assert cli(*line[:1], folder, *line[2:]).code == 4


@pytest.mark.parametrize("verb", ["align", "stitch"])
def test_folders_of_encoders_know_their_anchors_too(cli, world, tmp_path, no_models_after, verb):
    lines = world.anchors.read_text().splitlines()
    (tmp_path / "part.csv").write_text("\n".join(lines[:21]) + "\n")
    out = tmp_path / "map"
    rest = (
        "--anchors",
        world.anchors,
        "--out",
        out,
        "--solver",
        "procrustes",
        *(["--head", "none"] * (verb == "stitch")),
    )
    done = cli(verb, world.quick, world.quick_text, *rest, "--json")
    assert done.code == 0, done.err
    assert "salt" not in done.out
    assert "salt" not in (out / "README.md").read_text()
    no_models_after()
    line = ("gate", out, "--test", tmp_path / "part.csv", "--root", world.anchors.parent, "--min-mrr", "0.1")
    refused = cli(*line)
    assert refused.code == 4
    assert "fitted on 20 of these items and 10 of these patients" in refused.err


@pytest.fixture
def no_models_after(monkeypatch):
    """From its call on no encoder may be loaded."""

    def refuse(*_, **__):
        pytest.fail("an encoder was loaded")

    return lambda: monkeypatch.setattr("stitchkit.encoders.load_encoder", refuse)


@pytest.mark.parametrize("known", [7, "a table", [], {"sha256": 7}, {"n": 3}])
def test_a_folder_may_say_anything_of_its_anchor_set(known, files, cli, world, tmp_path):
    folder = shutil.copytree(files / "good", tmp_path / "map")
    edited(folder, lambda config: config.update(anchor_set=known))
    line = ("--source", files / "fresh-x.safetensors", "--target", files / "fresh-y.safetensors", "--min-mrr", "0.1")
    assert cli("gate", folder, *line).code == 0
    notes = audit_folder(folder, ["item7"], table=AnchorTable(world.anchors), config={"anchor_set": known})
    assert "keeps no hashes of its anchors" in notes[0]
