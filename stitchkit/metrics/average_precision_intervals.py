"""Intervals of average precision, of its mean over classes and of paired differences, by derivatives of patients.

Average precision is a function of the patients' weights; its variance is that of the patients' first derivatives. With
few positives, or near 1, that is often far too small. It is therefore averaged with a second one that does not vanish,
``value (1 - value)`` over the effective number of patients (Boyd, Eng and Page 2013), and the interval is that of
Student's t on the logit scale. The average precision of a few positives is too high on average, since each is counted
at its own place: the low end goes down by three times the second-order term of that. ``docs/intervals.md`` has the
coverage in simulations.

References
----------
Boyd, Eng and Page, Area under the precision-recall curve: point estimates and confidence intervals, ECML PKDD (2013);
Efron, The Jackknife, the Bootstrap and Other Resampling Plans (1982), chapter 6; Zou and Donner, Statistics in Medicine
27 (2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stitchkit.metrics.auroc_intervals import AurocPulls
from stitchkit.metrics.bootstrap import Interval

PRIOR, PAIRED_PRIOR = 8.0, 4.0  # degrees of freedom that the second variance is worth, of a value and of a difference
EXTRA = 3.0  # times the second-order bias, by which ends move: once is less than half of the truth
LEAST = 0.25  # share of a value below which its low end is not centred
USUAL = 0.95  # level at which the two sides of intervals are compared


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionPulls:
    """Average precision of c classes, and how far each of k patients moves it.

    Parameters
    ----------
    value : (c,)
        Average precision; NaN where a class has no positive or no negative.
    pull : (k, c)
        Derivative by the patient's weight, so that the share of positives varies too. What a patient adds on one side
        is divided by the root of one minus the patient's share of that side. NaN where a side has fewer than two
        patients.
    model_pull : (k, c)
        Ranks among the items of one side, scaled so that their variance is ``value (1 - value)`` over the effective
        number of patients: of two methods that order items alike they are alike.
    tied : (c,)
        Variance that ``model_pull`` lacks because ranks are tied.
    shares : (k, c)
        Share of each patient in the side, positives or negatives, that fewer patients carry.
    prevalence : (c,)
        Share of positives among the items.
    bias : (c,)
        Mean excess of resamples of patients over the sample, to second order.
    """

    value: np.ndarray
    pull: np.ndarray
    model_pull: np.ndarray
    tied: np.ndarray
    shares: np.ndarray
    prevalence: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(
        cls,
        scores: np.ndarray,
        labels: np.ndarray,
        groups: np.ndarray | None = None,
        ranks: AurocPulls | None = None,
    ) -> PrecisionPulls:
        """First and second derivatives of average precision by patients' weights, from one sort a class.

        Parameters
        ----------
        scores : (n, c)
        labels : (n, c) of 0, 1 and NaN
            A row whose label is not known (NaN) is left out for that class alone.
        groups : (n,), optional
            Patient of each row; every row is one of its own if not given.
        ranks
            :meth:`AurocPulls.of` of the same arguments, to spare its work.

        Raises
        ------
        InputError
            If the shapes differ, or a score is NaN.
        """
        given = AurocPulls.of(scores, labels, groups) if ranks is None else ranks
        patient, patients = _numbers(len(scores), groups), len(given.pull)
        value, prevalence, bias = np.full((3, scores.shape[1]), np.nan)
        pull = np.full((patients, scores.shape[1]), np.nan)
        for j in range(scores.shape[1]):
            known = np.flatnonzero(~np.isnan(labels[:, j]))
            positive = labels[known, j] > 0
            if positive.any() and not positive.all():
                found = _of_class(scores[known, j], positive, patient[known], patients)
                value[j], pull[:, j], bias[j], prevalence[j] = *found, positive.mean()
        return cls(value, pull, *_scaled(value, prevalence, pull, given), given.shares, prevalence, bias)

    @classmethod
    def mean_of(cls, each: Sequence[PrecisionPulls]) -> PrecisionPulls:
        """The mean over several score sets of the same items, labels and patients, such as draws of anchors."""
        value, pull, model, tied, bias = (
            np.mean([getattr(one, name) for one in each], axis=0)
            for name in ("value", "pull", "model_pull", "tied", "bias")
        )
        return cls(value, pull, model, tied, each[0].shares, each[0].prevalence, bias)


def precision_intervals(pulls: PrecisionPulls, level: float = 0.95) -> list[Interval]:
    """Average precision of each class with its interval; the ends are NaN where a side has fewer than two patients.

    Examples
    --------
    >>> scores = np.array([[0.1], [0.3], [0.4], [0.2], [0.35], [0.8], [0.5], [0.9]])
    >>> labels = np.array([[0], [0], [0], [0], [1], [1], [1], [1]])
    >>> print(precision_intervals(PrecisionPulls.of(scores, labels))[0])
    0.950 [0.230, 0.997]
    """
    return _Estimates.of_classes(pulls).intervals(level)


def macro_precision_interval(pulls: PrecisionPulls, level: float = 0.95) -> Interval:
    """Mean average precision over the classes with its interval."""
    return _Estimates.of_mean(pulls).intervals(level)[0]


def macro_precision_difference(one: PrecisionPulls, other: PrecisionPulls, level: float = 0.95) -> Interval:
    """Mean over the classes of ``one - other``, of the same items, labels and patients.

    Student's t with the paired standard error. Each side is as much longer as that of an unpaired difference (Zou and
    Donner's) is than Student's t, and longer by what the two methods' biases differ: the worse method's is the larger.

    Examples
    --------
    >>> scores = np.array([[0.1], [0.3], [0.4], [0.2], [0.35], [0.8], [0.5], [0.9]])
    >>> labels = np.array([[0], [0], [0], [0], [1], [1], [1], [1]])
    >>> pulls, squared = PrecisionPulls.of(scores, labels), PrecisionPulls.of(scores**2, labels)
    >>> print(macro_precision_difference(pulls, squared))  # of the same order
    0.000 [0.000, 0.000]
    """
    from scipy.stats import t

    first, second = _Estimates.of_mean(one), _Estimates.of_mean(other)
    spread, model = (
        np.sum(np.mean(ours - theirs, axis=1) ** 2)
        for ours, theirs in ((one.pull, other.pull), (one.model_pull, other.model_pull))
    )
    # half of Satterthwaite's degrees of freedom: derivatives of few positives have long tails
    freedom = np.minimum(first.freedom, second.freedom) / 2
    error = np.sqrt((freedom * spread + PAIRED_PRIOR * model) / (freedom + PAIRED_PRIOR))
    reach = t.ppf((1 + level) / 2, freedom + PAIRED_PRIOR) * error * _stretches(first, second)
    apart = EXTRA * (first.bias - second.bias)
    value = first.value - second.value
    down, up = reach[0] + np.maximum(apart, 0), reach[1] + np.maximum(-apart, 0)
    return Interval(float(value[0]), float(np.maximum(value - down, -1)[0]), float(np.minimum(value + up, 1)[0]))


@dataclass(frozen=True, slots=True, eq=False)
class _Estimates:
    """Average precision of j classes, or the mean over classes (j = 1), with what decides intervals; each (j,)."""

    value: np.ndarray
    prevalence: np.ndarray
    bias: np.ndarray
    spread: np.ndarray  # variance by derivatives
    model: np.ndarray  # variance by the number of patients
    shrunk: np.ndarray
    freedom: np.ndarray  # degrees of freedom of ``spread``

    @classmethod
    def of_classes(cls, pulls: PrecisionPulls) -> _Estimates:
        spread, model = (np.sum(part**2, axis=0) for part in (pulls.pull, pulls.model_pull))
        crowding = np.sum(pulls.shares**2, axis=0)
        shrunk = _shrunk(pulls.value, pulls.prevalence, crowding)
        return cls(pulls.value, pulls.prevalence, pulls.bias, spread, model + pulls.tied, shrunk, 1 / crowding - 1)

    @classmethod
    def of_mean(cls, pulls: PrecisionPulls) -> _Estimates:
        spread, model = (np.sum(np.mean(part, axis=1) ** 2) for part in (pulls.pull, pulls.model_pull))
        ties = np.mean(np.sqrt(pulls.tied)) ** 2  # as if those of all classes were broken alike
        shrunk = _shrunk(pulls.value, pulls.prevalence, np.sum(pulls.shares**2, axis=0))
        parts = (pulls.value, pulls.prevalence, pulls.bias, spread, model + ties, shrunk, _freedom(pulls, shrunk))
        return cls(*(np.atleast_1d(np.mean(one)) for one in parts))

    @property
    def variance(self) -> np.ndarray:
        return (self.freedom * self.spread + PRIOR * self.model) / (self.freedom + PRIOR)

    def reach(self, level: float) -> np.ndarray:
        """Quantile (j,) of Student's t."""
        from scipy.stats import t

        found: np.ndarray = t.ppf((1 + level) / 2, self.freedom + PRIOR)
        return found

    def intervals(self, level: float) -> list[Interval]:
        return [Interval(*one) for one in zip(self.value.tolist(), *self.ends(level).tolist(), strict=True)]

    def ends(self, level: float) -> np.ndarray:
        """Low and high (2, j): on the logit scale, of as many independent positives as would vary as much.

        The centre is that of these and of half a positive more, of chance precision, so that 1 has an interval.
        """
        from scipy.special import expit, logit

        inside = self.value * (1 - self.value)
        placed = np.where(inside > 0, self.spread / np.where(inside > 0, inside, 1), 0 * self.spread)
        modelled = self.model / (self.shrunk * (1 - self.shrunk))
        one_over_n = (self.freedom * placed + PRIOR * modelled) / (self.freedom + PRIOR)
        lower = np.maximum(self.value - EXTRA * np.maximum(self.bias, 0), LEAST * self.value)
        low, high = (
            expit(logit(centre) + sign * self.reach(level) * np.sqrt(one_over_n / (centre * (1 - centre))))
            for sign, centre in (
                (sign, (middle + one_over_n * self.prevalence / 2) / (1 + one_over_n / 2))
                for sign, middle in ((-1, lower), (1, self.value))
            )
        )
        return np.stack([np.minimum(low, self.value), np.maximum(high, self.value)])


def _numbers(n: int, groups: np.ndarray | None) -> np.ndarray:
    """Numbers (n,) from 0 of the patients, in the smallest type: numpy sorts integers of 16 bits many times faster."""
    found = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    return found.astype(np.min_scalar_type(int(found.max(initial=0))))


def _shrunk(value: np.ndarray, prevalence: np.ndarray, crowding: np.ndarray) -> np.ndarray:
    """``value`` moved towards chance as by half a positive patient more; 1 only where nothing varies."""
    found: np.ndarray = (value + crowding * prevalence / 2) / (1 + crowding / 2)
    return found


def _scaled(
    value: np.ndarray, prevalence: np.ndarray, pull: np.ndarray, ranks: AurocPulls
) -> tuple[np.ndarray, np.ndarray]:
    """Pulls of ranks (k, c), and the variance (c,) they lack, scaled to ``value (1 - value)`` over the patients.

    Where all scores are equal there are no ranks: the derivatives themselves, which are then of the share of positives.
    """
    crowding = np.sum(ranks.shares**2, axis=0)
    shrunk = _shrunk(value, prevalence, crowding)
    variance = np.sum(ranks.rank_pull**2, axis=0) + ranks.tied
    size = np.sqrt(shrunk * (1 - shrunk) * crowding / np.where(variance > 0, variance, 1))
    return np.where(variance == 0, pull, size * ranks.rank_pull), size**2 * ranks.tied


def _freedom(pulls: PrecisionPulls, shrunk: np.ndarray) -> float:
    """Degrees of freedom of the mean over classes, after Satterthwaite.

    A patient's part of the variance is expected to be, in each class, that of the class times the patient's share of
    the side with fewer patients. With one class this is its own; classes of different patients add theirs up.
    """
    crowding = np.sum(pulls.shares**2, axis=0)
    variance = shrunk * (1 - shrunk) * crowding
    of_patient = pulls.shares @ variance
    lost = np.sum(variance * (1 - crowding)) / np.sum(variance)  # a mean was taken away in each class
    return float(np.sum(of_patient) ** 2 / np.sum(of_patient**2) * lost)


def _stretches(one: _Estimates, other: _Estimates) -> np.ndarray:
    """Both sides (2, j) of the interval of an unpaired difference over those of Student's t, at least 1."""
    (low, high), (other_low, other_high) = (each.ends(USUAL) for each in (one, other))
    below = (one.value - low) ** 2 + (other_high - other.value) ** 2
    above = (high - one.value) ** 2 + (other.value - other_low) ** 2
    plain = one.reach(USUAL) ** 2 * one.variance + other.reach(USUAL) ** 2 * other.variance
    found: np.ndarray = np.maximum(np.sqrt(np.stack([below, above]) / np.where(plain > 0, plain, 1)), 1.0)
    return found


class _Sorted(NamedTuple):
    """Items of one class from the highest score down; equal scores are one place."""

    positive: np.ndarray  # (n,) bool
    patient: np.ndarray  # (n,)
    first: np.ndarray  # (n,) first row of the place that each row is in
    last: np.ndarray  # (n,) and its last one
    hits: np.ndarray  # (n,) positives down to the place
    number: np.ndarray  # (n,) items down to the place

    @classmethod
    def of(cls, scores: np.ndarray, positive: np.ndarray, patient: np.ndarray) -> _Sorted:
        order = np.argsort(-scores, kind="stable")
        score, side = scores[order], positive[order]
        first, last = _runs(score[1:] != score[:-1])
        hits = np.cumsum(side)[last].astype(np.float64)
        return cls(side, patient[order], first, last, hits, last + 1.0)

    def from_below(self, terms: np.ndarray) -> np.ndarray:
        """Sums (n,) of ``terms`` (n,) over the rows of the same place and of lower ones."""
        before = np.concatenate([[0.0], np.cumsum(terms)])
        found: np.ndarray = before[-1] - before[self.first]
        return found


def _runs(differs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last row (n,) of the run of equal rows that each row is in, from ``differs`` (n - 1,)."""
    cuts = np.flatnonzero(differs) + 1
    starts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(differs) + 1]])
    return np.repeat(starts, ends - starts), np.repeat(ends - 1, ends - starts)


def _of_class(
    scores: np.ndarray, positive: np.ndarray, patient: np.ndarray, patients: int
) -> tuple[float, np.ndarray, float]:
    """Average precision, pulls (patients,) of it, and its second-order bias."""
    rows = _Sorted.of(scores, positive, patient)
    side, number, n = rows.positive, rows.number, float(np.count_nonzero(positive))
    precision = rows.hits / number
    value = float(np.sum(precision[side]) / n)
    falls = rows.from_below(np.where(side, rows.hits / number**2, 0.0))  # by one item more at the place or above
    rises = rows.from_below(np.where(side, 1 / number, 0.0))  # by one positive more
    moved = np.where(side, precision - value + rises - falls, -falls) / n
    of_side = [np.bincount(rows.patient[one], moved[one], patients) for one in (side, ~side)]
    shares = [np.bincount(rows.patient[one], minlength=patients) / np.count_nonzero(one) for one in (side, ~side)]
    pull = sum(one / np.sqrt(np.maximum(1 - share, 1e-12)) for one, share in zip(of_side, shares, strict=True))
    bias = _curvature(rows)[side].sum() / n - float(shares[0] @ (of_side[0] + of_side[1]))
    return value, np.asarray(pull), bias


def _curvature(rows: _Sorted) -> np.ndarray:
    """Second derivatives (n,) of the precision at each row's place by patients' weights, halved and added up.

    With a of its items positive and b in all down to the place, a patient adds ``hits b**2 / number**3 - a b /
    number**2``; the patient of the row itself adds ``a / number - hits b / number**2`` too, as its place counts more.
    """
    order = np.argsort(rows.patient, kind="stable")  # of each patient's rows from above
    patient, side = rows.patient[order], rows.positive[order]
    other = patient[1:] != patient[:-1]
    start, _ = _runs(other)
    _, last = _runs(other | (rows.first[order][1:] != rows.first[order][:-1]))  # of the patient's rows in one place
    sums = np.concatenate([[0], np.cumsum(side)])
    items, hits, own_items, own_hits = np.empty((4, len(order)))
    items[order], hits[order] = np.arange(1, len(order) + 1) - start, sums[1:] - sums[start]
    own_items[order], own_hits[order] = last + 1 - start, sums[last + 1] - sums[start]
    squares = np.cumsum(2 * items - 1)[rows.last]
    products = np.cumsum(hits * items - (hits - rows.positive) * (items - 1))[rows.last]
    own = own_hits / rows.number - rows.hits * own_items / rows.number**2
    found: np.ndarray = own + rows.hits * squares / rows.number**3 - products / rows.number**2
    return found
