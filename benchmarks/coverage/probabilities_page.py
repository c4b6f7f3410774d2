"""The results on Brier scores and calibration errors: short tables of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.coverage.probabilities import KINDS
from stitchkit.evaluation.scores.results import BRIER, ECE


def page(results: Mapping[str, Any]) -> str:
    """Two tables, each under a line that names it."""
    sizes, shares, tables = (60, 120, 500), ("a third", "a tenth"), []
    for quantity, name in ((BRIER, "Brier score"), (ECE, "Calibration error")):
        head = [f"{n} patients, {share} positive" for n in sizes for share in shares]
        lines = [_line(["probabilities", *head]), _line(["---"] * (1 + len(head)))]
        lines += [
            _line([kind, *(_shown(results[f"{one}, {kind}"]["quantities"][quantity]) for one in head)])
            for kind in KINDS
        ]
        tables.append(f"{name}: coverage (truth below the low end, above the high end), %\n\n" + "\n".join(lines))
    return "\n\n".join(tables)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(found: Mapping[str, float]) -> str:
    return f"{found['coverage']:.1f} ({found['truth below']:.1f}, {found['truth above']:.1f})"
