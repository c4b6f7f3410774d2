"""The benchmarks: rows have names of their own, and a row whose check fails is not timed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    return import_module("benchmarks.harness")


def test_every_row_has_a_name_of_its_own(benchmarks):
    groups = import_module("benchmarks.__main__").GROUPS
    names = [row.name for group in groups for row in import_module(f"benchmarks.{group}").ROWS]
    assert len(names) == len(set(names)) >= 10
    assert not set(names) & set(groups)


def test_contestants_take_turns_and_the_peer_is_the_unit(benchmarks):
    calls = []
    row = benchmarks.Row(
        "toy", "n = 1",
        lambda: benchmarks.Case(
            {"peer": lambda: calls.append("peer"), "ours": lambda: calls.append("ours")}, lambda results: {"error": 0.5}
        ),
    )  # fmt: skip
    found = benchmarks.measure(row)
    assert calls == ["peer", "ours"] * (2 + benchmarks.ROUNDS)
    assert found.to_dict()["ratios"]["ours"] == pytest.approx(found.seconds["ours"] / found.seconds["peer"])
    assert "| toy | n = 1 | peer | ours " in benchmarks.table([found])


def test_the_seconds_of_a_part_of_the_work_are_those_of_all_of_it(benchmarks, monkeypatch):
    monkeypatch.setattr(benchmarks, "_timed", lambda work, clock: work() or 3.0)
    case = benchmarks.Case({"peer": lambda: None, "ours": lambda: None}, lambda results: {}, {"peer": 0.01})
    outcome = benchmarks.measure(benchmarks.Row("toy", "", lambda: case))
    assert dict(outcome.seconds) == {"peer": pytest.approx(300.0), "ours": 3.0}
    assert "| ours 0.01 |" in benchmarks.table([outcome])


def test_a_wrong_result_is_not_timed(benchmarks):
    calls = []

    def check(results):
        raise AssertionError("wrong")

    with pytest.raises(AssertionError, match="wrong"):
        benchmarks.measure(benchmarks.Row("toy", "", lambda: benchmarks.Case({"peer": lambda: calls.append(1)}, check)))
    assert calls == [1]


def test_a_stitch_and_a_probe_are_compared_on_the_same_films(benchmarks):
    ((n, values),) = import_module("benchmarks.stitch_or_probe").results([60], draws=2, tested=60)
    assert (n, values.shape) == (60, (2, 4))
    own, *others = values.T
    assert own[0] == own[1] > 0.8
    assert all((other > 0.4).all() and (other < own).all() for other in others)
