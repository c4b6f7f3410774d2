"""Some rows of a table as a table of their own: cells as they stand, image paths still leading to the images."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.datasets.rows import Table

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


def check_table_path(path: Path) -> Path:
    """``path`` if a table may be called that."""
    if path.suffix.lower() not in SEPARATORS:
        raise InputError(f"{path} ends in none of {', '.join(SEPARATORS)}. Name the table that way.")
    return path


def chosen_rows(table: AnchorTable, pairs: AnchorSet, rows: np.ndarray, out: Path) -> tuple[str, list[str]]:
    """The text of a table of ``rows`` (n,) of the anchors' table, for a file ``out``, and what was changed, in words.

    Relative image paths are written anew where ``out`` lies in another folder than they are relative to, so that it is
    read without --root. Where the paths served as ids, a column ``id`` keeps what they were.
    """
    from stitchkit.cli.anchor_reading import id_column
    from stitchkit.datasets.rows import cells_as_written, read_rows

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
        if id_column(table, pairs) in moved and "id" not in header:
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
    from stitchkit.cli.anchor_reading import columns_read
    from stitchkit.datasets.images import looks_like_image

    sides = zip(columns_read(table), (pairs.source_items, pairs.target_items), strict=True)
    known = {name for name, items in sides if items.modality == "image"}

    def leads_to_images(cells: Sequence[str]) -> bool:
        filled = [cell for cell in cells if cell]
        return bool(filled) and all(looks_like_image(cell) and os.path.isfile(folder / cell) for cell in filled)

    ids = {table.id, "id"}
    return [name for name in read.columns if name in known or (name not in ids and leads_to_images(read.column(name)))]


def _relative(folder: Path, cell: str, to: Path) -> str:
    """``cell``, a path relative to ``folder``, as one relative to ``to``; absolute and empty ones as they are."""
    if not cell or Path(cell).is_absolute():
        return cell
    found = Path(os.path.realpath(folder)) / cell
    try:
        return Path(os.path.relpath(found, os.path.realpath(to))).as_posix()
    except ValueError:  # another drive
        return found.as_posix()
