"""Tags of DICOM files: those that decide pixels, read without a warning or an error that repeats a value."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stitchkit.core.errors import DataError, MissingExtraError, StitchError

EXTRA = "pip install 'stitchkit[dicom]'"
DECIDING = (  # keywords of what decides the pixels, in the order of a content key
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
)  # fmt: skip
LUTS = ("ModalityLUTSequence", "VOILUTSequence")
OF_LUT = ("LUTDescriptor", "LUTData")
FRAME_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")  # the nearer first
IN_GROUPS = (
    ("PixelValueTransformationSequence", ("RescaleIntercept", "RescaleSlope")),
    ("FrameVOILUTSequence", ("WindowCenter", "WindowWidth", "VOILUTFunction")),
)
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
OFFSETS = ("NumberOfFrames", "ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BYTES_PER_PIXEL = 16  # of a deflated file that is unpacked, for every pixel that is allowed
_PANIC = "PanicException"
AGAIN = "Copy or export it again, or leave it out."


class DicomFault(Exception):
    """The fault of a file and the next step, without the value of any tag."""

    def __init__(self, what: str, step: str = AGAIN) -> None:
        super().__init__(what)
        self.step = step


@contextmanager
def naming_faults(path: Path) -> Iterator[None]:
    """Faults as errors that name the file."""
    try:
        with fault_of("is damaged or cut off"):
            yield
    except DicomFault as fault:
        raise DataError(f"the DICOM file {path} {fault}. {fault.step}") from None


@contextmanager
def fault_of(what: str, step: str = AGAIN) -> Iterator[None]:
    """Any error of pydicom and its readers as a fault in own words: theirs repeat values of tags, and bytes of them."""
    try:
        yield
    except (DicomFault, StitchError, MemoryError):
        raise
    except BaseException as error:  # they have errors of their own; a panic of a reader in Rust is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        raise DicomFault(what, step) from None


_READING: ContextVar[bool] = ContextVar("reading DICOM", default=False)


class _WhileReading:
    """A pattern for a filter of warnings that fits pydicom's modules in threads that read a file here, and only there.

    Filters cannot be set for one thread, but a filter asks its pattern each time.
    """

    def match(self, module: str) -> bool:
        return _READING.get() and module.partition(".")[0] in ("pydicom", "pylibjpeg", "openjpeg", "rle", "jpeg_ls")


_IGNORE: Any = ("ignore", None, Warning, _WhileReading(), 0)
_LOGS = ("pydicom", "pydicom.pixels.utils", "pydicom.pixels.decoders.base")


def _elsewhere(record: logging.LogRecord) -> bool:
    return not _READING.get()


@contextmanager
def silent() -> Iterator[None]:
    """No warnings and no logs of pydicom inside the block: they repeat values of tags. What matters is checked here."""
    for name in _LOGS:
        logging.getLogger(name).addFilter(_elsewhere)  # once, however often
    filters: Any = warnings.filters
    if _IGNORE not in filters[:1]:
        filters.insert(0, _IGNORE)
    token = _READING.set(True)
    try:
        yield
    finally:
        _READING.reset(token)


def import_pydicom() -> Any:
    try:
        import pydicom.pixels
    except ImportError:
        raise MissingExtraError(
            f"reading DICOM files needs pydicom, which cannot be imported. Install it: {EXTRA}."
        ) from None
    import pydicom

    return pydicom


def read_tags(path: Path, pixels: bool = True) -> Any:
    """The tags of a file that decide its pixels, checked to be there."""
    grey = [keyword for _, keywords in IN_GROUPS for keyword in keywords]
    data = read_header(path, [*DECIDING, *grey, *LUTS, *FRAME_GROUPS, *PIXELS, *OFFSETS], pixels)
    if not any(tag in data for tag in PIXELS) and (pixels or "Rows" not in data):
        uid = import_pydicom().uid
        kind = uid.UID(str(data.file_meta.get("MediaStorageSOPClassUID") or ""))
        named = f": it is of the kind {kind.name}" if kind in uid.UID_dictionary else ""
        raise DicomFault("holds no picture" + named, "Leave it out.")
    if not data.file_meta.get("TransferSyntaxUID"):
        raise DicomFault("states no transfer syntax, so that its pixels cannot be read")
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored"):
        if keyword != "BitsStored" or "PixelData" in data:
            number_of(data, keyword)
    limit, (width, height) = Image.MAX_IMAGE_PIXELS, (number_of(data, "Columns"), number_of(data, "Rows"))
    if limit is not None and width * height > limit:
        raise _too_large(f"{width} x {height} pixels, the limit is {limit}")
    if min(width, height) < 1:
        raise DicomFault("is damaged: it states a picture without pixels")
    return data


def read_header(path: Path, keywords: Sequence[str], pixels: bool = False) -> Any:
    """Some tags of a file, and no others."""
    pydicom = import_pydicom()
    with fault_of("is damaged or cut off: its tags cannot be read"):
        if str(pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") or "") == _DEFLATED:
            _check_deflated(path)
        return pydicom.dcmread(path, specific_tags=[*keywords], stop_before_pixels=not pixels)


def _too_large(what: str) -> DicomFault:
    return DicomFault(
        f"was refused as a possible decompression bomb ({what})",
        "Downscale or tile it; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS.",
    )


def _check_deflated(path: Path) -> None:
    """Raise for a deflated file that unpacks to more than any picture that is allowed."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None:
        return
    content = path.read_bytes()
    (group,) = struct.unpack_from("<I", content, 140)  # length of the file meta information, which is not deflated
    left, unpacker, size = content[144 + group :], zlib.decompressobj(-zlib.MAX_WBITS), 0
    while left and size <= _BYTES_PER_PIXEL * limit:
        size += len(unpacker.decompress(left, 1 << 24))
        left = unpacker.unconsumed_tail
    if left:
        raise _too_large(f"{path.stat().st_size:,} bytes that unpack to more than {size:,}")


def value_of(data: Any, keyword: str) -> Any:
    """The value of a tag, the first of several; None where it is absent or empty."""
    with fault_of(f"is damaged: its {keyword} cannot be read"):
        value = data.get(keyword)
        if hasattr(value, "append") and not isinstance(value, str | bytes):
            value = value[0] if len(value) else None
        return None if value is None or (isinstance(value, str) and not value.strip()) else value


def number_of(data: Any, keyword: str, default: int | None = None) -> int:
    value = value_of(data, keyword)
    if value is None and default is None:
        raise DicomFault(f"states no {keyword}, so that its pixels cannot be read")
    try:
        return int(default if value is None else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise DicomFault(f"is damaged: its {keyword} is no whole number") from None


def decimal_of(data: Any, keyword: str) -> float | None:
    value = value_of(data, keyword)
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if number is not None and not np.isfinite(number):
        raise DicomFault(f"is damaged: its {keyword} is no number")
    return number


def tag_bytes(data: Any, keyword: str) -> bytes:
    """A tag and all its values as bytes."""
    with fault_of(f"is damaged: its {keyword} cannot be read"):
        value = data.get(keyword)
        if hasattr(value, "append") and not isinstance(value, str | bytes):
            value = [str(one) for one in value]
    return f"{keyword}\0".encode() + (value if isinstance(value, bytes) else str(value).encode()) + b"\0"
