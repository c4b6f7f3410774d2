"""Notes that a record holds however the map was chosen: unknown patients, far targets, the missing common centre."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.alignment_summary import NO_PATIENTS
from stitchkit.core.alignments import NO_COMMON_CENTRE

MIX = np.random.default_rng(99)
INTO_X, INTO_Y = MIX.normal(size=(6, 20)), MIX.normal(size=(6, 14))


def pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 6))
    return z @ INTO_X + rng.normal(size=(n, 20)), z @ INTO_Y + rng.normal(size=(n, 14))


def pool(seed=1):
    return pairs(60, seed)[0], pairs(60, seed + 1)[1]


ASKED = {
    "auto": {},
    "family": {"solver": "ridge"},
    "value": {"solver": sk.Ridge(alpha=0.1)},
    "value with folds": {"solver": sk.CSA()},
    "value of rows": {"solver": sk.Lowdin()},
    "defaults by name": {"solver": "least_squares"},
    "paper": {"paper": "ortho"},
    "head": {"purpose": "head"},
    "head by value": {"purpose": "head", "solver": sk.Procrustes()},
    "pool": {"pool": pool()},
    "pool and value": {"pool": pool(), "solver": sk.Lowdin()},
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_unknown_patients_are_noted_once_and_known_ones_are_not(asked):
    x, y = pairs(40)
    assert sk.align(x, y, nested=False, **asked).record["notes"].count(NO_PATIENTS) == 1
    assert NO_PATIENTS not in sk.align(x, y, groups=np.arange(40) // 2, nested=False, **asked).record["notes"]


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_far_targets_are_noted_once_however_the_map_was_chosen(asked):
    x, y = pairs(40)
    y[:2] += 60
    notes = [note for note in sk.align(x, y, nested=False, **asked).record["notes"] if "times as far" in note]
    assert len(notes) == 1
    assert notes[0].startswith("2 of 40 targets lie more than 6 times as far")


@pytest.mark.parametrize(("side", "far"), [(0, 2), (1, 0), (1, 12)])
def test_far_sources_and_targets_in_two_heaps_are_no_outliers(side, far):
    both = pairs(40)
    both[side][:far] += 60
    notes = sk.align(*both, solver=sk.Ridge()).record["notes"]
    assert not any("times as far" in note for note in notes)


def test_far_targets_are_found_in_every_block_of_many(monkeypatch):
    from stitchkit.alignment import record

    monkeypatch.setattr(record, "BLOCK", 7)
    monkeypatch.setattr(record, "SAMPLED", 20)
    x, y = pairs(100)
    y[[0, 50, 99]] += 60
    assert any(note.startswith("3 of 100 targets") for note in sk.align(x, y, solver=sk.Ridge()).record["notes"])


def test_three_anchors_without_patients_are_noted_too():
    x, y = pairs(4)
    assert NO_PATIENTS in sk.align(x, y).record["notes"]


def test_ids_do_not_tell_patients():
    x, y = (sk.Embeddings(rows, [f"p{i // 2}-{i}" for i in range(40)], sk.Space.of_array(rows.shape[1]))
            for rows in pairs(40))  # fmt: skip
    assert NO_PATIENTS in sk.align(x, y, nested=False).record["notes"]
    groups = {one: one.split("-")[0] for one in x.ids.tolist()}
    assert NO_PATIENTS not in sk.align(x, y, groups=groups, nested=False).record["notes"]


def test_unknown_patients_alone_leave_the_printed_line_as_it_was():
    x, y = pairs(60)
    plain = sk.align(x, y, solver=sk.Ridge())
    assert plain.record["notes"] == [NO_PATIENTS]
    assert "note" not in repr(plain)
    y[:3] += 60
    assert "1 note in .record['notes']" in repr(sk.align(x, y, solver=sk.Ridge()))


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_the_record_says_that_separate_maps_share_no_centre(asked):
    x, y = pairs(40)
    record = sk.align(x, y, nested=False, **asked).record
    assert record["common_centre"] == NO_COMMON_CENTRE
    assert NO_COMMON_CENTRE not in record["notes"]


@pytest.mark.parametrize("solver", [None, sk.HubComposition(center="hub"), sk.HubComposition(kappa=0.01, dims=2)])
@pytest.mark.parametrize("as_moments", [False, True])
def test_a_composition_through_a_hub_always_notes_that_it_shares_no_centre(solver, as_moments):
    (x, h), (other_h, z) = pairs(60), pairs(60, seed=1)[::-1]
    sides = ((x, h), (other_h, z))
    if as_moments:
        space = sk.Space("hub", 14)
        h, other_h = (sk.Embeddings(rows, np.arange(60).astype(str), space) for rows in (h, other_h))
        x, z = (sk.Embeddings(rows, np.arange(60).astype(str), sk.Space(name, 20)) for name, rows in
                (("a", x), ("b", z)))  # fmt: skip
        sides = (sk.Moments.of(x, h), sk.Moments.of(other_h, z))
    assert NO_COMMON_CENTRE in sk.align_through(*sides, solver=solver).record["notes"]


def test_the_card_of_a_saved_map_has_notes_and_centre(tmp_path):
    x, y = pairs(60)
    y[:3] += 60
    text = (sk.save(sk.align(x, y, solver=sk.Ridge()), tmp_path / "map") / "README.md").read_text()
    assert "**Anchors**: 60 pairs, patients not known" in text
    assert f"- {NO_PATIENTS}" in text
    assert "3 of 60 targets lie more than 6 times as far" in text
    assert NO_COMMON_CENTRE in text
    known = sk.align(x, y, solver=sk.Ridge(), groups=np.arange(60) // 2)
    card = (sk.save(known, tmp_path / "known") / "README.md").read_text()
    assert "patients not known" not in card
    assert "**Anchors**: 60 pairs, 30 groups" in card


def test_the_note_on_a_missing_head_says_what_it_cost():
    x, y = pairs(60)
    note = next(one for one in sk.align(x, y, purpose="head", nested=False).record["notes"] if "no head" in one)
    for number in (".03 to .07", "at 25 anchors", ".008 to .017", "at 100", "head="):
        assert number in note
