"""The results on mutual k-NN as the short table of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def page(results: Mapping[str, Any]) -> str:
    """One line a cell."""
    lines = ["| items | coverage | truth below the low end | truth above the high end |", "| --- | --- | --- | --- |"]
    for name, cell in results.items():
        found = cell["quantities"]["mutual k-NN"]
        lines.append(f"| {name} | {found['coverage']:.1f} | {found['truth below']:.1f} | {found['truth above']:.1f} |")
    return "Mutual k-NN: %\n\n" + "\n".join(lines)
