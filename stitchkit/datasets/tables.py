"""Anchors and items from CSV tables, folders and line files; labels have a file of their own."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.items import MODALITIES, Items
from stitchkit.core.keys import is_missing
from stitchkit.core.wording import counted, python_advice, setting
from stitchkit.datasets.image_files import DICOM_BYTES, DICOM_SUFFIXES, file_and_choice, is_dicom
from stitchkit.datasets.images import IMAGE_SUFFIXES, looks_like_image
from stitchkit.storage.path_checks import checked_path

if TYPE_CHECKING:
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.datasets.string_tables import Table

__all__ = ["ItemSource", "open_items", "read_anchors", "read_items"]

# the readers of tables are imported where a table is read: a single image, which a service scores, needs none of them

_IMAGE_COLUMNS = ("path", "image", "image_path", "img", "img_path", "file", "filename")
_OTHER_IMAGES = (".webp", ".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".nii")
_LINES = (".txt", ".text", ".lst")  # one item a line


def read_anchors(
    path: str | Path | Any,
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
    """Anchor pairs from a table with one pair a row: CSV, TSV, JSON lines, Parquet, or a data frame.

    A column holds images if it is called ``path``, ``image``, ``image_path``, ``img``, ``img_path``, ``file`` or
    ``filename``, or if every cell ends like an image file (``.png``, ``.jpg``, ...); otherwise it holds texts.
    ``source_modality`` and ``target_modality`` (``"image"`` or ``"text"``) overrule that.

    Parameters
    ----------
    path
        The table: a file in UTF-8 with one header row, ``.parquet``, or a data frame of pandas, polars or pyarrow. Or
        the name of a set that travels with the package (:func:`stitchkit.datasets.anchor_sets.anchor_set_names`); a
        file of that name wins.
    id
        Column of unique ids. Default: ``id`` if there is one, else the image paths as they stand in the table.
    source, target
        Columns of the two sides. Both may be the same column, to join two encoders of one modality.
    groups
        Column of the patient (lesion, site) of each pair. Default: ``patient`` or ``patient_id`` if there is one.
    root
        Folder the image paths are relative to. Default: the folder of the table; of a data frame the working folder.
    card
        Provenance of the pairs: source, licence, ... Path, SHA-256 and number of rows of the table are added.

    Returns
    -------
    AnchorSet
        n pairs in the table's order; images as paths, not yet decoded. Rows without a text, where a cell is blank or
        holds a word for a missing value such as ``nan``, are left out with a warning, and counted in
        ``card["left_out"]``.

    Raises
    ------
    DataError
        For a table that cannot be read, a missing column (the nearest are listed), an empty cell, a repeated id or
        a missing image file, with row and column.
    UnknownNameError
        For a name that is neither a file's nor a shipped set's, listing the nearest.
    """
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.datasets.anchor_sets import anchor_table, stated_facts
    from stitchkit.datasets.rows import groups_of, ids_of, read_rows

    table = read_rows(anchor_table(Path(path)) if isinstance(path, str | os.PathLike) else path)
    left = source_modality or _modality(table, source)
    right = target_modality or _modality(table, target)
    folder = table.path.parent if root is None else Path(root)
    fallback = source if left == "image" else target if right == "image" else None
    facts = {"table": table.path.as_posix(), "sha256": table.digest(), "rows": len(table)}
    whole, texts = table, [name for name, kind in ((source, left), (target, right)) if kind == "text"]
    table = _with_texts(table, texts)
    if len(table) < len(whole):
        facts["left_out"] = {"no text": len(whole) - len(table)}
    ids = ids_of(table, id, fallback)
    return AnchorSet(
        ids,
        Items(ids, _values(table, source, left, folder), left),
        Items(ids, _values(table, target, right, folder), right),
        groups_of(table, groups),
        facts | stated_facts(table.path) | dict(card or {}),
    )


def read_items(
    path: str | Path | Any,
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
        A folder: all images in it and below, sorted, with their relative paths as ids, DICOM files without a suffix
        among them; other kinds of images, and linked folders, are counted in a warning. A table (``.csv``, ``.tsv``,
        ``.jsonl``, ``.parquet``, or a data frame of pandas, polars or pyarrow): one column of it. A ``.txt``: one text
        (or image path) a line. An image file: that image. A path of a DICOM file may choose a frame:
        ``scan.dcm#frame=3``; ``scan.dcm#frame=all`` is an item for each frame, with ids ``scan.dcm#frame=1``, ...;
        behind a folder, ``scans#frame=middle``, it holds for every DICOM file there.
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
        Images as paths, not yet decoded. Rows of a table without a text are left out with a warning.

    Raises
    ------
    DataError
        For a folder without images, a missing column or file, or an empty cell or line, with row and column.
    """
    source = open_items(path, column=column)
    return source.read(modality, id=id, root=root)


def open_items(path: str | Path | Any, *, column: str | None = None) -> ItemSource:
    """The items of :func:`read_items`, read once, for callers that count them before they know the modality.

    Parameters
    ----------
    path, column
        As in :func:`read_items`.

    Raises
    ------
    DataError
        For a file that is not there or cannot be read, or a column of what is no table.
    """
    if not isinstance(path, str | os.PathLike):
        from stitchkit.datasets.frames import is_frame, table_of_frame

        if is_frame(path):
            table = table_of_frame(path)
            return ItemSource(table.path, column, table=table)
        raise InputError(f"items are read from a path or a data frame; got {type(path).__name__}.")
    path = checked_path(Path(path))
    file, choice = file_and_choice(path)
    if file.is_dir():
        return ItemSource(file, column, files=_files_below(file), choice=choice)
    if not file.exists():
        raise DataError(f"there is no file or folder {path}. To use texts or paths directly, pass a list of them.")
    is_image = looks_like_image(path) or (not _names_its_kind(file.name) and _is_dicom_file(file))
    if not is_image:
        from stitchkit.datasets.rows import TABLES, lines_of, read_rows, read_text
        from stitchkit.datasets.string_tables import Table

        if path.suffix.lower() in TABLES:
            return ItemSource(path, column, table=read_rows(path))
    if column is not None:
        raise DataError(
            f"column {column!r} was asked of {path}, which is no table. Leave out "
            + setting("column", text="column")
            + ", or give a .csv."
        )
    if is_image:
        return ItemSource(path)
    if path.suffix.lower() not in _LINES:
        raise DataError(
            f"{path} is no table ({', '.join(TABLES)}), no list of lines ({', '.join(_LINES)}) and no image. Save it "
            f"as one of these; a file with one text a line is a .txt."
        )
    lines = [line.strip() for line in lines_of(read_text(path, "text file").rstrip())]
    table = Table(path, ("line",), tuple((line,) for line in lines), tuple(range(1, len(lines) + 1)))
    return ItemSource(path, lines=table)


@dataclass(frozen=True, slots=True)
class ItemSource:
    """A folder, table, list of lines or image with items, as :func:`open_items` read it.

    Parameters
    ----------
    path
        The file or folder.
    column
        Column of a table that holds the items; None for the default of their modality.
    table, lines
        Rows of a table; lines of a list of lines.
    files
        Files below a folder.
    choice
        Choice of frame or window for every DICOM file below a folder.
    """

    path: Path
    column: str | None = None
    table: Table | None = None
    lines: Table | None = None
    files: _Files | None = None
    choice: str = ""

    def count(self) -> int:
        """Number of images, rows or lines.

        Raises
        ------
        DataError
            For a folder without images, or a column that the table has not.
        """
        if self.files is not None:
            return len(_images(self.path, self.files))
        if self.table is None:
            return len(self.read())
        if self.column is not None:
            self.table.require(self.column)
        return len(self.table)

    def read(self, modality: str | None = None, *, id: str | None = None, root: str | Path | None = None) -> Items:
        """The items; parameters, result and errors are those of :func:`read_items`."""
        _check_modality(self.path, modality)
        folder = self.path.parent if root is None else Path(root)
        if self.files is not None:
            return with_all_frames(_of_folder(self.path, self.files, self.choice))
        if self.table is not None:
            name = self.column or _default_column(self.table, modality)
            kind = modality or _modality(self.table, name)
            table = _with_texts(self.table, [name] if kind == "text" else [], stacklevel=4)
            return with_all_frames(Items(_item_ids(table, id, name, kind), _values(table, name, kind, folder), kind))
        if self.lines is not None:
            return _of_lines(self.lines, modality, folder)
        return with_all_frames(Items(np.asarray([self.path.name]), [self.path], "image"))


def _check_modality(path: Path, modality: str | None) -> None:
    """Raise for a modality that there is not, and for texts where images are."""
    if modality not in (None, *MODALITIES):
        raise UnknownNameError.of("modality", str(modality), MODALITIES)
    file = file_and_choice(path)[0]
    if modality == "text" and file.is_dir():
        raise DataError(f"{path} is a folder; texts are read from a .csv column or a .txt file with one text a line.")
    if modality == "text" and looks_like_image(path) and file.is_file():
        raise DataError(f"{path} is an image; texts were asked for. Give a .csv or .txt file.")


def _images(folder: Path, files: _Files) -> list[str]:
    """The names of the images, sorted."""
    names = sorted(name for name in files.names if looks_like_image(name) or name in files.dicom)
    if not names:
        passed = _other_formats(files)
        held = f"; {', '.join(passed)}, which are not read: convert them to PNG" if passed else ""
        links = (
            f"; {counted(files.links, 'linked folder')} in it {'was' if files.links == 1 else 'were'} not entered"
            if files.links
            else ""
        )
        raise DataError(
            f"there are no images ({', '.join(IMAGE_SUFFIXES)}, DICOM without a suffix) in or below {folder}{held}"
            f"{links}. Check the folder."
        )
    return names


def _other_formats(files: _Files) -> list[str]:
    """Numbers of images of kinds that are not read."""
    others = Counter(Path(name).suffix.lower() for name in files.names if not looks_like_image(name))
    return [f"{count} are {suffix}" for suffix, count in sorted(others.items()) if suffix in _OTHER_IMAGES]


def _of_folder(folder: Path, files: _Files, choice: str) -> Items:
    names = _images(folder, files)
    if passed := _other_formats(files):
        warnings.warn(f"of the files below {folder} {', '.join(passed)}; these are not read.", stacklevel=4)
    if files.links:
        warnings.warn(
            f"{counted(files.links, 'linked folder')} in {folder} {'was' if files.links == 1 else 'were'} not entered.",
            stacklevel=4,
        )
    paths = [folder / name for name in names]
    if choice:
        paths = [Path(f"{path}#{choice}") if _is_dicom_file(path) else path for path in paths]
    return Items(np.asarray(names), paths, "image")


@dataclass(frozen=True, slots=True)
class _Files:
    """Relative paths of the files below a folder, DICOM files by content, and the number of linked folders."""

    names: list[str]
    dicom: frozenset[str]
    links: int


def _files_below(folder: Path) -> _Files:
    """Every file whose name, and whose folders' names, have no dot in front: those are not content."""
    names, links = [], 0
    for place, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not one.startswith(".")]
        links += sum(os.path.islink(os.path.join(place, one)) for one in folders)
        here = Path(place).relative_to(folder)
        names += [(here / one).as_posix() for one in files if not one.startswith(".")]
    names = [name for name in names if (folder / name).is_file()]
    unnamed = (name for name in names if not _names_its_kind(name))
    return _Files(names, frozenset(name for name in unnamed if _is_dicom_file(folder / name)), links)


def dicom_files_below(folder: Path) -> list[str]:
    """Relative paths of the DICOM files in and below a folder, sorted: by their endings, or by their content."""
    files = _files_below(folder)
    return sorted(name for name in files.names if name.lower().endswith(DICOM_SUFFIXES) or name in files.dicom)


def _names_its_kind(name: str) -> bool:
    """False for a name without a suffix, as ``IM000001`` or ``1.2.840.113``, except that of a DICOM directory."""
    suffix = Path(name).suffix[1:]
    return bool(suffix and not suffix.isdigit()) or Path(name).name.upper() == "DICOMDIR"


def _is_dicom_file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(DICOM_BYTES))
    except OSError:
        return False


def with_all_frames(items: Items) -> Items:
    """``items`` with an item for each frame in place of one whose path ends in ``#frame=all``.

    Its id is that of the file, with ``#frame=1`` and so on at the end.
    """
    whole = [isinstance(one, str | Path) and "frame=all" in file_and_choice(one)[1].split("&") for one in items.values]
    if items.modality != "image" or not any(whole):
        return items
    from stitchkit.datasets.dicom.pictures import frame_count

    ids: list[str] = []
    values: list[Any] = []
    for name, value, several in zip(items.ids.tolist(), items.values, whole, strict=True):
        frames = range(1, frame_count(file_and_choice(value)[0]) + 1) if several else [0]
        for frame in frames:
            ids.append(_of_frame(name, frame) if frame else name)
            values.append(Path(_of_frame(str(value), frame)) if frame else value)
    return Items(np.asarray(ids), values, "image")


def _of_frame(name: str, frame: int) -> str:
    """A path, or an id, with one frame in place of all."""
    choice = file_and_choice(name)[1]
    if "frame=all" not in choice.split("&"):
        return f"{name}#frame={frame}"
    return name[: -len(choice)] + choice.replace("frame=all", f"frame={frame}")


def _of_lines(table: Table, modality: str | None, folder: Path) -> Items:
    from stitchkit.datasets.rows import ids_of

    kind = modality or _modality(table, "line")
    table = _with_texts(table, ["line"] if kind == "text" else [], stacklevel=5)
    ids = np.asarray([str(n) for n in table.numbers]) if kind == "text" else ids_of(table, "line", None)
    return with_all_frames(Items(ids, _values(table, "line", kind, folder), kind))


def _with_texts(table: Table, columns: Sequence[str], stacklevel: int = 3) -> Table:
    """The rows in which every one of ``columns`` has a text; the others are told of in a warning."""
    missing = {row for name in columns for row, cell in enumerate(table.column(name)) if is_missing(cell)}
    if not missing:
        return table
    named = " or ".join(repr(name) for name in dict.fromkeys(columns))
    if len(missing) == len(table):
        raise DataError(f"no row of {table.path} has a text in column {named}. Name another column.")
    first = table.numbers[min(missing)]
    warnings.warn(
        f"{len(missing)} of {len(table)} rows of {table.path} have no text in column {named}, the first is row "
        f"{first}; they were left out.",
        stacklevel=stacklevel,
    )
    return table.take([row for row in range(len(table)) if row not in missing])


def _item_ids(table: Table, id: str | None, column: str, modality: str) -> np.ndarray:
    """Ids (n,) of the rows, the same for every column of one table: ``id``, else image paths, else row numbers."""
    from stitchkit.datasets.rows import ids_of

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
    return not any(map(is_missing, cells)) and len(set(cells)) == len(cells)


def _default_column(table: Table, modality: str | None) -> str:
    image = table.first_of(*_IMAGE_COLUMNS) if modality != "text" else None
    column = image or (table.first_of("text") if modality != "image" else None)
    if column is None and len(table.columns) == 1:
        return table.columns[0]
    if column is None:
        wanted = {"image": "'path'", "text": "'text'"}.get(str(modality), "'path' or 'text'")
        raise DataError(
            f"{table.path} has no column {wanted}; it has {', '.join(table.columns)}. Name one with "
            + setting("column")
            + "."
        )
    return column


def _modality(table: Table, column: str) -> str:
    """Modality of a column, by its name or by its cells."""
    cells = table.column(column)
    return "image" if column.lower() in _IMAGE_COLUMNS or all(map(looks_like_image, cells)) else "text"


def _values(table: Table, column: str, modality: str, folder: Path) -> Sequence[str | Path]:
    """Texts, or paths of images that exist."""
    if modality not in MODALITIES:
        raise UnknownNameError.of("modality", modality, MODALITIES)
    cells = table.filled_column(column)
    if modality == "text":
        return cells
    paths = [folder / cell for cell in cells]
    missing = [
        position for position, path in enumerate(paths) if not os.path.isfile(file_and_choice(path)[0])
    ]  # of any text, even one too long for a name
    if missing:
        from stitchkit.datasets.missing_files import account_of_missing

        raise table.fault(
            missing[0], column, f"{account_of_missing(cells, folder, missing)}. Write the names as the files have "
            "them, or pass " + setting("root") + " if they are relative to another folder"
            + python_advice(" (of texts: modality='text')"),
        )  # fmt: skip
    return paths
