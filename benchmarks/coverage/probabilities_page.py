"""The results on average precision, Brier scores and calibration errors: short tables of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.coverage.probabilities import KINDS
from stitchkit.evaluation.results import BRIER, ECE, PRECISION


def page(results: Mapping[str, Any]) -> str:
    """Three tables, each under a line that names it."""
    aurocs, sizes, shares = ("0.70", "0.85", "0.95"), (60, 120, 500), ("a third", "a tenth")
    lines = [_line(["positive patients of 120", *(f"AUROC {one}" for one in aurocs)]), _line(["---"] * 4)]
    for k in (40, 12):
        for kind in ("patients labelled", "images labelled", "one image a patient"):
            cells = [f"{k} positive patients of 120, AUROC {one}, {kind}" for one in aurocs]
            lines.append(_line([f"{k}, {kind}", *(_shown(results[one]["quantities"][PRECISION]) for one in cells)]))
    tables = ["Average precision: coverage (truth below the low end, above the high end), %\n\n" + "\n".join(lines)]
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
