"""Progress is a bar on a terminal, one output in a notebook, and silence in a file or a pipe."""

from __future__ import annotations

import io
import os
import sys

import pytest

from stitchkit.runtime import progress
from stitchkit.runtime.progress import Progress

CELL = """
from stitchkit.runtime import progress
progress.PATIENCE = -1.0
def work(show):
    with progress.Progress(show) as bar:
        for what in ("first", "second"):
            bar.begin(what, 40)
            for _ in range(40):
                bar.step(1)
"""


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work(show, clock, seconds=5.0):
    with Progress(show) as bar:
        for what in ("first", "second"):
            bar.begin(what, 4)
            for _ in range(4):
                clock[0] += seconds / 4
                bar.step(1)


@pytest.mark.parametrize("seconds", [0.1, 5.0, 5000.0])
def test_a_log_is_left_alone_however_long_it_takes(clock, capfd, seconds):
    work(None, clock, seconds)
    work(False, clock, seconds)
    assert capfd.readouterr() == ("", "")


def test_a_log_gets_a_plain_line_for_each_piece_when_it_is_wanted(clock, capfd):
    work(True, clock)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "first 4/4 0.8/s\nsecond 4/4 0.8/s\n"


def test_a_terminal_gets_a_bar_after_two_seconds(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    work(None, clock, seconds=1.0)
    assert sys.stderr.getvalue() == ""
    work(None, clock, seconds=5.0)
    assert "second" in sys.stderr.getvalue()
    assert "4/4" in sys.stderr.getvalue()


def test_a_process_without_stderr_works_on(clock, monkeypatch):
    for stream in (None, open(os.devnull, "w")):  # noqa: SIM115
        if stream is not None:
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        for show in (None, True, False):
            work(show, clock)


def test_a_notebook_gets_one_output_a_verb():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(source) for source in (CELL, "work(None)", "work(True)", "work(False)")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=300).execute()
    assert [len(cell.outputs) for cell in notebook.cells] == [0, 1, 1, 0]
    for cell in notebook.cells[1:3]:
        line = cell.outputs[0]["data"]["text/plain"]
        assert line.startswith("second 40/40 ")
        assert not set(line) & {"\n", "\r", "\x1b"}


@pytest.mark.parametrize("show", [None, False])
def test_a_command_line_says_once_that_a_step_takes_minutes(clock, capfd, show):
    with progress.announce_long_steps():
        work(show, clock, seconds=1000.0)
    err = capfd.readouterr().err
    assert err == "first: about 12 minutes to go, 1 of 4 done\nsecond: about 12 minutes to go, 1 of 4 done\n"


@pytest.mark.parametrize("seconds", [4.0, 150.0])
def test_a_step_that_is_soon_done_is_not_announced(clock, capfd, seconds):
    with progress.announce_long_steps():
        work(False, clock, seconds)
    assert capfd.readouterr().err == ""


def test_work_that_was_done_before_is_not_in_the_estimate(clock, capfd):
    with progress.announce_long_steps(), Progress(False) as bar:
        bar.begin("embedding", 10_000, done=9_000)
        clock[0] += 10.0
        bar.step(10)
    assert capfd.readouterr().err == "embedding: about 16 minutes to go, 9010 of 10000 done\n"


def test_days_are_told_in_hours(clock, capfd):
    with progress.announce_long_steps(), Progress(None) as bar:
        bar.begin("embedding", 1001)
        clock[0] += 36.0
        bar.step(1)
    assert "about 10.0 hours to go" in capfd.readouterr().err


def test_a_terminal_has_its_bar_instead(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress.announce_long_steps():
        work(None, clock, 1000.0)
    assert "to go" not in terminal.getvalue()
