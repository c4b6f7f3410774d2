"""Results of a search as a CSV table on disk."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from stitchkit.core.errors import InputError
from stitchkit.core.escaping import as_csv_cell
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.path_checks import checked_file, resolved_path
from stitchkit.text_search.results import SearchResult

COLUMNS = ("query", "modality", "rank", "id", "similarity", "z")


def write_hits(path: str | Path, result: SearchResult, *, each: bool = False) -> Path:
    """Write a row for every hit to a ``.csv``, all of it or nothing.

    Parameters
    ----------
    result
        Result of :func:`stitchkit.search`.
    each
        The lists of the modalities instead of the one list over all. Default False.

    Raises
    ------
    InputError
        As of :func:`check_hits_path`.
    """
    path = check_hits_path(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for query, hit in result.rows(each=each):
        z = "" if hit.z is None else repr(hit.z)
        names = as_csv_cell(query), as_csv_cell(hit.modality)
        writer.writerow([*names, hit.rank, as_csv_cell(hit.id), repr(hit.similarity), z])
    return write_text(path, text.getvalue(), errors="surrogatepass")


def check_hits_path(path: str | Path) -> Path:
    """``path`` if :func:`write_hits` may write there, to be checked before the work.

    Raises
    ------
    InputError
        For another ending, a folder, or a file there that is no such table.
    """
    path = resolved_path(path)
    if path.suffix.lower() != ".csv":
        raise InputError(f"hits are written to a .csv file; got {path}. Change the ending.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; hits are written to one file. Name a file.")
    if path.exists():
        with checked_file(path, "a table of hits").open("rb") as file:
            start = file.read(64).removeprefix(b"\xef\xbb\xbf")
        if not start.startswith(",".join(COLUMNS).encode()):
            raise InputError(f"{path} exists and is no table of hits; it was left alone. Choose another name.")
    return path
