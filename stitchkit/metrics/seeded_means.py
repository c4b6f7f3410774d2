"""Means over runs of a few seeds, judged on the same patients: both vary, and few seeds tell little of how runs do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stitchkit.metrics.bootstrap import Interval

LEVEL, POWER = 0.05, 0.8
ROUNDING = 1e-12  # spread of equal values, relative to them


@dataclass(frozen=True, slots=True)
class SeededMean:
    """A mean over seeds with its standard error.

    Parameters
    ----------
    value
        The mean.
    error
        Standard error over patients and seeds; NaN of one seed. Of 0, where all values are equal, nothing follows for
        other seeds: there is no interval and no detectable mean.
    df
        Degrees of freedom of the error.
    """

    value: float
    error: float
    df: float

    def interval(self, low: float = -math.inf, high: float = math.inf) -> Interval:
        """The mean with its 95 % interval, cut at the ends that the measure has."""
        if not self.error > 0:
            return Interval(self.value, math.nan, math.nan)
        half = self._quantile(1 - LEVEL / 2) * self.error
        return Interval(self.value, max(self.value - half, low), min(self.value + half, high))

    @property
    def p(self) -> float:
        """Two-sided p-value of a mean of 0; NaN of one seed, and of values without any spread."""
        from scipy.stats import t

        if not self.error > 0:
            return 1.0 if self.value == self.error == 0 else math.nan
        return float(2 * t.sf(abs(self.value) / self.error, self.df))

    def detectable(self, comparisons: int) -> float:
        """Smallest mean that a test at the level 0.05 / ``comparisons`` shows with a power of 80 %, about."""
        if not self.error > 0:
            return math.nan
        return self.error * (self._quantile(1 - LEVEL / 2 / comparisons) + self._quantile(POWER))

    def _quantile(self, share: float) -> float:
        from scipy.stats import t

        return float(t.ppf(share, self.df))


def seeded_mean(each: np.ndarray, resamples: np.ndarray, people: int) -> SeededMean:
    """The mean over seeds of a measure, or of its paired differences.

    The variance is that of the seeds' values over their number, and that of the mean in resamples of patients; the
    degrees of freedom are Satterthwaite's. The part of the variance that patients and seeds have together is counted in
    both, which makes intervals wider and not narrower.

    Parameters
    ----------
    each : (s,)
        The measure of each seed on all patients.
    resamples : (b,)
        The mean over seeds in resamples of patients.
    people
        Number of patients.

    Examples
    --------
    >>> seeded_mean(np.array([0.2, 0.3, 0.4]), np.full(9, 0.3), 50).interval().high.__round__(3)
    0.548
    """
    value, count = float(np.mean(each)), len(each)
    if count < 2:
        return SeededMean(value, math.nan, math.nan)
    of_seeds, of_patients = float(np.var(each, ddof=1)) / count, float(np.var(resamples, ddof=1))
    total = of_seeds + of_patients
    if math.sqrt(total) <= ROUNDING * abs(value):
        total = 0.0
    below = of_seeds**2 / (count - 1) + of_patients**2 / max(people - 1, 1)
    return SeededMean(value, math.sqrt(total), total**2 / below if below else count - 1)
