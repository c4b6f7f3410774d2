"""Data frames and Parquet files as tables of strings, the form in which every reader of tables takes them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stitchkit.core.errors import DataError, MissingExtraError
from stitchkit.core.wording import counted
from stitchkit.datasets.string_tables import BINARY, Table, check_column_names
from stitchkit.storage.path_checks import checked_file

FRAME = Path("data frame")  # name of a data frame in messages; its image paths are relative to the working folder
_MISSING = {"NAType", "NaTType"}  # classes of pandas' missing values, of which == is no bool


def is_frame(source: Any) -> bool:
    """True for a data frame of pandas or polars, or a table of pyarrow."""
    return hasattr(source, "column_names") or (hasattr(source, "columns") and hasattr(source, "__getitem__"))


def table_of_frame(frame: Any) -> Table:
    """A data frame as a table of strings.

    Parameters
    ----------
    frame
        A data frame of pandas or polars, or a table of pyarrow. A named index of pandas is a column; whole floats are
        written without a point, since pandas makes floats of a column of integers with gaps; NaN and None are blank.

    Raises
    ------
    DataError
        For a frame without rows, and for names of columns that are no texts or stand twice.
    """
    if hasattr(frame, "column_names"):
        names = list(frame.column_names)
        columns = [frame.column(place).to_pylist() for place in range(len(names))]
    else:
        if hasattr(frame, "reset_index"):
            _header(FRAME, [name for name in frame.index.names if name is not None])
            named = [name for name in frame.index.names if name is not None and name not in frame.columns]
            frame = frame.reset_index(level=named) if named else frame
        names = list(frame.columns)
        _header(FRAME, names)  # of two columns of one name pandas gives both for either
        columns = [_values(frame[name]) for name in names]
    return _table(FRAME, names, columns)


def read_parquet(path: Path) -> Table:
    """A Parquet file as a table of strings, its rows counted from 1.

    Raises
    ------
    DataError
        If the file is missing or damaged, or has no rows.
    MissingExtraError
        Without pyarrow.
    """
    table = read_arrow(path)
    names = list(table.column_names)
    return _table(path, names, [table.column(place).to_pylist() for place in range(len(names))])


def parquet_columns(path: Path) -> list[str]:
    """The names of the columns of a Parquet file, whose rows are not read; errors as in :func:`read_parquet`."""
    return list(_read(path, "read_schema").names)


def read_arrow(path: Path) -> Any:
    """The pyarrow table in a Parquet file; errors as in :func:`read_parquet`."""
    return _read(path, "read_table")


def _read(path: Path, reader: str) -> Any:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            f"pyarrow cannot be imported: {error}. Install it: pip install 'stitchkit[parquet]'."
        ) from error
    path = Path(checked_file(path, "a Parquet file"))
    if not path.exists():
        raise DataError(f"there is no file {path}. Check the path.")
    try:
        return getattr(parquet, reader)(path)
    except (arrow.ArrowException, OSError) as error:
        first = str(error).splitlines()[0].rpartition("': ")[2].rstrip(".")  # without the path, which is said
        raise DataError(f"{path} is no Parquet file that can be read: {first}. Save it again.") from error


def _values(column: Any) -> list[Any]:
    return list(column.to_list() if hasattr(column, "to_list") else column)


def _header(path: Path, names: Sequence[Any]) -> tuple[str, ...]:
    """The names of the columns, without blanks around them, if they are texts and no two are one."""
    for name in names:
        if not isinstance(name, str | int):
            raise DataError(f"{path} has a column called {name!r}. Names of columns are texts.")
    return check_column_names(path, tuple(str(name).strip() for name in names))


def _table(path: Path, names: Sequence[Any], columns: Sequence[Sequence[Any]]) -> Table:
    header = _header(path, names)
    if not header or not len(columns[0]):
        raise DataError(f"{path} has {counted(len(header), 'column')} and no rows. Give the table with its rows.")
    cells = tuple(zip(*([cell_of(one) for one in column] for column in columns), strict=True))
    return Table(path, header, cells, tuple(range(1, len(cells) + 1)), is_file=path is not FRAME)


def cell_of(value: Any) -> str:
    """A value as the cell of a table; lists and objects as JSON."""
    if value is None or type(value).__name__ in _MISSING:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float):
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, bytes):  # as Parquet has texts without a declared type
        try:
            return value.decode("utf-8").strip()
        except UnicodeDecodeError:
            return BINARY
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=lambda one: BINARY if isinstance(one, bytes) else str(one))
    return str(value).strip()
