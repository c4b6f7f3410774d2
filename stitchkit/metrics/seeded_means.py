"""Means over runs of a few seeds, judged on the same patients: both vary, and few seeds tell little of how runs do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stitchkit.metrics.bootstrap import Interval

LEVEL, POWER = 0.05, 0.8
ROUNDING = 1e-12  # spread of equal values: measures are shares, up to 1
NODES = 500  # of the distribution of a variance between seeds


@dataclass(frozen=True, slots=True)
class SeededMean:
    """A mean over seeds with the two parts of its variance.

    Parameters
    ----------
    value
        The mean.
    of_seeds, of_patients
        Variance of the mean by its seeds and by its patients; NaN of one seed. Of 0, where all values are equal,
        nothing follows for other seeds: there is no interval and no detectable mean.
    seeds, people
        Numbers of seeds and of patients.

    References
    ----------
    Banerjee, S. K. (1961), Calcutta Statistical Association Bulletin 10: with the squares of the half-widths of both
    parts added, an interval holds the mean with at least its nominal probability, whatever the two variances are.
    """

    value: float
    of_seeds: float
    of_patients: float
    seeds: int
    people: int

    @property
    def error(self) -> float:
        """Standard error over patients and seeds."""
        return math.sqrt(self.of_seeds + self.of_patients)

    def interval(self, low: float = -math.inf, high: float = math.inf) -> Interval:
        """The mean with its 95 % interval, cut at the ends that the measure has."""
        if not self.error > 0:
            return Interval(self.value, math.nan, math.nan)
        half = float(self._half(LEVEL, self.of_seeds))
        return Interval(self.value, max(self.value - half, low), min(self.value + half, high))

    @property
    def p(self) -> float:
        """Two-sided p-value of a mean of 0; NaN of one seed, and of values without any spread."""
        from scipy.optimize import brentq

        if not self.error > 0:
            return 1.0 if self.value == self.error == 0 else math.nan
        least = -100.0  # of its logarithm to the base of ten

        def excess(exponent: float) -> float:
            return float(self._half(10.0**exponent, self.of_seeds)) - abs(self.value)

        return 0.0 if excess(least) < 0 else float(10.0 ** brentq(excess, least, 0.0, xtol=1e-12))

    def detectable(self, comparisons: int) -> float:
        """Smallest mean that a test at the level 0.05 / ``comparisons`` shows with a power of 80 %; NaN of none.

        The variances are taken as they were found; in a repetition that between seeds would be found anew.
        """
        from scipy.optimize import brentq
        from scipy.stats import chi2, norm

        if not self.error > 0:
            return math.nan
        found = self.of_seeds * chi2.ppf((np.arange(NODES) + 0.5) / NODES, self.seeds - 1) / (self.seeds - 1)
        halves = self._half(LEVEL / comparisons, found)

        def lacking(mean: float) -> float:
            return float(np.mean(norm.cdf((mean - halves) / self.error))) - POWER

        return float(brentq(lacking, 0.0, float(np.max(halves)) + 10 * self.error))

    def _half(self, level: float, of_seeds: float | np.ndarray) -> np.ndarray:
        """Half the width of the interval that leaves out ``level``, for variances between seeds."""
        from scipy.special import stdtrit

        seeds, patients = (-stdtrit(max(count - 1, 1), level / 2) for count in (self.seeds, self.people))
        half: np.ndarray = np.hypot(seeds * np.sqrt(of_seeds), patients * math.sqrt(self.of_patients))
        return half


def seeded_mean(each: np.ndarray, resamples: np.ndarray, people: int) -> SeededMean:
    """The mean over seeds of a measure, or of its paired differences.

    The variance by seeds is that of the seeds' values over their number, that by patients is that of the mean in
    resamples of patients. What both have in common is counted in both, which makes intervals wider and not narrower.

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
        return SeededMean(value, math.nan, math.nan, count, people)
    parts = float(np.var(each, ddof=1)) / count, float(np.var(resamples, ddof=1))
    seeds, patients = (0.0 if math.sqrt(one) <= ROUNDING * max(abs(value), 1.0) else one for one in parts)
    return SeededMean(value, seeds, patients, count, people)
