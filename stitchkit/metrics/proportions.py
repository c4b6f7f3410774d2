"""Exact intervals of proportions, and of means of numbers in [0, 1], whose items come in patients."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.bootstrap import Interval


def effective_number(of: np.ndarray) -> float:
    """Number of independent items that patients with ``of`` (k,) items each are worth, at least 1 and at most k.

    Items of one patient count as if they were all right or all wrong together: ``sum(of)**2 / sum(of**2)``, k where
    patients are of one size. It depends on the sizes alone, so that a bound made of it falls with every error; a design
    effect estimated from the errors does not have that property, and does not exist where nothing is wrong.

    References
    ----------
    Kish, Survey Sampling, 1965: design effect of unequal weights.
    """
    sizes = np.asarray(of, dtype=np.float64)
    return float(sizes.sum() ** 2 / np.sum(sizes**2))


def exact_interval(won: np.ndarray, of: np.ndarray, level: float = 0.95) -> Interval:
    """Clopper-Pearson interval of ``sum(won) / sum(of)``, over patients.

    Both ends increase with the mean: one more error lowers them, whichever patient's it is. Repeating every
    item of every patient changes nothing. For a mean of numbers in [0, 1], whose variance is at most that of a
    proportion, the interval is wider than it need be.

    Parameters
    ----------
    won : (k,)
        Sum over each patient's items of 1 for right and 0 for wrong, or of numbers in between.
    of : (k,)
        Number of items of each patient; patients without any are left out.
    level
        Coverage, default 0.95.

    Returns
    -------
    Interval
        NaN where there are no items.

    References
    ----------
    Clopper and Pearson, Biometrika 1934; with an effective number of items as in Korn and Graubard, Survey Methodology
    1998.

    Examples
    --------
    >>> print(exact_interval(np.r_[np.ones(29), 0], np.ones(30)))
    0.967 [0.828, 0.999]
    >>> print(exact_interval(np.ones(30), np.ones(30)))
    1.000 [0.884, 1.000]
    """
    from scipy.stats import beta

    present = np.asarray(of) > 0
    right, size = np.asarray(won, dtype=np.float64)[present], np.asarray(of, dtype=np.float64)[present]
    if size.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    share = min(max(float(right.sum() / size.sum()), 0.0), 1.0)
    number, tail = effective_number(size), (1 - level) / 2
    good, bad = number * share, number * (1 - share)
    low = 0.0 if good == 0 else float(beta.ppf(tail, good, bad + 1))
    high = 1.0 if bad == 0 else float(beta.ppf(1 - tail, good + 1, bad))
    return Interval(share, low, high)
