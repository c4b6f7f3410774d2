"""Published tables that are JSON: a list of objects, as a table of strings with a row an entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stitchkit.core.errors import DataError
from stitchkit.core.strict_json import parse_json
from stitchkit.datasets.frames import cell_of
from stitchkit.datasets.layouts.published import PublishedTable
from stitchkit.datasets.rows import read_text
from stitchkit.datasets.string_tables import Table


def json_entries(path: Path) -> list[Mapping[str, Any]]:
    """The objects of a JSON file that is a list of them.

    Raises
    ------
    DataError
        If it is no such file, with the number of the entry that is no object.
    """
    try:
        entries = parse_json(read_text(path, "list of entries"), nan_is_null=True)
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}. Was it downloaded completely?") from error
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path} is no list of entries. Take the file as it is published.")
    odd = next((number for number, entry in enumerate(entries, start=1) if not isinstance(entry, Mapping)), None)
    if odd is not None:
        raise DataError(f"{path}, row {odd}: the entry is no object with keys. Take the file as it is published.")
    return entries


def table_of_entries(
    path: Path, entries: Sequence[Mapping[str, Any]], published: PublishedTable, columns: Sequence[str]
) -> Table:
    """The needed keys of the entries as stripped strings; rows are numbered from 1.

    Raises
    ------
    DataError
        If an entry lacks a key, with its row.
    """
    for number, entry in enumerate(entries, start=1):
        lacking = next((name for name in columns if name not in entry), None)
        if lacking is not None:
            raise DataError(
                f"{path}, row {number}, has no column {lacking!r}. Its published keys are {published.header!r}. Take "
                f"that file, or read your own with the layout 'table'."
            )
    cells = tuple(tuple(cell_of(entry[name]) for name in columns) for entry in entries)
    return Table(path, tuple(columns), cells, tuple(range(1, len(cells) + 1)))
