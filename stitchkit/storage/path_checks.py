"""Checks of paths that callers give, before anything is read or written there."""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from pathlib import Path

from stitchkit.core.errors import DataError, InputError, StitchError

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBADF})


def checked_path(path: str | Path, error_class: type[StitchError] = DataError) -> Path:
    """``path`` itself, if a file may have that name; whether one is there is not checked.

    Parameters
    ----------
    path
        File or folder that is to be read.
    error_class
        Class of the error, default DataError.

    Raises
    ------
    StitchError
        As ``error_class``: for more characters than a file system takes, as where a text is given for a path, for a
        character that is in no path, and for a folder on the way that may not be entered.

    Examples
    --------
    >>> checked_path("films/1.png").name
    '1.png'
    >>> checked_path("No edema. " * 1000)
    Traceback (most recent call last):
    ...
    stitchkit.core.errors.DataError: a path of 10000 characters is longer than a file system takes. Check it: was a \
text given for a path?
    """
    _facts(path, error_class)
    return Path(path)


def checked_file(path: str | Path, what: str, error_class: type[StitchError] = DataError) -> Path:
    """:func:`checked_path` of a file that is read as a whole; reading a pipe or a device may never end.

    A missing file and a folder are left to the reader.

    Parameters
    ----------
    path
        File that is to be read.
    what
        Noun phrase with its article for the error, such as ``"a table"``.
    error_class
        Class of the error, default DataError.

    Raises
    ------
    StitchError
        As ``error_class``: as :func:`checked_path`, and for a pipe, a socket or a device.

    Examples
    --------
    >>> checked_file("labels.csv", "a table").name
    'labels.csv'
    >>> checked_file(os.devnull, "a table")
    Traceback (most recent call last):
    ...
    stitchkit.core.errors.DataError: /dev/null is a pipe or a device, not a table on disk. Write it to a file first.
    """
    facts = _facts(path, error_class)
    if facts is not None and not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        raise error_class(f"{path} is a pipe or a device, not {what} on disk. Write it to a file first.")
    return Path(path)


def _facts(path: str | Path, error_class: type[StitchError]) -> os.stat_result | None:
    """The file system's facts of ``path``; None where nothing is there."""
    try:
        return os.stat(path)
    except ValueError as error:  # NUL, or half a surrogate pair
        raise error_class(f"{os.fspath(path)[:80]!r} is no path: {error}. Check it.") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise error_class(
                f"a path of {len(os.fspath(path))} characters is longer than a file system takes. Check it: was a text "
                f"given for a path?"
            ) from None
        if error.errno not in _ABSENT:
            raise error_class(f"{path} cannot be read: {error.strerror or error}. Check its permissions.") from error
    return None


def resolved_path(path: str | Path, error_class: type[StitchError] = InputError) -> Path:
    """``path``, absolute and with links followed; whether anything is there is not checked.

    Parameters
    ----------
    path
        File or folder that is to be written or read.
    error_class
        Class of the error, default InputError.

    Raises
    ------
    StitchError
        As ``error_class``: as of :func:`checked_path`, and for a link on the way that leads to itself.

    Examples
    --------
    >>> resolved_path("films/../films/1.png").parts[-2:]
    ('films', '1.png')
    """
    place = Path(os.path.realpath(checked_path(path, error_class)))
    for follow in (partial(os.path.realpath, path, strict=True), partial(os.stat, place)):  # the first ends at a gap
        try:
            follow()
        except OSError as error:
            if error.errno == errno.ELOOP:
                looped = Path(os.fsdecode(error.filename))
                link = next((one for one in (*reversed(looped.parents), looped) if one.is_symlink()), looped)
                raise error_class(
                    f"{path} cannot be used: {link} is a link that leads to itself. Remove the link, or choose another "
                    f"path."
                ) from None
    return place
