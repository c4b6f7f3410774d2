"""Parts that losses over tokens share: outputs of one length, similarities in tiles, cross entropy among captions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from stitchkit.encoders.pair_network import Batch, PairNetwork

TILE = 8 * 2**20  # bytes of token similarities in a tile on a CPU: what its caches hold
GPU_TILE = 64 * 2**20  # on a GPU, where each tile costs some tens of kernel launches


def token_outputs(network: PairNetwork, modality: str, inputs: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Pooled vectors (m, d), tokens (m, t, d) padded to the longest that the modality has, and their mask (m, t)."""
    features = network(modality, inputs)
    room = network.longest(modality) - features.tokens.shape[1]
    tokens = nn.functional.pad(features.tokens.float(), (0, 0, 0, room))
    return features.pooled.float(), tokens, nn.functional.pad(features.mask, (0, room))


def by_tiles(
    similarity: Callable[..., tuple[Tensor, ...]], first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
) -> tuple[Tensor, ...]:
    """Similarities (n, m) of all items of two modalities, in tiles of some first and some second items.

    What is larger, an entry for each pair of tokens, is made for one tile and made again in the backward pass: memory
    does not grow with the square of the batch.

    Parameters
    ----------
    similarity
        Tokens (r, p, d) and mask (r, p) of some first items, tokens (c, t, d) and mask (c, t) of some second ones ->
        matrices (r, c). Gradients are those of the tokens alone.
    first, second
        Tokens and mask of each modality.
    """
    (n, p), (m, t) = first[1].shape, second[1].shape
    tile = TILE if first[0].device.type == "cpu" else GPU_TILE
    pairs = tile // max(first[0].element_size() * p * t, 1)  # of items, in a tile
    if pairs >= n * m:
        return similarity(*first, *second)
    columns = min(max(pairs, 1), m)
    rows = max(pairs // columns, 1)
    tiles = [(slice(i, i + rows), slice(j, j + columns)) for i in range(0, n, rows) for j in range(0, m, columns)]
    return cast(tuple[Tensor, ...], _Tiles.apply(similarity, tiles, *first, *second))


class _Tiles(torch.autograd.Function):
    """Matrices that are filled tile by tile, and gradients that are added up tile by tile in one place.

    Checkpoints of single tiles would each hand a gradient of all tokens of a modality to autograd.
    """

    @staticmethod
    def forward(
        ctx: Any, similarity: Callable[..., tuple[Tensor, ...]], tiles: list[tuple[slice, slice]],
        x: Tensor, mask: Tensor, y: Tensor, other: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        ctx.similarity, ctx.tiles = similarity, tiles
        ctx.save_for_backward(x, mask, y, other)
        matrices: tuple[Tensor, ...] = ()
        for i, j in tiles:
            parts = similarity(x[i], mask[i], y[j], other[j])
            matrices = matrices or tuple(part.new_empty(len(x), len(y)) for part in parts)
            for matrix, part in zip(matrices, parts, strict=True):
                matrix[i, j] = part
        return matrices

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x, mask, y, other = ctx.saved_tensors
        dx, dy = torch.zeros_like(x), torch.zeros_like(y)
        for i, j in ctx.tiles:
            one, two = x[i].detach().requires_grad_(), y[j].detach().requires_grad_()
            with torch.enable_grad():
                parts = ctx.similarity(one, mask[i], two, other[j])
            first, second = torch.autograd.grad(parts, (one, two), [slope[i, j] for slope in slopes])
            dx[i] += first
            dy[j] += second
        return None, None, dx, None, dy, None


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
