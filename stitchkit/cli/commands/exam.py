"""``stitchkit exam``: encoders on downstream tasks, as a leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, only
from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stitchkit.tasks.cards import TaskCard


@flat
def exam(
    encoders: Annotated[
        list[str], typer.Argument(metavar="ENCODER...", help="Encoders of images, or stitched folders.")
    ],
    *,
    tasks: Annotated[
        str, typer.Option("--tasks", metavar="NAME,NAME", help="Task cards: shipped names, or paths of your own .toml.")
    ],
    data: Annotated[
        list[str],
        typer.Option("--data", metavar="DIR|NAME=DIR", help="Folder with one folder a task; or that of one task."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of page and results; a stopped exam goes on there."),
    ] = None,
    shots: Annotated[
        str, typer.Option("--shots", metavar="N,N", help="Labelled items of each class in few shots.")
    ] = "1,5,20",
    draws: Annotated[int, typer.Option("--draws", min=1, help="Draws of few shots.")] = 10,
    seed: o.Seed = 0,
    compute: Annotated[o.Compute, only("store", "device", "trust_python")],
    output: Annotated[o.Output, only("ctx", "json", "quiet", "verbose", "dry_run")],
) -> None:
    """Judge encoders on the same tasks by zero-shot, a linear probe, nearest items, few shots and retrieval."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.tasks.cards import read_task

    console = Console.of(output)
    cards = [read_task(one.strip()) for one in tasks.split(",") if one.strip()]
    folders = _folders(cards, data)
    counts = _counts(shots)
    if output.dry_run:
        console.plan({
            "encoders": encoders, "tasks": [one.name for one in cards if one.name in folders],
            "without data": [one.name for one in cards if one.name not in folders], "writes": out or "stdout",
        })  # fmt: skip
        return
    import stitchkit as sk

    result = sk.exam(
        encoders, cards, folders, out=out, shots=counts, draws=draws, store=Loading(compute, console).store,
        device=compute.device, trust_python=compute.trust_python or (), seed=seed, progress=console.progress,
    )  # fmt: skip
    lines: list[object] = [result]
    if out is not None:
        from stitchkit.reports.exam_page import write_exam

        lines.append(f"open {write_exam(result.to_dict(), out, command=console.command)}")
    console.result(lines, result.to_dict())


def _folders(cards: Sequence[TaskCard], data: Sequence[str]) -> dict[str, Path]:
    """Task -> folder of its data, for those that have one."""
    named, roots = {}, []
    names = [one.name for one in cards]
    for value in data:
        name, equals, place = value.partition("=")
        if equals and name in names:
            named[name] = Path(place)
        elif Path(value).is_dir():
            roots.append(Path(value))
        else:
            raise InputError(f"--data {value} is no folder, nor NAME=DIR of one of the tasks {', '.join(names)}.")
    below = {name: root / name for root in reversed(roots) for name in names if (root / name).is_dir()}
    return below | named


def _counts(text: str) -> list[int]:
    """Whole numbers of a list, each 1 or more."""
    counts = [one.strip() for one in text.split(",") if one.strip()]
    if not all(one.isdecimal() and int(one) > 0 for one in counts):
        raise InputError(f"--shots {text} is no list of whole numbers of 1 or more, such as 1,5,20.")
    return [int(one) for one in counts]
