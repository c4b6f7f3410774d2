"""The state of a tuning on disk, from which a stopped run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.strict_json import parse_json
from stitchkit.storage.artefact_schemas import Count, check_fields
from stitchkit.training.binding.validation import BindingLoss
from stitchkit.training.checkpoints import STATE, read_state, save_state
from stitchkit.training.optimizer_states import check_optimizer


class TuningFields(msgspec.Struct):
    """The state's fields; ``start``, ``best`` and ``recipe`` are JSON."""

    learnt: dict[str, Any]
    kept: dict[str, Any]
    optimizer: dict[str, Any]
    step: Count
    since: Count
    start: str
    best: str
    recipe: str
    data: str


@dataclass(frozen=True, slots=True)
class TuningState:
    """State of a run after a look at what is held out.

    Parameters
    ----------
    learnt, kept
        Name of each parameter -> its value now, and at the best step.
    optimizer
        State of the optimizer.
    step, since
        Steps made, and looks since the best one.
    start, best
        Losses before the first step, and of the best one.
    recipe
        The recipe in plain values.
    data
        Digest of what was read.
    """

    learnt: Mapping[str, Any]
    kept: Mapping[str, Any]
    optimizer: dict[str, Any]
    step: int
    since: int
    start: BindingLoss
    best: BindingLoss
    recipe: Mapping[str, Any]
    data: str


def save_tuning_state(folder: Path, state: TuningState) -> None:
    """Write the state in one step."""
    save_state(folder, {
        "learnt": dict(state.learnt), "kept": dict(state.kept), "optimizer": state.optimizer, "step": state.step,
        "since": state.since, "start": json.dumps(state.start.to_dict()), "best": json.dumps(state.best.to_dict()),
        "recipe": json.dumps(dict(state.recipe)), "data": state.data,
    })  # fmt: skip


def read_tuning_state(folder: Path) -> TuningState | None:
    """The state in which the run in ``folder`` was stopped, or None.

    Raises
    ------
    DataError
        If the file of its state is damaged, or holds something else.
    """
    state = read_state(folder)
    if state is None:
        return None
    try:
        fields = check_fields(state, TuningFields)
        start, best, recipe = (parse_json(one) for one in (fields.start, fields.best, fields.recipe))
        check_optimizer(fields.optimizer)
        return TuningState(
            state["learnt"], state["kept"], state["optimizer"], fields.step, fields.since,
            BindingLoss.of_dict(check_fields(start, dict[str, Any])),
            BindingLoss.of_dict(check_fields(best, dict[str, Any])), check_fields(recipe, dict[str, Any]), fields.data,
        )  # fmt: skip
    except (InputError, ValueError) as error:
        raise DataError(
            f"{folder / STATE} holds no state of a binding's tuning: {str(error).rstrip('.')}. Move it away to begin "
            f"again."
        ) from error
