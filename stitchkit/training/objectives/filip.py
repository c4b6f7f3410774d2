"""FILIP's objective: each patch finds its nearest word, and each word its nearest patch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stitchkit.encoders.pair_network import Batch, PairNetwork, PairShape
from stitchkit.storage.toml_files import Weight
from stitchkit.training.objectives.clip import Clip, ClipSettings
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import BatchFacts, Outputs
from stitchkit.training.objectives.token_pairs import by_tiles, caption_cross_entropy, masked_mean, token_outputs


class FilipSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of FILIP's objective.

    Parameters
    ----------
    equal_captions
        True: rows of an equal caption are left out of each other's negatives. False: they are negatives, as in the
        original. Default: True
    temperature
        Temperature at the start, in [0.01, 1]; it is learnt. Default: 0.07
    whole
        Weight of CLIP's loss of whole items, by which the vectors of the encoders are trained. The original has none,
        and compares items by their tokens alone ever after: 0. Default: 1
    """

    name: Literal["filip"] = "filip"  # type: ignore[assignment]
    whole: Weight = 1.0


class Filip(Clip):
    """Symmetric InfoNCE of late interactions between the tokens of two modalities, and one of whole items.

    References
    ----------
    Yao et al., ICLR 2022.
    """

    Settings = FilipSettings

    def __init__(self, settings: FilipSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.tokens_of = tuple(shape.inputs)
        self.whole = settings.whole

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        return token_outputs(network, modality, inputs)

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        (_, first, mask), (_, second, other) = outputs.values()
        there, back = late_similarities(first, mask, second, other)
        captions, scale = facts.captions if self.equal_captions else None, self.log_scale.exp()
        fine = (caption_cross_entropy(scale * there, captions) + caption_cross_entropy(scale * back.T, captions)) / 2
        return fine + self.whole * super().loss(outputs, facts) if self.whole else fine


def late_similarities(first: Tensor, mask: Tensor, second: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Similarities (n, m) of first items to second ones, and of second items to first ones.

    Parameters
    ----------
    first : (n, p, d), mask : (n, p)
        Tokens of the first items and the places that count; they are normalised here.
    second : (m, t, d), other : (m, t)
        The same of the second items.

    Returns
    -------
    tuple of Tensor
        Mean over an item's patches of the largest cosine with any word of the text, and mean over a text's words of the
        largest cosine with any patch of the image. An item without tokens has a similarity of 0.
    """
    x, y = nn.functional.normalize(first, dim=2), nn.functional.normalize(second, dim=2)
    there, back = by_tiles(_late, (x, mask), (y, other))
    return there, back


def _late(x: Tensor, mask: Tensor, y: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    near = torch.einsum("ipd,jtd->ijpt", x, y)
    lowest = -2.0  # below every cosine, and no infinity, which would spoil the mean of what has no token
    words = near.masked_fill(~other[None, :, None, :], lowest).amax(dim=3)
    patches = near.masked_fill(~mask[:, None, :, None], lowest).amax(dim=2)
    some = other.any(dim=1)[None, :] & mask.any(dim=1)[:, None]
    there = masked_mean(words, mask[:, None, :]) * some
    return there, masked_mean(patches, other[None]) * some
