"""Two hundred steps on phantoms: what is learnt is far above chance, and shuffled captions teach nothing."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image
from run_logs import log_lines

from stitchkit.datasets.phantoms import FINDINGS, draw_phantoms, render, write_report
from stitchkit.training.loop import train

pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
COUNTS = {"train": 4000, "test": 1500}
RECIPE = """
name = "two hundred steps"
[network]
size = "tiny"
grey = true
vocabulary = 2048
[pairs]
layout = "table"
root = "{root}"
valid = "test"
[pairs.reader]
table = "{table}.csv"
text = "text"
patient = "patient"
split = "split"
classes = []
[training]
steps = 200
validate_every = 50
batch = 128
rate = 1e-3
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films with clear findings and reports that name them, beside a table of the same with the reports shuffled."""
    folder, rows = tmp_path_factory.mktemp("clear"), []
    for seed, (split, count) in enumerate(COUNTS.items()):
        for i, one in enumerate(draw_phantoms(count, seed=seed, prevalence=0.4)):
            there = {name: 0.9 for name, grade in zip(FINDINGS, one.severities, strict=True) if grade}
            shown = one.with_severity(**there)
            Image.fromarray(render(shown, 73)).save(folder / f"{split}{i}.png")
            rows.append([f"{split}{i}.png", write_report(shown, seed=seed), f"{split} {one.patient}", split])
    reports = [row[1] for row in rows]
    order = np.concatenate([np.random.default_rng(0).permutation(COUNTS["train"]),
                            COUNTS["train"] + np.random.default_rng(1).permutation(COUNTS["test"])])  # fmt: skip
    for table, texts in (("true", reports), ("shuffled", [reports[i] for i in order])):
        with (folder / f"{table}.csv").open("w", newline="") as file:
            written = csv.writer(file)
            written.writerow(["path", "text", "patient", "split"])
            written.writerows([row[0], text, *row[2:]] for row, text in zip(rows, texts, strict=True))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("table", ["true", "shuffled"])
def test_two_hundred_steps_learn_from_captions_that_belong_to_the_films(films, tmp_path, table):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(root=films, table=table))
    found = train(path, tmp_path / "out", device="cpu", progress=False)
    losses = [line["loss"] for line in log_lines(tmp_path / "out" / "run") if "loss" in line]
    recall, chance = found.best.recall, found.best.chance
    print(table, [round(float(np.mean(losses[at : at + 10])), 3) for at in (0, 95, 190)], recall, chance)
    if table == "true":
        assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.5
        assert min(recall[f"{side}@1"] / chance[f"{side}@1"] for side in ("image", "text")) > 5
    else:
        for place in (1, 5, 10):
            for side in ("image", "text"):
                expected = chance[f"{side}@{place}"]
                spread = np.sqrt(expected * (1 - expected) / COUNTS["test"])
                assert recall[f"{side}@{place}"] < expected + 4 * spread
        assert found.best.loss > np.log(128) - 0.3
