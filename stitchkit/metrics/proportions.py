"""Intervals of proportions and of means of numbers in [0, 1], whose items come in patients: monotone in the errors.

One rule for all of them. The patients are weighted at random, by independent exponential weights, beside one more
patient that is all wrong for the low end and all right for the high end; the ends are quantiles of the weighted share.
With one item a patient, right or wrong, this is the interval of Clopper and Pearson exactly; for one number in [0, 1]
a patient it is the bound of Gaffke. The quantiles are computed by integration, not drawn; patients of more than a
thousand different numbers are taken together in bins, which changes an end by less than 1e-9. ``docs/intervals.md`` has
the coverage in simulations.

References
----------
Clopper and Pearson, Biometrika 26 (1934); Gaffke, Mathematical Methods of Statistics 14 (2005); Learned-Miller and
Thomas, arXiv 1905.06208 (2019); Zou and Donner, Statistics in Medicine 27 (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.metrics.bootstrap import Interval

STEP = 0.1  # of the parameter of the hyperbola that is integrated along
ALONG = np.arange(0, 12, STEP)
COSH, SINH, BEND = np.cosh(ALONG), np.sinh(ALONG), 0.5  # the last is the largest slope of its axis
BLOCK, NOTHING = 24, 1e-17  # points taken at once; parts of the integral below which the rest is left out
CLIMB = 1.5  # times its lowest height so far, to which the integrand may climb on a bent line
SMALL = 1e-12  # to which ends are solved for
MANY = 1000  # different patients from which they are taken together in bins
BINS, ORDER = 512, 8  # the second is the highest power of the distance from a bin's mean that is kept
CLOSE = 1e-13  # error of the logarithm of the transform that a bin may add; patients of others are taken one by one


def exact_interval(won: np.ndarray, of: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of ``sum(won) / sum(of)`` over patients.

    One more error never raises either end, whichever patient's it is, and repeating every item of every patient changes
    nothing. Where a patient's items are right or wrong together the patients count, where they are hardly correlated
    the interval is narrower; where all items are right nothing tells these apart, and the patients count. The low end
    is above the truth in at most 2.5 % of samples (a theorem for one item a patient, a conjecture for one number in
    [0, 1] a patient, simulations for patients of unequal sizes).

    Parameters
    ----------
    won : (k,)
        Sum over each patient's items of 1 for right and 0 for wrong, or of numbers in between.
    of : (k,)
        Number of items of each patient; patients without any are left out.
    level
        Coverage, default 0.95.

    Returns
    -------
    Interval
        NaN where there are no items.

    Examples
    --------
    >>> print(exact_interval(np.r_[np.ones(29), 0], np.ones(30)))
    0.967 [0.828, 0.999]
    >>> print(exact_interval(np.ones(30), np.ones(30)))
    1.000 [0.884, 1.000]
    """
    present = np.asarray(of) > 0
    return _interval(np.asarray(won, dtype=np.float64)[present], np.asarray(of, dtype=np.float64)[present], level, 1.0)


def exact_difference(won: np.ndarray, other: np.ndarray, of: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of ``sum(won - other) / sum(of)``, of two methods on the same items, over patients.

    That of :func:`exact_interval` for numbers in [-1, 1]. The additional patient, whose items are all right by one
    method and all wrong by the other, has half the weight of a patient: with a whole one, differences of a few patients
    are covered always and say nothing. One more error of the first method never raises either end, one of the other
    never lowers them. Two methods that are never apart still have a width: the sample shows no more.

    Parameters
    ----------
    won, other : (k,)
        Sums of each patient, as in :func:`exact_interval`.
    of : (k,)
        Number of items of each patient.
    level
        Coverage, default 0.95.

    Examples
    --------
    >>> print(exact_difference(np.ones(30), np.r_[np.ones(27), np.zeros(3)], np.ones(30)))
    0.100 [-0.018, 0.247]
    >>> print(exact_difference(np.ones(30), np.ones(30), np.ones(30)))
    0.000 [-0.081, 0.081]
    """
    present = np.asarray(of) > 0
    size = np.asarray(of, dtype=np.float64)[present]
    apart = np.asarray(won, dtype=np.float64)[present] - np.asarray(other)[present]
    half = _interval((apart + size) / 2, size, level, 0.5)
    value = float(apart.sum() / size.sum()) if size.size else float("nan")
    return Interval(value, min(2 * half.low - 1, value), max(2 * half.high - 1, value))


def mean_interval(won: np.ndarray, of: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of the mean over classes of ``sum(won) / sum(of)``, such as the mean recall called balanced accuracy.

    Each class has the interval of :func:`exact_interval`; the distances of their ends from the values are added as
    standard errors are (Zou and Donner). Classes of different patients are independent; those that share patients are
    taken to be as correlated as these patients' numbers of items allow. The more classes, the more equal the two sides:
    a mean of many skewed shares is hardly skewed. The ends are monotone in the errors.

    Parameters
    ----------
    won, of : (k, c)
        Sums of each patient in each class; a class without items does not count.
    level
        Coverage, default 0.95.

    Examples
    --------
    >>> won, of = np.array([[2, 0], [1, 0], [0, 1], [0, 2]]), np.array([[2, 0], [2, 0], [0, 1], [0, 2]])
    >>> print(mean_interval(won, of))
    0.875 [0.407, 1.000]
    """
    known = np.asarray(of).sum(axis=0) > 0
    each = [exact_interval(w, s, level) for w, s in zip(np.asarray(won).T[known], np.asarray(of).T[known], strict=True)]
    return _mean(each, np.asarray(of, dtype=np.float64)[:, known], 0.0)


def mean_difference(won: np.ndarray, other: np.ndarray, of: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of the mean over classes of a paired difference, as :func:`mean_interval` of :func:`exact_difference`.

    Parameters
    ----------
    won, other, of : (k, c)
        Sums of each patient in each class.
    level
        Coverage, default 0.95.
    """
    known = np.asarray(of).sum(axis=0) > 0
    columns = (np.asarray(one).T[known] for one in (won, other, of))
    each = [exact_difference(one, another, size, level) for one, another, size in zip(*columns, strict=True)]
    return _mean(each, np.asarray(of, dtype=np.float64)[:, known], -1.0)


def by_patient(values: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Sums (k,) of ``values`` (n,) over the rows of each patient, by ``patient`` (n,) of any names.

    Examples
    --------
    >>> by_patient(np.array([1.0, 0.0, 1.0]), np.array(["a", "b", "a"])).tolist()
    [2.0, 0.0]
    """
    return np.bincount(np.unique(patient, return_inverse=True)[1].reshape(-1), weights=values)


def _mean(each: list[Interval], of: np.ndarray, least: float) -> Interval:
    """The mean of intervals of classes, whose patients have ``of`` (k, c) items in them."""
    if not each:
        return Interval(float("nan"), float("nan"), float("nan"))
    value, low, high = np.asarray(each).T
    length = np.sqrt(np.sum(of**2, axis=0))
    shared = (of.T @ of) / np.outer(length, length)  # 1 for a class with itself, 0 for classes of different patients
    scale = length / of.sum(axis=0)
    classes = scale.sum() ** 2 / (scale @ shared @ scale)  # of different patients and one size, worth as much
    other = (1 - classes**-0.5) / 2  # a mean of many is as likely to be too low as too high
    down, up = value - low, high - value
    below, above = (
        float(np.sqrt(apart @ shared @ apart)) / len(each)
        for apart in ((1 - other) * down + other * up, (1 - other) * up + other * down)
    )
    middle = float(value.mean())
    return Interval(middle, max(middle - below, least), min(middle + above, 1.0))


def _interval(won: np.ndarray, of: np.ndarray, level: float, extra: float) -> Interval:
    """Of patients who have items (k,); ``extra`` is the weight of the additional patient."""
    if of.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    share, tail = min(max(float(won.sum() / of.sum()), 0.0), 1.0), (1 - level) / 2
    low, high = _low_end(won, of, tail, extra), 1 - _low_end(of - won, of, tail, extra)
    return Interval(share, min(low, share), max(high, share))


def _low_end(won: np.ndarray, of: np.ndarray, tail: float, extra: float) -> float:
    """The ``tail`` quantile of the share with exponential weights of the patients and of one that is all wrong."""
    from scipy.optimize import brentq
    from scipy.stats import beta

    right = float(won.sum())
    if right <= 0:
        return 0.0
    if np.all(of == of[0]) and np.all((won == 0) | (won == of)):
        good = float(np.count_nonzero(won))
        return float(beta.ppf(tail, good, len(of) - good + extra))
    pairs, times = np.unique((won + 1j * of) / of.sum(), return_counts=True)
    typical = float(np.sum(times * pairs.imag**2))  # size of the patient of a random item
    c_won, c_of = np.append(pairs.real, 0.0), np.append(pairs.imag, typical)
    weights = np.append(times, extra)

    def beyond(share: float) -> float:
        return _chance_below_zero(c_won - share * c_of, weights) - tail if share > 0 else -tail

    return float(brentq(beyond, 0.0, min(right / of.sum(), 1.0), xtol=SMALL, rtol=SMALL))


def _chance_below_zero(worth: np.ndarray, times: np.ndarray) -> float:
    """Chance that ``sum(worth * weights)`` is at most 0, where weight j has a gamma distribution of shape ``times[j]``.

    The inversion integral of the moment generating function, along a hyperbola through the saddle point beside 0 that
    bends as steepest descent does; on a straight line it oscillates for long. Some ``worth`` must be negative.
    """
    scaled = worth / worth.min()  # 1 is the largest pole's; the line is between 0 and it
    sums: _One | _Binned = _One(scaled, times) if len(scaled) <= MANY else _Binned.of_patients(scaled, times)
    saddle, stretch, bend = _line(sums.places, sums.mass)
    chance = _integral(sums, saddle, stretch, bend)
    return _integral(sums, saddle, stretch, 0.0) if np.isnan(chance) else chance


def _integral(sums: _One | _Binned, saddle: float, stretch: float, bend: float) -> float:
    """The integral along the hyperbola of slope ``bend``; NaN if it climbs again, which a straight line never does.

    The slope at the saddle point is that of its own surroundings. Many patients near 0 may turn the descent far out.
    """
    points = saddle + stretch * (bend * (COSH - 1) + 1j * SINH)
    steps, heights, lowest = bend * SINH + 1j * COSH, np.zeros(len(points)), np.inf
    for start in range(0, len(points), BLOCK):
        block = slice(start, start + BLOCK)
        parts = np.exp(-sums.logs(points[block])) / points[block] * steps[block]
        heights[block], sizes = parts.imag, np.abs(parts)
        lows = np.minimum(np.minimum.accumulate(sizes), lowest)
        if bend and np.any((sizes > CLIMB * lows) & (sizes > NOTHING)):
            return float("nan")
        lowest = lows[-1]
        if np.abs(heights[block]).max() < NOTHING * np.abs(heights).max():
            break
    return float(stretch * STEP / np.pi * (heights.sum() - heights[0] / 2))


def _line(scaled: np.ndarray, times: np.ndarray) -> tuple[float, float, float]:
    """Saddle point, scale and slope of the hyperbola; any other between the poles gives the same integral."""
    from scipy.optimize import brentq

    scaled = np.where(scaled == scaled.max(), 1.0, scaled)  # of a bin the mean is below the pole
    saddle = float(brentq(lambda at: np.sum(times * scaled * at / (1 - scaled * at)) - 1, 0, 1 - 1e-9, rtol=1e-3))
    near = scaled / (1 - scaled * saddle)
    curved, skewed = np.sum(times * near**2) + 1 / saddle**2, 2 * (np.sum(times * near**3) - 1 / saddle**3)
    return saddle, float(curved**-0.5), float(np.clip(skewed / (3 * curved**1.5), -BEND, BEND))


@dataclass(frozen=True, slots=True, eq=False)
class _One:
    """Patients (m,) one by one."""

    places: np.ndarray
    mass: np.ndarray

    def logs(self, points: np.ndarray) -> np.ndarray:
        """Sums (p,) of ``mass * log(1 - place * point)`` at each of ``points`` (p,)."""
        sums: np.ndarray = self.mass @ np.log1p(-np.multiply.outer(self.places, points))
        return sums


@dataclass(frozen=True, slots=True, eq=False)
class _Binned:
    """Patients (m,) together in bins, by the Taylor series of the logarithm about each bin's mean.

    Bins are equally wide in ``asinh`` of the places, for the logarithm changes slowly where ``place * point`` is large.
    Where what a bin's series leaves out may be more than ``CLOSE``, its patients are taken one by one: the sums are off
    by at most ``BINS * CLOSE``.
    """

    places: np.ndarray  # (bins,) means
    mass: np.ndarray  # (bins,)
    radius: np.ndarray  # (bins,) largest distance from the mean
    moments: np.ndarray  # (ORDER + 1, bins) sums of powers of the distances; the first two are not used
    of: np.ndarray  # (m,) bin of each patient
    scaled: np.ndarray
    times: np.ndarray

    @classmethod
    def of_patients(cls, scaled: np.ndarray, times: np.ndarray) -> _Binned:
        """Of patients (m,) at ``scaled``, each ``times`` there."""
        reach = SINH[-1] / np.sqrt(np.sum(times * scaled**2) + 1)  # about the last point's distance
        wide = np.arcsinh(scaled * reach)
        edges = np.linspace(wide.min(), wide.max(), BINS + 1)
        of = np.minimum(((wide - edges[0]) * (BINS / max(edges[-1] - edges[0], SMALL))).astype(np.int64), BINS - 1)
        mass = np.bincount(of, times, BINS)
        means = np.bincount(of, times * scaled, BINS) / np.maximum(mass, SMALL)
        ends = np.sinh(edges) / reach
        away, moments = scaled - means[of], np.zeros((ORDER + 1, BINS))
        power = times * away
        for order in range(2, ORDER + 1):
            power = power * away
            moments[order] = np.bincount(of, power, BINS)
        return cls(means, mass, np.maximum(ends[1:] - means, means - ends[:-1]), moments, of, scaled, times)

    def logs(self, points: np.ndarray) -> np.ndarray:
        """As of :class:`_One`."""
        near = points / (1 - np.multiply.outer(self.places, points))  # (bins, p)
        ratio = np.minimum(self.radius * np.abs(near).max(axis=1), 1.0)
        exact = (ratio < 0.5) & (2 * self.mass * ratio ** (ORDER + 1) / (ORDER + 1) < CLOSE)
        kept = np.flatnonzero(exact & (self.mass > 0))
        sums = self.mass[kept] @ np.log1p(-np.multiply.outer(self.places[kept], points))
        power = near[kept]
        for order in range(2, ORDER + 1):
            power = power * near[kept]
            sums -= self.moments[order, kept] @ power / order
        alone = ~exact[self.of]
        found: np.ndarray = sums + self.times[alone] @ np.log1p(-np.multiply.outer(self.scaled[alone], points))
        return found
