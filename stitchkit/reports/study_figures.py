"""The figures of a study's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.metrics.bootstrap import Interval
from stitchkit.reports.figures import COLOURS, FAINT, GRID, LONG, MARKERS, SMALL, as_svg, canvas

STYLES = ("-", (0, (5, 1.5)), (0, (1, 1.2)))  # of lines, once the colours are used up


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a learning curve: its name, numbers of anchors, values with intervals, and each draw's value.

    Lines that are not ``strong`` are drawn thin, without their intervals: bands of ten lines hide each other.
    """

    name: str
    at: tuple[int, ...]
    values: tuple[Interval, ...]
    draws: tuple[tuple[float, ...], ...]
    strong: bool = True


def learning_figure(
    curves: Sequence[Curve], levels: Sequence[tuple[str, float]], *, label: str, counted: str = "anchors"
) -> str:
    """Every curve, the strong ones with their intervals as bands and draws as dots, on a log axis; levels are dashed.

    Parameters
    ----------
    levels
        Methods without anchors: name and height.
    label
        Label of the vertical axis.
    counted
        Label of the horizontal one: the thing that is counted.
    """
    figure, axes = canvas(3.5 + 0.22 * (len(curves) if _long(curves) else (len(curves) + 1) // 2))
    for i, curve in enumerate(curves):
        colour, style = COLOURS[i % len(COLOURS)], STYLES[i // len(COLOURS) % len(STYLES)]
        marker = MARKERS[i % len(MARKERS)]
        at = np.asarray(curve.at)
        ends = np.asarray([(one.low, one.high) for one in curve.values]).T
        if curve.strong:
            axes.fill_between(at, *ends, color=colour, alpha=0.15, lw=0)
        thick = {"lw": 2.4, "ms": 5} if curve.strong else {"lw": 1.2, "ms": 3, "alpha": 0.8}
        axes.plot(
            at, [one.value for one in curve.values], marker=marker, ls=style, color=colour, label=curve.name, **thick
        )
        for place, draws in zip(curve.at, curve.draws, strict=True):
            if curve.strong and len(draws) > 1:
                axes.plot([place] * len(draws), draws, "o", color=colour, ms=2.5, alpha=0.45)
    ticks = sorted({place for curve in curves for place in curve.at})
    for name, level in levels:
        axes.axhline(level, color=FAINT, lw=1, ls=(0, (3, 3)))
        axes.annotate(name, (ticks[0], level), (0, 3), textcoords="offset points", fontsize=SMALL, color=FAINT)
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(place) for place in ticks])
    axes.minorticks_off()
    axes.set_xlabel(counted)
    axes.set_ylabel(label)
    axes.grid(color=GRID, lw=0.8)
    axes.legend(
        frameon=False, fontsize=SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=1 if _long(curves) else 2
    )
    return as_svg(figure)


def _long(curves: Sequence[Curve]) -> bool:
    """True where two names of the legend do not fit beside each other."""
    return any(len(one.name) > LONG for one in curves)
