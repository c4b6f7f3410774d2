"""What a shared encoder is worth on pairs it has not seen: loss, and retrieval among distinct captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.wording import counted
from stitchkit.metrics.ranks import chance_both_ways, pair_ranks, pair_ranks_back, recall_at
from stitchkit.storage.artefact_schemas import check_fields
from stitchkit.training.loading import each_tensor
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.objective import join_outputs

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from stitchkit.encoders.pair_network import PairNetwork
    from stitchkit.training.modality_data import ModalityData
    from stitchkit.training.objectives.objective import Objective, Outputs
    from stitchkit.training.pairs import TrainingPairs
    from stitchkit.training.recipes import Recipe

PLACES = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Validation(NotebookText):
    """The network after one step.

    Parameters
    ----------
    step
        Number of steps made.
    loss
        Mean over whole batches of the recipe's size, in the order of the pairs; what is left over would be easier.
    reciprocal
        Mean reciprocal rank of the best right partner, mean of both ways.
    recall
        ``"text@1"``, ... images ask for captions; ``"image@1"``, ... the other way; or as the modalities are called.
    chance
        The same of shuffled pairs.
    pairs, captions
        Numbers of pairs and of distinct captions in the gallery.
    """

    step: int
    loss: float
    reciprocal: float
    recall: dict[str, float]
    chance: dict[str, float]
    pairs: int
    captions: int

    def better_than(self, other: Validation | None, by: str) -> bool:
        """Whether its weights are to be kept: by the ``"loss"``, or by the ``"rank"``."""
        if other is None:
            return True
        return self.loss < other.loss if by == "loss" else self.reciprocal > other.reciprocal

    @property
    def brief(self) -> str:
        """In one line."""
        there, back = (value for key, value in self.recall.items() if key.endswith("@1"))
        return f"validation {self.loss:.4f}, R@1 {there:.3f} and {back:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {f"valid_{key}" if key != "step" else key: value for key, value in asdict(self).items()}

    @classmethod
    def of_dict(cls, plain: Mapping[str, Any]) -> Validation:
        """The validation whose :meth:`to_dict` is ``plain``.

        Raises
        ------
        InputError
            If a number is missing or of another type.
        """
        return check_fields({key.removeprefix("valid_"): value for key, value in plain.items()}, cls)

    def __str__(self) -> str:
        lines = [
            f"validation loss {self.loss:.4f}; {counted(self.pairs, 'pair')}, "
            f"{counted(self.captions, 'distinct caption')}"
        ]
        lines += [f"R@{key.partition('@')[2]} of {key.partition('@')[0]}s {value:.3f} (chance {self.chance[key]:.3f})"
                  for key, value in self.recall.items()]  # fmt: skip
        return "\n".join(lines)


def validate(
    network: PairNetwork, objective: Objective, held: TrainingPairs, recipe: Recipe, fabric: Fabric, step: int
) -> Validation:
    """The network on pairs that were held out, by the first process; the others get its result."""
    result = _validation(network, objective, held, recipe, fabric, step) if fabric.is_global_zero else None
    return cast(Validation, fabric.broadcast(result))


def _validation(
    network: PairNetwork, objective: Objective, held: TrainingPairs, recipe: Recipe, fabric: Fabric, step: int
) -> Validation:
    size, losses, pieces = recipe.training.batch, [], []
    with _evaluating(network, objective):
        for start in range(0, len(held), size):
            rows = np.arange(start, min(start + size, len(held)))
            outputs = _outputs(network, objective, held, rows, recipe, fabric)
            if len(rows) == size or start == 0:  # what is left over would be easier
                losses.append(float(objective.loss(outputs, held.facts(rows, fabric.device))))
            pieces.append([pooled.cpu() for pooled, *_ in outputs.values()])
    left, right = (
        nn.functional.normalize(torch.cat(pooled), dim=1).double().numpy() for pooled in zip(*pieces, strict=True)
    )
    items, captions = held.modalities
    _, first, truth = np.unique(held.captions, return_index=True, return_inverse=True)
    truth = truth.reshape(-1)
    there, back = pair_ranks(left, right[first], truth), pair_ranks_back(left, right[first], truth)
    recall = {f"{captions}@{k}": recall_at(there, k) for k in PLACES}
    recall |= {f"{items}@{k}": recall_at(back, k) for k in PLACES}
    by_chance = [way.mean(axis=0).tolist() for way in chance_both_ways(left, right[first], truth, PLACES)]
    chance = {f"{captions}@{k}": by_chance[0][i] for i, k in enumerate(PLACES, 1)}
    chance |= {f"{items}@{k}": by_chance[1][i] for i, k in enumerate(PLACES, 1)}
    reciprocal = float(np.mean([np.mean(ranks.reciprocal) for ranks in (there, back)]))
    return Validation(step, float(np.mean(losses)), reciprocal, recall, chance, len(held), len(first))


@contextmanager
def _evaluating(*modules: nn.Module) -> Iterator[None]:
    """Modules in evaluation mode and without gradients inside the block, in training mode after it."""
    for module in modules:
        module.eval()
    with torch.no_grad():
        yield
    for module in modules:
        module.train()


def _outputs(
    network: PairNetwork, objective: Objective, pairs: TrainingPairs, rows: np.ndarray, recipe: Recipe, fabric: Fabric
) -> Outputs:
    """Outputs (b, ...) of some rows that the objective takes, a chunk at a time."""

    def batch_of(data: ModalityData, rows: np.ndarray) -> Any:
        return each_tensor(data.fetch(rows, 0), lambda tensor: tensor.to(fabric.device))

    pieces, chunk = [], recipe.training.chunk
    with fabric.autocast():
        for start in range(0, len(rows), chunk):
            some = rows[start : start + chunk]
            draws = RowDraws(recipe.seed, 0, some)
            pieces.append({
                name: objective.outputs(network, name, data.to_inputs(batch_of(data, some)), draws)
                for name, data in pairs.modalities.items()
            })  # fmt: skip
    return join_outputs(pieces)
