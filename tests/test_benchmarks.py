"""The benchmarks: rows have names of their own, and a row whose check fails is not timed."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk

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


def choice(name):
    return import_module(f"benchmarks.choice.{name}")


@pytest.fixture
def toy(benchmarks):
    """A kind of one task whose single solvers reach .5 and .9 and whose choice reaches what the draw says."""
    rng = np.random.default_rng(0)
    x, calls = rng.normal(size=(8, 3)), []

    def draw(seed):
        calls.append(seed)
        values = {"procrustes": 0.5, "ridge": 0.9}
        return choice("cells").Draw(x, x, lambda alignment: values[alignment.record["solver"]] + seed / 100)

    rivals = {"rotation": sk.Procrustes(), "ridge": sk.Ridge(alpha=1.0)}
    cells = tuple(choice("cells").Cell("toy", n, draw) for n in (8, 10))
    return choice("cells").Kind("toy", "share", cells, rivals), calls


def test_a_cell_of_the_choice_holds_it_against_the_best_single_solver(toy):
    kind, _ = toy
    found = choice("cells").run_cell(kind.cells[0], kind.rivals, 3)
    assert found["best"] == "ridge"
    assert found["means"]["rotation"] == pytest.approx(0.51)
    assert found["means"]["ridge"] == pytest.approx(0.91)
    assert found["gap"] == pytest.approx(found["means"]["auto"] - 0.91)
    assert sum(found["chosen"].values()) == 3


def test_a_stopped_run_of_the_choice_goes_on(toy, tmp_path):
    kind, calls = toy
    run = choice("cells").run
    run(kind, 2, [8], tmp_path)
    first = list(calls)
    assert first == [0, 1]
    kept = run(kind, 2, None, tmp_path)
    assert calls == [*first, 0, 1]
    run(kind, 1, None, tmp_path)
    assert len(calls) == 4
    assert json.loads((tmp_path / "toy.json").read_text())["cells"] == dict(kept)
    changed = choice("cells").Kind("toy", "share", kind.cells, kind.rivals, (tmp_path / "toy.json",))
    run(changed, 1, [8], tmp_path)
    assert len(calls) == 5


def test_a_gap_beyond_its_bar_is_printed_as_missed(benchmarks):
    cell = {"draws": 20, "best": "ridge", "error": 0.01, "means": {"auto": 0.5, "ridge": 0.5}, "chosen": {"csa": 20}}
    gaps = (("a", 10, -0.07), ("b", 10, 0.05), ("a", 50, -0.07), ("b", 50, 0.01))
    kept = {"match": {f"{task} {n}": {**cell, "task": task, "n": n, "gap": gap} for task, n, gap in gaps}}
    ten, fifty = choice("page").summary(kept).splitlines()[2:]
    assert ten == "| match | 10 | 2 | 20 | -0.010 | -0.02 met | -0.070 | a | ridge | -0.08 met |"
    assert fifty == "| match | 50 | 2 | 20 | -0.030 | -0.02 MISSED | -0.070 | a | ridge | -0.05 MISSED |"
    assert list(choice("page").missed(kept)) == ["match: a, 50 anchors, -0.070 to ridge"]
    assert "| b | 50 | 20 | 0.500 | ridge | 0.500 | +0.010 | 0.010 | csa 20 |" in choice("page").page(kept, kept)


def test_cells_of_the_choice_have_names_of_their_own_and_are_drawn(benchmarks):
    for kind in choice("tasks").kinds().values():
        assert len({cell.name for cell in kind.cells}) == len(kind.cells)
        assert {cell.n for cell in kind.cells} >= {10, 25, 50, 100, 300}
    for kind in ("match", "head"):
        for cell in choice("tasks").kinds()[kind].cells[::18]:
            draw, again = cell.draw(3), cell.draw(3)
            assert len(draw.x) == len(draw.y) == cell.n
            assert np.array_equal(draw.x, again.x)
            assert 0 <= draw.judge(sk.align(draw.x, draw.y, solver=sk.Ridge(alpha=1.0), purpose=draw.purpose)) <= 1


CHOICE = ROOT / "benchmarks" / "results" / "choice"


@pytest.mark.parametrize("name", ["match", "head", "nets", "pneumonia", "real"])
def test_the_kept_results_of_the_choice_are_whole_and_of_these_sources(benchmarks, name):
    kind = (choice("tasks").kinds() | choice("__main__").of_data(Path("none")))[name]
    kept = json.loads((CHOICE / f"{name}.json").read_text())
    assert kept["digest"] == kind.digest, f"run python -m benchmarks.choice {name} again"
    assert set(kept["cells"]) == {cell.name for cell in kind.cells}
    assert min(cell["draws"] for cell in kept["cells"].values()) >= (10 if name == "pneumonia" else 20)
    for cell in kept["cells"].values():
        rivals = {one: value for one, value in cell["means"].items() if one != "auto"}
        assert set(rivals) == set(kind.rivals)
        assert rivals[cell["best"]] == max(rivals.values())
        assert cell["gap"] == pytest.approx(cell["means"]["auto"] - rivals[cell["best"]], abs=1e-9)


def test_the_table_of_the_choice_is_that_of_its_kept_results(benchmarks, tmp_path):
    for path in CHOICE.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    choice("__main__").write_table(tmp_path)
    table = (CHOICE / "table.md").read_text()
    assert (tmp_path / "table.md").read_text() == table
    summary, _ = table.split("\n\n", 1)
    assert summary in (ROOT / "docs" / "performance.md").read_text()


def test_labels_that_are_not_known_count_for_no_arm_of_a_fusion(benchmarks, tmp_path):
    show = import_module("benchmarks.fusion.show")
    facts = {"classes": ["a"], "multiclass": False, "holes": 0.0}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    truth = np.array([[1.0], [1.0], [0.0], [np.nan]])
    np.savez(tmp_path / "truth.npz", truth=truth, groups=np.array(list("pqrs")))
    called = np.array([[0.9], [0.2], [0.1], [0.9]])
    np.savez(tmp_path / "s0f0.npz", test=np.arange(4), **{"fused|both": called})
    accuracy = show.Run(tmp_path).accuracy("fused|both", np.ones((1, 4)))
    assert accuracy == pytest.approx((0.5 + 1.0) / 2)  # one of two members, the one other


def test_cells_of_fusions_with_other_settings_are_not_mixed(benchmarks, tmp_path):
    begin = import_module("benchmarks.fusion.__main__").begin
    begin(tmp_path / "run", {"holes": 0.0, "rows": 9})
    begin(tmp_path / "run", {"holes": 0.0, "rows": 9})
    with pytest.raises(SystemExit, match="differs in holes"):
        begin(tmp_path / "run", {"holes": 0.3, "rows": 9})
