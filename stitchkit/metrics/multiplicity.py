"""Several tests at once."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values (m,): rejecting those below a level errs anywhere with at most that chance.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 6 (1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(raised, 1)
    return out


def resampled_p(differences: np.ndarray) -> float:
    """Two-sided p-value of "no difference" from resampled differences (b,): twice the smaller tail, never 0."""
    good = differences[~np.isnan(differences)]
    tail = min(int((good <= 0).sum()), int((good >= 0).sum()))
    return min(2 * (tail + 1) / (len(good) + 1), 1.0)
