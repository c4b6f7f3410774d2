"""What a shared encoder is worth on pairs it has not seen: loss, and retrieval among distinct captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stitchkit.metrics.ranks import chance_recall, pair_ranks, pair_ranks_back, recall_at
from stitchkit.training.contrast import contrastive_loss

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from stitchkit.encoders.shared import ImageBatch, TextBatch
    from stitchkit.encoders.shared_network import SharedNetwork
    from stitchkit.training.pairs import TrainingPairs
    from stitchkit.training.recipes import Recipe

PLACES = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Validation:
    """One epoch's.

    Parameters
    ----------
    loss
        Mean over batches of the recipe's size, in the order of the pairs.
    recall
        ``"text@1"``, ... images ask for captions; ``"image@1"``, ... the other way.
    chance
        The same by chance.
    images, captions
        How many there are to be found; captions are distinct.
    """

    epoch: int
    loss: float
    recall: dict[str, float]
    chance: dict[str, float]
    images: int
    captions: int

    @property
    def brief(self) -> str:
        """In one line."""
        return f"validation {self.loss:.4f}, R@1 {self.recall['text@1']:.3f} and {self.recall['image@1']:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {f"valid_{key}" if key != "epoch" else key: value for key, value in asdict(self).items()}

    @classmethod
    def of_dict(cls, plain: Mapping[str, Any]) -> Validation:
        """What :meth:`to_dict` took apart."""
        return cls(**{key.removeprefix("valid_"): value for key, value in plain.items()})

    def __str__(self) -> str:
        lines = [f"validation loss {self.loss:.4f}; {self.images} images, {self.captions} distinct captions"]
        lines += [f"R@{key.partition('@')[2]} of {key.partition('@')[0]}s {value:.3f} (chance {self.chance[key]:.3f})"
                  for key, value in self.recall.items()]  # fmt: skip
        return "\n".join(lines)


def validate(
    network: SharedNetwork, held: TrainingPairs, images: ImageBatch, texts: TextBatch, recipe: Recipe, fabric: Fabric,
    epoch: int,
) -> Validation:  # fmt: skip
    """The network on pairs that were held out; every machine does it all, so that they agree on what is best."""
    left, right = [], []
    network.eval()
    with torch.no_grad(), fabric.autocast():
        for start in range(0, len(held), recipe.chunk):
            rows = slice(start, start + recipe.chunk)
            pixels = images.normalised(np.ascontiguousarray(held.pixels[rows])).to(fabric.device)
            left.append(network("image", pixels).pooled.float())
            right.append(network("text", texts(held.texts[rows]).to(fabric.device)).pooled.float())
    network.train()
    whole = [torch.nn.functional.normalize(torch.cat(side), dim=1) for side in (left, right)]
    losses = []
    with torch.no_grad():
        for start in range(0, len(held), recipe.batch):
            rows = slice(start, start + recipe.batch)
            same = torch.as_tensor(held.same[rows], device=fabric.device) if recipe.equal_captions else None
            if len(whole[0][rows]) > 1:
                losses.append(float(contrastive_loss(whole[0][rows], whole[1][rows], network.log_scale, same)))
    image, text = (side.cpu().double().numpy() for side in whole)
    _, first, truth = np.unique(held.same, return_index=True, return_inverse=True)
    truth = truth.reshape(-1)
    there, back = pair_ranks(image, text[first], truth), pair_ranks_back(image, text[first], truth)
    recall = {f"text@{k}": recall_at(there, k) for k in PLACES} | {f"image@{k}": recall_at(back, k) for k in PLACES}
    n, m = len(held), len(first)
    right_ones = np.bincount(truth)
    chance = {f"text@{k}": min(k / m, 1.0) for k in PLACES}
    chance |= {f"image@{k}": float(chance_recall(k, n, right_ones).mean()) for k in PLACES}
    return Validation(epoch, float(np.mean(losses)), recall, chance, n, m)
