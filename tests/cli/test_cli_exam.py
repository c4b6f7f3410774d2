"""``stitchkit exam``: a leaderboard from the command line, and mistakes before any encoder is loaded."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from stitchkit.datasets.phantoms import FINDINGS, make_phantoms


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """A card, and beside it a folder ``data`` with the set."""
    folder = tmp_path_factory.mktemp("exam")
    place = folder / "data" / "films"
    place.mkdir(parents=True)
    drawn = make_phantoms(200, seed=3)
    with (place / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "patient", *FINDINGS])
        for i, image in enumerate(drawn.images):
            Image.fromarray(np.asarray(image)).save(place / f"{i}.png")
            table.writerow([f"{i}.png", drawn.patients[i], *drawn.labels[i].astype(int)])
    path = folder / "films.toml"
    keys = {"name": "films", "title": "Phantoms", "kind": "classes", "modality": "phantom", "source": "drawn",
            "licence": "Apache-2.0", "obtain": "drawn", "header": "path,patient", "layout": "table",
            "classes": list(FINDINGS), "metric": "auroc"}  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    path.write_text(
        "\n".join([*lines, "[reader]", f"classes = {json.dumps(list(FINDINGS))}", "[splits]", "held = 0.5"])
    )
    return path


def test_a_leaderboard_is_printed_and_kept(cli, card, tmp_path):
    out = tmp_path / "out"
    given = ("exam", "demo:general", "demo:medical", "--tasks", card, "--data", card.parent / "data", "--out", out,
             "--store", "none", "--shots", "1", "--draws", 2)  # fmt: skip
    done = cli(*given)
    assert done.code == 0, done.err
    assert "probe" in done.out
    assert "demo:medical" in done.out
    assert "no zero-shot" in done.out
    assert f"open {out / 'report.html'}" in done.out
    page = (out / "report.html").read_text()
    assert "<h2>Probe</h2>" in page
    assert "demo:medical" in page
    assert json.loads((out / "results.json").read_text())["sittings"]
    again = cli(*given, "--json")
    assert {one["encoder"] for one in again.json["rows"]} == {"demo:general", "demo:medical"}


def test_a_dry_run_names_tasks_without_data(cli, card, tmp_path):
    done = cli(
        "exam", "demo:general", "--tasks", f"{card},pneumoniamnist", "--data", f"films={card.parent}", "--dry-run"
    )
    assert done.code == 0, done.err
    assert "without data  pneumoniamnist" in done.out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--tasks", "pneumonia", "--data", "."), "pneumoniamnist"),
        (("--tasks", "pneumoniamnist", "--data", "nowhere"), "is no folder"),
        (("--tasks", "pneumoniamnist", "--data", ".", "--shots", "1,x"), "no list of whole numbers"),
        (("--tasks", "pneumoniamnist", "--data", "."), "its data are not there"),
    ],
)
def test_mistakes_are_named(cli, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    done = cli("exam", "none:such", *given)
    assert done.code in (2, 4)
    assert message in done.err
