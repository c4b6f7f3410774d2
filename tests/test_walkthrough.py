"""The page ``docs/from-scans-to-scores.md`` from top to bottom: its code, its commands, and what they print.

    pytest tests/test_walkthrough.py --keep-numbers

writes what the commands print into the page.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stitchkit.cli.main import app

PAGE = Path(__file__).parents[1] / "docs" / "from-scans-to-scores.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"[-+]?\d*\.\d+")
CHOICES = ("solver", "anchors ", "held out", "tried", "wrote bundle")  # another processor may choose another map
CLOSE = 0.05  # of a number with a point: other maps among near equals, other last digits


def shell(line: str) -> str:
    """What a command of the page prints: one of stitchkit, or ``head -n N FILE``."""
    program, *words = shlex.split(line)
    if program == "head":
        return "".join(Path(words[2]).read_text().splitlines(keepends=True)[: int(words[1])])
    assert program == "stitchkit"
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{line}\n{done.stderr}"
    return done.stdout


def printed(code: str) -> str:
    return "".join(map(shell, code.replace("\\\n", " ").splitlines()))


def assert_alike(page: str, now: str) -> None:
    """The same lines, their numbers with a point close, all else equal."""
    ours, theirs = page.splitlines(), now.splitlines()
    assert len(ours) == len(theirs), f"the page has\n{page}\nand the commands print\n{now}"
    for one, other in zip(ours, theirs, strict=True):
        if one.startswith(CHOICES):
            assert one.split()[0] == other.split()[0]
            continue
        assert NUMBER.sub("#", one).split() == NUMBER.sub("#", other).split()
        for mine, other_number in zip(NUMBER.findall(one), NUMBER.findall(other), strict=True):
            assert float(mine) == pytest.approx(float(other_number), abs=CLOSE), one


def test_the_page_does_what_it_says(tmp_path, monkeypatch, pytestconfig):
    pytest.importorskip("pydicom")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    text, results = PAGE.read_text("utf-8"), []
    names = {"__name__": "docs"}
    pending: list[str] = []

    def run(block: re.Match[str]) -> str:
        language, code = block[1], block[2]
        if language == "python":
            exec(compile(code, str(PAGE), "exec"), names)
        elif language == "console":
            pending.append(printed(code))
        elif language == "text":
            now = pending.pop()
            results.append((code, now))
            return f"```text\n{now}```"
        return block[0]

    page = FENCE.sub(run, text)
    if pytestconfig.getoption("--keep-numbers"):
        PAGE.write_text(page, "utf-8")
        return
    assert len(results) >= 8
    for kept, now in results:
        assert_alike(kept, now)
    assert (tmp_path / "page" / "report.html").exists()


@pytest.mark.parametrize(
    ("kept", "now"),
    [
        ("a 0.5\n", "a 0.7\n"),
        ("a 0.5\n", "b 0.5\n"),
        ("a 0.5\n", "a 0.5\nb\n"),
        ("12 films\n", "13 films\n"),
    ],
)
def test_a_page_that_says_something_else_is_noticed(kept, now):
    with pytest.raises(AssertionError):
        assert_alike(kept, now)
