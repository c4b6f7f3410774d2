"""Where the images of a published layout lie: folders are listed once, and what is missing is refused or counted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.datasets.images import IMAGE_SUFFIXES
from stitchkit.datasets.layouts.published import Rows

MISSING = ("error", "skip")
DICOM_SUFFIXES = (".dcm", ".dicom")
_ORDER = {suffix: place for place, suffix in enumerate((*IMAGE_SUFFIXES, *DICOM_SUFFIXES))}
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
    return stem if suffix.lower() in _ORDER else name


def images_in(folders: Iterable[Path]) -> dict[str, str]:
    """Paths of the images that lie directly in ``folders``, by stem; of one stem, PNG and JPEG come before DICOM."""
    found: dict[str, tuple[int, str]] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)
                rank = _ORDER.get(suffix.lower())
                if rank is not None and not stem.startswith(".") and rank < found.get(stem, (len(_ORDER), ""))[0]:
                    found[stem] = (rank, entry.path)
    return {stem: path for stem, (_, path) in found.items()}


def folder_of_images(root: Path, images: str | None) -> Path:
    """``root``, or the folder ``images`` below it, which must be there."""
    folder = root if images is None else root / images
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. Name the folder of the images relative to {root}.")
    return folder


def with_images(rows: Rows, column: str, folders: Sequence[Path], missing: str) -> tuple[Rows, list[Path]]:
    """The rows whose image, named by ``column``, lies in one of ``folders``, and the paths of these images."""
    found = images_in(folders)
    paths = [found.get(image_stem(cell)) for cell in rows.column(column)]
    kept = _without_missing(rows, column, [path is not None for path in paths], missing)
    return kept, [Path(path) for path in paths if path is not None]


def with_files(rows: Rows, column: str, paths: Sequence[str], missing: str) -> tuple[Rows, list[Path]]:
    """The rows whose file of ``paths`` (n,) exists, and these paths; ``column`` is named where one is missing."""
    there = files_there(paths)
    kept = _without_missing(rows, column, there, missing)
    return kept, [Path(path) for path, found in zip(paths, there, strict=True) if found]


def files_there(paths: Sequence[str]) -> np.ndarray:
    """Which of n files exist, as (n,) bool; for trees of many folders with a few files each."""
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
            f"the images where the layout has them, or leave such rows out with missing='skip'",
        )  # fmt: skip
    return rows.where(there, "image file missing")
