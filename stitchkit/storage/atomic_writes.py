"""Files that are written as a whole or not at all, by one process at a time, and that last through a power cut."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stitchkit.storage.file_errors import naming
from stitchkit.storage.path_checks import resolved_path

try:
    import fcntl
except ImportError:  # Windows has no flock: there, two processes must not write one folder at the same time
    fcntl = None  # type: ignore[assignment]


def replace_file(path: str | Path, content: bytes | bytearray | Iterable[bytes]) -> Path:
    """Write ``content`` to ``path``, all of it or nothing; its folder is made if need be.

    Parameters
    ----------
    content
        Bytes, or parts that are made while the file is written, for content larger than memory should hold.

    Raises
    ------
    OSError
        If it cannot be written; its ``filename`` is ``path``, also where the disk is full.
    """
    path = Path(path)
    resolved_path(path.parent).mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with naming(path, draft):
        try:
            write_flushed(draft, content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
    return path


def write_text(path: str | Path, text: str, *, errors: str = "strict") -> Path:
    """Write ``text`` to ``path`` in UTF-8, all of it or nothing; its folder is made if need be.

    Parameters
    ----------
    errors
        Treatment of characters that UTF-8 cannot hold, as in :meth:`str.encode`, default ``"strict"``.

    Raises
    ------
    OSError
        If it cannot be written; its ``filename`` is ``path``.
    """
    return replace_file(path, text.encode("utf-8", errors))


def write_flushed(path: Path, content: bytes | bytearray | Iterable[bytes]) -> None:
    """Write a file and wait until it is on disk."""
    with path.open("wb") as file:
        file.writelines((content,) if isinstance(content, bytes | bytearray) else content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make names in ``folder`` last through a power cut; Windows cannot open folders and does without."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def exclusive_lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Alone among the processes that lock this file or folder, which exists, inside the block.

    Raises
    ------
    BlockingIOError
        Without ``wait``, if another process holds the lock.
    """
    if fcntl is None:
        yield
        return
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)  # ends the lock
