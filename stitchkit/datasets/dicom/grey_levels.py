"""Grey levels of DICOM files, in the order of PS3.3: Modality LUT, VOI LUT or window, inversion of MONOCHROME1.

Stored values of at most 16 bits have a table of all their grey levels, so that pixels are looked up and not computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from stitchkit.datasets.dicom.frames import Choice
from stitchkit.datasets.dicom.tags import FRAME_GROUPS, IN_GROUPS, DicomFault, decimal_of, fault_of, number_of, value_of
from stitchkit.datasets.grey_levels import DEPTH, EIGHT, HIGH, LOW, SIXTEEN, is_eight_bits

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")  # PS3.3 C.11.2.1.3


@dataclass(frozen=True, slots=True)
class Grey:
    """Settings of one frame that turn stored values into grey levels."""

    bits: int
    signed: bool
    slope: float = 1.0
    intercept: float = 0.0
    modality: Lut | None = None
    voi: Lut | None = None
    window: tuple[float, float] | None = None
    function: str = "LINEAR"
    padding: tuple[int, int] | None = None
    inverted: bool = False
    shift: int = 0  # bits below those stored


@dataclass(frozen=True, slots=True)
class Lut:
    """A look-up table: the value that its first entry is for, its entries, and their bits."""

    first: int
    entries: np.ndarray
    bits: int

    def of(self, values: np.ndarray) -> np.ndarray:
        """Entries for values, which are rounded; below and above the table its ends."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[places.astype(np.int64)], dtype=np.float64)


def grey_settings(data: Any, frame: int, photometric: str, chosen: Choice) -> Grey:
    bits = number_of(data, "BitsStored") if "PixelData" in data else 0
    signed = number_of(data, "PixelRepresentation", 0) == 1
    if bits and not 1 <= bits <= min(32, number_of(data, "BitsAllocated")):
        raise DicomFault("is damaged: its BitsStored is no number of bits")
    near = frame_settings(data, frame)
    slope = near.get("RescaleSlope")
    if slope == 0:
        raise DicomFault("is damaged: its RescaleSlope makes one value of all")
    intercept = near.get("RescaleIntercept") or 0.0
    modality = _lut(data, "ModalityLUTSequence", signed)
    below_zero = modality is None and (signed or intercept < 0)
    voi = None if chosen.window else _lut(data, "VOILUTSequence", below_zero)
    window = chosen.window or (None if voi else _own_window(near))
    padding = value_of(data, "PixelPaddingValue") if bits else None  # PS3.3 C.7.5.1.1.2: not of floating-point pixels
    limit = value_of(data, "PixelPaddingRangeLimit")
    return Grey(
        bits=bits,
        signed=signed,
        slope=1.0 if slope is None or modality else slope,
        intercept=0.0 if modality else intercept,
        modality=modality,
        voi=voi,
        window=window,
        function="LINEAR" if chosen.window else _function(near),
        padding=None if padding is None else _padding(padding, padding if limit is None else limit, bits, signed),
        inverted=photometric == "MONOCHROME1",
        shift=_shift(data, bits),
    )


def _shift(data: Any, bits: int) -> int:
    """Bits below those stored, which older files may have (PS3.5 section 8.1.1); none where they were compressed."""
    if not bits or data.file_meta.TransferSyntaxUID.is_encapsulated:
        return 0
    shift = number_of(data, "HighBit", bits - 1) + 1 - bits
    if not 0 <= shift <= number_of(data, "BitsAllocated") - bits:
        raise DicomFault("is damaged: its BitsAllocated, BitsStored and HighBit do not fit")
    return shift


def frame_settings(data: Any, frame: int) -> dict[str, Any]:
    """Rescaling and window of a frame: from its own functional groups, else those of all frames, else the file's."""
    settings: dict[str, Any] = {}
    for part in (*_groups(data, frame), data):
        for _, keywords in IN_GROUPS:
            if any(keyword in settings for keyword in keywords):
                continue
            for keyword in keywords:
                value = value_of(part, keyword) if keyword == "VOILUTFunction" else decimal_of(part, keyword)
                if value is not None:
                    settings[keyword] = value
    return settings


def _groups(data: Any, frame: int) -> Iterator[Any]:
    """The items of functional groups that hold a frame's rescaling or window, the nearer first."""
    for name in FRAME_GROUPS:
        items = data.get(name) or ()
        place = frame if name.startswith("Per") else 0
        if place < len(items):
            for sequence, _ in IN_GROUPS:
                if inner := items[place].get(sequence):
                    yield inner[0]


def _function(settings: dict[str, Any]) -> str:
    return str(settings.get("VOILUTFunction") or "LINEAR").upper()


def _own_window(settings: dict[str, Any]) -> tuple[float, float] | None:
    centre, width = settings.get("WindowCenter"), settings.get("WindowWidth")
    if centre is None or width is None:
        return None
    function = _function(settings)
    if function not in FUNCTIONS:
        raise DicomFault(
            "states a VOILUTFunction that the standard does not have", "Name a window: FILE#window=CENTER,WIDTH."
        )
    least = 1.0 if function == "LINEAR" else 0.0
    if width < least or width <= 0:  # PS3.3 C.11.2.1.2: at least 1 for LINEAR, above 0 for the others
        raise DicomFault("states a window of no width", "Name one: FILE#window=CENTER,WIDTH; or leave it out.")
    return centre, width


def _lut(data: Any, keyword: str, signed: bool) -> Lut | None:
    """The first look-up table of a sequence; None without one."""
    with fault_of(f"is damaged: its {keyword} cannot be read"):
        items = data.get(keyword)
        if not items:
            return None
        count, first, bits = (int(one) for one in items[0].LUTDescriptor)
        content = items[0].LUTData
        count = count & 0xFFFF or 1 << 16  # PS3.3 C.11.1.1: 0 stands for 65,536
        if isinstance(content, bytes):
            # PS3.3 C.11.1.1.1: 16 bits an entry; older files pack entries of 8 bits
            order = ">" if data.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.2" else "<"
            content = np.frombuffer(content, f"{order}u2" if len(content) >= 2 * count else np.uint8)
        entries = np.asarray(content, dtype=np.int64)[:count] & 0xFFFF
        if len(entries) < count or not 1 <= bits <= 16:
            raise ValueError
    if signed and first >= 1 << 15:
        first -= 1 << 16
    return Lut(first, entries.astype(np.float64), max(bits, int(entries.max()).bit_length()))


def _padding(value: Any, limit: Any, bits: int, signed: bool) -> tuple[int, int] | None:
    """First and last stored value that stands for no picture; as signed values even where they are written unsigned."""

    def stored_value(one: Any) -> int:
        number = int.from_bytes(one[:2], "little") if isinstance(one, bytes) else int(one)
        if signed and number >= 1 << 15 and bits <= 16:
            number -= 1 << 16
        return number

    with fault_of("is damaged: its PixelPaddingValue cannot be read"):
        ends = sorted((stored_value(value), stored_value(limit)))
    return ends[0], ends[1]


def grey_picture(values: np.ndarray, grey: Grey) -> Image.Image:
    """Stored values as grey levels: 8 bits of up to 8 stored ones, else 16."""
    if grey.bits and grey.bits <= 16:
        every = np.arange(1 << grey.bits)
        stored = np.where(every >= 1 << (grey.bits - 1), every - (1 << grey.bits), every) if grey.signed else every
        unsigned = values.astype(f"u{values.dtype.itemsize}") >> grey.shift
        places = unsigned & ((1 << grey.bits) - 1)  # bits above those stored say nothing
        shares = _shares(stored.astype(np.float64), grey)
        if grey.bits <= 8:
            return Image.fromarray(np.rint(shares * EIGHT).astype(np.uint8)[places])
        whole = grey.bits == 16 and not grey.signed and grey.voi is None and grey.window is None
        if whole and is_eight_bits(places):  # the package's rule for 16 bits without a value above 255
            low = places.astype(np.uint8)
            return with_depth(EIGHT - low if grey.inverted else low, LOW)
        levels = np.rint(shares * SIXTEEN).astype(np.uint16)[places]
    else:
        levels = np.rint(_shares(values.astype(np.float64), grey) * SIXTEEN).astype(np.uint16)
    if is_eight_bits(levels):  # nearly black, and not to be taken for a picture of 8 bits
        return with_depth((levels.astype(np.uint32) * EIGHT + SIXTEEN // 2) // SIXTEEN, HIGH)
    return Image.fromarray(levels)


def _shares(stored: np.ndarray, grey: Grey) -> np.ndarray:
    """Grey levels from 0, black, to 1, white, of stored values."""
    values = grey.modality.of(stored) if grey.modality else stored * grey.slope + grey.intercept
    if grey.voi is not None:
        shares = grey.voi.of(values) / (2**grey.voi.bits - 1)
    elif grey.window is not None:
        shares = windowed(values, *grey.window, grey.function)
    else:
        shares = _of_whole_range(values, grey)
    if not np.isfinite(shares).all():
        raise DicomFault("holds values that are no numbers")
    if grey.inverted:
        shares = 1 - shares
    if grey.padding is not None:
        shares[(stored >= grey.padding[0]) & (stored <= grey.padding[1])] = 0
    return np.asarray(shares)


def windowed(values: np.ndarray, centre: float, width: float, function: str = FUNCTIONS[0]) -> np.ndarray:
    """Values from 0 to 1 in a window, by the functions of PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Examples
    --------
    >>> windowed(np.array([-1000.0, -160, 40, 240, 1000]), 40, 400).round(3).tolist()
    [0.0, 0.0, 0.501, 1.0, 1.0]
    >>> windowed(np.array([40.0]), 40, 400, "SIGMOID").tolist()
    [0.5]
    """
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.asarray(np.clip((values - centre) / width + 0.5, 0, 1))
    centre, width = centre - 0.5, width - 1
    if width == 0:  # all below is black, all above white
        return np.asarray(values > centre, dtype=np.float64)
    return np.asarray(np.clip((values - centre) / width + 0.5, 0, 1))


def _of_whole_range(values: np.ndarray, grey: Grey) -> np.ndarray:
    """Values from 0 to 1 in the range of the bits stored, after the Modality LUT; nothing else is said of them."""
    if not 0 < grey.bits <= 16:
        kind = f"pixels of {grey.bits} bits" if grey.bits else "floating-point pixels"
        raise DicomFault(
            f"holds {kind} and no window, so that nothing says which values are black and white",
            "Name a window: FILE#window=CENTER,WIDTH.",
        )
    if grey.modality is not None:
        return np.asarray(values / (2**grey.modality.bits - 1))
    ends = (-(2 ** (grey.bits - 1)), 2 ** (grey.bits - 1) - 1) if grey.signed else (0, 2**grey.bits - 1)
    low, high = sorted(end * grey.slope + grey.intercept for end in ends)
    return np.asarray((values - low) / (high - low))


def with_depth(values: np.ndarray, bytes_used: str) -> Image.Image:
    image = Image.fromarray(values.astype(np.uint8))
    image.info[DEPTH] = bytes_used
    return image
