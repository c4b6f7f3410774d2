"""Last feature maps of convolutional networks as tokens whose mean is the vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CLOSE = 1e-5  # of the largest value: rounding of a mean in float32


def rows_of(features: torch.Tensor, channels_last: bool = False) -> torch.Tensor:
    """A map (b, d, h, w), or (b, h, w, d) with channels last, as tokens (b, h * w, d)."""
    return features.flatten(1, 2) if channels_last else features.flatten(2).transpose(1, 2)


def is_mean(rows: torch.Tensor, pooled: torch.Tensor) -> bool:
    """True if vectors ``pooled`` (b, d) are the means of tokens (b, t, d)."""
    return rows.shape[-1] == pooled.shape[-1] and near(rows.mean(dim=1), pooled)


def near(vectors: torch.Tensor, wanted: torch.Tensor) -> bool:
    """True if vectors in float32 are equal to rounding."""
    return bool((vectors - wanted).abs().max() <= CLOSE * wanted.abs().max())


@dataclass(frozen=True, slots=True)
class MapPlace:
    """The module of a network that takes or gives its last feature map."""

    module: Any
    gives: bool

    @classmethod
    def of(cls, model: torch.nn.Module, batch: Any) -> MapPlace | None:
        """The last place whose map (b, d, h, w) has the output of ``model`` as its mean, or None if there is none."""
        import torch

        heard: list[tuple[MapPlace, torch.Tensor]] = []

        def listen(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            for tensor, gives in ((inputs[0] if inputs else None, False), (output, True)):
                if isinstance(tensor, torch.Tensor) and tensor.ndim == 4 and tensor.shape[2] * tensor.shape[3] > 1:
                    heard.append((cls(module, gives), tensor))

        with torch.inference_mode(), _hooks(model.modules(), listen):
            pooled = model(batch)
        for place, tensor in reversed(heard):  # a rectifier that works in place has changed it as it should
            if is_mean(rows_of(tensor), pooled):
                return place
        return None

    def read(self, model: torch.nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The output of ``model`` for a batch, and the tokens (b, h * w, d) of this place."""
        heard: list[torch.Tensor] = []

        def listen(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            heard.append(output if self.gives else inputs[0])

        with _hooks([self.module], listen):
            pooled = model(batch)
        return pooled, rows_of(heard[-1])


@contextmanager
def _hooks(modules: Any, listen: Callable[..., None]) -> Iterator[None]:
    """Call ``listen`` after each of the modules inside the block."""
    handles = [module.register_forward_hook(listen) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
