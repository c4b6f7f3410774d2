"""The results on learning curves as the short table of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("measured, largest size", "forecast, 2 times", "forecast, 4 times")


def page(results: Mapping[str, Any]) -> str:
    """One line a cell; a forecast that is always refused says so."""
    lines = [f"| pairs, solver and measure | {' | '.join(COLUMNS)} |", "| --- | --- | --- | --- |"]
    for name, found in results.items():
        each = [found["quantities"][one] for one in COLUMNS]
        lines.append(f"| {name} | {' | '.join(_shown(one) for one in each)} |")
    return "Learning curves: coverage (truth below the low end, above the high end), %\n\n" + "\n".join(lines)


def _shown(found: Mapping[str, float]) -> str:
    if found["undefined"] == 100:
        return "refused"
    return f"{found['coverage']:.0f} ({found['truth below']:.0f}, {found['truth above']:.0f})"
