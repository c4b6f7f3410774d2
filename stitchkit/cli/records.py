"""Records of options: frozen dataclasses whose fields a command has as options, each declared in one place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer.core import TyperCommand

from stitchkit.core.wording import Message

DANGEROUS = "Dangerous options"  # the last panel of a command's help


@dataclass(frozen=True, slots=True)
class Subset:
    """Fields of a record that a command has; the others keep their defaults."""

    names: tuple[str, ...]
    kept: bool

    def __contains__(self, name: str) -> bool:
        return (name in self.names) is self.kept


def only(*names: str) -> Subset:
    """The fields ``names`` of a record and no other, in ``Annotated[Record, only(...)]``."""
    return Subset(names, kept=True)


def without(*names: str) -> Subset:
    """All fields of a record but ``names``, in ``Annotated[Record, without(...)]``."""
    return Subset(names, kept=False)


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as typer reads it: a parameter that is a record becomes the options of the record's fields.

    Parameters
    ----------
    command
        Its annotations are types, ``Annotated`` with typer's own, or records: dataclasses with such fields.
    """
    options: list[inspect.Parameter] = []
    records: dict[str, tuple[Any, list[str]]] = {}
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        record, *extras = get_args(parameter.annotation) if _is_annotated(parameter) else [parameter.annotation]
        if not is_dataclass(record):
            options.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        hints, subset = get_type_hints(record, include_extras=True), next(iter(extras), without())
        shown = [field for field in fields(record) if field.name in subset]
        records[name] = record, [field.name for field in shown]
        options += [_parameter(field.name, hints[field.name], field.default) for field in shown]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        for name, (record, names) in records.items():
            values[name] = record(**{one: values.pop(one) for one in names})
        command(**values)

    options.sort(key=_is_dangerous)
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in options}
    return call


def _is_annotated(parameter: inspect.Parameter) -> bool:
    return get_origin(parameter.annotation) is Annotated


def _is_dangerous(option: inspect.Parameter) -> bool:
    return any(getattr(extra, "rich_help_panel", None) == DANGEROUS for extra in get_args(option.annotation)[1:])


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A field as a parameter of the command; without a default it must be given."""
    usual = inspect.Parameter.empty if default is MISSING else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=usual, annotation=annotation)


WITH_MESSAGES = {"left_out", "notes"}  # fields of results that hold messages
_OPTIONS: ContextVar[Sequence[Any]] = ContextVar("options of the command that runs")


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
        from stitchkit.cli.flags import Flags  # only where a message names a setting

        return value.render(Flags.of(options_of_run()).form).rstrip()
    if isinstance(value, Mapping):
        return {name: in_flags(one) for name, one in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(in_flags, value))
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name for one in fields(value)} & WITH_MESSAGES
        return replace(value, **{name: in_flags(getattr(value, name)) for name in named})
    return value
