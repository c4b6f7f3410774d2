"""The processes of one run: the devices they run on, and what they exchange.

Vectors are exchanged, so that each has the whole batch's loss, and gradients are added up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stitchkit.core.errors import InputError, MissingExtraError
from stitchkit.encoders.devices import chosen_device

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def launch(precision: str, device: str) -> Fabric:
    """Lightning Fabric on the devices that are meant: one, or torchrun's.

    Raises
    ------
    MissingExtraError
        Without Lightning.
    InputError
        For a device that is not there, or half precision of 16 without a GPU.
    """
    try:
        from lightning.fabric import Fabric
    except ImportError as error:
        raise MissingExtraError(
            f"training needs Lightning, which cannot be imported: {error}. Run: pip install 'stitchkit[train]'"
        ) from error
    kinds = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
    here, nodes = (int(os.environ.get(name, 1)) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))  # of torchrun
    kind, _, index = chosen_device(device).partition(":")
    if precision == "16" and kind == "cpu":
        raise InputError("precision = '16' is computed on GPUs only. On a processor take 'bf16', or '32'.")
    devices = [int(index)] if index else here
    fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, precision=kinds[precision])  # type: ignore[arg-type]
    try:
        fabric.launch()
    except (RuntimeError, ValueError) as error:  # of torch.distributed: an address, a port, another process
        rank = os.environ.get("RANK", "0")
        raise InputError(
            f"process {rank} of {here * nodes} cannot join the run: {error}. Look at the first process that failed, "
            f"and at the address and port given to torchrun."
        ) from error
    return fabric


def with_others(mine: Tensor, shares: Sequence[int], fabric: Fabric) -> Tensor:
    """Rows of all processes in order; only this one's take a gradient, and the sum over processes is the whole."""
    if fabric.world_size == 1:
        return mine
    most = max(shares)
    padded = torch.nn.functional.pad(mine.detach(), (0, 0) * (mine.ndim - 1) + (0, most - len(mine)))
    gathered = fabric.all_gather(padded)
    parts = [mine if rank == fabric.global_rank else gathered[rank, :size] for rank, size in enumerate(shares)]  # type: ignore[call-overload]
    return torch.cat(parts)


def sum_over_processes(network: nn.Module, fabric: Fabric) -> None:
    """Add up the gradients of each process's own rows. The objective's gradient is whole on each already."""
    if fabric.world_size == 1:
        return
    grads = [one.grad for one in network.parameters() if one.grad is not None]
    flat = torch.cat([one.reshape(-1) for one in grads])
    total = fabric.all_reduce(flat, reduce_op="sum")
    for one, part in zip(grads, torch.split(total, [one.numel() for one in grads]), strict=True):  # type: ignore[arg-type]
        one.copy_(part.view_as(one))
