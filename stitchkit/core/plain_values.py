"""Plain values of results for JSON: no NaN, no infinity, no numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Convert ``value`` for JSON: None for NaN and infinity, lists for tuples and arrays.

    Examples
    --------
    >>> import numpy as np
    >>> plain({"auroc": (np.float64(0.5), float("nan")), "n": np.int64(3), "counts": np.arange(2)})
    {'auroc': [0.5, None], 'n': 3, 'counts': [0, 1]}
    """
    if isinstance(value, Mapping):
        return {_key(key): plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):  # numpy
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _key(key: Any) -> Any:
    """A key for JSON; keys that are no text and no number as they print."""
    key = key.item() if hasattr(key, "item") else key
    return key if key is None or isinstance(key, str | int | float) else str(key)


def plain_values(method: Callable[[T], Mapping[str, Any]]) -> Callable[[T], dict[str, Any]]:
    """Decorate a ``to_dict`` so that its values are :func:`plain`."""

    @wraps(method)
    def to_dict(self: T) -> dict[str, Any]:
        result: dict[str, Any] = plain(method(self))
        return result

    return to_dict
