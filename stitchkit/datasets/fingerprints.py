"""Fingerprints of images: their lowest cosine waves, of the whole image, or of a thumbnail magnified and rotated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from stitchkit.datasets.thumbnails import SIDE, centres, grey_thumbnail

WAVES = 16  # a side of the lowest cosine waves of a fingerprint
LENGTH = WAVES * WAVES - 1  # without the constant
REDUCED = 32  # pixels a side of the copy that the fingerprint of an image is made of
TILE = 2048  # fingerprints a side that are compared at once
VIEWS = ((1.0, 0.0), (0.95, 0.0), (0.9, 0.0), (0.85, 0.0), (0.8, 0.0), (1.0, 2.5), (1.0, -2.5))
"""Visible share of each side and rotation in degrees: what a copy that was cropped, padded or turned is compared in."""


def fingerprint(image: Any) -> np.ndarray:
    """255 numbers of unit length that stay about the same when an image is encoded, resized or brightened anew.

    The lowest 16 x 16 cosine waves (type II, without the constant) of a 32 x 32 grey thumbnail, each multiplied by
    its frequency, which evens out that coarse waves are strong in every picture, then by the signed square root: no
    few waves decide. The classical perceptual hashes keep the signs of 64 such numbers. That is too little for films
    that look alike: of 477,334 pairs of chest films of different patients 4,828 are within 6 bits of 64 (difference
    hash of neighbouring pixels) and 209 within 8 (hash of cosine waves), while a JPEG of quality 30 is up to 6 bits
    from its own original by the first, and a gamma of 1.2 up to 8 by the second (``benchmarks/near_duplicates.py``).

    Parameters
    ----------
    image
        PIL image, or (h, w[, 3]) array.

    Returns
    -------
    (255,) float32
        Of length 1; zeros for an image that shows nothing.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> coarse = rng.random((12, 12))
    >>> image = np.kron(coarse, np.ones((20, 20)))
    >>> round(float(fingerprint(image) @ fingerprint(image[::2, ::2] * 0.9)), 2)
    1.0
    >>> bool(fingerprint(np.zeros((50, 50))).any())
    False
    """
    small = grey_thumbnail(image, REDUCED, Image.Resampling.LANCZOS)
    if small is None:
        return np.zeros(LENGTH, dtype=np.float32)
    cosines = _cosines((np.arange(REDUCED) + 0.5) / REDUCED)
    return _signed_roots((cosines @ small @ cosines.T).ravel()[1:] * _frequencies())


def view_fingerprints(thumbnails: np.ndarray, view: int = 0) -> np.ndarray:
    """255 numbers an image, of unit length: the lowest cosine waves of one of its ``VIEWS``.

    As :func:`fingerprint`, of equalised thumbnails.

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
    waves = (levels - 128) @ _view_waves(*VIEWS[view]).T
    waves[~levels.any(axis=1)] = 0
    return _signed_roots(waves)


def view_map(view: int) -> np.ndarray:
    """(2, 3): the place in the image of a place in its view, both in coordinates from -1 to 1."""
    share, degrees = VIEWS[view]
    cosine, sine = share * np.cos(np.radians(degrees)), share * np.sin(np.radians(degrees))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0]])


def tiles(n: int, m: int | None = None) -> Iterator[tuple[slice, list[slice]]]:
    """Rows of one side, and the tiles of the other side's rows that they are compared with.

    Parameters
    ----------
    n
        Fingerprints on the one side.
    m
        Fingerprints on the other; by default the rows of the one side are compared among themselves, and only the
        upper triangle of tiles comes: on its diagonal both slices are equal.

    Examples
    --------
    >>> [len(columns) for rows, columns in tiles(5000)], [len(columns) for rows, columns in tiles(2048, 5000)]
    ([3, 2, 1], [3])
    """
    for start in range(0, n, TILE):
        columns = range(start if m is None else 0, n if m is None else m, TILE)
        yield slice(start, start + TILE), [slice(one, one + TILE) for one in columns]


def _signed_roots(waves: np.ndarray) -> np.ndarray:
    """Signed square roots of waves (..., 255), of unit length; zeros stay zeros."""
    rooted = np.sign(waves) * np.sqrt(np.abs(waves))
    return np.asarray(rooted / np.maximum(np.linalg.norm(rooted, axis=-1, keepdims=True), 1e-12), dtype=np.float32)


def _frequencies() -> np.ndarray:
    """(255,): the weight of each wave."""
    return np.asarray(np.hypot(np.arange(WAVES)[:, None], np.arange(WAVES)[None, :]).ravel()[1:])


def _cosines(places: np.ndarray) -> np.ndarray:
    """(16, ...): the lowest cosine waves along one side, at places from 0 to 1."""
    return np.asarray(np.cos(np.pi * np.multiply.outer(np.arange(WAVES), places)))


@lru_cache(maxsize=len(VIEWS))
def _view_waves(share: float, degrees: float) -> np.ndarray:
    """(255, 4096): the weighed waves of a view, laid over the whole thumbnail and zero outside the view."""
    angle = np.radians(degrees)
    x, y = centres()[None, :], centres()[:, None]
    across = (np.cos(angle) * x + np.sin(angle) * y) / share
    down = (np.cos(angle) * y - np.sin(angle) * x) / share
    covered = np.clip((1 - np.maximum(np.abs(across), np.abs(down))) * share * SIDE / 2 + 0.5, 0, 1).ravel()
    horizontal, vertical = _cosines((across + 1) / 2), _cosines((down + 1) / 2)
    basis = (vertical[:, None] * horizontal[None]).reshape(WAVES * WAVES, -1)[1:]
    basis = (basis - (basis @ covered / covered.sum())[:, None]) * covered  # blind to the mean of what is visible
    return np.asarray(basis * _frequencies()[:, None], dtype=np.float32)
