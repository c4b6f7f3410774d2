"""Leakage between an alignment folder and other pairs, by the hashes that the folder keeps."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core import anchor_hashes
from stitchkit.core.errors import InputError, LeakageError
from stitchkit.datasets.anchor_tables import AnchorTable
from stitchkit.evaluation.anchors.fitted_folders import audit_diagnosis, audit_folder, check_own_anchors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A map of 40 scans of 20 patients."""
    rng = np.random.default_rng(0)
    ids = np.asarray([f"scan-{i}" for i in range(40)])
    x, y = (sk.Embeddings(rng.normal(size=(40, 4)), ids, sk.Space(name, 4)) for name in "xy")
    alignment = sk.align(x, y, groups=[f"smith{i // 2}" for i in range(40)], solver="procrustes")
    return sk.save(alignment, tmp_path_factory.mktemp("fitted") / "map")


def test_an_anchor_is_known_by_id_and_its_patient_by_name(folder):
    with pytest.raises(LeakageError, match="fitted on 1 of these items and 1 of these patients"):
        audit_folder(folder, ["scan-3", "scan-99"], ["smith1", "jones"])
    with pytest.raises(LeakageError, match=r"1 of these patients\. Take others\.$"):
        audit_folder(folder, ["scan-99"], ["smith1"], step="Take others.")


def test_other_pairs_are_no_leakage_and_the_audit_says_how_far_it_saw(folder):
    (note,) = audit_folder(folder, ["scan-98", "scan-99"], ["jones", "miller"])
    assert "none of these pairs is among the anchors" in note


def test_pairs_that_are_no_anchors_of_a_folder_are_not_its_anchors(folder):
    assert check_own_anchors(folder, [f"scan-{i}" for i in range(40)]) == []
    assert check_own_anchors(folder, ["scan-3", "scan-99"]) == [f"1 of 2 of these pairs are anchors of {folder}"]
    with pytest.raises(InputError, match=r"0 of 1 of these pairs are anchors of .*Name others\.$"):
        check_own_anchors(folder, ["scan-99"], step="Name others.")


def test_of_many_anchors_a_fixed_sample_is_kept_and_that_is_said(monkeypatch):
    monkeypatch.setattr(anchor_hashes, "MOST", 100)
    ids = [f"scan-{i}" for i in range(1000)]
    hashes = anchor_hashes.hashes_of(ids, [i // 20 for i in range(1000)])
    assert len(hashes["ids"]) == 1600
    assert (hashes["n_ids"], hashes["n_groups"]) == (1000, 50)
    with pytest.raises(LeakageError, match=r"fitted on \d+ of these items"):
        audit_folder("map", ids[:200], config={"record": {"anchor_hashes": hashes}})
    notes = audit_folder("map", ["scan-x"], [99], config={"anchor_marks": dict(hashes)})
    assert notes == ["map keeps 100 of 1000 hashes of its items, so that an overlap of a few can be missed"]


def test_the_pairs_of_a_diagnosis_are_held_against_table_and_folder(folder, tmp_path):
    def table(name, rows):
        (tmp_path / name).write_text("\n".join(["id,text,patient", *(f"scan-{i},clear,{who}" for i, who in rows)]))
        return AnchorTable(tmp_path / name)

    own = table("own.csv", [(i, f"smith{i // 2}") for i in range(40)])
    fresh, known = table("fresh.csv", [(77, "jones")]), table("known.csv", [(78, "smith3")])
    assert audit_diagnosis(folder, anchors=own) == audit_diagnosis(folder, ids=["scan-1"]) == []
    assert any("no patient has both" in note for note in audit_diagnosis(folder, anchors=own, held_out=fresh))
    with pytest.raises(InputError, match=r"Did you mean held_out=\?$"):
        audit_diagnosis(folder, anchors=fresh)
    with pytest.raises(InputError, match=r"Name fresh pairs with held_out=\.$"):
        audit_diagnosis(folder, ids=["scan-99"])
    for anchors in (own, None):
        with pytest.raises(LeakageError, match=r"judge them as anchors, or hold out pairs of other patients\.$"):
            audit_diagnosis(folder, anchors=anchors, held_out=known)
