"""Encoders of a bound space in training: those with adapters run in every step, the frozen ones are read once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stitchkit.core.maps import AffineMap
from stitchkit.core.roles import Encoder
from stitchkit.datasets.images import read_image
from stitchkit.encoders.adapters import import_peft
from stitchkit.training.binding.recipe import AdapterRecipe

QUERY_VALUE = ("query", "value", "q_proj", "v_proj", "query_proj", "value_proj", "q_lin", "v_lin", "q", "v")
FUSED = ("qkv", "Wqkv", "query_key_value")  # one layer for queries, keys and values
ADAPTER = "default"  # PEFT's name for the only one


class Tower(Protocol):
    """An encoder with its items, whose vectors are mapped into the hub."""

    def fetch(self, rows: np.ndarray) -> Any:
        """Some rows as :meth:`hub_rows` takes them; may run in another thread."""

    def hub_rows(self, fetched: Any) -> Tensor:
        """Vectors (b, k) float32 of the rows in the hub, not centred."""


@dataclass(frozen=True, slots=True, eq=False)
class FrozenTower:
    """An encoder without adapters: its vectors in the hub, computed once.

    Parameters
    ----------
    vectors : (n, k) float32
        Vectors of the items in the hub.
    """

    vectors: Tensor = field(repr=False)

    def fetch(self, rows: np.ndarray) -> Tensor:
        """The rows' vectors."""
        return self.vectors[torch.from_numpy(rows).to(self.vectors.device)]

    def hub_rows(self, fetched: Tensor) -> Tensor:
        """The vectors themselves."""
        return fetched


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedTower:
    """An encoder with adapters of its attention.

    Parameters
    ----------
    encoder
        The encoder, whose module holds the adapters.
    adapter
        PEFT's model around the module.
    items
        n texts, decoded images or paths of images.
    center, weight, bias : (d,), (d, k), (k,)
        The map into the hub, which is not trained.
    """

    encoder: Any
    adapter: Any = field(repr=False)
    items: Sequence[Any] = field(repr=False)
    center: Tensor = field(repr=False)
    weight: Tensor = field(repr=False)
    bias: Tensor = field(repr=False)

    @classmethod
    def of(cls, encoder: Any, adapter: Any, items: Sequence[Any], to_hub: AffineMap) -> AdaptedTower:
        """The tower of an encoder that has its adapters, on the encoder's device."""
        parts = (torch.as_tensor(np.asarray(part), dtype=torch.float32, device=encoder.device)
                 for part in (to_hub.center, to_hub.weight, to_hub.bias))  # fmt: skip
        return cls(encoder, adapter, items, *parts)

    def fetch(self, rows: np.ndarray) -> Any:
        """The rows' items, decoded and as the encoder's batch."""
        items = [self.items[row] for row in rows.tolist()]
        return self.encoder.prepare([read_image(one) if self._is_file(one) else one for one in items])

    def hub_rows(self, fetched: Any) -> Tensor:
        """Vectors (b, k) with gradients in the adapters."""
        pooled: Tensor = self.encoder.forward(fetched).pooled.float()
        return (pooled - self.center) @ self.weight + self.bias

    def learnt(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters of the adapters."""
        return ((name, one) for name, one in self.adapter.named_parameters() if one.requires_grad)

    def train(self, training: bool) -> None:
        """Turn the adapters' dropout on or off; the encoder's own layers stay in evaluation mode."""
        for name, module in self.adapter.named_modules():
            if ".lora_dropout." in name:
                module.train(training)

    def frozen_state(self) -> dict[str, Tensor]:
        """Weights and statistics of the encoder without its adapters."""
        return {name: value for name, value in self.adapter.state_dict().items() if ".lora_" not in name}

    def _is_file(self, item: Any) -> bool:
        return self.encoder.modality == "image" and isinstance(item, str | Path)


def attention_layers(model: nn.Module) -> list[str]:
    """Names of the linear layers that make queries and values; of fused ones, which make keys too, where none are.

    Examples
    --------
    >>> block = nn.ModuleDict({"query": nn.Linear(4, 4), "key": nn.Linear(4, 4), "value": nn.Linear(4, 4)})
    >>> attention_layers(block)
    ['query', 'value']
    >>> attention_layers(nn.Conv2d(3, 4, 3))
    []
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for kinds in (QUERY_VALUE, FUSED):
        if layers := [name for name in linear if name.rpartition(".")[2] in kinds]:
            return layers
    return []


def takes_adapters(encoder: Encoder) -> bool:
    """True for an encoder whose vectors have gradients and whose network has attention."""
    model = getattr(encoder, "model", None)
    return hasattr(encoder, "forward") and isinstance(model, nn.Module) and bool(attention_layers(model))


def add_adapters(encoder: Any, settings: AdapterRecipe, seed: Sequence[int]) -> Any:
    """PEFT's model of an encoder's module, which gets adapters in place; they change nothing before the first step.

    Raises
    ------
    MissingExtraError
        Without PEFT.
    """
    peft = import_peft()
    config = peft.LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=float(settings.dropout), bias="none",
        target_modules=f"(?:{'|'.join(map(re.escape, attention_layers(encoder.model)))})",  # PEFT shortens lists
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT's own calls of transformers
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        adapter = peft.get_peft_model(encoder.model, config)
    adapter.eval()
    return adapter


def save_adapter(tower: AdaptedTower, folder: Path, base: str) -> None:
    """Write a tower's adapters as PEFT does, into a new folder.

    Parameters
    ----------
    base
        Name of the encoder without folders of this machine.
    """
    settings = tower.adapter.peft_config[ADAPTER]
    settings.base_model_name_or_path = base
    tower.adapter.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty form
