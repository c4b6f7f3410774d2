"""Published tables that are spreadsheets: the first sheet of an .xlsx file, under its quoted header."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stitchkit.core.errors import DataError, MissingExtraError
from stitchkit.datasets.frames import cell_of
from stitchkit.datasets.layouts.published import Columns, PublishedTable, Rows, table_of_rows


def read_spreadsheet(root: Path, published: PublishedTable, columns: Columns) -> Rows:
    """The needed columns of the first sheet, as strings; formulas by the values that were saved with them.

    Parameters
    ----------
    root
        Folder that ``published.names`` are relative to.
    columns
        Names that must be there; a tuple holds the names one column goes by.

    Raises
    ------
    DataError
        If there is no such file, it is no spreadsheet, or a column is missing.
    MissingExtraError
        Without openpyxl.
    """
    path = next((root / name for name in published.names if (root / name).is_file()), None)
    if path is None:
        raise DataError(f"{root} holds no {' or '.join(published.names)}. Give the folder that holds it.")
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtraError(
            f"openpyxl cannot be imported: {error}. Install it: pip install 'stitchkit[exam]'."
        ) from error
    try:
        with path.open("rb") as file:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            rows = [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]
            book.close()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SyntaxError, zipfile.BadZipFile,
            openpyxl.utils.exceptions.InvalidFileException) as error:  # fmt: skip
        raise DataError(f"{path} cannot be read as a spreadsheet: {error}. Was it downloaded completely?") from error
    return Rows(table_of_rows(path, _cells(rows), published, columns))


def _cells(rows: list[list[Any]]) -> Iterator[list[str]]:
    """Rows of texts, as wide as the header; an empty row has no cells."""
    width = max((place for place, cell in enumerate(rows[0], start=1) if cell is not None), default=0) if rows else 0
    for row in rows:
        cells = [cell_of(cell) for cell in row]
        while len(cells) > width and not cells[-1]:  # a sheet may be wider than its table
            cells.pop()
        yield cells + [""] * (width - len(cells)) if any(cells) else []
