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
    assert f"the folder {fused[0]}" in done.err
    assert "stitched" not in done.err


BAD = [
    ((), "--encode COLUMN=ENCODER"),
    (("--tabular", "age,dx"), "column 'dx' tells the label"),
    (("--tabular", "age,id"), "column 'id' has a different value in each of 240 rows"),
    (("--tabular", "agee"), "has no column 'agee'; nearest: age"),
    (("--encode", "path"), "[NAME:]COLUMN=ENCODER"),
    (("--encode", "../x:path=timm:x"), "got '../x'. Name it: --encode NAME:COLUMN=ENCODER"),
    (("--encode", "the path=timm:x"), "got 'the path'. Name it: --encode NAME:COLUMN=ENCODER"),
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


@pytest.fixture(scope="module")
def coded(tmp_path_factory, cli):
    """Sites that are codes, of which one tells the class, and a measurement of its own for every patient."""
    folder, rng = tmp_path_factory.mktemp("coded"), np.random.default_rng(1)
    (folder / "recipe.toml").write_text(RECIPE)
    rows = []
    for i in range(200):
        kind = rng.choice(["nev", "mel"])
        site = rng.choice(["01", "02"]) if kind == "nev" else rng.choice(["02", "x3"])
        bmi = round(22 + 3 * rng.normal() + (kind == "mel"), 4)
        rows.append([f"r{i}", site, str(bmi), str(rng.integers(1, 5)), kind, f"p{i}"])
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "site", "bmi", "scanner", "dx", "patient"], *rows])
    done = cli("fuse", folder / "train.csv", "--tabular", "site,bmi,scanner", "--categories", "site,scanner",
               "--label-column", "dx", "--recipe", folder / "recipe.toml", "--out", folder / "fused")  # fmt: skip
    assert done.code == 0, done.err
    return folder, done


def test_a_score_is_that_of_the_row_and_not_of_its_table(coded, cli):
    """Sites 01 and 02 alone look like numbers; with x3 beside them they do not."""
    folder, _ = coded
    found = []
    for sites in (["01", "02", "01", "02"], ["01", "02", "x3", "02"], ["01"]):
        table = folder / "new.csv"
        table.write_text("id,site,bmi,scanner\n" + "".join(f"n{i},{one},,\n" for i, one in enumerate(sites)))
        done = cli("zeroshot", folder / "fused", "--items", table, "--out", folder / "s.csv", "--overwrite", "--json")
        assert done.code == 0, done.err
        assert not any("category" in note or "categories" in note for note in done.json.get("notes", []))
        assert "categories" not in done.err
        found.append(read_scores(folder / "s.csv").values[0])
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[0], found[2], rtol=0, atol=1e-12)
    assert found[0][1] > 0.9  # site 01 has nevi alone


def test_codes_are_named_as_categories_and_a_measurement_of_each_patient_is_no_name(coded, cli):
    folder, done = coded
    assert "different whole numbers" not in done.out
    columns = {one.name: type(one).__name__ for one in sk.load(folder / "fused").modalities[0].table.columns}
    assert columns == {"site": "CategoryColumn", "bmi": "NumberColumn", "scanner": "CategoryColumn"}
    plain = cli("fuse", folder / "train.csv", "--tabular", "bmi,scanner", "--label-column", "dx", "--recipe",
                folder / "recipe.toml", "--out", folder / "plain", "--json")  # fmt: skip
    assert any("column 'scanner' holds 4 different whole numbers" in note for note in plain.json["notes"])
    odd = cli("fuse", folder / "train.csv", "--tabular", "bmi", "--categories", "scanner", "--label-column", "dx",
              "--out", folder / "odd")  # fmt: skip
    assert odd.code == 2
    assert "no column of the table modality is called 'scanner'" in odd.err


def test_a_number_out_of_all_range_is_said_and_one_that_is_none_is_named(coded, cli):
    folder, _ = coded
    table = folder / "odd.csv"
    told = {
        "1e300": "more than 10 standard deviations", "tall": "row 3, column 'bmi': the cell is 'tall'",
        "inf": "row 3, column 'bmi': the cell is infinite",
    }  # fmt: skip
    for cell, words in told.items():
        table.write_text(f"id,site,bmi,scanner\na,01,22,1\nb,01,{cell},1\n")
        done = cli("zeroshot", folder / "fused", "--items", table, "--out", folder / "o.csv", "--overwrite", "--json")
        assert (done.code == 0) == (cell == "1e300")
        assert words in (" ".join(done.json["notes"]) if done.code == 0 else done.err)


def test_a_blank_image_cell_that_is_the_id_too_needs_ids_of_its_own(fused, world, cli, tmp_path):
    folder, _, trust = fused
    table = tmp_path / "new.csv"
    table.write_text("path,age,sex,dx\n,50,f,nev\n,40,m,mel\n")
    for line in (("zeroshot", folder, "--items", table), ("fuse", table, "--tabular", "age", "--label-column", "dx")):
        done = cli(*line, "--out", tmp_path / "out.csv", *(trust if line[0] == "zeroshot" else ()))
        assert done.code == 4
        assert "row 2, column 'path': the cell is blank, as 2 of 2 are, and the column holds the ids too" in done.err
        assert "Add a column 'id' of unique ids, or name another one with --id-column" in done.err


@pytest.mark.parametrize("stop", ["stitchkit.reports.fusion_page.write_fusion", "stitchkit.storage.folders._swap"])
def test_a_run_that_was_stopped_while_it_wrote_its_folder_is_finished_by_the_same_command(
    coded, cli, tmp_path, monkeypatch, stop
):
    folder, _ = coded
    out = tmp_path / "fused"
    line = ("fuse", folder / "train.csv", "--tabular", "site,bmi,scanner", "--categories", "site,scanner",
            "--label-column", "dx", "--recipe", folder / "recipe.toml", "--out", out)  # fmt: skip

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stop, stopped)
        assert cli(*line).code == 130
    assert not out.exists()
    again = cli(*line)
    assert again.code == 0, again.err
    assert {one.name for one in out.iterdir()} == {one.name for one in (folder / "fused").iterdir()}
    assert "report.html" in {one.name for one in out.iterdir()}
    assert (out / "model.safetensors").read_bytes() == (folder / "fused" / "model.safetensors").read_bytes()
    assert {one.name for one in tmp_path.iterdir()} == {"fused"}
