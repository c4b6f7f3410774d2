"""Exact gradient of a batch that does not fit into memory at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stitchkit.training.objectives.objective import Outputs, join_outputs


def cached_backward(
    forward: Callable[[int], Outputs],
    chunks: int,
    loss_of: Callable[[Outputs], Tensor],
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
) -> Tensor:
    """Loss of a whole batch, with its exact gradient in every parameter, in the memory of one chunk.

    All chunks are passed once without a graph; the loss of all outputs gives the gradient of each; then each chunk is
    passed again, and its outputs take their gradient back. Exact if a second pass gives the same outputs: no dropout.

    Parameters
    ----------
    forward
        Number of a chunk -> its outputs, modality by modality.
    chunks
        Number of chunks.
    loss_of
        Outputs of all rows -> the loss. Parameters of its own (a scale) get their gradient here.
    backward
        Function that takes the loss back, perhaps scaled. Default: torch's own

    Returns
    -------
    Tensor
        The loss, detached.

    References
    ----------
    Gao et al., "Scaling deep contrastive learning batch size under memory limited setup", RepL4NLP 2021.
    """
    if chunks == 1:
        loss = loss_of(forward(0))
        backward(loss)
        return loss.detach()
    with torch.no_grad():
        pieces = [forward(chunk) for chunk in range(chunks)]
    whole = join_outputs(pieces)
    for tensor in _flat(whole):
        tensor.requires_grad_(tensor.is_floating_point())  # masks have no gradient
    loss = loss_of(whole)
    backward(loss)
    sizes = [len(next(iter(piece.values()))[0]) for piece in pieces]
    gradients = zip(*(torch.split(_gradient(tensor), sizes) for tensor in _flat(whole)), strict=True)
    for chunk, gradients_of_chunk in enumerate(gradients):
        # masks, and outputs of a frozen part of the network, take no gradient back
        learnt = [pair for pair in zip(_flat(forward(chunk)), gradients_of_chunk, strict=True) if pair[0].requires_grad]
        torch.autograd.backward([tensor for tensor, _ in learnt], [gradient for _, gradient in learnt])
    return loss.detach()


def _flat(outputs: Outputs) -> list[Tensor]:
    return [tensor for tensors in outputs.values() for tensor in tensors]


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
