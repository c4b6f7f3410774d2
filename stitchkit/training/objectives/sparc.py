"""SPARC's objective: CLIP's, and each word told from the others of its text by the few patches that resemble it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stitchkit.encoders.pair_network import Batch, PairNetwork, PairShape
from stitchkit.storage.toml_files import Weight
from stitchkit.training.objectives.clip import Clip, ClipSettings
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import BatchFacts, Outputs
from stitchkit.training.objectives.token_pairs import masked_mean, token_outputs

NOTHING = -1e4  # logit of a word that is masked


class SparcSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of SPARC's objective, beside those of CLIP's, which are of its global part.

    Parameters
    ----------
    local
        Weight of the local part, which has the learnt scale of the global one. Default: 1
    """

    name: Literal["sparc"] = "sparc"  # type: ignore[assignment]
    local: Weight = 1.0


class Sparc(Clip):
    """Global contrastive loss, and a local one among the words of each text: nothing of it grows with the batch.

    References
    ----------
    Bica et al., ICML 2024.
    """

    Settings = SparcSettings

    def __init__(self, settings: SparcSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.tokens_of = tuple(shape.inputs)
        self.local = settings.local

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        return token_outputs(network, modality, inputs)

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        (_, patches, mask), (_, words, other) = outputs.values()
        return super().loss(outputs, facts) + self.local * word_loss(patches, mask, words, other, self.log_scale)


def grouped_patches(patches: Tensor, mask: Tensor, words: Tensor) -> Tensor:
    """Patches of each word of the same row, (n, t, d): their mean, weighed by similarity, without those far from it.

    Similarities (inner products) are brought to [0, 1] over the patches of a word; those below 1 / p are set to 0, and
    the others divided by their sum.

    Parameters
    ----------
    patches : (n, p, d), mask : (n, p)
        Tokens of the images and the places that count.
    words : (n, t, d)
        Tokens of their texts.
    """
    near = words @ patches.mT
    hidden = ~mask[:, None, :]
    low = near.masked_fill(hidden, torch.inf).amin(dim=2, keepdim=True)
    high = near.masked_fill(hidden, -torch.inf).amax(dim=2, keepdim=True)
    count = mask.sum(dim=1)[:, None, None]
    share = (near - low) / (high - low).clamp(min=1e-12)
    share = share.masked_fill(hidden | (share < 1 / count), 0)
    return (share / share.sum(dim=2, keepdim=True).clamp(min=1e-12)) @ patches


def word_loss(patches: Tensor, mask: Tensor, words: Tensor, other: Tensor, log_scale: Tensor) -> Tensor:
    """Symmetric InfoNCE between words and their grouped patches, among the words of one text; mean over all words."""
    groups = nn.functional.normalize(grouped_patches(patches, mask, words), dim=2)
    logits = log_scale.exp() * nn.functional.normalize(words, dim=2) @ groups.mT
    logits = logits.masked_fill(~(other[:, :, None] & other[:, None, :]), NOTHING)
    right = logits.diagonal(dim1=1, dim2=2)
    both = [(one.logsumexp(dim=2) - right) for one in (logits, logits.mT)]
    return masked_mean(((both[0] + both[1]) / 2).flatten(), other.flatten())
