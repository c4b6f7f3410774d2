"""CLIP's objective with the first layers of its towers as they were."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from msgspec import Meta

from stitchkit.core.errors import InputError
from stitchkit.core.wording import counted
from stitchkit.encoders.pair_network import PairNetwork, PairShape, Parts
from stitchkit.storage.toml_files import Whole
from stitchkit.training.objectives.clip import Clip, ClipSettings

Blocks = Annotated[
    Whole
    | Annotated[float, Meta(ge=0, le=1)]
    | Annotated[tuple[Whole, ...], Meta(min_length=1, description="a number of layers, a share of them, or a list")],
    Meta(description="a number of layers, a share of them in [0, 1], or a list of layers from 0"),
]


class PartialFreezingSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of CLIP's objective with frozen layers.

    Parameters
    ----------
    image, text
        Layers of the first and of the second modality that are not trained: their number (a whole number), their share
        (0.5: the first half, rounded), or a list of layers from 0. The stem is frozen with the first layer. Default:
        half of the first modality's, none of the second's
    """

    name: Literal["partial_freezing"] = "partial_freezing"  # type: ignore[assignment]
    image: Blocks = 0.5
    text: Blocks = 0


class PartialFreezing(Clip):
    """Symmetric InfoNCE between two modalities, whose first layers are not trained."""

    Settings = PartialFreezingSettings

    def __init__(self, settings: PartialFreezingSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.layers = dict(zip(shape.inputs, (settings.image, settings.text), strict=False))

    def frozen_parts(self, network: PairNetwork) -> Collection[str]:
        """Stems and layers that are not trained; a layer that both modalities share must be frozen for both."""
        frozen: dict[str, None] = {}
        parts = {modality: network.part_names(modality) for modality in self.layers}
        chosen = {
            modality: _layers_to_freeze(modality, parts[modality], layers) for modality, layers in self.layers.items()
        }
        for modality, layers in chosen.items():
            stem, blocks, _, _ = parts[modality]
            if 0 in layers:
                frozen |= dict.fromkeys(stem)
            frozen |= dict.fromkeys(name for layer in layers for name in blocks[layer])
        for modality, layers in chosen.items():
            for layer, block in enumerate(parts[modality].layers):
                if layer not in layers and not frozen.keys().isdisjoint(block):
                    raise InputError(
                        f"layer {layer} is shared by {' and '.join(self.layers)}, and is to be frozen for one of them. "
                        f"Freeze it for both, or train separate towers: shared = 'none' in [network]."
                    )
        return tuple(frozen)


def _layers_to_freeze(modality: str, parts: Parts, layers: int | float | Collection[int]) -> tuple[int, ...]:
    """Numbers of the layers of one modality that are to be frozen."""
    if layers and not parts.layers:
        raise InputError(
            f"layers of {modality!r} are to be frozen, and the layers of its encoder cannot be told apart. Freeze none "
            f"of them, or the whole tower by the objective 'lit'."
        )
    try:
        return chosen_layers(layers, len(parts.layers))
    except InputError as error:
        raise InputError(
            f"[objective] of 'partial_freezing' freezes layers of {modality!r} that there are not: "
            + error.message
            + " Name fewer layers, or a share of them."
        ) from error


def chosen_layers(layers: int | float | Collection[int], of: int) -> tuple[int, ...]:
    """Numbers of layers: the first ones by their number or their share, or those of a list.

    Raises
    ------
    InputError
        For more layers than there are.

    Examples
    --------
    >>> chosen_layers(2, 12), chosen_layers(0.25, 12), chosen_layers(0.5, 3), chosen_layers([3, 1], 12)
    ((0, 1), (0, 1, 2), (0, 1), (1, 3))
    """
    if isinstance(layers, float):
        return tuple(range(round(layers * of)))
    chosen = tuple(range(layers)) if isinstance(layers, int) else tuple(sorted(set(layers)))
    if chosen and chosen[-1] >= of:
        raise InputError(f"layer {chosen[-1]} is to be frozen; there are {counted(of, 'layer')}, numbered from 0.")
    return chosen
