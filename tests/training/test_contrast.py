"""The contrastive loss by its literal formula, and the exact gradient of a batch in chunks."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from stitchkit.training.contrast import MOST, cached_backward, contrastive_loss, keep_in_range


def vectors(n=7, d=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=rng, dtype=torch.float64) for _ in range(2)]


def literal(left, right, log_scale, same):
    """Row by row, both ways; targets even among pairs of one number."""
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (left, right)]
    near = np.exp(log_scale) * unit[0] @ unit[1].T
    total = 0.0
    for matrix in (near, near.T):
        for i, row in enumerate(matrix):
            chances = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
            positives = np.flatnonzero(np.asarray(same) == same[i])
            total -= np.log(chances[positives]).mean() / len(near)
    return total / 2


@pytest.mark.parametrize("log_scale", [-1.0, 0.5, 2.66, 6.0])
@pytest.mark.parametrize("same", [range(7), [0, 1, 2, 0, 3, 2, 2], [0] * 7])
def test_the_loss_is_the_literal_formula(log_scale, same):
    left, right = vectors()
    found = contrastive_loss(left, right, torch.tensor(log_scale, dtype=torch.float64), torch.tensor(list(same)))
    assert float(found) == pytest.approx(literal(left.numpy(), right.numpy(), log_scale, list(same)), abs=1e-12)


def test_without_numbers_each_pair_has_itself_alone():
    left, right = vectors()
    scale = torch.tensor(1.0, dtype=torch.float64)
    torch.testing.assert_close(contrastive_loss(left, right, scale),
                               contrastive_loss(left, right, scale, torch.arange(7)))  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 2.0, MOST])
def test_the_scale_has_the_gradient_of_finite_differences_at_its_ends_too(value, dtype):
    left, right = vectors()
    log_scale = torch.nn.Parameter(torch.tensor(value, dtype=dtype))
    contrastive_loss(left.to(dtype), right.to(dtype), log_scale).backward()
    ahead, behind = (float(contrastive_loss(left, right, torch.tensor(value + step, dtype=torch.float64)))
                     for step in (1e-6, -1e-6))  # fmt: skip
    assert float(log_scale.grad) == pytest.approx((ahead - behind) / 2e-6, rel=1e-3)
    assert log_scale.grad != 0


@pytest.mark.parametrize(("matched", "start", "inwards"), [(False, MOST, -1), (True, 0.0, 1)])
def test_a_scale_at_an_end_moves_back_and_one_pushed_outwards_stays(matched, start, inwards):
    left, right = vectors()
    right = left if matched else -left  # right pairs want a larger scale, wrong ones a smaller
    for sign, moves in ((1, True), (-1, False)):
        log_scale = torch.nn.Parameter(torch.tensor(start))
        optimizer = torch.optim.AdamW([log_scale], lr=0.1, weight_decay=0)
        for _ in range(3):
            optimizer.zero_grad()
            (sign * contrastive_loss(left.float(), right.float(), log_scale)).backward()
            optimizer.step()
            keep_in_range(log_scale)
        assert (inwards * (float(log_scale.detach()) - start) > 0.1) == moves
        assert 0 <= float(log_scale.detach()) <= MOST + 1e-6


@pytest.mark.parametrize(("value", "kept"), [(7.0, MOST), (-1.0, 0.0), (1.5, 1.5), (MOST, MOST), (float("inf"), MOST)])
def test_a_scale_beyond_its_range_is_put_back_to_its_end(value, kept):
    log_scale = torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))
    keep_in_range(log_scale)
    assert float(log_scale.detach()) == kept


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
        return chunked.left(x[rows]), chunked.right(y[rows])

    found = cached_backward(forward, len(sizes), lambda a, b: contrastive_loss(a, b, chunked.log_scale, numbers))
    torch.testing.assert_close(found, expected.detach(), atol=1e-12, rtol=0)
    for (name, one), two in zip(whole.named_parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, atol=1e-12, rtol=1e-10, msg=name)
    assert len(calls) == (1 if len(sizes) == 1 else 2 * len(sizes))
