"""``stitchkit compare``: the library's table, by file and by encoder, and its refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.storage.embeddings import write_embeddings


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of 60 paired embeddings and a table of their patients."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    x = rng.normal(size=(60, 6))
    ids = [f"item{i}" for i in range(60)]
    for name, vectors in (("x", x), ("y", x @ rng.normal(size=(6, 5)) + 0.5 * rng.normal(size=(60, 5)))):
        write_embeddings(folder / f"{name}.safetensors", sk.Embeddings(vectors, ids, sk.Space(name, vectors.shape[1])))
    rows = "\n".join(f"{one},p{i // 2},some text" for i, one in enumerate(ids))
    (folder / "table.csv").write_text(f"id,patient,text\n{rows}\n")
    return folder


def test_two_files_are_compared_as_in_the_library(cli, files, tmp_path):
    from stitchkit.storage.embeddings import read_embeddings

    out = tmp_path / "found.json"
    line = ("compare", files / "x.safetensors", files / "y.safetensors", "--anchors", files / "table.csv")
    done = cli(*line, "--solvers", "least_squares,relative", "--json", "--out", out)
    assert done.code == 0, done.err
    sides = [read_embeddings(files / f"{name}.safetensors") for name in "xy"]
    patients = [f"p{i // 2}" for i in range(60)]
    expected = sk.compare(*sides, solvers=["least_squares", "relative"], groups=patients)
    assert done.json == json.loads(json.dumps(expected.to_dict()))
    assert done.json["patients"] == 30
    assert json.loads(out.read_text()) == done.json
    assert done.err == "fitting 2 solvers on 5 folds of 60 pairs\n"
    assert cli(*line, "--out", out).code == 2  # it exists


def test_two_encoders_are_compared_over_a_table(cli, world):
    line = ("compare", world.quick, world.quick_text, "--anchors", world.anchors)
    done = cli(*line, "--solvers", "least_squares, procrustes", "--quiet")
    assert done.code == 0, done.err
    for word in ("2 solvers on 40 held-out pairs (20 patients)", "chance", "galleries of", "minus"):
        assert word in done.out
    assert done.err == ""


def test_a_dry_run_and_a_mistake_load_no_encoder(cli, world, no_models):
    line = ("compare", world.quick, world.quick_text, "--anchors", world.anchors)
    done = cli(*line, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.json["pairs"] == 40
    wrong = cli(*line, "--solvers", "auto,rigde")
    assert wrong.code == 2
    assert "nearest: ridge" in wrong.err
    assert cli(*line, "--purpose", "macht").code == 2
    assert cli(*line[:3]).code == 2


def test_it_explains_itself(cli):
    done = cli("compare", "--help")
    assert done.code == 0
    assert "Dangerous options" in done.out


def test_a_saved_head_is_what_solvers_are_compared_by(cli, files, tmp_path):
    from stitchkit.storage.embeddings import read_embeddings

    x, y = (read_embeddings(files / f"{name}.safetensors") for name in "xy")
    weight = np.random.default_rng(1).normal(size=(5, 3))
    head = sk.LinearHead(y.space, ("a", "b", "c"), weight, np.zeros(3), multiclass=True)
    sk.save(head, tmp_path / "head")
    line = ("compare", files / "x.safetensors", files / "y.safetensors", "--solvers", "ridge,procrustes")
    done = cli(*line, "--purpose", "head", "--head", tmp_path / "head", "--json")
    assert done.code == 0, done.err
    asked = {"solvers": ["ridge", "procrustes"], "purpose": "head", "head": head}
    expected = sk.compare(x, y, **asked)
    assert done.json == json.loads(json.dumps(expected.to_dict()))
    assert done.json["criterion"] == "agreement"
    plain = cli(*line, "--purpose", "head")
    assert "note: chosen by R2, since no head was given" in plain.out
    for wrong, word in (
        (("--head", tmp_path / "head"), "--purpose head"),
        (("--purpose", "head", "--head", "own"), "file of embeddings"),
        (("--purpose", "head", "--head", "prompts:chest"), "drives no head"),
        (("--purpose", "head", "--head", "nowhere"), "no folder"),
    ):
        refused = cli(*line, *wrong)
        assert refused.code == 2
        assert word in refused.err


def test_the_target_encoders_own_head_is_asked_of_the_encoder(cli, world):
    line = (
        "compare",
        world.quick,
        world.own("small"),
        "--anchors",
        world.anchors,
        "--purpose",
        "head",
        "--head",
        "own",
    )
    done = cli(*line)
    assert done.code == 2
    assert "has no classifier" in done.err
    assert cli(*line, "--dry-run", "--json").json["head"] == "own"
