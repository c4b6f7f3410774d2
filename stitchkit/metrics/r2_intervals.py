"""Intervals of R2, a ratio of two sums over patients."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.bootstrap import Interval

MOST = 0.95  # share of all squared errors up to which a patient's own is corrected for


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
    from scipy.stats import t

    errors, whole = float(np.sum(missed)), float(np.sum(spread))
    if not whole > 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = 1 - errors / whole
    if len(missed) < 2:
        return Interval(value, float("nan"), float("nan"))
    if errors == 0:
        return Interval(1.0, 1.0, 1.0)
    share = missed / errors
    moved = (share - spread / whole) / np.sqrt(1 - np.minimum(share, MOST))
    degrees = max(1 / float(np.sum(share**2)) - 1, 1.0)
    reach = float(t.ppf((1 + level) / 2, degrees)) * float(np.sqrt(np.sum(moved**2)))
    low, high = 1 - (1 - value) * np.exp(np.minimum([reach, -reach], 700))
    return Interval(value, float(low), float(high))
