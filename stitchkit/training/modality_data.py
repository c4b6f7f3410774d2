"""Data of one modality: rows as they are kept, fetched for a batch, and as the network reads them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from stitchkit.core.roles import Encoder
from stitchkit.datasets.images import read_image
from stitchkit.encoders.shared.encoder import ImageBatch, TextBatch


class ModalityData(Protocol):
    """Items of one modality, one for each of n rows.

    ``fetch`` may run in another thread; ``to_inputs`` runs where the network does.
    """

    def fetch(self, rows: np.ndarray, epoch: int) -> Any:
        """Some rows as small as they can travel, tensors of m rows; a row is the same all through an epoch."""

    def to_inputs(self, batch: Any) -> Any:
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


@dataclass(frozen=True, slots=True, eq=False)
class EncoderData:
    """Items as a pretrained encoder prepares them, decoded anew each time.

    Parameters
    ----------
    encoder
        The encoder.
    values
        n texts, decoded images, or paths of images.
    """

    encoder: Encoder
    values: Sequence[Any] = field(repr=False)

    def fetch(self, rows: np.ndarray, epoch: int) -> Any:
        """The encoder's batch."""
        items = [self.values[row] for row in rows.tolist()]
        if self.encoder.modality == "text":
            return self.encoder.prepare([str(one) for one in items])
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            return self.encoder.prepare(list(pool.map(_as_image, items)))

    def to_inputs(self, batch: Any) -> Any:
        """The batch itself."""
        return batch


def _as_image(item: Any) -> Any:
    return read_image(item) if isinstance(item, str | Path) else item


@lru_cache(maxsize=4)
def crop_places(n: int, room: int, seed: int, epoch: int) -> np.ndarray:
    """Offsets (n, 2) down and across of the crops of one epoch; zero where there is no room."""
    places = np.random.default_rng([seed, 2, epoch]).integers(0, room + 1, size=(n, 2), dtype=np.int32)
    places.setflags(write=False)
    return places
