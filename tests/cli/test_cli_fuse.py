"""``stitchkit fuse``: one command from a table with holes to a folder, and that folder wherever scores are made."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.storage.scores import read_scores

CODE = """
import numpy as np


def thumbnails(items):
    return np.stack([np.asarray(one).reshape(-1)[:16] / 255 + 0.01 for one in items])


thumbnails.dim = 16
"""
RECIPE = "hidden = 12\nepochs = 15\ncontrastive_epochs = 1\nbatch = 40\nlearning_rate = 0.002\nweight_decay = [0.1]\n"
TRAIN, TEST = 240, 80


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pictures with a bright corner for one class, an age for another; a quarter of the cells blank; no image twice."""
    folder, rng = tmp_path_factory.mktemp("fuse"), np.random.default_rng(0)
    (folder / "mine.py").write_text(CODE)
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "images").mkdir()
    header = ["id", "path", "age", "sex", "dx", "patient"]
    rows = []
    for i in range(TRAIN + TEST):
        kind = int(rng.integers(0, 3))
        path = ""
        if rng.random() > 0.25:
            path = f"images/{i}.png"
            pixels = rng.integers(0, 150, (4, 4)) + 90 * (kind == 1)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / path)
        age = "" if rng.random() < 0.25 else str(int(45 + 20 * (kind == 2) + rng.integers(0, 25)))
        rows.append([f"i{i}", path, age, rng.choice(["f", "m", ""]), ["nev", "mel", "bcc"][kind], f"p{i // 2}"])
    rows[TRAIN][1:4] = ["", "", ""]  # an item without anything
    for name, some in (("train", rows[:TRAIN]), ("test", rows[TRAIN:])):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *some])
    return folder


@pytest.fixture(scope="module")
def fused(world, cli):
    encoder = f"python:{world / 'mine.py'}:thumbnails"
    done = cli("fuse", world / "train.csv", "--encode", f"image:path={encoder}", "--tabular", "age,sex",
               "--label-column", "dx", "--recipe", world / "recipe.toml", "--out", world / "fused", "--store", "none",
               "--json")  # fmt: skip
    assert done.code == 0, done.err
    return world / "fused", done, ("--trust-python", encoder, "--store", "none")


def test_one_command_writes_the_folder_and_a_page_that_one_would_mail(fused):
    folder, done, _ = fused
    page = (folder / "report.html").read_text()
    for words in ("Calibration of each subset", "image and table", "the mask alone", "image alone", "may lack",
                  "Judged on patients who were not trained on", "stitchkit fuse"):  # fmt: skip
        assert words in page
    assert "python:mine.py:thumbnails" in page
    assert f"python:{folder.parent}" not in page.partition("<pre>")[0]  # no folder of this machine above the command
    assert not any(word in page for word in ('src="http', 'href="http', "url(http"))
    methods = {one["name"]: one["macro"]["value"] for one in done.json["evaluation"]["methods"]}
    assert methods["all that is there"] > 0.65 > methods["the mask alone"]
    assert {"image alone", "table alone", "the mask alone", "chance"} <= methods.keys()
    assert not folder.with_name("fused.run").exists()
    head = sk.load(folder)
    assert head.names == ("image", "table")
    assert {one.present for one in head.decisions} == {(), ("image", "table"), ("image",), ("table",)}


def test_zeroshot_scores_a_table_in_which_any_cell_is_blank(fused, world, cli):
    folder, _, trust = fused
    out = world / "scores.csv"
    done = cli("zeroshot", folder, "--items", world / "test.csv", "--out", out, *trust, "--json")
    assert done.code == 0, done.err
    scores = read_scores(out)
    assert len(scores) == TEST
    assert scores.kind == "probability"
    np.testing.assert_allclose(scores.values.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(scores.values[0], sk.load(folder).prior)
    assert "2 items of 80 have no modality at all and got the prior" in " ".join(done.json["notes"])
    raw = cli("zeroshot", folder, "--items", world / "test.csv", "--out", world / "raw.csv", "--raw", *trust)
    assert raw.code == 0, raw.err
    assert read_scores(world / "raw.csv").kind == "logit"


def test_evaluate_judges_the_folder_beside_each_input_and_the_mask_alone(fused, world, cli):
    folder, _, trust = fused
    done = cli("evaluate", folder, "--items", world / "test.csv", "--labels", world / "test.csv", "--label-column",
               "dx", "--multiclass", "--report", world / "page", *trust, "--json")  # fmt: skip
    assert done.code == 0, done.err
    names = [one["name"] for one in done.json["methods"]]
    assert {"image alone", "table alone", "the mask alone"} <= set(names)
    assert "the mask alone" in (world / "page" / "report.html").read_text()


def test_training_rows_and_calibration_items_are_not_judged(fused, world, cli):
    folder, _, trust = fused
    done = cli("evaluate", folder, "--items", world / "train.csv", "--labels", world / "train.csv", "--label-column",
               "dx", *trust)  # fmt: skip
    assert done.code == 4
    assert "are training rows too" in done.err


def test_a_table_without_some_columns_is_scored_by_the_rest(fused, world, cli):
    folder, _, trust = fused
    with (world / "test.csv").open() as file:
        rows = list(csv.reader(file))
    with (world / "ages.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[row[0], row[2], row[3]] for row in rows])
    done = cli("zeroshot", folder, "--items", world / "ages.csv", "--out", world / "ages_scores.csv", *trust, "--json")
    assert done.code == 0, done.err
    assert "image is missing for every item" in done.json["notes"]


def test_a_folder_of_images_and_a_file_of_vectors_are_scored_too(fused, world, cli):
    folder, _, trust = fused
    done = cli("zeroshot", folder, "--items", world / "images", "--out", world / "images_scores.csv", *trust)
    assert done.code == 0, done.err
    head = sk.load(folder)
    vectors = sk.Embeddings(np.random.default_rng(0).random((5, 16)), list("abcde"), head.modalities[0].space)
    sk.write_embeddings(world / "image.safetensors", vectors)
    alone = cli("zeroshot", folder, "--items", world / "image.safetensors", "--out", world / "alone.csv")
    assert alone.code == 0, alone.err
    assert len(read_scores(world / "alone.csv")) == 5


def test_info_tells_what_the_folder_reads(fused, cli):
    done = cli("info", fused[0], "--json")
    assert done.json["is"] == "a fused head"
    assert done.json["inputs"]["table"] == "age, sex"


def test_a_python_encoder_of_the_folder_needs_consent(fused, world, cli):
    done = cli("zeroshot", fused[0], "--items", world / "test.csv", "--out", world / "no.csv", "--store", "none")
    assert done.code == 5
    assert "--trust-python" in done.err


BAD = [
    ((), "--encode COLUMN=ENCODER"),
    (("--tabular", "age,dx"), "column 'dx' tells the label"),
    (("--tabular", "age,id"), "column 'id' has a different value in each of 240 rows"),
    (("--tabular", "agee"), "has no column 'agee'; nearest: age"),
    (("--encode", "path"), "[NAME:]COLUMN=ENCODER"),
    (("--encode", "path=timm:x", "--vectors", "image"), "--vectors takes NAME=FILE"),
    (("--tabular", "age", "--paper", "x"), "no publication with a fusion recipe is called 'x'"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_bad_input_is_named(world, cli, tmp_path, options, words):
    done = cli("fuse", world / "train.csv", *options, "--label-column", "dx", "--out", tmp_path / "out")
    assert done.code in (2, 4), done.err
    assert words in done.err
    assert not (tmp_path / "out").exists()


def test_labels_must_be_named_and_prompts_do_not_fit(fused, world, cli, tmp_path):
    done = cli("fuse", world / "train.csv", "--tabular", "age", "--out", tmp_path / "out")
    assert "--label-column names the column of classes" in done.err
    done = cli(
        "zeroshot", fused[0], "--items", world / "test.csv", "--prompts", "chexpert5", "--out", tmp_path / "x.csv"
    )
    assert "whose classes are those of its labels" in done.err
    done = cli("calibrate", fused[0], "--items", world / "test.csv", "--labels", world / "test.csv", "--label-column",
               "dx", "--out", tmp_path / "c")  # fmt: skip
    assert "calibrated for each subset of its inputs" in done.err


def test_a_folder_beside_the_output_that_is_no_run_is_left_alone(world, cli, tmp_path):
    notes = tmp_path / "mine.run" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("precious")
    done = cli("fuse", world / "train.csv", "--tabular", "age,sex", "--label-column", "dx", "--out", tmp_path / "mine")
    assert done.code == 2
    assert "holds something else" in done.err
    assert notes.read_text() == "precious"
    assert not (tmp_path / "mine").exists()
