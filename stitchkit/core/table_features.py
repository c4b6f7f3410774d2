"""Columns of a table as vectors: numbers standardised, categories as codes, gaps as flags."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.escaping import is_unsafe
from stitchkit.core.items import checked_ids
from stitchkit.core.keys import is_missing
from stitchkit.core.space import Space
from stitchkit.core.wording import counted

NUMBER = re.compile(r"(0|[1-9][0-9]*)\.[0-9]+")  # a number whose last zeros say nothing; codes are left as they are
RARE = 3  # training rows a category needs for a code of its own; rarer ones share one with those never seen
MOST_CATEGORIES = 200  # of a column; with more it is a text or a name, no category
LEAST_ROWS = 20  # below which distinct values do not make a column one of names


@dataclass(frozen=True, slots=True, eq=False)
class TableRows:
    """Rows of a table by id: columns of numbers (NaN where a cell is blank) and of names.

    Parameters
    ----------
    ids : (n,) str
        Unique.
    columns
        Column name -> (n,) numbers or texts; words for a missing value are blanks.

    Examples
    --------
    >>> rows = TableRows(["a", "b"], {"age": [61, np.nan], "sex": ["f", "unknown"]})
    >>> rows.has_values().tolist()
    [True, False]
    """

    ids: np.ndarray
    columns: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", checked_ids(self.ids))
        if not self.columns:
            raise InputError("the rows of a table need at least one column; got none. Name the columns to read.")
        held = {}
        for name, values in self.columns.items():
            array = np.asarray(values)
            if array.dtype.kind in "iufb":
                array = array.astype(np.float64)
            elif array.dtype.kind != "U":
                array = np.asarray(["" if is_missing(one) else str(one) for one in array.tolist()], dtype=np.str_)
            if array.shape != self.ids.shape:
                raise InputError(
                    f"column {name!r} has shape {array.shape} for {len(self.ids)} ids. Give one cell a row."
                )
            if array.dtype.kind == "f" and np.isinf(array).any():
                raise InputError(f"column {name!r} holds infinity. Leave such cells blank.")
            held[name] = array
        object.__setattr__(self, "columns", held)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"TableRows({counted(len(self), 'row')}: {', '.join(self.columns)})"

    def take(self, rows: np.ndarray) -> TableRows:
        """The rows at positions ``rows`` (k,)."""
        return TableRows(self.ids[rows], {name: values[rows] for name, values in self.columns.items()})

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
    """Cells as names of categories: 1, 1.0 and "1" are one; blanks are empty."""
    if values.dtype.kind == "f":
        return ["" if np.isnan(one) else f"{one:.15g}" for one in values.tolist()]
    return ["" if is_missing(cell) else _plain_name(cell) for cell in values.tolist()]


def _plain_name(cell: str) -> str:
    """A cell without spaces at its ends, and of a number without zeros behind the point; codes stay as they are."""
    text = " ".join(cell.split())
    return text.rstrip("0").rstrip(".") if NUMBER.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers: ``(value - mean) / sd``, 0 for a gap, and a flag for gaps where training rows had some.

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

    def features(self, values: np.ndarray) -> np.ndarray:
        """Features (n, width) of cells (n,)."""
        if values.dtype.kind != "f":
            odd = next((cell for cell in values.tolist() if not is_missing(cell)), None)
            if odd is not None:
                raise DataError(
                    f"column {self.name!r} held numbers when the head was fitted, and holds other cells now. Write "
                    f"numbers, or leave the cells blank."
                )
            values = np.full(len(values), np.nan)
        gap = np.isnan(values)
        standard = np.where(gap, 0.0, (values - self.mean) / self.sd)
        return np.stack([standard, gap.astype(np.float64)], axis=1)[:, : self.width]


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

    def features(self, values: np.ndarray) -> np.ndarray:
        """Features (n, width) of cells (n,)."""
        place = {name: i for i, name in enumerate(self.categories)}
        codes = np.zeros((len(values), len(self.categories) + 2))
        other, missing = len(self.categories), len(self.categories) + 1
        for row, name in enumerate(_names(values)):
            codes[row, missing if not name else place.get(name, other)] = 1.0
        kept = [*range(other), *([other] if self.other else []), *([missing] if self.missing else [])]
        return codes[:, kept]

    def without_code(self, values: np.ndarray) -> int:
        """Number of cells (n,) with a category that has no code of its own."""
        return sum(bool(name) and name not in self.categories for name in _names(values))


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
            column, why = _fit_numbers(name, values) if values.dtype.kind == "f" else _fit_names(name, values)
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
        parts = [one.features(rows.columns[one.name]) for one in self.columns]
        return np.concatenate(parts, axis=1) * present[:, None], present

    def notes(self, rows: TableRows) -> list[str]:
        """Categories among ``rows`` that have no code of their own, counted in words."""
        unseen = ((one.name, one.without_code(rows.columns[one.name])) for one in self.columns
                  if isinstance(one, CategoryColumn))  # fmt: skip
        return [
            f"column {name!r}: {counted(count, 'cell')} with a category that the training rows did not show, or hardly"
            for name, count in unseen
            if count
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


def _fit_numbers(name: str, values: np.ndarray) -> tuple[Column | None, str]:
    known = values[~np.isnan(values)]
    if not len(known):
        return None, "is blank in every training row"
    middle = float(known.mean())
    spread = float(known.std())
    if spread <= 1e-12 * max(1.0, abs(middle)):
        if len(known) == len(values):
            return None, f"is {known[0]:g} in every training row"
        spread = 1.0  # the gaps alone may tell
    return NumberColumn(name, middle, spread, bool(len(known) < len(values))), ""


def _fit_names(name: str, values: np.ndarray) -> tuple[Column | None, str]:
    counts = Counter(_names(values))
    blanks = counts.pop("", 0)
    if not counts:
        return None, "is blank in every training row"
    if len(counts) == 1 and not blanks:
        return None, f"is {next(iter(counts))!r} in every training row"
    if len(counts) > MOST_CATEGORIES:
        raise InputError(
            f"column {name!r} holds {len(counts)} different texts in {len(values)} rows; a column of categories has at "
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
