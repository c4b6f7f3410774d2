"""Labels of published tables: columns of 1, 0, -1 and blanks, and lists of terms, under stated policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stitchkit.core.errors import UnknownNameError
from stitchkit.core.keys import is_missing
from stitchkit.core.wording import setting
from stitchkit.datasets.labels import ALLOWED, UNCERTAIN, label_value
from stitchkit.datasets.layouts.published import names_of
from stitchkit.datasets.string_tables import Table

BLANK = {"unknown": np.nan, "negative": 0.0}

Terms = frozenset[str]  # of one item, folded
Classes = Sequence[str] | Mapping[str, Sequence[str]]


def checked_uncertain(uncertain: str) -> str:
    """``uncertain`` if it is a policy there is."""
    if uncertain not in UNCERTAIN:
        raise UnknownNameError.of("policy for uncertain labels", uncertain, UNCERTAIN)
    return uncertain


def checked_blank(blank: str) -> str:
    """``blank`` if it is a policy there is."""
    if blank not in BLANK:
        raise UnknownNameError.of("policy for blank labels", blank, BLANK)
    return blank


def numeric_labels(table: Table, columns: Sequence[str], uncertain: str, blank: str) -> tuple[np.ndarray, int]:
    """Labels (n, c) of c columns of 1, 0, -1 and blanks, and how many of them were -1.

    Parameters
    ----------
    uncertain
        Meaning of -1: a key of ``UNCERTAIN``.
    blank
        Meaning of an empty cell: a key of ``BLANK``.

    Raises
    ------
    DataError
        For a cell that is no label, or a -1 without a policy, with row and column.
    """
    empty, policy = BLANK[checked_blank(blank)], UNCERTAIN[checked_uncertain(uncertain)]
    values = np.empty((len(table), len(columns)))
    for place, name in enumerate(columns):
        cells = table.column(name)
        spelled = {cell: label_value(cell) for cell in set(cells)}
        codes = [spelled[cell] for cell in cells]
        if None in codes:
            raise table.fault(codes.index(None), name, f"the cell is no label. {ALLOWED}")
        values[:, place] = codes
    values[np.isnan(values)] = empty
    doubtful = values == -1.0
    if doubtful.any() and uncertain == "error":
        row, place = (int(first) for first in np.argwhere(doubtful)[0])
        raise table.fault(
            row, columns[place], f"the label is -1 (uncertain; {doubtful.sum()} labels are). State what that means: "
            + setting("uncertain", "ignore") + ", 'positive' or 'negative'",
        )  # fmt: skip
    values[doubtful] = policy
    return values, int(doubtful.sum())


def one_hot_labels(table: Table, column: str, classes: Sequence[str]) -> np.ndarray:
    """Labels (n, c) of a column that names one class a row: 1 for it, 0 for the others.

    Raises
    ------
    DataError
        For a cell that is none of ``classes``, with row and column.
    """
    place = {name: number for number, name in enumerate(classes)}
    cells = table.filled_column(column)
    odd = next((row for row, cell in enumerate(cells) if cell not in place), None)
    if odd is not None:
        raise table.fault(odd, column, f"the cell is none of {', '.join(classes)}. Take the table as published")
    return np.eye(len(classes))[[place[cell] for cell in cells]]


def fold_term(term: str) -> str:
    """A term without regard to case and white space.

    Examples
    --------
    >>> fold_term(" Pleural  Effusion ")
    'pleural effusion'
    """
    return " ".join(term.split()).casefold()


def term_labels(
    terms: Sequence[Sequence[str]], classes: Classes | None, silent: Terms
) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names and labels (n, c) from the terms each item is given.

    A class is present where one of its terms stands, absent where only others do, and not known (NaN) where an item
    has no term, or none but ``silent`` ones, which say nothing about findings.

    Parameters
    ----------
    terms
        The terms of each of n items.
    classes
        Terms that are classes; or class name -> terms that mean it. None: every term that occurs, sorted.
    silent
        Folded terms.

    Examples
    --------
    >>> term_labels([["a", "b"], ["B "], ["unchanged"], []], ["b", "c"], frozenset({"unchanged"}))[1].tolist()
    [[1.0, 0.0], [1.0, 0.0], [nan, nan], [nan, nan]]
    """
    sets = [frozenset(fold_term(term) for term in some) - {""} for some in terms]
    spoken = [term for term in _spellings(terms) if fold_term(term) not in silent]
    meant = _meanings(spoken if classes is None else classes)
    classes_of: dict[str, list[int]] = {}
    for place, words in enumerate(meant.values()):
        for word in words:
            classes_of.setdefault(word, []).append(place)
    values = np.zeros((len(sets), len(meant)))
    for row, some in enumerate(sets):
        values[row, [place for term in some for place in classes_of.get(term, ())]] = 1.0
    values[[not some - silent for some in sets]] = np.nan
    return tuple(meant), values


def checked_terms(terms: Sequence[Sequence[str]], classes: Classes | None, where: str) -> None:
    """Refuse a class none of whose terms occurs among the terms of the items; ``where`` says what those come from."""
    there = _spellings(terms)
    known = {fold_term(term) for term in there}
    for name, words in _meanings(classes or ()).items():
        if not words & known:
            raise UnknownNameError.of(f"term of {where}", name, there)


def _spellings(terms: Sequence[Sequence[str]]) -> list[str]:
    """All terms that occur, in one spelling each, sorted."""
    return sorted({fold_term(term): " ".join(term.split()) for some in terms for term in some if term.strip()}.values())


def _meanings(classes: Classes) -> dict[str, Terms]:
    """Class name -> folded terms."""
    if isinstance(classes, Mapping):
        return {name: frozenset(fold_term(word) for word in names_of(words)) for name, words in classes.items()}
    return {name: frozenset([fold_term(name)]) for name in classes}


def typed_column(cells: Sequence[str]) -> np.ndarray:
    """A column (n,) as float64 where every cell is a number or blank (NaN), else as str.

    Examples
    --------
    >>> typed_column(["61", "", "45.5"]).tolist(), typed_column(["AP", "1"]).tolist()
    ([61.0, nan, 45.5], ['AP', '1'])
    """
    try:
        return np.asarray([np.nan if is_missing(cell) else float(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        return np.asarray(cells, dtype=np.str_)


def numbers(cells: Sequence[str]) -> np.ndarray:
    """A column (n,) as float64; what is no number is NaN."""
    return np.asarray([_number(cell) for cell in cells], dtype=np.float64)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
