"""CLIP's objective with masked language modelling of the texts."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from stitchkit.core.errors import InputError
from stitchkit.encoders.pair_network import Batch, PairNetwork, PairShape, TextInput, main_input, with_main_input
from stitchkit.storage.toml_files import NotNegative
from stitchkit.training.objectives.clip import Clip, ClipSettings
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import BatchFacts, Outputs

HIDDEN, OTHER = 0.8, 0.1  # of the chosen words: masked, and replaced by another; the rest stays


class ClipMlmSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the objective, beside those of CLIP's.

    Parameters
    ----------
    mlm
        Weight of the loss of masked words. Default: 1
    share
        Share of the words that are predicted, in (0, 1]. Default: 0.15
    """

    name: Literal["clip_mlm"] = "clip_mlm"  # type: ignore[assignment]
    mlm: NotNegative = 1.0
    share: Annotated[float, Meta(gt=0, le=1, description="a share in (0, 1]")] = 0.15


class ClipMlm(Clip):
    """Symmetric InfoNCE between two modalities, and cross entropy of the words that were masked in the texts.

    A network that reads from left to right predicts a masked word from those before it.

    References
    ----------
    Radford et al., ICML 2021; Devlin et al., NAACL 2019.
    """

    Settings = ClipMlmSettings

    def __init__(self, settings: ClipMlmSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.weight, self.share = settings.mlm, settings.share
        texts = {name: one for name, one in shape.inputs.items() if isinstance(one, TextInput)}
        if not texts:
            raise InputError(
                f"the objective 'clip_mlm' masks words, and there are no texts: {', '.join(shape.inputs)}."
            )
        self.texts, inputs = list(texts.items())[-1]
        self.inputs = inputs
        self.tokens_of = (self.texts,)
        self.head = nn.Linear(shape.dim, inputs.vocabulary)

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        """Pooled vectors; of texts also the tokens of their masked form, the words before, and the chosen places."""
        features = network(modality, inputs)
        if modality != self.texts:
            return (features.pooled.float(),)
        ids = main_input(inputs)
        hidden, chosen = masked_words(ids, features.mask, draws, self.share, self.inputs)
        tokens = network(modality, with_main_input(inputs, hidden)).tokens.float()
        room = self.inputs.context - ids.shape[1]
        words, places = (nn.functional.pad(one, (0, room)) for one in (ids, chosen))
        return features.pooled.float(), nn.functional.pad(tokens, (0, 0, 0, room)), words, places

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        _, tokens, words, places = outputs[self.texts]
        predicted = nn.functional.cross_entropy(self.head(tokens[places]), words[places], reduction="sum")
        return super().loss(outputs, facts) + self.weight * predicted / places.sum().clamp(min=1)


def masked_words(ids: Tensor, mask: Tensor, draws: RowDraws, share: float, inputs: TextInput) -> tuple[Tensor, Tensor]:
    """Texts (m, t) with some words masked or replaced, and the places (m, t) of the words that are to be predicted.

    Parameters
    ----------
    ids : (m, t), mask : (m, t)
        Tokens of the texts, and the places of words: neither special nor padding.
    share
        Share of the words that are chosen: of 80 % of them the mask stands instead, of 10 % another word.
    """
    drawn = torch.from_numpy(draws.uniform("words", 3, inputs.context)[:, :, : ids.shape[1]]).to(ids.device)
    chosen = mask & (drawn[:, 0] < share)
    other = 1 + (drawn[:, 2] * (inputs.vocabulary - 1)).long()
    other = torch.where(other == inputs.end, torch.full_like(other, inputs.mask), other)
    replaced = torch.where(drawn[:, 1] < HIDDEN, inputs.mask, torch.where(drawn[:, 1] < HIDDEN + OTHER, other, ids))
    return torch.where(chosen, replaced, ids), chosen
