"""Five pairs of small images and texts, a network that reads them, and the contrastive loss written out."""

from __future__ import annotations

import numpy as np
import torch

from stitchkit.encoders.pair_network import ImageInput, TextInput
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import BatchFacts

TEXT = TextInput(12, 60, 49)
SHAPE = SharedShape(width=16, layers=1, heads=2, dim=8, size=2, inputs={"image": ImageInput(16, 8, 1), "text": TEXT})
FACTS = BatchFacts(torch.tensor([0, 1, 2, 0, 3]), {})
N = 5


def texts(lengths=(9, 4, 7, 9, 1), width=12, seed=0):
    """Start, words, end, and noise behind it."""
    ids = torch.randint(50, 60, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    ids[:, 0] = 1
    ids[torch.arange(len(ids)), torch.tensor(lengths) + 1] = 49
    return ids


def content(ids):
    at = torch.arange(ids.shape[1])
    return (at > 0) & (at < (ids == 49).int().argmax(dim=1)[:, None])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def info_nce(left, right, log_scale, same):
    """Both ways, row by row; targets even among pairs of one number."""
    near, total = np.exp(float(log_scale)) * unit(left.numpy()) @ unit(right.numpy()).T, 0.0
    for matrix in (near, near.T):
        for i, row in enumerate(matrix):
            log_chances = row - row.max() - np.log(np.exp(row - row.max()).sum())
            total -= log_chances[np.asarray(same) == same[i]].mean() / len(near) / 2
    return total


def parts(n=N, seed=0, ids=None):
    torch.manual_seed(seed)
    ids = texts() if ids is None else ids
    return SharedNetwork(SHAPE), {"image": torch.randn(n, 1, 16, 16), "text": ids}


def outputs_of(objective, network, inputs, step=0, rows=slice(None)):
    draws = RowDraws(0, step, np.arange(N)[rows])
    return {one: objective.outputs(network, one, batch[rows], draws) for one, batch in inputs.items()}
