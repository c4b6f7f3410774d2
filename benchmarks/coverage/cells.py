"""A cell of the battery: one population, drawn many times; how often each of its intervals holds the truth."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import time
import tokenize
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SEED = 20261129
GROSS = 98.5  # percent; more than this at a nominal 95 is said to be grossly wide


class Ends(NamedTuple):
    """Ends of one interval and the true value."""

    low: float
    high: float
    truth: float


class Bar(NamedTuple):
    """Least coverage and largest share of draws with the truth beyond one end, in percent."""

    coverage: float
    beyond: float = 100.0


@dataclass(frozen=True)
class Cell:
    """One population.

    Parameters
    ----------
    name
        Unique within the family; the first column of the table.
    trial
        One draw: intervals by the name of the quantity, for the table's second column.
    bars
        By name of the quantity; quantities without one are shown only.
    effort
        Share of the draws asked for, smaller where a draw is slow.
    two_sided
        Quantities whose sign is a matter of order, so that the truth above the high end counts as well.
    """

    name: str
    trial: Callable[[np.random.Generator], Mapping[str, Ends]]
    bars: Mapping[str, Bar] = field(default_factory=dict)
    effort: float = 1.0
    two_sided: tuple[str, ...] = ()


def run_cell(cell: Cell, draws: int) -> dict[str, Any]:
    """Tallies of every quantity of ``cell``, in percent of the draws; the seed is that of the cell's name."""
    rng = np.random.default_rng([SEED, zlib.crc32(cell.name.encode())])
    ends: dict[str, list[Ends]] = {}
    start = time.process_time()
    for _ in range(draws):
        for name, one in cell.trial(rng).items():
            ends.setdefault(name, []).append(one)
    seconds = round(time.process_time() - start, 1)
    return {"draws": draws, "seconds": seconds, "quantities": {name: tally(each) for name, each in ends.items()}}


def tally(each: Sequence[Ends]) -> dict[str, float]:
    """Percent of intervals that hold the truth, that lie above it and below it, and their mean width."""
    low, high, truth = np.asarray(each, dtype=np.float64).T
    known = ~np.isnan(low)
    below, above = truth < low - 1e-12, truth > high + 1e-12
    covered = known & ~below & ~above
    return {
        "coverage": 100 * float(covered.mean()),
        "truth below": 100 * float(below.mean()),
        "truth above": 100 * float(above.mean()),
        "width": float(np.mean((high - low)[known])) if known.any() else float("nan"),
        "undefined": 100 * float((~known).mean()),
        "no width": 100 * float(np.mean(high[known] - low[known] <= 0)) if known.any() else 0.0,
    }


def digest_of(sources: Sequence[Path]) -> str:
    """SHA-256 over the code that decides the results of a family: without imports, docstrings, comments and spaces."""
    whole = hashlib.sha256()
    for path in sources:
        whole.update(code_of(path.read_text(encoding="utf-8")).encode())
    return whole.hexdigest()[:16]


def code_of(text: str) -> str:
    """The code of a Python file that decides numbers, in one line without spaces."""
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(text)):
        alone = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if alone or isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "".join("".join(lines).split())


class Results:
    """Kept results of a family: a file of cells by name, written after each cell."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path, self.digest = path, digest
        kept = json.loads(path.read_text()) if path.is_file() else {}
        self.cells: dict[str, Any] = kept.get("cells", {}) if kept.get("digest") == digest else {}

    def has(self, cell: Cell, draws: int) -> bool:
        """There is a result of as many draws, or of more."""
        return self.cells.get(cell.name, {}).get("draws", 0) >= draws

    def keep(self, name: str, result: Mapping[str, Any]) -> None:
        """Add a result, and replace the file as a whole."""
        self.cells[name] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".part")
        new.write_text(json.dumps({"digest": self.digest, "seed": SEED, "cells": self.cells}, indent=1) + "\n")
        os.replace(new, self.path)


def verdict(cell: Cell, quantity: str, found: Mapping[str, float]) -> str:
    """The bar of a quantity, and whether it is met."""
    wide = f"wide (over {GROSS:g})" if found["coverage"] > GROSS else ""
    bar = cell.bars.get(quantity)
    if bar is None:
        return wide or "-"
    beyond = max(found["truth below"], found["truth above"] if quantity in cell.two_sided else 0.0)
    met = found["coverage"] >= bar.coverage and beyond <= bar.beyond
    words = f"{bar.coverage:g} / {bar.beyond:g}" if bar.beyond < 100 else f"{bar.coverage:g}"
    return ", ".join(one for one in (f"{words} {'met' if met else 'NOT MET'}", wide) if one)


def table(cells: Sequence[Cell], results: Mapping[str, Any]) -> str:
    """A Markdown table of the cells that have results."""
    lines = [
        "| population | interval | draws | coverage % | truth below % | truth above % | mean width | bar |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        for quantity, found in results.get(cell.name, {}).get("quantities", {}).items():
            lines.append(
                f"| {cell.name} | {quantity} | {results[cell.name]['draws']} | {found['coverage']:.1f} | "
                f"{found['truth below']:.1f} | {found['truth above']:.1f} | {found['width']:.3f} | "
                f"{verdict(cell, quantity, found)} |"
            )
    return "\n".join(lines)
