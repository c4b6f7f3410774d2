"""Rows of a table as a table of their own: cells as they stand, image paths still leading to the images."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.errors import InputError
from stitchkit.datasets.anchor_tables import AnchorTable
from stitchkit.datasets.image_files import file_and_choice
from stitchkit.datasets.images import looks_like_image
from stitchkit.datasets.rows import cells_as_written, read_rows
from stitchkit.datasets.string_tables import Table

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


def check_table_path(path: Path) -> Path:
    """``path`` if a table may be called that."""
    if path.suffix.lower() not in SEPARATORS:
        raise InputError(f"{path} ends in none of {', '.join(SEPARATORS)}. Name the table that way.")
    return path


def select_rows(table: AnchorTable, pairs: AnchorSet, rows: np.ndarray, out: Path) -> tuple[str, list[str]]:
    """The text of a table of some rows of the anchors' table, for a file ``out``, and notes on what was changed.

    Relative image paths are written anew where ``out`` lies in another folder than they are relative to, so that it is
    read without a root. Where the paths served as ids, a column ``id`` keeps what they were.

    Parameters
    ----------
    table, pairs
        The table, and what :meth:`AnchorTable.pairs` reads of it.
    rows : (n,) int
        Positions of the rows, in the order to write them.
    out
        File that the text is for: its suffix says the separator, its folder what the paths are relative to.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "pairs.csv")
    ...     _ = path.write_text("id,text\\n1,clear lungs\\n2,large heart\\n")
    ...     table = AnchorTable(path)
    ...     text, notes = select_rows(table, table.pairs(), np.array([1]), Path(folder, "few.tsv"))
    >>> text, notes
    ('id\\ttext\\n2\\tlarge heart\\n', [])
    """
    read = read_rows(table.path)
    written = cells_as_written(read)
    picked = [list(written[row]) for row in rows.tolist()]
    header, notes = list(read.columns), []
    folder = table.path.parent if table.root is None else table.root
    if not _same_folder(folder, out.parent):
        moved = _image_columns(read, table, pairs, folder)
        for name in moved:
            place = header.index(name)
            for cells in picked:
                cells[place] = _relative(folder, cells[place].strip(), out.parent)
        if moved:
            notes.append(
                f"paths in column {', '.join(moved)} are relative to the folder of {out.name}: read it without --root"
            )
        if table.id_column(pairs) in moved and "id" not in header:
            header.insert(0, "id")
            picked = [[str(pairs.ids[row]), *cells] for row, cells in zip(rows.tolist(), picked, strict=True)]
            notes.append("column id keeps the ids, which were the paths as they stood")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=SEPARATORS[out.suffix.lower()], lineterminator="\n")
    writer.writerows([header, *picked])
    return buffer.getvalue(), notes


def _same_folder(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _image_columns(read: Table, table: AnchorTable, pairs: AnchorSet, folder: Path) -> list[str]:
    """Columns of image paths: those read as pairs, and others in which every cell is an image that is there."""
    sides = zip(table.sides, (pairs.source_items, pairs.target_items), strict=True)
    known = {name for name, items in sides if items.modality == "image"}

    def leads_to_images(cells: Sequence[str]) -> bool:
        filled = [cell for cell in cells if cell]
        return bool(filled) and all(
            looks_like_image(cell) and os.path.isfile(file_and_choice(folder / cell)[0]) for cell in filled
        )

    ids = {table.id, "id"}
    return [name for name in read.columns if name in known or (name not in ids and leads_to_images(read.column(name)))]


def _relative(folder: Path, cell: str, to: Path) -> str:
    """``cell``, a path relative to ``folder``, as one relative to ``to``; absolute and empty ones as they are."""
    if not cell or Path(cell).is_absolute():
        return cell
    place = Path(os.path.realpath(folder)) / cell
    try:
        return Path(os.path.relpath(place, os.path.realpath(to))).as_posix()
    except ValueError:  # another drive
        return place.as_posix()
