"""One stack of transformer blocks read by several modalities: the network of the shared encoder.

A modality has a stem of its own (how its inputs become tokens), its own norms and projection, and blocks that it
shares with the others where ``shared`` says so: the same module, not a copy. What tells modalities apart inside the
shared blocks is small: features joined to every token, or a few tokens of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.encoders.pair_network import Features, ImageInput, Input, PairNetwork, Parts, TableInput, TextInput

TOKEN_WISE, MODALITY_TOKEN = "token_wise", "modality_token"
MODES = (TOKEN_WISE, MODALITY_TOKEN)
PATCH_SPREAD = 0.5  # of image positions at the start: about that of a normalised image's patches


@dataclass(frozen=True, slots=True)
class SharedShape:
    """Everything that decides the network's form.

    Parameters
    ----------
    width, layers, heads
        Width of the blocks, their number, and the attention heads of each.
    dim
        Width of the output vectors.
    shared
        Indices of the shared layers, from 0; None for all. With none of them the modalities are encoders of their own.
    mode
        ``"token_wise"``: a learnable vector of ``size`` features is joined to every token. ``"modality_token"``:
        ``size`` learnable tokens follow the first one.
    size
        Features, or tokens, of each modality.
    inputs
        Modality -> what it reads.
    """

    width: int = 768
    layers: int = 12
    heads: int = 12
    dim: int = 512
    shared: tuple[int, ...] | None = None
    mode: str = TOKEN_WISE
    size: int = 20
    inputs: Mapping[str, Input] = field(default_factory=lambda: {"image": ImageInput(), "text": TextInput()})

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UnknownNameError.of("mode of a shared encoder", self.mode, MODES)
        if self.width % self.heads:
            raise InputError(f"a width of {self.width} cannot be divided among {self.heads} heads.")
        if self.size < 0 or (self.mode == TOKEN_WISE and self.size >= self.width):
            raise InputError(f"a modality of {self.size} features leaves nothing of a width of {self.width}.")
        for layer in self.shared_layers:
            if not 0 <= layer < self.layers:
                raise InputError(f"layer {layer} is to be shared; there are layers 0 to {self.layers - 1}.")
        for name, one in self.inputs.items():
            if "." in name or hasattr(nn.ModuleDict, name):
                raise InputError(f"no modality can be called {name!r}: PyTorch keeps that name. Take another.")
            if isinstance(one, ImageInput) and one.side % one.patch:
                raise InputError(f"{name}: a side of {one.side} pixels is not a multiple of patches of {one.patch}.")

    @property
    def shared_layers(self) -> tuple[int, ...]:
        """The layers that all modalities share."""
        return tuple(range(self.layers)) if self.shared is None else tuple(sorted(set(self.shared)))


class Stem(nn.Module, ABC):
    """Inputs to tokens of width ``width``; the first token is special and pooled unless ``end`` says otherwise."""

    causal = False

    def __init__(self, shape: SharedShape, tokens: int) -> None:
        super().__init__()
        self.joined = shape.size if shape.mode == TOKEN_WISE else 0
        self.inserted = shape.size if shape.mode == MODALITY_TOKEN else 0
        self.width = shape.width - self.joined  # of what inputs become, before features are joined
        self.features = nn.Parameter(torch.empty(self.joined)) if self.joined else None
        self.extra = nn.Parameter(torch.empty(self.inserted, shape.width)) if self.inserted else None
        self.position = nn.Parameter(torch.empty(tokens, shape.width))

    def join(self, tokens: Tensor) -> Tensor:
        """The modality's features joined to tokens (b, t, width - size)."""
        if self.features is None:
            return tokens
        return torch.cat([tokens, self.features.expand(*tokens.shape[:2], -1)], dim=2)

    def insert(self, tokens: Tensor) -> Tensor:
        """The modality's tokens after the first of (b, t, width)."""
        if self.extra is None:
            return tokens
        return torch.cat([tokens[:, :1], self.extra.expand(len(tokens), -1, -1), tokens[:, 1:]], dim=1)

    def remove(self, tokens: Tensor) -> Tensor:
        """The tokens without those of the modality."""
        return tokens if self.extra is None else torch.cat([tokens[:, :1], tokens[:, 1 + self.inserted :]], dim=1)

    @abstractmethod
    def content(self, batch: Tensor) -> Tensor:
        """Mask (b, t) of the tokens that are content."""

    def pooled_at(self, batch: Tensor) -> Tensor:
        """The position (b,) of the token that stands for the whole."""
        return torch.zeros(len(batch), dtype=torch.long, device=batch.device)


class ImageStem(Stem):
    """Patches by a convolution, after a class token of full width that carries no modality features."""

    def __init__(self, shape: SharedShape, inputs: ImageInput) -> None:
        self.count = (inputs.side // inputs.patch) ** 2
        super().__init__(shape, self.count + 1)
        self.patches = nn.Conv2d(inputs.channels, self.width, inputs.patch, inputs.patch, bias=False)
        self.first = nn.Parameter(torch.empty(shape.width))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.join(self.patches(images).flatten(2).transpose(1, 2))
        tokens = torch.cat([self.first.expand(len(images), 1, -1), patches], dim=1) + self.position
        normed: Tensor = self.norm(self.insert(tokens))
        return normed

    def content(self, batch: Tensor) -> Tensor:
        known = torch.ones(len(batch), self.count + 1, dtype=torch.bool, device=batch.device)
        known[:, 0] = False
        return known


class TextStem(Stem):
    """Embedded token ids; each token sees those before it, and the end token stands for the text."""

    causal = True

    def __init__(self, shape: SharedShape, inputs: TextInput) -> None:
        super().__init__(shape, inputs.context)
        self.inputs = inputs
        self.words = nn.Embedding(inputs.vocabulary, self.width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.insert(self.join(self.words(ids)) + self.position[: ids.shape[1]])

    def pooled_at(self, batch: Tensor) -> Tensor:
        return (batch == self.inputs.end).int().argmax(dim=1)  # the first end token: padding may look like it

    def content(self, batch: Tensor) -> Tensor:
        at = torch.arange(batch.shape[1], device=batch.device)
        return (at > 0) & (at < self.pooled_at(batch)[:, None])


class TableStem(Stem):
    """A token a column: its value times a vector, plus another; a third for a value that is missing."""

    def __init__(self, shape: SharedShape, inputs: TableInput) -> None:
        super().__init__(shape, inputs.columns + 1)
        self.columns = inputs.columns
        self.slope = nn.Parameter(torch.empty(inputs.columns, self.width))
        self.missing = nn.Parameter(torch.empty(inputs.columns, self.width))
        self.first = nn.Parameter(torch.empty(shape.width))

    def forward(self, rows: Tensor) -> Tensor:
        absent = torch.isnan(rows)[..., None]
        values = torch.where(absent, self.missing, torch.nan_to_num(rows)[..., None] * self.slope)
        tokens = torch.cat([self.first.expand(len(rows), 1, -1), self.join(values)], dim=1)
        return self.insert(tokens + self.position)

    def content(self, batch: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(batch[:, :1], dtype=torch.bool), ~torch.isnan(batch)], dim=1)


STEMS = {ImageInput: ImageStem, TextInput: TextStem, TableInput: TableStem}  # a further kind of input is a line here


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor, causal: bool) -> Tensor:
        b, t, width = tokens.shape
        parts = self.qkv(self.before(tokens)).view(b, t, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind()
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(b, t, width))
        changed: Tensor = self.down(nn.functional.gelu(self.up(self.between(tokens))))
        return tokens + changed


class SharedNetwork(PairNetwork):
    """Stems, blocks, norms and projections of all modalities.

    Parameters
    ----------
    shape
        Its form.
    """

    def __init__(self, shape: SharedShape) -> None:
        super().__init__()
        self.shape: SharedShape = shape
        common = shape.shared_layers
        apart = [layer for layer in range(shape.layers) if layer not in common]
        self.stems = nn.ModuleDict({name: STEMS[type(one)](shape, one) for name, one in shape.inputs.items()})
        self.shared = nn.ModuleDict({str(layer): Block(shape.width, shape.heads) for layer in common})
        self.own = nn.ModuleDict({
            name: nn.ModuleDict({str(layer): Block(shape.width, shape.heads) for layer in apart})
            for name in shape.inputs
        })  # fmt: skip
        self.norms = nn.ModuleDict({name: nn.LayerNorm(shape.width) for name in shape.inputs})
        self.projections = nn.ModuleDict({name: nn.Linear(shape.width, shape.dim, bias=False) for name in shape.inputs})
        self._initialise()

    def blocks(self, modality: str) -> list[Block]:
        """The blocks that a modality's tokens pass, in order; shared ones are the same for all."""
        own, common = self.own.get_submodule(modality), self.shape.shared_layers
        places = [self.shared if layer in common else own for layer in range(self.shape.layers)]
        return [cast(Block, place.get_submodule(str(layer))) for layer, place in enumerate(places)]

    def part_names(self, modality: str) -> Parts:
        """The modality's stem, its blocks as layers, its norm, and its projection."""
        common = self.shape.shared_layers
        blocks = tuple((f"shared.{i}" if i in common else f"own.{modality}.{i}",) for i in range(self.shape.layers))
        return Parts((f"stems.{modality}",), blocks, (f"norms.{modality}",), f"projections.{modality}")

    def longest(self, modality: str) -> int:
        """Tokens of the longest item that the modality's stem reads."""
        inputs = self.shape.inputs[modality]
        if isinstance(inputs, ImageInput):
            return (inputs.side // inputs.patch) ** 2 + 1
        return inputs.context if isinstance(inputs, TextInput) else inputs.columns + 1

    def is_causal(self, modality: str) -> bool:
        """True for texts."""
        return cast(Stem, self.stems.get_submodule(modality)).causal

    def forward(self, modality: str, batch: Tensor) -> Features:
        """Features of a batch of one modality."""
        stem = cast(Stem, self.stems.get_submodule(modality))
        tokens = stem(batch)
        for block in self.blocks(modality):
            tokens = block(tokens, stem.causal)
        known = self.projections[modality](self.norms[modality](stem.remove(tokens)))
        pooled = known[torch.arange(len(known), device=known.device), stem.pooled_at(batch)]
        return Features(pooled, known, stem.content(batch))

    def _initialise(self) -> None:
        """As CLIP starts: narrow normals that keep the residual stream's size whatever the depth.

        Positions of images are wider: a norm follows that would drown narrow ones in what patches bring.
        """
        shape = self.shape
        spread = shape.width**-0.5
        for name, parameter in self.named_parameters():
            last = name.rsplit(".", 1)[-1]
            if last in ("features", "extra", "words", "slope", "missing"):
                nn.init.normal_(parameter, std=0.02)
            elif last in ("position", "first"):
                nn.init.normal_(parameter, std=0.01 if last == "position" else spread)
        for stem in self.stems.children():
            if isinstance(stem, ImageStem):
                nn.init.normal_(stem.position, std=PATCH_SPREAD)
        for module in self.modules():
            if isinstance(module, Block):
                deep = (2 * shape.layers) ** -0.5
                for layer, std in ((module.qkv, spread), (module.out, spread * deep),
                                   (module.up, (2 * shape.width) ** -0.5), (module.down, spread * deep)):  # fmt: skip
                    nn.init.normal_(layer.weight, std=std)
                    nn.init.zeros_(layer.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for projection in self.projections.values():
            nn.init.normal_(projection.weight, std=spread)  # type: ignore[arg-type]
