"""The seam for further objectives: a loss over tokens with a head of its own runs in the loop as it stands."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from run_logs import log_lines
from torch import nn

from stitchkit.training import loop, objectives
from stitchkit.training.checkpoints import read_state
from stitchkit.training.frozen_parts import FrozenParts
from stitchkit.training.loop import train
from stitchkit.training.objectives import ObjectiveSettings
from stitchkit.training.objectives.objective import Objective
from stitchkit.training.outcomes import TrainingError

pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
HERE = Path(__file__).parent
LONGEST = 24  # tokens of a text, and more than those of an image


class FineSettings(ObjectiveSettings, frozen=True, kw_only=True):
    name: str = "fine"
    weight: float = 0.5


class Fine(Objective):
    """Each token's nearest token of the other modality, in the space of a head; as in FILIP."""

    Settings = FineSettings

    def __init__(self, settings, shape):
        super().__init__(settings, shape)
        self.weight = settings.weight
        self.head = nn.Linear(shape.dim, 8)

    def outputs(self, network, modality, inputs, draws):
        features = network(modality, inputs)
        room = LONGEST - features.tokens.shape[1]
        tokens = nn.functional.pad(features.tokens.float(), (0, 0, 0, room))
        return features.pooled.float(), tokens, nn.functional.pad(features.mask, (0, room))

    def loss(self, outputs, facts):
        (first, tokens, mask), (second, other_tokens, other_mask) = outputs.values()
        near = torch.einsum("itd,jsd->ijts", self.head(tokens), self.head(other_tokens))
        both = mask[:, None, :, None] & other_mask[None, :, None, :]
        fine = near.masked_fill(~both, -10).amax(dim=3).mean(dim=2)
        rows = torch.arange(len(first), device=first.device)
        assert facts.captions.shape == rows.shape
        assert all(present.all() for present in facts.present.values())
        assert list(facts.present) == list(outputs)
        losses = [nn.functional.cross_entropy(logits, rows) for logits in (first @ second.T, fine)]
        return losses[0] + self.weight * losses[1]


@pytest.fixture
def fine(recipe, monkeypatch):
    """A recipe that names the objective, as if it stood in the table."""
    monkeypatch.setitem(objectives.OBJECTIVES, "fine", f"{__name__}:Fine")
    return recipe(objective={"name": "fine", "weight": 0.25}, training={"chunk": 5})


def losses(out):
    return [line["loss"] for line in log_lines(out / "run") if "loss" in line]


def test_tokens_masks_and_a_head_need_no_change_of_the_loop(fine, recipe, tmp_path):
    """Chunks that cut batches otherwise take the same way, and the head is learnt."""
    train(fine, tmp_path / "chunks", device="cpu", progress=False)
    whole = recipe(objective={"name": "fine", "weight": 0.25})
    train(whole, tmp_path / "whole", device="cpu", progress=False)
    np.testing.assert_allclose(losses(tmp_path / "chunks"), losses(tmp_path / "whole"), atol=2e-5)
    state = read_state(tmp_path / "chunks" / "run")
    assert set(state["objective"]) == {"head.weight", "head.bias"}
    names = [name for group in state["optimizer"]["param_groups"] for name in group["param_names"]]
    at = [names.index(f"objective.head.{one}") for one in ("weight", "bias")]
    assert all(state["optimizer"]["state"][place]["exp_avg"].abs().sum() > 0 for place in at)
    assert "scale" not in log_lines(tmp_path / "chunks" / "run")[0]


def test_a_run_with_a_head_that_is_stopped_goes_on_the_same_way(fine, tmp_path, monkeypatch):
    train(fine, tmp_path / "whole", device="cpu", progress=False)
    step = loop._Run._step

    def stops(self, batch):
        if self.step == 7:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(loop._Run, "_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train(fine, tmp_path / "cut", device="cpu", progress=False)
    train(fine, tmp_path / "cut", device="cpu", progress=False)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    states = [read_state(tmp_path / one / "run")["objective"] for one in ("whole", "cut")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class HalfStill(Fine):
    """The same with the image's stem and the first shared block as they were; it may spoil one of them."""

    Settings = FineSettings

    def frozen_parts(self, network):
        return ["stems.image", "shared.0"]


class Careless(HalfStill):
    def loss(self, outputs, facts):
        with torch.no_grad():
            self.network.stems["image"].norm.weight.add_(1e-4)
        return super().loss(outputs, facts)

    def outputs(self, network, modality, inputs, draws):
        object.__setattr__(self, "network", network)
        return super().outputs(network, modality, inputs, draws)


def test_frozen_parts_stay_to_the_byte_and_the_rest_is_trained(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(objectives.OBJECTIVES, "fine", f"{__name__}:HalfStill")
    path = recipe(objective={"name": "fine"}, training={"chunk": 5})
    start = {}
    original = loop._Run.go
    monkeypatch.setattr(
        loop._Run, "go", lambda self: (start.update(copy.deepcopy(self.network.state_dict())), original(self))[1]
    )
    train(path, tmp_path / "run", device="cpu", progress=False)
    state = read_state(tmp_path / "run" / "run")
    moved = {name for name, value in state["network"].items() if not torch.equal(value, start[name])}
    still = [name for name in start if name.startswith(("stems.image.", "shared.0."))]
    assert len(still) > 8
    assert moved.isdisjoint(still)
    assert moved == set(start) - set(still)
    names = [name for group in state["optimizer"]["param_groups"] for name in group["param_names"]]
    assert not any(name.removeprefix("network.") in still for name in names)


def test_a_frozen_part_that_changed_is_refused_after_the_run(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(objectives.OBJECTIVES, "fine", f"{__name__}:Careless")
    with pytest.raises(TrainingError, match=r"should have stayed as they were \(stems\.image"):
        train(recipe(objective={"name": "fine"}), tmp_path / "run", device="cpu", progress=False)


def test_frozen_modules_are_in_evaluation_mode_while_others_train():
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5)), nn.Linear(3, 2))
    parts = FrozenParts.of(network, ["1", "2.bias"])
    assert [one.training for one in (network, network[0], network[1], network[1][0], network[1][1], network[2])] == [
        True, True, False, False, False, True,
    ]  # fmt: skip
    network(torch.randn(5, 3))
    parts.check()
    assert not network[2].bias.requires_grad
    network.train()  # as a careless caller would
    network(torch.randn(5, 3))
    with pytest.raises(TrainingError, match="2 parts of the network"):
        parts.check()


TWO_PROCESSES = """
import sys, torch
import lightning.fabric
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from stitchkit.training.loop import train
from stitchkit.training.objectives import OBJECTIVES
import test_new_objective

OBJECTIVES["fine"] = "test_new_objective:Fine"

def work(path, out):
    torch.set_num_threads(1)
    train(path, out, device="cpu", progress=False)

settings = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="test", rdzv_backend="c10d",
                        rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.1, start_method="fork")
elastic_launch(settings, work)(sys.argv[1], sys.argv[2])
"""


@pytest.mark.slow
def test_two_processes_take_the_same_way_with_tokens_and_a_head(fine, tmp_path):
    path = os.pathsep.join(map(str, (HERE.parents[1], HERE.parent, HERE)))
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", TWO_PROCESSES, fine, tmp_path / "two"]
    done = subprocess.run(line, env=env, cwd=HERE.parents[1], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    train(fine, tmp_path / "one", device="cpu", progress=False)
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), atol=1e-6)
    states = [read_state(tmp_path / one / "run")["objective"] for one in ("one", "two")]
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name], atol=1e-5, rtol=0)
