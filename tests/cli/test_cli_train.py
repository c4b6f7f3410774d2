"""``stitchkit train``: the recipe's run from the command line, and the encoder it leaves."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from stitchkit import Items, embed, load, load_encoder, read_scores
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms

RECIPE = """
name = "few films"
[network]
width = 16
layers = 1
heads = 2
dim = 8
side = 16
patch = 8
context = 16
features = 2
grey = true
vocabulary = 300
[pairs]
layout = "table"
root = "films"
held = 0.3
[pairs.reader]
text = "text"
classes = []
[training]
epochs = 1
batch = 8
"""


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "text", "patient"])
        drawn = make_phantoms(24, seed=1)
        for i, image in enumerate(drawn.images):
            Image.fromarray(np.asarray(image)).save(folder / f"{i}.png")
            table.writerow([f"{i}.png", drawn.reports[i], drawn.patients[i]])
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_the_encoder_that_is_left_embeds_by_name(cli, recipe, tmp_path):
    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    out = tmp_path / "run"
    done = cli("train", recipe, "--out", out, "--device", "cpu", "--json", "--quiet")
    assert done.code == 0, done.err
    assert (done.json["steps"], done.json["kept_step"]) == (2, 2)
    name = f"stitchkit:{out}#modality=image"
    table, vectors = tmp_path / "films" / "manifest.csv", tmp_path / "x.safetensors"
    done = cli("embed", name, table, "--out", vectors, "--device", "cpu", "--store", "none")
    assert done.code == 0, done.err


def test_the_two_encoders_of_a_run_score_classes_without_anchors(cli, recipe, tmp_path):
    """Margins are by hand those of cosines of the two encoders' own vectors."""
    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    out, films, scores = tmp_path / "run", tmp_path / "films", tmp_path / "scores.csv"
    assert cli("train", recipe, "--out", out, "--device", "cpu", "--quiet").code == 0
    names = [f"stitchkit:{out}#modality={one}" for one in ("image", "text")]
    prompts = tmp_path / "prompts.toml"
    prompts.write_text('[classes.effusion]\npositive = ["Pleural effusion."]\nnegative = ["No effusion."]\n')
    where = ("--device", "cpu", "--store", "none", "--quiet", "--out", scores, "--items", films)
    done = cli("zeroshot", *names, "--prompts", prompts, *where)
    assert done.code == 0, done.err
    image, text = (load_encoder(name, device="cpu") for name in names)
    found = read_scores(scores)
    vectors = embed(image, Items(found.ids, [films / one for one in found.ids.tolist()], "image"), store=None)
    sides = embed(text, ["Pleural effusion.", "No effusion."], store=None)
    units = [one.vectors / np.linalg.norm(one.vectors, axis=1, keepdims=True) for one in (vectors, sides)]
    cosines = units[0] @ units[1].T
    np.testing.assert_allclose(found.values[:, 0], cosines[:, 0] - cosines[:, 1], atol=1e-6)

    assert "no stitched folder" in cli("search", out, "effusion").err
    other = cli("zeroshot", names[0], "demo:text", "--prompts", prompts, *where, "--overwrite")
    assert (other.code, "pass --anchors" in other.err) == (2, True)


def test_the_encoder_that_is_left_is_stitched_to_another_by_the_ordinary_command(cli, recipe, tmp_path):
    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    out, table = tmp_path / "run", tmp_path / "films" / "manifest.csv"
    assert cli("train", recipe, "--out", out, "--device", "cpu", "--quiet").code == 0
    stitched = tmp_path / "stitched"
    where = ("--device", "cpu", "--store", "none", "--quiet")
    done = cli("stitch", f"stitchkit:{out}#modality=image", "demo:medical", "--anchors", table,
               "--target-column", "path", "--out", stitched, *where)  # fmt: skip
    assert done.code == 0, done.err
    items = Items(["a", "b"], [table.parent / f"{i}.png" for i in (0, 1)], "image")
    scores = load(stitched, device="cpu").scores(items, store=None, progress=False)
    assert set(scores.classes) == set(FINDINGS)
    assert np.isfinite(scores.values).all()


def test_a_dry_run_says_what_would_be_trained(cli, recipe, tmp_path):
    done = cli("train", recipe, "--out", tmp_path / "run", "--dry-run")
    assert done.code == 0
    for words in ("few films", "objective  clip", "1 layers of 16", "8, in chunks of 8"):
        assert words in done.out
    assert not (tmp_path / "run").exists()


def test_a_typo_in_a_recipe_is_named(cli, recipe, tmp_path):
    recipe.write_text(RECIPE.replace("epochs", "epoch"))
    done = cli("train", recipe, "--out", tmp_path / "run")
    assert done.code == 4
    assert "nearest: epochs" in done.err
    assert not (tmp_path / "run").exists()
