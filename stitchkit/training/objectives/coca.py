"""CoCa's objective: CLIP's, and a decoder that writes the caption of each image word by word."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stitchkit.core.errors import InputError
from stitchkit.encoders.pair_network import Batch, ImageInput, PairNetwork, PairShape, TextInput, main_input
from stitchkit.storage.toml_files import AtLeastOne, Weight
from stitchkit.training.objectives.clip import Clip, ClipSettings
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import BatchFacts, Outputs, modalities_of
from stitchkit.training.objectives.token_pairs import token_outputs

HEAD = 64  # features of an attention head, at least, where the vectors have as many
TILE = 256 * 2**20  # bytes of word logits that are in memory at once


class CocaSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of CoCa's objective, beside those of CLIP's.

    Parameters
    ----------
    caption
        Weight of the captioning loss; that of CLIP's is 1. Default: 2
    layers
        Layers of the decoder, which is trained with the encoders and not kept with them. Default: 2
    """

    name: Literal["coca"] = "coca"  # type: ignore[assignment]
    caption: Weight = 2.0
    layers: AtLeastOne = 2


class Coca(Clip):
    """Symmetric InfoNCE, and cross entropy of each next word of the captions given the words before and the image.

    The decoder reads the words' tokens from left to right and attends to the patches. The first word follows the start
    token, and the end token is predicted after the last word; nothing behind it is.

    References
    ----------
    Yu et al., TMLR 2022.
    """

    Settings = CocaSettings

    def __init__(self, settings: CocaSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.weight = settings.caption
        self.images, *_ = modalities_of(ImageInput, shape, settings.name, "writes captions of images")
        *_, self.texts = modalities_of(TextInput, shape, settings.name, "predicts words")
        self.tokens_of = (self.images, self.texts)
        inputs = cast(TextInput, shape.inputs[self.texts])
        layer = nn.TransformerDecoderLayer(
            shape.dim, head_count(shape.dim), 4 * shape.dim, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.decoder = nn.TransformerDecoder(layer, settings.layers, nn.LayerNorm(shape.dim))
        for parameter in self.decoder.parameters():
            if parameter.ndim > 1:  # the layers are copies of one until they are drawn anew
                nn.init.xavier_uniform_(parameter)
        self.head = nn.Linear(shape.dim, inputs.vocabulary)
        self.end = inputs.end

    def check_network(self, network: PairNetwork) -> None:
        """Raise unless both encoders give tokens and that of the texts reads from left to right."""
        super().check_network(network)
        if not network.is_causal(self.texts):
            raise InputError(
                f"the objective {self.settings.name!r} predicts each word from those before it, and the encoder of "
                f"{self.texts!r} reads those after it too. Take an encoder that reads from left to right, or the "
                f"objective 'clip_mlm'."
            )

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        """Pooled vectors, tokens and their mask; of texts also the words."""
        pooled, tokens, mask = token_outputs(network, modality, inputs)
        if modality != self.texts:
            return pooled, tokens, mask
        ids = main_input(inputs)
        words = nn.functional.pad(ids, (0, tokens.shape[1] - ids.shape[1]), value=self.end)
        behind = mask.flip(1).cumsum(dim=1).flip(1) == 0  # the last word, where tokenizers put what they like
        return pooled, tokens, mask, words.masked_fill(behind, self.end)

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        _, patches, mask = outputs[self.images]
        _, texts, content, words = outputs[self.texts]
        captioning = caption_loss(self.decoder, self.head, patches, mask, texts, content, words)
        return super().loss(outputs, facts) + self.weight * captioning


def head_count(dim: int) -> int:
    """Number of attention heads of a width: the largest that divides it into 64 features or more.

    Examples
    --------
    >>> head_count(512), head_count(500), head_count(8)
    (8, 5, 1)
    """
    return max(heads for heads in range(1, max(dim // HEAD, 1) + 1) if dim % heads == 0)


def caption_loss(
    layers: nn.Module, head: nn.Linear, patches: Tensor, mask: Tensor, texts: Tensor, content: Tensor, words: Tensor
) -> Tensor:
    """Mean cross entropy of the words of all texts and of what ends them, each predicted at the place before it.

    Logits of the vocabulary are made for some texts at a time and made again going back: a batch of them would be
    larger than all else that is in memory.

    Parameters
    ----------
    layers
        Module of the interface of ``torch.nn.TransformerDecoder``, batch first.
    head
        Tokens to logits of the vocabulary.
    patches : (n, p, d), mask : (n, p)
        Tokens of the images and the places that count.
    texts : (n, t, d), content : (n, t)
        Tokens of the texts and the places of their words. Special tokens between them are read and not predicted.
    words : (n, t) int
        The texts themselves.
    """
    last = content & (content.flip(1).cumsum(dim=1).flip(1) == 1)
    places = content[:, 1:] | last[:, :-1]  # that of the start too, and not that of the end
    texts, words = texts[:, :-1], words[:, 1:]
    later = torch.ones(texts.shape[1], texts.shape[1], dtype=torch.bool, device=texts.device).triu(1)

    def summed(patches: Tensor, mask: Tensor, texts: Tensor, words: Tensor, places: Tensor) -> Tensor:
        read = layers(texts, patches, tgt_mask=later, memory_key_padding_mask=~mask, tgt_is_causal=True)
        return nn.functional.cross_entropy(head(read[places]), words[places], reduction="sum")

    rows = max(TILE // (4 * texts.shape[1] * head.out_features), 1)
    tiles = list(zip(*(torch.split(one, rows) for one in (patches, mask, texts, words, places)), strict=True))
    if len(tiles) == 1:
        return summed(*tiles[0]) / places.sum().clamp(min=1)
    losses = [checkpoint(summed, *tile, use_reentrant=False) for tile in tiles]
    return torch.stack(losses).sum() / places.sum().clamp(min=1)
