"""The verb ``train``: a recipe to two encoders of one space, on one machine or under torchrun."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from stitchkit.core.errors import DataError, InputError, ModelUnavailableError
from stitchkit.core.wording import counted
from stitchkit.encoders.consent import Consent, TrustPython
from stitchkit.encoders.pair_network import PairNetwork
from stitchkit.runtime.progress import Progress
from stitchkit.storage.folders import read_folder, refresh_folder
from stitchkit.storage.path_checks import resolved_path
from stitchkit.training.cards import encoder_card
from stitchkit.training.checkpoints import (
    RUN,
    RunState,
    alone_in_run,
    check_same,
    read_run_state,
    restoring,
    save_state,
)
from stitchkit.training.frozen_parts import FrozenParts, statistics_of
from stitchkit.training.gradient_cache import cached_backward
from stitchkit.training.loading import Batch, Batches, each_tensor
from stitchkit.training.objectives import objective_type
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import Objective, Outputs
from stitchkit.training.optimizer_states import check_groups_fit
from stitchkit.training.outcomes import TrainedRun, TrainingError
from stitchkit.training.preparing import PreparedPairs
from stitchkit.training.processes import launch, sum_over_processes, with_others
from stitchkit.training.recipes import Recipe, read_recipe
from stitchkit.training.run_log import Curves, RunLog
from stitchkit.training.run_log import tensorboard as tensorboard_in
from stitchkit.training.validation import Validation, validate

if TYPE_CHECKING:
    from lightning.fabric import Fabric

BETAS, EPSILON = (0.9, 0.98), 1e-6


def train(
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda _: None,
    progress: bool | None = None,
    tensorboard: bool = False,
    trust_python: TrustPython = False,
) -> TrainedRun:
    """Train encoders of images and texts (or two kinds of text) into one space, or go on with a run that was stopped.

    Parameters
    ----------
    recipe
        A TOML file, or a recipe.
    out
        Folder of the encoder. The best weights so far are there as soon as there is one; ``run/`` below it holds the
        state that a stopped run goes on from, and the log.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; torchrun decides how many.
    say
        Called with a line when a step begins.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.
    tensorboard
        Write event files too, into ``run/tensorboard``.
    trust_python
        ``python:`` names that the recipe's ``[towers]`` may run: a list of them, or True for every name.

    Returns
    -------
    TrainedRun
        Print it.

    Raises
    ------
    DataError
        For pairs that cannot be read.
    InputError
        If ``out`` is no path that may be written, another process trains there, or the run in it was begun with another
        recipe or another number of processes; for half precision of 16 without a GPU.
    TrainingError
        If a loss is not finite, naming step and batch.
    ModelUnavailableError
        If an encoder that training begins with cannot be loaded, or is Python code that may not run.
    MissingExtraError
        Without Lightning: ``pip install 'stitchkit[train]'``; or TensorBoard, where it is asked for.

    References
    ----------
    A shared encoder for image and text: arXiv 2503.01654.
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    resolved_path(out)  # refuses what is no path, before the work
    folder = Path(out)
    if folder.is_file():
        raise InputError(f"{folder} is a file; a trained encoder is a folder. Name a folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / RUN).is_dir():
        raise InputError(f"{folder} holds something that is no training run. Name an empty or a new folder.")
    fabric = launch(recipe.training.precision, device)
    first = fabric.is_global_zero  # of all processes, the one that talks and writes
    curves = tensorboard_in(folder / RUN) if tensorboard and first else None
    with Progress(progress if first else False) as bar:
        consent = Consent.of(trust_python)
        run, stopped = _Run.of(recipe, folder, fabric, say if first else lambda _: None, bar, consent)
        with alone_in_run(folder) if first else nullcontext():
            run.restore(stopped, curves)
            return run.go()


@dataclass(frozen=True, slots=True, eq=False)
class StepFacts:
    """A step for the log: the number of steps so far, the rows of its batch, rate, loss, and values of the objective.

    Loss and values are tensors on the device, which may not have computed them yet.
    """

    step: int
    rows: np.ndarray
    rate: float
    loss: Tensor
    values: Mapping[str, Tensor]


@dataclass(slots=True)
class _Run:
    """One run: its network, its pairs, and where it stands."""

    recipe: Recipe
    folder: Path
    fabric: Fabric
    say: Callable[[str], None]
    bar: Progress
    network: PairNetwork
    objective: Objective
    optimizer: Any
    data: PreparedPairs
    batches: Batches
    frozen: FrozenParts
    step: int = 0
    best: Validation | None = None
    since: int = 0  # validations since the best
    losses: list[float] = field(default_factory=list)  # of the steps since the last validation
    unread: deque[StepFacts] = field(default_factory=deque)
    log: RunLog = field(init=False)

    @classmethod
    def of(
        cls, recipe: Recipe, folder: Path, fabric: Fabric, say: Callable[[str], None], bar: Progress, consent: Consent
    ) -> tuple[_Run, RunState | None]:  # fmt: skip
        stopped = _earlier_state(recipe, folder, fabric.world_size)  # refused before anything is written
        known = None if stopped is None else stopped.pairs
        data = PreparedPairs.of(recipe, folder, fabric, say, bar, known, consent)
        torch.manual_seed(recipe.seed)
        network = data.form.network()
        objective = objective_type(recipe.objective.name)(recipe.objective, network.shape)
        for pairs in (data.train, data.held):
            objective.check(pairs.present)
        objective.check_network(network)
        network.to(fabric.device)
        objective.to(fabric.device)
        parts, statistics = objective.frozen_parts(network), statistics_of(network) if network.is_pretrained else ()
        frozen = FrozenParts.of(network, [*parts, *statistics])
        if parts and not network.is_pretrained:
            data.notes.append(
                f"the objective {recipe.objective.name!r} freezes {counted(len(parts), 'part')} of a network "
                f"with random weights: begin with pretrained encoders, [towers]"
            )
            say(f"note: {data.notes[-1]}")
        optimizer = fabric.setup_optimizers(_optimizer(network, objective, recipe))
        if min(recipe.training.batch, len(data.train)) < fabric.world_size:
            raise InputError(
                f"a batch of {len(data.train)} pairs cannot be divided among {fabric.world_size} processes."
            )
        batches = Batches(
            data.train, min(recipe.training.batch, len(data.train)), recipe.training.chunk, recipe.seed,
            fabric.global_rank, fabric.world_size, fabric.device.type == "cuda",
        )  # fmt: skip
        run = cls(recipe, folder, fabric, say, bar, network, objective, optimizer, data, batches, frozen)
        return run, stopped

    @property
    def total(self) -> int:
        """Steps at most."""
        return self.recipe.training.steps or self.recipe.training.epochs * self.batches.in_pass

    @property
    def epochs(self) -> float:
        """Passes over the pairs so far."""
        return self.step / self.batches.in_pass

    def go(self) -> TrainedRun:
        """Every step that is left."""
        every = self.recipe.training.validate_every or self.batches.in_pass
        self.bar.begin("training, steps", self.total, self.step)
        while self.step < self.total and not self._out_of_patience():
            stop = min(self.step - self.step % every + every, self.total)
            began, waited, first = time.monotonic(), 0.0, self.step
            with closing(self.batches.between(self.step, stop)) as batches:
                for batch in batches:
                    self._step(batch)
                    self._read_losses(all_but=1)
                    waited += batch.waited
                    self.bar.step(1)
            self._read_losses()
            seconds = max(time.monotonic() - began, 1e-9)
            rate = (self.step - first) * self.batches.size / seconds
            self._validate({"train_loss": float(np.mean(self.losses)), "pairs_per_second": round(rate, 1),
                             "waited_for_data": round(waited / seconds, 4)})  # fmt: skip
        if self.best is None:
            raise TrainingError("no step was made, so there is nothing to keep.")
        return TrainedRun(self.folder, self.step, self.epochs, self.best, self.data.names(self.folder))

    def _step(self, batch: Batch) -> None:
        """One batch: forward in chunks, exact gradient, one move of the optimizer."""
        fabric, network, objective, pairs = self.fabric, self.network, self.objective, self.data.train
        facts = pairs.facts(batch.rows, fabric.device)

        def to_device(tensor: Tensor) -> Tensor:
            return tensor.to(fabric.device, non_blocking=True)

        def forward(chunk: int) -> Outputs:
            draws = RowDraws(self.recipe.seed, self.step, batch.chunk_rows[chunk])
            there = {name: each_tensor(rows, to_device) for name, rows in batch.chunks[chunk].items()}
            with fabric.autocast():
                return {
                    name: objective.outputs(network, name, pairs.modalities[name].to_inputs(rows), draws)
                    for name, rows in there.items()
                }

        def loss_of(outputs: Outputs) -> Tensor:
            whole = {name: tuple(with_others(tensor, batch.shares, fabric) for tensor in tensors)
                     for name, tensors in outputs.items()}  # fmt: skip
            return objective.loss(whole, facts)

        self.optimizer.zero_grad(set_to_none=True)
        loss = cached_backward(forward, len(batch.chunks), loss_of, fabric.backward)
        sum_over_processes(network, fabric)
        rate = self.recipe.training.rate * (1 + math.cos(math.pi * self.step / self.total)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        objective.constrain()
        self.step += 1
        self.unread.append(StepFacts(self.step, batch.rows, rate, loss, objective.log_values()))

    def _read_losses(self, all_but: int = 0) -> None:
        """Log the steps whose losses were not read, but for the last ``all_but``.

        Reading a loss waits until a GPU has computed it: with one step left unread the GPU has the next one at hand.
        """
        while len(self.unread) > all_but:
            facts = self.unread.popleft()
            loss = float(facts.loss)
            if not math.isfinite(loss):
                ids = ", ".join(self.data.train.ids[facts.rows[:3]].tolist())
                raise TrainingError(
                    f"the loss is {loss} at step {facts.step}, in the batch of {ids}, ...: the state of the last "
                    f"validation is kept. Lower the rate, or look at those items."
                )
            self.losses.append(loss)
            if self.fabric.is_global_zero:
                values = {name: float(value) for name, value in facts.values.items()}
                self.log.add({"step": facts.step, "loss": loss, "rate": facts.rate, **values})

    def _validate(self, facts: dict[str, float]) -> None:
        """Validate, keep the best weights, and the state to go on from."""
        self.losses.clear()
        result = validate(self.network, self.objective, self.data.held, self.recipe, self.fabric, self.step)
        self.frozen.train()
        if not math.isfinite(result.loss):  # of every process, so that none waits for the others
            raise TrainingError(
                f"the validation loss is {result.loss} after step {self.step}: the state of the validation before is "
                f"kept. Lower the rate."
            )
        self.frozen.check()
        better = result.better_than(self.best, self.recipe.training.best)
        self.best, self.since = (result, 0) if better else (self.best, self.since + 1)
        if not self.fabric.is_global_zero:
            return
        self.log.add({"epochs": round(self.epochs, 3), **facts, **result.to_dict()})
        self.log.sync()
        self.say(f"step {self.step}, epoch {self.epochs:.4g}: loss {facts['train_loss']:.4f}, {result.brief}")
        if better:
            self._keep(result)
        save_state(self.folder / RUN, {
            "recipe": _as_json(self.recipe), "world": self.fabric.world_size, "pairs": self.data.digest,
            "step": self.step, "since": self.since, "best": json.dumps(self.best.to_dict() if self.best else None),
            "network": self.network.state_dict(), "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),  # the scale of half precision's gradients
        })  # fmt: skip

    def _keep(self, validation: Validation) -> None:
        """The encoder's folder with the weights as they are now."""
        data = self.data
        config, arrays = data.form.pack(self.network)
        record = {
            "recipe": self.recipe.to_dict(), "modalities": list(data.train.modalities),
            "notes": data.notes, "pairs": len(data.train), "captions": data.train.distinct,
            "validation": validation.to_dict(),
        }  # fmt: skip
        refresh_folder(self.folder, {**config, "record": record}, arrays, encoder_card(self.recipe, record, validation))

    def restore(self, stopped: RunState | None, curves: Curves | None) -> None:
        """Stand where an earlier run was stopped."""
        if stopped is not None:
            if stopped.best is not None and self.fabric.is_global_zero:
                _check_kept(self.folder)
            with restoring(self.folder / RUN):
                self.network.load_state_dict(stopped.network)
                self.objective.load_state_dict(stopped.objective)
                check_groups_fit(stopped.optimizer, self.optimizer.param_groups)
                self.optimizer.load_state_dict(stopped.optimizer)
                self.fabric.strategy.precision.load_state_dict(stopped.precision)
            self.objective.constrain()
            self.step, self.since, self.best = stopped.step, stopped.since, stopped.best
            self.say(f"going on after step {self.step}")
        if self.fabric.is_global_zero:
            self.log = RunLog(self.folder / RUN, self.step, curves)

    def _out_of_patience(self) -> bool:
        return bool(self.recipe.training.patience) and self.since >= self.recipe.training.patience


def _check_kept(folder: Path) -> None:
    """Raise where the best weights of an earlier run cannot be read any more: its state holds only the last ones."""
    try:
        read_folder(folder)
    except (ModelUnavailableError, InputError, DataError) as error:
        raise DataError(
            f"the best weights of the run in {folder} are lost, so it cannot go on: "
            + error.message
            + " Or name another folder to train again."
        ) from error


def _earlier_state(recipe: Recipe, folder: Path, world: int) -> RunState | None:
    """The state of an earlier run in ``folder``, of the same recipe on as many processes; others are refused."""
    stopped = read_run_state(folder / RUN)
    if stopped is None:
        return None
    check_same(json.loads(_as_json(recipe)), stopped.recipe, folder)
    if stopped.world != world:
        raise InputError(
            f"the run in {folder} was begun on {stopped.world} processes and is to go on on {world}, which would cut "
            f"batches anew. Use as many, or name another folder."
        )
    return stopped


def _as_json(recipe: Recipe) -> str:
    return json.dumps(recipe.to_dict(), default=str)


def _optimizer(network: nn.Module, objective: Objective, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW of all parameters by name; vectors (biases, norms, modality features) are not decayed."""
    named = [
        (f"{module}.{name}", parameter)
        for module, owner in (("network", network), ("objective", objective))
        for name, parameter in owner.named_parameters()
        if parameter.requires_grad
    ]
    decayed, others = ([one for one in named if (one[1].ndim > 1) == matrix] for matrix in (True, False))
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.training.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.training.rate, betas=BETAS, eps=EPSILON)
