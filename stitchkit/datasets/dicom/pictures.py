"""Pictures in DICOM files as grey levels or colours, and what stands for them in content keys.

Of all tags only those that decide pixels are read: no patient is in a picture's key, nor in a warning or an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stitchkit.datasets.dicom.frames import Choice, choice_of, count_frames, encoded_frame, frame_of, stored_frame
from stitchkit.datasets.dicom.grey_levels import frame_settings, grey_picture, grey_settings, with_depth
from stitchkit.datasets.dicom.tags import (
    DECIDING,
    LUTS,
    OF_LUT,
    DicomFault,
    fault_of,
    import_pydicom,
    naming_faults,
    number_of,
    read_tags,
    silent,
    tag_bytes,
    value_of,
)
from stitchkit.datasets.grey_levels import EIGHT, HIGH, LOW, SIXTEEN, is_eight_bits

_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PALETTE = "PALETTE COLOR"


def read_dicom(path: Path, choice: str = "") -> Image.Image:
    """The picture in a DICOM file: grey levels by its own LUTs or window, or colours.

    Parameters
    ----------
    path
        The file; it begins with 128 bytes and ``DICM``.
    choice
        Frame and window, ``"frame=3"``, ``"frame=middle"``, ``"window=40,400"`` or both joined by ``&``.

    Returns
    -------
    PIL.Image.Image
        Mode ``"L"`` of up to 8 bits stored, ``"I;16"`` of more, ``"RGB"`` of colours.

    Raises
    ------
    DataError
        If the file is damaged, holds no picture, several frames and no choice of one, or values of no stated range.
    MissingExtraError
        Without pydicom, or the reader of the file's compression.
    """
    with naming_faults(path), silent():
        chosen = choice_of(choice)
        data = read_tags(path)
        frame = frame_of(data, chosen, path)
        return _picture(data, frame, chosen)


def dicom_metadata(path: Path, choice: str = "") -> dict[str, int]:
    """Width, height and bits stored of a DICOM file, without its pixels.

    Raises
    ------
    DataError, MissingExtraError
        As :func:`read_dicom`.
    """
    with naming_faults(path), silent():
        choice_of(choice)
        data = read_tags(path, pixels=False)
        return {
            "file_bytes": path.stat().st_size,
            "width": number_of(data, "Columns"),
            "height": number_of(data, "Rows"),
            "bit_depth": number_of(data, "BitsStored"),
        }


def frame_count(path: Path) -> int:
    """Number of frames of a DICOM file.

    Raises
    ------
    DataError, MissingExtraError
        As :func:`read_dicom`.
    """
    with naming_faults(path), silent():
        return count_frames(read_tags(path, pixels=False))


def key_parts(path: Path, choice: str = "") -> Iterator[bytes]:
    """Tags that decide the pixels of one frame, for its content key; no other, so that patients are not in it.

    Raises
    ------
    DataError, MissingExtraError
        As :func:`read_dicom`.
    """
    with naming_faults(path), silent():
        chosen = choice_of(choice)
        data = read_tags(path)
        frame = frame_of(data, chosen, path)
        settings = sorted(frame_settings(data, frame).items())
        yield f"{data.file_meta.TransferSyntaxUID}\0{chosen.window}\0{settings}\0".encode()
        for keyword in DECIDING:
            yield tag_bytes(data, keyword)
        for name in LUTS:
            for keyword in OF_LUT if data.get(name) else ():
                yield tag_bytes(data[name].value[0], keyword)
        yield encoded_frame(data, frame)


def stored_values(path: Path, choice: str = "") -> np.ndarray:
    """Pixels (h, w) or (h, w, 3) of one frame before any look-up table or window; YBR is turned into RGB.

    Raises
    ------
    DataError, MissingExtraError
        As :func:`read_dicom`.
    """
    with naming_faults(path), silent():
        chosen = choice_of(choice)
        data = read_tags(path)
        return stored_frame(data, frame_of(data, chosen, path))


def _picture(data: Any, frame: int, chosen: Choice) -> Image.Image:
    photometric = str(value_of(data, "PhotometricInterpretation") or "")
    if "PixelData" not in data:
        photometric = "MONOCHROME2"  # PS3.3 C.7.6.24: floating-point pixels are nothing else
    if photometric not in (*_GREY, *_COLOUR, _PALETTE):
        raise DicomFault(
            "states a PhotometricInterpretation that is not read here, or none",
            f"Export it as one of {', '.join((*_GREY, *_COLOUR, _PALETTE))}.",
        )
    values = stored_frame(data, frame)
    if photometric in _GREY:
        if values.ndim != 2:
            raise DicomFault("is damaged: it is grey and has several samples a pixel")
        return grey_picture(values, grey_settings(data, frame, photometric, chosen))
    if chosen.window is not None:
        raise DicomFault("is coloured, and a window was asked for", "Name it without one.")
    if photometric == _PALETTE:
        pydicom = import_pydicom()
        with fault_of("is damaged: its palette cannot be read"):
            values = pydicom.pixels.apply_color_lut(values, data)
        return _colour_picture(values[..., :3], values.dtype.itemsize * 8)
    if values.ndim != 3 or values.shape[2] != 3:
        raise DicomFault("is damaged: it is coloured and has not three samples a pixel")
    return _colour_picture(values, number_of(data, "BitsStored"))


def _colour_picture(values: np.ndarray, bits: int) -> Image.Image:
    """Colours of any depth as RGB of 8 bits; of more the upper ones, of values that 8 bits hold those."""
    if bits <= 8:
        return Image.fromarray(to_range(values, bits, EIGHT).astype(np.uint8))
    if bits == 16 and is_eight_bits(values):
        return with_depth(values, LOW)
    return with_depth(to_range(values, bits, SIXTEEN).astype(np.uint16) >> 8, HIGH)


def to_range(values: np.ndarray, bits: int, top: int) -> np.ndarray:
    """Unsigned values of some bits as values from 0 to ``top``."""
    if 2**bits - 1 == top:
        return values
    return np.asarray(np.rint(np.clip(values, 0, 2**bits - 1) * (top / (2**bits - 1))))
