"""Checks of an AdamW's state of unknown origin, which torch itself looks at in the first step only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stitchkit.core.errors import InputError

RATES = ("lr", "eps", "weight_decay")
MOMENTS = ("exp_avg", "exp_avg_sq")


def check_optimizer(state: Mapping[str, Any]) -> None:
    """Raise unless every parameter group of ``state`` holds the numbers that a step needs.

    Parameters
    ----------
    state
        ``state_dict()`` of a ``torch.optim.AdamW``.

    Raises
    ------
    InputError
        Naming the setting, with its value.

    Examples
    --------
    >>> good = {"lr": 1e-3, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.2, "params": [0]}
    >>> check_optimizer({"state": {}, "param_groups": [good]})
    >>> check_optimizer({"state": {}, "param_groups": [{**good, "lr": "fast"}]})
    Traceback (most recent call last):
    ...
    stitchkit.core.errors.InputError: the optimizer's lr is 'fast' where a number of at least 0 is needed
    """
    groups = state.get("param_groups")
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        raise InputError("the optimizer has no list of param_groups")
    for group in groups:
        for name in RATES:
            _check_number(name, group.get(name))
        betas = group.get("betas")
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise InputError(f"the optimizer's betas are {_repr(betas)} where two numbers are needed")
        for beta in betas:
            _check_number("betas", beta, below=1)
    for place, entry in _entries(state).items():
        if entry:
            _check_steps(place, entry.get("step"))


def check_precision(state: Mapping[str, Any]) -> None:
    """Raise unless the state of half precision's scale holds numbers only.

    Raises
    ------
    InputError
        Naming the entry, with its value.
    """
    for name, value in state.items():
        _check_number(str(name), value, of="precision")


def check_groups_fit(state: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise unless ``state`` is that of an optimizer with these parameter groups, switches and shapes included.

    Parameters
    ----------
    state
        ``state_dict()`` of an AdamW, checked by :func:`check_optimizer`.
    groups
        ``param_groups`` of the optimizer that is to take it.

    Raises
    ------
    InputError
        Naming the switch or the parameter, with both values.
    """
    entries, place = _entries(state), 0
    if len(state["param_groups"]) != len(groups):
        raise InputError(f"its optimizer has {len(state['param_groups'])} parameter groups and this one {len(groups)}")
    for held, group in zip(state["param_groups"], groups, strict=True):
        for name, value in group.items():
            if (value is None or isinstance(value, bool)) and held.get(name, value) is not value:
                raise InputError(f"its optimizer's {name} is {_repr(held[name])} and this one's {value}")
        _check_names(held.get("param_names"), group.get("param_names"))
        for parameter in group["params"]:
            if entry := entries.get(place):
                _check_moments(place, entry, tuple(parameter.shape))
            place += 1


def _check_names(names: Any, wanted: Sequence[str] | None) -> None:
    """Raise unless a state's parameters are those of this optimizer, in its order."""
    if wanted is not None and names != wanted:
        known = names if isinstance(names, list) else []
        name = next(
            (one for place, one in enumerate(wanted) if known[place : place + 1] != [one]), "no more parameters"
        )
        raise InputError(f"its optimizer has no {name!r} where this one has it")


def _entries(state: Mapping[str, Any]) -> Mapping[Any, Any]:
    """Number of a parameter -> its moments and steps."""
    entries = state.get("state")
    if not isinstance(entries, Mapping) or not all(isinstance(entry, Mapping) for entry in entries.values()):
        raise InputError("the optimizer has no state of its parameters")
    return entries


def _check_number(name: str, value: Any, *, of: str = "optimizer", below: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < below:
        limits = "a number of at least 0" + ("" if below == math.inf else f" and below {below:g}")
        raise InputError(f"the {of}'s {name} is {_repr(value)} where {limits} is needed")


def _check_steps(place: Any, steps: Any) -> None:
    import torch

    value = steps.item() if isinstance(steps, torch.Tensor) and steps.numel() == 1 else steps
    _check_number(f"count of steps of parameter {_repr(place)}", value)


def _check_moments(place: int, entry: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    import torch

    for name in MOMENTS:
        value = entry.get(name)
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            raise InputError(f"its optimizer's {name} of parameter {place} is no array of floats")
        if tuple(value.shape) != shape:
            raise InputError(
                f"its optimizer's {name} of parameter {place} has the shape {tuple(value.shape)} and the parameter "
                f"{shape}"
            )


def _repr(value: Any) -> str:
    return repr(value)[:80]
