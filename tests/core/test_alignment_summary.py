"""What ``print(alignment)`` shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.alignment_summary import NO_PATIENTS, held_out_summary, summary_lines


@pytest.fixture(scope="module")
def alignment():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    return sk.align(x, x + 0.1 * rng.normal(size=(60, 4)), solver="ridge")


def test_print_shows_solver_anchors_held_out_numbers_notes_and_candidates(alignment):
    lines = str(alignment).splitlines()
    heads = [line.split()[0] for line in lines]
    assert heads[:3] == ["solver", "anchors", "held"]
    assert "candidates" in lines
    assert lines[2].startswith("held out  mean reciprocal rank")
    assert f"note      {NO_PATIENTS}" in lines
    assert lines == summary_lines(alignment.record)


def test_candidates_stand_best_first(alignment):
    lines = str(alignment).splitlines()
    values = [float(line.split(" mrr ")[1].split()[0]) for line in lines[lines.index("candidates") + 1 :]]
    assert len(values) > 1
    assert values == sorted(values, reverse=True)


def test_a_map_without_a_record_prints_as_its_repr(alignment):
    bare = replace(alignment, record={})
    assert str(bare) == repr(bare)


RECORDS = {
    "candidates without numbers": {"candidates": [{"solver": "ridge"}, 3]},
    "branches without numbers": {"branches": [{"branch": "soft"}]},
    "candidates that are none": {"candidates": 7},
    "held out without its error": {"held_out": {"mrr": 0.2}},
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_that_was_written_by_hand_prints_too(alignment, case):
    shown = str(replace(alignment, record={"solver": "ridge", **RECORDS[case]}))
    assert shown.startswith("solver    ridge")


def test_control_characters_of_a_foreign_record_are_written_out(alignment):
    shown = str(replace(alignment, record={"solver": "ridge", "notes": ["\x1b[2Jgone"]}))
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone" in shown


def test_numbers_of_a_head_and_of_matching_are_told_apart():
    head = {"r2": 0.5, "se": 0.1, "estimate": "folds", "agreement": 0.9, "agreement_se": 0.01}
    assert held_out_summary(head).startswith("agreement of the head's outputs 0.900 (se 0.010), R2 0.500")
    assert held_out_summary(None) == "not measured"
