"""SLIP's objective: CLIP's, and two views of each image that find each other among those of the batch."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from stitchkit.encoders.pair_network import Batch, ImageInput, PairNetwork, PairShape, main_input, with_main_input
from stitchkit.storage.toml_files import Flag, Weight
from stitchkit.training.objectives.clip import Clip, ClipSettings
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import BatchFacts, Outputs, modalities_of
from stitchkit.training.objectives.views import image_view

WIDER, OUT = 4, 256  # of the head: hidden features as a multiple of the vectors', and features that are compared


class SlipSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of SLIP's objective, beside those of CLIP's.

    Parameters
    ----------
    views
        Weight of the loss between views. Default: 1
    view_temperature
        Temperature of that loss, in [0.01, 1], which is not learnt. Default: 0.1
    flip
        Views may be mirrored. Default: False, as left and right have a meaning in medical images
    """

    name: Literal["slip"] = "slip"  # type: ignore[assignment]
    views: Weight = 1.0
    view_temperature: Annotated[float, Meta(ge=0.01, le=1, description="a number in [0.01, 1]")] = 0.1
    flip: Flag = False


class Slip(Clip):
    """Symmetric InfoNCE between two modalities, and NT-Xent between two views of the images behind a head.

    References
    ----------
    Mu et al., ECCV 2022; the loss between views: Chen et al., ICML 2020.
    """

    Settings = SlipSettings

    def __init__(self, settings: SlipSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.weight, self.temperature, self.flip = settings.views, settings.view_temperature, settings.flip
        self.images, *_ = modalities_of(ImageInput, shape, settings.name, "draws views")
        self.head = nn.Sequential(nn.Linear(shape.dim, WIDER * shape.dim), nn.GELU(), nn.Linear(WIDER * shape.dim, OUT))

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        """Pooled vectors of the items, and of two views of each image."""
        plain = network(modality, inputs).pooled.float()
        if modality != self.images:
            return (plain,)
        pixels = main_input(inputs)
        views = (with_main_input(inputs, image_view(pixels, draws, f"view {i}", self.flip)) for i in range(2))
        return (plain, *(network(modality, one).pooled.float() for one in views))

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        _, one, two = outputs[self.images]
        return super().loss(outputs, facts) + self.weight * view_loss(self.head(one), self.head(two), self.temperature)


def view_loss(one: Tensor, two: Tensor, temperature: float) -> Tensor:
    """NT-Xent: each of the 2 n views (n, d) finds the other of its image among all but itself.

    Parameters
    ----------
    one : (n, d), two : (n, d)
        Vectors of the views; they are normalised here.
    """
    views = nn.functional.normalize(torch.cat([one, two]), dim=1)
    near = views @ views.T / temperature
    near = near.masked_fill(torch.eye(len(views), dtype=torch.bool, device=near.device), -torch.inf)
    partner = torch.arange(len(views), device=near.device).roll(len(one))
    return nn.functional.cross_entropy(near, partner)
