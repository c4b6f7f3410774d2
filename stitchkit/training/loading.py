"""Batches in their order, each fetched while the one before is worked on."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from stitchkit.training.pairs import TrainingPairs


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One step's pairs.

    Parameters
    ----------
    rows : (b,)
        Of the whole batch, over all processes.
    parts
        This process's chunks, both sides each.
    shares
        How many rows each process has.
    waited
        Seconds that were waited for it.
    """

    rows: np.ndarray
    parts: tuple[tuple[Tensor, Tensor], ...]
    shares: tuple[int, ...]
    waited: float


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of a run: all of equal size, in an order that pass and seed decide.

    What is left over at the end of a pass is left out of it.

    Parameters
    ----------
    pairs
        What they are of.
    size
        Pairs of a batch, over all processes.
    chunk
        At most so many pairs of a process are in memory with their activations.
    rank, world
        Which of how many processes.
    """

    pairs: TrainingPairs
    size: int
    chunk: int
    seed: int
    rank: int = 0
    world: int = 1

    @property
    def in_pass(self) -> int:
        """Batches of one pass over the pairs."""
        return max(len(self.pairs) // self.size, 1)

    def rows(self, step: int) -> np.ndarray:
        """The rows of the batch of a step, from 0."""
        order = np.random.default_rng([self.seed, 1, step // self.in_pass]).permutation(len(self.pairs))
        start = step % self.in_pass * self.size
        return order[start : start + self.size]

    def between(self, start: int, stop: int) -> Generator[Batch]:
        """Every batch from step ``start`` to before ``stop``."""
        with ThreadPoolExecutor(1) as loader:
            ahead = loader.submit(self.fetched, start)
            for step in range(start, stop):
                began = time.monotonic()
                rows, parts, shares = ahead.result()
                waited = time.monotonic() - began
                if step + 1 < stop:
                    ahead = loader.submit(self.fetched, step + 1)
                yield Batch(rows, parts, shares, waited)

    def fetched(self, step: int) -> tuple[np.ndarray, tuple[tuple[Tensor, Tensor], ...], tuple[int, ...]]:
        """The batch's rows, this process's chunks of both sides, and how many rows each process has."""
        rows, epoch = self.rows(step), step // self.in_pass
        each = np.array_split(rows, self.world)
        mine = each[self.rank]
        some = np.array_split(mine, math.ceil(len(mine) / self.chunk))
        left, right = self.pairs.sides
        parts = tuple((left.fetched(part, epoch), right.fetched(part, epoch)) for part in some)
        return rows, parts, tuple(map(len, each))
