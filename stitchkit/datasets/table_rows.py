"""A table with holes: its columns as items for encoders, and as numbers and names for a fused head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.items import Items
from stitchkit.core.keys import is_missing
from stitchkit.core.table_features import TableRows
from stitchkit.datasets.labels import plain_column
from stitchkit.datasets.rows import ids_of, read_rows
from stitchkit.datasets.string_tables import Table
from stitchkit.datasets.tables import ItemSource


def read_table_rows(path: str | Path | Any, columns: Sequence[str], *, id: str | None = None) -> TableRows:
    """Columns of a table by id, for :func:`stitchkit.fuse` and the heads that it makes.

    Parameters
    ----------
    path
        The table: CSV, TSV or JSON lines in UTF-8, ``.parquet``, or a data frame of pandas, polars or pyarrow.
    columns
        Columns to read: numbers where every cell is a number or blank, else names. Words for a missing value, such as
        ``NA`` or ``unknown``, are blanks.
    id
        Column of unique ids. Default: ``id`` if there is one, else ``path``.

    Returns
    -------
    TableRows

    Raises
    ------
    DataError
        For a table that cannot be read, a missing column (the nearest are listed), or a repeated id.
    """
    return ItemTable.of(path, id).rows(columns)


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
        return cls(table, ids_of(table, column, None), column, root)

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, column: str) -> bool:
        """True if there is such a column."""
        return column in self.table.places

    def rows(self, columns: Sequence[str]) -> TableRows:
        """Columns as numbers and names."""
        return TableRows(self.ids, {name: plain_column(self.table, name) for name in columns})

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
