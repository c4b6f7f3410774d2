"""Batches in their order, each fetched while the one before is worked on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from stitchkit.training.pairs import TrainingPairs


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Data of one step.

    Parameters
    ----------
    rows : (b,) int
        Rows of the whole batch, over all processes.
    chunks : modality -> fetched rows, for each chunk
        Chunks of this process.
    chunk_rows : (m,) int, for each chunk
        Rows of each chunk.
    shares
        Number of rows of each process.
    waited
        Seconds until the data were there.
    """

    rows: np.ndarray
    chunks: tuple[Mapping[str, Any], ...]
    chunk_rows: tuple[np.ndarray, ...]
    shares: tuple[int, ...]
    waited: float


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of a run: all of equal size, in an order that pass and seed decide.

    Pairs that do not fill a batch at the end of a pass are left out of it.

    Parameters
    ----------
    pairs
        Pairs to draw from.
    size
        Pairs of a batch, over all processes.
    chunk
        Largest number of pairs of a process that are in memory with their activations.
    seed
        Seed of the order.
    rank, world
        Number of this process, default 0, and of processes, default 1.
    pinned
        True to put batches into page-locked memory, from which a GPU copies while it computes. Default: False
    """

    pairs: TrainingPairs
    size: int
    chunk: int
    seed: int
    rank: int = 0
    world: int = 1
    pinned: bool = False

    @property
    def in_pass(self) -> int:
        """Batches of one pass over the pairs."""
        return max(len(self.pairs) // self.size, 1)

    def rows(self, step: int) -> np.ndarray:
        """The rows of the batch of a step, from 0."""
        order = order_of_pass(len(self.pairs), self.seed, step // self.in_pass)
        start = step % self.in_pass * self.size
        return order[start : start + self.size]

    def between(self, start: int, stop: int) -> Generator[Batch]:
        """Every batch from step ``start`` to before ``stop``."""
        with ThreadPoolExecutor(1) as loader:
            ahead = loader.submit(self.fetch, start)
            for step in range(start, stop):
                began = time.monotonic()
                rows, chunks, chunk_rows, shares = ahead.result()
                waited = time.monotonic() - began
                if step + 1 < stop:
                    ahead = loader.submit(self.fetch, step + 1)
                yield Batch(rows, chunks, chunk_rows, shares, waited)

    def fetch(
        self, step: int
    ) -> tuple[np.ndarray, tuple[Mapping[str, Any], ...], tuple[np.ndarray, ...], tuple[int, ...]]:
        """Rows of the whole batch, chunks of this process with their rows, and the number of rows of each process."""
        rows, epoch = self.rows(step), step // self.in_pass
        shares = np.array_split(rows, self.world)
        own = shares[self.rank]
        chunk_rows = tuple(np.array_split(own, math.ceil(len(own) / self.chunk)))
        chunks = tuple(
            {name: self._in_pinned_memory(data.fetch(chunk, epoch)) for name, data in self.pairs.modalities.items()}
            for chunk in chunk_rows
        )
        return rows, chunks, chunk_rows, tuple(map(len, shares))

    def _in_pinned_memory(self, batch: Any) -> Any:
        """The batch in memory that a GPU copies from while it computes, where there is one."""
        return each_tensor(batch, Tensor.pin_memory) if self.pinned else batch


def each_tensor(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A batch, of one tensor or of several by name, with every tensor changed.

    Examples
    --------
    >>> each_tensor({"ids": Tensor([1]), "mask": Tensor([2])}, lambda tensor: tensor + 1)
    {'ids': tensor([2.]), 'mask': tensor([3.])}
    """
    if isinstance(batch, Mapping):
        return {name: change(one) if isinstance(one, Tensor) else one for name, one in batch.items()}
    return change(batch)


@lru_cache(maxsize=4)
def order_of_pass(n: int, seed: int, epoch: int) -> np.ndarray:
    """Order (n,) of the pairs in one pass."""
    order = np.random.default_rng([seed, 1, epoch]).permutation(n)
    order.setflags(write=False)
    return order
