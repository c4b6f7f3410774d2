"""CLIP's objective: the contrastive loss between two modalities, with a learnt scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn

from stitchkit.encoders.pair_network import PairShape
from stitchkit.storage.toml_files import Flag
from stitchkit.training.objectives import ObjectiveSettings
from stitchkit.training.objectives.objective import BatchFacts, Objective, Outputs, check_pairs

MAX_LOG_SCALE = 4.605170185988092  # ln 100: the scale's logarithm is kept in [0, MAX_LOG_SCALE] after each step


class ClipSettings(ObjectiveSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of CLIP's objective.

    Parameters
    ----------
    equal_captions
        True: pairs with equal captions are positives of each other. False: each pair has itself alone, as in the
        original. Default: True
    temperature
        Temperature at the start, in [0.01, 1]; it is learnt. Default: 0.07
    """

    name: Literal["clip"] = "clip"
    equal_captions: Flag = True
    temperature: Annotated[float, Meta(ge=0.01, le=1, description="a number in [0.01, 1]")] = 0.07


class Clip(Objective):
    """Symmetric InfoNCE between two modalities.

    References
    ----------
    Radford et al., ICML 2021.
    """

    Settings: ClassVar[type[ClipSettings]] = ClipSettings

    def __init__(self, settings: ClipSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.equal_captions = settings.equal_captions
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / settings.temperature)))

    def check(self, present: Mapping[str, np.ndarray]) -> None:
        """Raise unless there are two modalities and each row has both."""
        check_pairs(self.settings.name, present)

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        (first, *_), (second, *_) = outputs.values()
        return contrastive_loss(first, second, self.log_scale, facts.captions if self.equal_captions else None)

    def constrain(self) -> None:
        """Clamp the scale's logarithm to [0, ln 100].

        A clamp inside the loss would have no gradient at its ends, and a scale that touched one would stay there for
        ever.
        """
        with torch.no_grad():
            self.log_scale.clamp_(0, MAX_LOG_SCALE)

    def log_values(self) -> dict[str, Tensor]:
        return {"scale": self.log_scale.detach().exp()}


def contrastive_loss(first: Tensor, second: Tensor, log_scale: Tensor, same: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE over a batch of pairs.

    Parameters
    ----------
    first : (n, d), second : (n, d)
        Vectors of pairs; they are normalised here.
    log_scale
        Logarithm of the factor of cosines. It is taken as it is, so that it has a gradient at the ends of its range
        too; :meth:`Clip.constrain` keeps it there.
    same : (n,) int, optional
        Numbers of captions: pairs of one number have equal captions and are all positives of each other, and the target
        of a row is even among them. Default: None, each pair has itself alone

    Returns
    -------
    Tensor
        Mean over both directions of the mean over rows of the cross entropy to the targets.

    References
    ----------
    Radford et al., ICML 2021; several positives a row as in Khosla et al., NeurIPS 2020 (outside the logarithm).
    """
    logits = log_scale.exp() * nn.functional.normalize(first, dim=1) @ nn.functional.normalize(second, dim=1).T
    if same is None:
        target = torch.arange(len(logits), device=logits.device)
    else:
        target = (same[:, None] == same[None, :]).to(logits.dtype)
        target = target / target.sum(dim=1, keepdim=True)  # symmetric: rows and columns of one number are alike
    return (nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)) / 2
