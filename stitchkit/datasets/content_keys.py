"""Content keys: short hashes that stand for what an item holds, whatever it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.arrays import as_array, to_numpy
from stitchkit.core.errors import DataError

KEY_BYTES = 16


def content_key(value: Any, modality: str) -> bytes:
    """16 bytes that stand for what an item holds: equal content, equal key.

    Parameters
    ----------
    value
        A text; or the path of an image file (its bytes count, not its name), a PIL image, or an array.
    modality
        ``"image"`` or ``"text"``; tells a path from a text.

    Raises
    ------
    DataError
        If an image file is missing or empty.
    """
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    if modality == "text":
        digest.update(b"text\0" + str(value).encode("utf-8", "surrogatepass"))
    elif isinstance(value, str | Path):
        digest.update(b"file\0" + _file_bytes(Path(value)))
    elif hasattr(value, "tobytes") and hasattr(value, "getpalette"):  # PIL, which need not be imported to ask
        digest.update(f"pil\0{value.mode}{value.size}{value.getpalette()}\0".encode() + value.tobytes())
    else:
        array = to_numpy(as_array(value, "an image"))
        digest.update(f"array\0{array.dtype.str}{array.shape}\0".encode() + array.tobytes())
    return digest.digest()


def as_keys(keys: Sequence[bytes]) -> np.ndarray:
    """Content keys as the (n,) array that a shelf takes."""
    return np.frombuffer(b"".join(keys), dtype=f"S{KEY_BYTES}")


def _file_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"there is no readable image {path}: {error.strerror or error}. Check the path.") from error
    if not content:
        raise DataError(f"the image {path} is empty (0 bytes). Copy or download it again, or leave it out.")
    return content
