"""Checks of paths that callers give, before anything is read there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from stitchkit.core.errors import DataError, StitchError

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
    try:
        os.stat(path)
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
    return Path(path)
