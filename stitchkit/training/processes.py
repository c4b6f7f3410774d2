"""What the processes of one run exchange: vectors, so that each has the whole batch's loss, and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stitchkit.encoders.shared_network import SharedNetwork

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def with_others(mine: Tensor, shares: Sequence[int], fabric: Fabric) -> Tensor:
    """Vectors of all processes in order; only this one's take a gradient, and the sum over processes is the whole."""
    if fabric.world_size == 1:
        return mine
    most = max(shares)
    padded = torch.nn.functional.pad(mine.detach(), (0, 0, 0, most - len(mine)))
    found = fabric.all_gather(padded)
    parts = [mine if rank == fabric.global_rank else found[rank, :size] for rank, size in enumerate(shares)]  # type: ignore[call-overload]
    return torch.cat(parts)


def sum_over_processes(network: SharedNetwork, fabric: Fabric) -> None:
    """Each process's gradient is of its own vectors: their sum is the batch's. The scale's is whole on each."""
    if fabric.world_size == 1:
        return
    grads = [one.grad for one in network.parameters() if one.grad is not None and one is not network.log_scale]
    flat = torch.cat([one.reshape(-1) for one in grads])
    total = fabric.all_reduce(flat, reduce_op="sum")
    for one, part in zip(grads, torch.split(total, [one.numel() for one in grads]), strict=True):  # type: ignore[arg-type]
        one.copy_(part.view_as(one))
