"""A table as strings, whatever it was read from, with errors that name row and column."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stitchkit.core.errors import DataError
from stitchkit.core.keys import is_missing

BINARY = "(binary data)"  # cell of bytes that are no text
_MOST_NAMES = 2000  # that are looked through for one like a name that is not there


@dataclass(frozen=True, slots=True)
class Table:
    """A table as strings: of a CSV, JSON lines, a Parquet file or a data frame.

    Parameters
    ----------
    path
        File it was read from, for error messages.
    columns
        c header names, unique.
    cells
        n rows of c stripped strings.
    numbers
        The n row numbers as a spreadsheet shows them, the header in row 1; of data frames and Parquet from 1.
    is_file
        False for a data frame, which no file holds. Default True.
    """

    path: Path
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    is_file: bool = True  # False for a data frame
    places: Mapping[str, int] = field(init=False, repr=False, compare=False)  # of the columns, by name

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", {name: place for place, name in enumerate(self.columns)})

    def __len__(self) -> int:
        return len(self.cells)

    def require(self, name: str) -> str:
        """``name`` if the table has such a column, else an error that lists the nearest ones."""
        if name in self.places:
            return name
        named = [column for column in self.columns if column][:_MOST_NAMES]
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
        return next((name for name in names if name in self.places), None)

    def column(self, name: str) -> tuple[str, ...]:
        """The n cells of one column; a missing column is an error that lists the nearest ones."""
        place = self.places[self.require(name)]
        cells = tuple(row[place] for row in self.cells)
        if BINARY in cells:
            raise self.fault(cells.index(BINARY), name, "the cell is binary data, no text. Save the column as text")
        return cells

    def filled_column(self, name: str) -> tuple[str, ...]:
        """The n cells of a column in which every cell has a value."""
        cells = self.column(name)
        empty = [position for position, cell in enumerate(cells) if is_missing(cell)]
        if empty:
            word = f" ({cells[empty[0]]!r} stands for a missing value)" if cells[empty[0]] else ""
            raise self.fault(empty[0], name, f"the cell is empty{word}; {len(empty)} of {len(cells)} are. Fill it in, "
                                             f"or leave the row out")  # fmt: skip
        return cells

    def take(self, rows: Sequence[int]) -> Table:
        """The rows at positions ``rows`` (k,), with their own row numbers."""
        cells, numbers = self.cells, self.numbers
        picked, kept = tuple(cells[i] for i in rows), tuple(numbers[i] for i in rows)
        return Table(self.path, self.columns, picked, kept, self.is_file)

    def digest(self) -> str:
        """SHA-256 of the file; of a data frame of its cells."""
        whole = self.path.read_bytes() if self.is_file else json.dumps([self.columns, *self.cells]).encode()
        return hashlib.sha256(whole).hexdigest()

    def fault(self, position: int, column: str, what: str) -> DataError:
        """The error for one cell: path, row and column, never the neighbouring cells (reports, patients)."""
        return DataError(f"{self.path}, row {self.numbers[position]}, column {column!r}: " + what + ".")


def check_column_names(path: Path, header: tuple[str, ...]) -> tuple[str, ...]:
    """``header`` if no two columns have one name; one nameless column is what pandas writes for its index."""
    name, count = Counter(header).most_common(1)[0] if header else ("", 0)
    if count > 1:
        named = f"are called {name!r}" if name else "have no name"
        raise DataError(f"{count} columns of {path} {named}. Give every column its own name.")
    return header
