"""The notebooks run, and the executed copies that are committed are those of the scripts."""

import importlib.util
from pathlib import Path

import jupytext
import nbformat
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def load_runner():
    spec = importlib.util.spec_from_file_location("run_notebooks", EXAMPLES / "run_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUNNER = load_runner()


@pytest.mark.parametrize("script", RUNNER.scripts(), ids=lambda path: path.stem)
def test_the_committed_notebook_is_the_executed_script(script):
    committed = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    wanted = jupytext.read(script)
    assert [(c.cell_type, c.source) for c in committed.cells] == [(c.cell_type, c.source) for c in wanted.cells]
    assert all(cell.execution_count for cell in committed.cells if cell.cell_type == "code")


@pytest.mark.parametrize("script", RUNNER.scripts(), ids=lambda path: path.stem)
def test_the_notebook_runs_again_with_the_same_results(script, tmp_path):
    committed = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    again = RUNNER.executed(script, tmp_path)
    assert printed(again)[0] == printed(committed)[0]  # the drawn reports, to the letter
    assert len(printed(again)) == len(printed(committed))


def printed(notebook):
    texts = (out.text for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "stream")
    return list(texts)
