"""GLoRIA's objective: CLIP's, and each word compared with the patches that it attends to."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stitchkit.encoders.pair_network import Batch, PairNetwork, PairShape
from stitchkit.storage.toml_files import Weight
from stitchkit.training.objectives import Factor
from stitchkit.training.objectives.clip import Clip, ClipSettings
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import BatchFacts, Outputs
from stitchkit.training.objectives.token_pairs import by_tiles, caption_cross_entropy, token_outputs


class GloriaSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of GLoRIA's objective, beside those of CLIP's, which are of its global part.

    Parameters
    ----------
    local
        Weight of the local part. Default: 1
    attention, words, scale
        Inverse temperatures of the attention over patches, of the sum over words, and of the local logits, in [1, 100].
        Default: 4, 5 and 10
    """

    name: Literal["gloria"] = "gloria"  # type: ignore[assignment]
    local: Weight = 1.0
    attention: Factor = 4.0
    words: Factor = 5.0
    scale: Factor = 10.0


class Gloria(Clip):
    """Global and local contrastive losses; equal captions are no negatives of each other in the local one.

    References
    ----------
    Huang et al., ICCV 2021.
    """

    Settings = GloriaSettings

    def __init__(self, settings: GloriaSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.tokens_of = tuple(shape.inputs)
        self.local, self.scale = settings.local, settings.scale
        self.attention, self.words = settings.attention, settings.words

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        return token_outputs(network, modality, inputs)

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        (_, patches, mask), (_, words, other) = outputs.values()
        near = self.scale * local_similarity(patches, mask, words, other, self.attention, self.words)
        captions = facts.captions if self.equal_captions else None
        local = (caption_cross_entropy(near, captions) + caption_cross_entropy(near.T, captions)) / 2
        return super().loss(outputs, facts) + self.local * local


def local_similarity(
    patches: Tensor, mask: Tensor, words: Tensor, other: Tensor, attention: float, sharpness: float
) -> Tensor:
    """Similarities (n, m) of images to texts, word by word.

    Parameters
    ----------
    patches : (n, p, d), mask : (n, p)
        Tokens of the images and the places that count; they are normalised here.
    words : (m, t, d), other : (m, t)
        The same of the texts.
    attention
        Inverse temperature a of each word's attention over patches: its context is the mean of the patches, weighed by
        exp(a times the cosine with the word).
    sharpness
        Inverse temperature b of the words: log(sum over words of exp(b times the cosine of word and context)) / b. A
        text without words has a similarity of 0.
    """
    x, y = nn.functional.normalize(patches, dim=2), nn.functional.normalize(words, dim=2)

    def similarity(x: Tensor, mask: Tensor, y: Tensor, other: Tensor) -> tuple[Tensor]:
        near = torch.einsum("ipd,jtd->ijtp", x, y)
        nothing = torch.finfo(near.dtype).min  # logit of a masked place: exp gives 0, and a row of them no NaN
        weights = (attention * near).masked_fill(~mask[:, None, None, :], nothing).softmax(dim=3)
        size = torch.einsum("ijtp,ijtp->ijt", torch.einsum("ijtq,iqp->ijtp", weights, x @ x.mT), weights)
        cosine = (weights * near).sum(dim=3) / size.clamp(min=1e-12).sqrt()
        cosine = (sharpness * cosine).masked_fill(~other[None], nothing)
        return (cosine.logsumexp(dim=2) / sharpness * other.any(dim=1)[None],)

    (matrix,) = by_tiles(similarity, (x, mask), (y, other))
    return matrix
