"""Sets of figures with captions: no labels, and an article (or a video) instead of a patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.keys import is_missing
from stitchkit.core.wording import setting
from stitchkit.datasets.images import IMAGE_SUFFIXES
from stitchkit.datasets.layouts.assembling import Part
from stitchkit.datasets.layouts.image_files import with_files, with_images
from stitchkit.datasets.layouts.published import Rows


def read_captioned(
    rows: Rows,
    image: str,
    caption: str,
    folder: Path,
    missing: str,
    *,
    group: Callable[[str], str] | None,
    split: str = "",
    split_column: str = "",
) -> Part:
    """One table of images and captions; rows without a caption are left out and counted.

    Parameters
    ----------
    image, caption
        Columns. An image may stand in several rows; the k-th has ``#k`` behind its id.
    folder
        Folder of the images, named by ``image``, with or without suffix.
    group
        Image -> what its pairs must not be divided from; None where nothing is published.
    split, split_column
        The name of all rows' split, or the column that holds it.
    """
    rows = rows.where([not is_missing(cell) for cell in rows.column(caption)], "empty caption")
    rows.table.filled_column(image)
    if all(name.lower().endswith(IMAGE_SUFFIXES) for name in rows.column(image)):  # asks for these files alone
        rows, paths = with_files(rows, image, [str(folder / name) for name in rows.column(image)], missing)
    else:
        rows, paths = with_images(rows, image, [folder], missing)
    images = rows.column(image)
    parts = rows.table.filled_column(split_column) if split_column else [split] * len(rows)
    return Part(
        _distinct(images),
        paths,
        np.empty((len(rows), 0)),
        rows.left_out,
        None if group is None else [group(name) for name in images],
        texts=rows.column(caption),
        split=np.asarray(parts, dtype=np.str_) if split or split_column else None,
    )


def first_folder(root: Path, names: Sequence[str], images: str | None) -> Path:
    """The folder of the images: ``images`` below ``root``, or the first of ``names`` that is there.

    Raises
    ------
    DataError
        If there is none.
    """
    for name in names if images is None else (images,):
        if (root / name).is_dir():
            return root / name
    raise DataError(
        f"{root} holds no folder {' or '.join(names if images is None else (images,))} of images. Unpack it there, or "
        "name it with " + setting("images") + "."
    )


def _distinct(names: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    ids = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        ids.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return ids
