"""Run every percent script of this folder as a notebook and write the executed ``.ipynb`` beside it."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def scripts() -> list[Path]:
    """The percent scripts."""
    return [
        path for path in sorted(HERE.glob("*.py")) if path.read_text(encoding="utf-8").startswith("# ---\n# jupyter")
    ]


def executed(script: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook of ``script``, run in ``folder``."""
    notebook = jupytext.read(script)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    for row, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{row}"  # the same numbers give the same file
        cell.metadata.pop("execution", None)
    return notebook


if __name__ == "__main__":
    for path in scripts():
        nbformat.write(executed(path, HERE), path.with_suffix(".ipynb"))
