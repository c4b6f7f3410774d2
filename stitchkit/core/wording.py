"""Words of messages: numbers with their nouns, and settings that each door names in its own way.

A message that names settings is built with ``+`` and is an ordinary ``str`` in Python's words::

    raise InputError(f"{path} exists. Choose another folder, or pass " + setting("overwrite", True) + ".")

``str(error)`` ends in ``pass overwrite=True.``; the command line writes ``pass --overwrite.``, where the command that
runs has that option. An f-string flattens a message to plain text, which keeps the words and loses their structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

_ABSENT = object()


def counted(n: int, one: str, many: str | None = None) -> str:
    """Number with its noun, in the singular for 1.

    Parameters
    ----------
    one, many
        The noun's singular and plural; by default the plural ends in ``s``.

    Examples
    --------
    >>> counted(1, "pair"), counted(2, "pair"), counted(0, "pair")
    ('1 pair', '2 pairs', '0 pairs')
    >>> counted(1200, "study", "studies")
    '1,200 studies'
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a function as a message names it.

    Parameters
    ----------
    name
        The parameter's name, for example ``overwrite``.
    text
        The setting in Python's words, for example ``overwrite=True``.
    value
        The value as a plain word, number, bool or None; empty for a setting that is named without one.
    otherwise
        Words for a door that has no such setting; by default ``text``.
    """

    name: str
    text: str
    value: object = ""
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """Words that only help where every setting that they name can be set.

    Parameters
    ----------
    parts
        The words and settings.
    python
        True for words that are of use in Python alone.
    """

    parts: tuple[Part, ...]
    python: bool = False

    @property
    def text(self) -> str:
        """The words in Python."""
        return "".join(one if isinstance(one, str) else one.text for one in self.parts)


Part: TypeAlias = "str | Setting | Advice"


class Message(str):
    """Text that keeps the settings it names; compares, hashes, prints and pickles as its text in Python's words.

    Examples
    --------
    >>> message = "give " + setting("metadata") + " or " + setting("store", None) + "."
    >>> message
    'give metadata= or store=None.'
    >>> message.render(lambda one: {"store": "--store none"}.get(one.name))
    'give metadata= or --store none.'
    """

    __slots__ = ("parts",)
    parts: tuple[Part, ...]

    def __new__(cls, *parts: Part) -> Message:
        """The message of these parts, one behind the other; messages among them give theirs."""
        flat = tuple(_flat(parts))
        message = super().__new__(cls, Advice(flat).text)
        message.parts = flat
        return message

    def __add__(self, other: str) -> Message:
        """This message and then other words."""
        return Message(self, other)

    def __radd__(self, other: str) -> Message:
        """Other words and then this message."""
        return Message(other, self)

    def rstrip(self, chars: str | None = None, /) -> Message:
        """The message without these characters (by default spaces) at its end."""
        *parts, last = self.parts or ("",)
        return Message(*parts, last.rstrip(chars) if isinstance(last, str) else last)

    def __reduce__(self) -> tuple[type[Message], tuple[Part, ...]]:
        """Pickle by parts."""
        return Message, self.parts

    def render(self, form: Callable[[Setting], str | None]) -> str:
        """The text at a door, where ``form`` gives a setting's words, or None for one that the door has not."""
        return _rendered(self.parts, form)


def setting(name: str, value: object = _ABSENT, *, text: str | None = None, otherwise: str | None = None) -> Message:
    """A setting as a message names it.

    Parameters
    ----------
    name
        The parameter's name.
    value
        The value that is named with it; without one the message says ``name=``.
    text
        Other words in Python than ``name=value``: code as a value, or the name alone.
    otherwise
        Words for a door that has no such setting; by default those in Python.

    Examples
    --------
    >>> setting("purpose", "head"), setting("groups"), setting("min_r2", text="min_r2")
    ("purpose='head'", 'groups=', 'min_r2')
    """
    if text is None:
        text = f"{name}={'' if value is _ABSENT else repr(value) if isinstance(value, str) else value}"
    return Message(Setting(name, text, "" if value is _ABSENT else value, otherwise))


def advice(*parts: str) -> Message:
    """Words that a door leaves out if it lacks a setting that they name."""
    return Message(Advice(tuple(_flat(parts))))


def python_advice(text: str) -> Message:
    """Words that are of use in Python alone, which other doors leave out."""
    return Message(Advice((text,), python=True))


def _flat(parts: tuple[Part, ...]) -> Iterator[Part]:
    for one in parts:
        if isinstance(one, Message):
            yield from one.parts
        else:
            yield one


def _rendered(parts: tuple[Part, ...], form: Callable[[Setting], str | None]) -> str:
    words = []
    for one in parts:
        if isinstance(one, Setting):
            words_there = form(one)
            words.append(
                words_there if words_there is not None else one.text if one.otherwise is None else one.otherwise
            )
        elif isinstance(one, Advice):
            helps = not one.python and all(form(part) is not None for part in one.parts if isinstance(part, Setting))
            words.append(_rendered(one.parts, form) if helps else "")
        else:
            words.append(one)
    return "".join(words)


NO_PATIENTS = (
    "patients not known, so that a patient's pairs may be on both sides of a fold: name the column of the table of "
    "anchors that holds them 'patient' or 'patient_id', or pass " + setting("groups")
)
