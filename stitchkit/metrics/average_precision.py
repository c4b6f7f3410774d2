"""Average precision, alone and under many resamples at once."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.rankings import Ranking


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean precision over the positives, each at its own place in the ranking; NaN without a positive.

    A ranking by chance reaches the share of positives. Equal scores are one place, as in scikit-learn.

    Parameters
    ----------
    scores : (n,)
    labels : (n,) of 0 and 1

    Examples
    --------
    >>> round(average_precision(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])), 4)
    0.8333
    """
    return float(resampled_average_precision(scores, labels, np.ones((1, len(scores))))[0])


def resampled_average_precision(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average precision of each resample, from one sort.

    Parameters
    ----------
    scores : (n,)
    labels : (n,) of 0 and 1
    counts : (b, n)
        How often each row stands in each resample.

    Returns
    -------
    (b,) float64
        NaN where a resample has no positive.
    """
    return Ranking.of(scores, labels, counts).average_precision()
