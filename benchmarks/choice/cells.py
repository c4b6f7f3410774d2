"""A cell of the choice: one task at one number of anchors, drawn several times, and what each solver reaches there."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import stitchkit as sk
from benchmarks.coverage.cells import code_of

QUIET = {"progress": False, "anchor_hashes": False}


@dataclass(frozen=True)
class Draw:
    """Anchors, how they are aligned, and the judge of an alignment.

    Parameters
    ----------
    x, y
        Paired vectors (n, d_s) and (n, d_t).
    judge
        Alignment -> share of fresh items read right, or their AUROC.
    purpose
        ``"match"`` or ``"head"``.
    head
        The head to drive, None for matching; only the choice reads it.
    groups
        Patient of each anchor.
    """

    x: np.ndarray
    y: np.ndarray
    judge: Callable[[Any], float]
    purpose: str = "match"
    head: sk.LinearHead | None = None
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Cell:
    """One task at ``n`` anchors; ``draw`` is a function of the seed alone."""

    task: str
    n: int
    draw: Callable[[int], Draw]

    @property
    def name(self) -> str:
        """Unique within its kind."""
        return f"{self.task}, n = {self.n}"


@dataclass(frozen=True)
class Kind:
    """Cells that are judged alike, the solvers they are held against, and the files that decide the results."""

    name: str
    measure: str
    cells: tuple[Cell, ...]
    rivals: Mapping[str, Any]
    sources: tuple[Path, ...] = field(default=())

    @property
    def digest(self) -> str:
        """SHA-256 of the sources and of the package's version."""
        whole = hashlib.sha256(sk.__version__.encode())
        for path in (Path(__file__), Path(__file__).with_name("rivals.py"), *self.sources):
            whole.update(code_of(path.read_text(encoding="utf-8")).encode())
        return whole.hexdigest()[:16]


def reached(draw: Draw, rivals: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """The judge's value of ``auto`` and of each rival, and the family that ``auto`` chose."""
    words = {"groups": draw.groups, "purpose": draw.purpose, **QUIET}
    values = {name: draw.judge(sk.align(draw.x, draw.y, solver=one, **words)) for name, one in rivals.items()}
    auto = sk.align(draw.x, draw.y, nested=False, head=draw.head, **words)
    return {"auto": draw.judge(auto), **values}, auto.record["solver"]


def run_cell(cell: Cell, rivals: Mapping[str, Any], draws: int) -> dict[str, Any]:
    """Means over the seeds 0 to ``draws`` - 1, and the gap to the best single solver with its standard error."""
    start, each, chosen = time.process_time(), [], Counter()
    for seed in range(draws):
        values, family = reached(cell.draw(seed), rivals)
        each.append(values)
        chosen[family] += 1
    means = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    best = max(rivals, key=means.__getitem__)
    gaps = [one["auto"] - one[best] for one in each]
    return {
        "task": cell.task,
        "n": cell.n,
        "draws": draws,
        "seconds": round(time.process_time() - start, 1),
        "best": best,
        "gap": float(np.mean(gaps)),
        "error": float(np.std(gaps, ddof=1) / draws**0.5) if draws > 1 else None,
        "means": means,
        "chosen": dict(chosen.most_common()),
    }


class Kept:
    """Kept results of a kind: a file of cells by name, written after each cell."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.path, self.digest = folder / f"{kind.name}.json", kind.digest
        kept = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.cells: dict[str, Any] = kept.get("cells", {}) if kept.get("digest") == self.digest else {}

    def has(self, cell: Cell, draws: int) -> bool:
        """There is a result of as many draws, or of more."""
        return self.cells.get(cell.name, {}).get("draws", 0) >= draws

    def keep(self, name: str, result: Mapping[str, Any]) -> None:
        """Add a result, and replace the file as a whole."""
        self.cells[name] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".part")
        new.write_text(json.dumps({"digest": self.digest, "cells": self.cells}, indent=1, ensure_ascii=False) + "\n")
        os.replace(new, self.path)


def run(kind: Kind, draws: int, sizes: Sequence[int] | None, folder: Path) -> Mapping[str, Any]:
    """Results of all cells of the sizes asked for; those that are kept are not run again."""
    kept = Kept(folder, kind)
    for cell in kind.cells:
        if (sizes is None or cell.n in sizes) and not kept.has(cell, draws):
            kept.keep(cell.name, run_cell(cell, kind.rivals, draws))
            found = kept.cells[cell.name]
            print(f"{kind.name}: {cell.name}, {found['gap']:+.3f} to {found['best']}", flush=True)
    return kept.cells
