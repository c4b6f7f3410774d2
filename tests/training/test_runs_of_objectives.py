"""Runs of every objective: two processes take the way of one, and a stopped run ends in the bytes of a whole one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from run_logs import log_lines
from small_recipes import write_recipe

from stitchkit.training import loop
from stitchkit.training.checkpoints import read_state
from stitchkit.training.loop import train
from stitchkit.training.objectives import OBJECTIVES

pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
HERE = Path(__file__).parent
SEPARATE = {"shared": "none"}
NETWORKS = {"lit": SEPARATE, "partial_freezing": SEPARATE}  # objectives that need separate towers
SETTINGS = {"declip": {"queue": 40}}  # of which the oldest entries are replaced from the third batch on
SCALE_ALONE = ("lit", "partial_freezing", "cyclip", "filip", "gloria", "sparc")  # have the state that CLIP's has
TRAINING = {"batch": 17, "chunk": 4}  # shares of nine rows and eight, in three chunks and two
STEPS = 6


@pytest.fixture(scope="module")
def recipes(films, tmp_path_factory):
    """A folder with a recipe of each objective."""
    folder = tmp_path_factory.mktemp("recipes")
    for name in OBJECTIVES:
        write_recipe(
            folder / f"{name}.toml", films, network=NETWORKS.get(name, {}),
            objective={"name": name, **SETTINGS.get(name, {})}, training=TRAINING,
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def whole(recipes):
    """A function of an objective's name: the folder of its run on one process, which is made once."""

    def run(name):
        out = recipes / "one" / name
        if not out.exists():
            train(recipes / f"{name}.toml", out, device="cpu", progress=False)
        return out

    return run


def losses(out):
    return [line["loss"] for line in log_lines(out / "run") if "loss" in line]


def tensors(state, path=""):
    """All tensors of a state by the path of their keys."""
    pairs = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else ()
    found = {path: state} if torch.is_tensor(state) else {}
    for key, value in pairs:
        found |= tensors(value, f"{path}.{key}")
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SCALE_ALONE else []) for name in OBJECTIVES]
)
def test_a_run_that_is_stopped_ends_in_the_same_bytes(recipes, whole, tmp_path, name):
    """In the middle of an epoch: the state is that of the epoch before."""
    step = loop._Run._step

    def stops(self, batch):
        if self.step == 3:
            raise KeyboardInterrupt
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop._Run, "_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train(recipes / f"{name}.toml", tmp_path / "cut", device="cpu", progress=False)
    assert read_state(tmp_path / "cut" / "run")["step"] == 2
    train(recipes / f"{name}.toml", tmp_path / "cut", device="cpu", progress=False)
    assert len(losses(tmp_path / "cut")) == STEPS
    assert losses(tmp_path / "cut") == losses(whole(name))
    weights = [(out / "model.safetensors").read_bytes() for out in (tmp_path / "cut", whole(name))]
    assert weights[0] == weights[1]
    cut, uncut = (tensors(read_state(out / "run")) for out in (tmp_path / "cut", whole(name)))
    assert cut.keys() == uncut.keys()
    assert {key.split(".")[1] for key in cut} == {"network", "objective", "optimizer"}
    assert [key for key in cut if not torch.equal(cut[key], uncut[key])] == []


TWO_PROCESSES = """
import sys, torch
from pathlib import Path
import lightning.fabric
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from stitchkit.training.loop import train

def work(folder, names):
    torch.set_num_threads(1)
    for name in names:
        train(Path(folder, f"{name}.toml"), Path(folder, "two", name), device="cpu", progress=False)

settings = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="test", rdzv_backend="c10d",
                        rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.1, start_method="fork")
elastic_launch(settings, work)(sys.argv[1], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def on_two_processes(recipes):
    """The folder of the runs on two processes, which are launched once and train each objective in turn."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", TWO_PROCESSES, recipes, *OBJECTIVES]
    done = subprocess.run(line, env=env, cwd=HERE.parents[1], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return recipes / "two"


def comparable(state):
    """A state without the biases of attention's keys.

    They add one number to all logits of a query, so that their gradient is 0 but for rounding, which Adam scales up.
    """
    thirds = {key: value.chunk(3) for key, value in state.items() if key.endswith("qkv.bias")}
    return {**state, **{key: torch.cat([query, value]) for key, (query, _, value) in thirds.items()}}


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_processes_take_the_same_way_as_one(on_two_processes, whole, name):
    one, two = whole(name), on_two_processes / name
    assert len(losses(two)) == STEPS
    np.testing.assert_allclose(losses(two), losses(one), atol=2e-6, rtol=1e-6)
    states = [read_state(out / "run") for out in (one, two)]
    assert [state["world"] for state in states] == [1, 2]
    ones, twos = (comparable({**state["network"], **state["objective"]}) for state in states)
    apart = torch.cat([(value.double() - twos[key].double()).abs().flatten() for key, value in ones.items()])
    print(f"\n{name:17} losses apart {np.max(np.abs(np.subtract(losses(one), losses(two)))):.1e}, weights at most "
          f"{apart.max():.1e}, {int((apart > 1e-5).sum())} of {len(apart)} above 1e-5", end="")  # fmt: skip
    # one step is 2e-3: Adam scales up what rounding leaves of gradients near 0, of a few words
    assert apart.max() < 1e-4
    assert (apart > 1e-5).double().mean() < 1e-3
