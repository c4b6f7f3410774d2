"""Intervals of operating thresholds, from the threshold in resamples of patients and from what the sample may lack."""

from __future__ import annotations

import math

import numpy as np

from stitchkit.metrics.bootstrap import Interval, percentile_interval
from stitchkit.metrics.degrees_of_freedom import effective_number

NORMAL = 2.05  # standard errors to either side
BEYOND = 0.025  # chance that the truth is below the low end
UNSEEN = 0.2  # chance that a sample lacks what Youden's interval allows for, chosen in simulations


def threshold_interval(
    value: float, replicates: np.ndarray, scores: np.ndarray, unseen: tuple[float, float] | None = None
) -> Interval:
    """A 95 % interval of a threshold: the widest of percentiles, 2.05 standard errors and ``unseen``, in the scores.

    A threshold is the score of an item, so that resamples of few patients take few values and percentiles end too soon.

    Parameters
    ----------
    value
        Threshold of the whole sample.
    replicates : (b,)
        The same of resamples; NaN ones are left out.
    scores : (n,)
        Scores of all items; no end is below or above them.
    unseen
        For Youden's threshold the result of :func:`unseen_range`.

    Examples
    --------
    >>> print(threshold_interval(0.5, np.array([0.4, 0.5, 0.5, 0.5, 0.6]), np.array([0.1, 0.9])))
    0.500 [0.355, 0.645]
    """
    good = replicates[~np.isnan(replicates)]
    found = percentile_interval(value, replicates)
    if good.size < 2:
        return found
    apart = NORMAL * float(good.std(ddof=1))
    ends = unseen or (value, value)
    low, high = min(found.low, value - apart, ends[0]), max(found.high, value + apart, ends[1])
    return Interval(value, max(low, float(np.min(scores))), min(high, float(np.max(scores))))


def unseen_range(value: float, scores: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> tuple[float, float]:
    """Range in which the best threshold may lie because few patients show none of their scores there.

    Where positives and negatives hardly overlap, resamples put Youden's threshold at the lowest positive or above, and
    that is too high. k patients show none of the scores of a share 1 - .2^(1/k) of such patients with a chance of .2,
    and next to the best threshold positives and negatives are equally frequent, each as a share of its kind. The range
    goes down until that share of negatives lies between its end and ``value``, with k the effective number of positive
    patients, and up until that share of positives does, with k that of negative patients.

    Parameters
    ----------
    value
        Youden's threshold of the sample.
    scores : (n,)
    labels : (n,) of 0 and 1
        Both kinds.
    patients : (n,)
        Patient of each item.

    Examples
    --------
    >>> scores = np.r_[np.arange(-90.0, 0.0), np.arange(1.0, 11.0)]
    >>> unseen_range(0.5, scores, (scores > 0).astype(float), np.arange(100))
    (-14.0, 1.0)
    """
    positive = labels > 0
    few, many = (1 - UNSEEN ** (1 / effective_patients(patients[side])) for side in (positive, ~positive))
    return _down_to(value, scores[~positive], few), -_down_to(-value, -scores[positive], many)


def effective_patients(patients: np.ndarray) -> float:
    """Kish's effective number of patients of items (n,), of whom some may have more items than others.

    Examples
    --------
    >>> round(effective_patients(np.array(["a", "b", "c", "c"])), 2)
    2.67
    """
    held = np.unique(patients, return_counts=True)[1]
    return float(effective_number(held / held.sum()))


def _down_to(value: float, scores: np.ndarray, share: float) -> float:
    """The highest of ``scores`` from which on a ``share`` of them, or all, lies below ``value``."""
    falling = np.sort(scores)[::-1]
    wanted = int(np.sum(falling >= value)) + math.ceil(share * len(falling) - 1e-9)
    return float(falling[min(wanted, len(falling)) - 1])


def patients_for_sensitivity(at: float | None) -> int | None:
    """Number of positive patients from which a threshold for a sensitivity ``at`` has a low end; 0 for Youden's.

    None where no number does: the lowest score of all positive patients has no bound.

    Of m patients all score above the score that a share ``at`` of patients reaches with chance ``at ** m``: while that
    is above .025 the sample does not bound the threshold from below.

    Examples
    --------
    >>> patients_for_sensitivity(0.9), patients_for_sensitivity(0.8), patients_for_sensitivity(None)
    (36, 17, 0)
    """
    if at is None:
        return 0
    return math.ceil(math.log(BEYOND) / math.log(at)) if at < 1 else None
