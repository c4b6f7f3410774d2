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


def chance_average_precision(n: int, right: np.ndarray) -> np.ndarray:
    """Expected average precision (q,) of a random ranking of ``n`` candidates, ``right`` (q,) of which are right.

    The mean over places i of ``(1 + (i - 1) (m - 1) / (n - 1)) / i`` for m right ones.

    Examples
    --------
    >>> chance_average_precision(4, np.array([1, 4])).round(4).tolist()  # (1 + 1/2 + 1/3 + 1/4) / 4, and 1
    [0.5208, 1.0]
    """
    harmonic = float((1 / np.arange(1, n + 1)).sum())
    others = (right - 1) / max(n - 1, 1)
    found: np.ndarray = (harmonic + others * (n - harmonic)) / n
    return found


def resampled_average_precision(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average precision of each resample, from one sort.

    Parameters
    ----------
    scores : (n,)
    labels : (n,) of 0 and 1
    counts : (b, n)
        Number of times each row stands in each resample.

    Returns
    -------
    (b,) float64
        NaN where a resample has no positive.
    """
    return Ranking.of(scores, labels, counts).average_precision()
