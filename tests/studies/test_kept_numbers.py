"""Numbers of the demo, two studies and the notebooks are those kept in ``kept_numbers``.

A move, a merge or a rename changes none of them. Where a method changes on purpose, the files are written again:

    pytest tests/studies/test_kept_numbers.py -m "slow or not slow" --keep-numbers

and their difference belongs to the change. The notebooks keep their own numbers, in the committed outputs.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from phantom_studies import run

from stitchkit.studies.demo.demo_data import DemoSettings
from stitchkit.studies.demo.run_demo import run_demo

KEPT = Path(__file__).parent / "kept_numbers"
EXAMPLES = Path(__file__).parents[2] / "examples"
CLOSE = 2e-3  # networks in single precision and other BLAS libraries move an AUROC of some hundred items by so much
UNLIKE = ("hash", "version", "sha256", "fingerprint", "seconds")  # parts of keys of what is no number of a result
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w.])")


def leaves(value, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value of nested dicts and lists with its path."""
    if isinstance(value, dict):
        for key, one in value.items():
            if not any(part in key for part in UNLIKE):
                yield from leaves(one, f"{path}/{key}")
    elif isinstance(value, list):
        for row, one in enumerate(value):
            yield from leaves(one, f"{path}/{row}")
    else:
        yield path, value


def differences(values: dict, kept: dict) -> list[str]:
    """Paths that only one of both has, and numbers further apart than ``CLOSE``."""
    lines = [f"{path}: only {'kept' if path in kept else 'new'}" for path in values.keys() ^ kept.keys()]
    for path in values.keys() & kept.keys():
        one, other = values[path], kept[path]
        numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other)]
        if not (math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE) if all(numbers) else one == other):
            lines.append(f"{path}: {one} is not {other}")
    return sorted(lines)


@pytest.fixture
def assert_kept(pytestconfig):
    def compare(name: str, results: dict) -> None:
        values = json.loads(json.dumps(dict(leaves(results))))
        file = KEPT / f"{name}.json"
        if pytestconfig.getoption("--keep-numbers"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(values, indent=0) + "\n", encoding="utf-8")
        assert differences(values, json.loads(file.read_text(encoding="utf-8"))) == []

    return compare


def test_differences_are_seen():
    kept = {"/a": 0.5, "/b": "ridge", "/c": None, "/d": True}
    assert differences(dict(kept), kept) == []
    assert differences(kept | {"/a": 0.5 + CLOSE / 2}, kept) == []
    for change in ({"/a": 0.505}, {"/b": "csa"}, {"/c": 0.0}, {"/d": False}, {"/e": 1}):
        assert len(differences(kept | change, kept)) == 1
    assert len(differences({"/a": 0.5}, kept)) == 3


def test_the_small_demo_gives_the_kept_numbers(small_demo, assert_kept):
    assert_kept("small_demo", json.loads((small_demo.report.parent / "results.json").read_text(encoding="utf-8")))


@pytest.mark.slow
def test_the_demo_gives_the_kept_numbers(assert_kept, tmp_path):
    run_demo(tmp_path, settings=DemoSettings())
    assert_kept("demo", json.loads((tmp_path / "results.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("kind", ["stitching", "zeroshot"])
def test_a_study_gives_the_kept_numbers(kind, planned, assert_kept, tmp_path):
    run(planned(kind, grid='solvers = ["ridge", "auto"]\nanchors = [30, 60]\ndraws = 2'), tmp_path / "out")
    assert_kept(kind, json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8")))


def printed(notebook: nbformat.NotebookNode) -> str:
    """All that a notebook prints."""
    cells = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "\n".join(out.text for out in cells if out.output_type == "stream" and out.name == "stdout")


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_gives_the_numbers_of_its_committed_copy(script, tmp_path):
    spec = importlib.util.spec_from_file_location("run_notebooks", EXAMPLES / "run_notebooks.py")
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    committed = printed(nbformat.read(script, as_version=4))
    again = printed(runner.executed(script.with_suffix(".py"), tmp_path))
    assert NUMBER.sub("#", again) == NUMBER.sub("#", committed)
    pairs = zip(NUMBER.findall(again), NUMBER.findall(committed), strict=True)
    assert [pair for pair in pairs if not math.isclose(*map(float, pair), rel_tol=5e-3, abs_tol=5e-3)] == []
