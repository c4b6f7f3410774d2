"""The one reader of text files and CSV tables: it refuses what is plainly something else, and names row and column."""

from __future__ import annotations

import csv
import difflib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError

_GROUP_COLUMNS = ("patient", "patient_id")

# first bytes of files that people hand over as a table or a text, and what to tell them
_STRANGERS = (
    (b"<!doctype html", "is a web page, not a {what}: the download needs a login or another link"),
    (b"<html", "is a web page, not a {what}: the download needs a login or another link"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the {what} itself: run 'git lfs pull'"),
    (b"pk\x03\x04", "is a zip or spreadsheet file, not a {what}: unpack it, or export it as CSV UTF-8"),
    (b"\x1f\x8b", "is gzip-compressed: unpack it first"),
    (b"par1", "is a Parquet file: export it as CSV UTF-8"),
    (b"\xff\xfe", "is UTF-16, not UTF-8: save it again as UTF-8"),
    (b"\xfe\xff", "is UTF-16, not UTF-8: save it again as UTF-8"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV table as strings.

    Parameters
    ----------
    path
        Where it was read from, for error messages.
    columns
        c header names, unique.
    cells
        n rows of c stripped strings.
    numbers
        The n row numbers as a spreadsheet shows them; the header is row 1.
    """

    path: Path
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.cells)

    def require(self, name: str) -> str:
        """``name`` if the table has such a column, else an error that lists the nearest ones."""
        if name in self.columns:
            return name
        named = [column for column in self.columns if column]
        # without regard to case: 'Patient' is what somebody who asks for 'patient' wants to hear about
        lower = {column.lower(): column for column in named}
        near = difflib.get_close_matches(name.lower(), list(lower), n=3, cutoff=0.4)
        shown = [lower[one] for one in near] or named[:8]
        raise DataError(
            f"{self.path} has no column {name!r}; nearest: {', '.join(shown)}. "
            f"Name the column you mean, or add it to the table."
        )

    def first_of(self, *names: str) -> str | None:
        """The first of ``names`` that is a column, or None."""
        return next((name for name in names if name in self.columns), None)

    def column(self, name: str) -> tuple[str, ...]:
        """The n cells of one column; a missing column is an error that lists the nearest ones."""
        place = self.columns.index(self.require(name))
        return tuple(row[place] for row in self.cells)

    def filled(self, name: str) -> tuple[str, ...]:
        """The n cells of a column in which no cell may be empty."""
        cells = self.column(name)
        empty = [position for position, cell in enumerate(cells) if not cell]
        if empty:
            raise self.fault(empty[0], name, f"the cell is empty ({len(empty)} of {len(cells)} are). Fill it in, "
                                             f"or leave the row out")  # fmt: skip
        return cells

    def fault(self, position: int, column: str, what: str) -> DataError:
        """The error for one cell: path, row and column, never the neighbouring cells (reports, patients)."""
        return DataError(f"{self.path}, row {self.numbers[position]}, column {column!r}: {what}.")


def read_text(path: str | Path, what: str = "text file") -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Raises
    ------
    DataError
        If the file is missing, empty, a web page, a spreadsheet, or not UTF-8.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a {what}. Give the path of the file.")
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"there is no {what} {path}. Check the path.") from error
    except OSError as error:
        raise DataError(f"the {what} {path} cannot be read: {error.strerror or error}.") from error
    if not raw.strip():
        raise DataError(f"the {what} {path} is empty ({len(raw)} bytes). Was it written or downloaded completely?")
    start = raw[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, complaint in _STRANGERS:
        if start.startswith(magic):
            raise DataError(f"{path} {complaint.format(what=what)}.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} in line {line} cannot be decoded. "
            f"Save it again as UTF-8 (in a spreadsheet: 'CSV UTF-8')."
        ) from error
    if "\0" in text:
        raise DataError(f"{path} holds NUL bytes, so it is not a {what} in UTF-8. Save it again as UTF-8.")
    return text


def read_rows(path: str | Path) -> Table:
    """A CSV file (or TSV, by its suffix) as a table of strings.

    Parameters
    ----------
    path
        UTF-8, one header row, as many cells in every row; blank lines are skipped.

    Returns
    -------
    Table
        Cells stripped of white space at both ends.

    Raises
    ------
    DataError
        If the file is not such a table; the message names the row.
    """
    path = Path(path)
    separator = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    reader = csv.reader(io.StringIO(read_text(path, "table"), newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, tuple[str, ...]]] = []
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if cells:
                rows.append((number, tuple(cell.strip() for cell in cells)))
    except csv.Error as error:
        raise DataError(f"{path}, row {number + 1}: {error}. Check the quotes there.") from error
    header = _checked_header(path, rows[0][1], separator)
    body = rows[1:]
    if not body:
        raise DataError(f"{path} has a header and no rows. Was it written completely?")
    for number, row in body:
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: {len(row)} cells under a header of {len(header)}. "
                f"Quote cells that hold a comma, and fill up short rows."
            )
    return Table(path, header, tuple(row for _, row in body), tuple(number for number, _ in body))


def _checked_header(path: Path, header: tuple[str, ...], separator: str) -> tuple[str, ...]:
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise DataError(f"{path} is separated by {other!r}, not {separator!r}. Save it with commas.")
    for name in header:
        # one nameless column is what pandas writes for its index
        if header.count(name) > 1:
            called = f"are called {name!r}" if name else "have no name"
            raise DataError(f"{header.count(name)} columns of {path} {called}. Give every column its own name.")
    return header


def ids_of(table: Table, named: str | None, fallback: str | None) -> np.ndarray:
    """Unique ids (n,) of the rows: column ``named``, else ``id`` if there is one, else column ``fallback``."""
    column = named or table.first_of("id") or fallback
    if column is None:
        raise DataError(
            f"{table.path} has no column 'id' and no image paths to serve as ids. Add a column of unique ids."
        )
    cells = table.filled(column)
    first: dict[str, int] = {}
    for position, cell in enumerate(cells):
        if first.setdefault(cell, position) != position:
            raise table.fault(
                position, column, f"the same id as in row {table.numbers[first[cell]]} "
                f"({len(cells) - len(set(cells))} are repeated). Make the ids unique, or name another column with id=",
            )  # fmt: skip
    return np.asarray(cells, dtype=np.str_)


def groups_of(table: Table, named: str | None) -> np.ndarray | None:
    """The patient (n,) of each row: column ``named``, else ``patient`` or ``patient_id``, else None."""
    column = named or table.first_of(*_GROUP_COLUMNS)
    return None if column is None else np.asarray(table.filled(column), dtype=np.str_)
