"""A table of anchors read as far as a step needs it, and some of its rows as a table of their own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import DataError
from stitchkit.datasets.anchor_tables import AnchorTable, table_facts
from stitchkit.datasets.row_selection import select_rows


@pytest.fixture
def table(tmp_path):
    """Three pairs in a folder of images, with a patient column of an unusual name."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in "abc":
        Image.new("L", (4, 4), ord(name)).save(folder / f"{name}.png")
    rows = "\n".join(f"{name}.png,text {name},{name.upper()}" for name in "abc")
    (folder / "pairs.csv").write_text(f"path,text,person\n{rows}\n")
    return AnchorTable(folder / "pairs.csv", groups="person")


def test_images_are_read_against_texts_where_there_are_both(table):
    pairs = table.pairs()
    assert (pairs.source_items.modality, pairs.target_items.modality) == ("image", "text")
    assert table.read("image", "image").target_items.modality == "image"
    assert pairs.groups.tolist() == ["A", "B", "C"]


def test_ids_patients_and_texts_need_no_image_file(table):
    (table.path.parent / "a.png").unlink()
    assert table.ids_only().ids.tolist() == ["a.png", "b.png", "c.png"]
    assert list(table.texts().target_items.values) == ["text a", "text b", "text c"]
    with pytest.raises(DataError, match=r"a\.png"):
        table.pairs()


def test_each_column_has_its_use(table):
    uses = table.column_uses(table.pairs())
    assert uses["path"] == "unique id of the pair; source item, path of an image"
    assert uses["person"].startswith("patient")


def test_facts_for_an_artefact_hold_no_id_and_no_text(table):
    facts = table_facts(table.pairs())
    assert facts == {"table": "pairs.csv", "sha256": facts["sha256"], "n": 3, "groups": 3}


def test_a_test_table_is_read_by_the_columns_it_shares(table, tmp_path):
    (tmp_path / "test.csv").write_text("id,person\n7,Z\n")
    ids, patients = table.read_test(tmp_path / "test.csv")
    assert (ids.tolist(), patients.tolist()) == (["7"], ["Z"])
    pairs, patients = table.read_test(table.path)
    assert (len(pairs), patients) == (3, None)


def test_labels_are_read_by_the_columns_they_share(table, tmp_path):
    (tmp_path / "labels.csv").write_text("path,person,edema\na.png,A,1\n")
    labels = table.labels(tmp_path / "labels.csv")
    assert labels.groups.tolist() == ["A"]
    assert labels.classes == ("edema",)


def test_selected_rows_keep_their_cells_and_their_paths_lead_to_the_images(table, tmp_path):
    pairs = table.pairs()
    text, notes = select_rows(table, pairs, np.array([2, 0]), table.path.parent / "few.csv")
    assert text == "path,text,person\nc.png,text c,C\na.png,text a,A\n"
    assert notes == []
    out = tmp_path / "elsewhere.csv"
    text, notes = select_rows(table, pairs, np.array([2, 0]), out)
    out.write_text(text)
    again = AnchorTable(out, groups="person").pairs()
    assert again.ids.tolist() == ["c.png", "a.png"]  # in a column of their own now
    assert "scans/c.png" in text
    assert len(notes) == 2
