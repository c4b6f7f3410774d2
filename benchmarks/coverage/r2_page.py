"""The results on R2 as the short table of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLES = ("patients", "coverage", "truth below the low end", "coverage of percentiles", "truth below theirs")


def page(results: Mapping[str, Any]) -> str:
    """One line a cell."""
    lines = ["| " + " | ".join(TITLES) + " |", "|" + " --- |" * len(TITLES)]
    for name, cell in results.items():
        both = [cell["quantities"][one] for one in ("R2", "percentiles of resamples")]
        shown = " | ".join(f"{one[what]:.1f}" for one in both for what in ("coverage", "truth below"))
        lines.append(f"| {name} | {shown} |")
    return "R2: %\n\n" + "\n".join(lines)
