"""Safetensors files that hold digests of themselves: same content, same bytes, and damage is found when reading."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, InputError, StitchError
from stitchkit.core.strict_json import parse_json
from stitchkit.storage.digests import (
    BLOCK_BYTES,
    NO_DIGEST,
    block_digests,
    check_blocks,
    holds_own_digest,
    with_own_digest,
)
from stitchkit.storage.path_checks import checked_file, resolved_path

BLOCKS, OWN = "stitchkit_blocks", "stitchkit_sha256"  # metadata keys: digests of the data's blocks, of the header
_METADATA = "__metadata__"
_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}
_STRANGERS = {
    b"<!doctype": "is a web page: the download needs a login or another link",
    b"<html": "is a web page: the download needs a login or another link",
    b"version https://git-lfs": "is a Git LFS pointer: run 'git lfs pull'",
}
_MOST_HEADER = 100 * 2**20  # bytes, as the format's own library has it


@dataclass(frozen=True, slots=True)
class Tensors:
    """The content of a safetensors file.

    Parameters
    ----------
    arrays
        Name -> array.
    metadata
        Name -> text, the digests left out.
    digested
        True if the file held digests, which then were right.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]
    digested: bool


def tensor_bytes(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytearray:
    """The bytes of a safetensors file with digests; the same content gives the same bytes.

    Parameters
    ----------
    arrays
        Name -> array of any shape and layout, of floats (but not longer than 64 bits), integers or booleans.
    metadata
        Texts to keep beside them.

    Raises
    ------
    TypeError
        For an array of another type.
    """
    plain = {name: _plain(name, array) for name, array in arrays.items()}
    order = sorted(plain, key=lambda name: (-plain[name].itemsize, name))  # wide types first: all stay aligned
    ends = np.cumsum([0, *(plain[name].nbytes for name in order)]).tolist()
    entries = {
        name: {"dtype": _NAMES[plain[name].dtype], "shape": list(plain[name].shape), "data_offsets": [start, end]}
        for name, start, end in zip(order, ends[:-1], ends[1:], strict=True)
    }
    blocks = ["1" * 64] * -(-ends[-1] // BLOCK_BYTES)  # as long as the digests that take their place
    start = len(_header_bytes(entries, metadata or {}, blocks))
    content = bytearray(start + ends[-1])
    data = memoryview(content)[start:]
    for name, at in zip(order, ends, strict=False):
        data[at : at + plain[name].nbytes] = plain[name].reshape(-1).view(np.uint8).data
    content[:start] = with_own_digest(_header_bytes(entries, metadata or {}, block_digests(data)))
    return content


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays with their names, types and shapes, by which a config knows the arrays beside it.

    Examples
    --------
    >>> one, other = {"a": np.zeros(2), "b": np.ones(3)}, {"b": np.ones(3), "a": np.zeros(2)}
    >>> digest_of_arrays(one) == digest_of_arrays(other), digest_of_arrays(one) == digest_of_arrays({"a": np.zeros(2)})
    (True, False)
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        plain = _plain(name, arrays[name])
        digest.update(json.dumps([name, _NAMES[plain.dtype], plain.shape]).encode())
        digest.update(plain.tobytes())
    return digest.hexdigest()


def _header_bytes(entries: Mapping[str, Any], metadata: Mapping[str, str], blocks: list[str]) -> bytes:
    """The file up to its data, with zeros for its own digest."""
    facts = {OWN: NO_DIGEST, BLOCKS: ",".join(blocks), **dict(sorted(metadata.items()))}
    text = json.dumps({_METADATA: facts, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def read_tensors(path: Path, error_class: type[StitchError]) -> Tensors:
    """Arrays and metadata of a safetensors file, checked by its digests where it has them.

    Raises
    ------
    StitchError
        An ``error_class``, if the file is damaged, no safetensors file, or holds arrays of a type that numpy lacks.
    """
    content = np.fromfile(path, np.uint8)
    try:
        header, start = _header(content)
        metadata = _metadata(header)
        shapes = {name: _entry(name, entry, len(content) - start) for name, entry in header.items()}
        _check_cover(shapes, len(content) - start)
    except ValueError as error:
        raise error_class(
            f"{path} is cut off, damaged or no safetensors file ({len(content)} bytes: {error}). Copy or download it "
            f"again."
        ) from None
    blocks, own = metadata.pop(BLOCKS, None), metadata.pop(OWN, None)
    if blocks is not None or own is not None:
        if blocks is None or own is None or not holds_own_digest(content[:start].tobytes(), own):
            raise error_class(f"{path} is damaged in its header (SHA-256). Copy or download it again.")
        check_blocks(content[start:].data, blocks.split(",") if blocks else [], path, error_class)
    arrays = {
        name: np.require(content[start + at : start + end].view(dtype).reshape(shape), requirements="A")
        for name, (dtype, shape, at, end) in shapes.items()
    }
    return Tensors(arrays, metadata, own is not None)


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    plain = np.asarray(array, order="C")
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    if plain.dtype not in _NAMES:
        raise TypeError(f"the array {name!r} is {plain.dtype}, which a safetensors file cannot hold")
    return plain


def _header(content: np.ndarray) -> tuple[dict[str, Any], int]:
    """The header of a file, and where its data begin."""
    if len(content) < 8:
        raise ValueError("it ends within its first 8 bytes")
    (size,) = struct.unpack("<Q", content[:8].tobytes())
    if size > min(_MOST_HEADER, len(content) - 8):
        raise ValueError(f"its header would be {size} bytes long")
    header = parse_json(content[8 : 8 + size].tobytes())
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, 8 + size


def _metadata(header: dict[str, Any]) -> dict[str, str]:
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are no texts")
    return metadata


def _entry(name: str, entry: Any, size: int) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """Type, shape, begin and end of one array; the numbers are checked against the file."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name!r} is none of an array")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _TYPES:
        raise ValueError(f"the array {name!r} is of type {entry['dtype']!r}; read are {', '.join(_TYPES)}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not (_is_sizes(shape) and _is_sizes(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1] <= size):
        raise ValueError(f"the shape or place of the array {name!r} is wrong")
    dtype = np.dtype(_TYPES[entry["dtype"]])
    if _product(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        raise ValueError(f"the array {name!r} has {offsets[1] - offsets[0]} bytes for shape {tuple(shape)}")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _is_sizes(values: Any) -> bool:
    plain = isinstance(values, list) and len(values) <= 32 and all(type(one) is int and one >= 0 for one in values)
    return plain and _product([one or 1 for one in values]) < 2**63  # what numpy can count


def _product(shape: list[int]) -> int:
    product = 1
    for one in shape:
        product *= one
    return product


def _check_cover(shapes: dict[str, tuple[Any, Any, int, int]], size: int) -> None:
    """Raise unless the arrays fill the data without gap or overlap."""
    at = 0
    for _, _, begin, end in sorted(shapes.values(), key=lambda one: one[2:]):
        if begin != at:
            raise ValueError("its arrays overlap or leave gaps")
        at = end
    if at != size:
        raise ValueError(f"its arrays end {size - at} bytes before its end")


def check_file_path(path: str | Path, kind: str) -> Path:
    """``path``, absolute, if a ``.safetensors`` file of ``kind`` may be written there.

    Raises
    ------
    InputError
        For another ending, a folder, or a file there that is of another kind.
    """
    path = resolved_path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{kind} are written to a .safetensors file; got {path}. Change the ending.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; {kind} are written to one file. Name a file.")
    if path.exists() and (there := stated_kind(path)) != kind:
        raise InputError(f"{path} exists and is {there}, not {kind}; it was left alone. Choose another name.")
    return path


def stated_kind(path: Path) -> str:
    """The kind that the metadata of a safetensors file states, such as ``"embeddings"``."""
    try:
        return read_arrays(path, DataError).metadata.get("kind", "another safetensors file")
    except DataError:
        return "unreadable"


def read_arrays(path: Path, error_class: type[StitchError]) -> Tensors:
    """Arrays and metadata of a safetensors file; one that is none, or damaged, is an ``error_class`` that says so."""
    try:
        if kind := foreign_kind(path, error_class):
            raise error_class(f"{path} {kind}. Copy or download it again.")
        return read_tensors(path, error_class)
    except StitchError:  # of which some are errors of the operating system too
        raise
    except OSError as error:
        raise error_class(f"{path} cannot be read: {error.strerror or error}. Check the file.") from error


def foreign_kind(path: Path, error_class: type[StitchError]) -> str:
    """Kind of a file by its first bytes, for what is often downloaded instead of weights; else empty."""
    with checked_file(path, "a file", error_class).open("rb") as file:
        start = file.read(64).lstrip().lower()
    return next((what for magic, what in _STRANGERS.items() if start.startswith(magic)), "")
