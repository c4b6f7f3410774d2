"""Moments from memory maps: cost and resident memory as rows grow, in a process of its own for each size."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import units
from benchmarks.harness import Case, Row

WIDTH, BLOCK = 512, 100_000

SCRIPT = """
import json, resource, sys, time
import numpy as np
import stitchkit as sk
n, width, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def side(name): return np.memmap(f"{folder}/{name}", dtype=np.float32, mode="r", shape=(n, width))
sk.Moments.of(*(side(name)[:20_000] for name in "xy"))  # warm
def anonymous(): return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon")) / 1024
before, start = anonymous(), time.perf_counter()
moments = sk.Moments.of(side("x"), side("y"))
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "before": before, "after": anonymous(), "count": moments.count}))
"""


def growing(sizes: tuple[int, ...]) -> Case:
    """The cost per row at each of ``sizes``, the first one the unit."""
    runs: dict[int, dict[str, float]] = {}

    def run(n: int) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            for seed, name in enumerate("xy"):
                _write(Path(folder) / name, n, seed)
            told = subprocess.run(
                [sys.executable, "-c", SCRIPT, str(n), str(WIDTH), folder], check=True, capture_output=True, text=True
            )
        runs[n] = json.loads(told.stdout)
        return runs[n]

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        if any(one["count"] != n for one, n in zip(results.values(), sizes, strict=True)):
            raise AssertionError("rows were lost")
        first = results[f"{sizes[0]:,} rows"]["seconds"] / sizes[0]
        out = {}
        for n, one in zip(sizes, results.values(), strict=True):
            out[f"cost per row at {n:,}"] = one["seconds"] / n / first
            out[f"MiB more at {n:,}"] = one["after"] - one["before"]
        return out

    return Case({f"{n:,} rows": (lambda n=n: run(n)) for n in sizes}, check)


def product() -> Case:
    """One exact pass over 100,000 x (512 + 512) against the bare float64 product it cannot do without."""
    import stitchkit as sk

    x, y = units(BLOCK, WIDTH), units(BLOCK, WIDTH, seed=1)
    both = np.concatenate([x, y], axis=1, dtype=np.float64)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        whole = results["float64 SYRK alone"] - len(both) * np.outer(both.mean(0), both.mean(0))
        scale = np.sqrt(np.diag(whole))
        found = results["exact"]
        error = np.abs(found.scatter_st - whole[:WIDTH, WIDTH:]) / np.outer(scale[:WIDTH], scale[WIDTH:])
        if error.max() > 1e-12:
            raise AssertionError(f"scatter differs by {error.max()}")
        return {"scatter": float(error.max())}

    contestants = {
        "float64 SYRK alone": lambda: both.T @ both,
        "exact": lambda: sk.Moments.of(x, y),
        "fast": lambda: sk.Moments.of(x, y, precision="fast"),
    }
    return Case(contestants, check)


def _write(path: Path, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((BLOCK, WIDTH), dtype=np.float32)
    with path.open("wb") as file:
        for _ in range(n // BLOCK):
            rows += 0.01  # no two blocks alike
            rows.tofile(file)


ROWS = [
    Row("moments-product", "100,000 x (512 + 512)", product),
    Row("moments-growth", "1e5, 3e5, 1e6 rows x (512 + 512) from disk", lambda: growing((100_000, 300_000, 1_000_000))),
    Row("moments-5m", "1e5, 1e6, 5e6 rows x (512 + 512) from disk",
        lambda: growing((100_000, 1_000_000, 5_000_000)), quick=False),
]  # fmt: skip
