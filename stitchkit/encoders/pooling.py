"""How tokens become one vector: class token, mean, or the checkpoint's own pooler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.encoders.names import EncoderName

if TYPE_CHECKING:
    import torch

POOLS = ("cls", "mean", "pooler")
NORMS = ("none", "unit")
CLASS_TOKENS = ("cls_token", "class_token", "class_embedding", "cls_embedding")


def norm_of(name: EncoderName) -> str:
    """The norm that the options of ``name`` ask for."""
    norm = name.options.get("norm", "none")
    if norm not in NORMS:
        raise UnknownNameError.of("norm", norm, NORMS)
    return norm


def at_norm(vectors: torch.Tensor, norm: str) -> torch.Tensor:
    """``vectors`` (b, d) as they are for ``"none"``, at length one for ``"unit"``."""
    import torch

    return torch.nn.functional.normalize(vectors) if norm == "unit" else vectors


@dataclass(frozen=True, slots=True)
class Pooling:
    """A pooling of the hidden states of one transformers model.

    Parameters
    ----------
    name
        The encoder, for messages.
    pool
        ``"cls"`` the first token; ``"mean"`` the mean over the attention mask (text), over the patches without
        class, distillation and register tokens (image), or over the feature map; ``"pooler"`` the checkpoint's own.
    layer
        Index into the hidden states. -1 is the model's final output, after its last normalisation.
    prefix
        Number of tokens before the first patch of an image.
    norm
        ``"unit"`` divides the pooled vector by its length, as most sentence encoders end; ``"none"`` leaves it.
    """

    name: str
    pool: str
    layer: int = -1
    prefix: int = 0
    norm: str = "none"

    @classmethod
    def of(cls, name: EncoderName, model: torch.nn.Module, modality: str) -> Pooling:
        """The pooling that the options of ``name`` ask for, or the default for ``model``."""
        names = {key.rpartition(".")[2] for key in model.state_dict()}
        has_class = not names.isdisjoint(CLASS_TOKENS)
        extra = int("distillation_token" in names) + int(getattr(model.config, "num_register_tokens", 0) or 0)
        image = modality == "image"
        pool = name.options.get("pool", "cls" if image and has_class else "mean")
        if pool not in POOLS:
            raise UnknownNameError.of("pooling", pool, POOLS)
        if pool == "cls" and image and not has_class:
            raise InputError(f"encoder {str(name)!r} has no class token to pool. Use pool=mean or pool=pooler.")
        layer = name.options.get("layer", "-1")
        try:
            index = int(layer)
        except ValueError as error:
            raise InputError(
                f"encoder {str(name)!r}: layer={layer!r} is not a whole number, such as -1 or 6."
            ) from error
        if pool == "pooler" and index != -1:
            raise InputError(f"encoder {str(name)!r}: the pooler reads the final output only. Leave out layer={index}.")
        return cls(str(name), pool, index, (int(has_class) + extra) if image else 0, norm_of(name))

    @property
    def settings(self) -> dict[str, Any]:
        """What the fingerprint holds of it."""
        return {"pool": self.pool, "layer": self.layer, "norm": self.norm}

    def tokens(self, output: Any) -> torch.Tensor:
        """The hidden states that are pooled: (b, t, d), or a feature map (b, d, h, w)."""
        if self.layer == -1:
            final: torch.Tensor = output.last_hidden_state
            return final
        states: tuple[torch.Tensor, ...] | None = output.hidden_states
        if not states or not -len(states) <= self.layer < len(states):
            count = len(states or ())
            raise InputError(
                f"encoder {self.name!r} has {count} hidden states; layer={self.layer} is not among them. "
                f"Use -{count} to {count - 1}."
            )
        return states[self.layer]

    def pooled(self, output: Any, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """One float32 vector an item, (b, d)."""
        return at_norm(self._pooled(output, tokens, mask), self.norm)

    def _pooled(self, output: Any, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if self.pool == "pooler":
            vector: torch.Tensor | None = getattr(output, "pooler_output", None)
            if vector is None:
                raise InputError(f"encoder {self.name!r} has no pooler. Use pool=cls or pool=mean.")
            return vector.flatten(1).float()
        if self.pool == "cls":
            return tokens[:, 0].float()
        if tokens.ndim == 4:
            return tokens.float().mean(dim=(2, 3))
        if mask is None:
            return tokens[:, self.prefix :].float().mean(dim=1)
        weight = mask[..., None].float()
        return (tokens.float() * weight).sum(dim=1) / weight.sum(dim=1)
