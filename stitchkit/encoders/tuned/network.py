"""Two pretrained encoders as towers of one network, each behind a projection into a common space."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from stitchkit.core.errors import InputError
from stitchkit.core.roles import Encoder
from stitchkit.core.wording import counted
from stitchkit.encoders.hf.load import HFEncoder
from stitchkit.encoders.pair_network import (
    PIXELS,
    TOKEN_IDS,
    Features,
    ImageInput,
    Input,
    PairNetwork,
    Parts,
    TableInput,
    TextInput,
    main_input,
)
from stitchkit.encoders.probing import neutral
from stitchkit.encoders.python_object import PythonEncoder
from stitchkit.encoders.tuned.layers import layer_names

CACHED = "attention_bias_cache"  # of some of timm's networks


@dataclass(frozen=True, slots=True)
class EncoderTexts(TextInput):
    """Token ids as a pretrained encoder has them, whose tokenizer has a token for masked words of its own."""

    mask_id: int = 0

    @property
    def mask(self) -> int:
        """Id that stands for a masked word."""
        return self.mask_id


@dataclass(frozen=True, slots=True)
class TunedShape:
    """Form of a network of pretrained towers.

    Parameters
    ----------
    dim
        Width of the common space.
    inputs
        Modality -> what its encoder reads.
    """

    dim: int
    inputs: Mapping[str, Input]


class TunedNetwork(PairNetwork):
    """Pretrained towers and their projections.

    Towers stay in evaluation mode while they are trained: no dropout, and statistics of batch norms as they were, so
    that a batch has one gradient whatever its chunks.

    Parameters
    ----------
    encoders
        Modality -> encoder with a module that can be trained.
    dim
        Width of the common space.
    context
        Modality -> tokens of the longest text that is trained on.

    Raises
    ------
    InputError
        For an encoder whose vectors have no gradients.
    """

    is_pretrained = True

    def __init__(self, encoders: Mapping[str, Encoder], dim: int, context: Mapping[str, int]) -> None:
        super().__init__()
        self.encoders = {name: checked_tower(encoder) for name, encoder in encoders.items()}
        self.towers = nn.ModuleDict({name: one.model for name, one in self.encoders.items()})
        self.projections = nn.ModuleDict({
            name: nn.Linear(one.space.dim, dim, bias=False) for name, one in self.encoders.items()
        })  # fmt: skip
        for name, one in self.encoders.items():
            nn.init.normal_(self.projections[name].weight, std=one.space.dim**-0.5)  # type: ignore[arg-type]
        self.tokens = {name: _tokens_of_one(one) for name, one in self.encoders.items()}
        inputs = {name: self._input(name, context.get(name, 0)) for name in self.encoders}
        self.shape = TunedShape(dim, inputs)
        self.train()

    def train(self, mode: bool = True) -> TunedNetwork:
        """Set the mode of the projections; towers stay in evaluation mode."""
        super().train(mode)
        self.towers.eval()
        for module in self.towers.modules():
            if hasattr(module, CACHED):  # kept in evaluation mode, without the gradient of the biases
                setattr(module, CACHED, {})
                module.training = True
        return self

    def forward(self, modality: str, batch: Any) -> Features:
        """Features of a batch that the modality's encoder has prepared."""
        encoder, projection = self.encoders[modality], self.projections[modality]
        encoded = encoder.forward(batch)
        if len(encoded.pooled) != (rows := len(main_input(batch))):
            raise InputError(
                f"encoder {encoder.name!r} gave {counted(len(encoded.pooled), 'vector')} for a batch of {rows}. Let it "
                f"return a vector for each item."
            )
        pooled: Tensor = projection(encoded.pooled)
        if not self.tokens[modality]:
            nothing = pooled[:, None][:, :0]
            return Features(pooled, nothing, nothing[..., 0].bool())
        return Features(pooled, projection(encoded.tokens.float()), content_mask(encoder, batch, encoded.tokens))

    def part_names(self, modality: str) -> Parts:
        """The tower's layers, what stands before and behind them, and the projection."""
        before, layers, after = layer_names(self.towers[modality])
        stem, end = (tuple(f"towers.{modality}.{name}" for name in names) for names in (before, after))
        blocks = tuple(tuple(f"towers.{modality}.{name}" for name in names) for names in layers)
        return Parts(stem, blocks, end, f"projections.{modality}")

    def longest(self, modality: str) -> int:
        """Tokens of an image, or of the longest text; 0 for an encoder without tokens as wide as its vectors."""
        inputs = self.shape.inputs[modality]
        count = self.tokens[modality]
        return inputs.context if count and isinstance(inputs, TextInput) else count

    def is_causal(self, modality: str) -> bool:
        """True where tokens of a text do not change with those behind them."""
        from stitchkit.encoders.hf.causal import is_causal
        from stitchkit.encoders.hf.inputs import TextInputs

        encoder = self.encoders[modality]
        inputs = getattr(encoder, "inputs", None)
        return isinstance(inputs, TextInputs) and bool(is_causal(encoder.model, inputs))

    def _input(self, modality: str, context: int) -> Input:
        """The modality's input, as far as objectives ask for it."""
        encoder, count = self.encoders[modality], self.tokens[modality]
        if encoder.modality == "image":
            shape = tuple(main_input(encoder.prepare([neutral("image")])).shape)
            if len(shape) != 4:  # of a torch module that does not read pixels
                return TableInput(shape[-1])
            return ImageInput(shape[2], shape[2] // max(isqrt(count), 1), shape[1])
        tokenizer: Any = getattr(getattr(encoder, "inputs", None), "tokenizer", None)
        if tokenizer is None:
            return EncoderTexts(context, 1, 0)
        end, mask = _first(tokenizer, "sep", "eos"), _first(tokenizer, "mask", "pad")
        return EncoderTexts(context, max(tokenizer.get_vocab().values(), default=0) + 1, end, mask)


def checked_tower(encoder: Encoder) -> Any:
    """The encoder, if its vectors have gradients in the weights of its module, which all take them from now on.

    Raises
    ------
    InputError
        Naming it.
    """
    if isinstance(encoder, PythonEncoder):  # whose module may be an object of the user's own
        encoder = replace(encoder, thing=copy.deepcopy(encoder.thing))
    model = getattr(encoder, "model", None)
    if not hasattr(encoder, "forward") or not isinstance(model, nn.Module) or not any(True for _ in model.parameters()):
        raise InputError(
            f"encoder {encoder.name!r} cannot be trained: it gives vectors without gradients. Encoders of hf:, timm:, "
            f"open_clip: and xrv:, and torch modules of python:, can be."
        )
    batch = encoder.prepare([neutral(encoder.modality)])
    model.requires_grad_(True)
    with torch.enable_grad():
        has_gradients = encoder.forward(batch).pooled.requires_grad
    if not has_gradients:
        raise InputError(
            f"encoder {encoder.name!r} cannot be trained: its vectors have no gradients in its weights. Let its module "
            f"compute them without torch.no_grad() and detach()."
        )
    if not isinstance(batch, Tensor) and not (isinstance(batch, Mapping) and {PIXELS, TOKEN_IDS} & set(batch)):
        raise InputError(
            f"encoder {encoder.name!r} prepares a {type(batch).__name__}, and training takes a tensor of one row an "
            f"item, or tensors by name with {PIXELS!r} or {TOKEN_IDS!r} among them. Let its prepare() return one."
        )
    return encoder


def content_mask(encoder: Any, batch: Any, tokens: Tensor) -> Tensor:
    """Mask (b, t) of the tokens that are content: no padding, no special tokens, no class token or registers.

    An unknown word is content, as its place in the text is that of a word.
    """
    count = tokens.shape[1]
    known = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    if encoder.modality == "text":
        ids = main_input(batch).to(tokens.device)
        known = batch["attention_mask"].to(tokens.device).bool() if "attention_mask" in batch else known
        special = torch.tensor(_without_words(encoder.inputs.tokenizer), device=tokens.device)
        return known & ~torch.isin(ids, special)
    known[:, : count - _places(encoder, count)] = False
    return known


def _without_words(tokenizer: Any) -> list[int]:
    """Ids of special tokens that stand for no word of a text: all but that of an unknown word."""
    unknown = getattr(tokenizer, "unk_token_id", None)
    others = {getattr(tokenizer, f"{kind}_token_id", None) for kind in ("bos", "eos", "sep", "pad", "cls", "mask")}
    return [one for one in tokenizer.all_special_ids if one != unknown or one in others]


def _places(encoder: Any, count: int) -> int:
    """Number of places of an image among its tokens, of which they are the last."""
    if isinstance(encoder, HFEncoder):
        return count - encoder.pooling.prefix
    return count - int(getattr(encoder.model, "num_prefix_tokens", 0))  # of timm's transformers


def _first(tokenizer: Any, *kinds: str) -> int:
    """The id of the first of some special tokens that a tokenizer has; 0 where it has none."""
    ids = (getattr(tokenizer, f"{kind}_token_id", None) for kind in kinds)
    return next((int(one) for one in ids if one is not None), 0)


def _tokens_of_one(encoder: Any) -> int:
    """Number of tokens of one neutral item, 0 where there are none as wide as the vectors."""
    encoded = encoder.encode(encoder.prepare([neutral(encoder.modality)]))
    shape = () if encoded.tokens is None else tuple(encoded.tokens.shape)
    if len(shape) != 3 or shape[2] != encoder.space.dim:
        return 0
    if encoder.modality == "image" and isqrt(places := _places(encoder, shape[1])) ** 2 != places:
        return 0  # special tokens that cannot be told from places, or places that are no square
    return int(shape[1])
