"""Tables as their publishers head them: found below a root, held against the quoted header, needed columns kept."""

from __future__ import annotations

import csv
import difflib
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.wording import counted
from stitchkit.datasets.rows import cells_of_any_length
from stitchkit.datasets.string_tables import Table

_FLOAT = re.compile(r"(?<=\d)\.0+$")
Columns = Sequence[str | tuple[str, ...]]  # of a tuple, the first name that is there


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """Names and header of a published table.

    Parameters
    ----------
    names
        Paths below the root it goes by, the usual one first; with ``.gz`` behind it as well.
    header
        Its first line, quoted.
    reference
        Source of that line: a repository, page or paper.
    """

    names: tuple[str, ...]
    header: str
    reference: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a published table that are still in, and how many are out, by reason."""

    table: Table
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> tuple[str, ...]:
        """The n cells of one column."""
        return self.table.column(name)

    def where(self, keep: Sequence[bool] | np.ndarray, reason: str, key: str = "") -> Rows:
        """The rows where ``keep`` (n,) is true; the others are counted under ``reason``.

        Raises
        ------
        DataError
            If, of two rows of one ``key``, one is kept and one is not, with the numbers of both.
        """
        rows = np.flatnonzero(np.asarray(keep, dtype=bool))
        if key:
            self._check_undivided(rows, reason, key)
        out = len(self) - len(rows)
        if not out:
            return self
        return Rows(take_rows(self.table, rows), {**self.left_out, reason: self.left_out.get(reason, 0) + out})

    def _check_undivided(self, kept: np.ndarray, reason: str, key: str) -> None:
        """Refuse an item that stays in by one row and is left out by another."""
        cells, stays = self.column(key), np.zeros(len(self), dtype=bool)
        stays[kept] = True
        first = {cells[row]: row for row in kept.tolist()[::-1]}
        for row in np.flatnonzero(~stays).tolist():
            if cells[row] and cells[row] in first:
                raise self.table.fault(
                    row, key, f"the same {key} as in row {self.table.numbers[first[cells[row]]]}; that row is read and "
                    f"this one would be left out ({reason}). Take the table as published, or remove the row that is "
                    f"wrong",
                )  # fmt: skip


def take_rows(table: Table, rows: np.ndarray) -> Table:
    """The rows of a table at positions ``rows`` (k,), with their own row numbers."""
    return table.take(rows.tolist())


def agreeing(table: Table, key: str, columns: Sequence[str]) -> tuple[Table, int]:
    """One row for each key, in the order they first stand, and how many rows repeated an earlier one.

    Raises
    ------
    DataError
        If a cell of ``key`` is empty, or two rows of one key differ in one of ``columns``, with the numbers of both.
    """
    first: dict[str, int] = {}
    cells = [table.column(name) for name in columns]
    for row, name in enumerate(table.filled_column(key)):
        before = first.setdefault(name, row)
        odd = next((one for one, values in zip(columns, cells, strict=True) if values[row] != values[before]), None)
        if odd is not None:
            raise table.fault(
                row, odd, f"another value than in row {table.numbers[before]}, which has the same {key}. Take the "
                f"table as published, or remove the row that is wrong",
            )  # fmt: skip
    return table.take(list(first.values())), len(table) - len(first)


def check_agree(tables: Sequence[Table], key: str, column: str) -> None:
    """Refuse rows of one ``key`` that differ in ``column``, within a table or between two; empty cells say nothing.

    Raises
    ------
    DataError
        With the rows of both, and the other's table.
    """
    first: dict[str, tuple[str, Table, int]] = {}
    for table in tables:
        for row, (name, cell) in enumerate(zip(table.column(key), table.column(column), strict=True)):
            if not name or not cell:
                continue
            value, other, before = first.setdefault(name, (cell, table, row))
            if value != cell:
                where = "" if other is table else f" of {other.path}"
                raise table.fault(
                    row, column, f"another value than in row {other.numbers[before]}{where}, which has the same {key}. "
                    f"Take the tables as published, or remove the row that is wrong",
                )  # fmt: skip


def whole_numbers(table: Table, columns: Sequence[str]) -> Table:
    """The table with cells such as ``50414267.0`` in ``columns``, as a table program writes ids, as ``50414267``."""
    places = {table.places[name] for name in columns}
    cells = tuple(
        tuple(_FLOAT.sub("", cell) if place in places else cell for place, cell in enumerate(row))
        for row in table.cells
    )
    return Table(table.path, table.columns, cells, table.numbers)


def there_is(root: Path, published: PublishedTable) -> bool:
    """True if the table lies below ``root``."""
    return _find(root, published) is not None


def read_published(root: Path, published: PublishedTable, columns: Columns) -> Rows:
    """The columns of a published table that are needed, as stripped strings.

    Parameters
    ----------
    root
        Folder that ``published.names`` are relative to.
    columns
        Names that must be there; a tuple holds the names one column goes by.

    Raises
    ------
    DataError
        If there is no such file, a column is missing, or a row is longer or shorter than the header.
    """
    path = _find(root, published)
    if path is None:
        others = f" (or {', '.join(published.names[1:])})" if len(published.names) > 1 else ""
        raise DataError(
            f"{root} holds no {published.names[0]}{others}, packed as .gz or not. Give the folder that holds it."
        )
    try:
        with _open_text(path) as file, cells_of_any_length():
            return Rows(table_of_rows(path, csv.reader(file), published, columns))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8. Take the file as it is published, or save it again as UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}. Take the file as it is published.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}). Was it downloaded completely?") from error


def names_of(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names as given: one, or several."""
    return (names,) if isinstance(names, str) else tuple(names)


def keep_views(rows: Rows, column: str, views: str | Sequence[str], usual: Sequence[str], key: str) -> Rows:
    """The rows whose cell in ``column`` is one of ``views``; ``"all"`` keeps every row.

    Raises
    ------
    DataError
        If two rows of one ``key`` differ in ``column``, with the numbers of both.
    UnknownNameError
        For a view that is neither usual nor in the table.
    """
    check_agree([rows.table], key, column)
    if views == "all":
        return rows
    wanted = names_of(views)
    cells = rows.column(column)
    for view in wanted:
        if view not in usual and view not in cells:
            raise UnknownNameError.of(f"view in {rows.table.path}", view, {*usual, *cells, "all"} - {""})
    return rows.where([cell in wanted for cell in cells], "other view", key)


def _find(root: Path, published: PublishedTable) -> Path | None:
    candidates = (root / f"{name}{packed}" for name in published.names for packed in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def table_of_rows(path: Path, reader: Iterator[list[str]], published: PublishedTable, columns: Columns) -> Table:
    """The needed columns of rows of cells, the header first; empty rows are passed over.

    Raises
    ------
    DataError
        As :func:`read_published`.
    """
    header = [cell.strip() for cell in next(reader, [])]
    names = [_column_name(path, header, published, column) for column in columns]
    places = [header.index(name) for name in names]
    cells: list[tuple[str, ...]] = []
    numbers: list[int] = []
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if len(row) != len(header) and not _fits(row, header):
            raise DataError(
                f"{path}, row {number}: {counted(len(row), 'cell')} under a header of {len(header)}. Take the "
                f"file as it is "
                f"published; a spreadsheet may have changed it."
            )
        cells.append(tuple([row[place].strip() for place in places]))
        numbers.append(number)
    if not cells:
        raise DataError(f"{path} has a header and no rows. Was it downloaded completely?")
    return Table(path, tuple(names), tuple(cells), tuple(numbers))


def _fits(row: list[str], header: list[str]) -> bool:
    """True if row and header differ by an empty last cell or name alone: some published lines end with a comma."""
    extra = len(row) - len(header)
    return (extra == 1 and not row[-1].strip()) or (extra == -1 and not header[-1])


def _column_name(path: Path, header: list[str], published: PublishedTable, column: str | tuple[str, ...]) -> str:
    names = (column,) if isinstance(column, str) else column
    name = next((name for name in names if name in header), None)
    if name is None:
        near = difflib.get_close_matches(names[0], [name for name in header if name], n=3, cutoff=0.5)
        shown = f"; nearest: {', '.join(near)}" if near else ""
        raise DataError(
            f"{path} has no column {' or '.join(map(repr, names))}{shown}. Its published header is "
            f"{published.header!r}. Take that file, or read your own with the layout 'table'."
        )
    if header.count(name) > 1:
        raise DataError(f"{header.count(name)} columns of {path} are called {name!r}. Take the file as published.")
    return name
