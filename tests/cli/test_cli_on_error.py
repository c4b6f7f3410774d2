"""``stitchkit embed --on-error skip``: damaged files are left out and listed beside the output."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from stitchkit.storage.embeddings import read_embeddings


@pytest.mark.filterwarnings("default::UserWarning")
def test_damaged_files_are_skipped_and_listed(cli, world, tmp_path):
    films, out = tmp_path / "films", tmp_path / "films.safetensors"
    films.mkdir()
    for k in range(3):
        Image.new("RGB", (64, 64), (40 * k, 90, 10)).save(films / f"{k}.png")
    (films / "1.png").write_bytes(b"\x89PNG")
    stopped = cli("embed", world.quick, films, "--out", out)
    assert stopped.code == 4
    assert not out.exists()
    plan = cli("embed", world.quick, films, "--out", out, "--on-error", "skip", "--dry-run", "--json").json
    assert Path(plan["left_out"]).name == "films.left_out.csv"
    done = cli("embed", world.quick, films, "--out", out, "--on-error", "skip", "--json")
    assert done.code == 0, done.err
    assert "1 of 3 items were left out" in done.err
    assert (done.json["n"], done.json["left_out"]) == (2, 1)
    assert read_embeddings(out).ids.tolist() == ["0.png", "2.png"]
    with Path(done.json["left_out_file"]).open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["id", "1.png"]


def test_an_earlier_list_is_refused_before_any_work(cli, world, tmp_path):
    out = tmp_path / "films.safetensors"
    out.with_suffix(".left_out.csv").write_text("id,reason\n")
    done = cli("embed", world.quick, world.test, "--out", out, "--on-error", "skip")
    assert done.code == 2
    assert "films.left_out.csv" in done.err
    assert cli("embed", world.quick, world.test, "--out", out, "--on-error", "skip", "--overwrite").code == 0
