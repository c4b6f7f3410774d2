"""The results on AUROC as the short tables of ``docs/intervals.md``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.coverage.page_cells import both, line, low

Found = Mapping[str, float]
PAIRS = ("0.85 and 0.85", "0.85 and 0.80", "0.97 and 0.97", "0.97 and 0.92")


def page(results: Mapping[str, Any]) -> str:
    """All tables, each under a line that names it."""
    parts = (_single, _shapes, _pairs, _unequal, _means, _rivals)
    return "\n\n".join(one(results) for one in parts)


def _single(results: Mapping[str, Any]) -> str:
    aurocs = ("0.70", "0.85", "0.95", "0.97")
    rows = {
        f"{k}, labels of {side}": [f"{k} positive patients of 120, AUROC {one}, {side} labelled" for one in aurocs]
        for k in (40, 20, 12, 8, 5, 3)
        for side in ("patients", "images")
    }
    head = ["positive patients of 120", *(f"AUROC {one}" for one in aurocs)]
    return "AUROC of one class: coverage (truth below the low end), %\n\n" + _grid(results, head, rows, "AUROC", low)


def _shapes(results: Mapping[str, Any]) -> str:
    numbers = (20, 12, 8)
    start = f"{numbers[0]} positive patients, "
    names = [one.removeprefix(start) for one in results if one.startswith(start) and "two methods" not in one]
    rows = {name: [f"{k} positive patients, {name}" for k in numbers] for name in names}
    head = ["AUROC .85 if not said otherwise", *(f"{k} positive patients" for k in numbers)]
    return "Other scores: coverage (truth below the low end), %\n\n" + _grid(results, head, rows, "AUROC", low)


def _pairs(results: Mapping[str, Any]) -> str:
    rows = {f"{k}": [f"{k} positive patients, two methods, {pair}" for pair in PAIRS] for k in (40, 20, 12, 8, 5)}
    grid = _grid(results, ["positive patients", *PAIRS], rows, "difference", both)
    return "Difference of two methods: coverage (truth below the low end, above the high end), %\n\n" + grid


def _unequal(results: Mapping[str, Any]) -> str:
    numbers = (20, 12, 8)
    names = dict.fromkeys(
        shape
        for one in results
        for k, _, shape in [one.partition(" positive patients, ")]
        if ", two methods" in shape and k in map(str, numbers)
    )
    rows = {name.replace(", two methods", ""): [f"{k} positive patients, {name}" for k in numbers] for name in names}
    grid = _grid(
        results, ["scores and patients", *(f"{k} positive patients" for k in numbers)], rows, "difference", both
    )
    return (
        "Difference of two methods, other scores and unequal patients: coverage (truth below the low end, above the "
        f"high end), %\n\n{grid}"
    )


def _means(results: Mapping[str, Any]) -> str:
    layouts = ("5 x 12", "5 x 8", "40, 30, 20, 12, 8", "14 from 40 to 8")
    names = {one: [f"classes with {one} positive patients, two methods, {pair}" for pair in PAIRS] for one in layouts}
    head = ["positive patients of the classes", *PAIRS]
    mean, apart = (
        _grid(results, head, names, quantity, form)
        for quantity, form in (("macro AUROC", low), ("macro difference", both))
    )
    start = "classes with 5 x 12 positive patients, "
    lines = [line(["5 classes with 12 positive patients", "macro AUROC", "difference"]), line(["---"] * 3)]
    for name in (one for one in results if one.startswith(start) and not one.startswith(f"{start}two methods")):
        found = results[name]["quantities"]
        cells = low(found["macro AUROC"]), both(found["macro difference"])
        lines.append(line([name.removeprefix(start).replace(", two methods", ""), *cells]))
    return (
        f"Macro AUROC of the first of two methods: coverage (truth below the low end), %\n\n{mean}\n\n"
        f"Difference of macro AUROCs: coverage (truth below the low end, above the high end), %\n\n{apart}\n\n"
        "Both, other scores and unequal patients: %\n\n" + "\n".join(lines)
    )


def _rivals(results: Mapping[str, Any]) -> str:
    start = "compared: "
    cells = [one for one in results if one.startswith(start)]
    methods = list(dict.fromkeys(name for one in cells for name in results[one]["quantities"]))
    lines = [line(["", *methods]), line(["---"] * (len(methods) + 1))]
    for one in cells:
        found = results[one]["quantities"]
        lines.append(line([one.removeprefix(start), *(low(found[name]) if name in found else "" for name in methods)]))
    return "Compared on the same samples: coverage (truth below the low end), %\n\n" + "\n".join(lines)


def _grid(
    results: Mapping[str, Any],
    head: Sequence[str],
    rows: Mapping[str, Sequence[str | None]],
    quantity: str,
    form: Callable[[Found], str],
) -> str:
    lines = [line(head), line(["---"] * len(head))]
    for label, cells in rows.items():
        known = [results[one]["quantities"].get(quantity) if one in results else None for one in cells]
        lines.append(line([label, *("" if one is None else form(one) for one in known)]))
    return "\n".join(lines)
