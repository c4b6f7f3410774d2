"""A table with holes: its columns as items for encoders, and as numbers and names for a fused head."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.items import Items
from stitchkit.core.keys import is_missing
from stitchkit.core.number_cells import cell_number
from stitchkit.core.table_features import CategoryColumn, TableFeatures, TableRows
from stitchkit.core.wording import setting
from stitchkit.datasets.labels import plain_column
from stitchkit.datasets.rows import ids_of, read_rows
from stitchkit.datasets.string_tables import Table
from stitchkit.datasets.tables import ItemSource


def read_table_rows(
    path: str | Path | Any, columns: Sequence[str], *, id: str | None = None, categories: Collection[str] = ()
) -> TableRows:
    """Columns of a table by id, for :func:`stitchkit.fuse` and the heads that it makes.

    Parameters
    ----------
    path
        The table: CSV, TSV or JSON lines in UTF-8, ``.parquet``, or a data frame of pandas, polars or pyarrow.
    columns
        Columns to read: numbers where every cell is a number or blank, else categories. Words for a missing value, such
        as ``NA`` or ``unknown``, are blanks. A head reads each column as it was in training, whatever it is here.
    id
        Column of unique ids. Default: ``id`` if there is one, else ``path``.
    categories
        Those of ``columns`` that are categories though they look like numbers: codes of a site or a scanner. Columns
        with zeros in front (``01``), or with more than 15 digits, are categories without being named.

    Returns
    -------
    TableRows

    Raises
    ------
    DataError
        For a table that cannot be read, a missing column (the nearest are listed), or a repeated id.
    UnknownNameError
        For a name in ``categories`` that is none of ``columns``.
    """
    return ItemTable.of(path, id).rows(columns, categories)


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """A table of which any cell of an item may be blank.

    Parameters
    ----------
    table
        The table as strings.
    ids : (n,) str
        Ids of its rows.
    id
        Column that they came from.
    root
        Folder that image paths are relative to; None for the table's own.
    """

    table: Table
    ids: np.ndarray
    id: str
    root: Path | None = None

    @classmethod
    def of(cls, source: str | Path | Table | Any, id: str | None = None, root: Path | None = None) -> ItemTable:
        """The table of a path or a data frame; ids are of column ``id``, else ``id``, else ``path``."""
        table = source if isinstance(source, Table) else read_rows(source)
        column = id or table.first_of("id", "path")
        if column is None:
            raise DataError(f"{table.path} has no column 'id' or 'path'. Name the column of unique ids.")
        blank = [row for row, cell in enumerate(table.column(column)) if is_missing(cell)]
        if blank and column == "path":  # a missing image, of an item that would have no name
            raise table.fault(
                blank[0], column, f"the cell is blank, as {len(blank)} of {len(table)} are, and the column holds the "
                f"ids too. Add a column 'id' of unique ids, or name another one with " + setting("id"),
            )  # fmt: skip
        return cls(table, ids_of(table, column, None), column, root)

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, column: str) -> bool:
        """True if there is such a column."""
        return column in self.table.places

    def rows(self, columns: Sequence[str], categories: Collection[str] = ()) -> TableRows:
        """Columns as numbers and categories, by what their cells hold; those in ``categories`` always as these."""
        for name in categories:
            if name not in columns:
                raise UnknownNameError.of("column of the table modality", name, columns)
        cells = {name: np.asarray(self.table.column(name), dtype=np.str_) for name in columns}
        read = {name: cells[name] if name in categories else plain_column(self.table, name) for name in columns}
        return self._rows(cells, read)

    def rows_of(self, fitted: TableFeatures) -> TableRows:
        """The columns of a fitted table, read as they were in training, whatever the other cells hold.

        Raises
        ------
        DataError
            Naming row and column of a cell that is no number, where numbers were fitted.
        """
        cells = {one.name: np.asarray(self.table.column(one.name), dtype=np.str_) for one in fitted.columns}
        read = {
            one.name: cells[one.name] if isinstance(one, CategoryColumn) else self._numbers(one.name)
            for one in fitted.columns
        }
        return self._rows(cells, read)

    def _rows(self, cells: Mapping[str, np.ndarray], read: Mapping[str, np.ndarray]) -> TableRows:
        numbers = {name: values for name, values in read.items() if values.dtype.kind == "f"}
        for name, values in numbers.items():
            if np.isinf(values).any():
                raise self.table.fault(
                    int(np.flatnonzero(np.isinf(values))[0]), name, "the cell is infinite. Leave it blank"
                )
        return TableRows(self.ids, read, {name: cells[name] for name in numbers})

    def _numbers(self, column: str) -> np.ndarray:
        """Cells (n,) as numbers, each by itself, so that no row hangs on the others."""
        cells = self.table.column(column)
        numbers = [np.nan if is_missing(cell) else cell_number(cell) for cell in cells]
        if None in numbers:
            at = numbers.index(None)
            raise self.table.fault(
                at, column, f"the cell is {cells[at]!r:.40}, and the head was fitted on numbers there. Write a number, "
                f"or leave the cell blank",
            )  # fmt: skip
        return np.asarray(numbers, dtype=np.float64)

    def items(self, column: str, modality: str | None = None) -> Items:
        """Images or texts of the rows in which a column is filled in.

        Raises
        ------
        DataError
            If no cell is, or an image is not there.
        """
        cells = self.table.column(column)
        filled = [row for row, cell in enumerate(cells) if not is_missing(cell)]
        if not filled:
            raise DataError(f"column {column!r} of {self.table.path} is blank in every row. Name another column.")
        source = ItemSource(self.table.path, column, table=self.table.take(filled))
        return source.read(modality, id=self.id, root=self.root)
