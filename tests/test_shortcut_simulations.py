"""The simulations of SHORTCUT: populations are what they say, anchors are held out, kept results are current."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from stitchkit.metrics.auroc import auroc

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "results" / "shortcuts"


@pytest.fixture
def shortcuts(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    return import_module("benchmarks.shortcuts")


def test_kept_results_are_those_of_the_present_sources_and_stand_in_the_page(shortcuts):
    digest_of = import_module("benchmarks.coverage.cells").digest_of
    kept = json.loads((FOLDER / "shortcuts.json").read_text())
    assert kept["digest"] == digest_of(shortcuts.sources()), "run python -m benchmarks.shortcuts again"
    assert list(kept["cells"]) == [case.name for case in shortcuts.CASES]
    table = shortcuts.table(kept["cells"])
    assert (FOLDER / "shortcuts.md").read_text().rstrip("\n") == table
    assert table in (ROOT / "docs" / "zero-shot.md").read_text()


def test_shortcuts_are_rare_by_chance_and_found_where_metadata_tell_a_class(shortcuts):
    kept = json.loads((FOLDER / "shortcuts.json").read_text())["cells"]
    for case in shortcuts.CASES:
        shares, draws = kept[case.name]["shares"], kept[case.name]["draws"]
        assert draws >= (200 if case.score is None else 1000)
        if not case.positives:
            assert shares[shortcuts.ANY] <= 5
        elif case.score is None:
            assert shares[shortcuts.FIRST] >= 80
        elif case.score < case.metadata - 0.05:
            assert shares[shortcuts.FIRST] >= 90


def test_a_population_has_the_aurocs_it_was_asked_for(shortcuts, monkeypatch):
    monkeypatch.setattr(shortcuts, "PATIENTS", 20_000)
    monkeypatch.setattr(shortcuts, "RARE", (4000, 4001))
    groups, labels, drawn = shortcuts.population(np.random.default_rng(0), 6000)
    asked = np.linspace(0.5, 0.9, shortcuts.CLASSES)
    scores = drawn(asked)
    assert len(np.unique(groups[labels[:, 0] == 1])) == 6000
    found = [auroc(scores[:, c], labels[:, c]) for c in range(shortcuts.CLASSES)]
    assert found == pytest.approx(asked, abs=0.015)  # three standard errors


def test_metadata_of_anchors_are_fitted_without_the_patients_they_are_judged_on(shortcuts, monkeypatch):
    from stitchkit.evaluation.anchors import shortcuts as anchor_shortcuts

    real, sides = anchor_shortcuts.metadata_scores, []
    monkeypatch.setattr(
        anchor_shortcuts,
        "metadata_scores",
        lambda fit, test, *rest: sides.append((fit, test)) or real(fit, test, *rest),
    )
    found = shortcuts.audited(np.random.default_rng(1), shortcuts.CASES[-1])
    assert set(found) == {shortcuts.ANY, shortcuts.FIRST}
    assert len(sides) == 5
    assert not any(set(fit.groups) & set(test.groups) for fit, test in sides)


def test_a_stopped_run_goes_on_and_a_changed_source_begins_anew(shortcuts, tmp_path, monkeypatch):
    source, calls = tmp_path / "source.py", []
    source.write_text("1")
    monkeypatch.setattr(shortcuts, "sources", lambda: (source,))
    monkeypatch.setattr(shortcuts, "evaluated", lambda rng, case: calls.append(case.name) or {shortcuts.ANY: True})
    cases = [shortcuts.CASES[0], shortcuts.CASES[1]]
    for some in (cases[:1], cases, cases):
        shortcuts._run(some, 3, tmp_path)
    assert [calls.count(case.name) for case in cases] == [3, 3]
    source.write_text("2")
    shortcuts._run(cases, 3, tmp_path)
    assert len(calls) == 12
    assert "| 100.0% |" in (tmp_path / "shortcuts.md").read_text()
