"""The results on proportions as the short tables of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.coverage.page_cells import both, line, low
from benchmarks.coverage.proportions import CLASSES, METHODS, PATIENTS, SHARES, SIZES, name_of

Found = Mapping[str, float]
DECISIONS = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy", "f1")
APART = ("accuracy difference", "balanced_accuracy difference")


def page(results: Mapping[str, Any]) -> str:
    """All tables, each under a line that names it."""
    return "\n\n".join(
        [_shares(results), _differences(results), _decisions(results), _classes(results), _rivals(results)]
    )


def _shares(results: Mapping[str, Any]) -> str:
    rows = {
        f"{k} patients, {size}{'' if size == 'one item' else f', correlated {together:g}'}": [
            name_of(k, right, size, together) for right in SHARES
        ]
        for k in PATIENTS
        for size in SIZES
        for together in ((0.0, 0.5, 1.0) if size == "1 to 6 items" else (0.5,))
    }
    lines = _grid(results, ["", *(f"share {one:g}" for one in SHARES)], rows, "share", low)
    for k in PATIENTS:
        for name, quantity in (("large ones harder", "share"), ("reciprocal ranks", "mean reciprocal rank")):
            cell = f"{k} patients, {name}"
            words = {"share": "patients with many items are harder, share .81", "mean reciprocal rank": quantity}
            lines.append(line([f"{k} patients, {words[quantity]}", _one(results, cell, quantity, low), "", "", ""]))
    return "One share: coverage (truth below the low end), %\n\n" + "\n".join(lines)


def _differences(results: Mapping[str, Any]) -> str:
    rows = {
        f"{k} patients, {size}": [f"{k} patients, {size}, two methods, {pair}" for pair in METHODS]
        for k in (15, 30, 100, 300)
        for size in list(SIZES)[:2]
    }
    grid = _grid(results, ["shares of two methods", *METHODS], rows, "difference", both)
    return "Difference of two methods: coverage (truth below the low end, above the high end), %\n\n" + "\n".join(grid)


def _decisions(results: Mapping[str, Any]) -> str:
    cells = [one for one in results if "positive patients" in one]
    lines = [line(["", *(one.replace(" positive patients of 120,", " positive,") for one in cells)])]
    lines.append(line(["---"] * (len(cells) + 1)))
    for name in DECISIONS:
        lines.append(line([name.replace("_", " "), *(_one(results, cell, name, low) for cell in cells)]))
    return "Decisions, 120 patients: coverage (truth below the low end), %\n\n" + "\n".join(lines)


def _classes(results: Mapping[str, Any]) -> str:
    names = {f"{one} patients": f"classes with {one} patients" for one in CLASSES}
    quantities = ("accuracy", "balanced_accuracy", "f1", *APART)
    lines = [line(["patients of the classes", *(one.replace("_", " ") for one in quantities)])]
    lines.append(line(["---"] * (len(quantities) + 1)))
    for label, cell in names.items():
        forms = [both if one in APART else low for one in quantities]
        found = [_one(results, cell, one, form) for one, form in zip(quantities, forms, strict=True)]
        lines.append(line([label, *found]))
    return (
        "One class an item: coverage (truth below the low end; of differences also above the high end), %\n\n"
        + "\n".join(lines)
    )


def _rivals(results: Mapping[str, Any]) -> str:
    start = "compared: "
    cells = [one for one in results if one.startswith(start)]
    methods = list(dict.fromkeys(name for one in cells for name in results[one]["quantities"]))
    lines = [line(["", *methods]), line(["---"] * (len(methods) + 1))]
    for one in cells:
        apart = "two methods" in one
        shown = [_one(results, one, name, _wide_both if apart else _wide) for name in methods]
        lines.append(line([one.removeprefix(start), *shown]))
    return (
        "Compared on the same samples: coverage (truth below the low end; of differences also above the high end), %; "
        "mean width\n\n" + "\n".join(lines)
    )


def _grid(
    results: Mapping[str, Any],
    head: Sequence[str],
    rows: Mapping[str, Sequence[str]],
    quantity: str,
    form: Callable[[Found], str],
) -> list[str]:
    lines = [line(head), line(["---"] * len(head))]
    for label, cells in rows.items():
        lines.append(line([label, *(_one(results, cell, quantity, form) for cell in cells)]))
    return lines


def _one(results: Mapping[str, Any], cell: str, quantity: str, form: Callable[[Found], str]) -> str:
    found = results.get(cell, {}).get("quantities", {}).get(quantity)
    return "" if found is None else form(found)


def _wide(found: Found) -> str:
    return f"{low(found)}; {found['width']:.3f}"


def _wide_both(found: Found) -> str:
    return f"{both(found)}; {found['width']:.3f}"
