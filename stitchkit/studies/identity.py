"""The identity of a study's folder: ``study.json``, which says which study it holds."""

from __future__ import annotations

import json
from pathlib import Path

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.escaping import escape
from stitchkit.core.strict_json import parse_json
from stitchkit.storage.path_checks import checked_file, resolved_path
from stitchkit.studies.cells import LINES
from stitchkit.studies.plans import AnyPlan

IDENTITY = "study.json"  # it says which study a folder holds
KEYS = ("name", "kind", "layout", "root")  # in that file


def holds_study(folder: Path) -> bool:
    """True for a folder of a study, finished or not."""
    return (folder / IDENTITY).exists() or (folder / LINES).exists()


def identity_of(folder: Path, plan: AnyPlan) -> str:
    """Content of ``study.json`` in ``folder``; another study there is refused."""
    root = resolved_path(plan.data.root, DataError)
    identity = {"name": plan.name, "kind": plan.kind, "layout": plan.data.layout, "root": str(root)}
    known = read_identity(folder)
    if known is not None and known != identity:
        raise InputError(
            f"{folder} holds the study {known['name']!r} of {escape(known['root'])}; this is {plan.name!r} of "
            f"{identity['root']}. Name another folder with --out."
        )
    return json.dumps(identity)


def read_identity(folder: Path) -> dict[str, str] | None:
    """Name, kind, layout and root of the study in ``folder``, from its ``study.json``; None without the file.

    Raises
    ------
    DataError
        If it is no such file.
    """
    path = checked_file(folder / IDENTITY, "a study's file")
    if not path.exists():
        return None
    try:
        identity = parse_json(path.read_bytes())
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}. Move it away; the cells beside it stay of use.") from error
    if (
        not isinstance(identity, dict)
        or sorted(identity) != sorted(KEYS)
        or not all(isinstance(identity[k], str) for k in KEYS)
    ):
        raise DataError(
            f"{path} does not name a study by {', '.join(KEYS)}. Move it away; the cells beside it stay of use."
        )
    return dict(identity)
