"""Positives and negatives along a ranking in many resamples at once: one sort for every measure of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

EXACT = 2.0**24  # whole numbers below it, and their sums, are exact in float32


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Numbers of positives and negatives at each place of a ranking in each of b resamples.

    A place is a score that a positive has. Places run through the columns of a table of (k, m), so that sums from the
    lowest score up are additions of whole rows of the table.

    Parameters
    ----------
    positives : (k, m, b)
        At each place; 0 in the cells behind the last one.
    below : (k, m, b)
        Negatives of lower scores; behind the last place all of them.
    tied : (t,)
        Cells of the places whose score negatives have as well.
    equal : (t, b)
        Negatives of these scores.
    """

    positives: np.ndarray
    below: np.ndarray
    tied: np.ndarray
    equal: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> Ranking:
        """Of ``scores`` (n,) with ``labels`` (n,), as :class:`Places` take them, in the resamples ``counts`` (b, n)."""
        return Places.of(scores, labels).ranking(counts)

    def won(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a positive above a negative, ties half, and all pairs: each (b,)."""
        positives = _flat(self.positives)
        won = _products(positives, _flat(self.below)) + _products(positives[self.tied], self.equal) / 2
        return won, positives.sum(axis=0).astype(np.float64) * self.below[-1, -1]

    def auroc(self) -> np.ndarray:
        """Chance (b,) that a positive stands above a negative, ties half; NaN where a kind is missing."""
        return share(*self.won())

    def average_precision(self) -> np.ndarray:
        """Mean precision (b,) over the positives, equal scores as one place; NaN without a positive."""
        hits, false = self._from_above()
        called = np.maximum(np.add(hits, false, out=false), 1, out=false)
        precision = np.divide(hits, called, dtype=np.float64)
        return share(_products(_flat(self.positives), _flat(precision)), hits[0, 0].astype(np.float64))

    def from_above(self, places: int) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives (p, b) at each of the ``places`` and above it, from the highest place down."""
        cells = _cell(np.arange(places)[::-1], *self.positives.shape[:2])
        hits, false = self._from_above()
        return _flat(hits)[cells], _flat(false)[cells]

    def _from_above(self) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives (k, m, b) at each place and above it."""
        hits = _added_up(self.positives.copy())
        np.subtract(hits[-1, -1].copy(), hits, out=hits)
        hits += self.positives
        return hits, self.below[-1, -1] - self.below


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The place of each row of a sample in a ranking, found by one sort and read in any number of resamples.

    Parameters
    ----------
    sums : (2 k m + t, n)
        Sparse, of ones: adds the counts of rows up to the positives at each place, the negatives from the place before
        up to it, and the negatives at it where there are any.
    columns
        The number m of columns in the table of places.
    tied : (t,)
        Cells of the places with negatives of the same score.
    """

    sums: Any
    columns: int
    tied: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray) -> Places:
        """Of ``scores`` (n,) with ``labels`` (n,) of 0 and 1; rows whose label is NaN are left out."""
        from scipy.sparse import csr_array

        positive, negative = np.flatnonzero(labels > 0), np.flatnonzero(labels <= 0)
        places, at = np.unique(scores[positive], return_inverse=True)
        rest = scores[negative]
        passed = np.searchsorted(places, rest, side="right")  # places at or below each negative
        equal = np.flatnonzero(passed > np.searchsorted(places, rest, side="left"))
        tied, which = np.unique(passed[equal] - 1, return_inverse=True)
        height = math.isqrt(len(places)) + 1
        columns = len(places) // height + 1  # at least one cell stands behind the last place
        cells = height * columns
        rows = [_cell(at, height, columns), cells + _cell(passed, height, columns), 2 * cells + which]
        items = np.concatenate([positive, negative, negative[equal]])
        at_rows = np.concatenate([row.reshape(-1) for row in rows]).astype(np.int32), items.astype(np.int32)
        sums = csr_array((np.ones(len(items), np.float32), at_rows), shape=(2 * cells + len(tied), len(scores)))
        return cls(sums, columns, _cell(tied, height, columns))

    def ranking(self, counts: np.ndarray) -> Ranking:
        """The ranking in resamples in which each row stands ``counts`` (b, n) times.

        Fastest where counts are float32 and those of a row are contiguous, as ``patient_counts`` makes them. Sums of
        float32 are exact; where numbers of rows reach 2**24, they are added up in float64.
        """
        b, cells = len(counts), (self.sums.shape[0] - len(self.tied)) // 2
        sums = self.sums @ counts.T
        positives, negatives = (sums[a : a + cells].reshape(-1, self.columns, b) for a in (0, cells))
        below = _added_up(negatives)
        if sums.dtype == np.float32 and (below[-1, -1] + positives.sum(axis=(0, 1))).max(initial=0) >= EXACT:
            return self.ranking(counts.astype(np.float64))
        return Ranking(positives, below, self.tied, sums[2 * cells :])


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where there is nothing to divide by."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _cell(place: np.ndarray, height: int, columns: int) -> np.ndarray:
    """Cell of each place in a table that is filled column by column and stored row by row."""
    return place % height * columns + place // height


def _added_up(table: np.ndarray) -> np.ndarray:
    """Sums (k, m, b) up to each cell of ``table``, column after column, in place.

    Several times faster than ``np.cumsum`` along the places, which adds one number at a time.
    """
    for row in range(1, len(table)):
        table[row] += table[row - 1]
    table[:, 1:] += np.cumsum(table[-1, :-1], axis=0)
    return table


def _flat(table: np.ndarray) -> np.ndarray:
    """``table`` (k, m, b) as (k m, b)."""
    return table.reshape(-1, table.shape[-1])


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Sums (b,) of the products of ``one`` and ``other`` (p, b), in float64."""
    return np.einsum("pb,pb->b", one, other, dtype=np.float64)
