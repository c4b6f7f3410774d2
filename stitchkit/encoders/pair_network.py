"""The role of a network that reads several modalities into one space: all that a training objective knows of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class ImageInput:
    """Square images (b, channels, side, side), cut into patches."""

    side: int = 224
    patch: int = 16
    channels: int = 3


@dataclass(frozen=True, slots=True)
class TextInput:
    """Token ids (b, t), t up to ``context``: start, words, ``end``, then anything."""

    context: int = 77
    vocabulary: int = 49408
    end: int = 49407

    @property
    def mask(self) -> int:
        """Id that stands for a masked word: that of padding, which stands between start and end of no text."""
        return 0


@dataclass(frozen=True, slots=True)
class TableInput:
    """Rows of numbers (b, columns), standardised; NaN is a value that is missing."""

    columns: int = 1


Input = ImageInput | TextInput | TableInput
Batch = Tensor | Mapping[str, Tensor]  # one modality's inputs; of a mapping one entry is the pixels or the token ids
PIXELS, TOKEN_IDS = "pixel_values", "input_ids"  # keys of that entry


class Features(NamedTuple):
    """Output of the network for a batch.

    Parameters
    ----------
    pooled : (b, dim)
    tokens : (b, t, dim)
        Patches, words or columns, with the special tokens where they stood; none (t = 0) where the network has none.
    mask : (b, t) bool
        True where a token is content: neither special nor padding.
    """

    pooled: Tensor
    tokens: Tensor
    mask: Tensor


class Parts(NamedTuple):
    """Names of the modules and parameters that a modality passes, in order.

    Parameters
    ----------
    stem
        Those before the layers.
    layers
        Those of each layer; empty where layers cannot be told apart.
    end
        Those behind the layers, without the projection.
    projection
        The linear map into the common space.
    """

    stem: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    end: tuple[str, ...]
    projection: str


class PairShape(Protocol):
    """Form of a network: the width of its vectors, and what each modality reads."""

    @property
    def dim(self) -> int: ...

    @property
    def inputs(self) -> Mapping[str, Input]: ...


class PairNetwork(nn.Module, ABC):
    """Inputs of several modalities to vectors of one space."""

    shape: Any  # a PairShape
    is_pretrained: ClassVar[bool] = False  # True where training goes on from encoders that were trained before

    @abstractmethod
    def forward(self, modality: str, batch: Any) -> Features:
        """Features of a batch of one modality."""

    @abstractmethod
    def part_names(self, modality: str) -> Parts:
        """Names of what a modality passes."""

    @abstractmethod
    def longest(self, modality: str) -> int:
        """Number of tokens of a modality's longest item, special ones included; 0 where it has no tokens."""

    @abstractmethod
    def is_causal(self, modality: str) -> bool:
        """True where each token has read those before it alone."""


def is_within(name: str, part: str) -> bool:
    """True for the name of a module or parameter that is ``part``, or below it."""
    return name == part or name.startswith(f"{part}.")


def main_input(batch: Batch) -> Tensor:
    """Pixels (b, c, h, w) or token ids (b, t) of a batch.

    Examples
    --------
    >>> main_input({"input_ids": Tensor([[1, 7, 2]]), "attention_mask": Tensor([[1, 1, 1]])})
    tensor([[1., 7., 2.]])
    """
    if isinstance(batch, Tensor):
        return batch
    return batch[PIXELS if PIXELS in batch else TOKEN_IDS]


def with_main_input(batch: Batch, tensor: Tensor) -> Batch:
    """The batch with other pixels or token ids of the same shape."""
    if isinstance(batch, Tensor):
        return tensor
    return {**batch, (PIXELS if PIXELS in batch else TOKEN_IDS): tensor}
