"""Data of one modality: rows as they are kept, fetched for a batch, and as the network reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stitchkit.encoders.shared.encoder import ImageBatch, TextBatch


class ModalityData(Protocol):
    """Items of one modality, one for each of n rows.

    ``fetch`` may run in another thread; ``to_inputs`` runs where the network does.
    """

    def fetch(self, rows: np.ndarray, epoch: int) -> Tensor:
        """Some rows as small as they can travel; a row looks the same whenever it is fetched in one epoch."""

    def to_inputs(self, batch: Tensor) -> Tensor:
        """The fetched batch as the network takes it, on the device it is on."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageData:
    """Images of which squares are cut out.

    Parameters
    ----------
    pixels : (N, wide, wide, channels) uint8
        Packed images.
    places : (n,) int
        Rows of ``pixels``.
    reading
        Size of the squares and normalisation.
    seed
        Seed of the random places.
    moving
        True to cut squares out at random places, False in the middle.
    """

    pixels: np.ndarray = field(repr=False)
    places: np.ndarray = field(repr=False)
    reading: ImageBatch
    seed: int
    moving: bool

    def fetch(self, rows: np.ndarray, epoch: int) -> Tensor:
        """Pixels (m, side, side, channels) uint8."""
        side = self.reading.side
        room = self.pixels.shape[1] - side
        corners = np.full((len(rows), 2), room // 2)
        if self.moving:
            corners = crop_places(len(self.places), room, self.seed, epoch)[rows]
        return torch.from_numpy(np.stack([
            self.pixels[row, down : down + side, across : across + side]
            for row, (down, across) in zip(self.places[rows].tolist(), corners.tolist(), strict=True)
        ]))  # fmt: skip

    def to_inputs(self, batch: Tensor) -> Tensor:
        """Images (m, channels, side, side) float32, normalised."""
        return self.reading.normalise(batch)


@dataclass(frozen=True, slots=True, eq=False)
class TextData:
    """Texts, read by the tokenizer anew each time."""

    texts: Sequence[str] = field(repr=False)
    reading: TextBatch

    def fetch(self, rows: np.ndarray, epoch: int) -> Tensor:
        """Token ids (m, t)."""
        return self.reading([self.texts[row] for row in rows.tolist()])

    def to_inputs(self, batch: Tensor) -> Tensor:
        """The ids themselves."""
        return batch


@lru_cache(maxsize=4)
def crop_places(n: int, room: int, seed: int, epoch: int) -> np.ndarray:
    """Offsets (n, 2) down and across of the crops of one epoch; zero where there is no room."""
    places = np.random.default_rng([seed, 2, epoch]).integers(0, room + 1, size=(n, 2), dtype=np.int32)
    places.setflags(write=False)
    return places
