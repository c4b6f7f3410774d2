"""Lists of the names that commands and verbs take, each with a line on what it is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from stitchkit.core.errors import UnknownNameError


def listing(kind: str) -> list[dict[str, str]]:
    """The names of a kind, each with a line on what it is.

    Parameters
    ----------
    kind
        One of ``KINDS``: ``"prompts"``, ``"families"``, ``"solvers"`` or ``"layouts"``.

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
        one.name: f"{one.card['modality']}: {counted(len(one.classes), 'class', 'classes')}, "
        f"{', '.join(one.classes[:4])}{', ...' if len(one.classes) > 4 else ''}"
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


KINDS: Mapping[str, Callable[[], dict[str, str]]] = {
    "prompts": _prompts,
    "families": _families,
    "solvers": _solvers,
    "layouts": _layouts,
}


def _first_lines(table: Mapping[str, str]) -> dict[str, str]:
    """Names of a table ``name -> "module:attribute"``, each with its module's first line; nothing is imported."""
    return {name: _first_line(place.partition(":")[0]) for name, place in table.items()}


def _first_line(module: str) -> str:
    spec = find_spec(module)
    source = "" if spec is None or spec.origin is None else Path(spec.origin).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0].replace("``", "")
