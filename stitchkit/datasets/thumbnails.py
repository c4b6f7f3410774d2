"""Thumbnails of images, equalised so that no monotone change of intensities shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

SIDE = 64  # pixels a side
BLANK = 0.002  # spread, relative to the brightest pixel, below which an image shows nothing
STEPS = 4096  # grey levels that are told apart; finer differences are rounding
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what Pillow's mode "L" is made of


def thumbnail(image: Any) -> np.ndarray:
    """Ranks of the grey levels of a small copy, so that no monotone change of intensities shows.

    Parameters
    ----------
    image
        PIL image, or (h, w[, 3]) array.

    Returns
    -------
    (64, 64) uint8
        From 1, the darkest, to 255; equal levels have equal ranks. Zeros for a blank image.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((64, 64))
    >>> int(np.abs(thumbnail(image).astype(int) - thumbnail(np.exp(image))).max()) <= 1
    True
    >>> bool(thumbnail(np.zeros((50, 50))).any())
    False
    """
    small = grey_thumbnail(image, SIDE, Image.Resampling.BILINEAR)
    if small is None:
        return np.zeros((SIDE, SIDE), dtype=np.uint8)
    levels = np.rint((small - small.min()) * (STEPS / np.ptp(small))).astype(np.int64)
    counts = np.bincount(levels.ravel(), minlength=STEPS + 1)
    ranks = (np.cumsum(counts) - counts / 2) / small.size
    return np.asarray(np.rint(1 + 254 * ranks).astype(np.uint8)[levels])


def grey_thumbnail(image: Any, side: int, resampling: Image.Resampling) -> np.ndarray | None:
    """Grey levels (side, side) in float64 of a small copy; None for an image that shows nothing, or holds NaN."""
    small = np.asarray(grey(image).resize((side, side), resampling), dtype=np.float64)
    return small if small.std() > BLANK * np.abs(small).max() else None


def grey(image: Any) -> Image.Image:
    """Any image as grey levels in float32, nothing cut off at 8 bits."""
    if isinstance(image, Image.Image):
        if image.mode.startswith(("I", "F")):
            return Image.fromarray(np.asarray(image, dtype=np.float32))
        return image.convert("L").convert("F")
    array = np.asarray(image, dtype=np.float32)
    if array.ndim == 3:
        array = array[..., 0] if array.shape[2] < 3 else array[..., :3] @ np.asarray(LUMA, dtype=np.float32)
    return Image.fromarray(array)


def centres(side: int = SIDE) -> np.ndarray:
    """(side,): centres of pixels in coordinates from -1 to 1."""
    return np.asarray((2 * np.arange(side) + 1) / side - 1)
