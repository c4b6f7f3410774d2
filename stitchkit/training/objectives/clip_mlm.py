"""CLIP's objective with masked language modelling of the texts."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from msgspec import Meta
from torch import Tensor, nn

from stitchkit.encoders.pair_network import Batch, PairNetwork, PairShape, TextInput
from stitchkit.storage.toml_files import Weight
from stitchkit.training.objectives.clip import Clip, ClipSettings
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.masked_words import masked_outputs, masked_word_loss
from stitchkit.training.objectives.objective import BatchFacts, Outputs, modalities_of


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
    mlm: Weight = 1.0
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
        *_, self.texts = modalities_of(TextInput, shape, settings.name, "masks words")
        inputs = cast(TextInput, shape.inputs[self.texts])
        self.tokens_of = (self.texts,)
        self.head = nn.Linear(shape.dim, inputs.vocabulary)

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        """Pooled vectors; of texts also the tokens of their masked form, the words before, and the chosen places."""
        features = network(modality, inputs)
        if modality != self.texts:
            return (features.pooled.float(),)
        masked = masked_outputs(network, modality, inputs, features.mask, draws, self.share)
        return features.pooled.float(), *masked

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        _, tokens, words, places = outputs[self.texts]
        return super().loss(outputs, facts) + self.weight * masked_word_loss(self.head, tokens, words, places)
