"""The library's messages in the words of the command line: settings as flags."""

from __future__ import annotations

import re

_FLAGS = {  # setting of a function -> flag of a command
    "classes": "--class",
    "column": "--column",
    "device": "--device",
    "dtype": "--dtype",
    "embeddings": "--encoder and --items for the vectors",
    "groups": "--groups",
    "id": "--id-column",
    "items": "--items",
    "label": "--label-column",
    "metadata": "--metadata",
    "offline": "--offline",
    "overwrite": "--overwrite",
    "purpose": "--purpose",
    "root": "--root",
    "store": "--store",
    "trust_remote_code": "--trust-remote-code",
    "uncertain": "--uncertain",
}
# not inside a path, a quoted name or an encoder's options
_SETTING = re.compile(rf"(?<=[ (])({'|'.join(_FLAGS)})=(?:'([\w.:-]*)'|(True|None|\d+)\b)?(?=[\s.,;)]|$)")


def as_flags(message: str) -> str:
    """``message`` with ``setting='value'`` written as ``--setting value``.

    Examples
    --------
    >>> as_flags("this machine has no device 'cuda'. Use device='auto' or 'cpu'.")
    "this machine has no device 'cuda'. Use --device auto or 'cpu'."
    >>> as_flags("pass overwrite=True, or store=None.")
    'pass --overwrite, or --store none.'
    """

    def flag(found: re.Match[str]) -> str:
        name, text, word = found.groups()
        value = text or {None: "", "True": "", "None": "none"}.get(word, word)
        return f"{_FLAGS[name]} {value}".rstrip()

    return _SETTING.sub(flag, message)
