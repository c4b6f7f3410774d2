"""Messages in the words of the command that runs: the settings they name become its options."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from typer.core import TyperCommand

from stitchkit.core.wording import Message, Setting

OPTIONS: Mapping[str, tuple[str, ...]] = {  # setting -> the options that set it, where they are not --setting
    "at": (),
    "classes": ("--class",),
    "embeddings": ("--encoder", "--items"),
    "held_out": ("--test",),
    "id": ("--id-column",),
    "images": (),  # a folder of a data set; the option counts images to show
    "label": ("--label-column",),
    "other": (),
    "pairs": (),
    "pool": ("--pool-source", "--pool-target"),
    "target": (),
    "text": (),
    "vectors": ("--encoder", "--embeddings"),
}
EITHER = {"vectors"}  # settings that one of their options gives
AS_TEXT = {"embeddings": "for the vectors"}  # what the options give, where they say less than the setting
READER, OF_READER = (
    "--set",
    {
        "classes",
        "id",
        "images",
        "label",
        "missing",
        "reports",
        "reports_root",
        "uncertain",
    },
)  # --set KEY=VALUE

WITH_MESSAGES = {"not_calibrated", "not_compared", "not_judged", "notes"}  # fields of results that hold messages
_OPTIONS: ContextVar[Sequence[Any]] = ContextVar("options of the command that runs")


@dataclass(frozen=True, slots=True)
class Flags:
    """The options of one command.

    Parameters
    ----------
    takes_value
        Option -> True if a value follows it.
    """

    takes_value: Mapping[str, bool]

    @classmethod
    def of(cls, options: Iterable[Any]) -> Flags:
        """The options among the parameters of a command."""
        return cls({name: not getattr(one, "is_flag", False) for one in options for name in one.opts})

    def form(self, setting: Setting) -> str | None:
        """The options that set ``setting``, with its value; None if this command has none."""
        names = OPTIONS.get(setting.name, (f"--{setting.name.replace('_', '-')}",))
        if not names or not all(name in self.takes_value for name in names):
            if READER in self.takes_value and setting.name in OF_READER:
                text = _word(setting.value) if setting.value != "" else "..."
                return f"{READER} {shlex.quote(f'{setting.name}={text}')}"
            return None
        value, with_value = setting.value, self.takes_value[names[0]]
        if isinstance(value, bool) if with_value else value not in (True, ""):
            return None
        either = " or " if setting.name in EITHER else " and "
        words = [either.join(names), *([shlex.quote(_word(value))] if with_value and value != "" else [])]
        return " ".join([*words, *([AS_TEXT[setting.name]] if setting.name in AS_TEXT else [])])


def _word(value: object) -> str:
    return "none" if value is None else str(value)


class Command(TyperCommand):
    """A command whose options the messages of its run name."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        _OPTIONS.set(self.params)
        return super().invoke(ctx)


def options_of_run() -> Sequence[Any]:
    """The options of the command that runs; none before and after it."""
    return _OPTIONS.get(())


def forget_command() -> None:
    """End a command line: no command runs any more."""
    _OPTIONS.set(())


def in_flags(value: Any) -> Any:
    """``value`` with its messages in the words of the command that runs: a text, a document, or a result with notes."""
    if isinstance(value, Message):
        return value.render(Flags.of(options_of_run()).form).rstrip()
    if isinstance(value, Mapping):
        return {name: in_flags(one) for name, one in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(in_flags, value))
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name for one in fields(value)} & WITH_MESSAGES
        return replace(value, **{name: in_flags(getattr(value, name)) for name in named})
    return value
