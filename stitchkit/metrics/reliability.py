"""How far probabilities can be taken at their word: Brier score, calibration error, the reliability curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stitchkit.metrics.rankings import share

BINS = 10


class Bin(NamedTuple):
    """One bin of a reliability curve: items with similar probabilities."""

    n: int
    said: float  # mean probability
    seen: float  # share of positives


def reliability_bins(probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin (n,) of each item: about equal numbers, equal probabilities together, at most ``bins``."""
    values, inverse = np.unique(probabilities, return_inverse=True)
    below = np.searchsorted(np.sort(probabilities), values)  # items below each distinct value
    _, dense = np.unique(np.minimum(below * bins // len(probabilities), bins - 1), return_inverse=True)
    return np.asarray(dense.reshape(-1)[inverse.reshape(-1)])


def reliability_curve(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[Bin]:
    """What was said and what was seen, bin by bin, from low to high.

    Parameters
    ----------
    probabilities : (n,) in [0, 1]
    labels : (n,) of 0 and 1
    bins
        At most so many, of about equal numbers of items.

    Examples
    --------
    >>> reliability_curve(np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 0, 1, 0]), bins=2)
    [Bin(n=2, said=0.1, seen=0.0), Bin(n=2, said=0.9, seen=0.5)]
    """
    of = reliability_bins(probabilities, bins)
    return [
        Bin(int((of == k).sum()), float(probabilities[of == k].mean()), float(labels[of == k].mean()))
        for k in range(int(of.max()) + 1)
    ]


def expected_error(bins: Sequence[Bin]) -> float:
    """The mean distance between what is said and what is seen that perfect probabilities would show in such bins.

    Of n items that are positive with chance p the share seen lies ``sqrt(2 p (1 - p) / (pi n))`` from p on average.

    Examples
    --------
    >>> round(expected_error([Bin(100, 0.5, 0.6), Bin(100, 0.5, 0.4)]), 3)
    0.04
    """
    whole = sum(one.n for one in bins)
    return sum(one.n / whole * math.sqrt(2 * one.said * (1 - one.said) / (math.pi * one.n)) for one in bins)


@dataclass(frozen=True, slots=True, eq=False)
class Misses:
    """By how much each probability of a sample misses its label, binned once and read in any number of resamples.

    Parameters
    ----------
    squared : (n,)
        Squared distance of probability and label; 0 where the label is not known.
    known : (n,)
        1 where it is known, else 0.
    gaps : (bins, n)
        Sparse: probability less label of the items of each bin.
    """

    squared: np.ndarray
    known: np.ndarray
    gaps: Any

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Misses:
        """Of ``probabilities`` (n,) with ``labels`` (n,) of 0 and 1; rows whose label is NaN are left out."""
        from scipy.sparse import csr_array

        rows = np.flatnonzero(~np.isnan(labels))
        gap, of = (probabilities - labels)[rows], reliability_bins(probabilities[rows], bins)
        squared, known = np.zeros((2, len(labels)))
        squared[rows], known[rows] = gap**2, 1.0
        sums = csr_array((gap, (of.astype(np.int32), rows.astype(np.int32))), shape=(int(of.max()) + 1, len(labels)))
        return cls(squared, known, sums)

    def brier(self, counts: np.ndarray) -> np.ndarray:
        """Mean squared error (b,) in each resample (b, n), 0 is best; fastest where counts are float64.

        References
        ----------
        Brier, Monthly Weather Review 78 (1950).
        """
        return share(counts @ self.squared, counts @ self.known)

    def calibration_error(self, counts: np.ndarray) -> np.ndarray:
        """Mean distance (b,) between what was said and what was seen, over bins, in each resample (b, n).

        Bins are those of the whole sample. It is never below what chance alone gives: with n items in b bins about
        ``sqrt(b * p (1 - p) / n)`` times .8 for perfect probabilities near p.

        References
        ----------
        Expected calibration error, Naeini et al., AAAI 2015, with bins of equal mass (Nguyen and O'Connor, EMNLP 2015).
        """
        return share(np.abs(self.gaps @ counts.T).sum(axis=0), counts @ self.known)
