"""Pooling of tokens into one vector: class token, mean, last token, or the checkpoint's own pooler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.encoders.names import EncoderName

if TYPE_CHECKING:
    import torch

POOLS = ("cls", "mean", "last", "pooler")
NORMS = ("none", "unit")
CLASS_TOKENS = ("cls_token", "class_token", "class_embedding", "cls_embedding")


def norm_of(name: EncoderName) -> str | None:
    """The norm that the options of ``name`` ask for, or None."""
    norm = name.options.get("norm")
    if norm is not None and norm not in NORMS:
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
        class, distillation and register tokens (image), or over the feature map; ``"last"`` the last token of a text
        that is not padding, on whichever side that is; ``"pooler"`` the checkpoint's own.
    layer
        Index into the hidden states. -1 is the model's final output, after its last normalisation.
    prefix
        Number of tokens before the first patch of an image.
    norm
        ``"unit"`` divides the pooled vector by its length, as most sentence encoders end; ``"none"`` leaves it.
    every
        True pools every token of an image, class token included, as sentence-transformers does.
    skip
        Number of leading tokens of a text, those of its prompt, that are left out of the pooling.
    after
        Steps of a declared pipeline between pooling and norm.

    Notes
    -----
    ``pool`` may also be the modes of a declared pipeline (``max``, ``mean_sqrt_len_tokens``, ``weightedmean``,
    ``lasttoken``), several of them joined by ``+``: their vectors stand side by side.
    """

    name: str
    pool: str
    layer: int = -1
    prefix: int = 0
    norm: str = "none"
    every: bool = False
    skip: int = 0
    after: Callable[[torch.Tensor], torch.Tensor] | None = None

    @classmethod
    def of(
        cls, name: EncoderName, model: torch.nn.Module, modality: str, declared: str | None = None, *,
        causal: bool = False,
    ) -> Pooling:  # fmt: skip
        """The pooling of the options of ``name``, else the declared one, else the default of ``model``.

        ``causal`` is True for a text model whose tokens read none behind them.
        """
        names = {key.rpartition(".")[2] for key in model.state_dict()}
        has_class = not names.isdisjoint(CLASS_TOKENS)
        extra = int("distillation_token" in names) + int(getattr(model.config, "num_register_tokens", 0) or 0)
        image = modality == "image"
        chosen = name.options.get("pool")
        if chosen is not None and chosen not in POOLS:
            raise UnknownNameError.of("pooling", chosen, POOLS)
        pool = chosen or declared or ("cls" if image and has_class else "last" if causal else "mean")
        if chosen == "cls" and image and not has_class:
            raise InputError(f"encoder {str(name)!r} has no class token to pool. Use pool=mean or pool=pooler.")
        if chosen == "last" and image:
            raise InputError(
                f"encoder {str(name)!r} takes images, which have no last token. Use pool=mean or pool=cls."
            )
        if chosen == "cls" and causal:
            raise InputError(
                f"encoder {str(name)!r} is a causal model: its first token has read nothing of the text behind it, so "
                f"that pool=cls would give all texts of one beginning one vector. Use pool=last or pool=mean."
            )
        layer = name.options.get("layer", "-1")
        try:
            index = int(layer)
        except ValueError as error:
            raise InputError(
                f"encoder {str(name)!r}: layer={layer!r} is not a whole number, such as -1 or 6."
            ) from error
        if pool == "pooler" and index != -1:
            raise InputError(f"encoder {str(name)!r}: the pooler reads the final output only. Leave out layer={index}.")
        return cls(str(name), pool, index, (int(has_class) + extra) if image else 0, norm_of(name) or "none",
                   every=image and chosen is None and declared is not None)  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the fingerprint holds."""
        own = {"pool": self.pool, "layer": self.layer, "norm": self.norm}
        return {**own, "every": self.every or None, "skip": self.skip or None}  # None: as it was without a pipeline

    def in_words(self) -> str:
        """The pooling for a screen."""
        layer = "" if self.layer == -1 else f" of layer {self.layer}"
        return f"{self.pool}{layer}" + (", unit length" if self.norm == "unit" else "")

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

    def vectors(self, output: Any, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """One float32 vector an item, (b, d)."""
        vectors = self._pool(output, tokens, mask)
        return at_norm(vectors if self.after is None else self.after(vectors), self.norm)

    def _pool(self, output: Any, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        import torch

        if self.pool == "pooler":
            vector: torch.Tensor | None = getattr(output, "pooler_output", None)
            if vector is None:
                raise InputError(f"encoder {self.name!r} has no pooler. Use pool=cls or pool=mean.")
            return vector.flatten(1).float()
        if self.every or self.skip or self.pool not in POOLS or self.pool == "last":
            modes = "lasttoken" if self.pool == "last" else self.pool
            return torch.cat([_by_mode(mode, *self._mask(tokens, mask)) for mode in modes.split("+")], dim=1)
        if self.pool == "cls":
            return tokens[:, 0].float()
        if tokens.ndim == 4:
            return tokens.float().mean(dim=(2, 3))
        if mask is None:
            return tokens[:, self.prefix :].float().mean(dim=1)
        weight = mask[..., None].float()
        return (tokens.float() * weight).sum(dim=1) / weight.sum(dim=1)

    def _mask(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (b, t, d) and the mask (b, t) of those to pool, both float32; a feature map becomes tokens."""
        import torch

        rows = (tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens).float()
        if mask is None or mask.shape[1] != rows.shape[1]:
            return rows, torch.ones(rows.shape[:2], device=rows.device)
        kept = mask.float()
        if self.skip:
            kept = kept.clone()
            kept[:, : self.skip] = 0
        return rows, kept


def _by_mode(mode: str, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Tokens (b, t, d) that are padded on either side, pooled over the mask (b, t) by one mode, (b, d)."""
    import torch

    rows = torch.arange(len(tokens), device=tokens.device)
    places = torch.arange(1, mask.shape[1] + 1, device=tokens.device)
    weight = mask[..., None]
    if mode == "cls":
        return tokens[rows, mask.argmax(dim=1)]
    if mode == "lasttoken":
        last = (mask * places).argmax(dim=1)
        return tokens[rows, last] * mask[rows, last][:, None]
    if mode == "max":
        return tokens.masked_fill(weight == 0, -torch.inf).amax(dim=1)
    if mode == "weightedmean":
        weight = weight * places[None, :, None]
    total, count = (tokens * weight).sum(dim=1), weight.sum(dim=1).clamp(min=1e-9)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)
