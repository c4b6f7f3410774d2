"""P-values of paired differences of shares, that agree with their intervals."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.proportions import mean_difference

LEAST, STEP = 1e-4, 5e-4  # p-values are not told apart below the first; how finely their logarithms are found


def mean_difference_p(won: np.ndarray, other: np.ndarray, of: np.ndarray) -> float:
    """Two-sided p-value of "no difference" by :func:`stitchkit.metrics.proportions.mean_difference`.

    The smallest error rate at which the interval leaves out 0, to 0.1 %: below .05 exactly where the 95 % interval
    leaves it out. Not below 0.0001, and 1 where the value is 0.

    Parameters
    ----------
    won, other, of : (k, c)
        Sums of each patient in each class.

    Examples
    --------
    >>> right = np.ones((30, 1))
    >>> round(mean_difference_p(right, np.where(np.arange(30) < 9, 0.0, 1.0)[:, None], right), 3)
    0.001
    """

    from scipy.optimize import brentq

    value = mean_difference(won, other, of).value
    if np.isnan(value):
        return float("nan")

    def beyond(log_p: float) -> float:
        """Distance of the interval's nearer end beyond 0."""
        found = mean_difference(won, other, of, 1 - float(np.exp(log_p)))
        return found.low if value > 0 else -found.high

    if beyond(0.0) <= 0:  # not even at the median
        return 1.0
    least, usual = np.log(LEAST), np.log(0.05)
    if beyond(least) > 0:
        return LEAST
    inside, outside = (least, usual) if beyond(usual) > 0 else (usual, 0.0)
    root = float(brentq(beyond, inside, outside, xtol=STEP, rtol=1e-12))
    return float(np.exp(min(root + STEP, outside)))
