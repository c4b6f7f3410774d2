"""``python -m benchmarks [ROW ...] [--out FOLDER] [--threads 1]``: measure rows, write JSON and a table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GROUPS = (
    "maps",
    "bound",
    "search",
    "pools",
    "retrieval",
    "similarity",
    "probing",
    "evaluating",
    "moments",
    "training",
    "subset_steps",
    "token_losses",
)  # with a table ROWS
PEERS = ("numpy", "scipy", "pandas", "torch", "scikit-learn", "latentis", "faiss-cpu", "open_clip_torch", "stitchkit")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", help="rows or groups; default: every quick row")
    parser.add_argument("--all", action="store_true", help="the long rows too")
    parser.add_argument("--threads", type=int, default=1, help="threads of BLAS and torch (1)")
    parser.add_argument("--out", type=Path, help="folder for results.json and table.md")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--check", action="store_true", help="only whether the results are right; no timing")
    asked = parser.parse_args()
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = str(asked.threads)  # before numpy and torch are imported
    rows = [row for group in GROUPS for row in _rows_of(group, asked.rows)]
    if not asked.rows and not asked.all:
        rows = [row for row in rows if row.quick]
    if not rows:
        print(f"no row is called {', '.join(asked.rows)}; see --list", file=sys.stderr)
        return 2
    if asked.list:
        print("\n".join(f"{row.name}: {row.size}{'' if row.quick else ' (long)'}" for row in rows))
        return 0
    return _check(rows, asked.threads) if asked.check else _run(rows, asked.threads, asked.out)


def _rows_of(group: str, wanted: list[str]) -> list:
    rows = import_module(f"benchmarks.{group}").ROWS
    return [row for row in rows if not wanted or group in wanted or row.name in wanted]


def _check(rows: list, threads: int) -> int:
    import torch

    from benchmarks.harness import checked

    torch.set_num_threads(threads)
    for row in rows:
        print(row.name, dict(checked(row.build())), flush=True)
    return 0


def _run(rows: list, threads: int, out: Path | None) -> int:
    import torch

    from benchmarks.harness import measure, table

    torch.set_num_threads(threads)
    outcomes = []
    for row in rows:
        outcomes.append(measure(row))
        print(json.dumps(outcomes[-1].to_dict()), file=sys.stderr, flush=True)
    print(table(outcomes))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        account = {"machine": _machine(threads), "rows": [one.to_dict() for one in outcomes]}
        (out / "results.json").write_text(json.dumps(account, indent=1) + "\n")
        (out / "table.md").write_text(table(outcomes) + "\n")
    return 0


def _machine(threads: int) -> dict:
    known = {}
    for name in PEERS:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d"), "processor": _processor(), "cores": os.cpu_count(), "threads": threads,
        "python": platform.python_version(), "versions": known,
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
