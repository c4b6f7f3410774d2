"""Anchor sets that travel with the package: found by name, drawn the same on every machine, described by their card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import phantom_anchors
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.datasets import anchor_sets
from stitchkit.datasets.anchor_sets import anchor_set_card, anchor_set_names, anchor_table, draw_film, pixel_digest
from stitchkit.datasets.anchor_tables import AnchorTable
from stitchkit.datasets.phantoms import draw_phantoms, render
from stitchkit.datasets.phantoms.edges import NEAR, edges_of, rounded
from stitchkit.datasets.phantoms.film import film_levels
from stitchkit.datasets.rows import read_rows

SETS = Path(__file__).parents[2] / "anchors" / "sets"
NAME = "phantoms-500"


@pytest.fixture(scope="module")
def shipped():
    """The rows of the shipped table, by column."""
    table = read_rows(SETS / f"{NAME}.csv")
    return {name: list(table.column(name)) for name in table.columns}


@pytest.fixture(scope="module")
def anchors():
    return sk.read_anchors(NAME)


def test_the_set_is_found_by_its_name(anchors, shipped):
    assert anchor_set_names() == (NAME,)
    assert len(anchors) == 500
    assert anchors.source_items.modality == "image"
    assert list(anchors.target_items.values) == shipped["text"]
    assert anchors.groups.tolist() == shipped["patient"]
    assert len(set(anchors.groups.tolist())) == 444
    assert AnchorTable(anchor_table(NAME)).pairs().ids.tolist() == anchors.ids.tolist()


def test_the_images_of_the_set_are_those_of_its_seeds(anchors, shipped):
    films = [np.asarray(Image.open(path)) for path in anchors.source_items.values]
    assert [pixel_digest(one) for one in films] == shipped["pixels"]
    for row in (0, 7, 255, 499):
        seed, film = int(shipped["seed"][row]), int(shipped["film"][row])
        phantom = draw_phantoms(film + 1, seed=seed)[film]
        plain = render(phantom).astype(int)
        near = [int(one[:-1]) for one in shipped["edges"][row].split()]
        assert (np.delete(films[row].ravel().astype(int) - plain.ravel(), near) == 0).all()
        assert np.abs(films[row] - plain).max() <= 1  # a level near an edge may be rounded the other way here


def test_the_files_are_what_their_program_writes(shipped):
    cells, _ = phantom_anchors.rows(40)
    columns = list(zip(*cells, strict=True))
    for name, cell in zip(phantom_anchors.HEADER, columns, strict=True):
        if name != "edges":  # of which another processor lists some others; the next test is of those
            assert list(cell) == shipped[name][:40], name


@pytest.mark.slow
def test_all_of_the_files_is_what_their_program_writes():
    assert json.loads(phantom_anchors.files()[f"{NAME}.card.json"])["pairs"] == 500
    cells, _ = phantom_anchors.rows()
    table = read_rows(SETS / f"{NAME}.csv")
    for number, name in enumerate(phantom_anchors.HEADER[:-1]):
        assert [row[number] for row in cells] == list(table.column(name))


def test_films_are_the_same_without_the_processors_vector_units(shipped):
    code = (
        "import json, sys\n"
        "from stitchkit.datasets.anchor_sets import draw_film, pixel_digest\n"
        "rows = json.load(sys.stdin)\n"
        "print(json.dumps([pixel_digest(draw_film(*row)) for row in rows]))\n"
    )
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    known = [one for one in __cpu_dispatch__ if __cpu_features__.get(one)]
    if not known:
        pytest.skip("numpy has one way to compute on this processor")
    rows = [[int(shipped["seed"][i]), int(shipped["film"][i]), shipped["edges"][i]] for i in range(0, 500, 12)]
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(rows), capture_output=True, text=True, timeout=120,
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(known)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == shipped["pixels"][::12]


def test_levels_near_an_edge_are_rounded_as_the_list_says_wherever_they_fall():
    rng = np.random.default_rng(0)
    for phantom in draw_phantoms(4, seed=3):
        levels = film_levels(phantom)
        edges = edges_of(levels)
        film = rounded(levels, edges)
        assert (film == render(phantom)).all()
        moved = (levels.astype(np.float64) + rng.uniform(-NEAR, NEAR, levels.shape) * 0.9).astype(np.float32)
        assert (np.floor(moved + 0.5) != film).any()  # without the list they are another film
        assert (rounded(moved, edges) == film).all()


@pytest.mark.parametrize("edges", ["9216+", "5", "x+", "-3+", "7*"])
def test_a_list_of_edges_that_names_no_pixel_is_refused(edges):
    with pytest.raises(DataError, match="is no pixel of a film"):
        draw_film(700_000, 0, edges)


# the card


def test_the_card_is_that_of_the_set_as_anyone_reads_it(anchors, shipped):
    card = anchor_set_card(NAME)
    again = sk.anchor_card(anchors).to_dict()
    for key in ("name", "source", "licence", "obtain", "description", "pairs", "patients", "sha256", "content"):
        assert again[key] == card[key], key
    assert json.loads(json.dumps(again["sides"])) == card["sides"]
    assert list(card["columns"]) == list(shipped)
    assert not any(text in json.dumps(card) for text in shipped["text"])


def test_the_files_of_the_set_are_small():
    assert sum(path.stat().st_size for path in SETS.iterdir()) < 300_000


# names and paths


def test_a_path_that_exists_wins(tmp_path, monkeypatch):
    (tmp_path / NAME).write_text("id,text,patient\n1,clear,a\n2,wet,b\n")
    monkeypatch.chdir(tmp_path)
    assert anchor_table(NAME) == Path(NAME)
    assert len(sk.read_anchors(NAME, source="text")) == 2


def test_an_unknown_name_lists_the_nearest_and_a_missing_file_is_a_missing_file():
    with pytest.raises(UnknownNameError, match=r"no anchor set is called 'phantoms'; nearest: phantoms-500\."):
        sk.read_anchors("phantoms")
    with pytest.raises(DataError, match=r"there is no table absent\.csv"):
        sk.read_anchors("absent.csv")
    with pytest.raises(DataError, match=r"there is no table folder/absent"):
        sk.read_anchors(Path("folder") / "absent")


# the cache


@pytest.fixture
def few(tmp_path, monkeypatch):
    """A shipped set of six rows in a package of its own, and an empty cache."""
    sets = tmp_path / "stitchkit" / "anchors" / "sets"
    sets.mkdir(parents=True)
    lines = (SETS / f"{NAME}.csv").read_text().splitlines(keepends=True)
    (sets / "six.csv").write_text("".join(lines[:7]))
    (sets / "six.card.json").write_text((SETS / f"{NAME}.card.json").read_text())
    monkeypatch.setattr(anchor_sets, "__file__", str(tmp_path / "stitchkit" / "datasets" / "anchor_sets.py"))
    monkeypatch.setenv("STITCHKIT_CACHE", str(tmp_path / "cache"))
    return sets


def test_images_are_drawn_once_and_again_where_they_are_damaged(few, monkeypatch):
    table = anchor_table("six")
    drawn = sorted(table.parent.glob("*.bmp"))
    assert len(drawn) == 6
    calls = []
    monkeypatch.setattr(anchor_sets, "draw_film", lambda *row: calls.append(row) or draw_film(*row))
    assert anchor_table("six") == table
    assert calls == []
    before = drawn[2].read_bytes()
    drawn[2].write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert anchor_table("six") == table
    assert len(calls) == 6
    drawn[3].unlink()
    assert len(list(anchor_table("six").parent.glob("*.bmp"))) == 6
    assert drawn[2].read_bytes() == before
    assert [one.name for one in table.parent.parent.iterdir()] == [table.parent.name]


def test_a_machine_that_draws_other_films_says_so(few, monkeypatch, tmp_path):
    monkeypatch.setattr(anchor_sets, "draw_film", lambda *row: draw_film(*row) ^ 1)
    with pytest.raises(DataError, match=r"image of row 'phantoms-500-000' comes out otherwise on this machine \(numpy"):
        anchor_table("six")
    assert not list((tmp_path / "cache" / "anchors").glob("*"))


def test_a_cache_that_cannot_be_written_is_named(few, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("STITCHKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot be drawn into .*Set STITCHKIT_CACHE"):
        anchor_table("six")
