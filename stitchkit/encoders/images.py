"""Decoded images of any kind as RGB, in one place for all families."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from PIL import Image

from stitchkit.core.errors import InputError


def rgb(item: Any, mode: str = "RGB") -> Image.Image:
    """``item`` as an 8-bit PIL image in ``mode`` (``"RGB"`` or ``"L"``).

    16-bit images and arrays are scaled by their own range: 65535 becomes 255. Grey is repeated over the three
    channels. Alpha is dropped, not blended.

    Parameters
    ----------
    item
        A PIL image, or a (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) array of uint8, uint16 or bool.

    Raises
    ------
    InputError
        For anything else: floats have no stated range, and paths must be decoded first.
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
    if min(image.size) == 0:
        raise InputError(f"an image of {image.size[0]} x {image.size[1]} pixels has nothing to encode.")
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
    if array.dtype == np.bool_:
        return Image.fromarray(grey.astype(np.uint8) * np.uint8(255))
    if array.dtype == np.uint16:
        return Image.fromarray(_eight_bits(grey, "uint16"))
    if array.dtype != np.uint8:
        raise InputError(f"an image array is uint8 or uint16; {array.dtype} has no stated range. Convert it first.")
    return Image.fromarray(np.ascontiguousarray(grey))


def _eight_bits(values: np.ndarray, kind: str) -> np.ndarray:
    """Values in [0, 65535] as uint8, by the range of 16 bits."""
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise InputError(
            f"a {kind} image holds values from {wide.min()} to {wide.max()}, beyond 16 bits. Scale it to uint16 first."
        )
    if 255 < wide.max() < 4096:
        warnings.warn(
            f"a {kind} image holds no value above {wide.max()}: with 12 bits it comes out nearly black. Scale it "
            f"to the full 16 bits, or to 8, first.",
            stacklevel=4,
        )
    return ((wide * 255 + 32767) // 65535).astype(np.uint8)
