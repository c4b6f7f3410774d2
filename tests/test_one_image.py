"""Scoring one image with a finished folder imports little of the package, and its items are read once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.datasets import tables
from stitchkit.datasets.phantoms import make_phantoms

MOST = 60  # modules of the package, packages included; 121 when everything was imported
TELL = """
sys.stderr.write("MODULES" + json.dumps([one for one in sys.modules if one.partition(".")[0] == "stitchkit"]))
"""
SHELL = """
import json, sys
from stitchkit.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
PYTHON = """
import json, sys
import stitchkit as sk
model = sk.load(sys.argv[1])
print(model.scores(sk.embed(model.encoder, sys.argv[2:])).values)
"""
NOT_NEEDED = ("stitchkit.alignment", "stitchkit.solvers.", "stitchkit.core.moments", "stitchkit.cli.commands.align")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Forty films, and folders that score them: with the medical encoder's own head, and with one named by text."""
    root = tmp_path_factory.mktemp("one_image")
    drawn = make_phantoms(40, seed=1)
    (root / "films").mkdir()
    films = [root / "films" / f"{i}.png" for i in range(len(drawn.images))]
    for film, image in zip(films, drawn.images, strict=True):
        Image.fromarray(image).save(film)
    general, medical, text = (sk.load_encoder(f"demo:{one}", device="cpu") for one in ("general", "medical", "text"))
    x, y = (sk.embed(one, films, store=None) for one in (general, medical))
    driven = sk.align(x, y, purpose="head", solver="ridge")
    sk.stitch(general, driven, medical.classifier(), target_name="demo:medical").save(root / "linear")
    said = sk.embed(text, list(drawn.reports), store=None)
    met = sk.align(x, sk.Embeddings(said.vectors, x.ids, said.space), solver="procrustes")
    named = sk.zeroshot(met, text, sk.read_prompts("phantom"), store=None)
    sk.stitch(general, met, named, target_name="demo:text").save(root / "zeroshot")
    return root


def modules(code: str, cache: Path, *args: object) -> list[str]:
    line = [sys.executable, "-c", code + TELL, *map(str, args)]
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=120, env={**os.environ, "STITCHKIT_CACHE": str(cache)}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stderr.rpartition("MODULES")[2])


@pytest.mark.parametrize("head", ["zeroshot", "linear"])
def test_the_command_line_imports_little(world, tmp_path, head):
    out = tmp_path / "scores.csv"
    found = modules(SHELL, tmp_path, "zeroshot", world / head, "--items", world / "films" / "3.png", "--out", out)
    assert "3.png" in out.read_text()
    assert "stitchkit.stitching" in found
    assert len(found) <= MOST, sorted(found)
    assert [one for one in found if one.startswith(NOT_NEEDED)] == []


@pytest.mark.parametrize("head", ["zeroshot", "linear"])
def test_python_imports_little(world, tmp_path, head):
    found = modules(PYTHON, tmp_path, world / head, world / "films" / "3.png")
    assert "stitchkit.stitching" in found
    assert len(found) <= MOST - 10, sorted(found)  # there is no command line
    assert [one for one in found if one.startswith(NOT_NEEDED)] == []


@pytest.mark.parametrize("items", ["films", "films.csv", "films.txt", "films/3.png"])
def test_items_are_read_once(world, tmp_path, monkeypatch, items):
    from typer.testing import CliRunner

    from stitchkit.cli.main import app
    from stitchkit.datasets import rows

    names = [f"films/{i}.png" for i in range(4)]
    (world / "films.csv").write_text("\n".join(["path", *names]) + "\n")
    (world / "films.txt").write_text("\n".join(names) + "\n")
    opened = []

    def count(module, name):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **kwargs: (opened.append(name), real(*args, **kwargs))[1])

    count(tables, "open_items")
    count(tables, "_files_below")
    count(rows, "read_rows")
    line = ["zeroshot", world / "linear", "--items", world / items, "--out", tmp_path / "scores.csv", "--store", "none"]
    done = CliRunner().invoke(app, list(map(str, line)))
    assert done.exit_code == 0, done.stderr
    assert opened.count("open_items") == 1
    assert sum(one != "open_items" for one in opened) == (items in ("films", "films.csv"))
