"""The results on operating thresholds as the short table of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def page(results: Mapping[str, Any]) -> str:
    """One line a cell; thresholds without an interval say so."""
    lines = ["| rule and patients | coverage | truth below the low end | truth above the high end |"]
    lines.append("| --- | --- | --- | --- |")
    for name, cell in results.items():
        found = cell["quantities"]["threshold"]
        if found["undefined"] == 100:
            lines.append(f"| {name} | no interval |  |  |")
        else:
            shown = " | ".join(f"{found[one]:.1f}" for one in ("coverage", "truth below", "truth above"))
            lines.append(f"| {name} | {shown} |")
    return "Operating thresholds: %\n\n" + "\n".join(lines)
