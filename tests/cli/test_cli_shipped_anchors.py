"""The shipped anchor set through every command that takes anchors."""

from __future__ import annotations

import csv

import pytest
from PIL import Image

import stitchkit as sk

NAME = "phantoms-500"
GENERAL, TEXT = "demo:general", "demo:text"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Thirty films of other phantoms with a table of labels, and one of the set's own ids."""
    folder, drawn = tmp_path_factory.mktemp("films"), sk.make_phantoms(30, seed=5)
    for name, image in zip(drawn.ids, drawn.images, strict=True):
        Image.fromarray(image).save(folder / f"{name}.png")
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = [
            [name, f"{name}.png", patient, *labels]
            for name, patient, labels in zip(drawn.ids, drawn.patients, drawn.labels.tolist(), strict=True)
        ]
        csv.writer(file).writerows([["id", "path", "patient", *sk.read_prompts("phantom").classes], *rows])
    return folder


@pytest.fixture(scope="module")
def stitched(cli, tmp_path_factory):
    out = tmp_path_factory.mktemp("stitched") / "folder"
    done = cli("stitch", GENERAL, TEXT, "--anchors", NAME, "--solver", "ridge", "--head", "prompts:phantom",
               "--out", out)  # fmt: skip
    assert done.code == 0, done.err
    return out


def test_align(cli, tmp_path):
    done = cli("align", GENERAL, TEXT, "--anchors", NAME, "--solver", "ridge", "--out", tmp_path / "a", "--json")
    assert done.code == 0, done.err
    assert done.json["record"]["anchors"] == 500
    kept = sk.load(tmp_path / "a", part="alignment").record["held_out"]
    assert kept["above_chance"]


def test_stitch_keeps_the_name_and_hash_of_the_table(stitched, cli):
    facts = cli("info", stitched, "--json").json["anchor_set"]
    assert facts["table"] == "phantoms-500.csv"
    assert facts["sha256"] == cli("info", NAME, "--json").json["sha256"]
    assert facts["n"] == 500
    assert facts["groups"] == 444
    assert "/anchors/" not in (stitched / "README.md").read_text()


def test_zeroshot_with_the_set_is_zeroshot_with_the_folder(cli, stitched, films, tmp_path):
    pair = (GENERAL, TEXT, "--anchors", NAME, "--prompts", "phantom", "--solver", "ridge")
    for where, name in ((pair, "a.csv"), ((stitched,), "b.csv")):
        done = cli("zeroshot", *where, "--items", films / "labels.csv", "--out", tmp_path / name)
        assert done.code == 0, done.err
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_evaluate_knows_the_sets_ids_and_patients(cli, stitched, films, tmp_path):
    scored = ("evaluate", stitched, "--items", films / "labels.csv", "--labels", films / "labels.csv",
              "--anchors", NAME, "--min-positives", "2", "--replicates", "20")  # fmt: skip
    done = cli(*scored, "--json")
    assert done.code == 0, done.err
    text = (films / "labels.csv").read_text().replace("phantom-5-00003,", "phantoms-500-003,")
    (films / "leaking.csv").write_text(text)
    leaking = [films / "leaking.csv" if one == films / "labels.csv" else one for one in scored]
    done = cli(*leaking)
    assert done.code == 4
    assert "1 item is both anchors and test items" in done.err


@pytest.mark.slow  # likeness of 500 images, ten seconds
def test_anchors_check(cli, films):
    done = cli("anchors", "check", NAME, "--test", films / "labels.csv", "--prompts", "phantom", "--json")
    assert done.code == 0, done.err
    assert done.json["passed"]


def test_anchors_check_card_and_select_find_the_set(cli, tmp_path):
    done = cli("anchors", "check", NAME, "--dry-run", "--json")
    assert (done.code, done.json["anchors"]) == (0, 500), done.err
    done = cli("anchors", "card", NAME, "--json")
    assert done.json["licence"] == "Apache-2.0"
    assert done.json["content"] == cli("info", NAME, "--json").json["content"]
    done = cli("anchors", "select", NAME, "-n", "20", "--method", "random", "--out", tmp_path / "few.csv")
    assert done.code == 0, done.err
    assert len(sk.read_anchors(tmp_path / "few.csv")) == 20


def test_info_shows_the_card_and_draws_nothing(cli, monkeypatch):
    monkeypatch.setattr("stitchkit.datasets.anchor_sets.draw_film", lambda *_: pytest.fail("a film was drawn"))
    done = cli("info", NAME)
    assert done.code == 0, done.err
    assert "licence      Apache-2.0" in done.out
    assert "500" in done.out


@pytest.mark.parametrize(
    "command",
    [
        ("align", GENERAL, TEXT, "--out", "x"),
        ("stitch", GENERAL, TEXT, "--out", "x"),
        ("compare", GENERAL, TEXT),
        ("zeroshot", GENERAL, TEXT, "--items", ".", "--out", "x.csv"),
    ],
)
def test_an_unknown_name_lists_the_nearest_before_anything_is_loaded(command, cli, no_models):
    done = cli(*command, "--anchors", "phantoms-50")
    assert done.code == 2
    assert "no anchor set is called 'phantoms-50'; nearest: phantoms-500." in done.err
    done = cli(*command, "--anchors", "absent.csv")
    assert done.code == 2
    assert "'absent.csv' does not exist" in done.err
