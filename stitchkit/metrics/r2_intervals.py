"""Intervals of R2, a ratio of two sums over patients, and of the difference of two on the same patients."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.bootstrap import Interval

MOST = 0.95  # share of all squared errors up to which a patient's own is corrected for
FURTHEST = 700.0  # logarithm beyond which a ratio is no longer a float
ANGLES = 3600  # at which the edge of an ellipse is looked at: ends are right to a millionth of their distance


def r2_interval(missed: np.ndarray, spread: np.ndarray, level: float = 0.95) -> Interval:
    """One minus the ratio of two sums over patients, with the interval of Student's t for the ratio's logarithm.

    Squared errors are skewed: resamples of few patients rarely hold those with large ones, and their percentiles end
    too high. The variance is that of each patient's part in the two sums; a patient who carries a share h of the errors
    counts over the root of 1 - h, and the degrees of freedom are the effective number of patients by these shares,
    minus one. What the sample does not hold is not in the interval: with long tails it covers less.

    Parameters
    ----------
    missed : (k,)
        Sum of squared errors of each patient's items.
    spread : (k,)
        Sum of squared distances of the same items' targets from their mean.
    level
        Coverage, default 0.95.

    Returns
    -------
    Interval
        The ends are NaN for fewer than two patients, all three NaN where nothing varies, and 1 where nothing is missed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> print(r2_interval(rng.chisquare(8, size=40), 4 * rng.chisquare(8, size=40)))
    0.714 [0.638, 0.774]
    """
    errors, whole = float(np.sum(missed)), float(np.sum(spread))
    if not whole > 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = 1 - errors / whole
    if len(missed) < 2:
        return Interval(value, float("nan"), float("nan"))
    if errors == 0:
        return Interval(1.0, 1.0, 1.0)
    reach = _distance(_freedom(missed), level) * float(np.sqrt(np.sum(_moved(missed, spread) ** 2)))
    low, high = 1 - (1 - value) * np.exp(np.minimum([reach, -reach], FURTHEST))
    return Interval(value, float(low), float(high))


def r2_difference(missed: np.ndarray, other: np.ndarray, spread: np.ndarray, level: float = 0.95) -> Interval:
    """R2 of one map minus that of another on the same patients, the paired form of :func:`r2_interval`.

    The logarithms of both maps' ratios have variances and a covariance over patients. The ends are the smallest and the
    largest difference within the ellipse that Student's t makes of these: where one map has no errors the interval is
    that of the other's R2, and where both have nearly the same errors it is narrow.

    Parameters
    ----------
    missed, other : (k,)
        Sums of squared errors of each patient's items, by the two maps.
    spread : (k,)
        Sum of squared distances of the same items' targets from their mean.
    level
        Coverage, default 0.95.

    Returns
    -------
    Interval
        Positive where the first map is better. The ends are NaN for fewer than two patients, all three NaN where
        nothing varies, and all 0 where neither map misses anything.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> errors, spread = rng.chisquare(8, size=40), 4 * rng.chisquare(8, size=40)
    >>> print(r2_difference(errors, 1.2 * errors + 0.2 * rng.chisquare(8, size=40), spread).signed)
    +0.114 [+0.092, +0.143]
    """
    whole = float(np.sum(spread))
    if not whole > 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    ratios = np.array([np.sum(missed), np.sum(other)]) / whole
    value = float(ratios[1] - ratios[0])
    if len(missed) < 2:
        return Interval(value, float("nan"), float("nan"))
    if not ratios.any():
        return Interval(0.0, 0.0, 0.0)
    moved = np.stack([_moved(one, spread) for one in (missed, other)])  # (2, k)
    axes, lengths, _ = np.linalg.svd(moved, full_matrices=False)
    angles = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    edge = (
        _distance(_common_freedom(missed, other), level) * (axes * lengths) @ np.stack([np.cos(angles), np.sin(angles)])
    )
    one, another = ratios[:, None] * np.exp(np.minimum(edge, FURTHEST))
    return Interval(value, float(np.min(another - one)), float(np.max(another - one)))


def _moved(missed: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Each patient's part (k,) in the logarithm of the ratio of the two sums; nothing where nothing is missed."""
    errors = float(np.sum(missed))
    if errors == 0:
        return np.zeros(len(missed))
    share = missed / errors
    moved: np.ndarray = (share - spread / np.sum(spread)) / np.sqrt(1 - np.minimum(share, MOST))
    return moved


def _freedom(missed: np.ndarray) -> float:
    """Effective number of patients, by their shares of what is missed, minus one."""
    return 1 / float(np.sum((missed / np.sum(missed)) ** 2)) - 1


def _common_freedom(missed: np.ndarray, other: np.ndarray) -> float:
    """Degrees of freedom of the map with larger errors, or fewer if the other has fewer, as far as its errors count."""
    less, more = sorted((missed, other), key=np.sum)
    counts = float(np.sum(less) / np.sum(more))
    own, others = (1 / max(_freedom(one), 1.0) if np.any(one) else 0.0 for one in (more, less))
    return 1 / max(own, counts * others + (1 - counts) * own)


def _distance(degrees: float, level: float) -> float:
    """Student's t; at least one degree of freedom is taken."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, max(degrees, 1.0)))
