"""Laws of every objective in the table: settings, gradients, chunks and states."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from stitchkit.core.errors import UnknownNameError
from stitchkit.encoders.pair_network import ImageInput, TextInput
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
from stitchkit.training.gradient_cache import cached_backward
from stitchkit.training.objectives import OBJECTIVES, objective_type
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import BatchFacts, Objective
from stitchkit.training.processes import with_others
from stitchkit.training.recipes import read_recipe

SHAPE = SharedShape(
    width=16, layers=1, heads=2, dim=8, size=2, inputs={"image": ImageInput(16, 8, 1), "text": TextInput(8, 50, 49)}
)
SEPARATE = replace(SHAPE, shared=())
TOWERS = {"lit": SEPARATE, "partial_freezing": SEPARATE}  # objectives that need separate towers
ROWS = 6
FACTS = BatchFacts(
    torch.tensor([0, 1, 2, 0, 3, 4]), {name: torch.ones(ROWS, dtype=torch.bool) for name in SHAPE.inputs}
)


@pytest.fixture(params=OBJECTIVES)
def name(request):
    return request.param


@pytest.fixture
def trained(name):
    """A network in double precision, the objective, and inputs of both modalities."""
    torch.manual_seed(0)
    shape = TOWERS.get(name, SHAPE)
    network = SharedNetwork(shape).double()
    kind = objective_type(name)
    ids = torch.randint(1, 48, (ROWS, 8))
    ids[:, -1] = 49
    return network, kind(kind.Settings(), shape).double(), {"image": torch.randn(ROWS, 1, 16, 16).double(), "text": ids}


def outputs_of(network, objective, inputs, rows):
    draws = RowDraws(0, 0, np.arange(ROWS)[rows])
    return {one: tuple(tensor.double() if tensor.is_floating_point() else tensor
                       for tensor in objective.outputs(network, one, batch[rows], draws))
            for one, batch in inputs.items()}  # fmt: skip


def backward(network, objective, inputs, sizes):
    starts = np.cumsum([0, *sizes])

    def forward(chunk):
        return outputs_of(network, objective, inputs, slice(starts[chunk], starts[chunk + 1]))

    return cached_backward(forward, len(sizes), lambda outputs: objective.loss(outputs, FACTS))


def test_the_settings_carry_the_name_in_the_table_and_refuse_other_keys(name):
    settings = objective_type(name).Settings
    assert settings().name == name
    assert msgspec.convert({"name": name}, settings) == settings()
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"no such setting": 1}, settings)


def test_whole_pairs_are_taken_and_the_loss_reaches_every_parameter(trained):
    network, objective, inputs = trained
    objective.check({one: np.ones(ROWS, dtype=bool) for one in inputs})
    loss = backward(network, objective, inputs, [ROWS])
    assert loss.shape == ()
    assert torch.isfinite(loss)
    for one, parameter in [*network.named_parameters(), *objective.named_parameters()]:
        assert parameter.grad is not None, one
        assert parameter.grad.abs().sum() > 0, one


def test_chunks_give_the_gradient_of_the_whole_batch(trained):
    """To single precision, in which outputs are."""
    network, objective, inputs = trained
    others = copy.deepcopy((network, objective))
    torch.testing.assert_close(
        backward(network, objective, inputs, [ROWS]), backward(*others, inputs, [2, 3, 1]), atol=1e-6, rtol=1e-6
    )
    for module, other in zip((network, objective), others, strict=True):
        for (one, left), right in zip(module.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(left.grad, right.grad, atol=1e-5, rtol=1e-4, msg=one)


@dataclass(frozen=True)
class Process:
    """One of several processes, as far as they exchange outputs: those of all are at hand."""

    global_rank: int
    world_size: int
    exchanged: Iterator[torch.Tensor]

    def all_gather(self, padded):
        gathered = next(self.exchanged)
        assert torch.equal(gathered[self.global_rank], padded)
        return gathered


def test_processes_add_up_to_the_gradient_of_the_whole_batch(trained):
    """Of the network; the objective's own is whole on each, as each has the loss of all rows."""
    network, objective, inputs = trained
    shares, rows = (4, 2), (slice(0, 4), slice(4, 6))
    copies = [copy.deepcopy((network, objective)) for _ in shares]
    own = [outputs_of(*modules, inputs, some) for modules, some in zip(copies, rows, strict=True)]
    whole = backward(network, objective, inputs, [ROWS])
    for rank, (_, learnt) in enumerate(copies):
        same = zip(*([tensor for some in one.values() for tensor in some] for one in own), strict=True)
        padded = (pad_sequence([tensor.detach() for tensor in tensors], batch_first=True) for tensors in same)
        process = Process(rank, len(shares), padded)
        every = {one: tuple(with_others(tensor, shares, process) for tensor in some) for one, some in own[rank].items()}
        loss = learnt.loss(every, FACTS)
        loss.backward()
        torch.testing.assert_close(loss, whole, atol=1e-6, rtol=1e-6)
        for (one, parameter), other in zip(objective.named_parameters(), learnt.parameters(), strict=True):
            torch.testing.assert_close(other.grad, parameter.grad, atol=1e-5, rtol=1e-4, msg=one)
    for (one, parameter), *parts in zip(
        network.named_parameters(), *(part.parameters() for part, _ in copies), strict=True
    ):
        torch.testing.assert_close(sum(part.grad for part in parts), parameter.grad, atol=1e-5, rtol=1e-4, msg=one)


def test_the_first_output_of_a_modality_are_pooled_vectors(trained):
    network, objective, inputs = trained
    for one, batch in inputs.items():
        vectors = objective.outputs(network, one, batch, RowDraws(0, 0, np.arange(ROWS)))[0]
        assert (vectors.shape, vectors.dtype) == ((ROWS, SHAPE.dim), torch.float32)


def test_a_state_is_taken_up_and_constraints_hold_after_a_second_time(name, trained):
    _, objective, _ = trained
    for parameter in objective.parameters():
        torch.nn.init.constant_(parameter, 50.0)
    objective.constrain()
    state = copy.deepcopy(objective.state_dict())
    objective.constrain()
    again = objective_type(name)(type(objective).Settings(), TOWERS.get(name, SHAPE)).double()
    again.load_state_dict(state)
    for one, value in objective.state_dict().items():
        assert torch.equal(value, state[one])
        assert torch.equal(value, again.state_dict()[one])
    assert all(np.isfinite(list(objective.log_values().values())))


def test_every_objective_has_a_recipe_of_its_defaults(name):
    recipe = read_recipe(Path(__file__).parents[3] / f"examples/recipes/objectives/{name}.toml")
    assert recipe.objective == objective_type(name).Settings()
    assert (recipe.towers is not None) == (name in TOWERS)  # what freezes layers begins with pretrained ones


def test_a_new_objective_needs_a_loss():
    with pytest.raises(TypeError, match="abstract"):
        type("NoLoss", (Objective,), {"__init__": lambda self: None})()


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'clap'.*clip"):
        objective_type("clap")
