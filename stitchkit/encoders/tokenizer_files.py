"""Faults of a ``tokenizer.json`` on which the tokenizers library ends the process instead of raising an error."""

from __future__ import annotations

import re
from typing import Any

from stitchkit.core import strict_json

_PREFIX = re.compile(rb'"continuing_subword_prefix"\s*:\s*"[^"]')


def check_merges(content: bytes) -> None:
    """Raise for merges whose second part lacks the prefix of parts that continue a word.

    The library cuts that prefix off without looking; where the part is shorter it panics, and the process ends.

    Parameters
    ----------
    content
        The file.

    Raises
    ------
    ValueError
        For such a merge, and for a file with such a prefix that is no JSON.

    Examples
    --------
    >>> model = '{"continuing_subword_prefix": "##", "merges": [["a", "b"]]}'
    >>> check_merges(b'{"model": %s}' % model.encode())
    Traceback (most recent call last):
    ...
    ValueError: the merge ['a', 'b'] does not continue with '##', the prefix of parts that continue a word
    """
    if not _PREFIX.search(content):
        return
    values = strict_json.parsed(content, any_float=True)
    model = values.get("model") if isinstance(values, dict) else None
    if not isinstance(model, dict) or not isinstance(prefix := model.get("continuing_subword_prefix"), str):
        return
    for merge in model.get("merges") or ():
        if isinstance(second := _second(merge), str) and not second.startswith(prefix):
            raise ValueError(
                f"the merge {merge!r} does not continue with {prefix!r}, the prefix of parts that continue a word"
            )


def _second(merge: Any) -> Any:
    """The second part of a merge, which is a pair or, in older files, one text with a space."""
    parts = merge.split(" ") if isinstance(merge, str) else merge
    return parts[1] if isinstance(parts, list) and len(parts) == 2 else None
