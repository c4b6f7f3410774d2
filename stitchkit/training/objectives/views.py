"""Random views of images and of texts, drawn for each row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stitchkit.encoders.pair_network import TOKEN_IDS, Batch, TextInput
from stitchkit.training.objectives.draws import RowDraws

SMALLEST, JITTER = 0.5, 0.4  # least share of an image's area in a view; largest change of contrast and brightness
EDITED = 0.1  # edits of a text as a share of its words: as EDA recommends


def image_view(images: Tensor, draws: RowDraws, purpose: str, flip: bool) -> Tensor:
    """A random part of each image (m, c, h, w) at full size, its contrast and brightness changed.

    The part has half of the area or more. Brightness is changed in standard deviations, as images are normalised.
    """
    drawn = torch.from_numpy(draws.uniform(purpose, 6)).to(images)
    scale = (SMALLEST + (1 - SMALLEST) * drawn[:, 0]).sqrt()
    across, down = ((1 - scale) * (2 * drawn[:, i] - 1) for i in (1, 2))
    sign = torch.where(drawn[:, 3] < 0.5, -1.0, 1.0).to(images) if flip else torch.ones_like(scale)
    none = torch.zeros_like(scale)
    affine = torch.stack([scale * sign, none, across, none, scale, down], dim=1).view(-1, 2, 3)
    grid = nn.functional.affine_grid(affine, list(images.shape), align_corners=False)
    part = nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    contrast, brightness = (1 + JITTER * (2 * drawn[:, 4] - 1), JITTER * (2 * drawn[:, 5] - 1))
    return part * contrast[:, None, None, None] + brightness[:, None, None, None]


def text_view(batch: Batch, mask: Tensor, draws: RowDraws, inputs: TextInput) -> Batch:
    """Texts of which half lose some words, and in the other half some pairs of words change places.

    The number of either is a tenth of the text's words, at least 1. A text of one word stays as it is. What is lost
    stands behind the end, where an attention mask is 0.

    Parameters
    ----------
    batch, mask : (m, t)
        Texts, and the places of words: neither special nor padding.

    References
    ----------
    Deletion and swap of EDA: Wei and Zou, EMNLP 2019.
    """
    drawn = torch.from_numpy(draws.uniform("edited words", inputs.context)[:, : mask.shape[1]]).to(mask.device)
    deleting = torch.from_numpy(draws.uniform("edit")).to(mask.device)[:, None] < 0.5
    words = mask.sum(dim=1, keepdim=True)
    edits = (EDITED * words).round().long().clamp(min=1)
    order = drawn.masked_fill(~mask, 2).argsort(dim=1, stable=True)  # words at random, then all else
    rank = torch.arange(mask.shape[1], device=mask.device).expand_as(order)
    partner = torch.where(rank < 2 * edits.minimum(words // 2), rank ^ 1, rank)
    swapped = rank.scatter(1, order, order.gather(1, partner))  # where the word of each place stood before
    lost = torch.zeros_like(mask).scatter(1, order, rank < edits.minimum(words - 1))
    rest = lost.int().argsort(dim=1, stable=True)
    before = torch.where(deleting, rest, swapped)
    if isinstance(batch, Tensor):
        return batch.gather(1, before)
    behind = deleting & (rank >= (~lost).sum(dim=1, keepdim=True))
    return {name: one.gather(1, before).masked_fill(behind & (name != TOKEN_IDS), 0) for name, one in batch.items()}
