"""CyCLIP's objective: CLIP's, with similarities that agree across and within modalities."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from stitchkit.encoders.pair_network import PairShape
from stitchkit.storage.toml_files import Weight
from stitchkit.training.objectives.clip import Clip, ClipSettings
from stitchkit.training.objectives.objective import BatchFacts, Outputs


class CyclipSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of CyCLIP's objective, beside those of CLIP's.

    Parameters
    ----------
    cross, within
        Weights of the consistency across modalities (image i with text j as image j with text i) and within them (image
        i with image j as text i with text j). Default: 0.25 each
    """

    name: Literal["cyclip"] = "cyclip"  # type: ignore[assignment]
    cross: Weight = 0.25
    within: Weight = 0.25


class Cyclip(Clip):
    """Symmetric InfoNCE and two consistency terms.

    References
    ----------
    Goel et al., NeurIPS 2022.
    """

    Settings = CyclipSettings

    def __init__(self, settings: CyclipSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.cross, self.within = settings.cross, settings.within

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        (first, *_), (second, *_) = outputs.values()
        across, inside = inconsistencies(first, second)
        return super().loss(outputs, facts) + self.cross * across + self.within * inside


def inconsistencies(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over pairs of pairs of squared differences of cosines, divided by the batch: across and within modalities.

    Parameters
    ----------
    first : (n, d), second : (n, d)
        Vectors of pairs; they are normalised here.
    """
    x, y = nn.functional.normalize(first, dim=1), nn.functional.normalize(second, dim=1)
    both = x @ y.T
    return (both - both.T).square().sum() / len(x), (x @ x.T - y @ y.T).square().sum() / len(x)
