"""Intervals of the measured sizes of a learning curve: over held-out patients and over draws that overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.metrics.bootstrap import Interval, patient_counts
from stitchkit.metrics.proportions import exact_interval
from stitchkit.metrics.r2_intervals import r2_interval

SHARED = 0.6  # of the pool; draws of more are too much alike to show how much a draw matters
SIDES = 3.92  # standard errors from the low end of a 95 % interval to the high end


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSums:
    """Sums of a measure by draw of anchors, size and held-out patient.

    Parameters
    ----------
    won : (d, s, k)
        Numerator of the measure of each draw, size and patient.
    of : (k,)
        Denominator of each patient.
    overlap : (s,)
        Each size over the number of pairs that anchors are drawn from: the share that two draws have in common.
    """

    won: np.ndarray
    of: np.ndarray
    overlap: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """The measure (s, d) at each size and draw."""
        values: np.ndarray = (self.won.sum(axis=2) / self.of.sum()).T
        return values

    @property
    def draw_variances(self) -> np.ndarray:
        """Variance (s,) of the mean over draws, of other pools too; NaN where draws cannot tell.

        Two draws that have a share f of the pool in common correlate by at most f, by Hoeffding's decomposition of a
        function of n items that does not know their order, so that the variance of one among other pools is at most
        that between draws over 1 - f; f is taken. Where the mean over neighbouring sizes is larger it counts; above
        three fifths of the pool, where draws are nearly one, it is the mean of the two largest sizes below.
        """
        values, draws = self.values, len(self.won)
        known = np.flatnonzero(self.overlap <= SHARED)
        if draws < 2 or not known.size:
            return np.full(len(values), np.nan)
        one = values[known].var(axis=1, ddof=1) / (1 - self.overlap[known])
        found = np.empty(len(values))
        for j, overlap in enumerate(self.overlap):
            near = one[np.abs(known - j) <= 1] if j in known else one[-2:]
            own = one[known == j].sum()  # 0 for a size above
            found[j] = max(near.mean(), own) * (overlap + (1 - overlap) / draws)
        return found

    def intervals(self, metric: str) -> tuple[Interval, ...]:
        """The mean over draws at each size.

        The distances of the two ends from the value are those of the interval over held-out patients, by the rule of
        the measure, and of Student's t over draws, added as standard errors are. Degrees of freedom are
        Satterthwaite's. Without ends where draws cannot tell.
        """
        from scipy.stats import t

        each = [_over_patients(won, self.of, metric) for won in self.won.mean(axis=0)]
        degrees = [self._degrees(one, float(draws)) for one, draws in zip(each, self.draw_variances, strict=True)]
        reach = t.ppf(0.975, degrees) * np.sqrt(self.draw_variances)
        least = -np.inf if metric == "r2" else 0.0
        return tuple(_with_draws(one, further, least) for one, further in zip(each, reach.tolist(), strict=True))

    def resampled(self, metric: str, replicates: int, seed: int) -> np.ndarray:
        """Mean over draws at each size (b, s) as it may be with other patients and other draws.

        Patients are resampled; each draw's distance from the mean is weighed at random, as large as
        :attr:`draw_variances` says, or not at all where draws cannot tell; both are stretched as Student's t is.
        """
        rng = np.random.default_rng([seed, 1])
        mean, people = self.won.mean(axis=0), max(int(np.count_nonzero(self.of)), 2)
        blocks = patient_counts(np.arange(len(self.of)), replicates, seed)
        value = mean.sum(axis=1) / self.of.sum()
        patients = np.concatenate([(counts @ mean.T) / (counts @ self.of)[:, None] for counts in blocks]) - value
        degrees = self._degrees(_over_patients(mean[-1], self.of, metric), float(self.draw_variances[-1]))
        stretch = np.sqrt(degrees / rng.chisquare(degrees, size=(replicates, 1)))
        moved = np.sqrt(people / (people - 1)) * patients + rng.normal(size=(replicates, len(self.won))) @ self._paths
        drawn: np.ndarray = np.clip(value + stretch * moved, -np.inf if metric == "r2" else 0.0, 1.0)
        return drawn

    @property
    def _paths(self) -> np.ndarray:
        """Each draw's distance from the mean (d, s), scaled so that squares add up to the variance of the mean."""
        away = (self.values - self.values.mean(axis=1, keepdims=True)).T
        known = np.flatnonzero(self.overlap <= SHARED)
        if known.size:
            away[:, self.overlap > SHARED] = away[:, known[-1:]]
        size = np.sqrt(np.sum(away**2, axis=0))
        wanted = np.sqrt(np.nan_to_num(self.draw_variances))
        paths: np.ndarray = away * np.where(size > 0, wanted / np.where(size > 0, size, 1), 0)
        return paths

    def _degrees(self, one: Interval, draws: float) -> float:
        """Satterthwaite's degrees of freedom of an interval over patients and a variance over draws."""
        patients, draws = (float(np.nan_to_num(each)) for each in (((one.high - one.low) / SIDES) ** 2, draws))
        people = max(int(np.count_nonzero(self.of)) - 1, 1)
        parts = draws**2 / max(len(self.won) - 1, 1) + patients**2 / people
        return max((patients + draws) ** 2 / parts, 1.0) if parts > 0 else float(people)


def _over_patients(won: np.ndarray, of: np.ndarray, metric: str) -> Interval:
    return r2_interval(of - won, of) if metric == "r2" else exact_interval(won, of)


def _with_draws(one: Interval, further: float, least: float) -> Interval:
    """``one`` with both ends moved out by a second, independent distance, from ``least`` to 1; NaN if not known."""
    low, high = one.value - np.hypot(one.value - one.low, further), one.value + np.hypot(one.high - one.value, further)
    return Interval(one.value, float(np.maximum(low, least)), float(np.minimum(high, 1.0)))
