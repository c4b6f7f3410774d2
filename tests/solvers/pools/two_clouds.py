"""Two spaces that share meaning, and what is seen of them: pairs, pools, and fresh items to be judged on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments


class Clouds(NamedTuple):
    x: np.ndarray  # anchors
    y: np.ndarray
    pool_x: np.ndarray
    pool_y: np.ndarray
    new_x: np.ndarray
    new_y: np.ndarray

    def evidence(self, library=None, *, pools=True):
        x, y, pool_x, pool_y = self[:4] if library is None else library(*self[:4])
        return Evidence(Moments.of(x, y), None, (x, y), (pool_x, pool_y) if pools else None)


def clouds(n=8, m=120, d=20, *, shared=0.0, noise=0.3, seed=0, new=80):
    """``n`` pairs and pools of ``m`` rows; the first ``shared * m`` items are in both pools, in unknown order."""
    rng = np.random.default_rng(seed)
    both = round(shared * m)
    total = n + new + 2 * m - both
    kinds = rng.normal(size=(12, d)) * np.linspace(2, 0.4, d)
    meaning = kinds[rng.integers(12, size=total)] + rng.normal(size=(total, d)) * np.linspace(2, 0.4, d)
    x = meaning @ turn(d, seed + 1) + noise * rng.normal(size=(total, d)) + 1
    y = meaning @ turn(d, seed + 2)[:, : d - 2] + noise * rng.normal(size=(total, d - 2)) - 2
    a, b = np.arange(n + new, n + new + m), np.arange(total - m, total)
    return Clouds(x[:n], y[:n], x[a], y[rng.permutation(b)], x[n : n + new], y[n : n + new])


def turn(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def recall(alignment, x, y):
    """Recall@1, mean of both directions."""
    scores = np.asarray(alignment.similarity(x, y))
    own = np.arange(len(scores))
    return (np.mean(scores.argmax(axis=1) == own) + np.mean(scores.argmax(axis=0) == own)) / 2
