"""The account of an image file that is not there: where it was looked for, and what it is probably called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stitchkit.core.item_names import alike
from stitchkit.datasets.images import looks_like_image

_LONGEST = 200  # characters of a name; longer ones are texts
_MOST = 100_000  # names of a folder, and folders, that are looked through


def account_of_missing(cells: Sequence[str], folder: Path, missing: Sequence[int]) -> str:
    """A clause on the first of ``missing`` (k,) rows of a column of paths: name, folder, and a name like it.

    A cell that may be a text is not repeated.
    """
    cell = cells[missing[0]]
    place = Path(os.path.abspath(folder)) if str(folder) == "." else folder
    count = f"{len(missing)} of {len(cells)} are missing"
    if len(cell) > _LONGEST or (" " in cell and not looks_like_image(cell)):
        return f"there is no such file in {place} ({count})"
    near = name_near(folder, cell)
    hint = f"; {near!r} is there" if near else ""
    return f"there is no file {cell!r} in {place} ({count}{hint})"


def name_near(folder: Path, cell: str) -> str:
    """The path below ``folder`` that differs in capitals, separators or suffix, or lies a folder deeper; else empty."""
    parts = [part for part in cell.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts or Path(cell).is_absolute():
        return ""
    place, folders = folder, list[str]()
    for part in parts[:-1]:
        names = _names(place)
        same = part if part in names else next((one for one in names if one.casefold() == part.casefold()), None)
        if same is None:
            return ""
        folders.append(same)
        place = place / same
    names = _names(place)
    if near := alike(parts[-1], [one for one in names if looks_like_image(one)]):
        return "/".join([*folders, near])
    below = (one for one in names[:_MOST] if os.path.isfile(place / one / parts[-1]))
    deeper = next(below, None)
    return "" if deeper is None else "/".join([*folders, deeper, parts[-1]])


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
