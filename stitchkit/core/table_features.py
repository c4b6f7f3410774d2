"""Columns of a table as vectors: numbers standardised, categories as codes, gaps as flags."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.escaping import is_unsafe
from stitchkit.core.items import checked_ids
from stitchkit.core.keys import is_missing
from stitchkit.core.number_cells import category_name, cell_number
from stitchkit.core.space import Space
from stitchkit.core.wording import counted

RARE = 3  # training rows a category needs for a code of its own; rarer ones share one with those never seen
MOST_CATEGORIES = 200  # of a column; with more it is a text or a name, no category
LEAST_ROWS = 20  # below which distinct values do not make a column one of names
LARGEST = 1e100  # size of a number that is learnt from or scored; squares of much larger ones overflow
FARTHEST = 10.0  # standard deviations from the training mean as which a farther number is read


@dataclass(frozen=True, slots=True, eq=False)
class TableRows:
    """Rows of a table by id: columns of numbers (NaN where a cell is blank) and of categories.

    A head reads a column as it was in its training rows: categories from the cells as they were written, numbers from
    texts that are numbers.

    Parameters
    ----------
    ids : (n,) str
        Unique.
    columns
        Column name -> (n,) numbers or texts; words for a missing value are blanks.
    cells
        Column name -> (n,) texts that its numbers were read from; of whole numbers and truth values their own by
        default, and of others none.

    Examples
    --------
    >>> rows = TableRows(["a", "b"], {"age": [61, np.nan], "sex": ["f", "unknown"]})
    >>> rows.has_values().tolist()
    [True, False]
    """

    ids: np.ndarray
    columns: Mapping[str, np.ndarray]
    cells: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", checked_ids(self.ids))
        if not self.columns:
            raise InputError("the rows of a table need at least one column; got none. Name the columns to read.")
        held, cells = {}, {}
        for name, values in self.columns.items():
            array = np.asarray(values)
            if array.dtype.kind in "iufb":
                written = self.cells.get(name, array if array.dtype.kind in "iub" else None)
                if written is not None:
                    cells[name] = np.asarray(written).astype(np.str_)
                array = array.astype(np.float64)
            elif array.dtype.kind != "U":
                array = np.asarray(["" if is_missing(one) else str(one) for one in array.tolist()], dtype=np.str_)
            for one in (array, cells.get(name, array)):
                if one.shape != self.ids.shape:
                    raise InputError(
                        f"column {name!r} has shape {one.shape} for {len(self.ids)} ids. Give one cell a row."
                    )
            if array.dtype.kind == "f" and np.isinf(array).any():
                first = str(self.ids[np.isinf(array)][0])
                raise InputError(f"column {name!r} holds infinity, first for item {first!r}. Leave such cells blank.")
            held[name] = array
        object.__setattr__(self, "columns", held)
        object.__setattr__(self, "cells", cells)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"TableRows({counted(len(self), 'row')}: {', '.join(self.columns)})"

    def take(self, rows: np.ndarray) -> TableRows:
        """The rows at positions ``rows`` (k,)."""
        columns, cells = ({name: one[rows] for name, one in part.items()} for part in (self.columns, self.cells))
        return TableRows(self.ids[rows], columns, cells)

    def names(self, column: str) -> list[str]:
        """The n cells of a column as names of categories; blanks are empty."""
        return _names(self.cells.get(column, self.columns[column]))

    def numbers(self, column: str) -> np.ndarray:
        """A column as numbers (n,), each cell read by itself.

        Raises
        ------
        DataError
            Naming the first item whose cell is no number.
        """
        values = self.columns[column]
        if values.dtype.kind == "f":
            return values
        read = [np.nan if is_missing(cell) else cell_number(cell) for cell in values.tolist()]
        for row, number in enumerate(read):
            if number is None or np.isinf(number):
                raise DataError(
                    f"column {column!r} held numbers when the head was fitted, and item {str(self.ids[row])!r} has "
                    f"{str(values[row])!r:.40} there. Write a number, or leave the cell blank."
                )
        return np.asarray(read, dtype=np.float64)

    def has_values(self, columns: Sequence[str] | None = None) -> np.ndarray:
        """True (n,) for rows in which at least one of ``columns`` (default: all) has a value."""
        names = self.columns if columns is None else columns
        return np.any([_has_value(self.columns[name]) for name in names], axis=0)


def _has_value(values: np.ndarray) -> np.ndarray:
    """True (n,) for cells with a value."""
    if values.dtype.kind == "f":
        return ~np.isnan(values)
    return np.asarray([not is_missing(cell) for cell in values.tolist()], dtype=bool)


def _names(values: np.ndarray) -> list[str]:
    """Cells as names of categories; blanks are empty."""
    return ["" if is_missing(cell) else category_name(cell) for cell in values.tolist()]


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers: ``(value - mean) / sd``, 0 for a gap, and a flag for gaps where training rows had some.

    A number more than ten standard deviations away is read as ten: what is that far is another unit, a code for
    unknown or a slip, of which a linear layer would make certainty.

    Parameters
    ----------
    mean, sd
        Statistics of the training rows, in the column's own unit; ``sd`` is above 0.
    flagged
        True if a further feature is 1 for a gap.
    """

    name: str
    mean: float
    sd: float
    flagged: bool

    @property
    def width(self) -> int:
        """Number of features."""
        return 1 + self.flagged

    def features(self, rows: TableRows) -> np.ndarray:
        """Features (n, width) of rows."""
        standard = self._standard(rows)
        gap = np.isnan(standard)
        near = np.where(gap, 0.0, np.clip(standard, -FARTHEST, FARTHEST))
        return np.stack([near, gap.astype(np.float64)], axis=1)[:, : self.width]

    def far(self, rows: TableRows) -> np.ndarray:
        """Positions (k,) of rows whose number is farther away than it is read."""
        return np.flatnonzero(np.abs(self._standard(rows)) > FARTHEST)

    def _standard(self, rows: TableRows) -> np.ndarray:
        with np.errstate(over="ignore"):  # infinity is as far as ten
            return np.asarray((rows.numbers(self.name) - self.mean) / self.sd)


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A column of names: one feature a category.

    Categories that no or few training rows have share the code ``other`` and blanks have a code ``missing``, each only
    where training rows showed it: weights of a code that was never seen would be those of the initialisation.

    Parameters
    ----------
    categories
        Names with a code of their own, sorted.
    other, missing
        True if there is such a code.
    """

    name: str
    categories: tuple[str, ...]
    other: bool
    missing: bool

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.categories) + self.other + self.missing

    def features(self, rows: TableRows) -> np.ndarray:
        """Features (n, width) of rows."""
        place = {name: i for i, name in enumerate(self.categories)}
        codes = np.zeros((len(rows), len(self.categories) + 2))
        other, missing = len(self.categories), len(self.categories) + 1
        for row, name in enumerate(rows.names(self.name)):
            codes[row, missing if not name else place.get(name, other)] = 1.0
        kept = [*range(other), *([other] if self.other else []), *([missing] if self.missing else [])]
        return codes[:, kept]

    def without_code(self, rows: TableRows) -> int:
        """Number of rows with a category that has no code of its own."""
        return sum(bool(name) and name not in self.categories for name in rows.names(self.name))


Column = NumberColumn | CategoryColumn


@dataclass(frozen=True, slots=True)
class TableFeatures:
    """Vectors of the rows of a table, by statistics of the training rows alone.

    Parameters
    ----------
    columns
        The columns in use, in the order of their features.
    dropped
        Columns without information, with the reason.
    """

    columns: tuple[Column, ...]
    dropped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            why = "; ".join(f"{name!r} {reason}" for name, reason in self.dropped)
            raise DataError(f"no column of the table tells rows apart: {why or 'there is none'}. Name other columns.")

    @classmethod
    def fit(cls, rows: TableRows) -> TableFeatures:
        """Features of ``rows``, which must be training rows only.

        Raises
        ------
        DataError
            If no column has two different values.
        InputError
            For a column with too many categories.

        Examples
        --------
        >>> rows = TableRows(list("abcde"), {"age": [60, 70, np.nan, 80, 75], "site": ["x", "x", "x", "y", "y"]})
        >>> TableFeatures.fit(rows)
        TableFeatures(4 features: age (number, with gaps), site (1 code and others))
        """
        fitted: list[Column] = []
        dropped: list[tuple[str, str]] = []
        for name, values in rows.columns.items():
            column, why = _fit_numbers(name, rows) if values.dtype.kind == "f" else _fit_names(name, rows)
            if column is None:
                dropped.append((name, why))
            else:
                fitted.append(column)
        return cls(tuple(fitted), tuple(dropped))

    def __repr__(self) -> str:
        return f"TableFeatures({counted(self.width, 'feature')}: {', '.join(map(_in_words, self.columns))})"

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(one.width for one in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns in use."""
        return tuple(one.name for one in self.columns)

    def space(self, name: str) -> Space:
        """The space of the vectors, known by the fitted statistics."""
        text = json.dumps(self.to_dict()["columns"], sort_keys=True)
        return Space(name, self.width, hashlib.sha256(text.encode()).hexdigest()[:16])

    def vectors(self, rows: TableRows) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (n, width), and True (n,) for rows with at least one value; the others are zeros.

        Raises
        ------
        DataError
            If a column is missing, or one of numbers holds something else.
        """
        for one in self.columns:
            if one.name not in rows.columns:
                raise DataError(
                    f"the table has no column {one.name!r}, by which the head was fitted; it has "
                    f"{', '.join(rows.columns)}. Add the column; its cells may be blank."
                )
        present = rows.has_values(self.names)
        parts = [one.features(rows) for one in self.columns]
        return np.concatenate(parts, axis=1) * present[:, None], present

    def notes(self, rows: TableRows) -> list[str]:
        """Categories among ``rows`` that have no code of their own, and numbers out of all range, counted in words."""
        unseen = ((one.name, one.without_code(rows)) for one in self.columns if isinstance(one, CategoryColumn))
        return [
            f"column {name!r}: {counted(count, 'cell')} with a category that the training rows did not show, or hardly"
            for name, count in unseen
            if count
        ] + self.notes_on_numbers(rows)

    def notes_on_numbers(self, rows: TableRows) -> list[str]:
        """Numbers among ``rows`` that were read as nearer to the training rows' mean than they are, in words."""
        far = ((one, one.far(rows)) for one in self.columns if isinstance(one, NumberColumn))
        return [
            f"column {one.name!r}: {counted(len(some), 'number')} more than {FARTHEST:g} standard deviations from the "
            f"training rows' mean, {one.mean:.4g}, read as {FARTHEST:g}: first item {str(rows.ids[some[0]])!r} with "
            f"{rows.numbers(one.name)[some[0]]:.4g}"
            for one, some in far
            if len(some)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a config."""
        columns = [
            {"kind": "number", "name": one.name, "mean": one.mean, "sd": one.sd, "flagged": one.flagged}
            if isinstance(one, NumberColumn)
            else {"kind": "category", "name": one.name, "categories": list(one.categories), "other": one.other,
                  "missing": one.missing}
            for one in self.columns
        ]  # fmt: skip
        return {"columns": columns, "dropped": [list(one) for one in self.dropped]}


def _fit_numbers(name: str, rows: TableRows) -> tuple[Column | None, str]:
    values = rows.columns[name]
    known = values[~np.isnan(values)]
    if not len(known):
        return None, "is blank in every training row"
    if np.abs(known).max() > LARGEST:
        row = int(np.nanargmax(np.abs(values)))
        raise DataError(
            f"column {name!r} is {values[row]:g} for item {str(rows.ids[row])!r}, which is no measurement. Correct it, "
            f"or leave the cell blank."
        )
    middle = float(known.mean())
    spread = float(known.std())
    if spread <= 1e-12 * max(1.0, abs(middle)):
        if len(known) == len(values):
            return None, f"is {known[0]:g} in every training row"
        spread = 1.0  # the gaps alone may tell
    return NumberColumn(name, middle, spread, bool(len(known) < len(values))), ""


def _fit_names(name: str, rows: TableRows) -> tuple[Column | None, str]:
    counts = Counter(rows.names(name))
    blanks = counts.pop("", 0)
    if not counts:
        return None, "is blank in every training row"
    if len(counts) == 1 and not blanks:
        return None, f"is {next(iter(counts))!r} in every training row"
    if len(counts) > MOST_CATEGORIES:
        raise InputError(
            f"column {name!r} holds {len(counts)} different texts in {len(rows)} rows; a column of categories has at "
            f"most {MOST_CATEGORIES}. Leave it out, or read it as text with an encoder."
        )
    if odd := next((one for one in counts if any(map(is_unsafe, one))), None):
        raise InputError(f"column {name!r} has a category with control or invisible characters: {odd!r}. Rename it.")
    own = tuple(sorted(one for one, count in counts.items() if count >= RARE))
    rare = len(own) < len(counts)
    column = CategoryColumn(name, own, other=rare, missing=bool(blanks))
    return column, ""


def _in_words(column: Column) -> str:
    if isinstance(column, NumberColumn):
        return f"{column.name} (number{', with gaps' if column.flagged else ''})"
    further = [word for word, there in (("others", column.other), ("blanks", column.missing)) if there]
    return f"{column.name} ({' and '.join([counted(len(column.categories), 'code'), *further])})"
