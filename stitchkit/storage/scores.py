"""Scores as a CSV table on disk: ``id``, ``kind``, then one column a class.

The provenance of the scores stands beside the table in ``NAME.provenance.json``, with the digest of the table that it
is of, so that the CSV has nothing but a header and rows, which pandas and R read without options.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, TextIO

import msgspec
import numpy as np

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.escaping import as_csv_cell, from_csv_cell
from stitchkit.core.scores import KINDS, Provenance, Scores
from stitchkit.core.wording import counted
from stitchkit.storage.atomic_writes import replace_file
from stitchkit.storage.digests import sha256_of_file
from stitchkit.storage.path_checks import checked_file, resolved_path

_FIRST = ("id", "kind")
_ROWS = 256  # rows turned into text at once
_NUMBERS = msgspec.json.Decoder(list[float])
_BESIDE = ".provenance.json"


class _Record(msgspec.Struct):
    """Content of the file with a table's provenance."""

    stitchkit_provenance: Literal[1]  # version of the format
    table_sha256: str
    scores: Provenance


def write_scores(path: str | Path, scores: Scores) -> Path:
    """Write scores to one CSV file, all of it or nothing; an earlier table of scores there is replaced.

    One row an item: ``id``, ``kind`` (the same in every row) and the scores, with as many digits as it takes to read
    back the very same numbers. A name that a spreadsheet would take for a formula gets a quote in front. Their
    provenance, if they have one, is written beside it into ``NAME.provenance.json``, with the day and the version
    where it does not name them; that of an earlier table there is replaced or removed.

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
    whole = hashlib.sha256()
    replace_file(path, _add_to_digest((line.encode() for line in _lines(scores)), whole))
    beside = provenance_path(path)
    known = scores.provenance
    if known is None or known.remark:
        beside.unlink(missing_ok=True)  # it is of the table that was there before
        return path
    dated = replace(
        known,
        date=known.date or f"{datetime.now(UTC):%Y-%m-%d}",
        version=known.version or f"stitchkit {version('stitchkit')}",
    )
    record = {"stitchkit_provenance": 1, "table_sha256": whole.hexdigest(), "scores": dated.to_dict()}
    replace_file(beside, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    return path


def read_scores(path: str | Path) -> Scores:
    """Scores from a table of :func:`write_scores`, with their provenance where it is recorded beside the table.

    A record with the digest of another table is not taken: the provenance then holds a remark alone.

    Raises
    ------
    DataError
        If the file is missing or no such table, with path, row and column, or the record beside it cannot be read.
    """
    path = checked_file(path, "a table of scores")
    with _readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        scores = _scores_of(path, _rows(file))
    return scores.with_provenance(_read_provenance(path))


def provenance_path(path: str | Path) -> Path:
    """The file with the provenance of the table of scores at ``path``.

    Examples
    --------
    >>> provenance_path("runs/scores.csv").name
    'scores.provenance.json'
    """
    return Path(path).with_suffix(_BESIDE)


def _read_provenance(path: Path) -> Provenance | None:
    """The provenance recorded beside a table; a remark alone where it is of another table, None where there is none."""
    beside = provenance_path(path)
    if not beside.exists():
        return None
    record = _record_in(beside)
    if record is None:
        raise DataError(f"{beside} is no provenance of scores. Remove it, or write the scores again.")
    if record.table_sha256 == sha256_of_file(path):
        return record.scores
    return Provenance(
        remark=f"{beside.name} is the provenance of another table than {path.name} as it is now, so the origin of "
        f"these scores is not known: write the scores again, or remove {beside.name}"
    )


def _record_in(path: Path) -> _Record | None:
    """The record in a file; None where it holds something else, or cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _add_to_digest(parts: Iterator[bytes], whole: hashlib._Hash) -> Iterator[bytes]:
    """The parts as they are, each added to a digest on its way."""
    for part in parts:
        whole.update(part)
        yield part


def check_scores_path(path: str | Path) -> Path:
    """``path`` if :func:`write_scores` may write there, to be checked before the work.

    Raises
    ------
    InputError
        For another ending, a folder, a file there that is no table of scores, or one in the place of its provenance.
    """
    path = resolved_path(path)
    if path.suffix.lower() != ".csv":
        raise InputError(f"scores are written to a .csv file; got {path}. Change the ending.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; scores are written to one file. Name a file.")
    if path.exists() and not looks_like_scores(path):
        raise InputError(f"{path} exists and is no table of scores; it was left alone. Choose another name.")
    beside = provenance_path(path)
    if beside.exists() and _record_in(beside) is None:
        raise InputError(
            f"{beside} exists and is no provenance of scores; it was left alone. Choose another name than {path.name}."
        )
    return path


def looks_like_scores(path: str | Path) -> bool:
    """True where a file starts like a table of scores."""
    with checked_file(path, "a table of scores").open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf")
    return start.startswith(b"id,kind,")


def _check(scores: Scores) -> None:
    if not len(scores) or not scores.classes:
        raise InputError(f"there are {len(scores)} scored items and {len(scores.classes)} classes: nothing to write.")
    broken = next((one for one in scores.ids.tolist() if "\r" in one), None)
    if broken is not None:  # which the csv module writes without quotes
        raise InputError(f"the id {broken!r} holds a carriage return, which no CSV gives back. Rename the item.")


def _lines(scores: Scores) -> Iterator[str]:
    """The table, line by line."""
    first: list[str] = []  # of each line: what may need quotes
    writer = csv.writer(SimpleNamespace(write=first.append), lineterminator="\n")
    writer.writerow([*_FIRST, *map(as_csv_cell, scores.classes)])
    writer.writerows((as_csv_cell(name), scores.kind) for name in scores.ids.tolist())
    yield first[0]
    for cells, numbers in zip(first[1:], _number_texts(scores.values), strict=True):
        yield f"{cells[:-1]},{numbers}\n"


def _number_texts(values: np.ndarray) -> Iterator[str]:
    """Each row of ``values`` (n, c) with its numbers as ``repr`` writes them, at a fraction of its time."""
    for start in range(0, len(values), _ROWS):
        block = values[start : start + _ROWS]
        size = np.abs(block)
        powers = (size >= 1e16) | ((size < 1e-4) & (size > 0))  # numbers that Python writes with an exponent
        for row, by_power, some in zip(block.tolist(), powers, powers.any(axis=1).tolist(), strict=True):
            text = msgspec.json.encode(row)[1:-1].decode()
            if some:
                cells = text.split(",")
                for c in np.flatnonzero(by_power).tolist():
                    cells[c] = repr(row[c])
                text = ",".join(cells)
            yield text


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of reading and parsing, with the file they are of."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"there is no table of scores {path}. Check the path.") from error
    except OSError as error:
        raise DataError(f"the table of scores {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8, so it is no table of scores. Save it again as CSV UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path}: {error}. Check the quotes and the end of the file.") from error


_Row = tuple[int, list[str], str | None]  # number, cells, and the text of the third and all further ones if not split


def _rows(file: TextIO) -> Iterator[_Row]:
    """Rows that are not blank, with the numbers that a spreadsheet shows."""
    most = csv.field_size_limit()
    for number, line in enumerate(file, start=1):  # which goes on behind the lines that a quoted cell takes
        plain = line.rstrip("\r\n").split(",", 2)
        if '"' in line or len(plain[0]) > most:
            yield number, next(csv.reader(chain((line,), file), strict=True)), None
        elif len(plain) == 3:
            yield number, plain[:2], plain[2]
        elif line.strip("\r\n"):
            yield number, plain, None


def _scores_of(path: Path, rows: Iterator[_Row]) -> Scores:
    """The scores of a table, read row by row so that no more than the numbers is held."""
    _, first, rest = next(rows, (0, [], None))
    header = first if rest is None else [*first, *rest.split(",")]
    if header[:2] != list(_FIRST):
        raise DataError(f"{path} is no table of scores: its first columns must be called id and kind. Is it another?")
    classes, ids, kind, numbers = _checked_classes(path, header), [], "", bytearray()
    for number, cells, text in rows:
        values = None if text is None else _plain_numbers(text, len(classes))
        if values is None and text is not None:
            cells = [*cells, *text.split(",")]
        if values is None and len(cells) != len(header):
            raise DataError(f"{path}, row {number}: {counted(len(cells), 'cell')} under a header of {len(header)}.")
        kind = _checked_kind(path, number, cells[1].strip(), kind)
        numbers += (_numbers(path, number, cells[2:], classes) if values is None else values).tobytes()
        ids.append(from_csv_cell(cells[0]))
    if not ids:
        raise DataError(f"{path} has a header and no rows. Was it written completely?")
    try:
        return Scores(
            np.frombuffer(numbers, np.float64).reshape(len(ids), len(classes)), kind, np.asarray(ids), classes
        )
    except DataError as error:  # a repeated or empty id
        raise DataError(f"{path}, column 'id': {error}") from error


def _plain_numbers(text: str, columns: int) -> np.ndarray | None:
    """So many numbers with commas between them, if all are written as JSON allows; None leaves them to ``float``."""
    try:
        values = np.array(_NUMBERS.decode(f"[{text}]"))
    except msgspec.MsgspecError:
        return None
    return values if len(values) == columns and values.all() else None  # JSON takes the sign from -0


def _checked_kind(path: Path, number: int, kind: str, before: str) -> str:
    """The kind of a row, which is that of the rows ``before``, if there are any."""
    if kind not in KINDS:
        raise DataError(f"{path}, row {number}, column 'kind': {UnknownNameError.of('kind of score', kind, KINDS)}")
    if before and kind != before:
        raise DataError(
            f"{path}, row {number}, column 'kind': {kind} after {before} in the rows before. "
            f"Scores of one table are of one kind; write two tables."
        )
    return kind


def _checked_classes(path: Path, header: Sequence[str]) -> tuple[str, ...]:
    classes = tuple(from_csv_cell(name.strip()) for name in header[2:])
    if not classes or "" in classes:
        raise DataError(f"{path}, row 1: every column after id and kind must be called like a class.")
    if twice := _first_repeated(classes):
        raise DataError(f"{path}, row 1: two columns are called {twice!r}. Give every class its own name.")
    return classes


def _first_repeated(names: Sequence[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")


def _numbers(path: Path, number: int, cells: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    values = []
    for cell, label in zip(cells, classes, strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{path}, row {number}, column {label!r}: {cell[:20]!r} is no finite number.")
        values.append(value)
    return np.array(values)
