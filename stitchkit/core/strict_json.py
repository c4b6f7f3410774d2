"""Strict JSON for files of unknown origin: no repeated key, no NaN, no endless number or nesting."""

from __future__ import annotations

import json
from typing import Any

_MOST_DIGITS = 40  # of a whole number, above int(1e30) of tokenizers; Python's own limit of 4300 prints pages
_MOST_LEVELS = 100  # of brackets in brackets; readers may recurse through them, and Python's own limit varies
_TOO_DEEP = "its brackets are nested too deep"


def parse_json(text: bytes | str, *, nan_is_null: bool = False, any_float: bool = False) -> Any:
    """Parse a JSON text.

    Parameters
    ----------
    text
        Bytes in UTF-8, with or without a byte order mark, or a text.
    nan_is_null
        Read NaN, which Python writes for a missing number, as None instead of refusing it.
    any_float
        Read NaN and infinities as the floats they are: for settings of other libraries, which write them.

    Raises
    ------
    ValueError
        If it is no JSON or no UTF-8, an object has one key twice, a number is NaN, infinite or endless, or brackets
        are nested more than 100 levels deep.

    Examples
    --------
    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> parse_json("[Infinity]", any_float=True)
    [inf]
    >>> parse_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ...
    ValueError: the key 'a' stands twice in one object
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=float if any_float else _null if nan_is_null else _no_constant,
            parse_int=_whole,
            parse_float=float if any_float else _finite,
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_levels(value)
    return value


def _check_levels(value: Any) -> None:
    """Raise for lists and objects nested deeper than ``_MOST_LEVELS``; without recursion."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [
            one
            for outer in level
            if isinstance(outer, dict | list)
            for one in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(one, dict | list)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for key, value in pairs:
        if key in items:
            raise ValueError(f"the key {key[:80]!r} stands twice in one object")
        items[key] = value
    return items


def _null(name: str) -> None:
    if name != "NaN":
        _no_constant(name)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits is too long")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:40]} is beyond the range of floats")
    return value
