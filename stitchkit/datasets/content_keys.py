"""Content keys: short hashes that stand for what an item holds, whatever it is called."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.arrays import as_array, to_numpy
from stitchkit.core.errors import DataError
from stitchkit.datasets.image_files import PNG, TIFF, file_and_choice, image_format, is_dicom
from stitchkit.storage.path_checks import checked_file

KEY_BYTES = 16
_READING = b"3\0"  # in keys of images that may hold 16 bits: changes with the way they are read, so that no store
# answers with vectors of pixels as they were read before
_DICOM_READING = b"1\0"  # the same of DICOM files


def content_key(value: Any, modality: str) -> bytes:
    """16 bytes that stand for what an item holds: equal content, equal key.

    Parameters
    ----------
    value
        A text; or the path of an image file (its bytes count, not its name; of DICOM what decides the pixels of one
        frame, and no other tag), a PIL image, or an array.
    modality
        ``"image"`` or ``"text"``; tells a path from a text.

    Raises
    ------
    DataError
        If an image file is missing or empty, or a PIL image cannot be decoded.
    """
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    if modality == "text":
        digest.update(b"text\0" + str(value).encode("utf-8", "surrogatepass"))
    elif isinstance(value, str | Path):
        path, choice = file_and_choice(value)
        content = _file_bytes(path)
        if is_dicom(content):
            from stitchkit.datasets.dicom.pictures import key_parts

            digest.update(b"dicom\0" + _DICOM_READING)
            for part in key_parts(path, choice):
                digest.update(part)
        else:
            digest.update(b"file\0" + (_READING if _may_be_deep(content) else b"") + content)
    elif hasattr(value, "tobytes") and hasattr(value, "getpalette"):  # PIL, which need not be imported to ask
        reading = _READING if value.mode.startswith("I") else b""
        pixels = _pixel_bytes(value)
        digest.update(f"pil\0{value.mode}{value.size}{value.getpalette()}\0".encode() + reading + pixels)
    else:
        array = to_numpy(as_array(value, "an image"))
        reading = _READING if array.dtype.itemsize == 2 else b""
        digest.update(f"array\0{array.dtype.str}{array.shape}\0".encode() + reading + array.tobytes())
    return digest.digest()


def as_keys(keys: Sequence[bytes]) -> np.ndarray:
    """Content keys as the (n,) array for a cache."""
    return np.frombuffer(b"".join(keys), dtype=f"S{KEY_BYTES}")


def _may_be_deep(content: bytes) -> bool:
    """True where an image file may hold 16 bits a channel: a PNG that says so, or any TIFF."""
    kind = image_format(content[:8])
    return kind == TIFF or (kind == PNG and content[24:25] == b"\x10")


def _pixel_bytes(image: Any) -> bytes:
    """The pixels of a PIL image, which decodes its file now if it did not before."""
    try:
        pixels: bytes = image.tobytes()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise DataError(
            f"the PIL image {getattr(image, 'filename', '')!r} cannot be decoded: {error}. Copy its file again, or "
            f"leave it out."
        ) from error
    return pixels


def _file_bytes(path: Path) -> bytes:
    checked_file(path, "an image")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"there is no readable image {path}: {error.strerror or error}. Check the path.") from error
    if not content:
        raise DataError(f"the image {path} is empty (0 bytes). Copy or download it again, or leave it out.")
    return content
