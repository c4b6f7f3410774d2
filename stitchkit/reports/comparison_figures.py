"""Figures of comparisons and learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stitchkit.core.wording import counted
from stitchkit.evaluation.retrieval.comparison import Comparison
from stitchkit.evaluation.retrieval.measured_curves import LearningCurve
from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 60  # of the law's line


def learning_curve_figure(curve: LearningCurve, *, target: float | None = None) -> Figure:
    """Mean over draws against the number of anchors on a log axis, with its interval and every draw as a dot.

    The law goes on from the largest size to the horizon, dashed, with its interval; chance is a dotted line.

    Parameters
    ----------
    target
        A value to mark with a line, its answer in words as the title.
    """
    figure, axes = canvas(3.6)
    mean, colour = curve.mean, COLOURS[0]
    for draw in curve.values.T:
        axes.plot(curve.sizes, draw, "o", color=colour, ms=3, alpha=0.35)
    axes.fill_between(
        curve.sizes, [one.low for one in mean], [one.high for one in mean], color=colour, alpha=0.15, lw=0
    )
    axes.plot(curve.sizes, [one.value for one in mean], "-o", color=colour, ms=5, lw=2, label="measured")
    if curve.laws is not None:
        at = np.geomspace(curve.sizes[-1] * 1.001, curve.horizon, POINTS)
        told = [curve.at(n) for n in at]
        axes.fill_between(at, [one.low for one in told], [one.high for one in told], color=COLOURS[1], alpha=0.15, lw=0)
        axes.plot(at, [one.value for one in told], "--", color=COLOURS[1], lw=2, label="extrapolated")
        axes.axvline(curve.sizes[-1], color=GRID, lw=1)
    if curve.chance > 0:
        axes.axhline(curve.chance, color=FAINT, lw=1, ls=":", label="chance")
    if target is not None:
        axes.axhline(target, color=INK, lw=1, ls=(0, (3, 3)))
        axes.set_title(str(curve.anchors_for(target)), fontsize=9, color=INK)
    axes.set_xscale("log")
    ticks = [int(one) for one in curve.sizes] + ([curve.horizon] if curve.laws is not None else [])
    axes.set_xticks(ticks, [str(one) for one in ticks], rotation=45)
    axes.minorticks_off()
    axes.set_xlabel("anchors")
    axes.set_ylabel(f"{curve.metric} on {counted(curve.pairs, 'held-out pair')}")
    axes.grid(color=GRID, lw=0.8)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def comparison_figure(comparison: Comparison) -> Figure:
    """One dot with its interval a solver, best at the top, the reference in colour; chance is a dashed line."""
    rows = comparison.rows
    figure, axes = canvas(0.7 + 0.34 * len(rows))
    for i, row in enumerate(rows):
        found = row.measures[comparison.criterion]
        colour = COLOURS[0] if row.name == comparison.reference else FAINT
        axes.plot([found.low, found.high], [i, i], color=colour, lw=2, solid_capstyle="round")
        axes.plot(found.value, i, "o", color=colour, ms=6)
    axes.axvline(comparison.chance[comparison.criterion], color=FAINT, lw=1, ls=(0, (3, 3)))
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(
        f"{comparison.criterion} on {counted(comparison.pairs, 'held-out pair')}, galleries of {comparison.gallery}"
    )
    axes.grid(axis="x", color=GRID, lw=0.8)
    return figure
