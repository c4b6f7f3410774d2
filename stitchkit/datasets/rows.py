"""The one reader of text files and CSV tables: it refuses what is plainly something else, and names row and column."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.strict_json import parse_json
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.string_tables import Table, check_column_names
from stitchkit.storage.path_checks import checked_file

JSON_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
TABLES = (".csv", ".tsv", ".tab", *JSON_LINES, PARQUET)
_SEPARATOR = re.compile(r"sep=([,;\t|])[ \t]*(?:\r\n|\r|\n)", re.I)  # how a spreadsheet says its separator
_LIMIT = threading.Lock()
_MOST_EMPTY = 1_000_000  # cells of JSON lines that may be missing in any case
_GROUP_COLUMNS = ("patient", "patient_id")

# first bytes of files that people hand over as a table or a text, and what to tell them
_STRANGERS = (
    (b"<!doctype html", "is a web page, not a {what}: the download needs a login or another link"),
    (b"<html", "is a web page, not a {what}: the download needs a login or another link"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the {what} itself: run 'git lfs pull'"),
    (b"pk\x03\x04", "is a zip or spreadsheet file, not a {what}: unpack it, or export it as CSV UTF-8"),
    (b"\x1f\x8b", "is gzip-compressed: unpack it first"),
    (b"par1", "is a Parquet file: call it .parquet"),
    (b"\xff\xfe", "is UTF-16, not UTF-8: save it again as UTF-8"),
    (b"\xfe\xff", "is UTF-16, not UTF-8: save it again as UTF-8"),
)


def read_text(path: str | Path, what: str = "text file") -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Raises
    ------
    DataError
        If the file is missing, empty, a web page, a spreadsheet, or not UTF-8.
    """
    path = checked_file(path, f"a {what}")
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
        text = raw.decode("utf-8").lstrip("\ufeff")  # some programs write the byte-order mark twice
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} in line {line} cannot be decoded. "
            f"Save it again as UTF-8 (in a spreadsheet: 'CSV UTF-8')."
        ) from error
    if "\0" in text:
        raise DataError(f"{path} holds NUL bytes, so it is not a {what} in UTF-8. Save it again as UTF-8.")
    return text


def lines_of(text: str) -> list[str]:
    """The lines of a text, whichever line ends it has: of Unix, of Windows, or the single CR of old programs.

    Examples
    --------
    >>> lines_of("a\\r\\nb\\rc\\n")
    ['a', 'b', 'c']
    """
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def read_rows(source: str | Path | Any) -> Table:
    """A table as strings: a data frame, CSV, or by its suffix TSV, JSON lines or Parquet.

    Parameters
    ----------
    source
        A file in UTF-8. CSV and TSV: one header row, as many cells in every row; blank lines are skipped, and so is a
        first line ``sep=;`` as spreadsheets write it. ``.jsonl`` or ``.ndjson``: one object a line; a key that an
        object lacks is an empty cell. Or a ``.parquet`` file; or a data frame of pandas or polars, or a table of
        pyarrow, as :func:`stitchkit.datasets.frames.table_of_frame` takes it.

    Returns
    -------
    Table
        Cells stripped of white space at both ends.

    Raises
    ------
    DataError
        If the file is not such a table; the message names the row.
    """
    if not isinstance(source, str | os.PathLike):
        from stitchkit.datasets.frames import is_frame, table_of_frame

        if is_frame(source):
            return table_of_frame(source)
        raise InputError(f"a table is read from a path or a data frame; got {type(source).__name__}.")
    path = Path(source)
    if path.suffix.lower() in JSON_LINES:
        return read_json_lines(path)
    if path.suffix.lower() == PARQUET:
        from stitchkit.datasets.frames import read_parquet

        return read_parquet(path)
    separator, text = _separator_and_text(path)
    rows: list[tuple[int, tuple[str, ...]]] = []
    number = 0
    with cells_of_any_length():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            for number, cells in enumerate(reader, start=1):
                if cells:
                    rows.append((number, tuple(cell.strip() for cell in cells)))
        except csv.Error as error:
            raise DataError(f"{path}, row {number + 1}: {error}. Check the quotes there.") from error
    if not rows:
        raise DataError(f"{path} has no header and no rows. Was it written completely?")
    header = _checked_header(path, rows[0][1], separator)
    body = rows[1:]
    if not body:
        raise DataError(f"{path} has a header and no rows. Was it written completely?")
    for number, row in body:
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: {counted(len(row), 'cell')} under a header of {len(header)}. "
                f"Quote cells that hold a comma, and fill up short rows."
            )
    return Table(path, header, tuple(row for _, row in body), tuple(number for number, _ in body))


def cells_as_written(table: Table) -> tuple[tuple[str, ...], ...]:
    """The cells of a table's rows with the white space around them; of JSON lines and Parquet the cells of the table.

    Raises
    ------
    DataError
        If the file is no longer the table that was read.
    """
    if table.path.suffix.lower() in (*JSON_LINES, PARQUET):
        return table.cells
    separator, text = _separator_and_text(table.path)
    with cells_of_any_length():
        try:
            records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
            cells = tuple(tuple(records[number - 1]) for number in table.numbers)
        except (csv.Error, IndexError):
            cells = ()
    if tuple(tuple(cell.strip() for cell in row) for row in cells) != table.cells:
        raise DataError(f"{table.path} was changed while it was read. Run the same command again.")
    return cells


def _separator_and_text(path: Path) -> tuple[str, str]:
    """The separator of the cells of a CSV or TSV, and its text without the line that may name it."""
    text = read_text(path, "table")
    if match := _SEPARATOR.match(text):
        return match[1], text[match.end() :]
    return "\t" if path.suffix.lower() in (".tsv", ".tab") else ",", text


@contextmanager
def cells_of_any_length() -> Iterator[None]:
    """Let the csv module read cells above its 131,072 characters: reports may be longer. Its limit is one for all."""
    with _LIMIT:
        before = csv.field_size_limit(2**31 - 1)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def read_json_lines(path: Path, required: Sequence[str] = ()) -> Table:
    """A file of one JSON object a line as a table of strings; every object must have the ``required`` keys.

    Raises
    ------
    DataError
        As :func:`read_rows`, with the line.
    """
    objects: list[tuple[int, dict[str, str]]] = []
    for number, line in enumerate(lines_of(read_text(path, "table")), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line, nan_is_null=True)
        except ValueError as error:
            raise DataError(f"{path}, line {number}, is no JSON: {error}. Was it written completely?") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}, line {number}, is no JSON object. Write one object a line.")
        for name in required:
            if name not in value:
                raise DataError(f"{path}, line {number}, has no column {name!r}. Take the file as it is published.")
        if len({key.strip() for key in value}) < len(value):
            raise DataError(f"{path}, line {number}, has one key twice, with blanks around it. Give each its own name.")
        objects.append((number, {key.strip(): _cell(one) for key, one in value.items()}))
    columns = tuple(dict.fromkeys(key for _, one in objects for key in one))
    if len(columns) * len(objects) > _MOST_EMPTY + 100 * sum(len(one) for _, one in objects):
        raise DataError(f"{path} has {len(columns)} different keys in {len(objects)} lines, most of them missing in "
                        f"most. Write the same keys in every line.")  # fmt: skip
    if not columns:
        raise DataError(f"{path} has no columns. Write one object a line, with the same keys.")
    cells = tuple(tuple(one.get(name, "") for name in columns) for _, one in objects)
    return Table(path, columns, cells, tuple(number for number, _ in objects))


def _cell(value: Any) -> str:
    """A JSON value as the cell of a table; objects and lists stay JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value, ensure_ascii=False)


def _checked_header(path: Path, header: tuple[str, ...], separator: str) -> tuple[str, ...]:
    others = [sign for sign in ",;\t|" if sign != separator]
    if len(header) == 1 and (other := next((sign for sign in others if sign in header[0]), None)):
        wanted = {",": "commas", "\t": "tabs"}.get(separator, repr(separator))
        raise DataError(f"{path} is separated by {other!r}, not {separator!r}. Save it with {wanted}{_or_say(other)}.")
    return check_column_names(path, header)


def _or_say(separator: str) -> str:
    """The other ways to have a table read that is separated by something else."""
    line = f", or put a first line 'sep={separator}' above the header"
    return {"\t": ", or name the file .tsv", ",": ", or name the file .csv"}.get(separator, line)


def ids_of(table: Table, named: str | None, fallback: str | None) -> np.ndarray:
    """Unique ids (n,) of the rows: column ``named``, else ``id`` if there is one, else column ``fallback``."""
    column = named or table.first_of("id") or fallback
    if column is None:
        raise DataError(
            f"{table.path} has no column 'id' and no image paths to serve as ids. Add a column of unique ids."
        )
    cells = table.filled_column(column)
    first: dict[str, int] = {}
    for position, cell in enumerate(cells):
        if first.setdefault(cell, position) != position:
            raise table.fault(
                position, column, f"the same id as in row {table.numbers[first[cell]]} "
                f"({len(cells) - len(set(cells))} are repeated). Make the ids unique, or name another column "
                "with " + setting("id"),
            )  # fmt: skip
    return np.asarray(cells, dtype=np.str_)


def groups_of(table: Table, named: str | None) -> np.ndarray | None:
    """The patient (n,) of each row: column ``named``, else ``patient`` or ``patient_id``, else None."""
    column = named or table.first_of(*_GROUP_COLUMNS)
    return None if column is None else np.asarray(table.filled_column(column), dtype=np.str_)
