"""Regions of images that sentences are about: a table of ids, sentences and mask images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.datasets.images import read_image
from stitchkit.datasets.rows import read_rows
from stitchkit.storage.digests import sha256_of

COLUMNS = ("id", "text", "mask")
WHITE = 255


@dataclass(frozen=True, slots=True, eq=False)
class PhraseRegions:
    """Sentences about images, each with the region that it is about.

    Parameters
    ----------
    ids : (m,) str
        Ids of the images; an image may have several sentences.
    texts
        m sentences.
    masks
        m image files as large as the image, white where the region is and black elsewhere.
    """

    ids: np.ndarray
    texts: tuple[str, ...]
    masks: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def digest(self) -> str:
        """SHA-256 of ids, sentences and mask files."""
        parts = (f"{i}\0{text}\0{sha256_of(mask.read_bytes())}" for i, text, mask in zip(
            self.ids.tolist(), self.texts, self.masks, strict=True))  # fmt: skip
        return sha256_of("\n".join(parts).encode())

    def mask_like(self, row: int, image: Any) -> Any:
        """The mask of a row as an image.

        Raises
        ------
        DataError
            If it is not as large as ``image``, the one that it belongs to, or has no white though it is not black.
        """
        mask = read_image(self.masks[row])
        largest = int(np.asarray(mask.convert("L")).max(initial=0))
        if 0 < largest < WHITE:
            raise DataError(
                f"the mask {self.masks[row]} has levels up to {largest}, and a region is white ({WHITE}). Write masks "
                f"of 0 and {WHITE}."
            )
        if mask.size != image.size:
            raise DataError(
                f"the mask {self.masks[row]} is {mask.size[0]} x {mask.size[1]} pixels, and the image "
                f"{str(self.ids[row])!r} {image.size[0]} x {image.size[1]}. Draw masks on the image as it is stored."
            )
        return mask


def read_phrase_regions(path: str | Path) -> PhraseRegions:
    """Sentences and their regions from a table with the columns ``id``, ``text`` and ``mask``.

    Parameters
    ----------
    path
        CSV, TSV, JSON lines or Parquet. Masks are image files, relative to the table's folder.

    Raises
    ------
    DataError
        For a missing column, an empty cell, or a mask that is not there.
    """
    table = read_rows(path)
    ids, texts, names = (table.filled_column(name) for name in COLUMNS)
    masks = [Path(path).parent / name for name in names]
    for row, mask in enumerate(masks):
        if not mask.is_file():
            raise table.fault(row, "mask", f"there is no file {mask}. Check the path")
    return PhraseRegions(np.asarray(ids), texts, tuple(masks))
