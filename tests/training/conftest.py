"""Pairs of phantom films and reports on disk, and recipes that take seconds."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from stitchkit.datasets.phantoms import make_phantoms

NETWORK = {
    "width": 24, "layers": 2, "heads": 2, "dim": 16, "side": 32, "patch": 8, "context": 24, "features": 4, "grey": True,
    "vocabulary": 400,
}  # fmt: skip
READER = {"table": "manifest.csv", "text": "text", "patient": "patient", "split": "split", "classes": []}
TRAINING = {"epochs": 3, "batch": 16, "rate": 2e-3}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """48 pairs to train on, 24 to validate on."""
    folder = tmp_path_factory.mktemp("pairs")
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "text", "patient", "split"])
        for split, count, seed in (("train", 48, 1), ("test", 24, 2)):
            drawn = make_phantoms(count, seed=seed)
            for i, image in enumerate(drawn.images):
                Image.fromarray(np.asarray(image)).save(folder / f"{split}{i}.png")
                table.writerow([f"{split}{i}.png", drawn.reports[i], f"{split} {drawn.patients[i]}", split])
    return folder


def write_recipe(path, root, *, network=(), pairs=None, objective=None, training=(), seed=0, reader=READER):
    """A recipe of small films at ``path``; what is given stands beside, or instead of, its own; None: no key."""
    tables = {
        "network": {**NETWORK, **dict(network)},
        "pairs": {"layout": "table", "root": str(root), **({"valid": "test"} if pairs is None else pairs)},
        "pairs.reader": reader,
        **({} if objective is None else {"objective": objective}),
        "training": {**TRAINING, **dict(training)},
    }
    lines = ['name = "small films"', f"seed = {seed}"]
    for name, values in tables.items():
        said = {key: json.dumps(value) for key, value in values.items() if value is not None}
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in said.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def recipe(films, tmp_path):
    """Writes a recipe into the test's own folder."""

    def make(*, root=films, **tables):
        return write_recipe(tmp_path / "recipe.toml", root, **tables)

    return make


@pytest.fixture(scope="session")
def trained_once(films, tmp_path_factory):
    """The recipe as it stands, trained: the outcome and its folder, which no test may change."""
    from stitchkit.training.loop import train

    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    folder = tmp_path_factory.mktemp("trained")
    path = write_recipe(folder / "recipe.toml", films)
    return train(path, folder / "out", device="cpu", progress=False), folder / "out"


@pytest.fixture
def trained(trained_once, tmp_path):
    """That outcome, and a copy of the folder that a test may change."""
    outcome, folder = trained_once
    shutil.copytree(folder, tmp_path / "out")
    return outcome, tmp_path / "out"
