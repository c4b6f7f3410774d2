"""Lists of the names that commands and verbs take, each with a line on what it is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from stitchkit.core.errors import UnknownNameError


def listing(kind: str) -> list[dict[str, str]]:
    """The names of a kind, each with a line on what it is.

    Parameters
    ----------
    kind
        One of ``KINDS``: ``"prompts"``, ``"families"``, ``"solvers"``, ``"layouts"``, ``"objectives"`` or ``"tasks"``.

    Raises
    ------
    UnknownNameError
        For a kind that there is not.

    Examples
    --------
    >>> listing("families")[0]["name"], [row["name"] for row in listing("solvers")][:2]
    ('demo', ['least_squares', 'ridge'])
    """
    if kind not in KINDS:
        raise UnknownNameError.of("kind of names", kind, KINDS)
    return [{"name": name, "is": text} for name, text in KINDS[kind]().items()]


def _prompts() -> dict[str, str]:
    from stitchkit.core.wording import counted
    from stitchkit.datasets.prompt_sets import prompt_set_names, read_prompts

    sets = [read_prompts(name) for name in prompt_set_names()]
    return {
        one.name: f"{one.card['modality']}: {counted(len(one.classes), 'class', 'classes')}, {_first_of(one.classes)}"
        for one in sets
    }


def _families() -> dict[str, str]:
    from stitchkit.encoders import ENCODERS

    return _first_lines(ENCODERS)


def _solvers() -> dict[str, str]:
    from stitchkit.solvers import SOLVERS

    return _first_lines(SOLVERS)


def _layouts() -> dict[str, str]:
    from stitchkit.datasets.cohorts import LAYOUTS

    return _first_lines(LAYOUTS)


def _objectives() -> dict[str, str]:
    from stitchkit.training.objectives import OBJECTIVES

    return _first_lines(OBJECTIVES)


def _tasks() -> dict[str, str]:
    from stitchkit.core.wording import counted
    from stitchkit.tasks.cards import read_task, task_names

    what = {"retrieval": "images and texts", "questions": "questions about images"}
    cards = [read_task(name) for name in task_names()]
    return {
        one.name: f"{one.title}, {one.modality}: "
        + (counted(len(one.classes), "class", "classes") if one.classes else what[one.kind])
        for one in cards
    }


KINDS: Mapping[str, Callable[[], dict[str, str]]] = {
    "prompts": _prompts,
    "families": _families,
    "solvers": _solvers,
    "layouts": _layouts,
    "objectives": _objectives,
    "tasks": _tasks,
}


def _first_of(names: Sequence[str], most: int = 4, width: int = 60) -> str:
    """The first names, as many as fit a line and not more than ``most``; dots for the others."""
    shown = max(k for k in range(1, most + 1) if k == 1 or len(", ".join(names[:k])) <= width)
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")


def _first_lines(table: Mapping[str, str]) -> dict[str, str]:
    """Names of a table ``name -> "module:attribute"``, each with its module's first line; nothing is imported."""
    return {name: _first_line(place.partition(":")[0]) for name, place in table.items()}


def _first_line(module: str) -> str:
    spec = find_spec(module)
    source = "" if spec is None or spec.origin is None else Path(spec.origin).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0].replace("``", "")
