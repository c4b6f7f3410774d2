"""Equalised thumbnails of images, and fingerprints of them as they are, magnified and turned."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

SIDE = 64  # pixels a side
WAVES = 16  # a side of the lowest cosine waves of a fingerprint
BLANK = 0.002  # spread, relative to the brightest pixel, below which an image shows nothing
STEPS = 4096  # grey levels that are told apart; finer differences are rounding
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what Pillow's mode "L" is made of
VIEWS = ((1.0, 0.0), (0.95, 0.0), (0.9, 0.0), (0.85, 0.0), (0.8, 0.0), (1.0, 2.5), (1.0, -2.5))
"""Visible share of each side and rotation in degrees: what a copy that was cropped, padded or turned is compared in."""


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
    small = np.asarray(grey(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float64)
    if not small.std() > BLANK * np.abs(small).max():
        return np.zeros((SIDE, SIDE), dtype=np.uint8)
    levels = np.rint((small - small.min()) * (STEPS / np.ptp(small))).astype(np.int64)
    counts = np.bincount(levels.ravel(), minlength=STEPS + 1)
    ranks = (np.cumsum(counts) - counts / 2) / small.size
    return np.asarray(np.rint(1 + 254 * ranks).astype(np.uint8)[levels])


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


def view_fingerprints(thumbnails: np.ndarray, view: int = 0) -> np.ndarray:
    """255 numbers an image, of unit length: the lowest cosine waves of one of its ``VIEWS``.

    As :func:`stitchkit.datasets.near_duplicates.fingerprint`, of equalised thumbnails.

    Parameters
    ----------
    thumbnails : (n, 64, 64) uint8
    view
        Row of ``VIEWS``, default 0, the whole image.

    Returns
    -------
    (n, 255) float32
        Zeros for blank images. The fingerprint of an inverted image is the negative.
    """
    levels = thumbnails.reshape(len(thumbnails), SIDE * SIDE).astype(np.float32)
    blank = ~levels.any(axis=1)
    waves = (levels - 128) @ _waves(*VIEWS[view]).T
    rooted = np.sign(waves) * np.sqrt(np.abs(waves))
    rooted[blank] = 0
    return np.asarray(rooted / np.maximum(np.linalg.norm(rooted, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def view_map(view: int) -> np.ndarray:
    """(2, 3): the place in the image of a place in its view, both in coordinates from -1 to 1."""
    share, degrees = VIEWS[view]
    cosine, sine = share * np.cos(np.radians(degrees)), share * np.sin(np.radians(degrees))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0]])


def centres(side: int = SIDE) -> np.ndarray:
    """(side,): centres of pixels in coordinates from -1 to 1."""
    return np.asarray((2 * np.arange(side) + 1) / side - 1)


@lru_cache(maxsize=len(VIEWS))
def _waves(share: float, degrees: float) -> np.ndarray:
    """(255, 4096): the weighed waves of a view, laid over the whole thumbnail and zero outside the view."""
    turn = np.radians(degrees)
    x, y = centres()[None, :], centres()[:, None]
    across = (np.cos(turn) * x + np.sin(turn) * y) / share
    down = (np.cos(turn) * y - np.sin(turn) * x) / share
    covered = np.clip((1 - np.maximum(np.abs(across), np.abs(down))) * share * SIDE / 2 + 0.5, 0, 1)
    wave = np.arange(WAVES)[:, None, None]
    horizontal, vertical = np.cos(np.pi * wave * (across + 1) / 2), np.cos(np.pi * wave * (down + 1) / 2)
    basis = (vertical[:, None] * horizontal[None]).reshape(WAVES * WAVES, -1)[1:]
    covered = covered.ravel()
    basis = (basis - (basis @ covered / covered.sum())[:, None]) * covered  # blind to the mean of what is visible
    frequency = np.hypot(np.arange(WAVES)[:, None], np.arange(WAVES)[None, :]).ravel()[1:]
    return np.asarray(basis * frequency[:, None], dtype=np.float32)
