"""The log of a training run: a damaged line is refused by its number; one that a kill cut off is left out."""

from __future__ import annotations

import pytest
from run_logs import log_lines

from stitchkit.core.errors import DataError
from stitchkit.training.run_log import LOG, RunLog


def test_lines_beyond_the_step_and_a_cut_one_are_left_out(tmp_path):
    (tmp_path / LOG).write_text('{"step": 1, "loss": 0.5}\n{"step": 2}\n{"step": 3}\n{"st')
    for step in (3, 2):
        RunLog(tmp_path, step)
        assert [line["step"] for line in log_lines(tmp_path)] == [*range(1, step + 1)]


@pytest.mark.parametrize(
    "line",
    [b"{", b"[1]", b"null", b"{}", b'{"step": "2"}', b'{"step": true}', b'{"step": 1.0}', b'{"step": 1, "step": 2}',
     b'{"step": 1, "loss": NaN}', b"1" * 5000, b"[" * 5000, b'{"step": 1, "a": "\xe9"}', b""],
)  # fmt: skip
def test_a_damaged_line_is_refused_by_number(tmp_path, line):
    (tmp_path / LOG).write_bytes(b'{"step": 1}\n' + line + b"\n")
    with pytest.raises(DataError, match=rf"line 2 of .*{LOG} is no "):
        RunLog(tmp_path, 5)
