"""Rows and cells that the tables of ``docs/intervals.md`` have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def low(result: Mapping[str, Any]) -> str:
    """Coverage and the share of samples with the truth below the low end."""
    return f"{result['coverage']:.1f} ({result['truth below']:.1f})"


def both(result: Mapping[str, Any]) -> str:
    """Coverage and the shares of samples with the truth below the low end and above the high end."""
    return f"{result['coverage']:.1f} ({result['truth below']:.1f}, {result['truth above']:.1f})"
