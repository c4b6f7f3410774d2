"""Figures as inline SVG, legible at the width of a phone."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.reliability import Bin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1c2733", "#6b7885", "#dfe5ea"
COLOURS = ("#0b6e99", "#c2571a", "#5b7f2b", "#7a4fa3", "#6b7885", "#a3485b", "#2f8f83", "#8a6d1f")
WIDTH = 5.0  # inches; 360 px on a phone is 5 in at 72 dpi, so 10 pt stays 10 px


def forest(
    rows: Sequence[tuple[str, Interval]], *, label: str, chance: float = 0.5, marked: Collection[int] | None = (0,)
) -> str:
    """One dot with its interval a row, the ``marked`` rows (None: all) in colour; a dashed line at chance."""
    figure, axes = canvas(0.55 + 0.34 * len(rows))
    for i, (_, interval) in enumerate(rows):
        colour = COLOURS[0] if marked is None or i in marked else FAINT
        axes.plot([interval.low, interval.high], [i, i], color=colour, lw=2, solid_capstyle="round")
        axes.plot(interval.value, i, "o", color=colour, ms=6)
        place = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 8, "zorder": 3}
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.annotate(f"{interval.value:.2f}", (interval.value, i), color=colour, bbox=clear, **place)
    axes.axvline(chance, color=FAINT, lw=1, ls=(0, (3, 3)))
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    lowest = (one.low if one.has_ends else one.value for _, one in rows)
    axes.set_xlim(min(chance - 0.1, *lowest) - 0.02, 1.01)
    axes.set_xlabel(label)
    axes.grid(axis="x", color=GRID, lw=0.8)
    return as_svg(figure)


def curves(rows: Sequence[Mapping[str, Any]], x: str, lines: Mapping[str, str], levels: Mapping[str, float]) -> str:
    """Mean over draws of each line against ``x`` on a log axis, every draw as a faint dot, levels dashed.

    Parameters
    ----------
    rows
        One mapping a draw, with ``x`` and the keys of ``lines``.
    lines
        Key -> name in the legend.
    levels
        Name -> height of a horizontal line.
    """
    figure, axes = canvas(3.3)
    at = sorted({row[x] for row in rows})
    for colour, (key, name) in zip(COLOURS, lines.items(), strict=False):
        axes.plot([row[x] for row in rows], [row[key] for row in rows], "o", color=colour, ms=3, alpha=0.35)
        means = [float(np.mean([row[key] for row in rows if row[x] == one])) for one in at]
        axes.plot(at, means, "-o", color=colour, ms=5, lw=2, label=name)
    for name, level in levels.items():
        axes.axhline(level, color=FAINT, lw=1, ls=(0, (3, 3)))
        axes.annotate(name, (at[0], level), (0, 3), textcoords="offset points", fontsize=8, color=FAINT)
    axes.set_xscale("log")
    axes.set_xticks(at, [str(one) for one in at])
    axes.minorticks_off()
    axes.set_xlabel("anchors")
    axes.set_ylabel("macro AUROC")
    axes.grid(color=GRID, lw=0.8)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return as_svg(figure)


def reliability_figure(curves: Mapping[str, Sequence[Bin]]) -> str:
    """Share of positives against the probability that was said, a line a class; the diagonal is perfect."""
    figure, axes = canvas(4.4)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (3, 3)))
    for i, (label, bins) in enumerate(curves.items()):
        style = "-" if i < len(COLOURS) else (0, (4, 1.5))
        probabilities, shares = [one.said for one in bins], [one.seen for one in bins]
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(probabilities, shares, marker="o", ls=style, ms=3.5, lw=1.6, color=colour, label=label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("probability said")
    axes.set_ylabel("share seen")
    axes.grid(color=GRID, lw=0.8)
    axes.legend(frameon=False, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return as_svg(figure)


def picture(pixels: np.ndarray) -> str:
    """A grey image (h, w) uint8 as a data address for ``<img src>``."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail(item: Any, side: int = 132) -> str:
    """An image, or the path of one, no larger than ``side`` pixels each way, as a data address for ``<img src>``."""
    from PIL import Image

    from stitchkit.datasets.images import read_image
    from stitchkit.encoders.images import rgb

    opened = rgb(read_image(item) if isinstance(item, str | Path) else item)
    opened.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    opened.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def canvas(height: float) -> tuple[Figure, Any]:
    """An empty figure of the house's width, ``height`` inches tall, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=0, labelsize=10, colors=INK)
    axes.xaxis.label.set(color=INK, size=10)
    axes.yaxis.label.set(color=INK, size=10)
    return figure, axes


def _as_plain_text(figure: Any) -> None:
    """No text of the figure is read as maths: a class may be called "$5 or more". Powers on log axes are."""
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter

    sides = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    labels = {axis: axis.get_ticklabels(which="both") for axis in sides}  # made only when they are asked for
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axis, texts in labels.items():
        if isinstance(axis.get_major_formatter(), LogFormatter):
            for text in texts:
                text.set_parse_math(True)


def as_svg(figure: Any) -> str:
    """The figure as an SVG element; text stays text, and the same numbers give the same bytes."""
    import matplotlib

    buffer = io.StringIO()
    _as_plain_text(figure)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stitchkit"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    drawn = buffer.getvalue()
    return drawn[drawn.index("<svg") :]
