"""Moments over the ranks of torch.distributed (torchrun): each rank adds up its rows, all get the whole."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist

from stitchkit.core.arrays import like, to_numpy
from stitchkit.core.errors import DataError, InputError, SpaceMismatchError
from stitchkit.core.moments.moments import Moments
from stitchkit.core.moments.scatter import two_sum
from stitchkit.core.space import Space


class _Head(NamedTuple):
    """Moments without their scatters, both sides joined: small enough to be sent to everybody."""

    pairs: int
    weight: float
    mean: np.ndarray  # (d,), d = d_s + d_t
    tail: np.ndarray  # (d,)
    source: Space
    target: Space


def all_reduce_moments(local: Moments | None, group: Any = None) -> Moments:
    """The moments of all ranks' pairs together, the same to the last bit on every rank.

    Means travel first; each rank then shifts its scatters to the common mean and one ``all_reduce`` adds them, so
    that memory does not grow with the number of ranks.

    Parameters
    ----------
    local
        This rank's; None on a rank that got no rows. Every rank of the group must call, None or not.
    group
        A process group; None is the default one. With NCCL the sums travel through the rank's current CUDA device
        (``torch.cuda.set_device``), otherwise through main memory.

    Returns
    -------
    Moments
        In the library and on the device of ``local``; numpy arrays where that is None.

    Raises
    ------
    InputError
        On every rank alike: if no rank has rows, or if the ranks' spaces differ (naming the rank); or if
        torch.distributed is not running.
    DataError
        If the ranks cannot reach each other, naming this rank.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise InputError(
            "torch.distributed is not running. Start the script with torchrun and call "
            "torch.distributed.init_process_group first, or use the moments as they are."
        )
    heads: list[Any] = [None] * dist.get_world_size(group)
    try:
        dist.all_gather_object(heads, None if local is None else _head(local), group=group)
    except RuntimeError as error:  # of the backend, mostly because another rank has ended
        raise _no_exchange(group, error) from error
    whole = _pooled_head(heads)
    d = whole.mean.shape[0]
    sums = torch.from_numpy(np.zeros((d, d)) if local is None else _about(whole, local)).to(_place(group))
    try:
        dist.all_reduce(sums, group=group)
    except RuntimeError as error:
        raise _no_exchange(group, error) from error
    total = sums.cpu().numpy()
    moments = _split(whole, (total + total.T) / 2)  # the order of adding may differ between (i, j) and (j, i)
    return moments if local is None else _in_library_of(local, moments)


def _no_exchange(group: Any, error: RuntimeError) -> DataError:
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    return DataError(
        f"rank {rank} of {size} could not exchange its sums with the others: {error}. Look at the first rank that "
        f"failed."
    )


def _place(group: Any) -> torch.device:
    """The device on which the group's backend adds tensors up."""
    backend = str(dist.get_backend(group))
    only_gpu = "nccl" in backend and "gloo" not in backend
    return torch.device("cuda", torch.cuda.current_device()) if only_gpu else torch.device("cpu")


def _head(local: Moments) -> _Head:
    mean = np.concatenate([to_numpy(local.mean_s), to_numpy(local.mean_t)])
    tail = np.concatenate([to_numpy(local.tail_s), to_numpy(local.tail_t)])
    return _Head(local.count, local.weight, mean, tail, local.source, local.target)


def _pooled_head(heads: list[_Head | None]) -> _Head:
    """Count, weight and mean of all ranks; computed alike on each of them."""
    some = [(rank, head) for rank, head in enumerate(heads) if head is not None]
    if not some:
        raise InputError(f"none of the {len(heads)} ranks has rows. Give at least one rank some pairs.")
    first = some[0][1]
    for rank, head in some[1:]:
        try:
            first.source.require(head.source, f"rank {some[0][0]} (source side; rank {rank} differs)")
            first.target.require(head.target, f"rank {some[0][0]} (target side; rank {rank} differs)")
        except SpaceMismatchError as error:
            raise InputError("the ranks hold moments of different spaces: " + error.message) from error
    weight = sum(head.weight for _, head in some)
    steps = sum(head.weight * ((head.mean - first.mean) + (head.tail - first.tail)) for _, head in some)
    mean, tail = two_sum(first.mean, first.tail + steps / weight)
    return _Head(sum(head.pairs for _, head in some), weight, mean, tail, first.source, first.target)


def _about(whole: _Head, local: Moments) -> np.ndarray:
    """The local scatter (d, d) of joined rows about the mean of all ranks."""
    head, st = _head(local), to_numpy(local.scatter_st)
    step = (head.mean - whole.mean) + (head.tail - whole.tail)
    joined = np.block([[to_numpy(local.scatter_ss), st], [st.T, to_numpy(local.scatter_tt)]])
    return joined + local.weight * np.outer(step, step)


def _split(whole: _Head, scatter: np.ndarray) -> Moments:
    d = whole.source.dim
    return Moments(
        whole.pairs,
        whole.mean[:d],
        whole.mean[d:],
        scatter[:d, :d],
        scatter[:d, d:],
        scatter[d:, d:],
        whole.source,
        whole.target,
        whole.weight,
        whole.tail[:d],
        whole.tail[d:],
    )


def _in_library_of(local: Moments, moments: Moments) -> Moments:
    names = ("mean_s", "mean_t", "scatter_ss", "scatter_st", "scatter_tt", "tail_s", "tail_t")
    arrays = {name: like(np.ascontiguousarray(getattr(moments, name)), local.scatter_st) for name in names}
    return Moments(count=moments.count, weight=moments.weight, source=moments.source, target=moments.target, **arrays)
