"""Positives and negatives along a ranking in many resamples at once: one sort for every measure of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Numbers of positives and negatives at each place in each of b resamples; places without a positive are joined.

    Parameters
    ----------
    positives : (p, b)
        At each of the p distinct scores that a positive has, lowest first.
    equal : (p, b)
        Negatives of the same scores.
    between : (p + 1, b)
        Negatives below the first of these scores, between each two, and above the last.
    """

    positives: np.ndarray
    equal: np.ndarray
    between: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> Ranking:
        """Of ``scores`` (n,) with ``labels`` (n,) of 0 and 1; ``counts`` (b, n) tell how often each row stands.

        Fastest where the counts of a row are contiguous, as those of ``patient_counts`` are.
        """
        of_row, is_positive = counts.T, labels > 0
        places, at = np.unique(scores[is_positive], return_inverse=True)
        positives = _sums(of_row, np.flatnonzero(is_positive), at.reshape(-1), len(places))
        rest = scores[~is_positive]
        # a negative between the places i - 1 and i falls into part 2 i, one at place i into part 2 i + 1
        part = np.searchsorted(places, rest, side="left") + np.searchsorted(places, rest, side="right")
        negatives = _sums(of_row, np.flatnonzero(~is_positive), part, 2 * len(places) + 1)
        return cls(positives, negatives[1::2], negatives[::2])

    def won(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a positive above a negative, ties half, and all pairs: each (b,)."""
        below = np.cumsum(self.between[:-1] + _shifted(self.equal), axis=0)
        won = np.einsum("pb,pb->b", self.positives, below + self.equal / 2)
        return won, self.positives.sum(axis=0) * (self.equal.sum(axis=0) + self.between.sum(axis=0))

    def auroc(self) -> np.ndarray:
        """Chance (b,) that a positive stands above a negative, ties half; NaN where a kind is missing."""
        return share(*self.won())

    def average_precision(self) -> np.ndarray:
        """Mean precision (b,) over the positives, equal scores as one place; NaN without a positive."""
        found = np.cumsum(self.positives[::-1], axis=0)
        taken = found + np.cumsum((self.equal + self.between[1:])[::-1], axis=0)
        precision = found / np.where(taken > 0, taken, 1)
        return share(np.einsum("pb,pb->b", self.positives[::-1], precision), self.positives.sum(axis=0))


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where there is nothing to divide by."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _sums(of_row: np.ndarray, rows: np.ndarray, part: np.ndarray, parts: int) -> np.ndarray:
    """Sums (parts, b) of ``of_row`` (n, b) at ``rows`` (m,), each of which falls into one ``part`` (m,)."""
    found = np.zeros((parts, of_row.shape[1]))
    if len(rows):
        order = np.argsort(part, kind="stable")
        here, starts = np.unique(part[order], return_index=True)
        found[here] = np.add.reduceat(of_row[rows[order]], starts, axis=0)
    return found


def _shifted(rows: np.ndarray) -> np.ndarray:
    """``rows`` (p, b) one place on: what stands before each of them."""
    return np.concatenate([np.zeros_like(rows[:1]), rows[:-1]])
