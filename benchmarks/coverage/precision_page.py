"""The results on average precision, balanced accuracy and macro F1: short tables of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.coverage.page_cells import both, line
from benchmarks.coverage.precision import AP, AUROCS, BALANCED, EQUAL, F1, KINDS, POSITIVES, WORSE, rare_name

SIDES = "coverage (truth below the low end, above the high end), %"


def page(results: Mapping[str, Any]) -> str:
    """Four tables, each under a line that names it."""
    titles = {AP: "Average precision", EQUAL: f"{AP.capitalize()} {EQUAL}", WORSE: f"{AP.capitalize()} {WORSE}"}
    tables = [f"{title}: {SIDES}\n\n{_rare(results, name)}" for name, title in titles.items()]
    return "\n\n".join([*tables, f"One class an item: {SIDES}\n\n{_classes(results)}"])


def _rare(results: Mapping[str, Any], quantity: str) -> str:
    lines = [line(["positive patients of 120", *(f"AUROC {one:.2f}" for one in AUROCS)]), line(["---"] * 4)]
    for positives in POSITIVES:
        for kind in KINDS:
            cells = (results[rare_name(positives, auroc, kind)]["quantities"][quantity] for auroc in AUROCS)
            lines.append(line([f"{positives}, {kind}", *map(both, cells)]))
    return "\n".join(lines)


def _classes(results: Mapping[str, Any]) -> str:
    names = [f"{name} {words}".rstrip() for name in (AP, BALANCED, F1) for words in ("", EQUAL, WORSE)]
    cells = {name: cell["quantities"] for name, cell in results.items() if name.startswith("classes of ")}
    lines = [line(["", *names]), line(["---"] * (1 + len(names)))]
    return "\n".join([*lines, *(line([name, *(_shown(cell, one) for one in names)]) for name, cell in cells.items())])


def _shown(cell: Mapping[str, Any], quantity: str) -> str:
    found = cell.get(quantity)
    return "no interval" if found is None or found["undefined"] == 100 else both(found)
