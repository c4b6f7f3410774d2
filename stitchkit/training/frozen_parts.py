"""Parts of a network that are not trained: their parameters get no gradient, and their state stays to the byte."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import nn

from stitchkit.core.wording import counted
from stitchkit.encoders.pair_network import is_within
from stitchkit.storage.digests import sha256_of
from stitchkit.training.outcomes import TrainingError


@dataclass(frozen=True, slots=True, eq=False)
class FrozenParts:
    """Modules and parameters of a network that stay as they are.

    Parameters
    ----------
    network
        The whole network.
    names
        Names of its modules and parameters that stay.
    digest
        SHA-256 of their state, buffers included, before the first step.
    """

    network: nn.Module
    names: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, network: nn.Module, names: Collection[str]) -> FrozenParts:
        """The parts of these names, whose parameters take no gradient from now on."""
        kept = tuple(names)
        for name, parameter in network.named_parameters():
            if _is_in_any(name, kept):
                parameter.requires_grad_(False)
        parts = cls(network, kept, _digest(network, kept))
        parts.train()
        return parts

    def train(self) -> None:
        """The network in training mode, with its frozen modules in evaluation mode: no dropout, no new statistics."""
        self.network.train()
        for name, module in self.network.named_modules():
            if name and _is_in_any(name, self.names):
                module.eval()

    def check(self) -> None:
        """Raise unless the state is still what it was.

        Raises
        ------
        TrainingError
            Naming the parts.
        """
        if _digest(self.network, self.names) != self.digest:
            raise TrainingError(
                f"{counted(len(self.names), 'part')} of the network should have stayed as they were ({self.names[0]}, "
                f"...), and weights or statistics in them changed: they are not kept. Leave frozen parts unfrozen, or "
                f"mend the encoder or the objective that changes them; statistics of pretrained encoders stay as well."
            )


def statistics_of(network: nn.Module) -> list[str]:
    """Names of the buffers that belong to a network's state, such as the statistics of batch norms."""
    parameters = {name for name, _ in network.named_parameters()}
    return [name for name in network.state_dict() if name not in parameters]


def _is_in_any(name: str, parts: tuple[str, ...]) -> bool:
    return any(is_within(name, part) for part in parts)


def _digest(network: nn.Module, parts: tuple[str, ...]) -> str:
    state = network.state_dict()
    lines = [
        f"{key} {sha256_of(state[key].detach().cpu().contiguous().numpy().tobytes())}"
        for key in sorted(state)
        if _is_in_any(key, parts)
    ]
    return sha256_of("\n".join(lines).encode())
