"""The exact gradient of a batch in chunks."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from stitchkit.training.gradient_cache import cached_backward
from stitchkit.training.objectives.clip import contrastive_loss


class Towers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 6)).double()
        self.right = torch.nn.Linear(3, 6).double()
        self.log_scale = torch.nn.Parameter(torch.tensor(1.3, dtype=torch.float64))


@pytest.mark.parametrize("sizes", [[12], [4, 4, 4], [5, 5, 2], [1] * 12])
@pytest.mark.parametrize("same", [None, [0, 1, 2, 3, 4, 0, 5, 6, 1, 1, 7, 8]])
def test_chunks_give_the_loss_and_the_gradient_of_the_whole_batch(sizes, same):
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(12, 4, generator=rng).double(), torch.randn(12, 3, generator=rng).double()
    numbers = None if same is None else torch.tensor(same)
    whole = Towers()
    chunked = copy.deepcopy(whole)
    expected = contrastive_loss(whole.left(x), whole.right(y), whole.log_scale, numbers)
    expected.backward()
    starts = np.cumsum([0, *sizes])
    calls = []

    def forward(i):
        calls.append(i)
        rows = slice(starts[i], starts[i + 1])
        return {"left": (chunked.left(x[rows]),), "right": (chunked.right(y[rows]), y[rows, 0] > 0)}

    def loss_of(outputs):
        (left,), (right, mask) = outputs["left"], outputs["right"]
        assert torch.equal(mask, y[:, 0] > 0)
        return contrastive_loss(left, right, chunked.log_scale, numbers)

    loss = cached_backward(forward, len(sizes), loss_of)
    torch.testing.assert_close(loss, expected.detach(), atol=1e-12, rtol=0)
    for (name, one), two in zip(whole.named_parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, atol=1e-12, rtol=1e-10, msg=name)
    assert len(calls) == (1 if len(sizes) == 1 else 2 * len(sizes))


def test_a_frozen_modality_takes_no_gradient_back():
    network = Towers()
    network.right.requires_grad_(False)
    x, y = torch.randn(6, 4).double(), torch.randn(6, 3).double()

    def forward(i):
        rows = slice(3 * i, 3 * i + 3)
        return {"left": (network.left(x[rows]),), "right": (network.right(y[rows]),)}

    cached_backward(forward, 2, lambda all: contrastive_loss(*all["left"], *all["right"], network.log_scale))
    chunked = network.left[0].weight.grad.clone()
    network.zero_grad()
    contrastive_loss(network.left(x), network.right(y), network.log_scale).backward()
    torch.testing.assert_close(network.left[0].weight.grad, chunked)
    assert network.right.weight.grad is None
