"""Intervals of operating thresholds, from the threshold in resamples of patients."""

from __future__ import annotations

import math

import numpy as np

from stitchkit.metrics.bootstrap import Interval, percentile_interval

NORMAL = 2.05  # standard errors to either side
BEYOND = 0.025  # chance that the truth is below the low end


def threshold_interval(value: float, replicates: np.ndarray, scores: np.ndarray) -> Interval:
    """A 95 % interval of a threshold: the wider of percentiles and of 2.05 standard errors, within the scores.

    A threshold is the score of an item, so that resamples of few patients take few values and percentiles end too soon.

    Parameters
    ----------
    value
        Threshold of the whole sample.
    replicates : (b,)
        The same of resamples; NaN ones are left out.
    scores : (n,)
        Of all items; no end is below or above them.

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
    low, high = min(found.low, value - apart), max(found.high, value + apart)
    return Interval(value, max(low, float(np.min(scores))), min(high, float(np.max(scores))))


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
