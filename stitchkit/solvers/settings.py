"""Checks of the settings of solvers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from stitchkit.core.errors import InputError, UnknownNameError

SCALES = ("none", "source", "both")  # which sides are divided by their per-feature standard deviation


def plain_numbers(solver: Any) -> None:
    """Settings that are numpy numbers become Python's, so that a record of them can be written."""
    for one in fields(solver):
        value = getattr(solver, one.name)
        if isinstance(value, np.generic):
            object.__setattr__(solver, one.name, value.item())


def check_scale(scale: str) -> None:
    """Raise for a scaling that does not exist."""
    if scale not in SCALES:
        raise UnknownNameError.of("scale", scale, SCALES)


def check_pca(pca: int | None) -> None:
    """Raise for a number of principal directions that cannot be kept."""
    check_number_kept(pca, "pca")


def check_number_kept(number: int | None, name: str) -> None:
    """Raise unless ``number`` is None, for all, or a whole number of directions."""
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        raise InputError(f"{name} is a number of directions, {name} >= 1, or None for all; got {number!r}.")


def check_strength(value: float, name: str, hint: str = "") -> None:
    """Raise unless ``value`` is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"{name} must be finite and {name} > 0; got {value!r}.{hint}")


def check_cut(rcond: float) -> None:
    """Raise unless ``rcond`` is a share, from 0 up to 1."""
    if isinstance(rcond, bool) or not isinstance(rcond, int | float) or not 0 <= rcond < 1:
        raise InputError(f"rcond is a share of the largest singular value, 0 <= rcond < 1; got {rcond!r}.")
