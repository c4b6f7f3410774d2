"""Errors of the operating system while files are written, each with the name of its file."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from stitchkit.core.errors import StitchError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # EFBIG: beyond a limit on the size of files
REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_WORDS = {os.strerror(code).lower(): code for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)}
_LONGEST_CHAIN = 100  # of exceptions that led to each other


@contextlib.contextmanager
def naming(path: str | Path, draft: Path | None = None) -> Iterator[None]:
    """Name ``path`` in an error of the operating system that names no file, as those of writing and flushing do.

    Parameters
    ----------
    path
        File or folder that is written.
    draft
        Temporary neighbour of ``path``, in whose place an error names ``path``.

    Raises
    ------
    OSError
        The error raised inside, with a file name; also in place of a library's RuntimeError about a full disk.

    Examples
    --------
    >>> try:
    ...     with naming("a.csv"):
    ...         raise OSError(errno.ENOSPC, "No space left on device")
    ... except OSError as error:
    ...     print(error.filename)
    a.csv
    """
    try:
        yield
    except OSError as error:
        if not isinstance(error, StitchError) and error.errno is not None:
            error.filename, error.filename2 = _file_name(error.filename, Path(path), draft), None
            _note_free_bytes(error)
        raise
    except RuntimeError as error:  # torch's
        code = code_in(error)
        if code is None:
            raise
        named = OSError(code, os.strerror(code), str(path))
        _note_free_bytes(named)
        raise named from error


def write_error_in(error: BaseException) -> OSError | None:
    """The failure to write that ``error`` is, or comes from, or speaks of; None if there is none.

    Parameters
    ----------
    error
        Any exception; those that led to it are looked at for a full disk.

    Returns
    -------
    OSError or None
        The error of a full disk, a limit on files, or a place that may not be written; ``filename`` is None where
        nothing named a file.
    """
    if isinstance(error, OSError) and error.errno in NO_ROOM | REFUSED:
        return error
    code = code_in(error)
    if code is not None:
        return OSError(code, os.strerror(code))
    one: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if one is None or (isinstance(one, OSError) and one.errno in NO_ROOM):
            return one
        if one.__cause__ is not None or one.__suppress_context__:
            one = one.__cause__
        else:
            one = one.__context__
    return None


def code_in(error: BaseException) -> int | None:
    """The error number that a message speaks of in the operating system's words, as those of torch and safetensors.

    Examples
    --------
    >>> code_in(RuntimeError("I/O error: No space left on device (os error 28)")) == errno.ENOSPC
    True
    >>> code_in(RuntimeError("mat1 and mat2 cannot be multiplied"))
    """
    # at the end of the text: a report, too, may speak of full disks
    text = re.sub(r"[ .]*(\(os error \d+\))?[ .]*$", "", str(error).lower())
    return next((code for words, code in _WORDS.items() if text.endswith(words)), None)


def free_bytes(path: str | Path) -> int | None:
    """Bytes that are free where ``path`` lies or would lie; None if the system does not say."""
    place = Path(os.path.abspath(path))
    for one in (place, *place.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(one).free
    return None


def _file_name(filename: str | bytes | int | None, path: Path, draft: Path | None) -> str:
    """``filename``, or ``path`` for none and for its draft."""
    if filename is None or isinstance(filename, int):
        return str(path)
    name = Path(os.fsdecode(filename))
    if draft is not None and name.is_relative_to(draft):
        return str(path / name.relative_to(draft))
    return str(name)


def _note_free_bytes(error: OSError) -> None:
    if error.errno in NO_ROOM and not getattr(error, "__notes__", None):
        error.add_note(f"{free_bytes(error.filename)} bytes are free where {error.filename} is written.")
