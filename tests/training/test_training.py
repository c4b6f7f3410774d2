"""Training a shared encoder: what comes out, what is kept, and that a stopped run goes on as if it had not been."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from run_logs import log_lines

import stitchkit as sk
from stitchkit.core.errors import (
    DataError,
    InputError,
    LeakageError,
    MissingExtraError,
    ModelUnavailableError,
    UnknownNameError,
)
from stitchkit.encoders.clip_pairs import clip_alignment
from stitchkit.storage.atomic_writes import exclusive_lock
from stitchkit.training import loop
from stitchkit.training.checkpoints import read_state, save_state
from stitchkit.training.loop import train
from stitchkit.training.objectives.clip import Clip, contrastive_loss
from stitchkit.training.outcomes import TrainingError

pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
ROOT = Path(__file__).parents[2]
READER = {"table": "manifest.csv", "text": "text", "patient": "patient", "split": "split", "classes": []}


def run(path, out, **more):
    return train(path, out, device="cpu", progress=False, **more)


def losses(out):
    return [line["loss"] for line in log_lines(out / "run") if "loss" in line]


def weights(out):
    return (out / "model.safetensors").read_bytes()


def stopped_at(number, monkeypatch, path, out, device="cpu"):
    """A run that is interrupted after so many steps."""
    step = loop._Run._step

    def stops(self, batch):
        if self.step == number:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(loop._Run, "_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train(path, out, device=device, progress=False)


def test_out_comes_an_encoder_pair_by_name(trained, films):
    found, out = trained
    assert (found.epochs, found.steps) == (3, 9)
    image, text = (sk.load_encoder(f"stitchkit:{out}#modality={one}", device="cpu") for one in ("image", "text"))
    assert (image.modality, text.modality, image.space.dim) == ("image", "text", 16)
    items = sk.Items(["a", "b"], [films / "test0.png", films / "test1.png"], "image")
    vectors = sk.embed(image, items, store=None, progress=False)
    said = sk.embed(text, sk.Items(["x"], ["There is an effusion."], "text"), store=None, progress=False)
    assert vectors.vectors.shape == (2, 16)
    assert said.vectors.shape == (1, 16)
    assert image.space.fingerprint != text.space.fingerprint
    fitted = clip_alignment(image, text)
    assert np.isfinite(fitted.source_map(vectors).vectors).all()
    other = sk.load_encoder("demo:medical", device="cpu")
    more = sk.Items([f"t{i}" for i in range(24)], [films / f"test{i}.png" for i in range(24)], "image")
    stitched = sk.align(*(sk.embed(one, more, store=None, progress=False) for one in (image, other)), progress=False)
    assert stitched.source.name == image.name
    card = (out / "README.md").read_text()
    assert "small films" in card
    assert "48 pairs" in card


def test_tokens_and_masks_come_with_the_vectors(trained, films):
    _, out = trained
    text = sk.load_encoder(f"stitchkit:{out}#modality=text", device="cpu")
    short, long = "Effusion.", "There is a large effusion on the left side."
    both = text.encode(text.prepare([short, long]))
    alone = text.encode(text.prepare([short]))
    torch.testing.assert_close(both.pooled[0], alone.pooled[0], atol=1e-5, rtol=1e-5)
    assert both.mask.sum(1)[0] < both.mask.sum(1)[1]


def test_the_same_recipe_gives_the_same_weights(recipe, trained, tmp_path):
    run(recipe(), tmp_path / "again")
    assert weights(tmp_path / "again") == weights(trained[1])
    run(recipe(seed=1), tmp_path / "other")
    assert weights(tmp_path / "other") != weights(trained[1])


def test_a_batch_in_chunks_takes_the_same_way(recipe, trained, tmp_path):
    run(recipe(training={"chunk": 5}), tmp_path / "chunks")
    np.testing.assert_allclose(losses(tmp_path / "chunks"), losses(trained[1]), atol=2e-5)


def test_half_precision_takes_about_the_same_way(recipe, trained, tmp_path):
    run(recipe(training={"precision": "bf16", "chunk": 5}), tmp_path / "half")
    np.testing.assert_allclose(losses(tmp_path / "half"), losses(trained[1]), atol=0.03)
    assert losses(tmp_path / "half") != losses(trained[1])


def test_a_run_that_is_stopped_goes_on_the_same_way(recipe, trained, tmp_path, monkeypatch):
    out = tmp_path / "stopped"
    stopped_at(7, monkeypatch, recipe(), out)
    assert len(losses(out)) == 6  # the last step's loss is read after the next one
    said = []
    run(recipe(), out, say=said.append)
    assert "going on after step 6" in said
    assert losses(out) == losses(trained[1])
    assert weights(out) == weights(trained[1])


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from stitchkit.training.loop import train
train(sys.argv[1], sys.argv[2], device="cpu", progress=False)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_the_same_way(recipe, trained, tmp_path):
    out, path = tmp_path / "killed", recipe()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, path, out], env=env, cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (out / "run" / "last.pt").exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    run(path, out)
    assert losses(out) == losses(trained[1])
    assert weights(out) == weights(trained[1])
    assert not list(out.rglob("*.tmp"))


TWO_PROCESSES = """
import sys, torch
import lightning.fabric
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from stitchkit.training.loop import train

def work(path, out):
    torch.set_num_threads(1)
    train(path, out, device="cpu", progress=False)

settings = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="test", rdzv_backend="c10d",
                        rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.1, start_method="fork")
elastic_launch(settings, work)(sys.argv[1], sys.argv[2])
"""  # what torchrun does, but with processes that are forked and need not import everything again


@pytest.mark.parametrize(
    "network",
    [
        {},
        pytest.param({"shared": "none", "mode": "modality_token", "features": 2}, marks=pytest.mark.slow),
    ],
    ids=["shared", "separate"],
)
def test_two_processes_take_the_same_way_as_one(recipe, tmp_path, network):
    """The last batch of an odd size too: 48 pairs in batches of 17, nine rows here and eight there."""
    path = recipe(network=network, training={"batch": 17, "chunk": 4})
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", TWO_PROCESSES, path, tmp_path / "two"]
    done = subprocess.run(line, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    run(path, tmp_path / "one")
    assert len(losses(tmp_path / "two")) == 6
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), atol=1e-6)
    with pytest.raises(InputError, match="begun on 2 processes"):
        run(path, tmp_path / "two")


def test_a_finished_run_is_not_done_again(recipe, trained, monkeypatch):
    _, out = trained
    before = weights(out)
    monkeypatch.setattr(loop._Run, "_step", lambda *_: pytest.fail("a step was made"))
    found = run(recipe(), out)
    assert found.steps == 9
    assert weights(out) == before


def test_another_recipe_is_refused_with_the_difference(recipe, trained):
    _, out = trained
    with pytest.raises(InputError, match=r"rate was 0.002 and is 0.001"):
        run(recipe(training={"rate": 1e-3}), out)


def test_a_refused_recipe_leaves_the_encoder_as_it_was(recipe, trained):
    _, out = trained
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(InputError, match="vocabulary was 400 and is 350"):
        run(recipe(network={"vocabulary": 350}), out)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_a_folder_of_something_else_is_left_alone(recipe, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("mine")
    with pytest.raises(InputError, match="no training run"):
        run(recipe(), tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"]


def test_a_device_that_is_not_there_is_named(recipe, tmp_path):
    with pytest.raises(InputError, match="no device 'cuda:7'"):
        train(recipe(), tmp_path / "out", device="cuda:7", progress=False)
    assert not (tmp_path / "out").exists()


def test_another_number_of_processes_is_refused(recipe, trained):
    _, out = trained
    save_state(out / "run", {**read_state(out / "run"), "world": 4})
    with pytest.raises(InputError, match="begun on 4 processes"):
        run(recipe(), out)


def test_a_broken_state_is_named(recipe, trained):
    _, out = trained
    (out / "run" / "last.pt").write_bytes(b"not a state")
    with pytest.raises(DataError, match=r"last\.pt cannot be read"):
        run(recipe(), out)


def without_weights(state):
    state["network"] = {key: value for key, value in state["network"].items() if "norm" not in key}


def of_group(**settings):
    return lambda state: state["optimizer"]["param_groups"][0].update(settings)


def of_parameter(**entries):
    return lambda state: state["optimizer"]["state"][0].update(entries)


OTHER_STATES = {
    "no steps": (lambda state: state.pop("step"), "holds no state of a run: 'step' is missing"),
    "steps below zero": (lambda state: state.update(step=-1), "holds no state of a run"),
    "a word for processes": (lambda state: state.update(world="two"), "holds no state of a run"),
    "a list for a network": (lambda state: state.update(network=[1]), "holds no state of a run"),
    "no validation": (lambda state: state.update(best='{"valid_loss": 1.0}'), "holds no state of a run: 'step'"),
    "validations that are a list": (lambda state: state.update(best="[]"), "holds no state of a run"),
    "deep nesting": (lambda state: state.update(recipe="[" * 99_999), "holds no state of a run: its brackets"),
    "a key of the recipe twice": (lambda state: state.update(recipe='{"a": 1, "a": 2}'), "'a' stands twice"),
    "weights that are missing": (without_weights, "does not fit this run's network"),
    "no objective": (lambda state: state.pop("objective"), "holds no state of a run: 'objective' is missing"),
    "an objective of something else": (
        lambda state: state.update(objective={"scale": torch.ones(())}),
        "does not fit this run's network: .* Clip",
    ),
    "no optimizer": (lambda state: state.update(optimizer={}), "holds no state of a run: .* no list of param_groups"),
    "groups that are words": (lambda state: state["optimizer"].update(param_groups=["a"]), "no list of param_groups"),
    "no groups": (lambda state: state["optimizer"].update(param_groups=[]), "0 parameter groups and this one 2"),
    "a rate that is a word": (of_group(lr="fast"), "holds no state of a run: the optimizer's lr is 'fast' where"),
    "a rate below zero": (of_group(lr=-1.0), "lr is -1.0 where a number of at least 0 is needed"),
    "a rate that is True": (of_group(lr=True), "lr is True where"),
    "a decay that is no number": (of_group(weight_decay=math.nan), "weight_decay is nan where"),
    "an endless epsilon": (of_group(eps=math.inf), "eps is inf where"),
    "one beta": (of_group(betas=[0.9]), r"betas are \[0.9\] where two numbers are needed"),
    "a beta of one": (of_group(betas=(0.9, 1.0)), "betas is 1.0 where a number of at least 0 and below 1 is needed"),
    "betas that are words": (of_group(betas=("a", "b")), "betas is 'a' where"),
    "no betas": (lambda state: state["optimizer"]["param_groups"][1].pop("betas"), "betas are None"),
    "a switch that is a word": (of_group(amsgrad="yes"), "amsgrad is 'yes' and this one's False"),
    "another switch": (of_group(capturable=True), "does not fit this run's network: .* capturable is True"),
    "parameters of other names": (of_group(param_names=["network.a"]), "no 'network.stems.image.position' where"),
    "steps that are a word": (of_parameter(step="three"), "count of steps of parameter 0 is 'three' where"),
    "steps without end": (of_parameter(step=torch.tensor(math.inf)), "count of steps of parameter 0 is inf where"),
    "a moment that is a word": (of_parameter(exp_avg="a"), "exp_avg of parameter 0 is no array of floats"),
    "a moment of another shape": (of_parameter(exp_avg_sq=torch.ones(3, 1)), r"exp_avg_sq .* has the shape \(3, 1\)"),
    "parameters that are words": (lambda state: state["optimizer"].update(state={0: "a"}), "no state of its param"),
    "a scale that is a word": (lambda state: state.update(precision={"scale": "a"}), "the precision's scale is 'a'"),
}


@pytest.mark.parametrize("case", OTHER_STATES)
def test_a_state_of_something_else_is_refused(case, recipe, trained):
    change, message = OTHER_STATES[case]
    _, out = trained
    state = read_state(out / "run")
    change(state)
    save_state(out / "run", state)
    with pytest.raises(DataError, match=message):
        run(recipe(), out)


def test_a_damaged_state_is_noticed_and_one_of_earlier_times_is_read_with_a_warning(tmp_path):
    save_state(tmp_path, {"step": 3, "weight": torch.ones(4)})
    path = tmp_path / "last.pt"
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(DataError, match="last"):
            read_state(tmp_path)
    torch.save({"step": 4}, path)
    with pytest.warns(UserWarning, match=r"last\.pt was written without a SHA-256 digest"):
        assert read_state(tmp_path) == {"step": 4}


def test_a_loss_that_is_not_finite_stops_the_run_and_the_last_state_stays(recipe, tmp_path, monkeypatch):
    out = tmp_path / "nan"
    honest = Clip.loss
    calls = []

    def breaks(self, *args):
        calls.extend([1] * self.training)  # validation asks for a loss too
        return honest(self, *args) * (math.nan if len(calls) == 5 else 1)

    monkeypatch.setattr(Clip, "loss", breaks)
    with pytest.raises(TrainingError, match=r"nan at step 5, in the batch of train"):
        run(recipe(), out)
    assert read_state(out / "run")["step"] == 3
    monkeypatch.undo()
    assert run(recipe(), out).epochs == 3


def test_a_disk_that_is_full_leaves_the_last_state_whole(recipe, tmp_path, monkeypatch):
    out = tmp_path / "full"
    save = loop.save_state
    made = []

    def full(folder, state):
        made.append(1)
        if len(made) == 2:
            raise OSError(28, "No space left on device")
        save(folder, state)

    monkeypatch.setattr(loop, "save_state", full)
    with pytest.raises(OSError, match="No space left"):
        run(recipe(), out)
    monkeypatch.undo()
    assert read_state(out / "run")["step"] == 3
    assert run(recipe(), out).epochs == 3


def test_it_ends_when_validation_gets_no_better(recipe, tmp_path, monkeypatch):
    values = iter([3.0, 2.0, 2.5, 2.4, 1.9, 1.8, 1.7])
    honest = loop.validate

    def told(*args):
        from dataclasses import replace

        return replace(honest(*args), loss=next(values))

    monkeypatch.setattr(loop, "validate", told)
    found = run(recipe(training={"epochs": 7, "patience": 2}), tmp_path / "out")
    assert (found.epochs, found.best.step) == (4, 6)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["record"]["validation"]["step"] == 6


def test_the_best_weights_are_those_of_the_best_rank_where_that_is_asked_for(recipe, tmp_path, monkeypatch):
    from dataclasses import replace

    values = iter([(3.0, 0.1), (3.5, 0.3), (2.0, 0.2), (4.0, 0.25)])
    honest = loop.validate

    def told(*args):
        loss, reciprocal = next(values)
        return replace(honest(*args), loss=loss, reciprocal=reciprocal)

    monkeypatch.setattr(loop, "validate", told)
    found = run(recipe(training={"epochs": 4, "best": "rank", "patience": 2}), tmp_path / "out")
    assert (found.best.step, found.steps) == (6, 12)


def test_weights_that_are_not_finite_stop_the_run_at_the_validation(recipe, tmp_path, monkeypatch):
    from dataclasses import replace

    honest = loop.validate
    monkeypatch.setattr(loop, "validate", lambda *args: replace(honest(*args), loss=math.nan))
    with pytest.raises(TrainingError, match="validation loss is nan after step 3"):
        run(recipe(), tmp_path / "out")
    assert not (tmp_path / "out" / "run" / "last.pt").exists()


def test_the_scale_begins_at_one_over_seven_hundredths(recipe, tmp_path):
    run(recipe(training={"rate": 1e-9}), tmp_path / "out")
    (first, *_) = [line["scale"] for line in log_lines(tmp_path / "out" / "run") if "scale" in line]
    assert first == pytest.approx(1 / 0.07, rel=1e-4)


def few_captions(films, folder):
    """The same films with a caption of three."""
    import shutil

    shutil.copytree(films, folder)
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows({**row, "text": ("one", "two", "three")[i % 3]} for i, row in enumerate(rows))
    return folder


def test_with_few_captions_chance_is_theirs_and_joint_positives_are_the_same_loss(recipe, films, tmp_path):
    """Equal captions have equal vectors: whether each is right alone or all are together, the sums are the same."""
    root = few_captions(films, tmp_path / "few")
    joint = run(recipe(root=root), tmp_path / "joint")
    alone = run(recipe(root=root, objective={"equal_captions": False}), tmp_path / "alone")
    assert losses(tmp_path / "joint") == pytest.approx(losses(tmp_path / "alone"), abs=1e-4)
    assert joint.best.captions == alone.best.captions == 3
    assert joint.best.chance["text@1"] == pytest.approx(1 / 3)
    assert joint.best.chance["image@1"] == pytest.approx(8 / 24)  # a caption is right for eight of the films
    assert joint.best.chance["image@10"] > 0.99


def test_the_validation_loss_is_the_mean_over_whole_batches(recipe, films, tmp_path):
    """24 pairs in batches of 10: two of ten, and four pairs that would be easier are left out."""
    found = run(recipe(training={"batch": 10, "epochs": 1}), tmp_path / "out")
    image, text = (sk.load_encoder(name, device="cpu") for name in found.names)
    table = sk.read_cohort("table", films, **READER).part("test")
    left, right = (torch.as_tensor(sk.embed(one, items, store=None, progress=False).vectors)
                   for one, items in ((image, table.images), (text, table.texts)))  # fmt: skip
    log_scale = read_state(tmp_path / "out" / "run")["objective"]["log_scale"]
    by_hand = [float(contrastive_loss(left[at : at + 10], right[at : at + 10], log_scale))
               for at in (0, 10)]  # fmt: skip
    assert found.best.loss == pytest.approx(np.mean(by_hand), abs=1e-5)


def test_a_patient_in_both_published_splits_is_refused(recipe, films, tmp_path):
    import shutil

    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text.replace("test patient-2-00000", "train patient-1-00000"))
    with pytest.raises(LeakageError, match="training pairs and validation pairs"):
        run(recipe(root=folder), tmp_path / "out")


def test_a_recipe_on_changed_pairs_is_refused_and_the_encoder_stays(recipe, films, tmp_path):
    import shutil

    folder, out = tmp_path / "films", tmp_path / "out"
    shutil.copytree(films, folder)
    run(recipe(root=folder), out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    table = folder / "manifest.csv"
    table.write_text(table.read_text().replace("No ", "Nota bene: no ", 1))
    with pytest.raises(InputError, match="begun with other pairs"):
        run(recipe(root=folder), out)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    sk.load_encoder(f"stitchkit:{out}#modality=text", device="cpu")


def test_a_run_on_images_that_were_replaced_is_refused(recipe, films, tmp_path):
    """Same names, other pixels; files that were only copied again are the same images."""
    import shutil

    folder, out = tmp_path / "films", tmp_path / "out"
    shutil.copytree(films, folder)
    run(recipe(root=folder), out)
    first, second = sorted(folder.rglob("*.png"))[:2]
    os.utime(first)
    run(recipe(root=folder), out)
    first.write_bytes(second.read_bytes())
    with pytest.raises(InputError, match="ids, texts, images, splits or encoders"):
        run(recipe(root=folder), out)


def test_another_seed_draws_another_share(recipe):
    from stitchkit.training.pairs import choose_pairs
    from stitchkit.training.recipes import read_recipe

    pairs = read_recipe(recipe(pairs={"valid": "test", "fraction": 0.5})).pairs
    one, two = (choose_pairs(pairs, seed).train.tolist() for seed in (0, 1))
    assert one != two


def test_a_caption_that_holds_the_end_token_does_not_end_there(trained):
    text = sk.load_encoder(f"stitchkit:{trained[1]}#modality=text", device="cpu")
    (ids,) = text.prepare(["heart [END] large"]).tolist()
    assert ids.count(2) == 1
    assert ids[-1] == 2


def test_the_log_has_a_line_a_step_and_one_an_epoch(trained):
    lines = log_lines(trained[1] / "run")
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 10))
    ends = [line for line in lines if "valid_loss" in line]
    assert [line["epochs"] for line in ends] == [1, 2, 3]
    assert [line["step"] for line in ends] == [3, 6, 9]
    assert all(line["pairs_per_second"] > 0 and 0 <= line["waited_for_data"] < 1 for line in ends)
    rates = [line["rate"] for line in lines if "rate" in line]
    assert rates == pytest.approx([2e-3 * (1 + math.cos(math.pi * i / 9)) / 2 for i in range(9)])


def test_tensorboard_gets_the_same_numbers(recipe, tmp_path):
    pytest.importorskip("tensorboardX", reason="TensorBoard's event files need tensorboardX")
    run(recipe(), tmp_path / "out", tensorboard=True)
    (events,) = (tmp_path / "out" / "run" / "tensorboard").glob("events.out.tfevents.*")
    written = events.read_bytes()
    for name in (b"loss", b"scale", b"valid_loss", b"valid_recall/text"):
        assert name in written


def test_tensorboard_that_is_not_there_is_named(recipe, tmp_path, monkeypatch):
    from lightning.fabric.loggers import tensorboard

    def missing(*_, **__):
        raise ModuleNotFoundError("neither tensorboard nor tensorboardX")

    monkeypatch.setattr(tensorboard, "TensorBoardLogger", missing)
    with pytest.raises(MissingExtraError, match="pip install tensorboard"):
        run(recipe(), tmp_path / "out", tensorboard=True)


def test_steps_may_say_when_to_end_and_when_to_validate(recipe, trained, tmp_path):
    """Across passes of three steps; a run that ends as the epochs do is the same run."""
    found = run(recipe(training={"epochs": None, "steps": 7, "validate_every": 2}), tmp_path / "seven")
    lines = log_lines(tmp_path / "seven" / "run")
    assert [line["step"] for line in lines if "valid_loss" in line] == [2, 4, 6, 7]
    assert (found.steps, round(found.epochs, 3)) == (7, 2.333)
    run(recipe(training={"epochs": None, "steps": 9, "validate_every": 2}), tmp_path / "nine")
    assert losses(tmp_path / "nine") == losses(trained[1])


def test_sixteen_bits_without_a_gpu_are_refused(recipe, tmp_path):
    with pytest.raises(InputError, match="take 'bf16'"):
        run(recipe(training={"precision": "16"}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
def test_a_run_on_a_gpu_learns_and_goes_on_where_it_was(recipe, trained, tmp_path, monkeypatch, precision):
    """To rounding: a GPU adds up in no fixed order. Of sixteen bits the scale of gradients goes on too."""
    several = {"precision": precision, "chunk": 5, "epochs": None, "steps": 9, "validate_every": 3}
    train(recipe(training=several), tmp_path / "whole", device="cuda", progress=False)
    assert losses(tmp_path / "whole") == pytest.approx(losses(trained[1]), abs=0.05)
    stopped_at(5, monkeypatch, recipe(training=several), tmp_path / "cut", device="cuda")
    train(recipe(training=several), tmp_path / "cut", device="cuda", progress=False)
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), abs=0.02)


def test_a_run_that_is_stopped_within_a_pass_goes_on_the_same_way(recipe, tmp_path, monkeypatch):
    path = recipe(training={"epochs": None, "steps": 7, "validate_every": 2})
    run(path, tmp_path / "whole")
    stopped_at(5, monkeypatch, path, tmp_path / "stopped")
    run(path, tmp_path / "stopped")
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


TEXTS = {"table": "manifest.csv", "image": "text", "modality": "text", "text": "other", "id": "path",
         "patient": "patient", "split": "split", "classes": []}  # fmt: skip


def test_two_kinds_of_text_are_trained_as_image_and_text_are(recipe, films, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    with (films / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, [*rows[0], "other"])
        table.writeheader()
        table.writerows({**row, "other": row["text"].upper()[:20]} for row in rows)
    found = run(recipe(root=folder, reader=TEXTS), tmp_path / "out")
    assert found.names[1].endswith("#modality=second")
    assert set(found.best.recall) == {f"{one}@{k}" for one in ("first", "second") for k in (1, 5, 10)}
    first, second = (sk.load_encoder(name, device="cpu") for name in found.names)
    assert (first.modality, second.modality) == ("text", "text")
    said = sk.Items(["x"], ["There is an effusion."], "text")
    apart = [sk.embed(one, said, store=None, progress=False).vectors for one in (first, second)]
    assert not np.allclose(*apart)
    named = run(recipe(root=folder, reader=TEXTS, pairs={"valid": "test", "modalities": ["long", "short"]}),
                tmp_path / "named")  # fmt: skip
    assert named.names[0] == f"stitchkit:{tmp_path / 'named'}#modality=long"


def test_a_tokenizer_of_clip_may_be_named(recipe, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path / "clip"
    folder.mkdir()
    words = {"<|endoftext|>": 1, "<|startoftext|>": 0}
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(f"{one}</w>" for one in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {**words, **{token: i + 2 for i, token in enumerate(tokens)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(list(words))
    tokenizer.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", 1), ("<|startoftext|>", 0), trim_offsets=False, add_prefix_space=False
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    out = tmp_path / "out"
    run(recipe(network={"tokenizer": str(folder)}), out)
    assert (out / "tokenizer.json").read_text() == (folder / "tokenizer.json").read_text()
    text = sk.load_encoder(f"stitchkit:{out}#modality=text", device="cpu")
    ids = text.prepare(["ab", "abcd"])
    assert ids[:, 0].tolist() == [0, 0]
    assert (ids == 1).sum(1).tolist() == [1, 1]


def test_the_clamped_scale_stays_in_its_range(recipe, tmp_path):
    run(recipe(training={"rate": 10.0}), tmp_path / "out")
    scales = [line["scale"] for line in log_lines(tmp_path / "out" / "run") if "scale" in line]
    assert all(1 - 1e-6 <= one <= 100.01 for one in scales)


def test_a_run_whose_scale_touched_its_end_goes_on_the_same_way(recipe, tmp_path, monkeypatch):
    path = recipe(training={"rate": 2.0})  # far too high: the scale is at an end within a few steps
    run(path, tmp_path / "whole")
    scales = [line["scale"] for line in log_lines(tmp_path / "whole" / "run") if "scale" in line]
    assert {round(one) for one in scales} & {1, 100}
    stopped_at(7, monkeypatch, path, tmp_path / "stopped")
    run(path, tmp_path / "stopped")
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def test_a_state_with_a_scale_beyond_its_range_goes_on_from_the_end_of_it(recipe, tmp_path, monkeypatch):
    path, out = recipe(), tmp_path / "out"
    stopped_at(7, monkeypatch, path, out)
    state = read_state(out / "run")
    state["objective"]["log_scale"].fill_(9.0)
    save_state(out / "run", state)
    run(path, out)
    later = [line["scale"] for line in log_lines(out / "run") if "scale" in line and line["step"] > 6]
    assert len(later) == 3
    assert max(later) < 100.01


def test_a_fraction_is_drawn_by_patient_and_inside_the_larger(recipe):
    from stitchkit.training.pairs import choose_pairs
    from stitchkit.training.recipes import read_recipe

    drawn = {}
    for fraction in (0.25, 0.5, 1.0):
        pairs = read_recipe(recipe(pairs={"valid": "test", "fraction": fraction})).pairs
        chosen = choose_pairs(pairs, 0)
        drawn[fraction] = set(chosen.whole.images.ids[chosen.train].tolist())
        assert len(chosen.held) == 24
    assert [len(one) for one in drawn.values()] == [12, 24, 48]
    assert drawn[0.25] < drawn[0.5] < drawn[1.0]


def test_without_a_validation_split_patients_are_held_out(recipe):
    from stitchkit.training.pairs import choose_pairs
    from stitchkit.training.recipes import read_recipe

    chosen = choose_pairs(read_recipe(recipe(pairs={"held": 0.25})).pairs, 0)
    people = chosen.whole.labels.groups
    assert not set(people[chosen.train]) & set(people[chosen.held])
    assert len(chosen.train) + len(chosen.held) == len(chosen.whole) == 48
    assert "held-out" in chosen.notes[0]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_the_share_that_is_held_out_is_the_one_that_was_asked_for(share):
    """Patients of 1 to 9 films; whoever has the most is not always among them."""
    from stitchkit.training.pairs import held_out_rows

    people = np.repeat(np.arange(60), np.arange(60) % 9 + 1)
    drawn = [held_out_rows(people, share, seed) for seed in range(20)]
    for held in drawn:
        assert share * len(people) <= len(held) < share * len(people) + 9
        assert not set(people[held]) & set(np.delete(people, held))
    most = [bool(set(people[held]) & {8}) for held in drawn]
    assert 0 < sum(most) < 20 or share == 0.05
    assert len({tuple(held) for held in drawn}) == 20


def test_one_patient_cannot_be_held_out():
    from stitchkit.training.pairs import held_out_rows

    with pytest.raises(DataError, match="of one patient"):
        held_out_rows(np.zeros(9), 0.2, 0)
    assert len(held_out_rows(np.arange(2), 0.99, 0)) == 1


MISTAKES = {
    "network": ({"network": {"shard": 1}}, DataError, "'shard'.*nearest: shared"),
    "training": ({"training": {"epoch": 2}}, DataError, "'epoch'.*nearest: epochs"),
    "shared": ({"network": {"shared": "some"}}, DataError, "'all', 'none' or a list"),
    "layer": ({"network": {"shared": [5]}}, InputError, "layers 0 to 1"),
    "batch": ({"training": {"batch": 1}}, DataError, "2 or more"),
    "rate": ({"training": {"rate": 0}}, DataError, r"a rate in \(0, 100\]"),
    "rates": ({"training": {"rate": 1e300}}, DataError, r"a rate in \(0, 100\]"),
    "decay": ({"training": {"decay": 10**400}}, DataError, "a number from 0 to 1000"),
    "zoom": ({"training": {"zoom": 10**6}}, DataError, "a number from 1 to 16"),
    "steps": ({"pairs": {"valid": "test"}, "training": {"patience": 10**25}}, DataError, "a whole number, 0 or more"),
    "width": ({"network": {"dim": 10**12}}, DataError, "a whole number from 1 to 65536"),
    "two losses": ({"objective": {"name": ["clip", "slip"]}}, DataError, "the name of one objective"),
    "bias": ({"objective": {"name": "siglip", "bias": 1e300}}, DataError, "'bias' .*a number from -100 to 100"),
    "scale": ({"objective": {"name": "siglip", "scale": 0.5}}, DataError, "'scale' .*a number from 1 to 100"),
    "words": ({"objective": {"name": "gloria", "words": 1e308}}, DataError, "'words' .*a number from 1 to 100"),
    "mlm": ({"objective": {"name": "clip_mlm", "mlm": 10**25}}, DataError, "'mlm' .*a number from 0 to 1000"),
    "queue": ({"objective": {"name": "declip", "queue": 10**13}}, DataError, "from 1 to 10,000,000"),
    "both": ({"pairs": {"valid": "test", "held": 0.1}}, DataError, "Keep one"),
    "end": ({"training": {"steps": 5}}, DataError, "both say when to end"),
    "dots": ({"pairs": {"valid": "test", "modalities": ["x.ray", "text"]}}, DataError, "small letters"),
    "kept": ({"pairs": {"valid": "test", "modalities": ["type", "text"]}}, InputError, "can be called 'type'"),
    "mixed": ({"network": {"shared": [0, "all"]}}, DataError, "a list of whole numbers"),
    "context": ({"network": {"context": 2}}, DataError, "3 or more"),
    "names": ({"pairs": {"valid": "test", "modalities": ["a", "a"]}}, DataError, "two different names"),
    "loss": ({"objective": {"name": "clap"}}, DataError, "name of .objective. in .*'clap'.*clip"),
    "loss's key": (
        {"objective": {"temprature": 0.1}},
        DataError,
        "of .objective. .*'temprature'.*nearest: temperature",
    ),
    "loss's value": ({"objective": {"temperature": 0}}, DataError, r"'temperature' of .* a number in .0.01, 1.; got 0"),
    "loss's key elsewhere": (
        {"training": {"equal_captions": True}},
        DataError,
        r"'equal_captions': it is a key of \[objective\]",
    ),
    "split": ({"pairs": {"valid": "dev"}}, UnknownNameError, "'dev'"),
    "fraction": ({"pairs": {"valid": "test", "fraction": 0.01}}, DataError, "too few to train on"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_before_an_encoder_is_written(recipe, tmp_path, name):
    change, error, said = MISTAKES[name]
    with pytest.raises(error, match=f"(?s){said}"):
        run(recipe(**change), tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()


def test_an_image_that_cannot_be_read_is_named_and_nothing_half_packed_is_kept(recipe, films, tmp_path):
    import shutil

    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    (folder / "train7.png").write_bytes(b"\x89PNG cut off")
    with pytest.raises(DataError, match=r"train7\.png"):
        run(recipe(root=folder), tmp_path / "out")
    from stitchkit.storage.embedding_cache import default_root

    assert not list((default_root() / "training").glob(".*.tmp"))


def test_a_tokenizer_that_was_changed_is_refused(trained):
    _, out = trained
    path = out / "tokenizer.json"
    path.write_text(path.read_text().replace("[END]", "[FIN]"))
    with pytest.raises(ModelUnavailableError, match="not the tokenizer"):
        sk.load_encoder(f"stitchkit:{out}#modality=text", device="cpu")
    assert sk.load_encoder(f"stitchkit:{out}#modality=image", device="cpu").modality == "image"


def test_a_modality_must_be_named(trained):
    _, out = trained
    with pytest.raises(UnknownNameError, match="modality=image"):
        sk.load_encoder(f"stitchkit:{out}", device="cpu")
    with pytest.raises(UnknownNameError, match="known: image, text"):
        sk.load_encoder(f"stitchkit:{out}#modality=ct", device="cpu")


@pytest.mark.parametrize("size", [(96, 96), (130, 90), (60, 200)])
def test_what_is_embedded_has_the_size_of_what_was_trained_on(size):
    """The middle of what crops are drawn from, so that a thing is as large when it is asked for as when it was seen."""
    from PIL import Image

    from stitchkit.encoders.shared.encoder import ImageBatch

    values = np.random.default_rng(0).integers(0, 256, size=(size[1], size[0]), dtype=np.uint8)
    reading = ImageBatch(32, 37, (0.5,), (0.25,))
    whole, middle = reading.pixels(Image.fromarray(values), 37), reading.pixels(Image.fromarray(values))
    assert whole.shape == (37, 37, 1)
    assert middle.shape == (32, 32, 1)
    found = [(down, across) for down in range(6) for across in range(6)
             if np.array_equal(whole[down : down + 32, across : across + 32], middle)]  # fmt: skip
    assert found
    assert all(2 <= place <= 3 for pair in found for place in pair)


def test_two_runs_in_one_folder_at_once_are_refused_and_the_log_stays(recipe, trained_once, tmp_path):
    shutil.copytree(trained_once[1], tmp_path / "run")
    log = tmp_path / "run/run/log.jsonl"
    log.write_bytes(log.read_bytes() + b'{"step": 999, "loss": 1.0}\n')  # of the other process, after its last state
    before = log.read_bytes()
    with exclusive_lock(tmp_path / "run/run"), pytest.raises(InputError, match="another process is training in"):
        train(recipe(), tmp_path / "run", device="cpu", progress=False)
    assert log.read_bytes() == before


@pytest.mark.parametrize("damage", ["no config", "short weights"])
def test_a_run_whose_best_weights_are_lost_is_not_called_finished(recipe, tmp_path, damage):
    out = tmp_path / "out"
    train(recipe(training={"epochs": 1}), out, device="cpu", progress=False)
    weights = out / "model.safetensors"
    if damage == "no config":
        (out / "config.json").unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"the best weights of the run in .* are lost"):
        train(recipe(training={"epochs": 1}), out, device="cpu", progress=False)
