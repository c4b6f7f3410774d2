"""Overlap of a table of anchors with a table of test items, before any model is loaded."""

from __future__ import annotations

import pytest

from stitchkit.core.errors import LeakageError
from stitchkit.datasets.anchor_tables import AnchorTable
from stitchkit.evaluation.anchors.overlap import audit_test_table


def test_a_test_table_is_compared_by_the_columns_of_the_anchors_table(tmp_path):
    (tmp_path / "anchors.csv").write_text("key,text,person\n1,clear,ann\n2,opacity,bob\n")
    (tmp_path / "test.csv").write_text("key,person\n7,bob\n")
    table = AnchorTable(tmp_path / "anchors.csv", id="key", groups="person")
    with pytest.raises(LeakageError, match="1 patient has both anchors and test items"):
        audit_test_table(table.check(), table, tmp_path / "test.csv")
    notes = audit_test_table(table.check(), table, tmp_path / "test.csv", allow=True)
    assert notes[0].startswith("LEAKAGE: 1 patient")
