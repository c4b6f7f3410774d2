"""Positives and negatives along a ranking in many resamples at once: one sort for every measure of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """How many positives and negatives stand at each distinct score, lowest first.

    Parameters
    ----------
    positives : (b, k), negatives : (b, k)
        In each of b resamples, at each of k distinct scores.
    """

    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> Ranking:
        """Of ``scores`` (n,) with ``labels`` (n,) of 0 and 1; ``counts`` (b, n) tell how often each row stands."""
        if not len(scores):
            return cls(np.zeros((len(counts), 1)), np.zeros((len(counts), 1)))
        order = np.argsort(scores, kind="stable")
        ordered, positive = scores[order], labels[order] > 0
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        weights = counts[:, order]
        found = np.add.reduceat(weights * positive, starts, axis=1)
        return cls(found, np.add.reduceat(weights * ~positive, starts, axis=1))

    def won(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a positive above a negative, ties half, and all pairs: each (b,)."""
        below = np.cumsum(self.negatives, axis=1) - self.negatives
        won = (self.positives * (below + self.negatives / 2)).sum(axis=1)
        return won, self.positives.sum(axis=1) * self.negatives.sum(axis=1)

    def auroc(self) -> np.ndarray:
        """Chance (b,) that a positive stands above a negative, ties half; NaN where a kind is missing."""
        return share(*self.won())

    def average_precision(self) -> np.ndarray:
        """Mean precision (b,) over the positives, equal scores as one place; NaN without a positive."""
        found = self.positives[:, ::-1]
        taken = np.cumsum(found + self.negatives[:, ::-1], axis=1)
        precision = np.cumsum(found, axis=1) / np.where(taken > 0, taken, 1)
        return share((found * precision).sum(axis=1), found.sum(axis=1))


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where there is nothing to divide by."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
