"""The two terms of the loss: each modality's own pairs, and the agreement of text encoders on common texts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


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
