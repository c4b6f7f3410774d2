"""A patch of film in the patient's coordinates, and the few strokes that everything is painted with.

The patient's frame: x from -1 (the patient's right, left on the film) to 1, y from -1 (top) to 1, whatever
the number of pixels. All widths are in this frame, so a film at 192 px is the film at 96 px, finer.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Floats", "Spots", "arcs", "box", "curve", "edge", "join"]

Floats = NDArray[np.floating[Any]]
Spots = NDArray[np.float64]  # (m, 4): x, y, sigma, weight of round Gaussian spots

_COARSE = 0.024  # wider spots are few
_ROOT_TWO_PI = np.sqrt(2 * np.pi)
_FINEST = 0.0105  # no spot is narrower (half a pixel at 96 px): thinner ones would flicker with the size


@dataclass(frozen=True, slots=True)
class Canvas:
    """Pixel centres in film and patient coordinates, each ``(size, size)``."""

    size: int
    film_x: Floats
    film_y: Floats
    x: Floats
    y: Floats
    tilt: float  # radians
    zoom: float
    shift: tuple[float, float]

    @classmethod
    def of(cls, size: int, *, tilt: float, zoom: float, shift: tuple[float, float]) -> "Canvas":
        """A canvas of ``size`` pixels for a patient tilted (degrees), magnified and shifted on the film."""
        if size < 16:
            raise ValueError(f"a phantom needs at least 16 pixels a side; got size={size}")
        centres = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
        film_x, film_y = np.broadcast_to(centres, (size, size)), np.broadcast_to(centres[:, None], (size, size))
        angle = float(np.deg2rad(tilt))
        cos, sin = np.float32(np.cos(angle) / zoom), np.float32(np.sin(angle) / zoom)
        u, v = film_x - np.float32(shift[0]), film_y - np.float32(shift[1])
        return cls(size, film_x, film_y, u * cos + v * sin, v * cos - u * sin, angle, zoom, shift)

    def spots(self, spots: Spots, *, on_film: bool = False) -> Floats:
        """The sum of Gaussian spots, ``(size, size)``; ``on_film`` for marks in film coordinates."""
        if len(spots) == 0:
            return np.zeros((self.size, self.size), np.float32)
        x, y, sigma, weight = spots.T
        if not on_film:
            cos, sin, zoom = np.cos(self.tilt), np.sin(self.tilt), self.zoom
            x, y, sigma = (
                zoom * (cos * x - sin * y) + self.shift[0],
                zoom * (sin * x + cos * y) + self.shift[1],
                sigma * zoom,
            )
        half = self.size / 2
        at_x, at_y, wide = (x + 1) * half - 0.5, (y + 1) * half - 0.5, np.maximum(sigma, _FINEST) * half
        fine = sigma < _COARSE
        coarse = ~fine
        return _near(self.size, at_x[fine], at_y[fine], wide[fine], weight[fine]) + _whole(
            self.size, at_x[coarse], at_y[coarse], wide[coarse], weight[coarse]
        )


Column = NDArray[np.float64]  # (m,)


def _whole(size: int, x: Column, y: Column, wide: Column, weight: Column) -> Floats:
    """A few wide spots, each evaluated on every pixel (no BLAS: its threads cost more than they give here)."""
    if len(x) == 0:
        return np.zeros((size, size), np.float32)
    away = np.arange(size) - np.stack([x, y])[:, :, None]  # both directions at once: one call of exp
    away *= (np.sqrt(0.5) / wide)[:, None]
    away *= away
    columns, rows = np.exp(np.maximum(-away, -40))
    rows = (rows * weight[:, None]).astype(np.float32)
    return np.asarray(np.einsum("mi,mj->ij", rows, columns.astype(np.float32)), np.float32)


def _near(size: int, x: Column, y: Column, wide: Column, weight: Column) -> Floats:
    """Many narrow spots, each evaluated only on the pixels around it."""
    if len(x) == 0:
        return np.zeros((size, size), np.float32)
    reach = int(np.ceil(3 * wide.max()))
    place = np.stack([x, y])
    visible = ((place > -reach) & (place < size + reach - 1)).all(axis=0)
    if not visible.all():
        place, wide, weight = place[:, visible], wide[visible], weight[visible]
    near, window, padded = np.rint(place), np.arange(-reach, reach + 1), size + 4 * reach
    away = (near - place)[:, :, None] + window
    away *= (np.sqrt(0.5) / wide)[:, None]
    away *= away
    columns, rows = np.exp(np.negative(away, out=away), out=away)
    rows *= weight[:, None]
    first = ((near[1] + 2 * reach) * padded + near[0] + 2 * reach).astype(np.intp)
    pixels = first[:, None] + (window[:, None] * padded + window).ravel()
    light = rows[:, :, None] * columns[:, None, :]
    total = np.bincount(pixels.ravel(), light.ravel(), minlength=padded * padded)
    inner = slice(2 * reach, 2 * reach + size)
    return total.reshape(padded, padded)[inner, inner].astype(np.float32)


def edge(distance: Floats, softness: float) -> Floats:
    """0 outside, 1 inside, over ``softness`` on either side of ``distance == 0``; smooth."""
    t = distance * np.float32(0.5 / softness)
    t = np.minimum(np.maximum(t + np.float32(0.5), 0), 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def box(x: Floats, y: Floats, centre: tuple[float, float], half: tuple[float, float], corner: float) -> Floats:
    """Distance to the inside of a rounded box: positive inside."""
    dx = np.abs(x - np.float32(centre[0])) - np.float32(half[0] - corner)
    dy = np.abs(y - np.float32(centre[1])) - np.float32(half[1] - corner)
    outside = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
    return np.asarray(corner - outside - np.minimum(np.maximum(dx, dy), 0), np.float32)


Span = float | tuple[float, float]  # one value, or the first and the last along a line


def curve(knots: object, sigma: Span, weight: Span) -> Spots:
    """Spots along a smooth line through ``knots`` (k, 2): width and density run from the first to the last value.

    ``weight`` is the density on the line's axis, whatever the spacing of the spots.
    """
    points = np.asarray(knots, float)
    chords = points[1:] - points[:-1]
    thin = max(min(_ends(sigma)), _FINEST)
    count = 4 * int(np.ceil(np.sqrt((chords * chords).sum(1)).sum() / thin / 4.4)) + 1
    line: Spots = _along(_spline(len(points), count) @ points, _ends(sigma), _ends(weight))[0]
    return line


def arcs(knots: NDArray[np.float64], sigma: Span, weight: Span, *, count: int) -> Spots:
    """Many short lines at once, ``knots`` (m, k, 2), each as ``count`` spots."""
    return _along(_spline(knots.shape[1], count) @ knots, _ends(sigma), _ends(weight)).reshape(-1, 4)


def join(*sets: Spots) -> Spots:
    """Several sets of spots as one."""
    return np.concatenate([_NOTHING, *sets])


_NOTHING: Spots = np.empty((0, 4))


def _ends(span: Span) -> tuple[float, float]:
    return span if isinstance(span, tuple) else (span, span)


def _along(points: NDArray[np.float64], sigma: tuple[float, float], weight: tuple[float, float]) -> NDArray[np.float64]:
    """Spots (m, count, 4) at points ([m,] count, 2); a spot weighs what its share of the line does."""
    points = points.reshape(-1, *points.shape[-2:])
    t = _even(points.shape[1])
    steps = points[:, 1:] - points[:, :-1]
    steps *= steps
    half = 0.5 * np.sqrt(steps[..., 0] + steps[..., 1])
    wide = np.maximum(sigma[0] + (sigma[1] - sigma[0]) * t, _FINEST)
    spots = np.empty((*points.shape[:2], 4))
    spots[..., :2] = points
    spots[..., 2] = wide
    spots[:, :-1, 3] = half
    spots[:, -1, 3] = 0
    spots[:, 1:, 3] += half
    spots[..., 3] *= (weight[0] + (weight[1] - weight[0]) * t) / _ROOT_TWO_PI / wide
    return spots


@lru_cache(maxsize=512)
def _even(count: int) -> NDArray[np.float64]:
    """Evenly spaced places from 0 to 1."""
    return np.linspace(0, 1, count)


@lru_cache(maxsize=512)
def _spline(knots: int, count: int) -> NDArray[np.float64]:
    """Weights (count, knots) of a Catmull-Rom spline at evenly spaced places."""
    place = np.linspace(0, knots - 1, count)
    low = np.minimum(place.astype(int), knots - 2)
    t = place - low
    four = 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], 1)
    padded = np.zeros((count, knots + 2))
    np.put_along_axis(padded, low[:, None] + np.arange(4), four, axis=1)
    weights = padded[:, 1:-1].copy()
    weights[:, :2] += padded[:, :1] * (2.0, -1.0)
    weights[:, -2:] += padded[:, -1:] * (-1.0, 2.0)
    return weights
