"""The provenance of scores: it travels with them, and holds texts alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError
from stitchkit.core.scores import Provenance

ORIGIN = Provenance(source="demo:general", map="ridge", prompts="mine", prompts_sha256="ab" * 32)


def scores(provenance=ORIGIN):
    return sk.Scores(np.eye(3)[:, :2], "logit", ["a", "b", "c"], ("Edema", "Mass"), provenance)


def test_parts_of_scores_keep_their_provenance():
    whole = scores()
    parts = (whole.take(np.array([0])), whole.of_classes(("Mass",)), scores(None).with_provenance(ORIGIN))
    assert all(one.provenance is ORIGIN for one in parts)
    assert scores(None).of_classes(("Mass",)).provenance is None


def test_facts_are_those_that_are_known_and_safe_to_print():
    assert dict(ORIGIN.facts()) == {
        "Source encoder": "demo:general", "Map": "ridge", "Prompts": f"mine (SHA-256 {'ab' * 6})"
    }  # fmt: skip
    assert ORIGIN.to_dict() == {"source": "demo:general", "map": "ridge", "prompts": "mine",
                                "prompts_sha256": "ab" * 32}  # fmt: skip
    assert list(Provenance(source="a\x1b[2J").facts()) == [("Source encoder", "a\\x1b[2J")]


def test_what_is_no_text_is_refused():
    with pytest.raises(InputError, match="anchors is a text; got 200"):
        Provenance(anchors=200)


def test_an_evaluation_has_the_provenance_of_its_scores():
    ids, truth = [f"f{i}" for i in range(40)], np.arange(40)[:, None] % 2
    mine = sk.Scores(truth + np.arange(40.0)[:, None], "logit", ids, ("Edema",), ORIGIN)
    labels = sk.Labels(truth, ids, ("Edema",))
    known = sk.Scores(mine.values, "logit", [f"k{i}" for i in range(40)], ("Edema",))
    calibration = sk.calibrate(known, sk.Labels(truth, known.ids, ("Edema",)))
    found = sk.evaluate(mine, labels, calibration=calibration, replicates=10)
    assert calibration(mine).provenance == replace(ORIGIN, calibration="platt, fitted on 40 items")
    assert calibration(known).provenance is None
    assert found.provenance == calibration(mine).provenance
    assert found.to_dict()["provenance"] == calibration(mine).provenance.to_dict()
    assert sk.evaluate(mine, labels, replicates=10).provenance is ORIGIN
    unknown = sk.evaluate(mine.with_provenance(None), labels, replicates=10)
    assert unknown.provenance is None
    assert "provenance" not in unknown.to_dict()
    stale = sk.evaluate(mine.with_provenance(Provenance(remark="of another table")), labels, replicates=10)
    assert "of another table" in stale.notes
