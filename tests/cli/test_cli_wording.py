"""Words of the command line: settings as flags, held-out numbers as ``align`` prints them."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.cli.commands.info import _lines
from stitchkit.cli.wording import as_flags
from stitchkit.core.errors import LeakageError
from stitchkit.evaluation.fitted_pairs import STEP
from stitchkit.evaluation.leakage import audit

HELD = {
    "mrr": 0.168, "se": 0.015, "chance_mrr": 0.158, "recall@1": 0.033, "gallery": 24, "estimate": "outer folds",
    "above_chance": False,
}  # fmt: skip


def test_allowing_leakage_names_the_flag():
    with pytest.raises(LeakageError) as refused:
        audit(np.array(["a"]), np.array(["a"]), None, None)
    for message in (str(refused.value), STEP):
        assert "(--allow-leakage)" in as_flags(message)
        assert "(allow_leakage=True)" in message


def test_held_out_numbers_of_a_folder_are_a_sentence():
    (line,) = [one for one in _lines({"is": "a stitched folder", "held_out": HELD}) if one.startswith("held out")]
    assert "mean reciprocal rank 0.168 (se 0.015; chance 0.158)" in line
    assert line.endswith("not clearly above chance")
    assert "above_chance" not in line


@pytest.mark.parametrize("held", [{"mrr": 0.2}, {"r2": 0.3}, {"r2": "high", "se": 0.1, "estimate": "x"}])
def test_numbers_that_a_folder_lacks_are_no_error(held):
    assert any(one.startswith("held out") for one in _lines({"is": "a stitched folder", "held_out": held}))
