"""``python -m benchmarks.coverage [FAMILY ...] [--draws 2000]``: coverage of intervals in simulations, as a table.

Seeds are fixed, and each cell is kept when it is done: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

FAMILIES = ("auroc", "proportions", "r2", "curves", "overlaps", "probabilities", "precision", "thresholds")
OUT = Path(__file__).parents[1] / "results" / "coverage"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("families", nargs="*", help=f"default: all of {', '.join(FAMILIES)}")
    parser.add_argument("--draws", type=int, default=2000, help="samples of each population (2000)")
    parser.add_argument("--cells", default="", help="only cells whose name holds this text")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the kept results and tables")
    parser.add_argument("--list", action="store_true", help="name the cells and stop")
    parser.add_argument("--page", action="store_true", help="print the kept results as the tables of docs/intervals.md")
    options = parser.parse_args()
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"  # before numpy is imported
    if unknown := [one for one in options.families if one not in FAMILIES]:
        print(f"no family is called {', '.join(unknown)}; there are {', '.join(FAMILIES)}", file=sys.stderr)
        return 2
    for name in options.families or FAMILIES:
        family = import_module(f"benchmarks.coverage.{name}")
        if options.list:
            print("\n".join(f"{name}: {cell.name}" for cell in family.CELLS))
        elif options.page:
            kept = json.loads((options.out / f"{name}.json").read_text())
            print(import_module(f"benchmarks.coverage.{name}_page").page(kept["cells"]))
        else:
            _run(name, family, options.draws, options.cells, options.out)
    return 0


def _run(name: str, family: ModuleType, draws: int, wanted: str, out: Path) -> None:
    from benchmarks.coverage.cells import Results, digest_of, run_cell, table

    results = Results(out / f"{name}.json", digest_of(family.SOURCES))
    cells = [cell for cell in family.CELLS if wanted in cell.name]
    for at, cell in enumerate(cells, 1):
        times = max(round(draws * cell.effort), 1)
        if not results.has(cell, times):
            print(f"{name} {at} of {len(cells)}: {cell.name}", file=sys.stderr, flush=True)
            results.keep(cell.name, run_cell(cell, times))
    print(table(cells, results.cells))
    (out / f"{name}.md").write_text(table(family.CELLS, results.cells) + "\n")


if __name__ == "__main__":
    sys.exit(main())
