"""Tokenizers from a ``tokenizer.json``, without the faults on which the library ends the process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stitchkit.core import strict_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PREFIX = re.compile(rb'"continuing_subword_prefix"\s*:\s*"[^"]')


def read_tokenizer(content: bytes) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``.

    Raises
    ------
    ValueError
        If it is none, or one on which the library would end the process.
    """
    from tokenizers import Tokenizer

    check_merges(content)
    try:
        return Tokenizer.from_buffer(content)
    except Exception as error:  # the library's only kind of error is a plain one
        if type(error) is not Exception:
            raise
        raise ValueError(str(error)) from error


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
    values = strict_json.parse_json(content, any_float=True)
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
