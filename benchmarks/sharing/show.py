"""The sharing studies as curves and a table: ``python -m benchmarks.sharing.show RESULTS.json ... OUT.svg``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK

ARMS = {"shared": COLOURS[0], "separate": COLOURS[1]}


def draw(studies: list[dict[str, Any]]) -> Figure:
    """One panel a study, under each other so that a phone shows them."""
    figure = Figure(figsize=(5.6, 2.9 * len(studies)), layout="constrained")
    for axes, study in zip(np.atleast_1d(figure.subplots(len(studies))), studies, strict=True):
        for arm, colour in ARMS.items():
            rows = [row for row in study["rows"] if row["method"] == arm]
            at = [row["anchors"] for row in rows]
            ends = np.asarray([(row["macro"]["low"], row["macro"]["high"]) for row in rows]).T
            axes.fill_between(at, *ends, color=colour, alpha=0.15, lw=0)
            axes.plot(at, [row["macro"]["value"] for row in rows], "-o", color=colour, lw=2, ms=5, label=arm)
            for place, row in zip(at, rows, strict=True):
                axes.plot([place] * len(row["draws"]), row["draws"], "o", color=colour, ms=2.5, alpha=0.5)
        axes.axhline(study["chance"], color=FAINT, lw=1, ls=(0, (3, 3)))
        axes.annotate("chance", (at[0], study["chance"]), (0, 3), textcoords="offset points", fontsize=8, color=FAINT)
        axes.set_xscale("log")
        axes.set_xticks(at, [f"{place:,}" for place in at])
        axes.minorticks_off()
        axes.set_ylim(0)
        axes.set_title(study["name"].partition(": ")[2], loc="left", fontsize=10, color=INK)
        axes.set_ylabel("mAP, mean of both ways", fontsize=9)
        axes.grid(color=GRID, lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    axes.set_xlabel("training pairs", fontsize=9)
    figure.axes[0].legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def table(studies: list[dict[str, Any]]) -> str:
    """Every number of pairs of every study: both arms and their difference, as Markdown."""
    lines = ["| pairs | training pairs | separate | shared | shared minus separate | p |", "|---|---|---|---|---|---|"]
    for study in studies:
        rows = {(row["method"], row["anchors"]): row for row in study["rows"]}
        for number in sorted({number for _, number in rows}):
            gap = rows["shared", number]["gaps"]["separate"]
            told = [_span(rows[arm, number]["macro"]) for arm in ("separate", "shared")]
            apart = f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
            name = study["name"].partition(": ")[2]
            lines.append(f"| {name} | {number:,} | {told[0]} | {told[1]} | {apart} | {gap['p']:.3f} |")
    return "\n".join(lines)


def _span(value: dict[str, float]) -> str:
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def read(path: Path) -> dict[str, Any]:
    """A study's numbers, with chance from the cells beside them."""
    found = json.loads(path.read_text(encoding="utf-8"))
    first = json.loads((path.parent / f"{path.stem}.cells.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return found | {"chance": float(np.mean(first["record"]["chance"]))}


if __name__ == "__main__":
    *given, out = map(Path, sys.argv[1:])
    found = [read(path) for path in given]
    draw(found).savefig(out, metadata={"Date": None})
    print(table(found))
