"""Figures as inline SVG, legible at the width of a phone."""

from __future__ import annotations

import base64
import io
import textwrap
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
MARKERS = "os^DvPX*"  # one a colour, so that no line is told by its colour alone
WIDTH = 5.0  # inches; 360 px on a phone is 5 in at 72 dpi, so 11 pt stays 11 px
TEXT, SMALL = 11, 10  # points: names, ticks and labels; values beside marks, legends
LONG = 22  # characters of a name, above which it goes on in a second line
PANEL = 1.9  # inches, a side of a small figure
PANELS = 24  # small figures that a page shows at most
SHARES = (0.0, 1.0)
SMALL_SHARE = 0.3  # below which all intervals end where an axis up to 1 would show little


def forest(
    rows: Sequence[tuple[str, Interval]],
    *,
    label: str,
    chance: float | None = 0.5,
    marked: Collection[int] | None = (0,),
) -> str:
    """One dot with its interval a row, the ``marked`` rows (None: all) in colour; a dashed line at chance, if known.

    The axis ends at 1, or where the intervals do if all are far below.
    """
    ends = [one.high if one.has_ends else one.value for _, one in rows]
    highest = max([*ends, *([] if chance is None else [chance])], default=1.0)
    end, digits = (1.01, 2) if highest > SMALL_SHARE else (1.1 * max(highest, 0.01), 3)
    names = [wrapped_name(name) for name, _ in rows]
    figure, axes = canvas(0.6 + 0.36 * len(rows) + 0.14 * sum("\n" in name for name in names))
    for i, (_, interval) in enumerate(rows):
        colour = COLOURS[0] if marked is None or i in marked else FAINT
        axes.plot([interval.low, interval.high], [i, i], color=colour, lw=2, solid_capstyle="round")
        axes.plot(interval.value, i, "o", color=colour, ms=6)
        place = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": SMALL, "zorder": 3}
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.annotate(f"{interval.value:.{digits}f}", (interval.value, i), color=colour, bbox=clear, **place)
    if chance is not None:
        axes.axvline(chance, color=FAINT, lw=1, ls=(0, (3, 3)))
    axes.set_yticks(range(len(rows)), names)
    for i in marked or ():
        axes.get_yticklabels()[i].set(color=COLOURS[0], fontweight="bold")
    axes.set_ylim(len(rows) - 0.5, -0.8)
    axes.locator_params(axis="x", nbins=6)
    least = min([one.low if one.has_ends else one.value for _, one in rows], default=0.0)
    start = min(chance - 0.1, least) - 0.02 if chance is not None else least - 0.02
    axes.set_xlim(max(start, -0.02 * end), end)
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
    figure, axes = canvas(4.0)
    at = sorted({row[x] for row in rows})
    for colour, marker, (key, name) in zip(COLOURS, MARKERS, lines.items(), strict=False):
        axes.plot([row[x] for row in rows], [row[key] for row in rows], "o", color=colour, ms=3, alpha=0.35)
        means = [float(np.mean([row[key] for row in rows if row[x] == one])) for one in at]
        axes.plot(at, means, ls="-", marker=marker, color=colour, ms=5.5, lw=2, label=name)
    for name, level in levels.items():
        axes.axhline(level, color=FAINT, lw=1, ls=(0, (3, 3)))
        axes.annotate(name, (at[0], level), (0, 3), textcoords="offset points", fontsize=SMALL, color=FAINT)
    axes.set_xscale("log")
    axes.set_xticks(at, [str(one) for one in at])
    axes.minorticks_off()
    axes.set_xlabel("anchors")
    axes.set_ylabel("macro AUROC")
    axes.grid(color=GRID, lw=0.8)
    axes.legend(frameon=False, fontsize=SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
    return as_svg(figure)


def reliability_figures(curves: Mapping[str, Sequence[Bin]]) -> dict[str, Any]:
    """The ``pooled`` figure of a page and its ``panels``, a class each."""
    return {"pooled": reliability_figure(curves), "panels": reliability_panels(curves)}


def reliability_figure(curves: Mapping[str, Sequence[Bin]]) -> str:
    """Observed frequency against predicted probability, all classes pooled; the classes' own curves are grey.

    The axes end where the curves do. The pooled curve is of the classes' bins, in tenths of all predictions.
    """
    figure, axes = canvas(4.2)
    ends = _ends([one for bins in curves.values() for one in bins])
    axes.plot(SHARES, SHARES, color=FAINT, lw=1, ls=(0, (3, 3)))
    if len(curves) > 1:
        for bins in curves.values():
            axes.plot(*_points(bins), color="#b4bec7", lw=0.9)
    axes.plot(*_points(pooled_bins(list(curves.values()))), "-o", color=COLOURS[0], lw=2.4, ms=5.5)
    _square(axes, ends)
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed frequency")
    axes.grid(color=GRID, lw=0.8)
    return as_svg(figure)


def reliability_panels(curves: Mapping[str, Sequence[Bin]]) -> list[tuple[str, float, str]]:
    """A small figure a class with its calibration error; of many classes those with the largest errors, in their order.

    Every class has its own figure, so that no class is told by its colour.
    """
    errors = {label: _error(bins) for label, bins in curves.items()}
    shown = sorted(errors, key=lambda label: -errors[label])[:PANELS]
    return [(label, errors[label], _panel(bins)) for label, bins in curves.items() if label in shown]


def pooled_bins(curves: Sequence[Sequence[Bin]]) -> list[Bin]:
    """The bins of several classes from low to high, joined to at most as many of about equal numbers as one class has.

    Examples
    --------
    >>> pooled_bins([[Bin(10, 0.2, 0.1), Bin(10, 0.8, 0.9)], [Bin(30, 0.2, 0.3), Bin(30, 0.8, 0.7)]])
    [Bin(n=40, said=0.2, seen=0.25), Bin(n=40, said=0.8, seen=0.75)]
    """
    bins = sorted((one for curve in curves for one in curve), key=lambda one: one.said)
    counts = np.asarray([one.n for one in bins], dtype=np.float64)
    most = max(map(len, curves))
    middle = (counts.cumsum() - counts / 2) / counts.sum()  # place of each bin among all predictions
    part = np.minimum((middle * most).astype(int), most - 1)
    joined = []
    for one in np.unique(part):
        n, rows = counts[part == one], [bins[i] for i in np.flatnonzero(part == one)]
        means = (float(n @ np.asarray(shares) / n.sum()) for shares in _points(rows))
        joined.append(Bin(int(n.sum()), *means))
    return joined


def _panel(bins: Sequence[Bin]) -> str:
    figure, axes = canvas(PANEL, PANEL)
    axes.plot(SHARES, SHARES, color=FAINT, lw=0.9, ls=(0, (3, 3)))
    axes.plot(*_points(bins), "-o", color=COLOURS[0], lw=1.6, ms=3)
    _square(axes, _ends(bins), ticks=3)
    return as_svg(figure)


def _points(bins: Sequence[Bin]) -> tuple[list[float], list[float]]:
    return [one.said for one in bins], [one.seen for one in bins]


def _error(bins: Sequence[Bin]) -> float:
    """The calibration error of a class: the mean distance of both, over its items."""
    return sum(one.n * abs(one.said - one.seen) for one in bins) / sum(one.n for one in bins)


def _ends(bins: Sequence[Bin]) -> tuple[float, float]:
    """Ends of both axes: a little beyond all that is drawn, inside [0, 1] but for the size of a point."""
    shares = [share for one in bins for share in (one.said, one.seen)]
    apart = max(max(shares) - min(shares), 0.05) * 0.06
    return max(min(shares) - apart, -0.02), min(max(shares) + apart, 1.02)


def _square(axes: Any, ends: tuple[float, float], ticks: int = 5) -> None:
    """Axes of equal scale and ends, with the same ticks."""
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    for axis in ("x", "y"):
        axes.locator_params(axis=axis, nbins=ticks)


def wrapped_name(name: str) -> str:
    """A name on several lines where it is long, so that it leaves room for what is drawn beside it."""
    return "\n".join(textwrap.wrap(name, LONG, break_long_words=False)) or name


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


def canvas(height: float, width: float = WIDTH) -> tuple[Figure, Any]:
    """An empty figure of the house's width, ``height`` inches tall, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=0, labelsize=TEXT if width == WIDTH else SMALL, colors=INK)
    axes.xaxis.label.set(color=INK, size=TEXT)
    axes.yaxis.label.set(color=INK, size=TEXT)
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
