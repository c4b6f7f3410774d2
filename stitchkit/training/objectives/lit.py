"""LiT's objective: CLIP's, with the image tower locked, so that texts are fitted to what it sees."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from stitchkit.core.errors import InputError
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
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

    def __init__(self, settings: LitSettings, shape: SharedShape) -> None:
        super().__init__(settings, shape)
        self.projection = settings.projection
        if shape.shared_layers:
            raise InputError(
                f"the objective 'lit' locks the tower of {next(iter(shape.inputs))!r}, and its layers are shared. Set "
                f"shared = 'none' in [network]."
            )

    def frozen_parts(self, network: SharedNetwork) -> Collection[str]:
        """The first modality's tower, perhaps without its projection."""
        stem, blocks, (norm, projection) = network.part_names(next(iter(network.shape.inputs)))
        return [*stem, *blocks, norm, *([] if self.projection else [projection])]
