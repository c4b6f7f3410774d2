"""Synthetic pairs for the benchmarks: a shared latent, private variance, noise."""

from __future__ import annotations

import numpy as np


def pairs(n: int, d_s: int, d_t: int, *, latent: int = 128, noise: float = 0.5, seed: int = 0) -> tuple:
    """Paired float32 rows (n, d_s) and (n, d_t) with a common latent."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, latent), dtype=np.float32)
    x = shared @ rng.standard_normal((latent, d_s), dtype=np.float32)
    y = shared @ rng.standard_normal((latent, d_t), dtype=np.float32)
    x += noise * latent**0.5 * rng.standard_normal((n, d_s), dtype=np.float32)
    y += noise * latent**0.5 * rng.standard_normal((n, d_t), dtype=np.float32)
    return x, y


def units(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """Random unit rows (n, d), float32."""
    rows = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
