"""Moments worked out literally, in extended precision, and how far others are from them."""

from __future__ import annotations

import numpy as np

from stitchkit.core.arrays import to_numpy

SCATTERS = {"scatter_ss": ("ss", "ss"), "scatter_st": ("ss", "tt"), "scatter_tt": ("tt", "tt")}


def literal(x, y, weights=None):
    """Means and scatters in extended precision."""
    x, y = np.asarray(x, np.longdouble), np.asarray(y, np.longdouble)
    w = np.ones(len(x), np.longdouble) if weights is None else np.asarray(weights, np.longdouble)
    mean_s, mean_t = (rows[0] + w @ (rows - rows[0]) / w.sum() for rows in (x, y))
    a, b = ((rows - rows[0]) - w @ (rows - rows[0]) / w.sum() for rows in (x, y))  # far from zero that keeps digits
    left, right = (w[:, None] * a).T, (w[:, None] * b).T
    found = {
        "mean_s": mean_s,
        "mean_t": mean_t,
        "scatter_ss": left @ a,
        "scatter_st": left @ b,
        "scatter_tt": right @ b,
    }
    return {name: part.astype(np.float64) for name, part in found.items()}


def error(moments, reference):
    """Largest scatter error relative to sqrt(S_ii S_jj), where that is not zero."""
    diagonal = {side: np.diag(reference[f"scatter_{side}"]) for side in ("ss", "tt")}
    worst = 0.0
    for name, (left, right) in SCATTERS.items():
        size = np.sqrt(np.outer(diagonal[left], diagonal[right]))
        off = abs(to_numpy(getattr(moments, name)) - reference[name])
        worst = max(worst, (off / np.where(size > 0, size, 1)).max())
    return worst


def same(one, other):
    """Whether two moments hold the same numbers, to the last bit."""
    names = ("mean_s", "mean_t", "tail_s", "tail_t", *SCATTERS)
    arrays = all(np.array_equal(to_numpy(getattr(one, name)), to_numpy(getattr(other, name))) for name in names)
    return arrays and (one.count, one.weight, one.shape) == (other.count, other.weight, other.shape)
