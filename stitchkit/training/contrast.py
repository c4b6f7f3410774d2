"""The contrastive loss between two modalities, and its exact gradient for batches that do not fit at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

MOST = 4.605170185988092  # ln 100: the scale's logarithm is kept in [0, MOST] by `keep_in_range`, after each step

Forward = Callable[[int], tuple[Tensor, Tensor]]  # vectors (m, d) of both modalities of one chunk of the batch


def contrastive_loss(left: Tensor, right: Tensor, log_scale: Tensor, same: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE over a batch of pairs.

    Parameters
    ----------
    left : (n, d), right : (n, d)
        Vectors of pairs; they are normalised here.
    log_scale
        Logarithm of what cosines are multiplied by. It is taken as it is, so that it has a gradient at the ends of its
        range too; :func:`keep_in_range` keeps it there.
    same : (n,) int, optional
        Pairs of one number have equal captions and are all positives of each other: the target of a row is even among
        them. None: each pair has itself alone.

    Returns
    -------
    Tensor
        Mean over both directions of the mean over rows of the cross entropy to the targets.

    References
    ----------
    Radford et al., ICML 2021; several positives a row as in Khosla et al., NeurIPS 2020 (outside the logarithm).
    """
    near = log_scale.exp() * nn.functional.normalize(left, dim=1) @ nn.functional.normalize(right, dim=1).T
    if same is None:
        at = torch.arange(len(near), device=near.device)
        return (nn.functional.cross_entropy(near, at) + nn.functional.cross_entropy(near.T, at)) / 2
    target = (same[:, None] == same[None, :]).to(near.dtype)
    target = target / target.sum(dim=1, keepdim=True)  # symmetric: rows and columns of one number are alike
    return (nn.functional.cross_entropy(near, target) + nn.functional.cross_entropy(near.T, target)) / 2


def keep_in_range(log_scale: Tensor) -> None:
    """Clamp the scale's logarithm to [0, ln 100] in place, after a step of the optimizer or when a state is loaded.

    A clamp inside the loss would have no gradient at its ends, and a scale that touched one would stay there for ever.

    Examples
    --------
    >>> log_scale = nn.Parameter(torch.tensor(7.0))
    >>> keep_in_range(log_scale)
    >>> round(float(log_scale.detach().exp()))
    100
    """
    with torch.no_grad():
        log_scale.clamp_(0, MOST)


def cached_backward(
    forward: Forward,
    chunks: int,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
) -> Tensor:
    """The loss of a whole batch, with its exact gradient in every parameter, in the memory of one chunk.

    All chunks are passed once without a graph; the loss of all vectors gives the gradient of each; then each chunk is
    passed again, and its vectors take their gradient back. Exact if a second pass gives the same vectors: no dropout.

    Parameters
    ----------
    forward
        Number of a chunk -> its vectors of both modalities.
    chunks
        How many there are.
    loss_of
        All vectors (n, d) of both modalities -> the loss. Parameters of its own (a scale) get their gradient here.
    backward
        What takes the loss back, perhaps scaled.

    References
    ----------
    Gao et al., "Scaling deep contrastive learning batch size under memory limited setup", RepL4NLP 2021.
    """
    if chunks == 1:
        loss = loss_of(*forward(0))
        backward(loss)
        return loss.detach()
    with torch.no_grad():
        parts = [forward(chunk) for chunk in range(chunks)]
    left, right = (torch.cat([part[side] for part in parts]).requires_grad_() for side in (0, 1))
    loss = loss_of(left, right)
    backward(loss)
    sizes = [len(part[0]) for part in parts]
    grads = zip(*(torch.split(_grad(side), sizes) for side in (left, right)), strict=True)
    for chunk, grad in enumerate(grads):
        torch.autograd.backward(forward(chunk), grad)
    return loss.detach()


def _grad(vectors: Tensor) -> Tensor:
    return torch.zeros_like(vectors) if vectors.grad is None else vectors.grad
