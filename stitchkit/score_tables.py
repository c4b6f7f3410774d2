"""Scores as a CSV table on disk: ``id``, ``kind``, then one column a class."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.atomic_writes import replace_file
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.escaping import as_csv_cell, from_csv_cell
from stitchkit.core.scores import KINDS, Scores
from stitchkit.path_checks import checked_file, resolved_path

_FIRST = ("id", "kind")


def write_scores(path: str | Path, scores: Scores) -> Path:
    """Write scores to one CSV file, all of it or nothing; an earlier table of scores there is replaced.

    One row an item: ``id``, ``kind`` (the same in every row) and the scores, with as many digits as it takes to read
    back the very same numbers. A name that a spreadsheet would take for a formula gets a quote in front.

    Parameters
    ----------
    path
        Ends in ``.csv``; its folder is made if need be.
    scores : (n, c)
        n items, c classes with different names, finite.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        For a path that :func:`check_scores_path` refuses, no items, two classes of one name, a carriage return in an
        id, or a score that is NaN or infinite.
    OSError
        If it cannot be written; its ``filename`` is ``path``.

    Examples
    --------
    >>> import tempfile
    >>> mine = Scores([[0.1, -2.0]], "logit", ["scan 1"], ("edema", "effusion"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_scores(f"{folder}/scores.csv", mine)
    ...     print(path.read_text(), end="")
    ...     back = read_scores(path)
    id,kind,edema,effusion
    scan 1,logit,0.1,-2.0
    >>> back.kind, back.classes, back.values.tolist()
    ('logit', ('edema', 'effusion'), [[0.1, -2.0]])
    """
    path = check_scores_path(path)
    _check(scores)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIRST, *map(as_csv_cell, scores.classes)])
    for name, row in zip(scores.ids.tolist(), scores.values.tolist(), strict=True):
        writer.writerow([as_csv_cell(name), scores.kind, *map(repr, row)])
    return replace_file(path, text.getvalue().encode())


def read_scores(path: str | Path) -> Scores:
    """Scores from a table of :func:`write_scores`.

    Raises
    ------
    DataError
        If the file is missing or no such table, with path, row and column.
    """
    path = checked_file(path, "a table of scores")
    (_, header), *rows = _rows(path)
    classes = _checked_classes(path, header)
    for number, row in rows:
        if len(row) != len(header):
            raise DataError(f"{path}, row {number}: {len(row)} cells under a header of {len(header)}.")
    kinds = [row[1].strip() for _, row in rows]
    for (number, _), kind in zip(rows, kinds, strict=True):
        if kind not in KINDS:
            raise DataError(f"{path}, row {number}, column 'kind': {UnknownNameError.of('kind of score', kind, KINDS)}")
        if kind != kinds[0]:
            raise DataError(
                f"{path}, row {number}, column 'kind': {kind} after {kinds[0]} in the rows before. "
                f"Scores of one table are of one kind; write two tables."
            )
    values = [_numbers(path, number, row[2:], classes) for number, row in rows]
    try:
        return Scores(np.asarray(values), kinds[0], np.asarray([from_csv_cell(row[0]) for _, row in rows]), classes)
    except DataError as error:  # a repeated or empty id
        raise DataError(f"{path}, column 'id': {error}") from error


def check_scores_path(path: str | Path) -> Path:
    """``path`` if :func:`write_scores` may write there, to be checked before the work.

    Raises
    ------
    InputError
        For another ending, a folder, or a file there that is no table of scores.
    """
    path = resolved_path(path)
    if path.suffix.lower() != ".csv":
        raise InputError(f"scores are written to a .csv file; got {path}. Change the ending.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; scores are written to one file. Name a file.")
    if path.exists() and not looks_like_scores(path):
        raise InputError(f"{path} exists and is no table of scores; it was left alone. Choose another name.")
    return path


def looks_like_scores(path: str | Path) -> bool:
    """Whether a file starts like a table of scores."""
    with checked_file(path, "a table of scores").open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf")
    return start.startswith(b"id,kind,")


def _check(scores: Scores) -> None:
    if not len(scores) or not scores.classes:
        raise InputError(f"there are {len(scores)} scored items and {len(scores.classes)} classes: nothing to write.")
    broken = next((one for one in scores.ids.tolist() if "\r" in one), None)
    if broken is not None:  # which the csv module writes without quotes
        raise InputError(f"the id {broken!r} holds a carriage return, which no CSV gives back. Rename the item.")


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Header and rows, at least one, with the row numbers that a spreadsheet shows."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"there is no table of scores {path}. Check the path.") from error
    except OSError as error:
        raise DataError(f"the table of scores {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8, so it is no table of scores. Save it again as CSV UTF-8.") from error
    found: list[tuple[int, list[str]]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        found += [(number, row) for number, row in enumerate(reader, start=1) if row]
    except csv.Error as error:
        raise DataError(f"{path}: {error}. Check the quotes and the end of the file.") from error
    if not found or found[0][1][:2] != list(_FIRST):
        raise DataError(f"{path} is no table of scores: its first columns must be called id and kind. Is it another?")
    if len(found) == 1:
        raise DataError(f"{path} has a header and no rows. Was it written completely?")
    return found


def _checked_classes(path: Path, header: Sequence[str]) -> tuple[str, ...]:
    classes = tuple(from_csv_cell(name.strip()) for name in header[2:])
    if not classes or "" in classes:
        raise DataError(f"{path}, row 1: every column after id and kind must be called like a class.")
    if twice := _repeated(classes):
        raise DataError(f"{path}, row 1: two columns are called {twice!r}. Give every class its own name.")
    return classes


def _repeated(names: Sequence[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")


def _numbers(path: Path, number: int, cells: Sequence[str], classes: Sequence[str]) -> list[float]:
    values = []
    for cell, label in zip(cells, classes, strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{path}, row {number}, column {label!r}: {cell[:20]!r} is no finite number.")
        values.append(value)
    return values
