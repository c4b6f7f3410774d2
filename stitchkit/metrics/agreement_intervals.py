"""Intervals of a head's agreement: a mean of cosines of items, or a mean over classes of correlations over items."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import exact_difference, exact_interval

LARGEST = 1 - 1e-12  # correlation up to which Fisher's scale is used
FLAT = 1e-20  # variance of a column, of its mean square, below which it does not vary


def cosine_interval(cosines: np.ndarray, patients: np.ndarray) -> Interval:
    """The mean of cosines (n,) with the interval of means of numbers in [0, 1], over ``patients`` (n,).

    Cosines near 1 are skewed: Student's t ends too high in up to 15 % of samples.
    """
    won, of = _by_patient(patients, (1 + np.clip(cosines, -1, 1)) / 2, np.ones(len(cosines)))
    return Interval(*(2 * end - 1 for end in exact_interval(won, of)))


def cosine_difference(cosines: np.ndarray, others: np.ndarray, patients: np.ndarray) -> Interval:
    """The mean of ``cosines`` minus that of ``others`` (n,) on the same items, over ``patients`` (n,)."""
    halves = ((1 + np.clip(one, -1, 1)) / 2 for one in (cosines, others))
    won, lost, of = _by_patient(patients, *halves, np.ones(len(cosines)))
    return Interval(*(2 * end for end in exact_difference(won, lost, of)))


def correlation_interval(found: np.ndarray, wanted: np.ndarray, patients: np.ndarray, level: float = 0.95) -> Interval:
    """The mean over classes of the correlation over items, with Student's t on Fisher's scale.

    The standard error is the jackknife's, one patient left out at a time: it knows of patients who carry much of the
    variance.

    Parameters
    ----------
    found, wanted : (n, c)
        Outputs through a map and of the true vectors. Classes whose ``wanted`` does not vary are left out.
    patients : (n,)
        Patient of each item.
    level
        Coverage, default 0.95.

    Returns
    -------
    Interval
        The ends are NaN for fewer than three patients.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wanted = rng.normal(size=(60, 3))
    >>> print(correlation_interval(wanted + 0.5 * rng.normal(size=(60, 3)), wanted, np.arange(60) // 2))
    0.905 [0.879, 0.926]
    """
    value, left = _left_out(found, wanted, patients)
    scaled, centre = (np.arctanh(np.clip(one, -LARGEST, LARGEST)) for one in (left, value))
    reach = _reach(scaled, level)
    return Interval(value, float(np.tanh(centre - reach)), float(np.tanh(centre + reach)))


def correlation_difference(
    found: np.ndarray, other: np.ndarray, wanted: np.ndarray, patients: np.ndarray, level: float = 0.95
) -> Interval:
    """The mean correlation of ``found`` minus that of ``other`` (n, c) with ``wanted``, by the same jackknife."""
    (value, left), (base, without) = (_left_out(one, wanted, patients) for one in (found, other))
    reach = _reach(left - without, level)
    return Interval(value - base, value - base - reach, value - base + reach)


def _left_out(found: np.ndarray, wanted: np.ndarray, patients: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean correlation, and without each patient (k,)."""
    kept = wanted.std(axis=0) > 0
    u, v = (one[:, kept] - one[:, kept].mean(axis=0) for one in (found, wanted))
    products = np.concatenate([np.ones_like(u), u, v, u * u, v * v, u * v], axis=1)  # (n, 6 c)
    _, owner = np.unique(patients, return_inverse=True)
    sums = np.zeros((int(owner.max()) + 1, products.shape[1]))
    np.add.at(sums, owner.reshape(-1), products)
    whole = sums.sum(axis=0, keepdims=True)
    return float(_correlation(whole)[0]), _correlation(whole - sums)


def _correlation(sums: np.ndarray) -> np.ndarray:
    """Mean over classes of correlations from sums (k, 6 c): count, u, v, their squares and their product."""
    n, u, v, uu, vv, uv = np.split(sums, 6, axis=1)
    n = np.maximum(n, 1)
    var = [np.maximum(square / n - (one / n) ** 2, 0) for one, square in ((u, uu), (v, vv))]
    alive = (var[0] > FLAT * uu / n) & (var[1] > FLAT * vv / n)
    both = np.sqrt(np.where(alive, var[0] * var[1], 1))
    result: np.ndarray = np.where(alive, (uv / n - u * v / n**2) / both, 0).mean(axis=1)
    return result


def _reach(left: np.ndarray, level: float) -> float:
    """Half the width of the interval from the value without each patient (k,)."""
    from scipy.special import stdtrit

    k = len(left)
    if k < 3:
        return float("nan")
    error = float(np.sqrt((k - 1) / k * np.sum((left - left.mean()) ** 2)))
    return error * float(stdtrit(k - 1, (1 + level) / 2))


def _by_patient(patients: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    _, owner = np.unique(patients, return_inverse=True)
    return tuple(np.bincount(owner.reshape(-1), weights=one) for one in values)
