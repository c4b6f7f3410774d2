"""CLIP's objective: the loss by its literal formula, the learnt scale, and the data that it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stitchkit.core.errors import InputError
from stitchkit.encoders.shared.network import SharedShape
from stitchkit.training.objectives.clip import MAX_LOG_SCALE, Clip, ClipSettings, contrastive_loss


def clip(log_scale=None, **settings):
    objective = Clip(ClipSettings(**settings), SharedShape())
    if log_scale is not None:
        torch.nn.init.constant_(objective.log_scale, log_scale)
    return objective


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
    loss = contrastive_loss(left, right, torch.tensor(log_scale, dtype=torch.float64), torch.tensor(list(same)))
    assert float(loss) == pytest.approx(literal(left.numpy(), right.numpy(), log_scale, list(same)), abs=1e-12)


def test_without_numbers_each_pair_has_itself_alone():
    left, right = vectors()
    scale = torch.tensor(1.0, dtype=torch.float64)
    torch.testing.assert_close(contrastive_loss(left, right, scale),
                               contrastive_loss(left, right, scale, torch.arange(7)))  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 2.0, MAX_LOG_SCALE])
def test_the_scale_has_the_gradient_of_finite_differences_at_its_ends_too(value, dtype):
    left, right = vectors()
    log_scale = torch.nn.Parameter(torch.tensor(value, dtype=dtype))
    contrastive_loss(left.to(dtype), right.to(dtype), log_scale).backward()
    ahead, behind = (float(contrastive_loss(left, right, torch.tensor(value + step, dtype=torch.float64)))
                     for step in (1e-6, -1e-6))  # fmt: skip
    assert float(log_scale.grad) == pytest.approx((ahead - behind) / 2e-6, rel=1e-3)
    assert log_scale.grad != 0


@pytest.mark.parametrize(("matched", "start", "inwards"), [(False, MAX_LOG_SCALE, -1), (True, 0.0, 1)])
def test_a_scale_at_an_end_moves_back_and_one_pushed_outwards_stays(matched, start, inwards):
    left, right = vectors()
    right = left if matched else -left  # right pairs want a larger scale, wrong ones a smaller
    for sign, moves in ((1, True), (-1, False)):
        objective = clip(start)
        optimizer = torch.optim.AdamW(objective.parameters(), lr=0.1, weight_decay=0)
        for _ in range(3):
            optimizer.zero_grad()
            (sign * contrastive_loss(left.float(), right.float(), objective.log_scale)).backward()
            optimizer.step()
            objective.constrain()
        value = float(objective.log_scale.detach())
        assert (inwards * (value - start) > 0.1) == moves
        assert 0 <= value <= MAX_LOG_SCALE + 1e-6


@pytest.mark.parametrize(
    ("value", "kept"),
    [(7.0, MAX_LOG_SCALE), (-1.0, 0.0), (1.5, 1.5), (MAX_LOG_SCALE, MAX_LOG_SCALE), (float("inf"), MAX_LOG_SCALE)],
)
def test_a_scale_beyond_its_range_is_put_back_to_its_end(value, kept):
    objective = clip(value).double()
    objective.constrain()
    assert float(objective.log_scale.detach()) == pytest.approx(kept, rel=1e-7)
    assert objective.log_values()["scale"] == pytest.approx(math.exp(kept))


def test_the_scale_starts_at_the_temperature_of_the_settings():
    assert clip().log_values()["scale"] == pytest.approx(1 / 0.07)
    assert clip(temperature=0.5).log_values()["scale"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ({"image": [True] * 3}, "contrasts two modalities, and the data have 1: image"),
        ({"image": [True], "text": [True], "ecg": [True]}, "the data have 3: image, text, ecg"),
        ({"image": [True, True, True], "text": [True, False, False]}, "2 pairs have no 'text'"),
    ],
)
def test_anything_but_whole_pairs_of_two_modalities_is_refused(present, message):
    with pytest.raises(InputError, match=message):
        clip().check({name: np.asarray(rows) for name, rows in present.items()})
    clip().check({"findings": np.ones(3, dtype=bool), "impression": np.ones(3, dtype=bool)})
