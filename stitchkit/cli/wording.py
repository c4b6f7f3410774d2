"""The library's messages in the words of the command line: settings as flags."""

from __future__ import annotations

import re

_FLAGS = {  # setting of a function -> flag of a command
    "allow_leakage": "--allow-leakage",
    "by": "--by",
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
    "on_error": "--on-error",
    "overwrite": "--overwrite",
    "purpose": "--purpose",
    "root": "--root",
    "store": "--store",
    "trust_remote_code": "--trust-remote-code",
    "uncertain": "--uncertain",
}
_BARE = {
    "min_positives": "--min-positives",
    "min_mrr": "--min-mrr",
    "min_recall_at_1": "--min-recall-at-1",
    "min_r2": "--min-r2",
}  # told without a value
_NAMED = re.compile(rf"(?<=[ (])({'|'.join(_BARE)})(?=[\s.,;)]|$)")
_OTHERS = re.compile(r"(?<=--min-r2 or )against\b")  # elsewhere an ordinary word
_PYTHON = (" Or pass a solver value.",)  # advice that a shell cannot follow
# not inside a path, a quoted name or an encoder's options
_SETTING = re.compile(rf"(?<=[ (])({'|'.join(_FLAGS)})=(?:'([\w.:-]*)'|(True|None|\d+)\b)?(?=[\s.,;)]|$)")


def as_flags(message: str) -> str:
    """``message`` with ``setting='value'`` written as ``--setting value``, without advice for Python alone.

    Examples
    --------
    >>> as_flags("this machine has no device 'cuda'. Use device='auto' or 'cpu'.")
    "this machine has no device 'cuda'. Use --device auto or 'cpu'."
    >>> as_flags("pass overwrite=True, or store=None.")
    'pass --overwrite, or --store none.'
    >>> as_flags("give min_mrr, min_r2 or against.")
    'give --min-mrr, --min-r2 or --against.'
    """

    def flag(found: re.Match[str]) -> str:
        name, text, word = found.groups()
        value = text or {None: "", "True": "", "None": "none"}.get(word, word)
        return f"{_FLAGS[name]} {value}".rstrip()

    for advice in _PYTHON:
        message = message.replace(advice, "")
    message = _NAMED.sub(lambda found: _BARE[found[1]], _SETTING.sub(flag, message))
    return _OTHERS.sub("--against", message)
