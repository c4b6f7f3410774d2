"""Standard errors of held-out entries, and the strength chosen along a path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

StandardError = Callable[[np.ndarray, np.ndarray], float]

ROUNDED = 1 - 1e-9  # of a standard error that a loss is compared with: rounding decides nothing


def along_path(curve: np.ndarray, repeat: np.ndarray) -> int:
    """The strength chosen from a criterion (splits, strengths): one standard error toward more regularised.

    The standard error is that of the split-wise difference to the best strength; ``repeat`` (splits,) is the
    assignment of folds of each split. The rule is that of one standard error of Breiman et al. (1984), for paired
    differences.
    """
    best = int(curve.mean(axis=0).argmax())
    loss = curve[:, best, None] - curve[:, best + 1 :]
    near = np.flatnonzero(loss.mean(axis=0) <= fold_error(loss, repeat) * ROUNDED)
    return best + 1 + int(near[-1]) if len(near) else best


def within_one_error(loss: np.ndarray, clusters: np.ndarray, error: StandardError) -> bool:
    """True where the mean of ``loss`` (m,) is clearly within one standard error of zero, rounding apart."""
    return bool(loss.mean() <= error(loss, clusters) * ROUNDED)


def standard_error(values: np.ndarray, clusters: np.ndarray) -> float:
    """Standard error of the mean of ``values`` (m,) whose entries are independent between clusters only."""
    _, of_entry = np.unique(clusters, return_inverse=True)
    sums = np.bincount(of_entry.reshape(-1), weights=values - values.mean())
    g = len(sums)
    return float(np.sqrt(np.sum(sums**2) * g / (g - 1)) / len(values)) if g > 1 else 0.0


def fold_error(values: np.ndarray, repeat: np.ndarray) -> np.ndarray:
    """Standard errors (k,) of means over folds (m, k): those of one assignment of folds, averaged over assignments.

    Repeated assignments cut the same items anew, so that they do not reduce the error.
    """
    errors = np.zeros(values.shape[1])
    assignments, counts = np.unique(repeat, return_counts=True)
    for one, count in zip(assignments, counts, strict=True):
        if count > 1:
            errors += values[repeat == one].std(axis=0, ddof=1) / count**0.5
    return errors / len(assignments)
