"""The results on R2 as the short table of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.coverage.page_cells import both, line

TITLES = ("patients", "coverage", "truth below the low end", "coverage of percentiles", "truth below theirs")
PAIRED = ("two maps", "this package", "percentiles of resamples")
TITLE = "Difference of R2: coverage (truth below the low end, above the high end), %"
TWO = "two maps, "


def page(results: Mapping[str, Any]) -> str:
    """One line a cell, differences in a table of their own."""
    single = [line(TITLES), "|" + " --- |" * len(TITLES)]
    paired = [line(PAIRED), "|" + " --- |" * len(PAIRED)]
    for name, cell in results.items():
        ours, usual = (cell["quantities"][one] for one in cell["quantities"])
        if name.startswith(TWO):
            paired.append(line([name.removeprefix(TWO), both(ours), both(usual)]))
        else:
            shown = [f"{one[what]:.1f}" for one in (ours, usual) for what in ("coverage", "truth below")]
            single.append(line([name, *shown]))
    return "R2: %\n\n" + "\n".join(single) + f"\n\n{TITLE}\n\n" + "\n".join(paired)
