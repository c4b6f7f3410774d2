"""Shapes and textures drawn by rule: what the demo's general encoder learns to see. Nothing here looks like a chest."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "make_shapes"]

Floats = NDArray[np.float32]
QUADRANTS = 4


def make_shapes(n: int, *, seed: int, size: int = 96) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``n`` pictures of one shape or texture patch in one quadrant, and what they show.

    Parameters
    ----------
    n
        Number of pictures.
    seed
        Decides everything.
    size
        Pixels a side.

    Returns
    -------
    images : (n, size, size) uint8
    labels : (n,) int64
        ``kind * 4 + quadrant``, kinds in the order of ``KINDS``, quadrants row by row.

    Examples
    --------
    >>> images, labels = make_shapes(2, seed=0, size=32)
    >>> images.shape, int(labels.max()) < len(KINDS) * 4
    ((2, 32, 32), True)
    """
    rng = np.random.default_rng([seed, 30])
    centres = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    labels = rng.integers(len(KINDS) * QUADRANTS, size=n)
    images = np.empty((n, size, size), np.uint8)
    for row, label in enumerate(labels.tolist()):
        images[row] = _picture(rng, centres, label // QUADRANTS, label % QUADRANTS)
    return images, labels


def _picture(rng: np.random.Generator, centres: Floats, kind: int, quadrant: int) -> NDArray[np.uint8]:
    """One shape on a background of waves, specks and noise."""
    grey = _background(rng, centres)
    strength = rng.choice([-1, 1]) * rng.uniform(0.08, 0.5)
    grey += np.float32(strength) * _place(rng, centres, kind, quadrant)
    grey += np.float32(rng.uniform(0.0, 0.06)) * rng.standard_normal(grey.shape, np.float32)
    return np.clip(grey * 255, 0, 255).astype(np.uint8)


def _place(rng: np.random.Generator, centres: Floats, kind: int, quadrant: int) -> Floats:
    """One shape, turned, stretched and moved about in its quadrant."""
    at_x = (quadrant % 2 - 0.5) * 0.95 + rng.uniform(-0.22, 0.22)
    at_y = (quadrant // 2 - 0.5) * 0.95 + rng.uniform(-0.22, 0.22)
    angle, scale, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(0.14, 0.46), rng.uniform(0.75, 1.33)
    x, y = centres[None, :] - np.float32(at_x), centres[:, None] - np.float32(at_y)
    cos, sin = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
    u, v = (x * cos + y * sin) * np.float32(stretch), y * cos - x * sin
    return _DRAW[kind](u, v, np.float32(0.025 / scale), rng)


def _background(rng: np.random.Generator, centres: Floats) -> Floats:
    """Two slow waves and a few soft or sharp specks that mean nothing."""
    x, y = centres[None, :], centres[:, None]
    grey = np.full((len(centres), len(centres)), rng.uniform(0.3, 0.7), np.float32)
    for strength in rng.uniform(0, 0.14, 2):
        kx, ky, phase = rng.normal(0, 2.2, 3)
        grey += np.float32(strength) * np.sin(np.float32(kx) * x + np.float32(ky) * y + np.float32(phase))
    for _ in range(int(rng.integers(0, 4))):
        px, py, width = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.02, 0.3)
        column = np.exp(-(((x - np.float32(px)) / np.float32(width)) ** 2))
        spot = np.exp(-(((y - np.float32(py)) / np.float32(width)) ** 2)) * column
        grey += np.float32(rng.uniform(-0.2, 0.2)) * spot
    return grey


def _fill(distance: Floats, soft: np.float32) -> Floats:
    """1 where the distance is positive, with an edge ``soft`` wide."""
    return np.asarray(np.clip(distance / soft + np.float32(0.5), 0, 1), np.float32)


def _disc(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    return _fill(1 - np.hypot(u, v), soft * np.float32(rng.uniform(1, 8)))


def _ring(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    return _fill(np.float32(rng.uniform(0.06, 0.22)) - np.abs(np.hypot(u, v) - np.float32(0.8)), soft)


def _square(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    return _fill(np.float32(0.85) - np.maximum(np.abs(u), np.abs(v)), soft)


def _triangle(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    sides = [u * np.float32(np.cos(a)) + v * np.float32(np.sin(a)) for a in (0.0, 2.094, 4.189)]
    return _fill(np.float32(0.55) - np.maximum(np.maximum(sides[0], sides[1]), sides[2]), soft)


def _cross(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    thin = np.float32(rng.uniform(0.12, 0.28))
    arms = np.maximum(thin - np.abs(u), thin - np.abs(v))
    return _fill(np.minimum(arms, 1 - np.maximum(np.abs(u), np.abs(v))), soft)


def _bar(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    thin = np.float32(rng.uniform(0.05, 0.2))
    return _fill(np.minimum(thin - np.abs(v), np.float32(1.2) - np.abs(u)), soft)


def _bow(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    bend = np.float32(rng.uniform(0.4, 1.2))
    line = v - bend * (u * u - np.float32(0.4))
    return _fill(np.minimum(np.float32(rng.uniform(0.06, 0.16)) - np.abs(line), 1 - np.abs(u)), soft)


def _crescent(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    hole = np.hypot(u - np.float32(rng.uniform(0.3, 0.6)), v)
    return _fill(np.minimum(1 - np.hypot(u, v), hole - np.float32(0.85)), soft)


def _window(u: Floats, v: Floats) -> Floats:
    return np.asarray(np.exp(-((u * u + v * v) ** 2)), np.float32)


def _stripes(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    return np.asarray(_window(u, v) * np.sin(np.float32(rng.uniform(5, 12)) * u), np.float32)


def _checks(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    often = np.float32(rng.uniform(4, 8))
    return np.asarray(_window(u, v) * np.clip(4 * np.sin(often * u) * np.sin(often * v), -1, 1), np.float32)


def _dots(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    often = np.float32(rng.uniform(5, 9))
    grid = np.cos(often * u) + np.cos(often * v)
    return np.asarray(_window(u, v) * np.clip(grid - np.float32(0.8), 0, 1), np.float32)


def _cloud(u: Floats, v: Floats, soft: np.float32, rng: np.random.Generator) -> Floats:
    waves = sum(np.sin(np.float32(a) * u + np.float32(b) * v + np.float32(c)) for a, b, c in rng.normal(0, 6, (5, 3)))
    return np.asarray(_window(u, v) * np.clip(waves / np.float32(2.5), -1, 1), np.float32)


KINDS: dict[str, Callable[[Floats, Floats, np.float32, np.random.Generator], Floats]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "bar": _bar,
    "bow": _bow,
    "crescent": _crescent,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "cloud": _cloud,
}
_DRAW = tuple(KINDS.values())
