"""Labels from tables: 0, 1, blank and the uncertain -1 of radiology labellers, or one column of class names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.keys import is_missing
from stitchkit.core.number_cells import (
    cell_number,
    comma_number_of,
    have_decimal_commas,
    is_code,
    may_be_thousands,
    number_of,
)
from stitchkit.core.scores import Labels
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.class_names import folded_class, spellings_of_one_class
from stitchkit.datasets.rows import groups_of, ids_of, read_rows
from stitchkit.datasets.string_tables import Table

UNCERTAIN = {"ignore": np.nan, "positive": 1.0, "negative": 0.0, "error": -1.0}
ALLOWED = "Labels are 1, 0, -1 (uncertain), True, False or blank"
_WORDS = {"true": 1.0, "false": 0.0}


def read_labels(
    path: str | Path | Any,
    *,
    classes: Sequence[str] | None = None,
    label: str | None = None,
    id: str | None = None,
    groups: str | None = None,
    columns: Sequence[str] = (),
    uncertain: str = "error",
) -> Labels:
    """Labels of n items and c classes from a table with one item a row.

    Parameters
    ----------
    path
        The table: CSV, TSV or JSON lines in UTF-8, ``.parquet``, or a data frame of pandas, polars or pyarrow.
    classes
        Columns to read as classes, each cell 1 (present), 0 (absent), -1 (uncertain) or blank (not known);
        ``true`` and ``false`` are labels too, and a word for a missing value such as ``NA`` is a blank.
        Default: every column that holds nothing else and is not all blank. With ``label``: the class names and
        their order; default all that occur, sorted.
    label
        Instead of one column per class: the one column that names each item's only class.
    id
        Column of unique ids. Default: ``id`` if there is one, else ``path``.
    groups
        Column of the patient of each item. Default: ``patient`` or ``patient_id`` if there is one.
    columns
        Further columns to carry along (age, view, ...): float64 where every cell is a number or blank (NaN), else str;
        zeros in front, or more than 15 digits, make a column one of codes, with a warning.
        Decimal commas (``46,0``) are read as numbers where every cell is of that form or a whole number, with a
        warning, as are labels; ``1,234`` may be thousands and is not. A column of numbers with a few other cells is
        named in a warning.
    uncertain
        Meaning of -1: ``"ignore"`` (not known), ``"positive"``, ``"negative"``, or ``"error"`` to refuse it until
        a policy is stated.

    Returns
    -------
    Labels
        Values (n, c) of 0, 1 and NaN.

    Raises
    ------
    DataError
        For a table that cannot be read, a missing column (the nearest are listed), a repeated id, or a cell that
        is no label, with row and column. Without ``classes``, for class names that differ in spelling only
        (:func:`stitchkit.datasets.class_names.folded_class`), with a row of each.
    UnknownNameError
        For a policy that does not exist.
    """
    if uncertain not in UNCERTAIN:
        raise UnknownNameError.of("policy for uncertain labels", uncertain, UNCERTAIN)
    table = read_rows(path)
    ids = ids_of(table, id, table.first_of("path"))
    patients = groups_of(table, groups)
    further = {name: plain_column(table, name) for name in columns}
    if label is not None:
        names, values = _one_hot(table, label, classes)
    else:
        taken = {id, groups, "id", "path", "patient", "patient_id", *columns}
        names = _label_columns(table, taken) if classes is None else tuple(classes)
        if not names:
            raise DataError(f"no class was asked of {table.path}. Name at least one, or leave classes out.")
        values = np.stack([_binary(table, name, uncertain) for name in names], axis=1)
        _tell_of_commas(table, names)
    return Labels(values, ids, names, patients, further)


def label_value(cell: str) -> float | None:
    """1, 0, -1 or NaN for a cell that is a label, None for anything else."""
    if is_missing(cell):
        return np.nan
    if cell.lower() in _WORDS:
        return _WORDS[cell.lower()]
    number = number_of(cell)
    return number if number in (-1.0, 0.0, 1.0) else None


def _label(cell: str) -> float | None:
    """As :func:`label_value`, with decimal commas such as ``1,0`` too."""
    number = comma_number_of(cell)
    return label_value(cell) if number is None else number if number in (-1.0, 0.0, 1.0) else None


def _binary(table: Table, name: str, uncertain: str) -> np.ndarray:
    """One class's labels (n,)."""
    values = np.empty(len(table))
    for position, cell in enumerate(table.column(name)):
        value = _label(cell)
        if value is None:
            raise table.fault(position, name, f"the cell is no label. {ALLOWED}: write these instead of other words")
        if value == -1.0 and uncertain == "error":
            raise table.fault(
                position, name, "the label is -1 (uncertain). State what that means: " + setting("uncertain", "ignore")
                + ", 'positive' or 'negative'",
            )  # fmt: skip
        values[position] = UNCERTAIN[uncertain] if value == -1.0 else value
    return values


def _label_columns(table: Table, taken: set[str | None]) -> tuple[str, ...]:
    """The columns that hold labels and nothing else."""
    columns, passed = [], []
    for name in table.columns:
        if name in taken or not name:
            continue
        cells = [cell for cell in table.column(name) if not is_missing(cell)]
        odd = [cell for cell in cells if _label(cell) is None]
        if cells and not odd:
            columns.append(name)
        elif _are_slips(cells, odd):
            raise table.fault(
                table.column(name).index(odd[0]), name, f"the cell is no label but stands among labels. {ALLOWED}: "
                "correct it, or name the columns to read with " + setting("classes"),
            )  # fmt: skip
        elif odd and _is_mostly_labels(cells, odd):
            passed.append(name)
    if passed:
        warnings.warn(
            f"the columns {', '.join(map(repr, passed))} of {table.path} hold 0 and 1 and other numbers: they were not "
            f"read as classes. Name the columns with " + setting("classes") + " to be sure.",
            stacklevel=3,
        )
    if not columns:
        hint = (
            " Column 'label' may name classes: pass " + setting("label", "label") + "."
            if "label" in table.columns
            else ""
        )
        raise DataError(
            f"no column of {table.path} holds only labels. {ALLOWED}: write these instead of other words, or name the "
            "columns with " + setting("classes") + "." + hint
        )
    if spellings := spellings_of_one_class(columns):
        raise DataError(
            f"the columns {', '.join(map(repr, spellings))} of {table.path} differ in spelling only. Keep one of them, "
            "or name the columns to read with " + setting("classes") + " if these are different classes."
        )
    return tuple(columns)


def _are_slips(cells: Sequence[str], odd: Sequence[str]) -> bool:
    """True if a column of labels with ``odd`` cells among them must not be left out.

    Not where most cells are no labels, in a column of distinct numbers such as an index, and in one that counts: 0, 1,
    and often 2 or more.
    """
    values = {cell_number(cell) for cell in odd}
    if None in values and _has_labels(cells, odd):
        return 2 * len(odd) < len(cells)
    if not _is_mostly_labels(cells, odd):
        return False
    if len(odd) <= max(1, 0.1 * len(cells)):
        return True
    return len(values) <= 2 and 2.0 not in values  # a code for unknown, such as 9


def _has_labels(cells: Sequence[str], odd: Sequence[str]) -> bool:
    return bool({_label(cell) for cell in cells} & {0.0, 1.0}) and 2 * len(odd) <= len(cells)


def _is_mostly_labels(cells: Sequence[str], odd: Sequence[str]) -> bool:
    """True if 0 and 1 are at least half of the cells, and these are no index."""
    return _has_labels(cells, odd) and len(set(cells)) < len(cells)


def _one_hot(table: Table, label: str, classes: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names and labels (n, c) from one column of class names; a blank cell is a row of NaN."""
    cells = table.column(label)
    # a class that the caller names is a class, even one called "None"
    names = tuple(sorted({cell for cell in cells if not is_missing(cell)})) if classes is None else tuple(classes)
    words = sorted({cell for cell in cells if cell and cell not in names and is_missing(cell)})
    if words:
        count = sum(cell in words for cell in cells)
        warnings.warn(
            f"{counted(count, 'cell')} of column {label!r} of {table.path} {'holds' if count == 1 else 'hold'} "
            f"{', '.join(map(repr, words))} and were taken for "
            f"missing. If that is a class, name all classes with " + setting("classes") + ".",
            stacklevel=3,
        )
    cells = tuple("" if cell not in names and is_missing(cell) else cell for cell in cells)
    if classes is None:
        _check_spellings(table, label, names)
    if not names:
        raise DataError(f"column {label!r} of {table.path} names no class. Fill it in, or name another column.")
    for position, cell in enumerate(cells):
        if cell and cell not in names:
            if (meant := _meant(cell, names)) is not None:
                raise table.fault(
                    position, label, f"the cell is {cell!r}, another spelling of the class {meant!r}. Write one "
                    f"spelling, or name both with " + setting("classes") + " if they are two classes",
                )  # fmt: skip
            raise table.fault(position, label, f"the cell is none of the classes {', '.join(names[:8])}")
    values = np.asarray([[float(cell == name) if cell else np.nan for name in names] for cell in cells])
    return names, values


def _meant(cell: str, names: Sequence[str]) -> str | None:
    """The class that a cell spells in another way."""
    folded = folded_class(cell)
    return next((name for name in names if folded_class(name) == folded), None)


def _check_spellings(table: Table, label: str, names: Sequence[str]) -> None:
    """Refuse a column of class names in which one class has several spellings."""
    spellings = spellings_of_one_class(names)
    if spellings:
        cells = table.column(label)
        rows = [f"{name!r} (row {table.numbers[cells.index(name)]})" for name in spellings[:8]]
        raise DataError(
            f"column {label!r} of {table.path} spells one class in {len(spellings)} ways: {', '.join(rows)}. As "
            f"separate classes, the items of one would be negatives of the others. Write one spelling, or name all "
            f"classes with " + setting("classes") + " if these are different ones."
        )


def plain_column(table: Table, name: str) -> np.ndarray:
    """A column as float64 where every cell is a number or blank, else as str; codes such as 01 are no numbers."""
    cells = table.column(name)
    known = [cell for cell in cells if not is_missing(cell)]
    commas = have_decimal_commas(known)
    numbers = [np.nan if is_missing(cell) else cell_number(cell) if commas else number_of(cell) for cell in cells]
    if commas:
        _tell(
            f"column {name!r} of {table.path} has decimal commas: {counted(len(known), 'cell')} such as 46,0 "
            f"{'was' if len(known) == 1 else 'were'} read as numbers."
        )
    if any(number is None for number in numbers):
        _tell_of_mixture(table, name, known)
        return np.asarray(cells, dtype=np.str_)
    if codes := [cell for cell in known if is_code(cell)]:
        _tell(
            f"column {name!r} of {table.path} holds codes in {len(codes)} of {len(known)} rows, the first is row "
            f"{table.numbers[cells.index(codes[0])]}: zeros stand in front, or there are more than 15 digits. All of "
            f"it was read as categories; write numbers without zeros in front."
        )
        return np.asarray(cells, dtype=np.str_)
    return np.asarray(numbers, dtype=np.float64)


def _tell_of_mixture(table: Table, name: str, known: Sequence[str]) -> None:
    """A warning for a column that is mostly numbers, or would be with one meaning of its commas."""
    points, commas = (
        {cell for cell in known if read(cell) is not None} for read in (number_of, comma_number_of)
    )  # fmt: skip
    whole = {cell for cell in points if cell.lstrip("+-").isdecimal()}
    usual = points if sum(cell in points - whole for cell in known) >= sum(cell in commas for cell in known) else commas
    odd = [cell for cell in known if cell not in usual | whole]
    doubtful = [cell for cell in odd if may_be_thousands(cell)]
    if 2 * (len(known) - len(odd) + len(doubtful)) <= len(known):
        return
    first = (doubtful or odd)[0]
    why = "its comma may be decimal or of thousands" if doubtful else "the cell is no number like the others"
    _tell(
        f"column {name!r} of {table.path} holds numbers, but in {len(odd)} of {len(known)} rows not, the first is row "
        f"{table.numbers[table.column(name).index(first)]}: {why}. All of it was read as categories; write numbers "
        f"with a point, or leave the cells blank."
    )


def _tell_of_commas(table: Table, names: Sequence[str]) -> None:
    """A warning for labels with decimal commas."""
    columns = [name for name in names if any(comma_number_of(cell) is not None for cell in table.column(name))]
    if columns:
        _tell(
            f"labels of {table.path} have decimal commas in {counted(len(columns), 'column')}: 1,0 was read as 1 "
            f"and 0,0 as 0."
        )


def _tell(message: str) -> None:
    warnings.warn(message, stacklevel=4)
