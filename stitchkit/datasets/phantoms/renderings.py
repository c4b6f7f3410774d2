"""Phantoms drawn in several ways: one finding, place and severity, whatever the drawing looks like.

A rendering is a drawing, not an imaging technique: nothing of the physics of ultrasound or magnetic resonance is in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.seeds import check_seed
from stitchkit.datasets.phantoms.canvas import Floats, edge
from stitchkit.datasets.phantoms.facts import FINDINGS, Phantom, draw_phantoms
from stitchkit.datasets.phantoms.film import film_levels
from stitchkit.datasets.phantoms.reports import write_caption

__all__ = ["NORMAL", "RENDERINGS", "SENTENCES", "RenderingSet", "make_renderings", "rendered"]

NORMAL = "normal"  # class of a phantom without a finding
_GRAIN = 192  # speckle has this many cells a side, whatever the size of the drawing
_LEAST = 0.35  # severity of the mildest finding


@dataclass(frozen=True, slots=True, eq=False)
class RenderingSet:
    """``n`` phantoms with at most one finding each, drawn in several ways.

    Attributes
    ----------
    ids : (n,) str
        ``"rendering-<seed>-00012"``; the same phantom has the same id in every rendering.
    images : rendering -> (n, size, size) or (n, size, size, 3) uint8
    texts : rendering -> n texts
        A sentence that names the rendering (``SENTENCES``), and one of the finding with grade, side and zone.
    labels : (n, c) int8
        One class each; c = ``len(classes)``.
    severity : (n,) float32
        In [0, 1]; 0 without a finding.
    patients : (n,) str
        One phantom each.
    phantoms : n facts
    """

    ids: NDArray[np.str_]
    images: Mapping[str, NDArray[np.uint8]]
    texts: Mapping[str, list[str]]
    labels: NDArray[np.int8]
    severity: NDArray[np.float32]
    patients: NDArray[np.str_]
    phantoms: tuple[Phantom, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of ``labels``."""
        return (NORMAL, *FINDINGS)

    def __len__(self) -> int:
        return len(self.ids)


def make_renderings(
    n: int, *, seed: int, size: int = 96, kinds: Sequence[str] = ("film", "speckle", "smooth", "colour")
) -> RenderingSet:
    """``n`` phantoms with one finding or none, each drawn in several ways.

    The drawings of a phantom share its finding, place, severity and anatomy, so that what belongs together across
    renderings is known exactly.

    Parameters
    ----------
    n
        Number of phantoms.
    seed
        Decides everything; the first phantoms of a longer draw are those of a shorter one.
    size
        Pixels a side, at least 16.
    kinds
        Renderings: ``"film"`` as :func:`stitchkit.make_phantoms` draws it; ``"speckle"`` in a sector; ``"smooth"``,
        inverted under a smooth field; ``"colour"``, tinted with a vignette.

    Returns
    -------
    RenderingSet

    Raises
    ------
    InputError
        For fewer than 0 phantoms, or no rendering.
    UnknownNameError
        For an unknown rendering.

    Examples
    --------
    >>> few = make_renderings(3, seed=1, size=32)
    >>> few.images["speckle"].shape, few.images["colour"].shape
    ((3, 32, 32), (3, 32, 32, 3))
    >>> few.labels.sum(axis=1).tolist()
    [1, 1, 1]
    """
    check_seed(seed)
    if n < 0 or not kinds:
        raise InputError(
            f"make_renderings takes 0 phantoms or more and at least one rendering; got {n}, {list(kinds)}."
        )
    for kind in kinds:
        if kind not in RENDERINGS:
            raise UnknownNameError.of("rendering", str(kind), RENDERINGS)
    phantoms = _with_one_finding(n, seed)
    drawn: dict[str, list[NDArray[np.uint8]]] = {kind: [] for kind in kinds}
    for one in phantoms:
        levels = film_levels(one, size)
        for kind, images in drawn.items():
            images.append(rendered(one, kind, levels))
    severity = np.array([one.severities for one in phantoms], np.float32).reshape(n, len(FINDINGS))
    labels = np.column_stack([(severity == 0).all(axis=1), severity > 0]).astype(np.int8)
    shapes = {kind: (size, size, 3) if kind == "colour" else (size, size) for kind in kinds}
    return RenderingSet(
        ids=np.array([f"rendering-{seed}-{row:05d}" for row in range(n)], np.str_),
        images={kind: np.array(images, np.uint8).reshape(n, *shapes[kind]) for kind, images in drawn.items()},
        texts={kind: [f"{SENTENCES[kind]} {write_caption(one, seed=seed)}" for one in phantoms] for kind in kinds},
        labels=labels,
        severity=severity.max(axis=1, initial=0.0),
        patients=np.array([f"patient-{seed}-{row:05d}" for row in range(n)], np.str_),
        phantoms=phantoms,
    )


def rendered(phantom: Phantom, kind: str, levels: Floats) -> NDArray[np.uint8]:
    """One drawing of a phantom from the grey levels (size, size) of its film.

    Parameters
    ----------
    phantom
        Its seed decides speckle, field and tint.
    kind
        Name of the rendering.
    levels
        Grey levels of :func:`stitchkit.datasets.phantoms.film.film_levels`, 0 to 255.
    """
    drawn = RENDERINGS[kind](levels, np.random.default_rng([phantom.seed, 70, list(RENDERINGS).index(kind)]))
    image: NDArray[np.uint8] = np.clip(drawn + np.float32(0.5), 0, 255).astype(np.uint8)
    return image


def _with_one_finding(n: int, seed: int) -> tuple[Phantom, ...]:
    """Phantoms of which one in eight has no finding and the others one, of severity .35 to 1."""
    rng, phantoms = np.random.default_rng([seed, 71]), []
    for row, one in enumerate(draw_phantoms(n, seed=seed, two_films=0.0)):
        which, grade = int(rng.integers(len(FINDINGS) + 1)), float(rng.uniform(_LEAST, 1.0))
        severities = tuple(grade if i == which else 0.0 for i in range(len(FINDINGS)))
        phantoms.append(replace(one, patient=row, severities=severities))
    return tuple(phantoms)


def _film(levels: Floats, rng: np.random.Generator) -> Floats:
    return levels


def _speckle(levels: Floats, rng: np.random.Generator) -> Floats:
    """A sector below an arc, its grain as strong as its brightness, darker with depth."""
    x, y = _places(len(levels))
    down = y + np.float32(1.6)  # from the point where the sector's sides meet, above the drawing
    depth, angle = np.hypot(x, down), np.abs(np.arctan2(x, down))
    sector = edge(depth - np.float32(0.62), 0.03) * edge(np.float32(0.72) - angle, 0.02)
    a, b = (_grain(rng, len(levels), (0.6, 1.4)) for _ in range(2))
    strength = np.sqrt((a * a + b * b) / 2)  # amplitude of a sum of many small echoes
    fading = np.exp(np.float32(-0.35) * (depth - np.float32(0.62)))
    return np.asarray(sector * levels * strength * fading * np.float32(1.1), np.float32)


def _smooth(levels: Floats, rng: np.random.Generator) -> Floats:
    """Bright where the film is dark, without fine detail, under a field that varies slowly."""
    x, y = _places(len(levels))
    soft = _blurred(np.float32(255) - levels, (0.022 * len(levels) / 2,) * 2, wrap=False)
    a, b, c = rng.uniform(-0.3, 0.3, 3).astype(np.float32)
    return np.asarray(np.float32(0.8) * soft * np.exp(a * x + b * y + c * (x * x + y * y - 1)), np.float32)


def _colour(levels: Floats, rng: np.random.Generator) -> Floats:
    """Between a dark and a light tint, which differ from item to item, darker towards the corners."""
    x, y = _places(len(levels))
    dark = np.asarray([70, 30, 25], np.float32) + rng.uniform(-12, 12, 3).astype(np.float32)
    light = np.asarray([245, 205, 180], np.float32) + rng.uniform(-10, 10, 3).astype(np.float32)
    share = (levels / np.float32(255))[:, :, None] ** np.float32(rng.uniform(0.8, 1.2))
    vignette = 1 - np.float32(0.28) * (x * x + y * y)[:, :, None] ** 2 / 2
    return np.asarray((dark + share * (light - dark)) * vignette, np.float32)


RENDERINGS: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "film": _film,
    "speckle": _speckle,
    "smooth": _smooth,
    "colour": _colour,
}
SENTENCES = {
    "film": "Drawn as a film.",
    "speckle": "Drawn with speckle in a sector.",
    "smooth": "Drawn smooth and inverted.",
    "colour": "Drawn as a colour photograph.",
}


def _places(size: int) -> tuple[Floats, Floats]:
    """Pixel centres across and down, each (size, size) in [-1, 1]."""
    centres = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    return np.broadcast_to(centres, (size, size)), np.broadcast_to(centres[:, None], (size, size))


def _grain(rng: np.random.Generator, size: int, wide: tuple[float, float]) -> Floats:
    """Smooth noise (size, size) of variance 1, the same at every size; ``wide`` in cells, down and across."""
    cells = _blurred(rng.standard_normal((_GRAIN, _GRAIN)), wide, wrap=True)
    cells = cells / cells.std()
    at = np.clip((np.arange(size) + 0.5) * _GRAIN / size - 0.5, 0, _GRAIN - 1.001)
    low = at.astype(int)
    part = at - low
    rows = cells[low] + part[:, None] * (cells[low + 1] - cells[low])
    return np.asarray(rows[:, low] + part * (rows[:, low + 1] - rows[:, low]), np.float32)


def _blurred(image: Floats, wide: tuple[float, float], *, wrap: bool) -> Floats:
    """The image under a Gaussian of ``wide`` pixels, down and across; outside it goes on, or begins again."""
    for axis, sigma in enumerate(wide):
        reach = int(4 * sigma + 0.5)
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        weights /= weights.sum()
        outside = [(reach, reach) if i == axis else (0, 0) for i in range(2)]
        padded = np.pad(image, outside, mode="wrap" if wrap else "edge")
        n = image.shape[axis]
        shifted = (np.take(padded, np.arange(i, i + n), axis=axis) for i in range(2 * reach + 1))
        image = np.asarray(sum(w * one for w, one in zip(weights, shifted, strict=True)))
    return image
