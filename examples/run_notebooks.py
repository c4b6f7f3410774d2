"""Run every percent script of this folder as a notebook and write the executed ``.ipynb`` beside it.

    python examples/run_notebooks.py                                 all, on phantoms: the copies that are committed
    python examples/run_notebooks.py zero_shot_chest                 one of them
    python examples/run_notebooks.py --real-data DIR --out FOLDER    on the real films in DIR, somewhere else

What is made from real films is never written into this folder.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent.resolve()
VARIABLE = "STITCHKIT_REAL_DATA"  # read by the notebooks that can run on real films
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # matrices this small are slower on several


def scripts() -> list[Path]:
    """The percent scripts."""
    return [
        path for path in sorted(HERE.glob("*.py")) if path.read_text(encoding="utf-8").startswith("# ---\n# jupyter")
    ]


def reads_real_films(script: Path) -> bool:
    """Whether a script can run on real films."""
    return VARIABLE in script.read_text(encoding="utf-8")


def executed(script: Path, folder: Path, real_data: Path | None = None) -> nbformat.NotebookNode:
    """The notebook of ``script``, run in ``folder``; on phantoms unless a folder of real films is given."""
    environment = {**ONE_THREAD, **os.environ}
    for name in (VARIABLE, "MPLBACKEND"):  # the kernel draws into the notebook, whatever its parent does
        environment.pop(name, None)
    if real_data is not None:
        environment[VARIABLE] = str(real_data.resolve())
    notebook = jupytext.read(script)
    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place, coalesce_streams=True)
    client.execute(env=environment)
    for row, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{row}"  # the same numbers give the same file
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    return notebook


def smaller(png: str) -> str:
    """A figure (base64) in at most 256 colours: a third of the size, and nobody sees it."""
    drawn = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    buffer = io.BytesIO()
    flat.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    """Run what is asked for."""
    asked = argparse.ArgumentParser(description="Run the notebooks from their scripts.")
    asked.add_argument("names", nargs="*", help="scripts without .py; all of them if none is named")
    asked.add_argument("--real-data", type=Path, metavar="DIR", help="folder of real films; needs --out")
    asked.add_argument("--out", type=Path, metavar="FOLDER", help="where to write, instead of beside the scripts")
    given = asked.parse_args()
    out = HERE if given.out is None else given.out.resolve()
    if given.real_data is not None and out.is_relative_to(HERE):
        asked.error("notebooks run on real films are not written among the examples: name another folder with --out")
    wanted = [path for path in scripts() if not given.names or path.stem in given.names]
    if unknown := sorted(set(given.names) - {path.stem for path in scripts()}):
        asked.error(f"there is no notebook {unknown[0]}; there are {', '.join(path.stem for path in scripts())}")
    out.mkdir(parents=True, exist_ok=True)
    for path in wanted:
        if given.real_data is None or reads_real_films(path):
            nbformat.write(executed(path, HERE, given.real_data), out / f"{path.stem}.ipynb")


if __name__ == "__main__":
    main()
