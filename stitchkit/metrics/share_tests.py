"""P-values of paired differences of shares, that agree with their intervals."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.proportions import mean_difference

LEAST, HALVINGS = 1e-4, 14  # p-values are not told apart below the first; how finely they are found


def mean_difference_p(won: np.ndarray, other: np.ndarray, of: np.ndarray) -> float:
    """Two-sided p-value of "no difference" by :func:`stitchkit.metrics.proportions.mean_difference`.

    The smallest error rate at which the interval leaves out 0, to 0.1 %: below .05 exactly where the 95 % interval
    leaves it out. Not below 0.0001, and 1 where the value is 0.

    Parameters
    ----------
    won, other, of : (k, c)
        Of each patient in each class.

    Examples
    --------
    >>> right = np.ones((30, 1))
    >>> round(mean_difference_p(right, np.where(np.arange(30) < 9, 0.0, 1.0)[:, None], right), 3)
    0.001
    """

    def leaves_out(p: float) -> bool:
        found = mean_difference(won, other, of, 1 - p)
        return found.low > 0 or found.high < 0

    if leaves_out(LEAST):
        return LEAST
    if np.isnan(mean_difference(won, other, of).value):
        return float("nan")
    inside, outside = np.log(LEAST), 0.0
    if not leaves_out(0.05):
        inside = np.log(0.05)
    else:
        outside = np.log(0.05)
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if leaves_out(float(np.exp(middle))) else (middle, outside)
    return float(np.exp(outside))
