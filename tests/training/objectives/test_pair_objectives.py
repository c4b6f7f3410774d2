"""Objectives over pooled vectors: losses by their literal formulas, frozen layers, and settings that cannot be."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from stitchkit.core.errors import InputError
from stitchkit.encoders.pair_network import ImageInput, TextInput
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
from stitchkit.training.objectives.clip import contrastive_loss
from stitchkit.training.objectives.cyclip import Cyclip, CyclipSettings, inconsistencies
from stitchkit.training.objectives.lit import Lit, LitSettings
from stitchkit.training.objectives.objective import BatchFacts
from stitchkit.training.objectives.partial_freezing import PartialFreezing, PartialFreezingSettings, chosen_layers
from stitchkit.training.objectives.siglip import Siglip, SiglipSettings, sigmoid_loss

SHAPE = SharedShape(
    width=16, layers=4, heads=2, dim=8, size=2, shared=(),
    inputs={"image": ImageInput(16, 8, 1), "text": TextInput(8, 50, 49)},
)  # fmt: skip


def vectors(n=7, d=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=rng, dtype=torch.float64) for _ in range(2)]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("same", [range(7), [0, 1, 2, 0, 3, 2, 2], [0] * 7])
def test_the_sigmoid_loss_is_the_literal_formula(same):
    left, right = vectors()
    near = 3.0 * unit(left.numpy()) @ unit(right.numpy()).T - 1.5
    total = 0.0
    for i in range(7):
        for j in range(7):
            sign = 1 if list(same)[i] == list(same)[j] else -1
            total -= np.log(1 / (1 + np.exp(-sign * near[i, j]))) / 7
    numbers = torch.tensor(list(same))
    scale, bias = (torch.tensor(one, dtype=torch.float64) for one in (np.log(3.0), -1.5))
    assert float(sigmoid_loss(left, right, scale, bias, numbers)) == pytest.approx(total, abs=1e-12)


def test_siglip_begins_with_ten_and_minus_ten_and_learns_both():
    objective = Siglip(SiglipSettings(), SHAPE)
    assert objective.log_values() == pytest.approx({"scale": 10, "bias": -10})
    left, right = (one.float() for one in vectors())
    facts = BatchFacts(torch.arange(7), {})
    objective.loss({"image": (left,), "text": (right,)}, facts).backward()
    assert objective.log_scale.grad != 0
    assert objective.bias.grad != 0
    alone = Siglip(SiglipSettings(equal_captions=False), SHAPE)
    equal = BatchFacts(torch.zeros(7, dtype=torch.long), {})
    outputs = {"image": (left,), "text": (right,)}
    torch.testing.assert_close(alone.loss(outputs, equal), objective.loss(outputs, facts))


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_the_sigmoid_loss_has_the_gradient_of_finite_differences(value):
    left, right = vectors()
    scale, bias = (torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (value, -2.0))
    assert torch.autograd.gradcheck(sigmoid_loss, (left.requires_grad_(), right.requires_grad_(), scale, bias))


def test_the_consistencies_are_the_literal_formulas():
    left, right = vectors()
    x, y = unit(left.numpy()), unit(right.numpy())
    pairs = [(i, j) for i in range(7) for j in range(7)]
    across = sum((x[i] @ y[j] - x[j] @ y[i]) ** 2 for i, j in pairs) / 7
    inside = sum((x[i] @ x[j] - y[i] @ y[j]) ** 2 for i, j in pairs) / 7
    assert [float(one) for one in inconsistencies(left, right)] == pytest.approx([across, inside], rel=1e-12)
    assert torch.autograd.gradcheck(inconsistencies, (left.requires_grad_(), right.requires_grad_()))
    objective = Cyclip(CyclipSettings(cross=0.5, within=2.0), SHAPE)
    outputs = {"image": (left.detach(),), "text": (right.detach(),)}
    loss = objective.loss(outputs, BatchFacts(torch.arange(7), {}))
    plain = contrastive_loss(left.detach(), right.detach(), objective.log_scale)
    assert float(loss.detach()) == pytest.approx(float(plain.detach()) + 0.5 * across + 2 * inside, rel=1e-5)


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [(0, ()), (2, (0, 1)), (4, (0, 1, 2, 3)), (0.5, (0, 1)), (1.0, (0, 1, 2, 3)), (0.0, ()), ([2, 0], (0, 2))],
)
def test_layers_are_frozen_by_number_share_or_list(layers, chosen):
    assert chosen_layers(layers, 4) == chosen
    settings = msgspec.convert({"image": layers, "text": 1}, PartialFreezingSettings)
    names = PartialFreezing(settings, SHAPE).frozen_parts(SharedNetwork(SHAPE))
    image = [f"own.image.{i}" for i in chosen]
    assert [name for name in names if name.startswith("own.image")] == image
    assert ("stems.image" in names) == (0 in chosen)
    assert {"stems.text", "own.text.0"} <= set(names)
    assert not any(name.startswith(("norms", "projections")) for name in names)


def test_layers_that_are_not_there_or_are_shared_are_refused():
    with pytest.raises(InputError, match="layer 4 is to be frozen; there are 4 layers"):
        PartialFreezing(PartialFreezingSettings(image=5), SHAPE).frozen_parts(SharedNetwork(SHAPE))
    shared = replace(SHAPE, shared=(1, 2))
    halves = PartialFreezing(PartialFreezingSettings(image=2, text=1), shared)
    with pytest.raises(InputError, match="layer 1 is shared by image and text, and is to be frozen for one of them"):
        halves.frozen_parts(SharedNetwork(shared))
    both = PartialFreezing(PartialFreezingSettings(image=2, text=2), shared).frozen_parts(SharedNetwork(shared))
    assert set(both) == {"stems.image", "stems.text", "own.image.0", "own.text.0", "shared.1"}
    for bad in (-1, 1.5, [], "half"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"image": bad}, PartialFreezingSettings)


@pytest.mark.parametrize("projection", [True, False])
def test_the_locked_tower_is_the_whole_first_modality(projection):
    network = SharedNetwork(SHAPE)
    names = Lit(LitSettings(projection=projection), SHAPE).frozen_parts(network)
    within = lambda key: any(key.startswith(f"{name}.") for name in names)  # noqa: E731
    still = {key for key in network.state_dict() if within(key)}
    image = {key for key in network.state_dict() if key.split(".")[1] == "image"}
    assert still == (image - {"projections.image.weight"} if projection else image)
    with pytest.raises(InputError, match="'lit' locks the tower of 'image', and its layers are shared"):
        Lit(LitSettings(), SHAPE).frozen_parts(SharedNetwork(replace(SHAPE, shared=(0,))))
