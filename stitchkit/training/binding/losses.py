"""The two terms of the loss: each modality's own pairs, and the agreement of text encoders on common texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stitchkit.training.objectives.clip import MAX_LOG_SCALE, contrastive_loss


def disagreement(views: Sequence[Tensor]) -> Tensor:
    """Sum over pairs of text encoders of the mean squared difference of their vectors of the same texts.

    Parameters
    ----------
    views : each (n, k)
        Vectors of one list of texts by each encoder, in one space.

    References
    ----------
    Stage 1 of M3Bind, arXiv 2506.18072.
    """
    total = views[0].new_zeros(())
    for i, one in enumerate(views):
        for other in views[i + 1 :]:
            total = total + nn.functional.mse_loss(one, other)
    return total


def fitted_log_scale(batches: Sequence[tuple[Tensor, Tensor, Tensor]]) -> float:
    """Logarithm of the scale with the least mean contrastive loss, in the range that training keeps it in.

    Parameters
    ----------
    batches
        Vectors (b, k) of items and of their texts, and numbers (b,) of the texts, of each batch.
    """
    from scipy.optimize import minimize_scalar

    def mean_loss(log_scale: float) -> float:
        losses = [contrastive_loss(x, t, x.new_tensor(log_scale), numbers) for x, t, numbers in batches]
        return float(torch.stack(losses).mean())

    with torch.no_grad():
        least = minimize_scalar(mean_loss, bounds=(0, MAX_LOG_SCALE), method="bounded", options={"xatol": 1e-3})
    return float(least.x)
