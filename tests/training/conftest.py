"""Pairs of phantom films and reports on disk, and recipes that take seconds."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from stitchkit.datasets.phantoms import make_phantoms

RECIPE = """
name = "small films"
seed = {seed}
[network]
width = 24
layers = 2
heads = 2
dim = 16
side = 32
patch = 8
context = 24
features = 4
grey = true
vocabulary = 400
{network}
[pairs]
layout = "table"
root = "{root}"
{pairs}
[pairs.reader]
table = "manifest.csv"
text = "text"
patient = "patient"
split = "split"
classes = []
[training]
epochs = 3
batch = 16
rate = 2e-3
{training}
"""


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
    """Writes a recipe; what is given goes into its tables."""

    def make(*, network="", pairs='valid = "test"', training="", seed=0, root=None):
        path = tmp_path / "recipe.toml"
        text = RECIPE.format(root=root or films, network=network, pairs=pairs, training=training, seed=seed)
        for line in (*network.splitlines(), *training.splitlines()):  # what is given stands instead
            key = line.partition("=")[0].strip()
            lines = text.splitlines()
            first = next(i for i, one in enumerate(lines) if one.partition("=")[0].strip() == key)
            if [one.partition("=")[0].strip() for one in lines].count(key) > 1:
                lines.pop(first)
            text = "\n".join(lines)
        path.write_text(text + "\n")
        return path

    return make
