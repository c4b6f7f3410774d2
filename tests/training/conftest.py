"""Pairs of phantom films and reports on disk, and the run of a small recipe."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from small_recipes import write_recipe

from stitchkit.datasets.phantoms import make_phantoms


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
