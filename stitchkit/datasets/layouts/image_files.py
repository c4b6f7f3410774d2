"""Image files of a published layout: folders are listed once, and missing files are refused or counted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.wording import setting
from stitchkit.datasets.image_files import DICOM_SUFFIXES
from stitchkit.datasets.images import IMAGE_SUFFIXES
from stitchkit.datasets.layouts.published import Rows, names_of

MISSING = ("error", "skip")
_SUFFIXES = frozenset(IMAGE_SUFFIXES)
_CHUNK = 2048  # file names a thread asks for at a time
_THREADS = 16  # a network disk answers each question late, but many at a time


def image_stem(name: str) -> str:
    """A file name without the suffix of an image file, if it has one.

    Examples
    --------
    >>> image_stem("00000001_000.png"), image_stem("1_IM-0001-4001.dcm.png"), image_stem("a.b")
    ('00000001_000', '1_IM-0001-4001.dcm', 'a.b')
    """
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in _SUFFIXES else name


@dataclass(frozen=True, slots=True)
class Listing:
    """Image files that lie directly in some folders.

    Parameters
    ----------
    by_name
        File name -> path, of the first folder that has it.
    by_stem
        Name without the suffix -> names of the files.
    """

    by_name: Mapping[str, str]
    by_stem: Mapping[str, Sequence[str]]

    def path_of(self, cell: str) -> str | None:
        """The path of the file that a cell names; None if there is none.

        A name with a suffix means that very file, or the one of its stem in another format where it was converted. A
        name without one means the file of that stem; DICOM gives way to a picture of it.

        Raises
        ------
        DataError
            If several files could be meant.
        """
        if cell in self.by_name:
            return self.by_name[cell]
        names = self.by_stem.get(image_stem(cell), ())
        pictures = [name for name in names if not name.lower().endswith(DICOM_SUFFIXES)] or list(names)
        if len(pictures) > 1:
            raise DataError(
                f"{cell!r} may be {' or '.join(sorted(pictures)[:4])}. Write the suffix of the file that is meant into "
                f"the table, or remove the others."
            )
        return self.by_name[pictures[0]] if pictures else None


def images_in(folders: Iterable[Path]) -> Listing:
    """The image files that lie directly in ``folders``."""
    by_name: dict[str, str] = {}
    by_stem: dict[str, list[str]] = {}
    for folder in folders:
        if not os.path.isdir(folder):  # False, not an error, for a cell that can be no folder's name
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)
                if suffix.lower() in _SUFFIXES and not stem.startswith(".") and entry.name not in by_name:
                    by_name[entry.name] = entry.path
                    by_stem.setdefault(stem, []).append(entry.name)
    return Listing(by_name, by_stem)


def folder_of_images(root: Path, images: str | None) -> Path:
    """``root``, or the folder ``images`` below it, which must be there."""
    folder = root if images is None else root / images
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. Name the folder of the images relative to {root}.")
    return folder


def image_folders(root: Path, usual: Sequence[str], images: str | Sequence[str] | None) -> list[Path]:
    """The folders of a set's images: ``images`` below ``root``, or those of the patterns ``usual`` that are there.

    Raises
    ------
    DataError
        If one of ``images`` is not there, or none of ``usual``.
    """
    if images is not None:
        return [folder_of_images(root, name) for name in names_of(images)]
    folders = [path for pattern in usual for path in sorted(root.glob(pattern)) if path.is_dir()]
    if not folders:
        raise DataError(
            f"{root} holds no folder {' or '.join(usual)} of images. Unpack it there, or name it with "
            + setting("images") + "."
        )  # fmt: skip
    return folders


def with_images(rows: Rows, column: str, folders: Sequence[Path], missing: str) -> tuple[Rows, list[Path]]:
    """The rows whose image, named by ``column``, lies in one of ``folders``, and the paths of these images."""
    images = images_in(folders)
    paths = []
    for place, cell in enumerate(rows.column(column)):
        try:
            paths.append(images.path_of(cell))
        except DataError as error:
            raise rows.table.fault(place, column, error.message.rstrip(".")) from None
    kept = _without_missing(rows, column, [path is not None for path in paths], missing)
    return kept, [Path(path) for path in paths if path is not None]


def with_files(rows: Rows, column: str, paths: Sequence[str], missing: str) -> tuple[Rows, list[Path]]:
    """The rows whose file of ``paths`` (n,) exists, and these paths; ``column`` is named where one is missing."""
    there = files_there(paths)
    kept = _without_missing(rows, column, there, missing)
    return kept, [Path(path) for path, exists in zip(paths, there, strict=True) if exists]


def files_there(paths: Sequence[str]) -> np.ndarray:
    """Existence of n files, as (n,) bool; for trees of many folders with a few files each."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    if len(chunks) < 2:
        return np.asarray([os.path.isfile(path) for path in paths], dtype=bool)
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = pool.map(lambda chunk: [os.path.isfile(path) for path in chunk], chunks)
        return np.concatenate([np.asarray(part, dtype=bool) for part in parts])


def checked_missing(missing: str) -> str:
    """``missing`` if it is a policy there is."""
    if missing not in MISSING:
        raise UnknownNameError.of("policy for missing images", missing, MISSING)
    return missing


def _without_missing(rows: Rows, column: str, there: Sequence[bool] | np.ndarray, missing: str) -> Rows:
    checked_missing(missing)
    absent = np.flatnonzero(~np.asarray(there, dtype=bool))
    if len(absent) and missing == "error":
        raise rows.table.fault(
            int(absent[0]), column, f"the image file is not there ({len(absent)} of {len(rows)} are missing). Unpack "
            f"the images where the layout has them, or leave such rows out with " + setting("missing", "skip"),
        )  # fmt: skip
    return rows.where(there, "image file missing")
