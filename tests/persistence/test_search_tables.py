"""Tables of hits: what is written is read back, and other files stay as they are."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError
from stitchkit.persistence.search_tables import COLUMNS, write_hits


@pytest.fixture(scope="module")
def result():
    rng, space = np.random.default_rng(0), sk.Space("one", 4, "f")
    texts = sk.Embeddings(rng.normal(size=(2, 4)), ["=effusion", 'a, "b"'], space)
    parts = {
        name: sk.Embeddings(rng.normal(size=(6, 4)), [f"{name} {i}" for i in range(6)], space) for name in ("ct", "mr")
    }
    return sk.search(None, texts, parts, top=4)


@pytest.mark.parametrize("each", [False, True])
def test_every_hit_is_a_row_to_the_last_digit(result, tmp_path, each):
    with write_hits(tmp_path / "hits.csv", result, each=each).open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    hits = [hit for _, hit in result.rows(each=each)]
    assert len(rows) == len(hits) == (16 if each else 8)
    assert [(row[1], int(row[2]), row[3], float(row[4]), float(row[5])) for row in rows] == [
        (hit.modality, hit.rank, hit.id, hit.similarity, hit.z) for hit in hits
    ]
    assert rows[0][0] == "'=effusion"  # no spreadsheet takes it for a formula
    assert rows[-1][0] == 'a, "b"'


def test_only_a_table_of_hits_is_replaced(result, tmp_path):
    path = write_hits(tmp_path / "hits.csv", result)
    write_hits(path, result, each=True)
    (tmp_path / "labels.csv").write_text("id,edema\n")
    with pytest.raises(InputError, match="is no table of hits; it was left alone"):
        write_hits(tmp_path / "labels.csv", result)
    with pytest.raises(InputError, match="Change the ending"):
        write_hits(tmp_path / "hits.txt", result)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_hits(tmp_path / "folder.csv", result)
