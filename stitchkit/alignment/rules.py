"""Standard errors of held-out entries, and the strength chosen along a path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

StandardError = Callable[[np.ndarray, np.ndarray], float]


def along_path(curve: np.ndarray, repeat: np.ndarray) -> int:
    """The strength chosen from a criterion (splits, strengths): one standard error toward more regularised.

    The standard error is that of the split-wise difference to the best strength; ``repeat`` (splits,) is the
    assignment of folds of each split. The rule is that of one standard error of Breiman et al. (1984), for paired
    differences.
    """
    best = int(curve.mean(axis=0).argmax())
    chosen = best
    for at in range(best + 1, curve.shape[1]):
        if within_one_error(curve[:, best] - curve[:, at], repeat, fold_error):
            chosen = at
    return chosen


def within_one_error(loss: np.ndarray, clusters: np.ndarray, error: StandardError) -> bool:
    """True where the mean of ``loss`` (m,) is clearly within one standard error of zero, rounding apart."""
    return bool(loss.mean() <= error(loss, clusters) * (1 - 1e-9))


def standard_error(values: np.ndarray, clusters: np.ndarray) -> float:
    """Standard error of the mean of ``values`` (m,) whose entries are independent between clusters only."""
    _, of_entry = np.unique(clusters, return_inverse=True)
    sums = np.bincount(of_entry.reshape(-1), weights=values - values.mean())
    g = len(sums)
    return float(np.sqrt(np.sum(sums**2) * g / (g - 1)) / len(values)) if g > 1 else 0.0


def fold_error(values: np.ndarray, repeat: np.ndarray) -> float:
    """Standard error of a mean over folds (m,): that of one assignment of folds, averaged over assignments.

    Repeated assignments cut the same items anew, so that they do not reduce the error.
    """
    parts = [values[repeat == one] for one in np.unique(repeat)]
    return float(np.mean([part.std(ddof=1) / len(part) ** 0.5 if len(part) > 1 else 0.0 for part in parts]))
