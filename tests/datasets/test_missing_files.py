"""Paths in tables that name no file: the message has the name, the folder and the file that is probably meant."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import DataError
from stitchkit.datasets.tables import read_anchors, read_items

CELLS = {
    "capitals of the suffix": ("scans/a1.JPG", "scans/a1.jpg"),
    "capitals of the name": ("scans/A1.jpg", "scans/a1.jpg"),
    "capitals of the folder": ("Scans/a1.jpg", "scans/a1.jpg"),
    "no suffix": ("scans/a1", "scans/a1.jpg"),
    "another suffix": ("scans/a1.png", "scans/a1.jpg"),
    "no folder": ("a1.jpg", "scans/a1.jpg"),
    "separators of Windows": ("scans\\a1.jpg", "scans/a1.jpg"),
    "a number behind a dot": ("scans/1.2.840.7", "scans/1.2.840.7.jpg"),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scans").mkdir()
    for name in ("a1.jpg", "1.2.840.7.jpg", "1.2.840.8.jpg"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "scans" / name)
    return tmp_path


@pytest.mark.parametrize("case", CELLS)
@pytest.mark.parametrize("here", [True, False])
def test_a_missing_file_is_named_with_its_folder_and_the_file_that_is_there(folder, monkeypatch, case, here):
    cell, near = CELLS[case]
    (folder / "t.csv").write_text(f"path,text\n{cell},words\n")
    monkeypatch.chdir(folder if here else folder.parent)
    path = "t.csv" if here else folder / "t.csv"
    for read in (read_anchors, lambda one: read_items(one, modality="image")):
        with pytest.raises(DataError) as caught:
            read(path)
        said = str(caught.value)
        assert f"there is no file {cell!r} in {folder} (1 of 1 are missing; {near!r} is there)" in said
        assert "root=" in said


@pytest.mark.parametrize("cell", ["other/b.jpg", "b.jpg", "../scans/a1.JPG", "/nowhere/a1.jpg", "a2.jpg"])
def test_no_file_is_named_where_none_is_like_it(folder, cell):
    (folder / "t.csv").write_text(f"path,text\n{cell},words\n")
    with pytest.raises(DataError) as caught:
        read_anchors(folder / "t.csv")
    assert "is there" not in str(caught.value)
    assert repr(cell) in str(caught.value)


@pytest.mark.parametrize("text", ["No acute finding in this patient", "x" * 300])
def test_a_text_in_a_column_of_paths_is_not_repeated(folder, text):
    (folder / "t.csv").write_text(f"path,text\n{text},words\n")
    with pytest.raises(DataError, match="there is no such file") as caught:
        read_anchors(folder / "t.csv")
    assert text[:20] not in str(caught.value)
