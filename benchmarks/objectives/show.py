"""The study of objectives as a picture and a table: ``python -m benchmarks.objectives.show RESULTS.json OUT.svg``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK

POINTING = {"pointing_by_words": "by words", "pointing_by_sentence": "by sentence"}


def draw(study: dict[str, Any]) -> Figure:
    """Retrieval and pointing of each objective, under each other so that a phone shows them."""
    rows = study["rows"][::-1]
    figure = Figure(figsize=(5.6, 2 * (0.34 * len(rows) + 1)), layout="constrained")
    above, below = figure.subplots(2)
    _whiskers(above, [row["macro"] for row in rows], COLOURS[0], "")
    for row, place in zip(rows, range(len(rows)), strict=True):
        above.plot(row["draws"], [place] * len(row["draws"]), "o", color=COLOURS[0], ms=2.5, alpha=0.5)
    above.set_title(f"R@1 among {study['n']} items and their captions, both ways", loc="left", fontsize=10, color=INK)
    for at, (measure, name) in enumerate(POINTING.items()):
        _whiskers(below, [row["measures"][measure] for row in rows], COLOURS[at], name, 0.12 - 0.24 * at)
    chance = rows[0]["measures"]["pointing_chance"]["value"]
    below.axvline(chance, color=FAINT, lw=1, ls=(0, (3, 3)))
    below.annotate("chance", (chance, len(rows) - 0.5), (2, -2), textcoords="offset points", fontsize=8, color=FAINT)
    below.set_title("share of a sentence's best patch in its finding's region", loc="left", fontsize=10, color=INK)
    below.legend(frameon=False, fontsize=8)
    for axes in (above, below):
        axes.set_yticks(range(len(rows)), [row["method"] for row in rows])
        axes.set_xlim(0)
        axes.grid(color=GRID, lw=0.8, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    return figure


def _whiskers(axes: Axes, values: list[dict[str, float]], colour: str, name: str, shift: float = 0.0) -> None:
    """Values with their intervals, one under the other."""
    places = [place + shift for place in range(len(values))]
    ends = [[one["value"] - one["low"] for one in values], [one["high"] - one["value"] for one in values]]
    axes.errorbar([one["value"] for one in values], places, xerr=ends, fmt="o", color=colour, ms=5, lw=1.5, label=name)


def table(study: dict[str, Any]) -> str:
    """Every objective with its difference to the first, as Markdown."""
    apart = {one["label"]: one for one in study["findings"]}
    first = study["rows"][0]["method"]
    heading = ("objective", "R@1 [95 %]", "each seed", f"minus {first} [95 %]", "p (Holm)", "detectable",
               "pointing by words", "by sentence")  # fmt: skip
    lines = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    for row in study["rows"]:
        one = apart.get(row["method"])
        told = ["", "", ""] if one is None else [_span(one["gap"], "+"), f"{one['p']:.3f}", f"{one['detectable']:.3f}"]
        pointing = [_span(row["measures"][measure]) for measure in POINTING]
        seeds = ", ".join(f"{value:.3f}" for value in row["draws"])
        lines.append(f"| `{row['method']}` | {_span(row['macro'])} | {seeds} | {' | '.join([*told, *pointing])} |")
    return "\n".join(lines)


def _span(value: dict[str, float], sign: str = "") -> str:
    return f"{value['value']:{sign}.3f} [{value['low']:{sign}.3f}, {value['high']:{sign}.3f}]"


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    found = json.loads(source.read_text(encoding="utf-8"))
    draw(found).savefig(out, metadata={"Date": None})
    print(table(found))
