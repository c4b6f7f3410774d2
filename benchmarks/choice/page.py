"""Kept results of the choice as Markdown: gaps by kind and number of anchors against the bars, then every cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

MEAN, WORST, WORST_OF_TEN = 0.02, 0.05, 0.08
Cells = Mapping[str, Any]


def worst_bar(n: int) -> float:
    """Largest loss to the best single solver that any task may have at ``n`` anchors."""
    return WORST_OF_TEN if n <= 10 else WORST


def summary(kept: Mapping[str, Cells]) -> str:
    """A row for each kind and number of anchors: mean and worst gap over its tasks, and whether the bars are met."""
    lines = [
        "| kind | anchors | tasks | draws | mean gap | bar | worst gap | task | best single solver there | bar |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, cells in kept.items():
        for n in sorted({one["n"] for one in cells.values()}):
            lines.append(_row(kind, n, [one for one in cells.values() if one["n"] == n]))
    return "\n".join(lines)


def _row(kind: str, n: int, cells: Sequence[Any]) -> str:
    mean, worst = float(np.mean([one["gap"] for one in cells])), min(cells, key=lambda one: one["gap"])
    draws = "-".join(str(one) for one in sorted({one["draws"] for one in cells}))
    bars = _bar(mean, MEAN) if len(cells) > 1 else "-", _bar(worst["gap"], worst_bar(n))
    means = kind, n, len(cells), draws, f"{mean:+.3f}", bars[0]
    shown = (*means, f"{worst['gap']:+.3f}", worst["task"], worst["best"], bars[1])
    return f"| {' | '.join(map(str, shown))} |"


def _bar(gap: float, most: float) -> str:
    return f"-{most:.2f} {'met' if gap >= -most else 'MISSED'}"


def every_cell(cells: Cells) -> str:
    """A row for each cell, with the standard error of its gap over draws and the families that were chosen."""
    lines = [
        "| task | anchors | draws | auto | best single solver | it reaches | gap | standard error | chosen |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    tasks = list(dict.fromkeys(one["task"] for one in cells.values()))
    for one in sorted(cells.values(), key=lambda one: (tasks.index(one["task"]), one["n"])):
        chosen = ", ".join(f"{family} {count}" for family, count in one["chosen"].items())
        error = "-" if one["error"] is None else f"{one['error']:.3f}"
        lines.append(
            f"| {one['task']} | {one['n']} | {one['draws']} | {one['means']['auto']:.3f} | {one['best']} | "
            f"{one['means'][one['best']]:.3f} | {one['gap']:+.3f} | {error} | {chosen} |"
        )
    return "\n".join(lines)


def page(kept: Mapping[str, Cells], measures: Mapping[str, str]) -> str:
    """The summary, then the cells of each kind."""
    parts = [summary(kept)]
    parts += [f"## {kind}: {measures[kind]}\n\n{every_cell(cells)}" for kind, cells in kept.items()]
    return "\n\n".join(parts) + "\n"


def missed(kept: Mapping[str, Cells]) -> Iterable[str]:
    """Cells that lose more than the bar of their number of anchors."""
    for kind, cells in kept.items():
        for one in cells.values():
            if one["gap"] < -worst_bar(one["n"]):
                yield f"{kind}: {one['task']}, {one['n']} anchors, {one['gap']:+.3f} to {one['best']}"
