"""Errors of the warning that no anchor mentions a finding, on phantoms' reports: the command's own numbers, fewer."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import stitchkit as sk
from stitchkit.datasets.phantoms import FINDINGS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def command():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield import_module("benchmarks.coverage_warning")


@pytest.fixture(scope="module")
def phantoms(command):
    """Vectors and texts of 120 reports, whole and without each finding, and the prompts."""
    read = command.encoders()["demo:text"]
    texts = {"": command.reports(120, 2)} | {name: command.reports(120, 2, (name,)) for name in FINDINGS}
    named = sk.read_prompts("phantom")
    sides = {side: read(some) for side, some in texts.items()}
    rows = sk.Embeddings(read(named.texts), named.texts, sk.Space.of_array(sides[""].shape[1]))
    return sides, texts, sk.embed_prompts(rows, named)


@pytest.mark.parametrize("words", [False, True])
def test_silent_findings_are_warned_of_and_mentioned_ones_are_not(monkeypatch, command, phantoms, words):
    monkeypatch.setattr(command, "POOL", 120)
    missed, false, rare = command.rates(*phantoms, 100, 2, words)
    assert (missed, false) == (0.0, 0.0)
    if words:
        assert rare == 0.0
    else:
        assert 0.2 < rare <= 1.0  # the limit of vectors lies above a tenth of the anchors


def test_the_page_prints_the_table_of_the_command(command):
    page = (ROOT / "docs" / "diagnose.md").read_text()
    head = "| judged by | prompts | " + " | ".join(f"{n} anchors" for n in command.SIZES) + " |"
    assert head in page
    assert all(f"| vectors, demo:text | {name} |" in page for name in command.PROMPTS)
