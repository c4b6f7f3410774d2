"""Lists of texts on disk: a line each, or a column of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stitchkit.core.errors import DataError
from stitchkit.datasets.rows import read_rows
from stitchkit.storage.path_checks import checked_file


def read_text_list(path: Path) -> list[str]:
    """The texts of a file, a line each of a ``.txt``, or the column ``text`` of a table.

    Raises
    ------
    DataError
        For a file that cannot be read, a blank text, or one that stands twice.
    """
    if path.suffix.lower() == ".txt":
        try:
            lines = checked_file(path, "a list of texts").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"the list of texts {path} cannot be read: {error}. Save it as UTF-8.") from error
    else:
        lines = [str(cell) for cell in read_rows(path).column("text")]
    check_texts(lines)
    return lines


def check_texts(texts: Sequence[str]) -> None:
    """Raise for a list of texts with a blank text or a repeated one, naming its place.

    Raises
    ------
    DataError
        Naming the line, counted from 1, and not the text.
    """
    lines: dict[str, int] = {}
    for line, text in enumerate(texts, start=1):
        key = " ".join(str(text).split())
        if not key:
            raise DataError(f"the list of texts has a blank text in line {line}. Take it out.")
        if key in lines:
            raise DataError(f"the list of texts has one text twice, in lines {lines[key]} and {line}. Keep one.")
        lines[key] = line
