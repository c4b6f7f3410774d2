"""LiT's objective: CLIP's, with the image tower locked, so that texts are fitted to what it sees."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import Literal

from stitchkit.core.errors import InputError
from stitchkit.encoders.pair_network import PairNetwork, PairShape
from stitchkit.storage.toml_files import Flag
from stitchkit.training.objectives.clip import Clip, ClipSettings


class LitSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of LiT's objective, beside those of CLIP's.

    Parameters
    ----------
    projection
        The locked tower's projection into the common space is trained. Default: True
    """

    name: Literal["lit"] = "lit"  # type: ignore[assignment]
    projection: Flag = True


class Lit(Clip):
    """Symmetric InfoNCE between two modalities, of which the first one's tower is locked.

    References
    ----------
    Zhai et al., CVPR 2022.
    """

    Settings = LitSettings

    def __init__(self, settings: LitSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.projection = settings.projection

    def frozen_parts(self, network: PairNetwork) -> Collection[str]:
        """The first modality's tower, perhaps without its projection; refused if another modality passes its layers."""
        first, *others = network.shape.inputs
        parts = network.part_names(first)
        layers = list(chain(*parts.layers))
        if not set(layers).isdisjoint(chain(*(chain(*network.part_names(other).layers) for other in others))):
            raise InputError(
                f"the objective 'lit' locks the tower of {first!r}, and its layers are shared. Set shared = 'none' in "
                f"[network]."
            )
        return [*parts.stem, *layers, *parts.end, *([] if self.projection else [parts.projection])]
