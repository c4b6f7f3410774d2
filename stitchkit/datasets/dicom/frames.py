"""Frames of DICOM files: the choice of one, and its pixels as they are stored, decompressed."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import MissingExtraError
from stitchkit.core.wording import counted
from stitchkit.datasets.dicom.tags import (
    AGAIN,
    EXTRA,
    OFFSETS,
    PIXELS,
    DicomFault,
    fault_of,
    import_pydicom,
    number_of,
    value_of,
)

OWN_CHOICE = "pip install pylibjpeg pylibjpeg-libjpeg (its licence is the GPL) or pip install python-gdcm"
ALL, MIDDLE = "all", "middle"
_BY_PILLOW = frozenset({"1.2.840.10008.1.2.4.50"})  # transfer syntaxes that need no other reader
_JPEG = frozenset({"1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})  # no free reader
_STRICT = frozenset(  # JPEG-LS and JPEG 2000: a codestream that is cut off is decoded without complaint
    f"1.2.840.10008.1.2.4.{n}" for n in (80, 81, 90, 91, 201, 202, 203)
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice behind ``#`` in a path: one frame of several, and a window in place of the file's."""

    frame: str = ""
    window: tuple[float, float] | None = None


def choice_of(text: str) -> Choice:
    """``"frame=3&window=40,400"`` as its parts."""
    chosen = Choice()
    for part in filter(None, text.split("&")):
        name, _, value = part.partition("=")
        if name == "frame" and (value in (ALL, MIDDLE) or (value.isascii() and value.isdigit())):
            chosen = replace(chosen, frame=value)
        elif name == "window" and (window := _window_of(value)):
            chosen = replace(chosen, window=window)
        else:
            raise DicomFault(
                f"is named with {part!r} behind '#', which is no choice",
                "Write #frame=3 (from 1), #frame=middle, #frame=all, or #window=CENTER,WIDTH, and join two by '&'.",
            )
    return chosen


def _window_of(text: str) -> tuple[float, float] | None:
    """Centre and width from ``"40,400"``; None for anything else."""
    try:
        centre, width = (float(one) for one in text.split(","))
    except ValueError:
        return None
    return (centre, width) if np.isfinite([centre, width]).all() and width >= 1 else None


def count_frames(data: Any) -> int:
    return max(1, number_of(data, "NumberOfFrames", 1))


def frame_of(data: Any, chosen: Choice, path: Path) -> int:
    """The frame of the file that is meant, from 0."""
    frames = count_frames(data)
    if chosen.frame == MIDDLE:
        return frames // 2
    if chosen.frame.isdigit():
        if not 1 <= int(chosen.frame) <= frames:
            raise DicomFault(
                f"has {counted(frames, 'frame')}, and frame {chosen.frame} was asked for", f"Choose 1 to {frames}."
            )
        return int(chosen.frame) - 1
    if frames > 1 and chosen.frame == ALL:
        raise DicomFault(
            f"holds {frames} frames, and one image or pair has room for one",
            f"Write {path.name}#frame=1 to #frame={frames}, or {path.name}#frame=middle.",
        )
    if frames > 1:
        raise DicomFault(
            f"holds {frames} frames, and none was chosen",
            f"Write {path.name}#frame=1 to #frame={frames}, {path.name}#frame=middle, or, for an item of each frame, "
            f"{path.name}#frame=all; behind the path of a folder it holds for all its files.",
        )
    return 0


def stored_frame(data: Any, frame: int) -> np.ndarray:
    """One frame as it is stored, decompressed."""
    pydicom = import_pydicom()
    syntax = data.file_meta.TransferSyntaxUID
    try:
        codec = pydicom.pixels.get_decoder(syntax)
    except NotImplementedError:
        raise DicomFault(
            f"is compressed in a way that is not read here ({_syntax_name(pydicom, syntax)})",
            "Export it uncompressed, or the frames of a video as single images.",
        ) from None
    if not codec.is_available:
        raise _without_reader(pydicom, syntax)
    _check_codestream(data, frame, syntax)
    options = {}
    if not syntax.is_encapsulated and "PixelData" in data:  # pydicom drops what lies above BitsStored, not HighBit
        bits = number_of(data, "BitsStored")
        options["bits_stored"] = max(bits, number_of(data, "HighBit", bits - 1) + 1)
    what, step = "is damaged or cut off: its pixels cannot be decoded", AGAIN
    if syntax.is_compressed and syntax not in _BY_PILLOW and codec.missing_dependencies:
        what = f"cannot be decoded ({_syntax_name(pydicom, syntax)}): it is damaged, or needs another reader"
        step = f"Install one ({OWN_CHOICE if syntax in _JPEG else EXTRA}); if it is installed, export the file again."
    with fault_of(what, step):
        return np.asarray(pydicom.pixels.pixel_array(data, index=frame, **options))


def _without_reader(pydicom: Any, syntax: Any) -> MissingExtraError:
    name = _syntax_name(pydicom, syntax)
    if syntax in _JPEG:
        return MissingExtraError(
            f"DICOM files compressed as {name} need a reader that does not come with stitchkit. Install one of your "
            f"choice: {OWN_CHOICE}; or export the files uncompressed."
        )
    return MissingExtraError(f"DICOM files compressed as {name} need another reader. Install it: {EXTRA}.")


def _syntax_name(pydicom: Any, syntax: Any) -> str:
    return str(syntax.name) if syntax in pydicom.uid.UID_dictionary else "an unknown transfer syntax"


def encoded_frame(data: Any, frame: int) -> bytes:
    """The bytes of one frame, as they are compressed."""
    pydicom = import_pydicom()
    keyword = next(tag for tag in PIXELS if tag in data)
    content: bytes = data[keyword].value or b""
    frames = count_frames(data)
    if not data.file_meta.TransferSyntaxUID.is_encapsulated:
        if frames == 1:
            return content
        bits = number_of(data, "BitsAllocated") * number_of(data, "SamplesPerPixel", 1)
        bits *= number_of(data, "Rows") * number_of(data, "Columns")
        if value_of(data, "PhotometricInterpretation") == "YBR_FULL_422":
            bits = bits * 2 // 3
        return content[frame * bits // 8 : -(-(frame + 1) * bits // 8)]
    offsets = [value_of(data, name) for name in OFFSETS[1:]]
    with fault_of("is damaged or cut off: its frames cannot be told apart"):
        return bytes(
            pydicom.encaps.get_frame(
                content, frame, extended_offsets=tuple(offsets) if all(offsets) else None, number_of_frames=frames
            )
        )


def _check_codestream(data: Any, frame: int, syntax: Any) -> None:
    """Raise for a compressed picture of another size than the file says, or of one that is cut off unnoticed."""
    if not syntax.is_encapsulated or "RLE" in str(syntax.name):
        return
    content = encoded_frame(data, frame)
    size = _codestream_size(content)
    if size is not None and size != (number_of(data, "Columns"), number_of(data, "Rows")):
        raise DicomFault("is damaged: its compressed picture has another size than it states")
    if syntax in _STRICT and not content.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise DicomFault("is damaged or cut off: its compressed picture has no end")


def _codestream_size(content: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a JPEG, JPEG-LS or JPEG 2000 codestream states; None where none is seen."""
    start = content.find(b"\xff\x4f\xff\x51", 0, 1 << 16)  # of JPEG 2000, which may have the head of a JP2 file
    if content[:2] != b"\xff\xd8" and start >= 0 and len(content) >= start + 24:
        right, lower, left, upper = struct.unpack_from(">4I", content, start + 8)
        return right - left, lower - upper
    place = 2
    while content[:2] == b"\xff\xd8" and place + 9 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = struct.unpack_from(">HH", content, place + 5)
            return int(width), int(height)
        place += 1 if marker == 0xFF else 2 + int(struct.unpack_from(">H", content, place + 2)[0])
    return None
