"""Intervals of balanced accuracy and macro F1, means over classes of ratios of two sums over patients.

The rule of :mod:`stitchkit.metrics.proportions` adds up what single classes allow. It is right near 0 and 1 and too
narrow for several items a class in between, and it has none for differences of macro F1, whose ratios have other items
below. Here the variance is that of each patient's part in the mean, averaged with one by the numbers of patients alone,
and the interval that of Student's t; of a value, the wider of the two rules. ``docs/intervals.md`` has the coverage in
simulations.

References
----------
Satterthwaite, Biometrics Bulletin 2 (1946); Efron, The Jackknife, the Bootstrap and Other Resampling Plans (1982),
chapter 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import mean_interval

PRIOR, PAIRED_PRIOR = 8.0, 4.0  # degrees of freedom that the second variance is worth, of a value and of a difference
MOST = 0.9  # share of a class up to which a patient's own is corrected for


@dataclass(frozen=True, slots=True, eq=False)
class ClassMeans:
    """Ratios ``sum(won) / sum(of)`` of c classes, and how far each of k patients moves them.

    Parameters
    ----------
    won, of : (k, c)
        Sums over each patient's items.
    value : (c,)
        The ratios.
    pull : (k, c)
        Derivative of the ratio by the patient's weight, divided by the root of one minus the patient's share of the
        class.
    shares : (k, c)
        Share of each patient in the items of the class.
    """

    won: np.ndarray
    of: np.ndarray
    value: np.ndarray
    pull: np.ndarray
    shares: np.ndarray

    @classmethod
    def of_sums(cls, won: np.ndarray, of: np.ndarray, true: np.ndarray) -> ClassMeans:
        """The ratios of classes that have ``true`` (k, c) items of each patient; classes without any are left out.

        Examples
        --------
        >>> true = np.repeat(np.eye(2), 10, axis=0)
        >>> right = true * (np.arange(20) % 5 > 0)[:, None]
        >>> print(ClassMeans.of_sums(right, true, true).interval())
        0.800 [0.533, 0.942]
        """
        known = np.asarray(true).sum(axis=0) > 0
        won, of, true = (np.asarray(one, dtype=np.float64)[:, known] for one in (won, of, true))
        value, shares = won.sum(axis=0) / of.sum(axis=0), true / true.sum(axis=0)
        pull = (won - value * of) / of.sum(axis=0) / np.sqrt(1 - np.minimum(shares, MOST))
        return cls(won, of, value, pull, shares)

    @classmethod
    def mean_of(cls, each: Sequence[ClassMeans]) -> ClassMeans:
        """The mean over several sets of answers on the same items and patients, such as draws of anchors."""
        won, of, value, pull = (
            np.mean([getattr(one, name) for one in each], axis=0) for name in ("won", "of", "value", "pull")
        )
        return cls(won, of, value, pull, each[0].shares)

    def interval(self, level: float = 0.95) -> Interval:
        """The mean over classes with the wider of the interval of proportions and that of Student's t."""
        value = float(self.value.mean())
        exact, (low, high) = mean_interval(self.won, self.of, level), self._ends(level)
        return Interval(value, min(low, exact.low, value), max(high, exact.high, value))

    @property
    def _crowding(self) -> np.ndarray:
        """One over the effective number of patients (c,) of each class."""
        found: np.ndarray = np.sum(self.shares**2, axis=0)
        return found

    def _ends(self, level: float) -> tuple[float, float]:
        """Low and high on the logit scale, of as many independent items as would vary as much and one half right."""
        from scipy.special import expit, logit
        from scipy.stats import t

        shrunk = (self.value + self._crowding / 2) / (1 + self._crowding)
        inside, varying = shrunk * (1 - shrunk), float(self.value.mean() * (1 - self.value.mean()))
        spread, freedom = float(np.sum(self.pull.mean(axis=1) ** 2)), self.freedom(inside)
        placed = spread / varying if varying > 0 else 0.0
        modelled = self.variance_of(inside) / (shrunk.mean() * (1 - shrunk.mean()))
        one_over_n = (freedom * placed + PRIOR * modelled) / (freedom + PRIOR)
        centre = (self.value.mean() + one_over_n / 2) / (1 + one_over_n)
        reach = t.ppf((1 + level) / 2, freedom + PRIOR) * np.sqrt(one_over_n / (centre * (1 - centre)))
        return float(expit(logit(centre) - reach)), float(expit(logit(centre) + reach))

    def variance_of(self, single: np.ndarray) -> float:
        """Variance of the mean over classes if that of one patient is ``single`` (c,), shared patients' alike."""
        return float(np.sum(np.mean(self.shares * np.sqrt(single), axis=1) ** 2))

    def freedom(self, single: np.ndarray) -> float:
        """Degrees of freedom of the mean over classes, after Satterthwaite."""
        variance = single * self._crowding
        of_patient = self.shares @ variance
        lost = np.sum(variance * (1 - np.minimum(self._crowding, MOST))) / np.sum(variance)
        return float(np.sum(of_patient) ** 2 / np.sum(of_patient**2) * lost)


def class_mean_difference(one: ClassMeans, other: ClassMeans, apart: np.ndarray, level: float = 0.95) -> Interval:
    """Mean over classes of ``one - other``, of the same items, with the interval of Student's t.

    Parameters
    ----------
    apart : (k,)
        Share of each patient's items on which the two methods' answers differ, in [0, 1]. Both variances are of these
        patients and of one more who differs: two methods that never differ have a width, since the sample shows no
        more.

    Examples
    --------
    >>> true = np.repeat(np.eye(2), 10, axis=0)
    >>> right = true * (np.arange(20) % 5 > 0)[:, None]
    >>> one, other = ClassMeans.of_sums(true, true, true), ClassMeans.of_sums(right, true, true)
    >>> print(class_mean_difference(one, other, (np.arange(20) % 5 == 0).astype(float)))
    0.200 [-0.029, 0.429]
    """
    from scipy.stats import t

    whole = np.ones(one.shares.shape[1])
    most = one.variance_of(whole)  # if every patient differed
    spread = float(np.sum((one.pull - other.pull).mean(axis=1) ** 2)) + most / (len(apart) + 2)
    model = most * (float(np.sum(apart)) + 1) / (len(apart) + 2)
    freedom = one.freedom(whole) / 2  # half of Satterthwaite's: differences of few items have long tails
    error = np.sqrt((freedom * spread + PAIRED_PRIOR * model) / (freedom + PAIRED_PRIOR))
    reach = float(t.ppf((1 + level) / 2, freedom + PAIRED_PRIOR) * error)
    value = float(one.value.mean() - other.value.mean())
    return Interval(value, max(value - reach, -1.0), min(value + reach, 1.0))


def recalls_and_f1(
    best: np.ndarray, truth: np.ndarray, classes: int, patient: np.ndarray
) -> tuple[ClassMeans, ClassMeans]:
    """Recall and F1 of each class that is true somewhere, by the class called and the class it is, each (n,) int.

    Parameters
    ----------
    best, truth : (n,) int
        The class called, and the class it is.
    classes
        Number of classes.
    patient : (n,)
        Patient of each item.

    Examples
    --------
    >>> truth = np.arange(90) % 3
    >>> for one in recalls_and_f1(np.where(np.arange(90) < 6, 0, truth), truth, 3, np.arange(90)):
    ...     print(one.interval())
    0.956 [0.879, 0.994]
    0.956 [0.881, 0.988]
    """
    row = np.unique(patient, return_inverse=True)[1].reshape(-1)
    shape = int(row.max(initial=-1)) + 1, classes

    def sums(of: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.bincount(rows * classes + of, minlength=shape[0] * classes).reshape(shape).astype(np.float64)

    right = best == truth
    hits, true, called = sums(truth[right], row[right]), sums(truth, row), sums(best, row)
    return ClassMeans.of_sums(hits, true, true), ClassMeans.of_sums(2 * hits, true + called, true)
