"""Films that are the same on every machine: grey levels near the edge of two are rounded as a list says.

The grey levels of a film are computed in single precision, whose last digits depend on the processor and on numpy's
build. Where a level lies near the edge of two whole ones, another machine may round it to the other.
"""

import numpy as np
from numpy.typing import NDArray

from stitchkit.core.errors import DataError
from stitchkit.datasets.phantoms.canvas import Floats

__all__ = ["edges_of", "rounded"]

NEAR = 0.002  # grey levels; processors differ by up to 0.0005 on films of 96 pixels


def edges_of(levels: Floats) -> str:
    """Pixels of a film near the edge of two grey levels, each with the way that this machine rounds it.

    Parameters
    ----------
    levels : (size, size)
        Grey levels before they are rounded, of :func:`stitchkit.datasets.phantoms.film.film_levels`.

    Examples
    --------
    >>> edges_of(np.float32([[3.5, 7.2], [9.4999, 1.0]]))
    '0+ 2-'
    """
    flat = levels.ravel().astype(np.float64)
    near = np.flatnonzero(np.abs(flat - np.floor(flat) - 0.5) < NEAR)
    return " ".join(f"{pixel}{'+' if flat[pixel] - np.floor(flat[pixel]) >= 0.5 else '-'}" for pixel in near)


def rounded(levels: Floats, edges: str) -> NDArray[np.uint8]:
    """The film (size, size): levels rounded to the nearest, and those of ``edges`` up or down as it says.

    Raises
    ------
    DataError
        If ``edges`` names no pixels of the film.

    Examples
    --------
    >>> rounded(np.float32([[3.4999, 7.2], [9.5001, 1.0]]), "0+ 2-").tolist()
    [[4, 7], [9, 1]]
    """
    flat = levels.ravel().astype(np.float64)
    whole = np.floor(flat + 0.5)
    for one in edges.split():
        pixel, way = one[:-1], one[-1]
        if not pixel.isascii() or not pixel.isdecimal() or int(pixel) >= len(flat) or way not in "+-":
            raise DataError(f"{one!r} is no pixel of a film of {levels.shape} with a way to round it.")
        edge = np.floor(flat[int(pixel)]) + 0.5  # the nearest edge, since the level is near one
        whole[int(pixel)] = edge + (0.5 if way == "+" else -0.5)
    film: NDArray[np.uint8] = np.clip(whole, 0, 255).astype(np.uint8).reshape(levels.shape)
    return film
