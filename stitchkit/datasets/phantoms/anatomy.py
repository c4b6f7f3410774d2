"""The normal chest: where its borders run, and how much each part adds to or takes from the film.

A film shows the sum of what the ray met. ``air`` is the depth of aerated lung (0 .. 1), which darkens;
``tissue`` is everything else, which whitens. Findings change these two, never the grey levels.
"""

from dataclasses import dataclass

import numpy as np

from stitchkit.datasets.phantoms.canvas import Canvas, Floats, Spots, arcs, curve, edge, join
from stitchkit.datasets.phantoms.facts import FINDINGS, Phantom

__all__ = ["Chest", "body", "bones", "chest_of", "lungs", "vessels", "wall"]

_TABLE = np.linspace(-1.3, 1.3, 261)
_BORDER_Y = (-1.3, -0.72, -0.52, -0.40, -0.30, -0.20, -0.10, 0.0, 0.10, 0.20, 0.30, 0.40, 0.50, 0.62, 1.3)
_LEFT_BORDER = (0.09, 0.10, 0.11, 0.15, 0.205, 0.165, 0.165, 0.19, 0.25, 0.335, 0.395, 0.425, 0.42, 0.36, 0.2)
_RIGHT_BORDER = (0.09, 0.10, 0.115, 0.13, 0.135, 0.14, 0.15, 0.175, 0.21, 0.24, 0.25, 0.24, 0.21, 0.17, 0.12)


@dataclass(frozen=True, slots=True)
class Chest:
    """Borders of one patient, per pixel ``(size, size)``, in the patient's frame."""

    right: Floats  # 1 on the patient's right of the midline, else 0
    off: Floats  # distance from the midline
    lateral: Floats  # inner chest wall, as a distance from the midline
    across: Floats  # 0 at the mediastinum .. 1 at the chest wall
    dome: Floats  # y of the diaphragm
    heart: Floats  # 0 .. 1 how much mediastinum the ray met
    apex: float
    base: float  # y of the costophrenic angle
    width: float  # half width of the thorax

    def inside(self, softness: float = 0.03) -> Floats:
        """1 in the thorax, above and below the diaphragm."""
        return edge(self.lateral - self.off, softness)

    def place(self, side: str, across: float, down: float) -> tuple[float, float]:
        """Patient coordinates of a point in a lung: (medial 0 .. lateral 1, apex 0 .. base 1)."""
        y = self.apex + 0.1 + down * (self.base - 0.14 - self.apex - 0.1)
        outer = float(wall(np.array(y, np.float32), self.apex, self.width))
        inner = 0.17 if y < -0.1 else 0.26
        x = inner + across * (outer - 0.06 - inner)
        return (-x if side == "right" else x), y


def chest_of(phantom: Phantom, canvas: Canvas) -> Chest:
    """Borders of a patient's organs on a canvas."""
    nuisance, portable = phantom.nuisance, phantom.view == "AP"
    depth = nuisance.inspiration - (0.9 if portable else 0.0)
    apex = -0.80 + 0.02 * nuisance.inspiration
    dome_y = 0.40 + 0.07 * depth - 0.03 * nuisance.habitus
    width = 0.74 + 0.025 * depth + 0.03 * (nuisance.habitus - 0.5) - (0.03 if phantom.sex == "F" else 0.0)
    x, y = canvas.x, canvas.y
    right = (x < 0).astype(np.float32)
    off = np.abs(x) * (1 + np.float32(0.05 * nuisance.rotation) * (2 * right - 1))
    lateral = wall(y, apex, width)
    inner = _inner(y, apex)
    across = (off - inner) / np.maximum(lateral - inner, np.float32(0.05))
    lift = np.float32(0.085 + 0.02 * nuisance.inspiration)
    peak = dome_y - 0.05 * right
    slope = (off - np.float32(0.36)) / np.float32(width - 0.36)
    outer = np.maximum(slope, 0)
    dome = peak + lift * np.where(slope < 0, slope * slope * 0.8, 0.6 * outer**2 + 2.0 * outer**6)
    heart = _mediastinum(phantom, x, y, portable, dome_y)
    return Chest(right, off, lateral, across, dome, heart, apex, dome_y + 0.20, width)


def wall(y: Floats, apex: float, width: float) -> Floats:
    """Inner chest wall, as a distance from the midline."""
    t = np.clip((np.float32(0.38) - y) / np.float32(0.38 - apex), 0, 1)
    t2 = t * t
    low = np.maximum(y - np.float32(0.38), 0)
    return np.asarray(0.24 + (width - 0.24) * np.sqrt(1 - t2) * (1 - 0.07 * t) - 0.25 * low * low)


def _inner(y: Floats, apex: float) -> Floats:
    t = np.clip((y - np.float32(apex)) / np.float32(0.35), 0, 1)
    return np.asarray(0.24 - 0.15 * np.sqrt(1 - (1 - t) ** 2), np.float32)


def _mediastinum(phantom: Phantom, x: Floats, y: Floats, portable: bool, dome_y: float) -> Floats:
    """Great vessels and heart as one outline with a border of changing sharpness."""
    nuisance = phantom.nuisance
    big = phantom.severities[FINDINGS.index("cardiomegaly")]
    size = 1 + 0.07 * nuisance.heart + (0.13 if portable else 0.0) - 0.05 * nuisance.inspiration
    level = np.asarray(_BORDER_Y) + np.clip(np.asarray(_BORDER_Y) + 0.3, 0, 0.8) * (dome_y - 0.40) * 1.4
    cardiac = np.clip((np.asarray(_BORDER_Y) + 0.12) / 0.3, 0, 1)
    upper = 1 + (0.12 if portable else 0.0) * (1 - cardiac)
    left = np.asarray(_LEFT_BORDER) * upper * (1 + (size * (1 + 0.57 * big) - 1) * cardiac)
    other = np.asarray(_RIGHT_BORDER) * upper * (1 + (size * (1 + 0.39 * big) - 1) * cardiac)
    to_left = _lookup(y, level, left + 0.03 * nuisance.rotation)
    to_right = _lookup(y, level, other - 0.03 * nuisance.rotation)
    soft = np.float32(0.022) + np.float32(0.03) * edge(y - np.float32(0.05), 0.2) * (x > 0)
    rim = np.minimum(to_left - x, x + to_right)
    inside = np.clip(rim / (2 * soft) + np.float32(0.5), 0, 1)
    inside = inside * inside * (3 - 2 * inside)
    thick = np.clip(rim / (0.5 * (to_left + to_right)), 0, 1)
    return np.asarray(inside * (0.62 + 0.38 * np.sqrt(thick)), np.float32)


def _lookup(y: Floats, level: np.ndarray, values: np.ndarray) -> Floats:
    """A smooth border through a few (level, value) pairs, at every pixel."""
    fine = np.interp(_TABLE, level, values)
    kernel = np.hanning(13)
    padded = np.pad(fine, 6, mode="edge")
    smooth = np.convolve(padded, kernel / kernel.sum(), mode="valid").astype(np.float32)
    at = np.clip((y + np.float32(1.3)) * np.float32(100), 0, 259.99)
    low = at.astype(np.int32)
    return np.asarray(smooth[low] + (at - low) * (smooth[low + 1] - smooth[low]), np.float32)


def lungs(chest: Chest, canvas: Canvas) -> Floats:
    """Depth of aerated lung, 0 .. 1, before the heart's share and any finding."""
    q = np.clip(chest.across, 0, 1)
    round_off = np.sqrt(np.sqrt(np.clip(4 * q * (1 - q), 0, 1)))
    top = np.clip((canvas.y - np.float32(chest.apex)) / np.float32(0.55), 0, 1)
    walls = (
        edge(chest.lateral - chest.off, 0.022)
        * edge(chest.across * np.float32(0.4), 0.02)
        * edge(canvas.y - np.float32(chest.apex - 0.01), 0.02)
    )
    depth = (0.35 + 0.65 * round_off) * (0.62 + 0.38 * np.sqrt(top)) * walls
    below = canvas.y - chest.dome
    recess = 0.16 * np.clip(1 - below / np.float32(0.28), 0, 1)
    return np.asarray(depth * (recess + (1 - recess) * edge(-below, 0.016)), np.float32)


def body(phantom: Phantom, chest: Chest, canvas: Canvas) -> tuple[Floats, Floats]:
    """Soft tissue outside the lungs, and 1 inside the skin."""
    nuisance, x, y = phantom.nuisance, canvas.x, canvas.y
    portable, side = phantom.view == "AP", np.abs(canvas.x)
    neck = 0.23 + 0.05 * nuisance.habitus + (0.0 if phantom.sex == "F" else 0.025)
    rise = np.clip((y + np.float32(1.03 if portable else 0.98)) / np.float32(0.32), 0, 1)
    waist = np.clip(y, 0, 1)
    full = 0.93 + 0.17 * nuisance.habitus
    half = (
        neck
        + (full + 0.16 - neck) * (1 - (1 - rise) ** 3)
        - np.float32(0.14) * np.sqrt(np.clip(y + 0.6, 0, 1)) * (1 - waist)
    )
    inside = edge(half - side, 0.02)
    chord = np.sqrt(np.clip(1 - (side / half) ** 2, 0, 1))
    tissue = inside * (0.40 + 0.42 * chord) * (0.85 + 0.15 * edge(y - np.float32(0.1), 0.6))
    beyond = side - chest.lateral
    tissue -= (
        0.07
        * nuisance.habitus
        * inside
        * edge(0.035 - np.abs(beyond - np.float32(0.10)), 0.03)
        * edge(y + np.float32(0.5), 0.15)
    )
    if phantom.sex == "F":
        tissue += _breasts(phantom, x, y)
    else:
        tissue += 0.035 * edge(0.30 - np.hypot(side - np.float32(0.52), (y + np.float32(0.22)) * 0.9), 0.10)
    return np.asarray(tissue + _abdomen(phantom, chest, canvas), np.float32), inside


def _breasts(phantom: Phantom, x: Floats, y: Floats) -> Floats:
    """Two half discs whose lower border is the sharp one."""
    heavy = phantom.nuisance.habitus
    radius = 0.27 + 0.07 * heavy
    low = 0.16 + 0.10 * heavy + (-0.05 if phantom.view == "AP" else 0.0)
    u = (np.abs(x) - np.float32(0.47 + 0.03 * heavy)) / np.float32(radius)
    v = (y - np.float32(low)) / np.float32(radius * 1.05)
    r = np.sqrt(u * u + v * v)
    fade = np.clip(0.55 + 0.55 * v, 0, 1)
    return np.asarray((0.20 + 0.14 * heavy) * edge(1 - r, 0.07) * fade * (0.7 + 0.3 * np.sqrt(np.clip(1 - r, 0, 1))))


def _abdomen(phantom: Phantom, chest: Chest, canvas: Canvas) -> Floats:
    """Liver, spleen, stomach bubble with its level, bowel gas and fat lines below the diaphragm."""
    rng = np.random.default_rng([phantom.nuisance.body, 3])
    x, y = canvas.x, canvas.y
    below = edge(y - chest.dome, 0.02) * chest.inside()
    liver = edge(0.10 - x, 0.18) * edge(np.float32(1.0) + 0.25 * x - y, 0.10)
    spleen = edge(0.20 - np.hypot(x - np.float32(0.60), 0.8 * (y - np.float32(chest.base + 0.05))), 0.06)
    bubble_x, wide = rng.uniform(0.30, 0.44), rng.uniform(0.09, 0.17)
    bubble_y = chest.base - 0.04 + rng.uniform(0, 0.04)
    bubble = edge(wide - np.hypot(x - np.float32(bubble_x), 1.5 * (y - np.float32(bubble_y))), 0.025)
    if phantom.view == "PA":
        bubble = bubble * edge(np.float32(bubble_y + 0.03) - y, 0.012)
    gas = np.stack(
        [rng.uniform(-0.75, 0.8, 14), rng.uniform(chest.base + 0.2, 1.05, 14), rng.uniform(0.03, 0.07, 14),
         rng.uniform(-0.15, -0.04, 14)], axis=1,
    )  # fmt: skip
    flank = join(
        curve([(-0.70, chest.base + 0.08), (-0.68, 0.85), (-0.60, 1.1)], 0.02, -0.05),
        curve([(0.72, chest.base + 0.1), (0.70, 0.85), (0.62, 1.1)], 0.02, -0.05),
        curve([(-0.1, chest.base + 0.02), (0.05, 0.75), (0.18, 0.64)], 0.03, -0.03),
    )
    organs = 0.12 * liver + 0.10 * spleen - 0.26 * bubble * rng.uniform(0.5, 1)
    return np.asarray(below * (organs + canvas.spots(join(gas, flank))), np.float32)


def vessels(phantom: Phantom) -> tuple[Spots, Spots]:
    """Hila and the branching lung vessels as spots; the trunks first, the branches second."""
    rng = np.random.default_rng([phantom.nuisance.body, 1])
    trunks, branches, full = [], [], rng.uniform(0.75, 1.35)
    for sign, height in ((-1.0, -0.02), (1.0, -0.08)):
        root = np.array([sign * 0.185, height])
        trunks.append(curve(root + _mirror(sign, [(-0.02, -0.07), (0.005, 0), (0.03, 0.09), (0.06, 0.20)]),
                            (0.040, 0.016), (0.19, 0.08)))  # fmt: skip
        trunks.append(curve(root + _mirror(sign, [(-0.02, -0.12), (0.02, -0.06)]), 0.034, 0.12))
        angles = np.deg2rad([-78, -48, -22, 2, 24, 44, 66]) + rng.normal(0, 0.09, 7)
        branches.append(_tree(rng, root, sign, angles))
    return join(*trunks) * (1, 1, 1, full), join(*branches) * (1, 1, 1, full)


def _mirror(sign: float, points: list[tuple[float, float]]) -> np.ndarray:
    return np.asarray(points) * (sign, 1.0)


def _tree(rng: np.random.Generator, root: np.ndarray, sign: float, angles: np.ndarray) -> Spots:
    """Vessels from one hilum: each bends, tapers and forks twice."""
    lengths, spots = rng.uniform(0.36, 0.50, len(angles)), []
    starts = root + rng.uniform(0.03, 0.09, (len(angles), 1)) * np.stack([sign * np.cos(angles), np.sin(angles)], 1)
    for level in range(3):
        bends = angles + rng.normal(0, 0.22, len(angles))
        half = 0.5 * lengths[:, None] * (sign, 1.0)
        middles = starts + half * np.stack([np.cos(angles), np.sin(angles)], 1)
        ends = middles + half * np.stack([np.cos(bends), np.sin(bends)], 1)
        width, density = 0.0155 * 0.74**level, 0.12 * 0.72**level
        lines = np.stack([starts, middles, ends], 1)
        spots.append(arcs(lines, (width, 0.6 * width), (density, 0.4 * density), count=(22, 14, 9)[level]))
        fork = rng.uniform(0.3, 0.6, len(angles))
        starts, lengths = np.concatenate([middles, middles]), np.concatenate([0.60 * lengths, 0.55 * lengths])
        angles = np.concatenate([bends - fork, bends + fork])
    return join(*spots)


def bones(phantom: Phantom, chest: Chest, canvas: Canvas) -> Floats:
    """Ribs, spine, clavicles, scapulae and humeral heads; minus the air of the trachea."""
    return np.asarray(_ribs(phantom, chest, canvas) + _spine(phantom, canvas) + canvas.spots(_girdle(phantom)))


def _ribs(phantom: Phantom, chest: Chest, canvas: Canvas) -> Floats:
    """Posterior ribs fall gently to the wall, anterior ribs come back falling to the sternum."""
    rng = np.random.default_rng([phantom.nuisance.body, 2])
    y, off = canvas.y, chest.off
    gap = 0.128 + 0.012 * phantom.nuisance.inspiration
    lean = 0.10 if phantom.view == "AP" else 0.0
    start = -0.735 + rng.normal(0, 0.012)
    posterior = (y - np.float32(start) - np.float32(0.02) - (0.34 - lean) * off * off + 0.03 * off) / np.float32(gap)
    at_wall = start + (0.34 - lean) * chest.width**2
    anterior = (y - np.float32(at_wall) - np.float32(0.52 + lean) * (chest.width - off)) / np.float32(gap)
    cage = edge(chest.lateral + np.float32(0.03) - off, 0.025)
    fade = cage * (1 - 0.75 * edge(y - np.float32(chest.base - 0.02), 0.20))
    back = _rib(posterior, gap, 0.026) * edge(off - np.float32(0.07), 0.03) * (posterior > -0.5) * (posterior < 10.5)
    front = _rib(anterior, gap, 0.030) * edge(off - np.float32(0.36), 0.08) * (anterior > -2.5) * (anterior < 5.5)
    shell = edge(0.022 - np.abs(off - chest.lateral - np.float32(0.012)), 0.02) * (y > np.float32(chest.apex))
    return np.asarray(fade * (0.075 * back + 0.05 * front + 0.035 * shell * (0.5 + back)), np.float32)


def _rib(phase: Floats, gap: float, half: float) -> Floats:
    """A bar with a brighter lower border, once per unit of phase."""
    away = (phase - np.rint(phase)) * np.float32(gap)
    return np.asarray(
        edge(half - np.abs(away), 0.012) + 0.45 * edge(0.010 - np.abs(away - np.float32(half - 0.008)), 0.010)
    )


def _spine(phantom: Phantom, canvas: Canvas) -> Floats:
    x, y = canvas.x, canvas.y
    rotation = phantom.nuisance.rotation
    levels = np.arange(-1.05, 1.2, 0.118)
    column = edge(0.088 - np.abs(x), 0.022)
    disc = np.abs((y + np.float32(1.05)) / np.float32(0.118) - np.rint((y + np.float32(1.05)) / np.float32(0.118)))
    bodies = column * (0.085 + 0.05 * edge(disc - np.float32(0.14), 0.10))
    middle = levels + 0.059
    pedicle, process = np.full_like(levels, 0.016), np.full_like(levels, 0.014)
    knobs = join(
        np.stack([0 * levels - 0.052 + 0.012 * rotation, middle - 0.015, pedicle, 0 * levels + 0.05], 1),
        np.stack([0 * levels + 0.052 + 0.012 * rotation, middle - 0.015, pedicle, 0 * levels + 0.05], 1),
        np.stack([0 * levels + 0.02 * rotation, middle + 0.03, process, 0 * levels + 0.07], 1),
    )
    shift = 0.02 * rotation
    windpipe = join(
        curve([(shift, -1.1), (shift, -0.6), (shift - 0.02, -0.36), (shift - 0.012, -0.26)], (0.036, 0.030), -0.26),
        curve([(shift - 0.012, -0.26), (shift - 0.09, -0.17), (shift - 0.17, -0.09)], (0.026, 0.018), (-0.13, -0.03)),
        curve([(shift - 0.012, -0.26), (shift + 0.09, -0.18), (shift + 0.19, -0.12)], (0.024, 0.016), (-0.13, -0.03)),
        curve([(shift + 0.10, -0.36), (shift + 0.155, -0.31), (shift + 0.16, -0.25)], 0.035, 0.07),  # aortic arch
        curve([(shift + 0.15, -0.22), (0.125, 0.1), (0.10, 0.5)], 0.022, 0.05),  # descending aorta
    )
    return np.asarray(bodies + canvas.spots(join(knobs, windpipe)), np.float32)


def _girdle(phantom: Phantom) -> Spots:
    """Clavicles cross the lungs on a PA film and ride above the apices on an AP one; scapulae the other way."""
    portable, rotation = phantom.view == "AP", phantom.nuisance.rotation
    spots = []
    for sign in (-1.0, 1.0):
        inner = 0.085 + 0.03 * rotation * sign
        if portable:
            collar = [(inner, -0.66), (0.28, -0.79), (0.50, -0.85), (0.80, -0.84)]
            blade = [(0.80, -0.62), (0.63, -0.48), (0.58, -0.18), (0.66, 0.16), (0.80, 0.02)]
            haze, bright = (0.70, -0.28, 0.13, 0.10), 0.13
        else:
            collar = [(inner, -0.53), (0.27, -0.59), (0.50, -0.70), (0.82, -0.74)]
            blade = [(0.95, -0.55), (0.86, -0.40), (0.82, -0.10), (0.86, 0.16), (0.95, 0.05)]
            haze, bright = (0.92, -0.22, 0.10, 0.06), 0.07
        spots += [
            curve([(sign * x, y) for x, y in collar], (0.026, 0.021), 0.115),
            curve([(sign * x, y - 0.022) for x, y in collar], 0.0105, 0.05),
            curve([(sign * x, y) for x, y in blade], 0.016, bright),
            np.array([(sign * haze[0], *haze[1:]), (sign * 0.97, collar[-1][1] + 0.14, 0.085, 0.20)]),
        ]
    return join(*spots)
