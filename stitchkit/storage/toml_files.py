"""Settings from TOML files: keys are asked for by kind; one that nobody asked for is an error with the nearest key."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.storage.path_checks import checked_file

MISSING: Any = object()


def read_toml(path: str | Path) -> TomlTable:
    """The top table of a TOML file.

    Raises
    ------
    DataError
        If no file has such a path, or it cannot be parsed.
    """
    path = checked_file(path, "a TOML file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}. Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the file {path} cannot be read: {error}.") from error
    except ValueError as error:  # of the grammar, or a whole number of thousands of digits
        raise DataError(f"the file {path} cannot be parsed: {error}. Correct it there.") from error
    except RecursionError as error:
        raise DataError(f"the file {path} cannot be parsed: its brackets are nested too deep.") from error
    return TomlTable(content, str(path), "")


class TomlTable:
    """One table of a TOML file; its keys are taken one by one, and :meth:`close` refuses what is left.

    Examples
    --------
    >>> table = TomlTable({"draws": 3, "sede": 1}, "plan.toml", "grid")
    >>> table.whole("draws", 1), table.whole("seed", 0)
    (3, 0)
    >>> table.close()
    Traceback (most recent call last):
    stitchkit.core.errors.DataError: no key of [grid] in plan.toml is called 'sede'; nearest: seed.
    """

    def __init__(self, content: Mapping[str, Any], file: str, name: str) -> None:
        self._content, self._file, self._name = content, file, name
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._content

    @property
    def where(self) -> str:
        """The table's name and file, for messages."""
        return f"[{self._name}] in {self._file}" if self._name else self._file

    def text(self, key: str, default: Any = MISSING) -> Any:
        """A text that is not empty."""
        return self._take(key, default, lambda value: isinstance(value, str) and bool(value.strip()), "a text")

    def one_of(self, key: str, known: Iterable[str], default: Any = MISSING) -> Any:
        """One of the ``known`` texts."""
        value = self.text(key, default)
        if value is not default and value not in known:
            raise DataError(str(UnknownNameError.of(f"{key} of {self.where}", value, known)))
        return value

    def flag(self, key: str, default: Any = MISSING) -> Any:
        """True or false."""
        return self._take(key, default, lambda value: isinstance(value, bool), "true or false")

    def whole(self, key: str, default: Any = MISSING, *, least: int = 0) -> Any:
        """A whole number, at least ``least``."""
        return self._take(key, default, lambda value: _is_whole(value, least), f"a whole number, {least} or more")

    def share(self, key: str, default: Any = MISSING) -> Any:
        """A number above 0, 1 at most."""
        return self._take(key, default, lambda value: _is_number(value) and 0 < value <= 1, "a share in (0, 1]")

    def number(self, key: str, default: Any = MISSING, *, least: float = 0.0, above: bool = False) -> Any:
        """A number, at least ``least``, or above it."""
        what = f"a number above {least:g}" if above else f"a number, {least:g} or more"

        def fits(value: Any) -> bool:
            return _is_number(value) and (value > least or (value == least and not above))

        return self._take(key, default, fits, what)

    def holds_list(self, key: str) -> bool:
        """True if a list stands under a key."""
        return isinstance(self._content.get(key), list)

    def names(self) -> tuple[str, ...]:
        """Every key of the table."""
        return tuple(self._content)

    def changed(self, changes: Mapping[str, Any]) -> TomlTable:
        """The table with some keys other; a table among the changes changes the keys it names, None takes a key out."""
        return TomlTable(_merged(self._content, changes), self._file, self._name)

    def shares(self, key: str, default: Any = MISSING) -> Any:
        """A tuple of numbers above 0, 1 at most; at least one."""
        return self._tuple(key, default, lambda one: _is_number(one) and 0 < one <= 1, "a list of shares in (0, 1]")

    def texts(self, key: str, default: Any = MISSING) -> Any:
        """A tuple of texts, at least one; a bare text is one."""
        value = self._content.get(key)
        if isinstance(value, str) and value.strip():
            self._asked.add(key)
            return (value,)
        return self._tuple(key, default, lambda one: isinstance(one, str) and bool(one.strip()), "a list of texts")

    def wholes(self, key: str, default: Any = MISSING, *, least: int = 0, word: str | None = None) -> Any:
        """A tuple of whole numbers, at least one; ``word`` may stand for one of them."""
        what = f"a list of whole numbers, {least} or more each" + (f", or {word!r}" if word else "")
        return self._tuple(key, default, lambda one: _is_whole(one, least) or (word is not None and one == word), what)

    def table(self, key: str) -> TomlTable:
        """The table of this name; an empty one where there is none."""
        value = self._take(key, {}, lambda found: isinstance(found, Mapping), f"a table [{key}]")
        return TomlTable(value, self._file, f"{self._name}.{key}" if self._name else key)

    def rest(self) -> dict[str, Any]:
        """Everything that was not asked for, as it stands: for somebody else's settings."""
        found = {key: value for key, value in self._content.items() if key not in self._asked}
        self._asked |= set(found)
        return found

    def close(self) -> None:
        """Raise for a key that was not asked for."""
        for key in self._content:
            if key not in self._asked:
                raise DataError(str(UnknownNameError.of(f"key of {self.where}", key, self._asked)))

    def _tuple(self, key: str, default: Any, fits: Any, what: str) -> Any:
        value = self._take(key, default, lambda many: isinstance(many, list) and many and all(map(fits, many)), what)
        return tuple(value) if isinstance(value, list) else value

    def _take(self, key: str, default: Any, fits: Any, what: str) -> Any:
        self._asked.add(key)
        if key not in self._content:
            if default is MISSING:
                raise DataError(f"{self.where} lacks {key!r}: {what}.")
            return default
        value = self._content[key]
        if not fits(value):
            raise DataError(f"{key!r} of {self.where} is {what}; got {value!r}.")
        return value


def _merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(value, Mapping):
            value = _merged(before if isinstance(before, Mapping) else {}, value)
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
