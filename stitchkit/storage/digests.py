"""SHA-256 digests of files, of their blocks, and of texts that hold their own digest: damage is found when reading."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from stitchkit.core.errors import DataError, StitchError

BLOCK_BYTES = 64 * 2**20  # of a large file, so that a reader of some rows checks some blocks
NO_DIGEST = "0" * 64  # stands in a text for the digest that :func:`with_own_digest` puts there
REMEDY = "Copy or download it again."
_HEX = re.compile(r"[0-9a-f]{64}")


def sha256_of(content: bytes | bytearray | memoryview) -> str:
    """The SHA-256 of ``content`` as 64 hexadecimal digits.

    Examples
    --------
    >>> sha256_of(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: str | Path) -> str:
    """The SHA-256 of a file's content, read a piece at a time."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_digest(value: object) -> bool:
    """True for a string of 64 lower-case hexadecimal digits."""
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def block_digests(content: bytes | bytearray | memoryview, size: int = BLOCK_BYTES) -> list[str]:
    """The SHA-256 of each block of ``size`` bytes of ``content``; the last block may be shorter.

    Examples
    --------
    >>> [digest[:4] for digest in block_digests(b"abcde", size=2)] == [sha256_of(x)[:4] for x in (b"ab", b"cd", b"e")]
    True
    """
    view = memoryview(content).cast("B")
    return [sha256_of(view[start : start + size]) for start in range(0, len(view), size)]


def block_digests_of_file(path: str | Path, size: int = BLOCK_BYTES) -> list[str]:
    """:func:`block_digests` of a file's content, one block in memory at a time."""
    digests = []
    with Path(path).open("rb") as file:
        while block := file.read(size):
            digests.append(sha256_of(block))
    return digests


def check_digest(
    content: bytes | bytearray | memoryview,
    recorded: str,
    name: str | Path,
    error_class: type[StitchError] = DataError,
    remedy: str = REMEDY,
) -> None:
    """Raise unless the SHA-256 of ``content`` is ``recorded``.

    Parameters
    ----------
    name
        The file, for the error.
    error_class, remedy
        Class of the error and its last sentence.

    Raises
    ------
    StitchError
        If the digests differ: an ``error_class`` that names the file and both.
    """
    if (digest := sha256_of(content)) != recorded:
        raise error_class(
            f"{name} is damaged: its SHA-256 is {digest[:12]}... and {recorded[:12]}... is on record. {remedy}"
        )


def check_blocks(
    content: bytes | bytearray | memoryview,
    recorded: Sequence[str],
    name: str | Path,
    error_class: type[StitchError] = DataError,
    *,
    size: int = BLOCK_BYTES,
) -> None:
    """Raise unless every block of ``content`` has the digest on record.

    Parameters
    ----------
    content
        A file's data.
    recorded
        Digests of all blocks of the file, of :func:`block_digests`.
    name
        The file, for the error.

    Raises
    ------
    StitchError
        If a block is damaged: an ``error_class`` that names the file and the first such block.

    Examples
    --------
    >>> digests = block_digests(b"abcde", size=2)
    >>> check_blocks(b"abcde", digests, "some file", size=2)
    >>> check_blocks(b"abcdf", digests, "e.bin", size=2)
    Traceback (most recent call last):
    ...
    stitchkit.core.errors.DataError: e.bin is damaged in block 3 of 3 of its data (SHA-256). Copy or download it again.
    """
    digests = block_digests(content, size)
    if len(digests) > len(recorded):
        raise error_class(f"{name} has more data than the {len(recorded)} blocks on record. {REMEDY}")
    for i, (one, other) in enumerate(zip(digests, recorded, strict=False), start=1):
        if one != other:
            raise error_class(f"{name} is damaged in block {i} of {len(recorded)} of its data (SHA-256). {REMEDY}")


def with_own_digest(text: bytes) -> bytes:
    """``text`` with its first run of 64 zeros replaced by the SHA-256 of ``text``, so that it can be checked by itself.

    Examples
    --------
    >>> text = with_own_digest(b"some text, " + b"0" * 64)
    >>> digest = text[-64:].decode()
    >>> holds_own_digest(text, digest), holds_own_digest(text.replace(b"some", b"sone"), digest)
    (True, False)
    """
    return text.replace(NO_DIGEST.encode(), sha256_of(text).encode(), 1)


def holds_own_digest(text: bytes, digest: str) -> bool:
    """True where ``digest``, read from ``text`` of :func:`with_own_digest`, is that of the rest of the text."""
    if not is_digest(digest) or text.count(digest.encode()) != 1:
        return False
    return sha256_of(text.replace(digest.encode(), NO_DIGEST.encode())) == digest
