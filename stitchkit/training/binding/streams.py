"""Streams of rows of unequal length, each in an order of its own that begins anew when its rows are used up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Stream:
    """Batches of the rows of one modality, or of the common texts.

    Rows that do not fill a batch at the end of a pass are left out of it.

    Parameters
    ----------
    rows : (n,) int
        Rows to draw from.
    size
        Rows of a batch; all of them where there are fewer.
    seed
        Numbers that decide the order.

    Examples
    --------
    >>> stream = Stream(np.arange(10, 15), 2, (0, 1))
    >>> len(set(stream.batch(0)) | set(stream.batch(1)))  # one pass: four of five rows, each once
    4
    """

    rows: np.ndarray
    size: int
    seed: tuple[int, ...]

    def batch(self, step: int) -> np.ndarray:
        """The rows of the batch of a step, from 0."""
        size = min(self.size, len(self.rows))
        in_pass = len(self.rows) // size
        order = np.random.default_rng([*self.seed, step // in_pass]).permutation(len(self.rows))
        start = step % in_pass * size
        batch: np.ndarray = self.rows[order[start : start + size]]
        return batch
