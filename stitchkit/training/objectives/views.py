"""Random views of images and of texts, drawn for each row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stitchkit.encoders.pair_network import TextInput
from stitchkit.training.objectives.draws import RowDraws

SMALLEST, JITTER = 0.5, 0.4  # least share of an image's area in a view; largest change of contrast and brightness
EDITED = 0.1  # share of a text's words that a view deletes or moves: as EDA recommends
PADDING = 0


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


def text_view(ids: Tensor, mask: Tensor, draws: RowDraws, inputs: TextInput) -> Tensor:
    """Texts (m, t) of which half lose some words, and the other half have some words change places with each other.

    Each word is chosen with a chance of :data:`EDITED`. A text keeps at least one word, and its special tokens.

    Parameters
    ----------
    ids : (m, t), mask : (m, t)
        Tokens of the texts, and the places of words: neither special nor padding.

    References
    ----------
    Deletion and swap of EDA: Wei and Zou, EMNLP 2019.
    """
    drawn = torch.from_numpy(draws.uniform("edited words", 2, inputs.context)[:, :, : ids.shape[1]]).to(ids.device)
    deleting = torch.from_numpy(draws.uniform("edit")).to(ids.device)[:, None] < 0.5
    chosen = mask & (drawn[:, 0] < EDITED)
    chosen = chosen & ~(deleting & (chosen.sum(dim=1) == mask.sum(dim=1))[:, None])
    # chosen places come first, in order and at random; the others follow, in order both times
    places = (~chosen).int().argsort(dim=1, stable=True)
    others = drawn[:, 1].masked_fill(~chosen, 1).argsort(dim=1, stable=True)
    swapped = ids.scatter(1, places, ids.gather(1, others))
    rest = ids.gather(1, chosen.int().argsort(dim=1, stable=True))
    kept = torch.arange(ids.shape[1], device=ids.device) < (~chosen).sum(dim=1, keepdim=True)
    return torch.where(deleting, rest.masked_fill(~kept, PADDING), swapped)
