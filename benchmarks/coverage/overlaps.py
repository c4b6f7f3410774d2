"""Cells of mutual k-NN: spaces without clusters, and with clusters of about k + 1 items that are drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import stitchkit.metrics.overlap_intervals as intervals
from benchmarks.coverage.cells import Bar, Cell, Ends
from stitchkit.metrics.neighbourhoods import mutual_knn, neighbour_rows
from stitchkit.metrics.overlap_intervals import Overlap, share_intervals

SOURCES = (
    *(Path(__file__).parent / name for name in ("overlaps.py", "cells.py")),
    Path(intervals.__file__),
)
TRUTH = 1000  # samples that the true value is a mean of
WIDTH = 6


@dataclass(frozen=True)
class Items:
    """Two noisy copies of one space; ``size`` items a cluster, 0 for none, exactly or on average."""

    n: int
    k: int
    size: int = 0
    equal: bool = False
    noise: float = 0.5

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.normal(size=(self.n, WIDTH))
        if self.size:
            clusters = self.n // self.size
            which = np.resize(np.repeat(np.arange(clusters), self.size), self.n)
            which = which if self.equal else rng.integers(clusters, size=self.n)
            rows = 3 * rng.normal(size=(clusters, WIDTH))[which] + 0.5 * rows
        return rows + self.noise * rng.normal(size=rows.shape), rows + self.noise * rng.normal(size=rows.shape)


@cache
def truth_of(items: Items) -> float:
    rng = np.random.default_rng(11)
    return float(np.mean([mutual_knn(*items.draw(rng), items.k) for _ in range(TRUTH)]))


def trial_of(items: Items) -> Callable[[np.random.Generator], dict[str, Ends]]:
    """Draws the items, and their clusters, and the interval."""

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        near = [neighbour_rows(side, items.k)[None] for side in items.draw(rng)]
        found = share_intervals([Overlap.of(*near)], 500, int(rng.integers(2**31)))[0]
        return {"mutual k-NN": Ends(found.low, found.high, truth_of(items))}

    return trial


def _cell(name: str, items: Items) -> Cell:
    bars = {} if 0 < items.size <= 2 * items.k else {"mutual k-NN": Bar(91)}
    return Cell(f"{items.n} items, k = {items.k}, {name}", trial_of(items), bars, effort=0.2)


CELLS = (
    *(_cell("no clusters", Items(n, k)) for n, k in ((100, 5), (100, 10), (200, 10))),
    *(_cell("no clusters, much noise", Items(n, k, noise=2.0)) for n, k in ((100, 5), (200, 10))),
    *(_cell("clusters of 30", Items(n, 10, 30)) for n in (200,)),
    *(_cell(f"clusters of {k + 1} on average", Items(n, k, k + 1)) for n, k in ((100, 5), (100, 10), (200, 10))),
    *(_cell(f"clusters of exactly {k + 1}", Items(n, k, k + 1, True)) for n, k in ((100, 5), (100, 10), (200, 10))),
)
