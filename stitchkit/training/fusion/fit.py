"""Training of the network of a fused head, resumable after every epoch, and the choice of its strength."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stitchkit.alignment.folds import assign
from stitchkit.core.errors import DataError
from stitchkit.core.fusion_rows import FusionRows
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import one_thread
from stitchkit.training.checkpoints import read_state, restoring, save_state
from stitchkit.training.fusion.losses import (
    all_subset_loss,
    contrastive_loss,
    item_losses,
    same_class,
    subset_weights,
)
from stitchkit.training.fusion.network import FusionNetwork, FusionShape, Projection, shown_subsets, subset_columns
from stitchkit.training.fusion.recipe import FusionRecipe

MANY_FOLDS = 40  # of which any share can be held out
USUAL_WIDTH = 128  # features of a modality that learns at the recipe's rate
FASTEST = 10.0  # times that rate, at most
WEIGHTS, CONTRASTIVE, CLASSIFIER = 0, 1, 2  # draws that have seeds of their own


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """Labelled rows of several modalities.

    Parameters
    ----------
    rows
        Vectors and masks; every row has at least one modality.
    targets : (n, c)
        1, 0 or NaN; one class each if ``multiclass``.
    groups : (n,) or None
        Patients.
    normed
        Modalities that a layer norm and a ReLU come first for.
    tables
        Modalities that are tables, which are standardised already.
    """

    rows: FusionRows
    targets: np.ndarray
    groups: np.ndarray | None
    multiclass: bool
    normed: frozenset[str]
    tables: frozenset[str]

    def __post_init__(self) -> None:
        if self.multiclass:  # where one class applies, a label that is left blank is none
            object.__setattr__(self, "targets", np.nan_to_num(self.targets, nan=0.0))

    def take(self, some: np.ndarray) -> TrainingRows:
        """The rows at positions ``some`` (k,)."""
        return TrainingRows(
            rows=self.rows.take(some),
            targets=self.targets[some],
            groups=None if self.groups is None else self.groups[some],
            multiclass=self.multiclass,
            normed=self.normed,
            tables=self.tables,
        )

    def digest(self) -> str:
        """SHA-256 of everything that training reads."""
        whole = hashlib.sha256()
        for part in (self.rows.present, self.targets, *self.rows.vectors.values()):
            whole.update(np.ascontiguousarray(part).tobytes())
        facts = [
            list(self.rows.names), self.rows.ids.tolist(), None if self.groups is None else self.groups.tolist(),
            self.multiclass, sorted(self.normed), sorted(self.tables),
        ]  # fmt: skip
        whole.update(json.dumps(facts).encode())
        return whole.hexdigest()


def class_weights(targets: np.ndarray, multiclass: bool, balanced: bool) -> np.ndarray:
    """Weights (2, c) of negatives and positives of each class, 1 unless ``balanced``; of mean 1 over the rows."""
    weights = np.ones((2, targets.shape[1]))
    if not balanced:
        return weights
    positive, known = np.nansum(targets, axis=0), (~np.isnan(targets)).sum(axis=0)
    if multiclass:
        weights[1] = len(targets) / (np.maximum(positive, 1) * targets.shape[1])
        return weights
    for side, count in enumerate((known - positive, positive)):
        weights[side] = known / (2 * np.maximum(count, 1))
    return weights


def class_shares(
    targets: np.ndarray, weights: np.ndarray, multiclass: bool, toward: np.ndarray | None = None
) -> np.ndarray:
    """Share (c,) of each class among rows as they are weighted, drawn ``toward`` a prior (default even) by one row."""
    c = targets.shape[1]
    prior = np.full(c, 1 / c if multiclass else 0.5) if toward is None else toward
    positive = np.nansum(targets, axis=0) * weights[1]
    negative = ((targets == 0).sum(axis=0)) * weights[0]
    whole = positive.sum() if multiclass else positive + negative
    return np.asarray((positive + prior) / (whole + 1))


@dataclass(eq=False)
class Run:
    """One training after another, each epoch of which is written down where ``folder`` is given."""

    recipe: FusionRecipe
    folder: Path | None
    digest: str
    bar: Progress
    finished: list[dict[str, Any]] = field(default_factory=list)  # results of trainings that are done
    under_way: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: FusionRecipe, data: TrainingRows, folder: Path | None, bar: Progress) -> Run:
        """A run, at the place where the state in ``folder`` left it.

        Raises
        ------
        DataError
            If that state is of another recipe or of other rows.
        """
        digest = hashlib.sha256((json.dumps(recipe.to_dict(), sort_keys=True) + data.digest()).encode()).hexdigest()
        run = cls(recipe, folder, digest, bar)
        state = None if folder is None else read_state(folder)
        if state is None:
            return run
        if state.get("digest") != digest:
            raise DataError(
                f"the run in {folder} was begun with another recipe or other rows. Restore them, or move the folder "
                f"away to begin again."
            )
        run.finished, run.under_way = list(state["finished"]), dict(state["under_way"])
        return run

    def write(self) -> None:
        """Write the state in one step."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_state(self.folder, {"digest": self.digest, "finished": self.finished, "under_way": self.under_way})


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """A trained network with the choice that led to it.

    Parameters
    ----------
    network
        In evaluation mode.
    weight_decay, epochs
        The chosen strength and number of epochs.
    losses
        Weight decay -> held-out loss after each epoch; empty where nothing was held out.
    """

    network: FusionNetwork
    weight_decay: float
    epochs: int
    losses: dict[float, list[float]]


def fit_network(
    data: TrainingRows, recipe: FusionRecipe, *, folder: Path | None = None, progress: bool | None = None
) -> TrainedNetwork:
    """The network trained on all rows, with the strength that was best on held-out patients among them.

    Parameters
    ----------
    folder
        Place of the state from which a stopped run goes on, to the same bits; None keeps none.
    """
    strengths = recipe.weight_decay if recipe.held else recipe.weight_decay[:1]
    members = held_out(data, recipe) if recipe.held and (len(strengths) > 1 or recipe.epochs > 1) else None
    before = recipe.contrastive_epochs if recipe.contrastive != "none" and len(data.rows.names) > 1 else 0
    with Progress(progress) as bar, one_thread():
        run = Run.of(recipe, data, folder, bar)
        bar.begin(
            "training a fused head, epochs", (len(strengths) * (members is not None) + 1) * (before + recipe.epochs)
        )
        losses: dict[float, list[float]] = {}
        if members is not None:
            rest, held = members
            for number, strength in enumerate(strengths):
                losses[strength] = _train(run, number, data.take(rest), data.take(held), strength, recipe.epochs)[1]
        if losses:
            best = min(((loss, strength, epoch + 1) for strength, curve in losses.items()
                        for epoch, loss in enumerate(curve)), key=lambda one: one[0])  # fmt: skip
            strength, epochs = best[1], best[2]
        else:
            strength, epochs = strengths[0], recipe.epochs
        network, _ = _train(run, len(strengths), data, None, strength, epochs)
    return TrainedNetwork(network=network.eval(), weight_decay=strength, epochs=epochs, losses=losses)


def held_out(data: TrainingRows, recipe: FusionRecipe) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to choose by, of different patients."""
    whole = abs(1 / recipe.held - round(1 / recipe.held)) < 0.01 and recipe.held <= 0.5
    parts = round(1 / recipe.held) if whole else MANY_FOLDS  # any share can be taken of many small folds
    folds = assign(len(data.rows), data.groups, seed=recipe.seed, k=max(2, parts))
    if len(folds) < 2:
        raise DataError(
            "the rows are of one patient, so that none can be held out. Give rows of more, or set held to 0."
        )
    count = min(max(1, round(recipe.held * len(folds))), len(folds) - 1)
    return np.sort(np.concatenate(folds[count:])), np.sort(np.concatenate(folds[:count]))


def _seed(recipe: FusionRecipe, *parts: int) -> int:
    return int(np.random.SeedSequence([recipe.seed, *parts]).generate_state(1)[0])


def new_network(data: TrainingRows, recipe: FusionRecipe) -> FusionNetwork:
    """The network as it begins, by torch's generator; vectors are standardised by the present rows."""
    widths = {name: values.shape[1] for name, values in data.rows.vectors.items()}
    center, scale, tokens = {}, {}, {}
    for m, (name, values) in enumerate(data.rows.vectors.items()):
        there = values[data.rows.present[:, m]]
        plain = not recipe.standardise or name in data.tables
        middle = np.zeros(widths[name]) if plain else there.mean(axis=0)
        spread = np.ones(widths[name]) if plain else there.std(axis=0)
        spread = np.where(spread > 1e-8 * np.maximum(np.abs(middle), 1e-30), spread, 1.0)
        center[name], scale[name] = (torch.tensor(one, dtype=torch.float32) for one in (middle, spread))
        zeros = (torch.zeros(widths[name]) - center[name]) / scale[name]
        mean = (torch.tensor(there.mean(axis=0), dtype=torch.float32) - center[name]) / scale[name]
        tokens[name] = {"zero": zeros, "mean": mean}.get(recipe.token, torch.zeros(widths[name]))
    hidden = recipe.hidden or max(1, round(sum(widths.values()) / len(widths)))
    shape = FusionShape(
        widths=widths, normed=data.normed, hidden=hidden, stages=recipe.stages, classes=data.targets.shape[1],
        dropout=recipe.dropout, added=recipe.token == "add", learnt=recipe.token in ("substitute", "add"),
    )  # fmt: skip
    return FusionNetwork(shape, center, scale, tokens)


def _train(
    run: Run, number: int, data: TrainingRows, held: TrainingRows | None, strength: float, epochs: int
) -> tuple[FusionNetwork, list[float]]:
    """The ``number``-th training of a run, and the held-out loss after each epoch."""
    recipe = run.recipe
    before = recipe.contrastive_epochs if recipe.contrastive != "none" and len(data.rows.names) > 1 else 0
    # what is drawn is put back, so that the caller's own draws are not moved
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(recipe, number, WEIGHTS))
        network = new_network(data, recipe)
        projection = Projection(network.shape.hidden)
        if number < len(run.finished):
            run.bar.step(before + recipe.epochs)
            return network, list(run.finished[number]["curve"])
        tensors = Tensors.of(data, recipe)
        judged = None if held is None else Tensors.of(held, recipe)
        curve: list[float] = []
        first = 0
        resumed = run.under_way if run.under_way.get("number") == number else None
        if resumed:
            first, curve = int(resumed["epoch"]), list(resumed["curve"])
        optimizer = _optimizer(recipe, [network, projection] if first < before else [network], strength)
        if resumed and run.folder is not None:
            with restoring(run.folder):
                network.load_state_dict(resumed["network"])
                projection.load_state_dict(resumed["projection"])
                if not before or first != before:  # there the classifier begins with an optimizer of its own
                    optimizer.load_state_dict(resumed["optimizer"])
        run.bar.step(first)
        for epoch in range(first, before + epochs):
            if epoch == before and before:
                torch.manual_seed(_seed(recipe, number, CLASSIFIER))
                network.renew_classifier()
                optimizer = _optimizer(recipe, [network], strength)
            torch.manual_seed(_seed(recipe, number, CONTRASTIVE, epoch))
            rng = np.random.default_rng(_seed(recipe, number, CLASSIFIER, epoch))
            network.train()
            for rows in _batches(len(data.rows), recipe.batch, rng):
                if epoch < before:
                    loss = contrastive_step(network, projection, tensors, rows, recipe.contrastive)
                else:
                    loss = classifier_loss(network, tensors, rows, recipe, rng)
                if not torch.isfinite(loss):
                    raise DataError(
                        f"the loss of the fused head is {float(loss.detach())} in epoch {epoch + 1}. Look for vectors "
                        f"of extreme size, or lower the learning rate."
                    )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            if judged is not None and epoch >= before:
                curve.append(held_loss(network, judged, recipe))
            run.bar.step(1)
            run.under_way = {
                "number": number, "epoch": epoch + 1, "curve": curve, "network": network.state_dict(),
                "projection": projection.state_dict(), "optimizer": optimizer.state_dict(),
            }  # fmt: skip
            run.write()
        if held is not None:
            run.finished.append({"curve": curve})
            run.under_way = {}
            run.write()
    return network, curve


def _optimizer(recipe: FusionRecipe, modules: list[torch.nn.Module], strength: float) -> torch.optim.Optimizer:
    """AdamW whose weight decay is on matrices alone, and whose steps shrink as a modality's width grows.

    A step of Adam moves every weight alike, so that a thousand features change the fused vector a hundred times as fast
    as ten, and have learnt the training rows by heart before the ten say anything.
    """
    groups = []
    for module in modules:
        entrances = {id(one): one.shape[0] for one in getattr(module, "enter", ())}
        for one in module.parameters():
            if one.requires_grad:
                pace = min(FASTEST, USUAL_WIDTH / entrances[id(one)]) if id(one) in entrances else 1.0
                decay = float(strength) if one.ndim > 1 else 0.0
                # decay is a share of a step: by the pace it would all but vanish for wide modalities
                groups.append({"params": [one], "lr": recipe.learning_rate * pace, "weight_decay": decay / pace})
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _batches(n: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Positions of the rows of each step, in batches of nearly equal size."""
    return np.array_split(rng.permutation(n), max(1, -(-n // size)))


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """Rows as torch reads them."""

    vectors: Mapping[str, Tensor]
    present: np.ndarray
    targets: Tensor
    multiclass: bool
    class_weights: Tensor

    @classmethod
    def of(cls, data: TrainingRows, recipe: FusionRecipe) -> Tensors:
        """The rows of ``data`` in float32."""
        weights = class_weights(data.targets, data.multiclass, recipe.balanced)
        return cls(
            vectors={name: torch.tensor(one, dtype=torch.float32) for name, one in data.rows.vectors.items()},
            present=data.rows.present,
            targets=torch.tensor(data.targets, dtype=torch.float32),
            multiclass=data.multiclass,
            class_weights=torch.tensor(weights, dtype=torch.float32),
        )

    def batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Vectors of some rows."""
        at = torch.from_numpy(rows)
        return {name: one[at] for name, one in self.vectors.items()}


def classifier_loss(
    network: FusionNetwork, data: Tensors, rows: np.ndarray, recipe: FusionRecipe, rng: np.random.Generator
) -> Tensor:
    """The recipe's loss of some rows (b,): under all their subsets, under one drawn, or as they are."""
    columns = _columns(data.present.shape[1], recipe, rng)
    owners, masks, whole = shown_subsets(data.present[rows], columns)
    if recipe.subsets == "random":
        kept = _one_each(owners, rng)
        owners, masks, whole = owners[kept], masks[kept], np.ones(len(kept), dtype=bool)
    logits = network(data.batch(rows), torch.from_numpy(owners), torch.from_numpy(masks))
    targets = data.targets[torch.from_numpy(rows[owners])]
    losses = item_losses(logits, targets, multiclass=data.multiclass, class_weights=data.class_weights)
    weights = torch.from_numpy(subset_weights(owners, whole, recipe.subset_weight)).to(losses.dtype)
    return all_subset_loss(losses, weights, len(rows))


def _columns(count: int, recipe: FusionRecipe, rng: np.random.Generator) -> np.ndarray:
    if recipe.subsets == "full":
        return np.ones((1, count), dtype=bool)
    return subset_columns(count, recipe.sampled, rng)


def _one_each(owners: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Position of one drawn subset of each row."""
    order = rng.permutation(len(owners))
    _, first = np.unique(owners[order], return_index=True)
    return np.asarray(order[first])


def held_loss(network: FusionNetwork, data: Tensors, recipe: FusionRecipe) -> float:
    """The loss of rows that are not trained on: under all subsets, unless the recipe shows whole rows alone."""
    every = recipe.with_settings(subsets="full" if recipe.subsets == "full" else "all")
    network.eval()
    with torch.no_grad():
        rows = np.arange(len(data.present))
        return float(classifier_loss(network, data, rows, every, np.random.default_rng(recipe.seed)))


def contrastive_step(
    network: FusionNetwork, projection: Projection, data: Tensors, rows: np.ndarray, form: str
) -> Tensor:
    """The loss of the stage before the classifier: each modality alone, and rows of several as they are."""
    present = data.present[rows]
    count = present.shape[1]
    singles = present[:, None, :] & np.eye(count, dtype=bool)[None]
    several = present.sum(axis=1) > 1
    shown = [(np.flatnonzero(present[:, m]), singles[present[:, m], m]) for m in range(count)]
    shown.append((np.flatnonzero(several), present[several]))
    owners = np.concatenate([one for one, _ in shown])
    masks = np.concatenate([mask for _, mask in shown])
    z = projection(network.fused(data.batch(rows), torch.from_numpy(owners), torch.from_numpy(masks)))
    views, of_row, first = {}, {}, 0
    for number, (one, _) in enumerate(shown):
        if len(one):
            views[number], of_row[number] = z[first : first + len(one)], torch.from_numpy(one)
        first += len(one)
    same = same_class(data.targets[torch.from_numpy(rows)])
    return contrastive_loss(views, of_row, same, form, projection.log_scale, projection.bias)
