"""Columns of a table that name the rows or tell the label, reasons before a head is fitted on them."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from stitchkit.core.errors import LeakageError
from stitchkit.core.keys import is_missing
from stitchkit.core.scores import Labels
from stitchkit.core.table_features import LEAST_ROWS, TableRows
from stitchkit.core.wording import counted, setting

LEAST_REPEATS = 2.0  # rows a value has on average, from which on "every value has one label" is no accident
LEAST_OF_KIND = 5  # rows of each label, for the same reason
FEW_NUMBERS = 10  # different whole numbers of a column, up to which they may be codes


def suspicious_columns(rows: TableRows, labels: Labels) -> dict[str, str]:
    """Columns that name rows or patients, or tell the label of every row, with the reason in words.

    Parameters
    ----------
    rows
        Rows of the table, as a head would be fitted on them.
    labels
        Labels, with patients where these are known; of other ids than the rows' they are ignored.

    Examples
    --------
    >>> ids = [f"r{i}" for i in range(40)]
    >>> truth = (np.arange(40) % 3 == 0).astype(float)
    >>> rows = TableRows(ids, {"case": [f"c{i}" for i in range(40)], "biopsy": np.where(truth == 1, "mel", "nev")})
    >>> list(suspicious_columns(rows, Labels(truth[:, None], ids, ("melanoma",))))
    ['case', 'biopsy']
    """
    place = {name: row for row, name in enumerate(labels.ids.tolist())}
    matched = [(row, place[name]) for row, name in enumerate(rows.ids.tolist()) if name in place]
    here = np.asarray([row for row, _ in matched], dtype=np.int64)
    there = np.asarray([row for _, row in matched], dtype=np.int64)
    truth = labels.values[there]
    groups = None if labels.groups is None else labels.groups[there]
    reasons = {}
    for name, values in rows.columns.items():
        why = _of_names(values) or _of_patients(values[here], groups) or _of_labels(values[here], truth, labels.classes)
        if why:
            reasons[name] = why
    return reasons


def check_columns(rows: TableRows, labels: Labels, *, allow: bool = False) -> list[str]:
    """Notes on columns that name rows or tell the label; an error that names them unless ``allow``.

    Raises
    ------
    LeakageError
        Naming the columns and the reasons.
    """
    reasons = [f"column {name!r} {why}" for name, why in suspicious_columns(rows, labels).items()]
    if reasons and not allow:
        raise LeakageError(
            "; ".join(reasons) + ". Leave "
            + ("it" if len(reasons) == 1 else "them")
            + " out, or pass " + setting("allow_leakage", True) + " if that is known before the diagnosis is."
        )  # fmt: skip
    return [f"LEAKAGE: {one}" for one in reasons]


def notes_on_codes(rows: TableRows) -> list[str]:
    """Notes on columns of three to ten different whole numbers, which may be codes of categories.

    Examples
    --------
    >>> rows = TableRows(list("abcdef"), {"scanner": [1, 2, 3, 3, 2, 1], "age": [61, 58.5, 70, 44, 39, 80]})
    >>> notes_on_codes(rows)
    ["column 'scanner' holds 3 different whole numbers, read as numbers: name it a category if they are codes"]
    """
    notes = []
    for name, values in rows.columns.items():
        known = set(_cells(values)) - {None} if values.dtype.kind == "f" else set()
        if 3 <= len(known) <= FEW_NUMBERS and all(float(one).is_integer() for one in known):  # type: ignore[arg-type]
            notes.append(
                f"column {name!r} holds {len(known)} different whole numbers, read as numbers: name it a "
                f"category if they are codes"
            )
    return notes


def _cells(values: np.ndarray) -> list[object]:
    if values.dtype.kind == "f":
        return [None if np.isnan(one) else one for one in values.tolist()]
    return [None if is_missing(one) else one for one in values.tolist()]


def _of_names(values: np.ndarray) -> str:
    """The reason to take a column for ids: texts or whole numbers, each there once."""
    known = [one for one in _cells(values) if one is not None]
    if len(known) < LEAST_ROWS or len(set(known)) < len(known):
        return ""
    if _are_measurements(values):
        return ""
    return f"has a different value in each of {counted(len(known), 'row')}, as ids have"


def _are_measurements(values: np.ndarray) -> bool:
    """True for numbers that are not all whole: no names, though they are often all different."""
    return values.dtype.kind == "f" and bool((values % 1 > 0).any())


def _of_patients(values: np.ndarray, groups: np.ndarray | None) -> str:
    """The reason to take a column for names of patients: one value a patient, and one patient a value."""
    if groups is None or _are_measurements(values):
        return ""
    pairs = {(cell, group) for cell, group in zip(_cells(values), groups.tolist(), strict=True) if cell is not None}
    cells, people = {cell for cell, _ in pairs}, {group for _, group in pairs}
    if len(people) < LEAST_ROWS or not len(pairs) == len(cells) == len(people):
        return ""
    return f"has one value for each of {counted(len(people), 'patient')}, as their names have"


def _of_labels(values: np.ndarray, truth: np.ndarray, classes: tuple[str, ...]) -> str:
    """The reason to take a column for labels: each value has one label, and values are repeated."""
    cells = _cells(values)
    for label, target in [("the label", truth), *((repr(one), truth[:, [c]]) for c, one in enumerate(classes))]:
        labels_of: dict[object, set[tuple[float, ...]]] = defaultdict(set)
        count: Counter[tuple[float, ...]] = Counter()
        for cell, row in zip(cells, target.tolist(), strict=True):
            if cell is not None and not any(one != one for one in row):
                labels_of[cell].add(tuple(row))
                count[tuple(row)] += 1
        rows = count.total()
        if len(count) < 2 or rows < LEAST_ROWS or any(len(one) > 1 for one in labels_of.values()):
            continue
        values_of = Counter(row for one in labels_of.values() for row in one)
        if all(count[row] >= max(LEAST_OF_KIND, LEAST_REPEATS * values_of[row]) for row in count):
            return f"tells {label} of each of {counted(rows, 'row')} in which it is filled in"
    return ""
