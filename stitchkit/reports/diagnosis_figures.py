"""The figures of a diagnosis as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stitchkit.evaluation.diagnosis.common_space import Cosines
from stitchkit.evaluation.diagnosis.coverage import PromptCoverage
from stitchkit.evaluation.diagnosis.prompt_reach import COVERED
from stitchkit.evaluation.diagnosis.spectra import Spectrum
from stitchkit.metrics.neighbourhoods import Hubness
from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK, SMALL, as_svg, canvas

SHALLOW = 1e-2  # of the largest singular value: a spectrum that falls below is drawn on a log axis


def cosines_figure(cosines: Cosines) -> str:
    """Histograms of true and random pairs' similarity, with their medians."""
    figure, axes = canvas(2.8)
    edges = np.asarray(cosines.edges)
    top = max(*cosines.of_true, *cosines.of_random)
    for shares, quantiles, name, colour, alpha in (
        (cosines.of_random, cosines.random, "random pairs", FAINT, 0.30),
        (cosines.of_true, cosines.true, "true pairs", COLOURS[0], 0.45),
    ):
        axes.stairs(shares, edges, fill=True, color=colour, alpha=alpha, lw=0)
        axes.stairs(shares, edges, color=colour, lw=1.5, label=name)
        axes.plot([quantiles[2]] * 2, [0, 1.06 * top], color=colour, lw=1.2, ls=(0, (3, 2)))
        median = f"{round(quantiles[2], 2) + 0.0:+.2f}".replace("-", "−")
        axes.annotate(median, (quantiles[2], 1.06 * top), (0, 2), textcoords="offset points", ha="center",
                      fontsize=SMALL, color=colour)  # fmt: skip
    axes.set_ylim(0, 1.2 * top)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)  # more run into each other on a phone
    axes.set_xlabel("similarity in the common space")
    _legend(axes)
    return as_svg(figure)


def spectrum_figure(spectrum: Spectrum) -> str:
    """Singular values over the largest one, with the effective rank."""
    figure, axes = canvas(2.5)
    values = np.asarray(spectrum.values[: max(spectrum.rank, 1)])
    shares = values / values[0] if values[0] > 0 else values
    at = np.arange(1, len(shares) + 1)
    axes.fill_between(at, shares, shares.min() * 0.5 if shares[-1] < SHALLOW else 0, color=COLOURS[0], alpha=0.15, lw=0)
    axes.plot(at, shares, "-o" if len(at) <= 40 else "-", color=COLOURS[0], lw=2, ms=4)
    axes.axvline(spectrum.effective, color=COLOURS[1], lw=1.2, ls=(0, (3, 2)))
    left = spectrum.effective < len(at) / 2
    axes.annotate(f"effective rank {spectrum.effective:.1f}", (spectrum.effective, 1.0), (5 if left else -5, 0),
                  textcoords="offset points", ha="left" if left else "right", va="top", fontsize=SMALL,
                  color=COLOURS[1])  # fmt: skip
    if shares[-1] < SHALLOW:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.08)
    axes.set_xlim(0.5, max(len(at), 2) + 0.5)
    axes.set_xlabel("direction")
    axes.set_ylabel("singular value / largest")
    axes.grid(axis="y", color=GRID, lw=0.8)
    return as_svg(figure)


def hubs_figure(hubs: Sequence[Hubness]) -> str:
    """Numbers of retrievals of items: the in-degrees of targets and of sources."""
    figure, axes = canvas(2.5)
    most = max(one.largest for one in hubs)
    step = max(1, int(np.ceil((most + 1) / 40)))
    edges = np.arange(0, most + step + 1, step) - 0.5
    for one, name, colour in zip(hubs, ("targets", "sources"), COLOURS, strict=False):
        shares = 100 * np.histogram(one.in_degree, edges)[0] / len(one.in_degree)
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.2, lw=0)
        axes.stairs(shares, edges, color=colour, lw=1.6, label=f"{name}: largest {one.largest}")
    axes.axvline(hubs[0].mean, color=FAINT, lw=1, ls=(0, (3, 3)))
    axes.set_xlabel(f"times among the {hubs[0].k} nearest (dashed: mean)")
    axes.set_ylabel("% of items")
    axes.set_xlim(-0.6, most + step)
    axes.grid(axis="y", color=GRID, lw=0.8)
    _legend(axes)
    return as_svg(figure)


def coverage_figure(coverage: Sequence[PromptCoverage]) -> str:
    """A bar a prompt, worst on top, of those that have a reach; dashed: what counts as covered."""
    rows = sorted((one for one in coverage if not one.undefined), key=lambda one: one.reach)
    figure, axes = canvas(0.75 + 0.32 * len(rows))
    for i, one in enumerate(rows):
        colour = COLOURS[0] if one.covered else COLOURS[1]
        axes.barh(i, one.reach, height=0.62, color=colour, alpha=0.85 if one.covered else 1)
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        axes.annotate(f"{one.reach:.2f}", (one.reach, i), (4, 0), textcoords="offset points", va="center",
                      fontsize=SMALL, color=colour, bbox=clear)  # fmt: skip
    axes.axvline(COVERED, color=INK, lw=1.1, ls=(0, (3, 3)))
    axes.set_yticks(range(len(rows)), [_short(one.name) for one in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("reach (dashed: covered from here)")
    return as_svg(figure)


def _short(name: str, most: int = 24) -> str:
    name = name.replace("_", " ").replace("$", r"\$")
    return name if len(name) <= most else name[: most - 1] + "…"


def _legend(axes: Any) -> None:
    """Above the axes, where no line can run into it."""
    axes.legend(frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, handlelength=1.2,
                borderaxespad=0.1)  # fmt: skip
