"""Grey levels of 16-bit images: eight bits in sixteen are read as eight; dark and flat ones are warned of."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

EIGHT, SIXTEEN = 255, 65535
DARK = (SIXTEEN + 1) // 4  # where the brightest part of an image lies below, an encoder is shown hardly anything
BRIGHTEST = 0.999  # quantile of the pixels; a marker or a dead pixel is brighter and shows nothing of the subject
MOST_PADDING = 0.5  # share of the pixels that are 0 and may be the border of a picture that begins higher
FEW = 0.95  # share of the pixels below the largest value from which that value is taken for a marker's
DEPTH = "sixteen_bits"  # key in ``info`` of 8-bit images that were decoded from 16 bits
LOW, HIGH = "low", "high"  # the bytes such an image was made of


@dataclass(slots=True)
class RangeCount:
    """Brightest values of the 16-bit images of one set; equal images count once."""

    tops: dict[int, int] = field(default_factory=dict)  # checksum of the pixels -> 99.9th percentile
    bands: dict[int, tuple[int, int]] = field(default_factory=dict)  # the same -> ends of a narrow band above the dark
    narrow: set[int] = field(default_factory=set)  # checksums of those without a value above 255

    def add(self, image: Image.Image | np.ndarray) -> None:
        """Count one image, if it was stored with 16 bits."""
        judged = _levels_of(image)
        if judged is not None:
            key, low, top, is_narrow = judged
            if is_narrow:
                self.narrow.add(key)
                return
            self.tops[key] = top
            if top >= DARK and 0 < top - low < DARK:
                self.bands[key] = low, top

    def lines(self) -> list[str]:
        """Sentences on the images that come out dark or flat, or were read as 8 bits beside others that were not."""
        dark = [top for top in self.tops.values() if top < DARK]
        whole = len(self.tops) + len(self.narrow)
        lines = []
        if dark:
            lines.append(
                f"{len(dark)} of {whole} 16-bit images use less than a quarter of their range (99.9th percentile of "
                f"the brightest of them {max(dark):,} of {SIXTEEN:,}): 65535 is white, so they look nearly black to an "
                f"encoder. Scale the whole set by one factor first (12 bits: times 16; 14 bits: times 4)."
            )
        if self.bands:
            low, high = max(self.bands.values(), key=lambda band: band[1] - band[0])
            lines.append(
                f"{len(self.bands)} of {whole} 16-bit images lie in less than a quarter of the range, away from black "
                f"(the widest of them in {low:,} to {high:,} of {SIXTEEN:,}): they look grey or white and flat to an "
                f"encoder. Subtract one value from the whole set and scale it by one factor first; where 0 is white "
                f"(TIFF), save the set with 0 as black and scale it; of DICOM files without a window, name one for the "
                f"whole set (scan.dcm#window=CENTER,WIDTH)."
            )
        if self.narrow and self.tops:
            lines.append(
                f"{len(self.narrow)} of {whole} 16-bit images hold no value above 255 and are read as 8 bits, the "
                f"others are read as 16. If those few are dark images of 16 bits, leave them out or convert the set."
            )
        return lines


_COUNT: ContextVar[RangeCount | None] = ContextVar("ranges", default=None)


@contextmanager
def one_warning() -> Iterator[RangeCount]:
    """Judge the 16-bit images that are read inside the block as one set: one warning with a count, at its end."""
    if (outer := _COUNT.get()) is not None:
        yield outer
        return
    count = RangeCount()
    token = _COUNT.set(count)
    try:
        yield count
    finally:
        _COUNT.reset(token)
    _warn(count)


def judge(image: Image.Image | np.ndarray) -> None:
    """Count an image towards the set it is read in, or warn of it alone."""
    count = _COUNT.get()
    if count is not None:
        count.add(image)
        return
    alone = RangeCount()
    alone.add(image)
    _warn(alone)


def _warn(count: RangeCount) -> None:
    for line in count.lines():
        warnings.warn(line, stacklevel=5)


def is_eight_bits(values: np.ndarray) -> bool:
    """True if 16-bit values are those of an 8-bit image: none is above 255."""
    return bool(values.size) and int(values.max()) <= EIGHT and int(values.min()) >= 0


def top_of(values: np.ndarray) -> int:
    """The 99.9th percentile of the values, those at the very top apart: a letter burnt into a film says nothing."""
    below = values[values < values.max()]
    values = below if below.size >= FEW * values.size else values
    return _at_share(values, BRIGHTEST)


def bottom_of(values: np.ndarray) -> int:
    """The 0.1th percentile of the values, a border of zeros and a few pixels at the very bottom apart."""
    picture = values[values > 0]
    values = picture if picture.size >= MOST_PADDING * values.size else values
    above = values[values > values.min()]
    values = above if above.size >= FEW * values.size else values
    return _at_share(values, 1 - BRIGHTEST)


def _at_share(values: np.ndarray, share: float) -> int:
    place = min(values.size - 1, int(share * values.size))
    return int(np.partition(values, place, axis=None)[place])


def _levels_of(image: Image.Image | np.ndarray) -> tuple[int, int, int, bool] | None:
    """Checksum, 0.1th and 99.9th percentile in 16 bits, and if 8 bits held all; None for 8 bits and for all black."""
    values = np.asarray(image)
    factor, narrow = 1, False
    if isinstance(image, Image.Image) and not image.mode.startswith("I"):
        depth = image.info.get(DEPTH)
        if depth is None:
            return None
        factor, narrow = SIXTEEN // EIGHT, depth == LOW
        values = values[..., : values.shape[2] - (image.mode in ("LA", "RGBA"))] if values.ndim == 3 else values
    elif is_eight_bits(values):
        narrow = True
    if values.size == 0 or not values.any():
        return None
    return zlib.crc32(values.tobytes()), bottom_of(values) * factor, top_of(values) * factor, narrow
