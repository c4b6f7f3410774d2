"""Area under the ROC curve, alone and under many resamples at once."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.rankings import Ranking, share


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties half; NaN if one kind is missing.

    Parameters
    ----------
    scores : (n,)
    labels : (n,) of 0 and 1

    Examples
    --------
    >>> auroc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1]))
    0.875
    """
    return float(share(*_won(scores, labels)))


def resampled_auroc(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC of each resample, from one sort.

    Parameters
    ----------
    scores : (n,)
    labels : (n,) of 0 and 1
    counts : (b, n)
        Number of times each row stands in each resample.

    Returns
    -------
    (b,) float64
        NaN where a resample has no positive or no negative.
    """
    return Ranking.of(scores, labels, counts).auroc()


def auroc_within(scores: np.ndarray, labels: np.ndarray, parts: np.ndarray) -> float:
    """AUROC over pairs of one part only: scores of several maps have no common scale. NaN without such a pair.

    Parameters
    ----------
    scores : (n,)
    labels : (n,) of 0 and 1
    parts : (n,)
        The fold, or other part, of each row.

    Examples
    --------
    >>> auroc_within(np.array([0.1, 0.4, 5.1, 5.4]), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    1.0
    """
    pairs = [_won(scores[rows], labels[rows]) for rows in (parts == one for one in np.unique(parts))]
    return float(share(*np.sum(pairs, axis=0)))


def _won(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a positive above a negative, ties half, and all pairs, each () of one sample."""
    positives, negatives = scores[labels > 0], np.sort(scores[labels <= 0])
    twice = sum(np.searchsorted(negatives, positives, side=side).sum() for side in ("left", "right"))
    return np.asarray(twice / 2), np.asarray(len(positives) * len(negatives))
