"""Random numbers of rows, the same whatever the chunks and processes that a batch is divided into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class RowDraws:
    """Random numbers of some rows in one step; they depend on seed, step, purpose and row alone.

    Parameters
    ----------
    seed
        Seed of the run.
    step
        Number of the step, from 0; in a validation 0.
    rows : (m,) int
        Numbers of the rows.

    Examples
    --------
    >>> whole, part = RowDraws(0, 3, np.arange(4)), RowDraws(0, 3, np.array([2]))
    >>> bool((whole.uniform("mask", 5)[2] == part.uniform("mask", 5)[0]).all())
    True
    >>> bool((whole.uniform("mask", 5) == whole.uniform("crop", 5)).any())
    False
    """

    seed: int
    step: int
    rows: np.ndarray

    def uniform(self, purpose: str, *shape: int) -> np.ndarray:
        """Numbers (m, ...) in [0, 1), float32; those of another purpose are independent of them."""
        key = [*purpose.encode()]
        return np.stack([
            np.random.default_rng([self.seed, 6, self.step, int(row), *key]).random(shape, dtype=np.float32)
            for row in self.rows
        ])  # fmt: skip
