"""SigLIP's objective: every image and text of a batch is a pair or none, each judged by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn

from stitchkit.encoders.pair_network import PairShape
from stitchkit.storage.toml_files import Flag
from stitchkit.training.objectives import Factor, ObjectiveSettings
from stitchkit.training.objectives.clip import MAX_LOG_SCALE
from stitchkit.training.objectives.objective import BatchFacts, Objective, Outputs, check_pairs


class SiglipSettings(ObjectiveSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of SigLIP's objective.

    Parameters
    ----------
    equal_captions
        True: pairs with equal captions are positives of each other. False: each pair has itself alone, as in the
        original. Default: True
    scale
        Factor of cosines at the start, in [1, 100] as it is ever after; it is learnt. Default: 10
    bias
        Number that is added to every logit at the start, in [-100, 100]; it is learnt. Default: -10
    """

    name: Literal["siglip"] = "siglip"
    equal_captions: Flag = True
    scale: Factor = 10.0
    bias: Annotated[float, Meta(ge=-100, le=100, description="a number from -100 to 100")] = -10.0


class Siglip(Objective):
    """Pairwise sigmoid loss between two modalities.

    References
    ----------
    Zhai et al., ICCV 2023.
    """

    Settings = SiglipSettings

    def __init__(self, settings: SiglipSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.equal_captions = settings.equal_captions
        self.log_scale = nn.Parameter(torch.tensor(math.log(settings.scale)))
        self.bias = nn.Parameter(torch.tensor(float(settings.bias)))

    def check(self, present: Mapping[str, np.ndarray]) -> None:
        """Raise unless there are two modalities and each row has both."""
        check_pairs("siglip", present)

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        (first, *_), (second, *_) = outputs.values()
        return sigmoid_loss(first, second, self.log_scale, self.bias, facts.captions if self.equal_captions else None)

    def constrain(self) -> None:
        """Clamp the scale's logarithm to [0, ln 100]."""
        with torch.no_grad():
            self.log_scale.clamp_(0, MAX_LOG_SCALE)

    def log_values(self) -> dict[str, Tensor]:
        return {"scale": self.log_scale.detach().exp(), "bias": self.bias.detach().clone()}


def sigmoid_loss(first: Tensor, second: Tensor, log_scale: Tensor, bias: Tensor, same: Tensor | None = None) -> Tensor:
    """Sum over the second sides and mean over the first ones of the logistic loss of being a pair.

    Parameters
    ----------
    first : (n, d), second : (n, d)
        Vectors of pairs; they are normalised here.
    log_scale, bias
        Logarithm of the factor of cosines, and what is added to it.
    same : (n,) int, optional
        Numbers of captions; rows of one number are pairs. Default: None, each pair has itself alone
    """
    logits = log_scale.exp() * nn.functional.normalize(first, dim=1) @ nn.functional.normalize(second, dim=1).T + bias
    numbers = torch.arange(len(first), device=first.device) if same is None else same
    signs = torch.where(numbers[:, None] == numbers[None, :], 1.0, -1.0).to(logits.dtype)
    return -nn.functional.logsigmoid(signs * logits).sum() / len(first)
