"""Test items against labels and anchors before there are scores."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, LeakageError
from stitchkit.evaluation.scores.item_patients import patients_of_test

LABELS = sk.Labels(np.eye(4)[:, :1], ["a", "b", "c", "d"], ("Edema",), groups=["p1", "p1", "p2", "p3"])


def anchors(*ids, groups=None):
    texts = sk.Items(list(ids), list(ids), "text")
    return sk.AnchorSet(list(ids), texts, texts, groups)


def test_patients_stand_in_the_order_of_the_items():
    assert patients_of_test(LABELS, ["d", "a"]).tolist() == ["p3", "p1"]
    assert patients_of_test(LABELS, ["d"], anchors("c", groups=["p2"])).tolist() == ["p3"]


@pytest.mark.parametrize(("ids", "of"), [("c", ("c", "p9")), ("b", ("x", "p1"))])
def test_an_item_or_a_patient_on_both_sides_is_refused(ids, of):
    pairs = anchors(of[0], groups=[of[1]])
    with pytest.raises(LeakageError):
        patients_of_test(LABELS, [ids], pairs)
    assert patients_of_test(LABELS, [ids], pairs, allow_leakage=True) is not None


def test_an_item_without_a_label_is_refused():
    with pytest.raises(DataError, match="1 of 2 items have no label"):
        patients_of_test(LABELS, ["a", "zz"])
