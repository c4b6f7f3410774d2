"""Anchors and items from CSV tables, folders and line files; labels have a file of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.items import MODALITIES, Items
from stitchkit.datasets.images import IMAGE_SUFFIXES, looks_like_image
from stitchkit.datasets.labels import read_labels
from stitchkit.datasets.rows import Table, groups_of, ids_of, read_rows, read_text

__all__ = ["read_anchors", "read_items", "read_labels", "read_rows"]

_IMAGE_COLUMNS = ("path", "image", "image_path", "img", "img_path", "file", "filename")
_TABLES = (".csv", ".tsv", ".tab")


def read_anchors(
    path: str | Path,
    *,
    id: str | None = None,
    source: str = "path",
    target: str = "text",
    groups: str | None = None,
    root: str | Path | None = None,
    card: Mapping[str, Any] | None = None,
    source_modality: str | None = None,
    target_modality: str | None = None,
) -> AnchorSet:
    """Anchor pairs from a CSV table with one pair a row.

    A column holds images if it is called ``path``, ``image``, ``image_path``, ``img``, ``img_path``, ``file`` or
    ``filename``, or if every cell ends like an image file (``.png``, ``.jpg``, ...); otherwise it holds texts.
    ``source_modality`` and ``target_modality`` (``"image"`` or ``"text"``) overrule that.

    Parameters
    ----------
    path
        The table: UTF-8, one header row.
    id
        Column of unique ids. Default: ``id`` if there is one, else the image paths as they stand in the table.
    source, target
        Columns of the two sides. Both may be the same column, to join two encoders of one modality.
    groups
        Column of the patient (lesion, site) of each pair. Default: ``patient`` or ``patient_id`` if there is one.
    root
        Folder the image paths are relative to. Default: the folder of the table.
    card
        Where the pairs come from: source, licence, ... Path, SHA-256 and number of rows of the table are added.

    Returns
    -------
    AnchorSet
        n pairs in the table's order; images as paths, not yet decoded.

    Raises
    ------
    DataError
        For a table that cannot be read, a missing column (the nearest are listed), an empty cell, a repeated id or
        a missing image file, with row and column.
    """
    path = Path(path)
    table = read_rows(path)
    left = source_modality or _modality(table, source)
    right = target_modality or _modality(table, target)
    folder = path.parent if root is None else Path(root)
    fallback = source if left == "image" else target if right == "image" else None
    ids = ids_of(table, id, fallback)
    return AnchorSet(
        ids,
        Items(ids, _values(table, source, left, folder), left),
        Items(ids, _values(table, target, right, folder), right),
        groups_of(table, groups),
        {"table": path.as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": len(table)}
        | dict(card or {}),
    )


def read_items(
    path: str | Path,
    *,
    column: str | None = None,
    modality: str | None = None,
    id: str | None = None,
    root: str | Path | None = None,
) -> Items:
    """Images or texts from a folder, a table, a line file or one image file.

    Parameters
    ----------
    path
        A folder: all images in it and below, sorted, with their relative paths as ids. A CSV: one column of it. A
        ``.txt``: one text (or image path) a line. An image file: that image.
    column
        Column of a CSV. Default: ``path`` (or another image column) for images, ``text`` for texts, images first
        if ``modality`` is open.
    modality
        ``"image"`` or ``"text"``; default as :func:`read_anchors` decides it.
    id
        Column of unique ids. Default: ``id`` if there is one, else the table's column of image paths, whichever column
        is read, so that images and texts of one table have the same ids; else the row numbers.
    root
        Folder that image paths in a file are relative to. Default: the folder of the file.

    Returns
    -------
    Items
        Images as paths, not yet decoded.

    Raises
    ------
    DataError
        For a folder without images, a missing column or file, or an empty cell or line, with row and column.
    """
    path = Path(path)
    if modality not in (None, *MODALITIES):
        raise UnknownNameError.of("modality", str(modality), MODALITIES)
    if path.is_dir():
        return _of_folder(path, modality)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}. To use texts or paths directly, pass a list of them.")
    folder = path.parent if root is None else Path(root)
    if path.suffix.lower() in _TABLES:
        table = read_rows(path)
        name = column or _default_column(table, modality)
        kind = modality or _modality(table, name)
        return Items(_item_ids(table, id, name, kind), _values(table, name, kind, folder), kind)
    if column is not None:
        raise DataError(
            f"column {column!r} was asked of {path}, which is no CSV table. Leave column out, or give a .csv."
        )
    if looks_like_image(path):
        if modality == "text":
            raise DataError(f"{path} is an image; texts were asked for. Give a .csv or .txt file.")
        return Items(np.asarray([path.name]), [path], "image")
    return _of_lines(path, modality, folder)


def _of_folder(folder: Path, modality: str | None) -> Items:
    if modality == "text":
        raise DataError(f"{folder} is a folder; texts are read from a .csv column or a .txt file with one text a line.")
    # names with a dot in front are not content: .DS_Store, macOS's ._twins of every file, .cache folders
    below = (found.relative_to(folder) for found in folder.rglob("*") if looks_like_image(found) and found.is_file())
    names = sorted(one.as_posix() for one in below if not any(part.startswith(".") for part in one.parts))
    if not names:
        raise DataError(f"there are no images ({', '.join(IMAGE_SUFFIXES)}) in or below {folder}. Check the folder.")
    return Items(np.asarray(names), [folder / name for name in names], "image")


def _of_lines(path: Path, modality: str | None, folder: Path) -> Items:
    lines = [line.strip() for line in read_text(path, "text file").rstrip().split("\n")]
    table = Table(path, ("line",), tuple((line,) for line in lines), tuple(range(1, len(lines) + 1)))
    kind = modality or _modality(table, "line")
    ids = np.asarray([str(n) for n in table.numbers]) if kind == "text" else ids_of(table, "line", None)
    return Items(ids, _values(table, "line", kind, folder), kind)


def _item_ids(table: Table, id: str | None, column: str, modality: str) -> np.ndarray:
    """Ids (n,) of the rows, the same for every column of one table: ``id``, else image paths, else row numbers."""
    if id is not None or table.first_of("id"):
        return ids_of(table, id, None)
    images = (one for one in table.columns if _modality(table, one) == "image")
    paths = table.first_of(*_IMAGE_COLUMNS) or next(images, None)
    if paths is not None and _are_unique(table.column(paths)):
        return ids_of(table, paths, None)
    if modality == "image":
        return ids_of(table, column, None)
    return np.asarray([str(number) for number in table.numbers], dtype=np.str_)


def _are_unique(cells: Sequence[str]) -> bool:
    return all(cells) and len(set(cells)) == len(cells)


def _default_column(table: Table, modality: str | None) -> str:
    image = table.first_of(*_IMAGE_COLUMNS) if modality != "text" else None
    found = image or (table.first_of("text") if modality != "image" else None)
    if found is None and len(table.columns) == 1:
        return table.columns[0]
    if found is None:
        wanted = {"image": "'path'", "text": "'text'"}.get(str(modality), "'path' or 'text'")
        raise DataError(
            f"{table.path} has no column {wanted}; it has {', '.join(table.columns)}. Name one with column=."
        )
    return found


def _modality(table: Table, column: str) -> str:
    """What a column holds, by its name or by its cells."""
    cells = table.column(column)
    return "image" if column.lower() in _IMAGE_COLUMNS or all(map(looks_like_image, cells)) else "text"


def _values(table: Table, column: str, modality: str, folder: Path) -> Sequence[str | Path]:
    """Texts, or paths of images that exist."""
    if modality not in MODALITIES:
        raise UnknownNameError.of("modality", modality, MODALITIES)
    cells = table.filled(column)
    if modality == "text":
        return cells
    paths = [folder / cell for cell in cells]
    missing = [position for position, path in enumerate(paths) if not path.is_file()]
    if missing:
        raise table.fault(
            missing[0], column, f"there is no such file under {folder} ({len(missing)} of {len(paths)} are missing). "
            f"Pass root= if the paths are relative to another folder, or the modality if these are texts",
        )  # fmt: skip
    return paths
