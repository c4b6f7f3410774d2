"""Parts that losses over tokens share: outputs of one length, similarities in tiles, cross entropy among captions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stitchkit.encoders.pair_network import Batch, PairNetwork

TILE = 64 * 2**20  # bytes of token similarities that are in memory at once


def token_outputs(network: PairNetwork, modality: str, inputs: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Pooled vectors (m, d), tokens (m, t, d) padded to the longest that the modality has, and their mask (m, t)."""
    features = network(modality, inputs)
    room = network.longest(modality) - features.tokens.shape[1]
    tokens = nn.functional.pad(features.tokens.float(), (0, 0, 0, room))
    return features.pooled.float(), tokens, nn.functional.pad(features.mask, (0, room))


def by_tiles(
    similarity: Callable[..., tuple[Tensor, ...]], first: tuple[Tensor, ...], second: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Similarities (n, m) of all items of two modalities, some first items at a time.

    What is larger, an entry for each pair of tokens, is made for one tile and made again going back: memory does not
    grow with the square of the batch.

    Parameters
    ----------
    similarity
        Tokens (r, p, d) and mask (r, p) of some first items, tokens (m, t, d) and mask (m, t) of all second ones ->
        matrices (r, m).
    first, second
        Tokens and mask of each modality.
    """
    n, p = first[1].shape
    row = 4 * p * second[1].numel()
    size = max(TILE // max(row, 1), 1)
    if size >= n:
        return similarity(*first, *second)
    tiles = [
        checkpoint(similarity, *(one[start : start + size] for one in first), *second, use_reentrant=False)
        for start in range(0, n, size)
    ]
    return tuple(torch.cat(parts) for parts in zip(*tiles, strict=True))


def caption_cross_entropy(logits: Tensor, captions: Tensor | None) -> Tensor:
    """Mean cross entropy of the diagonal of logits (n, n) among its row, without other rows of an equal caption.

    Parameters
    ----------
    captions : (n,) int or None
        Numbers of captions. Token by token equal captions are no negatives, and no further positives: their images
        differ. None leaves all of them in.
    """
    if captions is not None:
        equal = captions[:, None] == captions[None, :]
        equal = equal & ~torch.eye(len(captions), dtype=torch.bool, device=captions.device)
        logits = logits.masked_fill(equal, -torch.inf)
    return nn.functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (..., t) over the True places of a mask that broadcasts; 0 where there is none."""
    kept = mask.to(values.dtype)
    return (values * kept).sum(dim=-1) / kept.sum(dim=-1).clamp(min=1)
