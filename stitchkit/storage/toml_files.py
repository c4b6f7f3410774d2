"""Settings from TOML files, read by msgspec into records; errors name the file, the table, the key and its value."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.seeds import LARGEST_SEED
from stitchkit.storage.path_checks import checked_file


class Texts(tuple[str, ...]):
    """A list of texts, at least one; a bare text in a file is a list of one."""

    __slots__ = ()


# the description of a type is what an error says of its key
Text = Annotated[str, Meta(pattern=r"\S", description="a text")]
Flag = Annotated[bool, Meta(description="true or false")]
_LARGEST_WHOLE = 2**53  # that a float holds to the unit
Whole = Annotated[int, Meta(ge=0, le=_LARGEST_WHOLE, description="a whole number, 0 or more")]
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED, description=f"a whole number from 0 to {LARGEST_SEED}")]
AtLeastOne = Annotated[int, Meta(ge=1, le=_LARGEST_WHOLE, description="a whole number, 1 or more")]
Width = Annotated[int, Meta(ge=1, le=2**16, description="a whole number from 1 to 65536")]
# a number that was written without a decimal point stays whole: digests of settings tell 1 from 1.0
_LARGEST = sys.float_info.max  # not infinite
Positive = (
    Annotated[int, Meta(gt=0, le=_LARGEST_WHOLE)]
    | Annotated[float, Meta(gt=0, le=_LARGEST, description="a number above 0")]
)  # fmt: skip
NotNegative = (
    Annotated[int, Meta(ge=0, le=_LARGEST_WHOLE)]
    | Annotated[float, Meta(ge=0, le=_LARGEST, description="a number, 0 or more")]
)  # fmt: skip
Share = (
    Annotated[int, Meta(gt=0, le=1)] | Annotated[float, Meta(gt=0, le=1, description="a share in (0, 1]")]
)  # fmt: skip

Weight = (  # of a term of a loss, or of decay
    Annotated[int, Meta(ge=0, le=1000)] | Annotated[float, Meta(ge=0, le=1000, description="a number from 0 to 1000")]
)
Rate = (
    Annotated[int, Meta(gt=0, le=100)] | Annotated[float, Meta(gt=0, le=100, description="a rate in (0, 100]")]
)  # fmt: skip

_DESCRIPTIONS = {Texts: "a list of texts", Path: "a text"}


def read_toml(path: str | Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises
    ------
    DataError
        If no file has such a path, or it cannot be parsed.
    """
    path = checked_file(path, "a TOML file")
    if path.is_dir():
        raise DataError(f"{path} is a folder. Name a TOML file.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}. Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the file {path} cannot be read: {error}.") from error
    except ValueError as error:  # of the grammar, or a whole number of thousands of digits
        raise DataError(f"the file {path} cannot be parsed: {error}. Correct it there.") from error
    except RecursionError as error:
        raise DataError(f"the file {path} cannot be parsed: its brackets are nested too deep.") from error


def merge(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a TOML file with some keys changed.

    Parameters
    ----------
    changes
        Key -> other value. A table changes the keys that it names, and None takes a key out.

    Examples
    --------
    >>> merge({"seed": 1, "grid": {"draws": 3, "clip": "x"}}, {"seed": 2, "grid": {"clip": None}})
    {'seed': 2, 'grid': {'draws': 3}}
    """
    merged = dict(content)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(value, Mapping):
            value = merge(before if isinstance(before, Mapping) else {}, value)
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def read_record(
    content: Mapping[str, Any],
    kind: Any,
    file: Path,
    *,
    table: str = "",
    folder: Path | None = None,
    hidden: Collection[str] = (),
) -> Any:
    """A record of the content of a TOML file.

    Parameters
    ----------
    content
        Content of the file, as :func:`read_toml` returns it.
    kind
        A frozen ``msgspec.Struct`` with ``forbid_unknown_fields``, or a union of several, told apart by their tag.
        Relative paths in fields of type ``Path`` begin at ``folder``.
    file
        Path of the file, for messages.
    table
        Name of the table that ``content`` is, for messages; empty, the default, for the whole file.
    folder
        Folder of relative paths; None, the default, for that of the file.
    hidden
        Fields of the record that a file must not state.

    Raises
    ------
    DataError
        For a missing or unknown key (the nearest is listed), a value of a wrong kind, or values that a record refuses
        together: a ValueError of its ``__post_init__``.

    Examples
    --------
    >>> Grid = msgspec.defstruct("Grid", [("draws", Whole, 1)], frozen=True, forbid_unknown_fields=True)
    >>> Plan = msgspec.defstruct("Plan", [("grid", Grid)], frozen=True, forbid_unknown_fields=True)
    >>> read_record({"grid": {"draws": 3}}, Plan, Path("plan.toml"))
    Plan(grid=Grid(draws=3))
    >>> read_record({"grid": {"darws": 3}}, Plan, Path("plan.toml"))
    Traceback (most recent call last):
    stitchkit.core.errors.DataError: no key of [grid] in plan.toml is called 'darws'; nearest: draws.
    """
    decode = partial(_decode, file.parent if folder is None else folder)
    tables = (table,) if table else ()
    faults = _Faults(file, decode, tables, hidden=frozenset(hidden), rivals=() if table else _records(kind))
    if any(key in hidden for key in content):
        raise DataError(faults.of_table(content, kind))
    try:
        return msgspec.convert(content, kind, dec_hook=decode)
    except msgspec.ValidationError as error:
        raise DataError(faults.of_table(content, kind) or f"{file}: {error}.") from error


def _decode(folder: Path, kind: type, value: Any) -> Any:
    """Values of the types that msgspec does not know."""
    if kind is Path:
        return folder / os.path.expanduser(msgspec.convert(value, Text))
    listed = [value] if isinstance(value, str) else value
    return Texts(msgspec.convert(listed, Annotated[tuple[Text, ...], Meta(min_length=1)]))


@dataclass(frozen=True, slots=True)
class _Faults:
    """Search for the first key that a record does not take; msgspec's own errors do not name keys of dictionaries.

    ``tables`` is the path of the table that is looked at, ``hidden`` are fields that a file must not state, and
    ``rivals`` the records of a union that the whole file is read into.
    """

    file: Path
    decode: Callable[[type, Any], Any]
    tables: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    rivals: tuple[type[msgspec.Struct], ...] = ()

    @property
    def where(self) -> str:
        """The table and the file."""
        return f"[{'.'.join(self.tables)}] in {self.file}" if self.tables else str(self.file)

    def below(self, key: str) -> _Faults:
        """The same for a table of this one."""
        return replace(self, tables=(*self.tables, key))

    def of_table(self, content: Mapping[str, Any], kind: Any) -> str:
        """The first fault of a table that is read into a record, in words; empty where there is none."""
        record = _record_of(content, kind)
        if record is None:
            return self._of_tag(content, kind)
        tag = record.__struct_config__.tag_field
        fields = {name: one for name, one in _fields(record).items() if self.tables or name not in self.hidden}
        known = [*fields, *([tag] if tag else [])]
        for key in content:
            if key not in known:
                return self._of_unknown(key, known)
        for name, field in fields.items():
            if name in content:
                if fault := self.of_value(name, content[name], field.type):
                    return fault
            elif field.required:
                return f"{self.where} lacks {name!r}: {_description(name, field.type)}."
        try:
            msgspec.convert(content, record, dec_hook=self.decode)
        except msgspec.ValidationError as error:
            return f"{self.where}: {str(error.__cause__ or error).rstrip('.')}."
        return ""

    def of_value(self, key: str, value: Any, kind: Any) -> str:
        """The same of one value."""
        inner = get_args(_bare(kind))[1] if get_origin(_bare(kind)) in (dict, Mapping) else None
        if (_records(kind) or inner) and not isinstance(value, Mapping):
            return f"{key!r} of {self.where} is {_description(key, kind)}; got {value!r}."
        if _records(kind):
            return self.below(key).of_table(value, kind)
        if (listed := _listed_record(kind)) and isinstance(value, Sequence) and not isinstance(value, str):
            entries = (self.below(f"{key}, entry {number}") for number in range(1, len(value) + 1))
            faults = (
                entry.of_table(one, listed) if isinstance(one, Mapping) else f"{entry.where} is a table; got {one!r}."
                for entry, one in zip(entries, value, strict=True)
            )
            return next((fault for fault in faults if fault), "")
        if inner:
            faults = (self.below(key).of_value(str(name), one, inner) for name, one in value.items())
            return next((fault for fault in faults if fault), "")
        try:
            msgspec.convert(value, kind, dec_hook=self.decode)
        except msgspec.ValidationError:
            if get_origin(_bare(kind)) is Literal and isinstance(value, str):
                return str(UnknownNameError.of(f"{key} of {self.where}", value, get_args(_bare(kind))))
            return f"{key!r} of {self.where} is {_description(key, kind)}; got {value!r}."
        return ""

    def _of_tag(self, content: Mapping[str, Any], kind: Any) -> str:
        """The fault of a table that does not say which record of a union it is."""
        configs = [one.__struct_config__ for one in _records(kind)]
        key, tags = str(configs[0].tag_field), [str(one.tag) for one in configs]
        return self.of_value(key, content[key], Literal[tuple(tags)]) if key in content else (
            f"{self.where} lacks {key!r}: {_any_of(tags)}."
        )  # fmt: skip

    def _of_unknown(self, key: str, known: Collection[str]) -> str:
        others = [one for one in self.rivals if self._takes(one, key)]
        configs = [one.__struct_config__ for one in others]
        hint = f"It is a key of {configs[0].tag_field} = {_any_of([one.tag for one in configs])}." if others else ""
        if not known:
            return f"no key of {self.where} is called {key!r}; the table has none.{' ' + hint if hint else ''}"
        return str(UnknownNameError.of(f"key of {self.where}", key, known, hint))

    def _takes(self, record: type[msgspec.Struct], key: str) -> bool:
        """True if another record of the union has such a key in this table."""
        for name in self.tables:
            inside = _records(_fields(record)[name].type) if name in _fields(record) else ()
            if not inside:
                return False
            record = inside[0]
        return key in _fields(record) and not (not self.tables and key in self.hidden)


def _fields(record: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a record by their keys in a file."""
    return {one.encode_name: one for one in msgspec.structs.fields(record)}


def _bare(kind: Any) -> Any:
    """A type without its annotations."""
    return _bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _members(kind: Any) -> Iterator[Any]:
    """The types of a union, or the only one; annotations stay."""
    if get_origin(_bare(kind)) in (Union, UnionType):
        for one in get_args(_bare(kind)):
            yield from _members(one)
    else:
        yield kind


def _records(kind: Any) -> tuple[type[msgspec.Struct], ...]:
    """The records among the types of a union."""
    each = [_bare(one) for one in _members(kind)]
    return tuple(one for one in each if isinstance(one, type) and issubclass(one, msgspec.Struct))


def _listed_record(kind: Any) -> type[msgspec.Struct] | None:
    """The record that a list is of; None for another type."""
    inside = get_args(_bare(kind)) if get_origin(_bare(kind)) in (tuple, list) else ()
    return next(iter(_records(inside[0])), None) if inside else None


def _record_of(content: Mapping[str, Any], kind: Any) -> type[msgspec.Struct] | None:
    """The record that a table is read into; None where its tag is missing or unknown."""
    records = _records(kind)
    if len(records) == 1:
        return records[0]
    configs = [one.__struct_config__ for one in records]
    return next((one for one, c in zip(records, configs, strict=True) if content.get(str(c.tag_field)) == c.tag), None)


def _description(key: str, kind: Any) -> str:
    """The values that a type takes, in words."""
    if _records(kind) or get_origin(_bare(kind)) in (dict, Mapping):
        return f"a table [{key}]"
    if _listed_record(kind):
        return f"tables [[{key}]]"
    for one in (kind, *_members(kind)):
        notes = [note.description for note in getattr(one, "__metadata__", ()) if isinstance(note, Meta)]
        if description := next((note for note in notes if note), None):
            return description
        if get_origin(_bare(one)) is Literal:
            return _any_of(get_args(_bare(one)))
        if _bare(one) in _DESCRIPTIONS:
            return _DESCRIPTIONS[_bare(one)]
    return "a value of another kind"


def _any_of(values: Sequence[Any]) -> str:
    """Values of a choice, in words."""
    *first, last = map(repr, values)
    return f"{', '.join(first)} or {last}" if first else last
