"""A cohort as one table: an item a row, for everything that reads a table of pairs or labels."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.patients import count_patients
from stitchkit.datasets.cohorts import Cohort


def cohort_table(cohort: Cohort, folder: str | Path) -> list[list[str]]:
    """The header and a row for each item.

    Parameters
    ----------
    cohort
        Cohort of image files.
    folder
        Folder of the table: images below it are named relative to it, others by their whole path.

    Returns
    -------
    list of rows
        ``id``, ``path``, and where they are known ``text``, ``patient`` and ``split``; then metadata and classes. A
        label that is not known, and NaN, is an empty cell.

    Raises
    ------
    DataError
        If the items are no image files, or a column would stand twice.
    """
    if not all(isinstance(value, str | Path) for value in cohort.images.values) or cohort.images.modality != "image":
        raise DataError(f"the items of {cohort.name} are no image files, and a table names files.")
    labels, place = cohort.labels, Path(os.path.realpath(folder))
    columns: dict[str, list[str]] = {
        "id": labels.ids.tolist(),
        "path": [_path_below(Path(os.path.realpath(value)), place) for value in cohort.images.values],
    }
    if cohort.texts is not None:
        columns["text"] = [str(value) for value in cohort.texts.values]
    if labels.groups is not None:
        columns["patient"] = labels.groups.tolist()
    if cohort.split is not None:
        columns["split"] = cohort.split.tolist()
    others = {name: [_cell(value) for value in values.tolist()] for name, values in labels.columns.items()}
    others = {name: cells for name, cells in others.items() if columns.get(name) != cells}  # the split, told twice
    classes = {label: [_cell(value) for value in labels.values[:, c]] for c, label in enumerate(labels.classes)}
    for further in (others, classes):
        if twice := sorted(set(columns) & set(further)):
            raise DataError(f"the column {twice[0]!r} of {cohort.name} would stand twice in the table. Rename it.")
        columns |= further
    return [list(columns), *(list(row) for row in zip(*columns.values(), strict=True))]


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as the text of a CSV file.

    Examples
    --------
    >>> csv_text([["id", "text"], ["1", "clear, no effusion"]])
    'id,text\\n1,"clear, no effusion"\\n'
    """
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def card_path(table: Path) -> Path:
    """The card beside a cohort's table.

    Examples
    --------
    >>> card_path(Path("nih.csv")).name
    'nih.card.json'
    """
    return table.with_name(f"{table.stem}.card.json")


def cohort_facts(cohort: Cohort, split: str | None = None) -> dict[str, Any]:
    """Numbers and columns of a cohort, and the published split it is, for its card."""
    return {
        "items": len(cohort),
        "patients": count_patients(cohort.labels.groups),
        "texts": cohort.texts is not None,
        "split": split,
        "classes": list(cohort.labels.classes),
        "columns": list(cohort.labels.columns),
    }


def _path_below(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)
