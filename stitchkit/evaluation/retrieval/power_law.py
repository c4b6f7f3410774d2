"""The saturating power law ``a - b n^-c``: how a measure grows with the number of anchors."""

from __future__ import annotations

import numpy as np

# Up to the parametric rate: with few sizes a faster law would call a dip of the last one the plateau.
EXPONENTS = np.geomspace(0.05, 1.0, 61)  # steps of 5 %, then between the neighbours of the best one
FINER = np.linspace(-1, 1, 41)
LEAST = 3  # sizes that three numbers can be fitted to


def fit_power_law(sizes: np.ndarray, curves: np.ndarray, error: np.ndarray, ceiling: float = 1.0) -> np.ndarray:
    """The law of each curve by weighted least squares with ``a <= ceiling`` and ``b >= 0``.

    The exponent goes through a grid from 0.05 to 1, on which a and b have a closed form, and then through a finer one
    about the best: no start value and no local minimum. A law concave in ``log n`` cannot follow the slow start of a
    curve, so a curve is fitted from the upper end of its steepest step (in ``log n``) onward, and wholly where the
    first step is the steepest.

    Parameters
    ----------
    sizes : (s,)
        Ascending.
    curves : (b, s)
        Values at these sizes.
    error : (s,)
        Standard error of each value, all above 0.
    ceiling
        Upper limit of the measure, default 1.

    Returns
    -------
    (b, 3) float64
        a, b and c of each curve.
    """
    start = _starts(sizes, curves)
    weight = (np.arange(len(sizes))[None, :] >= start[:, None]) / error**2  # (b, s)
    scaled = np.log(sizes / sizes[-1])

    def best_of(grid: np.ndarray) -> np.ndarray:
        """The best law (b, 4), its loss last, over exponents (steps, b) or (steps, 1)."""
        best = np.full((len(curves), 4), np.inf)
        for c in grid:
            found = _at_exponent(np.exp(-np.outer(c, scaled)), weight, curves, ceiling)
            better = found[:, 2] < best[:, 3]
            best[better, :2], best[better, 3] = found[better, :2], found[better, 2]
            best[better, 2] = np.broadcast_to(c, len(curves))[better]
        return best

    coarse = best_of(EXPONENTS[:, None])
    step = np.log(EXPONENTS[1] / EXPONENTS[0])
    fine = best_of(np.clip(coarse[:, 2] * np.exp(step * FINER[:, None]), EXPONENTS[0], EXPONENTS[-1]))
    fine[:, 1] *= float(sizes[-1]) ** fine[:, 2]
    return fine[:, :3]


def _at_exponent(powers: np.ndarray, weight: np.ndarray, curves: np.ndarray, ceiling: float) -> np.ndarray:
    """a, b and the loss (b, 3) for given ``n^-c`` (b or 1, s), which is 1 at the largest size."""
    total = weight.sum(axis=1)
    mean_p, mean_v = (weight * powers).sum(axis=1) / total, (weight * curves).sum(axis=1) / total
    p, v = powers - mean_p[:, None], curves - mean_v[:, None]
    spread = (weight * p * p).sum(axis=1)
    b = np.maximum(-(weight * p * v).sum(axis=1) / np.where(spread > 0, spread, np.inf), 0)
    a = mean_v + b * mean_p
    over = a > ceiling
    onto = (weight * powers * (ceiling - curves)).sum(axis=1) / (weight * powers**2).sum(axis=1)
    a, b = np.where(over, ceiling, a), np.where(over, np.maximum(onto, 0), b)
    loss = (weight * (a[:, None] - b[:, None] * powers - curves) ** 2).sum(axis=1)
    return np.stack([a, b, loss], axis=1)


def value_at(laws: np.ndarray, n: float) -> np.ndarray:
    """``a - b n^-c`` of each of ``laws`` (b, 3)."""
    a, b, c = laws.T
    values: np.ndarray = a - b * n**-c
    return values


def size_for(laws: np.ndarray, value: float) -> np.ndarray:
    """The n at which each of ``laws`` (b, 3) reaches ``value``; infinite where it never does."""
    a, b, c = laws.T
    gap = a - value
    reached = (gap > 0) & (b > 0)
    with np.errstate(over="ignore"):
        found = (np.where(reached, b, 1) / np.where(reached, gap, 1)) ** (1 / c)
    flat = (b <= 0) & (gap >= 0)  # a curve that no longer rises and is there already
    return np.where(reached, found, np.where(flat, 0.0, np.inf))


def _starts(sizes: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The first size (b,) that each curve's law is fitted to."""
    steps = np.diff(curves, axis=1) / np.diff(np.log(sizes))
    steepest = steps.argmax(axis=1)
    return np.minimum(np.where(steepest == 0, 0, steepest + 1), max(len(sizes) - LEAST, 0))
