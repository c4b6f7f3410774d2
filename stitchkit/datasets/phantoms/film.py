"""From facts to a film: what the rays met, the film curve, noise, marker and collimation."""

import numpy as np
from numpy.typing import NDArray

from stitchkit.datasets.phantoms.anatomy import body, bones, chest_of, lungs, vessels
from stitchkit.datasets.phantoms.canvas import Canvas, Floats, Spots, curve, edge, join
from stitchkit.datasets.phantoms.facts import Phantom
from stitchkit.datasets.phantoms.findings import change_lungs, foreign_bodies, lung_spots

__all__ = ["film_levels", "render"]

_GRAIN = 192  # the noise has this many cells a side, whatever the size of the film


def render(phantom: Phantom, size: int = 96) -> NDArray[np.uint8]:
    """The film of a phantom, ``(size, size)`` grey levels 0 .. 255; a larger size shows the same film, finer.

    Parameters
    ----------
    phantom
        The facts; nothing else decides the film.
    size
        Pixels a side, at least 16.

    Examples
    --------
    >>> from stitchkit.datasets.phantoms import draw_phantoms
    >>> render(draw_phantoms(1, seed=0)[0]).shape
    (96, 96)
    """
    film: NDArray[np.uint8] = np.clip(film_levels(phantom, size) + np.float32(0.5), 0, 255).astype(np.uint8)
    return film


def film_levels(phantom: Phantom, size: int = 96) -> Floats:
    """The grey levels of :func:`render`, ``(size, size)`` float32, before they are rounded.

    Their last digits depend on the processor and on numpy's build.
    """
    nuisance = phantom.nuisance
    canvas = Canvas.of(size, tilt=nuisance.tilt, zoom=nuisance.zoom, shift=nuisance.shift)
    chest = chest_of(phantom, canvas)
    trunks, branches = vessels(phantom)
    air = lungs(chest, canvas)
    marked = lung_spots(phantom, chest)
    air, bare = change_lungs(phantom, chest, canvas, air)
    aerated = air * (1 - np.float32(0.86) * chest.heart)
    tissue, skin = body(phantom, chest, canvas)
    lines = canvas.spots(branches) * bare + canvas.spots(marked)
    total = (
        tissue
        + skin * np.float32(0.10) * chest.heart
        - np.float32(0.60) * aerated
        + np.minimum(air * 2, 1) * lines * (1 - np.float32(0.7) * chest.heart)
        + canvas.spots(trunks) * edge(0.8 - chest.heart, 0.3)
        + skin * bones(phantom, chest, canvas)
        + foreign_bodies(phantom, chest, canvas)
    )
    return _develop(phantom, canvas, np.asarray(total, np.float32))


def _develop(phantom: Phantom, canvas: Canvas, total: Floats) -> Floats:
    """Film curve, grain (more of it where little light came), marker, collimation."""
    nuisance = phantom.nuisance
    bend = (total - np.float32(0.50 + 0.06 * nuisance.exposure)) * np.float32(4.9 * nuisance.contrast)
    rng = np.random.default_rng([phantom.seed, 9])
    uneven = rng.normal(0, 0.12, 2)
    bend = bend + np.float32(uneven[0]) * canvas.film_x + np.float32(uneven[1]) * canvas.film_y
    grey = np.float32(236) / (1 + np.exp(-bend)) + np.float32(6)
    grain = rng.standard_normal((_GRAIN, _GRAIN), np.float32)
    grey = grey + np.float32(2 * nuisance.noise) * _sample(grain, canvas.size) * (0.35 + grey / 240)
    grey = np.maximum(grey, 250 * np.minimum(canvas.spots(_marker(phantom), on_film=True), 1))
    left, top, right, bottom = nuisance.collimation
    rim = np.minimum(
        np.minimum(canvas.film_x + np.float32(1 - left), np.float32(1 - right) - canvas.film_x),
        np.minimum(canvas.film_y + np.float32(1 - top), np.float32(1 - bottom) - canvas.film_y),
    )
    field = np.where(rim < 0.08, edge(rim, 0.012), 1) if max(nuisance.collimation) > 0 else np.float32(1)
    return np.asarray(grey * field + 3 * (1 - field), np.float32)


def _sample(grain: Floats, size: int) -> Floats:
    """The grain at the pixel centres, bilinear: at half its own size, means of 2 x 2 cells."""
    at = np.clip((np.arange(size) + 0.5) * grain.shape[0] / size - 0.5, 0, grain.shape[0] - 1.001)
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    rows = grain[low] + part[:, None] * (grain[low + 1] - grain[low])
    return np.asarray(rows[:, low] + part * (rows[:, low + 1] - rows[:, low]), np.float32)


def _marker(phantom: Phantom) -> Spots:
    """A lead letter on the patient's right, inside the collimated field; "AP" beside it on portable films."""
    left, top, _, _ = phantom.nuisance.collimation
    letters = [_letter("R", (-0.90 + left, -0.88 + top), 0.062)]
    if phantom.view == "AP":
        letters += [_letter(one, (-0.925 + 0.075 * k + left, -0.72 + top), 0.048) for k, one in enumerate("AP")]
    return join(*letters)


_STROKES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "R": (((0, -1), (0, 1)), ((0, -1), (0.7, -0.95), (0.9, -0.5), (0.7, -0.05), (0, 0)), ((0.3, 0), (1, 1))),
    "A": (((-0.2, 1), (0.4, -1)), ((0.4, -1), (1, 1)), ((0.1, 0.3), (0.7, 0.3))),
    "P": (((0, -1), (0, 1)), ((0, -1), (0.7, -0.95), (0.9, -0.45), (0.7, 0.05), (0, 0.1))),
}


def _letter(letter: str, at: tuple[float, float], half: float) -> Spots:
    """A letter as strokes round its left middle, ``half`` of its height tall on either side."""
    return join(*(curve(np.asarray(one) * half + at, 0.0105, 0.85) for one in _STROKES[letter]))
