"""Forms of the network of a run: one shared encoder from scratch, or two pretrained towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from stitchkit.core.roles import Encoder
from stitchkit.core.space import Space
from stitchkit.encoders.pair_network import PairNetwork
from stitchkit.encoders.shared.encoder import pack_shared
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape


class NetworkForm(Protocol):
    """A network that can be built and put into a folder."""

    def network(self) -> PairNetwork:
        """The network before the first step; what is random in it comes from torch's global generator."""

    def pack(self, network: PairNetwork) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Configuration and arrays of its folder."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedForm:
    """A shared encoder from scratch.

    Parameters
    ----------
    shape
        Form of the network.
    settings
        Settings of the inputs, as the encoder's folder keeps them.
    """

    shape: SharedShape
    settings: Mapping[str, Any]

    def network(self) -> SharedNetwork:
        """A network with random weights."""
        return SharedNetwork(self.shape)

    def pack(self, network: PairNetwork) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Configuration and arrays of its folder."""
        return pack_shared(cast(SharedNetwork, network), self.settings)


@dataclass(frozen=True, slots=True, eq=False)
class TunedForm:
    """Two pretrained encoders, each behind a projection.

    Parameters
    ----------
    encoders
        Modality -> encoder, whose module the network takes over.
    dim
        Width of the common space.
    context
        Modality -> tokens of the longest text that is trained on.
    """

    encoders: Mapping[str, Encoder] = field(repr=False)
    dim: int
    context: Mapping[str, int]

    def network(self) -> PairNetwork:
        """The towers with random projections."""
        from stitchkit.encoders.tuned.network import TunedNetwork

        return TunedNetwork(self.encoders, self.dim, self.context)

    def pack(self, network: PairNetwork) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Configuration and arrays of its folder."""
        from stitchkit.encoders.tuned.encoder import pack_tuned
        from stitchkit.encoders.tuned.network import TunedNetwork

        return pack_tuned(cast(TunedNetwork, network), self.bases)

    @property
    def bases(self) -> dict[str, Space]:
        """Space of each modality's encoder before training."""
        return {name: encoder.space for name, encoder in self.encoders.items()}
