"""``python -m benchmarks.choice [match] [head] [nets] [pneumonia] [real]``: the choice against every single solver.

For each task and number of anchors: the mean over draws that ``sk.align`` reaches on fresh pairs, and that of the best
single solver, which is found after the fact. ``match`` and ``head`` are synthetic families, ``nets`` small nets on
digits; ``pneumonia`` and ``real`` read the folder of ``--real-data``. Each cell is kept when it is done: a run that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.choice.cells import Kind, run
from benchmarks.choice.page import missed, page, summary
from benchmarks.choice.tasks import kinds
from stitchkit.runtime.threads import one_blas_thread

HINT = "; pneumonia and real need --real-data DIR"
OUT = Path(__file__).parents[1] / "results" / "choice"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choice", description=__doc__)
    parser.add_argument("kinds", nargs="*", help="default: all that need no data, match, head and nets")
    parser.add_argument("--sizes", nargs="+", type=int, default=None, help="numbers of anchors; default: all")
    parser.add_argument("--draws", type=int, default=20, help="draws of the anchors of each task (20)")
    parser.add_argument("--real-data", type=Path, metavar="DIR", help="folder of real data, for pneumonia and real")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the kept results and their table")
    options = parser.parse_args()
    known = kinds() | ({} if options.real_data is None else of_data(options.real_data.resolve()))
    if unknown := [one for one in options.kinds if one not in known]:
        print(f"no kind is called {', '.join(unknown)}; there are {', '.join(known)}{HINT}", file=sys.stderr)
        return 2
    names = options.kinds or list(kinds())
    with one_blas_thread():
        found = {name: run(known[name], options.draws, options.sizes, options.out) for name in names}
    write_table(options.out)
    print(summary(found))
    for one in missed(found):
        print(f"missed: {one}")
    return 0


def of_data(folder: Path) -> dict[str, Kind]:
    """The kinds that read a folder of real data."""
    from benchmarks.choice import chest_nets, images_by_text

    return {one.name: one for one in (chest_nets.kind(folder), images_by_text.kind(folder))}


def write_table(folder: Path) -> None:
    """``table.md`` of all results kept in ``folder``."""
    known = kinds() | of_data(folder)
    paths = {name: folder / f"{name}.json" for name in known}
    kept = {name: json.loads(path.read_text())["cells"] for name, path in paths.items() if path.is_file()}
    (folder / "table.md").write_text(page(kept, {name: known[name].measure for name in kept}))


if __name__ == "__main__":
    raise SystemExit(main())
