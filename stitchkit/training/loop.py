"""The verb ``train``: a recipe to a shared encoder, on one machine or under torchrun."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stitchkit.core.errors import DataError, InputError, MissingExtraError
from stitchkit.embedding_store import default_root
from stitchkit.encoders.devices import chosen_device
from stitchkit.encoders.shared import TOKENIZER, ImageBatch, TextBatch, pack_shared, text_batch
from stitchkit.encoders.shared_network import ImageInput, SharedNetwork, SharedShape, TextInput
from stitchkit.progress import Progress
from stitchkit.store import refresh_folder, replace_file
from stitchkit.training.cards import encoder_card
from stitchkit.training.checkpoints import RunLog, check_same, read_state, save_state
from stitchkit.training.contrast import MOST, cached_backward, contrastive_loss
from stitchkit.training.pairs import TrainingPairs, batches, chosen_pairs, cropped
from stitchkit.training.processes import sum_over_processes, with_others
from stitchkit.training.recipes import Recipe, read_recipe
from stitchkit.training.validation import Validation, validate
from stitchkit.training.vocabularies import Vocabulary

if TYPE_CHECKING:
    from lightning.fabric import Fabric

RUN = "run"  # below the encoder's folder: state and log
BETAS, EPSILON = (0.9, 0.98), 1e-6
FIRST_SCALE = math.log(1 / 0.07)
GREY, COLOUR = ((0.5,), (0.25,)), ((0.481, 0.458, 0.408), (0.269, 0.261, 0.276))  # mean and sd of channels


class TrainingError(DataError):
    """A run that cannot go on, with the step and the batch; the last good state is kept."""


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """What a run ended with.

    Parameters
    ----------
    folder
        Of the encoder: ``stitchkit:FOLDER#modality=image`` and ``#modality=text``.
    epochs, steps
        How many were made, those of earlier runs included.
    best
        The validation of the epoch whose weights were kept.
    """

    folder: Path
    epochs: int
    steps: int
    best: Validation

    def __str__(self) -> str:
        return "\n".join([
            f"{self.epochs} epochs, {self.steps} steps; kept: epoch {self.best.epoch}",
            str(self.best),
            f"stitchkit:{self.folder}#modality=image, stitchkit:{self.folder}#modality=text",
        ])  # fmt: skip


def train(
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda _: None,
    progress: bool | None = None,
) -> TrainedRun:
    """Train a shared encoder for images and texts, or go on with a run that was stopped.

    Parameters
    ----------
    recipe
        A TOML file, or a recipe.
    out
        Folder of the encoder. The best epoch's weights are there as soon as there is one; ``run/`` below it holds the
        state that a stopped run goes on from, and the log.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; torchrun decides how many.
    say
        Called with a line when a step begins.
    progress
        None shows a bar on stderr after two seconds, True at once, False never.

    Returns
    -------
    TrainedRun
        Print it.

    Raises
    ------
    DataError
        For pairs that cannot be read.
    InputError
        If the run in ``out`` was begun with another recipe or another number of machines.
    TrainingError
        If a loss is not finite, naming step and batch.
    MissingExtraError
        Without Lightning: ``pip install 'stitchkit[train]'``.

    References
    ----------
    A shared encoder for image and text: arXiv 2503.01654.
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    folder = Path(out)
    if folder.is_file():
        raise InputError(f"{folder} is a file; a trained encoder is a folder. Name a folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / RUN).is_dir():
        raise InputError(f"{folder} holds something that is no training run. Name an empty or a new folder.")
    fabric = _fabric(recipe.precision, device)
    first = fabric.is_global_zero  # of all processes, the one that talks and writes
    with Progress(progress if first else False) as bar:
        return _Run.of(recipe, folder, fabric, say if first else lambda _: None, bar).go()


def _fabric(precision: str, device: str) -> Fabric:
    try:
        from lightning.fabric import Fabric
    except ImportError as error:
        raise MissingExtraError(
            f"training needs Lightning, which cannot be imported: {error}. Run: pip install 'stitchkit[train]'"
        ) from error
    kinds = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
    here, nodes = (int(os.environ.get(name, 1)) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))  # of torchrun
    kind, _, index = chosen_device(device).partition(":")
    devices = [int(index)] if index else here
    fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, precision=kinds[precision])  # type: ignore[arg-type]
    fabric.launch()
    return fabric


@dataclass(slots=True)
class _Run:
    """One run: its network, its pairs, and where it stands."""

    recipe: Recipe
    folder: Path
    fabric: Fabric
    say: Callable[[str], None]
    bar: Progress
    network: SharedNetwork
    optimizer: Any
    pairs: TrainingPairs
    held: TrainingPairs
    images: ImageBatch
    texts: TextBatch
    settings: dict[str, Any]
    notes: list[str]
    epoch: int = 0
    step: int = 0
    best: Validation | None = None
    log: RunLog = field(init=False)

    @classmethod
    def of(cls, recipe: Recipe, folder: Path, fabric: Fabric, say: Callable[[str], None], bar: Progress) -> _Run:
        state = _state_of(recipe, folder, fabric.world_size)  # refused before anything is written
        say("reading the pairs")
        train, valid, notes = chosen_pairs(recipe.pairs, recipe.seed)
        given = recipe.network
        captions, held = (list(map(str, part.texts.values)) for part in (train, valid) if part.texts is not None)
        words = (
            Vocabulary.of_folder(given.tokenizer)
            if given.tokenizer
            else Vocabulary.of_captions(captions, given.vocabulary)
        )
        mean, std = GREY if given.grey else COLOUR
        image = ImageInput(given.side, given.patch, len(mean))
        text = TextInput(given.context, words.size, words.end)
        torch.manual_seed(recipe.seed)
        network = SharedNetwork(SharedShape(given.width, given.layers, given.heads, given.dim, given.shared, given.mode,
                                            given.size, {"image": image, "text": text}))  # fmt: skip
        torch.nn.init.constant_(network.log_scale, FIRST_SCALE)
        network.to(fabric.device)
        optimizer = fabric.setup_optimizers(_optimizer(network, recipe))
        wide = round(recipe.zoom * given.side)
        settings = {"wide": wide, "mean": mean, "std": std, "start": words.start, "tokenizer": words.mark}
        if fabric.is_global_zero:
            (folder / RUN).mkdir(parents=True, exist_ok=True)
            replace_file(folder / TOKENIZER, words.text.encode())
        fabric.barrier()
        images, texts = ImageBatch(given.side, wide, mean, std), text_batch(text, folder / TOKENIZER, settings)
        place = default_root() / "training"
        fit = TrainingPairs.of(train.images, captions, images, wide, place, bar)
        shown = TrainingPairs.of(valid.images, held, images, given.side, place, bar)
        say(f"{len(fit)} pairs with {fit.captions} distinct captions; {len(shown)} to validate on")
        run = cls(recipe, folder, fabric, say, bar, network, optimizer, fit, shown, images, texts, settings, notes)
        run._restore(state)
        return run

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(len(self.pairs) // min(self.recipe.batch, len(self.pairs)), 1)

    def go(self) -> TrainedRun:
        """Every epoch that is left."""
        recipe = self.recipe
        self.bar.begin("training, steps", recipe.epochs * self.steps, self.step)
        while self.epoch < recipe.epochs and not self._out_of_patience():
            began, losses = time.monotonic(), []
            for rows in batches(len(self.pairs), recipe.batch, recipe.seed, self.epoch):
                losses.append(self._step(rows))
                self.bar.step(1)
            self.epoch += 1
            self._validated(float(np.mean(losses)), time.monotonic() - began)
        if self.best is None:
            raise TrainingError("no epoch was finished, so there is nothing to keep.")
        return TrainedRun(self.folder, self.epoch, self.step, self.best)

    def _step(self, rows: np.ndarray) -> float:
        """One batch: forward in chunks, exact gradient, one move of the optimizer."""
        recipe, fabric, network = self.recipe, self.fabric, self.network
        mine = np.array_split(rows, fabric.world_size)[fabric.global_rank]
        parts = np.array_split(mine, math.ceil(len(mine) / recipe.chunk))
        same = torch.as_tensor(self.pairs.same[rows], device=fabric.device) if recipe.equal_captions else None
        shares = [len(part) for part in np.array_split(rows, fabric.world_size)]

        def forward(chunk: int) -> tuple[Tensor, Tensor]:
            some = parts[chunk]
            pixels = cropped(self.pairs.pixels, some, recipe.network.side, recipe.seed, self.epoch)
            with fabric.autocast():
                image = network("image", self.images.normalised(pixels).to(fabric.device)).pooled
                ids = self.texts([self.pairs.texts[row] for row in some])
                return image.float(), network("text", ids.to(fabric.device)).pooled.float()

        def loss_of(left: Tensor, right: Tensor) -> Tensor:
            whole = [with_others(side, shares, fabric) for side in (left, right)]
            return contrastive_loss(whole[0], whole[1], network.log_scale, same)

        self.optimizer.zero_grad(set_to_none=True)
        loss = float(cached_backward(forward, len(parts), loss_of, fabric.backward))
        if not math.isfinite(loss):
            ids = ", ".join(self.pairs.ids[rows[:3]].tolist())
            raise TrainingError(
                f"the loss is {loss} at step {self.step + 1} (epoch {self.epoch + 1}), in the batch of {ids}, ...: the "
                f"state of epoch {self.epoch} is kept. Lower the rate, or look at those images."
            )
        sum_over_processes(network, fabric)
        rate = recipe.rate * (1 + math.cos(math.pi * self.step / (recipe.epochs * self.steps))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        with torch.no_grad():
            network.log_scale.clamp_(0, MOST)
        self.step += 1
        if fabric.is_global_zero:
            scale = float(network.log_scale.detach().exp())
            self.log.add({"step": self.step, "epoch": self.epoch, "loss": loss, "rate": rate, "scale": scale})
        return loss

    def _validated(self, loss: float, seconds: float) -> None:
        """Validate, keep the best weights, and the state to go on from."""
        found = validate(self.network, self.held, self.images, self.texts, self.recipe, self.fabric, self.epoch)
        better = self.best is None or found.loss < self.best.loss
        self.best = found if better else self.best
        if not self.fabric.is_global_zero:
            return
        rate = len(self.pairs) / max(seconds, 1e-9)
        self.log.add({"step": self.step, "epoch": self.epoch, "train_loss": loss, "pairs_per_second": round(rate, 1),
                      **found.to_dict()})  # fmt: skip
        self.log.sync()
        self.say(f"epoch {self.epoch}: loss {loss:.4f}, {found.brief}")
        if better:
            self._keep(found)
        save_state(self.folder / RUN, {
            "recipe": _as_json(self.recipe), "world": self.fabric.world_size,
            "epoch": self.epoch, "step": self.step, "best": json.dumps(self.best.to_dict() if self.best else None),
            "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
        })  # fmt: skip

    def _keep(self, found: Validation) -> None:
        """The encoder's folder with the weights as they are now."""
        config, arrays = pack_shared(self.network, self.settings)
        record = {"recipe": self.recipe.to_dict(), "notes": self.notes, "pairs": len(self.pairs),
                  "captions": self.pairs.captions, "validation": found.to_dict()}  # fmt: skip
        refresh_folder(self.folder, {**config, "record": record}, arrays, encoder_card(self.recipe, record, found))

    def _restore(self, state: dict[str, Any] | None) -> None:
        """Stand where an earlier run was stopped."""
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.step = state["epoch"], state["step"]
            best = json.loads(state["best"])
            self.best = None if best is None else Validation.of_dict(best)
            self.say(f"going on after epoch {self.epoch}")
        if self.fabric.is_global_zero:
            self.log = RunLog(self.folder / RUN, self.step)

    def _out_of_patience(self) -> bool:
        patience = self.recipe.patience
        return bool(patience) and self.best is not None and self.epoch - self.best.epoch >= patience


def _state_of(recipe: Recipe, folder: Path, world: int) -> dict[str, Any] | None:
    """What an earlier run of the same recipe on as many processes left in ``folder``; others are refused."""
    state = read_state(folder / RUN)
    if state is None:
        return None
    check_same(json.loads(_as_json(recipe)), json.loads(state["recipe"]), folder)
    if state["world"] != world:
        raise InputError(
            f"the run in {folder} was begun on {state['world']} machines and is to go on on {world}, which would cut "
            f"batches anew. Use as many, or name another folder."
        )
    return state


def _as_json(recipe: Recipe) -> str:
    return json.dumps(recipe.to_dict(), default=str)


def _optimizer(network: SharedNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, norms, modality features) are not decayed."""
    decayed = [one for one in network.parameters() if one.ndim > 1]
    others = [one for one in network.parameters() if one.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=BETAS, eps=EPSILON)
