"""Intervals of AUROC, of its mean over classes and of paired differences, from how far each patient moves them.

The variance is DeLong's with the placements of a patient's items added up (Obuchowski 1997). With few patients, or near
an AUROC of 1, it is often far too small, and it vanishes where positives and negatives are apart. It is therefore
averaged with a second one that does not: that of the items' ranks among their own kind. Intervals of an AUROC are those
of Student's t on the logit scale, and lend their skewness to those of differences. Its degrees of freedom are few where
patients are, where they are unequal, and where a few of them make most of the variance. ``docs/intervals.md`` has the
coverage in simulations.

References
----------
DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); Obuchowski, Biometrics 53 (1997); Bell and McCaffrey, Survey
Methodology 28 (2002); Zou and Donner, Statistics in Medicine 27 (2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.degrees_of_freedom import (
    effective_number,
    left_around_mean,
    mean_freedom,
    normal_freedom,
    tailed_freedom,
)

PRIOR = 4.0  # degrees of freedom that the variance of ranks is worth, chosen by `python -m benchmarks.coverage auroc`
USUAL = 0.95  # level at which the two sides of intervals are compared


class Difference(NamedTuple):
    """A paired difference with its interval and the p-value of "no difference".

    Parameters
    ----------
    interval
        Value and ends; NaN ends where a side has fewer than two patients.
    p
        Two-sided; below 0.05 exactly where the 95 % interval leaves out 0. 1 where the order of scores is the same.
    standard_error
        Standard error of the value, before its two sides are made unequal; 0 where the order of scores is the same.
    degrees
        Degrees of freedom of Student's t.
    """

    interval: Interval
    p: float
    standard_error: float
    degrees: float


@dataclass(frozen=True, slots=True, eq=False)
class AurocPulls:
    """AUROC of c classes, and how far each of k patients moves them.

    Parameters
    ----------
    value : (c,)
        AUROC; NaN where a class has no pair of a positive and a negative.
    pull : (k, c)
        Sum of the deviations of the patient's placements; NaN where a side has fewer than two patients. What a patient
        adds on one side is divided by the root of the share of its variance that is left around the mean.
    rank_pull : (k, c)
        The same of ranks among the items of one side, which say nothing of how far the sides are apart.
    tied : (c,)
        Variance that ``rank_pull`` lacks because ranks are tied.
    shares : (k, c)
        Share of each patient in the side, positives or negatives, that fewer patients carry.
    """

    value: np.ndarray
    pull: np.ndarray
    rank_pull: np.ndarray
    tied: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(
        cls,
        scores: np.ndarray,
        labels: np.ndarray,
        groups: np.ndarray | None = None,
        parts: np.ndarray | None = None,
    ) -> AurocPulls:
        """Placements of all items, added up over patients, from one sort a class.

        Parameters
        ----------
        scores : (n, c)
        labels : (n, c) of 0, 1 and NaN
            A row whose label is not known (NaN) is left out for that class alone.
        groups : (n,), optional
            Patient of each row; every row is one of its own if not given. A patient counts by a share of the items, so
            that repeating every row of every patient changes nothing.
        parts : (n,), optional
            Fold of each row: only pairs of one fold count, as in :func:`stitchkit.metrics.auroc.auroc_within`.

        Raises
        ------
        InputError
            If the shapes differ, or a score is NaN.
        """
        _check(scores, labels)
        n, c = scores.shape
        patient = _numbered(np.arange(n) if groups is None else groups)
        part = _numbered(np.zeros(n) if parts is None else parts)
        patients = int(patient.max(initial=-1)) + 1
        value, tied = np.full((2, c), np.nan)
        pull, ranks, shares = np.full((3, patients, c), np.nan)
        for j in range(c):
            known = np.flatnonzero(~np.isnan(labels[:, j]))
            ranked = _ranked(scores[known, j], labels[known, j] > 0, part[known])
            if ranked is not None:
                value[j] = ranked.value
                pull[:, j], ranks[:, j], tied[j], shares[:, j] = _of_patients(ranked, patient[known], patients)
        return cls(value, pull, ranks, tied, shares)

    @classmethod
    def mean_of(cls, each: Sequence[AurocPulls]) -> AurocPulls:
        """The mean over several score sets of the same items, labels and patients, such as draws of anchors."""
        value, pull, ranks, tied = (
            np.mean([getattr(one, name) for one in each], axis=0) for name in ("value", "pull", "rank_pull", "tied")
        )
        return cls(value, pull, ranks, tied, each[0].shares)

    def of_columns(self, columns: Sequence[int] | np.ndarray) -> AurocPulls:
        """Some of the classes, by number."""
        at = np.asarray(columns, dtype=np.int64)
        return AurocPulls(self.value[at], self.pull[:, at], self.rank_pull[:, at], self.tied[at], self.shares[:, at])

    @property
    def shrunk(self) -> np.ndarray:
        """AUROC (c,) moved towards 1/2 as by one more observation; 0 or 1 only where nothing varies."""
        spread = 4 * (np.sum(self.rank_pull**2, axis=0) + self.tied)
        return (self.value + spread / 2) / (1 + spread)

    @property
    def size(self) -> np.ndarray:
        """Standard deviation (c,) of placements over that of ranks, taken as that of 1/2 at 1/2 and large near 1."""
        return 2 * np.sqrt(self.shrunk * (1 - self.shrunk))


def auroc_intervals(pulls: AurocPulls, level: float = 0.95) -> list[Interval]:
    """AUROC of each class with its interval; the ends are NaN where a side has fewer than two patients.

    Examples
    --------
    >>> scores = np.array([[0.1], [0.3], [0.4], [0.2], [0.35], [0.8], [0.5], [0.9]])
    >>> labels = np.array([[0], [0], [0], [0], [1], [1], [1], [1]])
    >>> print(auroc_intervals(AurocPulls.of(scores, labels))[0])
    0.938 [0.247, 0.993]
    """
    return _Estimates.of_classes(pulls).intervals(level)


def macro_auroc_interval(pulls: AurocPulls, level: float = 0.95) -> Interval:
    """Mean AUROC over the classes with its interval; see :meth:`AurocPulls.of_columns` for a mean over some."""
    return _Estimates.of_mean(pulls).intervals(level)[0]


def auroc_differences(one: AurocPulls, other: AurocPulls, level: float = 0.95) -> list[Difference]:
    """``one - other`` for each class, of the same items, labels and patients.

    Examples
    --------
    >>> scores = np.array([[0.1], [0.3], [0.4], [0.2], [0.35], [0.8], [0.5], [0.9]])
    >>> labels = np.array([[0], [0], [0], [0], [1], [1], [1], [1]])
    >>> pulls, squared = AurocPulls.of(scores, labels), AurocPulls.of(scores**2, labels)
    >>> print(auroc_differences(pulls, squared)[0].interval)  # of the same order
    0.000 [0.000, 0.000]
    """
    spread, model = (np.sum(part**2, axis=0) for part in _apart(one, other))
    first, second = _Estimates.of_classes(one), _Estimates.of_classes(other)
    certain = tailed_freedom(one.pull - other.pull, first.freedom + 1, normal_freedom(one.shares))
    return _differences(first, second, (spread, model, first.freedom, certain), level)


def macro_auroc_difference(one: AurocPulls, other: AurocPulls, level: float = 0.95) -> Difference:
    """Mean over the classes of ``one - other``, of the same items, labels and patients."""
    spread, model = (np.sum(part.mean(axis=1, keepdims=True) ** 2, axis=0) for part in _apart(one, other))
    first, second = _Estimates.of_mean(one), _Estimates.of_mean(other)
    # differences of placements have long tails, for which Satterthwaite's rule, made for normal ones, is too sure
    freedom = np.maximum(np.minimum(first.freedom, second.freedom) / 2, np.min(_freedom(one)))
    apart = np.mean(one.pull - other.pull, axis=1, keepdims=True)
    certain = tailed_freedom(apart, first.freedom + 1, np.minimum(freedom, _macro_freedom(one)[1]))
    return _differences(first, second, (spread, model, freedom, certain), level)[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Estimates:
    """AUROC of j classes, or the mean over classes (j = 1), with all that decides their intervals; each (j,)."""

    value: np.ndarray
    spread: np.ndarray  # variance by placements
    model: np.ndarray  # variance by ranks
    shrunk: np.ndarray
    freedom: np.ndarray  # effective patients minus one, the weight of ``spread`` against ``PRIOR``
    certain: np.ndarray  # degrees of freedom of ``spread``, fewer where patients are unequal or few make most of it

    @classmethod
    def of_classes(cls, pulls: AurocPulls) -> _Estimates:
        model = np.sum((pulls.size * pulls.rank_pull) ** 2, axis=0) + pulls.size**2 * pulls.tied
        freedom = _freedom(pulls)
        certain = tailed_freedom(pulls.pull, freedom + 1, normal_freedom(pulls.shares))
        return cls(pulls.value, np.sum(pulls.pull**2, axis=0), model, pulls.shrunk, freedom, certain)

    @classmethod
    def of_mean(cls, pulls: AurocPulls) -> _Estimates:
        pull = np.mean(pulls.pull, axis=1)
        model = np.sum(np.mean(pulls.size * pulls.rank_pull, axis=1) ** 2)
        ties = np.mean(pulls.size * np.sqrt(pulls.tied)) ** 2  # as if those of all classes were broken alike
        freedom, normal = _macro_freedom(pulls)
        parts = pulls.value.mean(), np.sum(pull**2), model + ties, pulls.shrunk.mean(), freedom
        certain = tailed_freedom(pull[:, None], np.asarray([freedom + 1]), np.asarray([normal]))
        return cls(*map(np.atleast_1d, (*parts, certain[0])))

    @property
    def variance(self) -> np.ndarray:
        return (self.freedom * self.spread + PRIOR * self.model) / (self.freedom + PRIOR)

    def reach(self, level: float) -> np.ndarray:
        """Quantile (j,) of Student's t."""
        from scipy.stats import t

        found: np.ndarray = t.ppf((1 + level) / 2, self.certain + PRIOR)
        return found

    def intervals(self, level: float) -> list[Interval]:
        return [Interval(*one) for one in zip(self.value.tolist(), *self.ends(level).tolist(), strict=True)]

    def ends(self, level: float) -> np.ndarray:
        """Low and high (2, j): by the empirical logit of as many independent items as would vary as much."""
        from scipy.special import expit, logit

        inside, model_inside = self.value * (1 - self.value), self.shrunk * (1 - self.shrunk)
        placed = np.where(inside > 0, self.spread / np.where(inside > 0, inside, 1), 0 * self.spread)
        one_over_n = (self.freedom * placed + PRIOR * self.model / model_inside) / (self.freedom + PRIOR)
        varies = ~(one_over_n <= 0)
        number = 1 / np.where(varies, one_over_n, 1)
        centre = (number * self.value + 0.5) / (number + 1)
        reach = self.reach(level) / np.sqrt(number * centre * (1 - centre))
        low, high = (np.where(varies, expit(logit(centre) + sign * reach), self.value) for sign in (-1, 1))
        return np.stack([np.minimum(low, self.value), np.maximum(high, self.value)])  # 0 and 1 are ends of their own


def _check(scores: np.ndarray, labels: np.ndarray) -> None:
    if scores.shape != labels.shape or scores.ndim != 2:
        raise InputError(
            f"AUROC of classes takes scores and labels of one shape (n, c); got {scores.shape} and {labels.shape}."
        )
    if missing := int(np.isnan(scores).sum()):
        raise InputError(f"{missing} of {scores.size} scores are NaN. Leave their items out of the comparison.")


def _numbered(names: np.ndarray) -> np.ndarray:
    """Numbers (n,) from 0 of equal names (n,)."""
    return np.unique(names, return_inverse=True)[1].reshape(-1)


def _freedom(pulls: AurocPulls) -> np.ndarray:
    """Effective number (c,) of patients of the side with fewer, minus one."""
    found: np.ndarray = effective_number(pulls.shares) - 1
    return found


def _macro_freedom(pulls: AurocPulls) -> tuple[float, float]:
    """Degrees of freedom of the mean over classes, as those of one class by :func:`_freedom` and by normal means.

    A patient's part of the variance is expected to be, in each class, that of the class times the patient's share of
    the side with fewer patients, or the square of the share.
    """
    shares = pulls.shares
    variance = pulls.size**2 * np.sum(shares**2, axis=0)
    return (
        mean_freedom(variance, shares, _freedom(pulls)),
        mean_freedom(variance, shares**2, normal_freedom(shares)),
    )


def _apart(one: AurocPulls, other: AurocPulls) -> tuple[np.ndarray, np.ndarray]:
    """Pulls of the difference (k, c), by placements and by ranks."""
    return one.pull - other.pull, one.size * one.rank_pull - other.size * other.rank_pull


def _differences(one: _Estimates, other: _Estimates, paired: tuple[np.ndarray, ...], level: float) -> list[Difference]:
    """Student's t with the paired standard error, its two sides as unequal as those of the two intervals together.

    ``paired`` are variance by placements and by ranks, weight of the first, and its degrees of freedom.
    """
    from scipy.stats import t

    spread, model, freedom, certain = paired
    value, degrees = one.value - other.value, certain + PRIOR
    error = np.sqrt((freedom * spread + PRIOR * model) / (freedom + PRIOR))
    down, up = _stretches(one, other) * error
    reach = t.ppf((1 + level) / 2, degrees)
    against = np.where(value > 0, down, up)
    sure = np.where(np.isnan(error), np.nan, value == 0)  # where nothing varies
    p = np.where(error > 0, 2 * t.sf(np.abs(value) / np.where(error > 0, against, 1), degrees), sure)
    low, high = (np.clip(end, -1, 1).tolist() for end in (value - reach * down, value + reach * up))
    intervals = map(Interval, value.tolist(), low, high)
    return [Difference(*each) for each in zip(intervals, p.tolist(), error.tolist(), degrees.tolist(), strict=True)]


def _stretches(one: _Estimates, other: _Estimates) -> np.ndarray:
    """Both sides (2, j) of the interval of an unpaired difference (Zou and Donner's) over those of Student's t.

    Near 1 an AUROC may lie much further below its estimate than above it. The low end of a difference is then nearer
    than the high one, if the second method is the worse.
    """
    (low, high), (other_low, other_high) = (each.ends(USUAL) for each in (one, other))
    below = (one.value - low) ** 2 + (other_high - other.value) ** 2
    above = (high - one.value) ** 2 + (other.value - other_low) ** 2
    plain = one.reach(USUAL) ** 2 * one.variance + other.reach(USUAL) ** 2 * other.variance
    ratios: np.ndarray = np.sqrt(np.stack([below, above]) / np.where(plain > 0, plain, 1))
    return np.where(plain > 0, ratios, 1.0)


class _Ranked(NamedTuple):
    """Items of one class in ``order``: side, placement on the other side, rank on the own one, share of its pairs."""

    value: float
    order: np.ndarray
    positive: np.ndarray
    placement: np.ndarray
    rank: np.ndarray
    weight: np.ndarray  # adds up to 1 on each side


def _ranked(scores: np.ndarray, positive: np.ndarray, part: np.ndarray) -> _Ranked | None:
    """Middle places of each item among the positives and among the negatives of its part; None without a pair."""
    if positive.all() or not positive.any():
        return None
    order = np.lexsort((scores, part))
    score, of_part, side = scores[order], part[order], positive[order]
    other_part = of_part[1:] != of_part[:-1]
    (first, last), (tie_first, tie_last) = _runs(other_part), _runs(other_part | (score[1:] != score[:-1]))
    middles, sizes = [], []
    for kind in (side, ~side):
        before = np.concatenate([[0], np.cumsum(kind)])
        middles.append((before[tie_first] + before[tie_last]) / 2 - before[first])
        sizes.append(before[last] - before[first])
    pairs = int(np.sum(sizes[1][side]))
    if not pairs:
        return None
    positives, negatives = (middle / np.maximum(size, 1) for middle, size in zip(middles, sizes, strict=True))
    return _Ranked(
        value=float(np.sum(middles[1][side]) / pairs),
        order=order,
        positive=side,
        placement=np.where(side, negatives, 1 - positives),
        rank=np.where(side, positives - 0.5, 0.5 - negatives),
        weight=np.where(side, sizes[1], sizes[0]) / pairs,
    )


def _runs(differs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First place of the run that each of n places is in, and the place after its last, from ``differs`` (n - 1,)."""
    cuts = np.concatenate([[0], np.flatnonzero(differs) + 1, [len(differs) + 1]])
    length = np.diff(cuts)
    return np.repeat(cuts[:-1], length), np.repeat(cuts[1:], length)


def _of_patients(
    ranked: _Ranked, patient: np.ndarray, patients: int
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Pull, pull of ranks (k,), lacking variance of ties, and share (k,) of each patient in the smaller side."""
    pull, ranks, shares, tied = np.zeros(patients), np.zeros(patients), [], 0.0
    for side in (ranked.positive, ~ranked.positive):
        weight, of_patient = ranked.weight[side], patient[ranked.order[side]]
        share = np.bincount(of_patient, weight, patients)
        if np.sum(share > 0) < 2:
            nothing = np.full(patients, np.nan)
            return nothing, nothing, float("nan"), nothing
        left = left_around_mean(share)
        root = np.sqrt(left)
        pull += np.bincount(of_patient, weight * (ranked.placement[side] - ranked.value), patients) / root
        ranks += np.bincount(of_patient, weight * ranked.rank[side], patients) / root
        lacking = max(1 / 12 - float(np.sum(weight * ranked.rank[side] ** 2)), 0.0)
        tied += lacking * float(np.sum(share**2 / left))
        shares.append(share)
    if np.all(ranked.placement[ranked.weight > 0] == 0.5):
        tied = 0.0  # scores that are all equal: 1/2 whatever the items
    return pull, ranks, tied, max(shares, key=lambda one: float(np.sum(one**2)))
