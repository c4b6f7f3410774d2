"""An exam as one self-contained HTML page: a leaderboard for each way, and the facts and leaks of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stitchkit.metrics.bootstrap import Interval
from stitchkit.reports.pages import LOUD, package_versions, page_folder, template, wrapped_command
from stitchkit.storage.atomic_writes import write_text

PAGE = "report.html"


def write_exam(result: Mapping[str, Any], folder: str | Path, *, command: str = "") -> Path:
    """Write ``report.html`` into ``folder``; its path comes back.

    Parameters
    ----------
    result
        Plain values of an exam.
    folder
        Made if need be.
    command
        Command line of the exam.

    Raises
    ------
    InputError
        If ``folder`` is a file.
    """
    folder = page_folder(folder, "exam")
    encoders = list(dict.fromkeys(row["encoder"] for row in result["rows"]))
    short = dict(result["short"])
    notes = list(dict.fromkeys([*result["notes"], *(f"{name} was not sat: {why}"
                                                    for name, why in result["not_sat"].items())]))  # fmt: skip
    text = template("exam.html.j2").render(
        encoders=[(short[one], one) for one in encoders],
        boards=_boards(result, encoders, short),
        tasks=result["tasks"],
        loud=[note for note in notes if "LEAKAGE" in note],
        quiet=[note for note in notes if "LEAKAGE" not in note],
        is_loud=lambda note: note.startswith(LOUD),
        command=wrapped_command(command),
        versions=package_versions(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    return write_text(folder / PAGE, text)


def _boards(
    result: Mapping[str, Any], encoders: Sequence[str], short: Mapping[str, str]
) -> list[tuple[str, list[tuple[str, str]], list[tuple[str, list[Interval | None]]]]]:
    """Each way with its tasks (name, measure) and the encoders' values, None where there is none."""
    cells = {(row["way"], row["encoder"], row["task"]): row["measures"] for row in result["rows"]}
    boards = []
    for way in dict.fromkeys(row["way"] for row in result["rows"]):
        tasks = [(name, _measure(result, cells, way, name)) for name in result["tasks"]
                 if any((way, one, name) in cells for one in encoders)]  # fmt: skip
        rows = [
            (short[one], [_interval(cells.get((way, one, name), {}).get(measure)) for name, measure in tasks])
            for one in encoders
        ]
        boards.append((way, tasks, [row for row in rows if any(value is not None for value in row[1])]))
    return boards


def _measure(result: Mapping[str, Any], cells: Mapping[tuple[str, str, str], Any], way: str, task: str) -> str:
    """The measure of a task in one way: its own, or the first where that way has another."""
    metric: str = result["tasks"][task]["metric"]
    first = next(measures for (one, _, name), measures in cells.items() if one == way and name == task)
    return metric if metric in first else next(iter(first))


def _interval(values: Mapping[str, float | None] | None) -> Interval | None:
    if values is None:
        return None
    return Interval(*(float("nan") if values[key] is None else float(values[key] or 0) for key in Interval._fields))
