"""The findings, each a change of the lungs' air or something laid over the chest.

Severity 0 paints nothing; where and how is drawn from the film's seed whether or not the finding is there.
An enlarged heart is part of the outline in ``anatomy``.
"""

import numpy as np

from stitchkit.datasets.phantoms.anatomy import Chest, wall
from stitchkit.datasets.phantoms.canvas import Canvas, Floats, Spots, box, curve, edge, join
from stitchkit.datasets.phantoms.facts import FINDINGS, Phantom

__all__ = ["change_lungs", "foreign_bodies", "lung_spots"]


def change_lungs(phantom: Phantom, chest: Chest, canvas: Canvas, air: Floats) -> tuple[Floats, Floats]:
    """Air left in the lungs, and where vessels still show (1, or less in a pneumothorax)."""
    bare: Floats = np.ones_like(air)
    if _severity(phantom, "edema") > 0:
        air = air * (1 - _edema_haze(phantom, chest, canvas))
    if _severity(phantom, "opacity") > 0:
        air = air * (1 - _opacity(phantom, chest, canvas))
    if _severity(phantom, "pneumothorax") > 0:
        gone = _pneumothorax(phantom, chest, canvas)
        air, bare = air * (1 + np.float32(0.08 + 0.15 * _severity(phantom, "pneumothorax")) * gone), 1 - gone
    if _severity(phantom, "effusion") > 0:
        air = air * (1 - _effusion(phantom, chest, canvas))
    return air, bare


def lung_spots(phantom: Phantom, chest: Chest) -> Spots:
    """Lines and spots inside the lungs: nodule, pleural line, septal lines, and the harmless look-alikes."""
    spots = [_look_alikes(phantom, chest)]
    if _severity(phantom, "nodule") > 0:
        spots.append(_nodule(phantom, chest))
    if _severity(phantom, "pneumothorax") > 0:
        spots.append(_pleural_line(phantom, chest))
    if _severity(phantom, "edema") > 0:
        spots.append(_septal_lines(phantom, chest))
    return join(*spots)


def foreign_bodies(phantom: Phantom, chest: Chest, canvas: Canvas) -> Floats:
    """Foreign bodies: a pacemaker, and ECG leads that look like one."""
    harmless = join(*([_wires(phantom)] * phantom.nuisance.wires), *([_catheter(phantom)] * phantom.nuisance.line))
    added = canvas.spots(harmless)
    severity = _severity(phantom, "pacemaker")
    return added + _pacemaker(phantom, canvas, severity) if severity > 0 else added


def _severity(phantom: Phantom, finding: str) -> float:
    return phantom.severities[FINDINGS.index(finding)]


def _side(phantom: Phantom, finding: str) -> str:
    return phantom.sides[FINDINGS.index(finding)]


def _place(phantom: Phantom, finding: str) -> tuple[float, float]:
    return phantom.places[FINDINGS.index(finding)]


def _rng(phantom: Phantom, finding: str) -> np.random.Generator:
    return np.random.default_rng([phantom.seed, 100 + FINDINGS.index(finding)])


def _on_side(side: str, chest: Chest) -> Floats:
    return np.ones_like(chest.right) if side == "both" else chest.right if side == "right" else 1 - chest.right


def _effusion(phantom: Phantom, chest: Chest, canvas: Canvas) -> Floats:
    """Upright: a level that climbs at the wall. Supine: a veil over the lower lung as well."""
    severity = _severity(phantom, "effusion")
    reach = chest.base - chest.apex
    q = np.clip(chest.across, 0, 1)
    level = np.float32(chest.base + 0.06 - (0.05 + 0.47 * severity) * reach)
    climb = np.float32(0.02 + 0.13 * severity) * (q * q * 2.4 + 0.5 * (1 - q) ** 4 - 0.9)
    upright = edge(canvas.y - level + climb, 0.030 + 0.02 * severity)
    if phantom.view == "AP":
        veil = edge(canvas.y - level + np.float32(0.20), 0.50)
        upright = 0.45 * upright + (0.06 + 0.44 * severity) * veil
    return np.asarray(np.minimum(upright, 0.97) * _on_side(_side(phantom, "effusion"), chest), np.float32)


def _opacity(phantom: Phantom, chest: Chest, canvas: Canvas) -> Floats:
    """A patch of lobules with ragged edges and a few open airways."""
    rng, severity = _rng(phantom, "opacity"), _severity(phantom, "opacity")
    x, y = chest.place(_side(phantom, "opacity"), *_place(phantom, "opacity"))
    reach = 0.085 + 0.10 * severity
    angles, away = rng.uniform(0, 2 * np.pi, 16), rng.uniform(0, 1, 16) ** 0.6
    lobules = np.stack(
        [x + 0.85 * reach * away * np.cos(angles), y + reach * away * np.sin(angles),
         rng.uniform(0.30, 0.6, 16) * reach, rng.uniform(0.1, 0.4, 16) * (0.4 + severity)], axis=1,
    )  # fmt: skip
    cloud = 1 - np.exp(-canvas.spots(lobules))
    return np.asarray(np.float32(0.21 + 0.63 * severity) * cloud, np.float32)


def _edema_haze(phantom: Phantom, chest: Chest, canvas: Canvas) -> Floats:
    """Bat wings about both hila, spreading down."""
    rng, severity = _rng(phantom, "edema"), _severity(phantom, "edema")
    spots = []
    for sign in (-1.0, 1.0):
        away = rng.uniform(0.05, 0.40, 26) * (0.8 + 0.4 * severity)
        angles = rng.uniform(-1.0, 1.2, 26)
        spots.append(np.stack(
            [sign * (0.16 + away * np.cos(angles)), 0.02 + away * np.sin(angles), rng.uniform(0.04, 0.09, 26),
             rng.uniform(0.05, 0.28, 26)], axis=1,
        ))  # fmt: skip
    cloud = 1 - np.exp(-canvas.spots(join(*spots)))
    return np.asarray(np.float32(0.03 + 0.65 * severity) * cloud, np.float32)


def _septal_lines(phantom: Phantom, chest: Chest) -> Spots:
    """Short level lines at the lateral bases, and thick upper-lobe vessels."""
    rng, severity = _rng(phantom, "edema"), _severity(phantom, "edema")
    spots = []
    for sign in (-1.0, 1.0):
        for y in np.linspace(chest.base - 0.36, chest.base - 0.12, 5) + rng.normal(0, 0.01, 5):
            x = sign * (chest.width - 0.035)
            spots.append(curve([(x, y), (x - sign * 0.08, y + 0.006)], 0.0105, 0.13 * severity))
        for lean in (0.10, 0.22, 0.34):
            start, end = (sign * 0.20, -0.10), (sign * (0.20 + lean), -0.48 + 0.4 * lean)
            spots.append(curve([start, end], (0.022, 0.012), (0.09 * severity, 0.03 * severity)))
    return join(*spots)


def _nodule(phantom: Phantom, chest: Chest) -> Spots:
    """One round spot with a firm edge: a disc made of a ring of spots round a core."""
    severity = _severity(phantom, "nodule")
    x, y = chest.place(_side(phantom, "nodule"), *_place(phantom, "nodule"))
    radius, density = 0.029 + 0.038 * severity, 0.15 + 0.26 * severity
    angles = np.linspace(0, 2 * np.pi, 9)[:8]
    ring = np.stack([x + 0.62 * radius * np.cos(angles), y + 0.62 * radius * np.sin(angles),
                     np.full(8, 0.42 * radius), np.full(8, 0.42 * density)], axis=1)  # fmt: skip
    return join(ring, np.array([(x, y, 0.5 * radius, 0.55 * density)]))


def _look_alikes(phantom: Phantom, chest: Chest) -> Spots:
    """Nipple shadows, vessels seen end-on, a healed granuloma, a skin fold: on any film, whatever the findings."""
    rng = np.random.default_rng([phantom.seed, 50])
    spots = []
    if rng.random() < 0.35:
        height = 0.22 + rng.normal(0, 0.03)
        spots += [np.array([(sign * 0.47, height, 0.020, rng.uniform(0.04, 0.11))]) for sign in (-1, 1)]
    for _ in range(int(rng.integers(0, 3))):
        sign = rng.choice([-1.0, 1.0])
        spot = (sign * rng.uniform(0.22, 0.36), rng.uniform(-0.25, 0.2), 0.014, rng.uniform(0.08, 0.2))
        spots.append(np.array([spot]))
    if rng.random() < 0.12:
        side = "left" if rng.random() < 0.5 else "right"
        spots.append(np.array([(*chest.place(side, rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.8)), 0.0115, 0.3)]))
    if rng.random() < (0.35 if phantom.view == "AP" else 0.1):
        sign, off, lean = rng.choice([-1.0, 1.0]), rng.uniform(0.40, 0.62), rng.uniform(-0.05, 0.15)
        fold = [(sign * (off - lean), -0.6), (sign * off, -0.15), (sign * (off + 0.5 * lean), 0.3)]
        spots.append(curve(fold, 0.014, rng.uniform(0.05, 0.13)))
    return join(*spots)


def _collapse(phantom: Phantom, chest: Chest) -> tuple[float, float, float]:
    """Shrinkage of a lung, and the point (off the midline, down) towards which it shrank."""
    return 0.03 + 0.30 * _severity(phantom, "pneumothorax"), 0.30, chest.base + 0.10


def _pneumothorax(phantom: Phantom, chest: Chest, canvas: Canvas) -> Floats:
    """1 between the fallen lung and the wall: where the lung, blown up again, would not reach."""
    shrunk, x, y = _collapse(phantom, chest)
    off = np.float32(x) + (chest.off - np.float32(x)) / np.float32(1 - shrunk)
    down = np.float32(y) + (canvas.y - np.float32(y)) / np.float32(1 - shrunk)
    lung = np.minimum(wall(down, chest.apex, chest.width) - off, down - np.float32(chest.apex))
    gone = edge(-lung, 0.014) * chest.inside(0.02) * edge(chest.dome - canvas.y, 0.02)
    return np.asarray(gone * _on_side(_side(phantom, "pneumothorax"), chest), np.float32)


def _pleural_line(phantom: Phantom, chest: Chest) -> Spots:
    """The edge of the fallen lung."""
    shrunk, x, y = _collapse(phantom, chest)
    down = np.concatenate([[0.0, 0.01, 0.04], np.linspace(0.10, 1.0, 8)])
    level = chest.apex + down * (chest.base - 0.08 - chest.apex)
    off = np.append(0.14, wall(level.astype(np.float32), chest.apex, chest.width))
    sign = -1.0 if _side(phantom, "pneumothorax") == "right" else 1.0
    points = np.stack([x + (off - x) * (1 - shrunk), y + (np.append(level[0] + 0.01, level) - y) * (1 - shrunk)], 1)
    return curve(points * (sign, 1.0), 0.0115, 0.12 + 0.16 * _severity(phantom, "pneumothorax"))


def _pacemaker(phantom: Phantom, canvas: Canvas, severity: float) -> Floats:
    """A generator below the clavicle with one or two leads; the mildest is a lead left behind."""
    rng = _rng(phantom, "pacemaker")
    sign = -1.0 if _side(phantom, "pacemaker") == "right" else 1.0
    x, y = sign * (0.56 + rng.uniform(-0.05, 0.05)), -0.44 + rng.uniform(-0.05, 0.06)
    vein = [(x, y - 0.10), (sign * 0.36, -0.62), (sign * 0.14, -0.54), (-0.10, -0.36), (-0.13, -0.05)]
    density = 0.10 + 0.50 * severity
    tip = (0.25 + rng.uniform(-0.04, 0.04), 0.36 + rng.uniform(-0.04, 0.04))
    spots = [curve([*vein, (-0.11, 0.18), (0.04, 0.33), tip], 0.0115, density)]
    spots.append(np.array([(*tip, 0.018, density)]))
    if severity > 0.6:
        spots.append(curve([*vein, (-0.17, 0.10), (-0.12, 0.17), (-0.06, 0.08)], 0.0115, density))
    added = canvas.spots(join(*spots))
    if severity <= 0.3:
        return added
    grow = 0.75 + 0.45 * severity
    case = edge(box(canvas.x, canvas.y, (x, y), (0.105 * grow, 0.085 * grow), 0.045 * grow), 0.012)
    header = edge(box(canvas.x, canvas.y, (x - sign * 0.03, y - 0.085 * grow), (0.055, 0.030), 0.02), 0.012)
    inner = edge(box(canvas.x, canvas.y, (x + sign * 0.02, y + 0.01), (0.05 * grow, 0.045 * grow), 0.02), 0.012)
    return np.asarray(added + 0.42 * case + 0.25 * header * (1 - case) + 0.22 * inner, np.float32)


def _catheter(phantom: Phantom) -> Spots:
    """A central venous line, from the neck or from below a clavicle, that could pass for a pacing lead."""
    rng = np.random.default_rng([phantom.seed, 61])
    sign = rng.choice([-1.0, 1.0])
    entry = (
        [(sign * 0.14, -1.05), (sign * 0.13, -0.7)]
        if rng.random() < 0.5
        else [(sign * 0.5, -0.55), (sign * 0.3, -0.62)]
    )
    end = rng.uniform(-0.15, 0.15)
    return curve([*entry, (-0.08 + 0.03 * sign, -0.45), (-0.125, -0.28), (-0.13, end)], 0.0105, rng.uniform(0.10, 0.28))


def _wires(phantom: Phantom) -> Spots:
    """Three or four ECG electrodes with their cables, thinner and smoother than a pacing lead."""
    rng = np.random.default_rng([phantom.seed, 60])
    spots = []
    for _ in range(int(rng.integers(2, 5))):
        sign = rng.choice([-1.0, 1.0])
        x, y = sign * rng.uniform(0.35, 0.8), rng.uniform(-0.6, 0.6)
        path = [(x, y), (x * 0.8 + rng.normal(0, 0.1), y + 0.3), (rng.normal(0.1, 0.3), 0.8), (rng.normal(0, 0.4), 1.2)]
        spots += [curve(path, 0.0105, rng.uniform(0.10, 0.22)), np.array([(x, y, 0.022, 0.45)])]
    return join(*spots)
