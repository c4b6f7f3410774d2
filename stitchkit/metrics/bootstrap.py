"""Bootstrap over patients: the same resample for every method, so that differences are paired."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

ROWS_AT_ONCE = 2_000_000  # of counts held in memory
STREAM = 2  # number of the way in which a seed decides the resamples; other numbers, other resamples


class Interval(NamedTuple):
    """A number with its interval; the ends are NaN where there is none.

    Examples
    --------
    >>> nan = float("nan")
    >>> print(Interval(0.8, 0.7, 0.9), Interval(0.8, nan, nan), Interval(nan, nan, nan))
    0.800 [0.700, 0.900] 0.800 -
    """

    value: float
    low: float
    high: float

    @property
    def has_ends(self) -> bool:
        """True if there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    @property
    def signed(self) -> str:
        """As a difference is printed, signs shown."""
        return self.value_alone("+") + (f" [{self.low:+.3f}, {self.high:+.3f}]" if self.has_ends else "")

    def value_alone(self, sign: str = "") -> str:
        """The number alone, as it is printed; a dash where it is undefined."""
        return "-" if math.isnan(self.value) else f"{self.value:{sign}.3f}"

    def __str__(self) -> str:
        return self.value_alone() + (f" [{self.low:.3f}, {self.high:.3f}]" if self.has_ends else "")


def patient_counts(
    groups: np.ndarray, replicates: int, seed: int, dtype: type[np.floating] = np.float64
) -> Iterator[np.ndarray]:
    """How often each row stands in each resample of whole patients, in blocks (b, n) that add up to ``replicates``.

    Parameters
    ----------
    groups : (n,)
        Patient of each row; repeating every row of a patient changes nothing.
    dtype
        Precision of the counts. In float32 rankings are several times faster; sums of it are exact up to 2**24 rows.
    """
    _, of_row = np.unique(groups, return_inverse=True)
    patients = int(of_row.max()) + 1
    rng = np.random.default_rng(seed)
    block = max(ROWS_AT_ONCE // len(groups), 1)
    for start in range(0, replicates, block):
        drawn = np.empty((min(block, replicates - start), patients), dtype=dtype)
        for one in drawn:  # a multinomial of equal chances, several times faster than numpy's
            one[:] = np.bincount(rng.integers(patients, size=patients), minlength=patients)
        yield drawn.T[of_row.reshape(-1)].T  # the counts of a row are contiguous: rankings take them row by row


def percentile_interval(value: float, replicates: np.ndarray, level: float = 0.95) -> Interval:
    """``value`` with the percentile interval of its replicates; NaN replicates are left out."""
    good = replicates[~np.isnan(replicates)]
    if good.size == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(good, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def centred_interval(value: float, replicates: np.ndarray, level: float = 0.95) -> Interval:
    """The percentile interval moved by as much as the replicates lie off ``value`` on average, never below 0.

    For what resamples make larger, such as a mean of distances, or average precision, whose positives stand twice.
    """
    found = percentile_interval(value, replicates, level)
    good = replicates[~np.isnan(replicates)]
    bias = float(good.mean()) - value if good.size else 0.0
    return Interval(value, max(found.low - bias, 0.0), max(found.high - bias, 0.0))


def exact_at_ends(found: Interval, people: int, level: float = 0.95) -> Interval:
    """``found`` of a share, with width where all are right or none is: there no resample differs from another.

    Parameters
    ----------
    found
        Interval of a share, or of a mean of numbers in [0, 1].
    people
        Patients (or items, where these are independent). None of m wrong leaves the share above
        ``((1 - level) / 2) ** (1 / m)``, and none of m right leaves it below one minus that.

    Examples
    --------
    >>> print(exact_at_ends(Interval(0.0, 0.0, 0.0), 10), exact_at_ends(Interval(1.0, 1.0, 1.0), 10))
    0.000 [0.000, 0.308] 1.000 [0.692, 1.000]
    """
    edge = ((1 - level) / 2) ** (1 / people)
    if found.value == 1:
        return found._replace(low=min(found.low, edge))
    return found._replace(high=max(found.high, 1 - edge)) if found.value == 0 else found
