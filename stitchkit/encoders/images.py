"""Decoded images of any kind as RGB, in one place for all families."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from stitchkit.core.errors import InputError
from stitchkit.datasets.grey_levels import EIGHT, SIXTEEN, is_eight_bits, judge

MOST_SIDES = 20  # long side over short side; the strip that a film of 1:5 or an ECG of 1:10 makes is well below


def rgb(item: Any, mode: str = "RGB") -> Image.Image:
    """``item`` as an 8-bit PIL image in ``mode`` (``"RGB"`` or ``"L"``).

    16-bit images and arrays are scaled by their own range: 65535 becomes 255; without a value above 255 they are the
    8-bit images that they hold. Images that use less than a quarter of 16 bits are warned of, in
    :func:`stitchkit.embed` once with their number. Grey is repeated over the three channels. Alpha is dropped, not
    blended.

    Parameters
    ----------
    item
        A PIL image, or a (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) array of uint8, uint16 or bool.

    Raises
    ------
    InputError
        For anything else: floats have no stated range, and paths must be decoded first. For a strip: encoders resize
        by the shorter side, which blows a strip up to any size.

    Examples
    --------
    >>> import numpy as np
    >>> eight = np.arange(200, dtype=np.uint8).reshape(10, 20)
    >>> [np.array_equal(np.asarray(rgb(one, "L")), eight) for one in (eight, eight.astype(np.uint16))]
    [True, True]
    """
    if isinstance(item, Image.Image):
        return _of_pil(item).convert(mode)
    if hasattr(item, "__array__"):
        return _of_array(np.asarray(item)).convert(mode)
    raise InputError(
        f"image encoders take decoded images (PIL, or arrays of uint8 or uint16); got {type(item).__name__}. "
        f"Open the file first, or pass paths to embed()."
    )


def _of_pil(image: Image.Image) -> Image.Image:
    _check_sides(*image.size)
    judge(image)
    if image.mode.startswith("I"):  # 16 bits; "I" is how PIL opens many 16-bit PNGs
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode))
    if image.mode == "F":
        raise InputError("an image of floats (mode 'F') has no stated range. Convert it to uint8 or uint16 first.")
    # PIL warns when a palette with transparency goes straight to RGB
    return image.convert("RGBA") if "transparency" in image.info else image


def _of_array(array: np.ndarray) -> Image.Image:
    grey = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if grey.ndim not in (2, 3) or (grey.ndim == 3 and grey.shape[2] not in (3, 4)) or grey.size == 0:
        raise InputError(f"an image array is (h, w), (h, w, 3) or (h, w, 4), not empty; got shape {array.shape}.")
    _check_sides(grey.shape[1], grey.shape[0])
    if array.dtype == np.bool_:
        return Image.fromarray(grey.astype(np.uint8) * np.uint8(255))
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        colours = grey[..., :3] if grey.ndim == 3 else grey  # a full alpha says nothing of the picture
        judge(colours)
        return Image.fromarray(_eight_bits(colours, "uint16"))
    if array.dtype != np.uint8:
        raise InputError(f"an image array is uint8 or uint16; {array.dtype} has no stated range. Convert it first.")
    return Image.fromarray(np.ascontiguousarray(grey))


def _check_sides(width: int, height: int) -> None:
    """Raise for an image without pixels, and for a strip, before any memory is spent on it."""
    if min(width, height) == 0:
        raise InputError(f"an image of {width} x {height} pixels has nothing to encode.")
    if max(width, height) > MOST_SIDES * min(width, height):
        raise InputError(
            f"an image of {width} x {height} pixels is a strip: its long side is more than {MOST_SIDES} times the "
            f"short one, and resized by the short side it would be huge. Crop or pad it, or leave it out."
        )


def _eight_bits(values: np.ndarray, kind: str) -> np.ndarray:
    """Values in [0, 65535] as uint8, by the range of 16 bits; as they are where 8 bits hold them all."""
    if is_eight_bits(values):
        return values.astype(np.uint8)
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > SIXTEEN:
        raise InputError(
            f"a {kind} image holds values from {wide.min()} to {wide.max()}, beyond 16 bits. Scale it to uint16 first."
        )
    return ((wide * EIGHT + SIXTEEN // 2) // SIXTEEN).astype(np.uint8)
