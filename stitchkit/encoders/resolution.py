"""The option ``resolution``: pixels of a side that images are brought to, in place of the checkpoint's own."""

from __future__ import annotations

from stitchkit.core.errors import InputError
from stitchkit.encoders.names import EncoderName

SMALLEST, LARGEST = 8, 4096  # pixels of a side


def resolution_of(name: EncoderName) -> int | None:
    """The pixels of a side that the options of ``name`` ask for, or None for the checkpoint's own.

    Raises
    ------
    InputError
        If it is no number of pixels.

    Examples
    --------
    >>> resolution_of(EncoderName.parse("timm:vit_base_patch16_224#resolution=384"))
    384
    """
    text = name.options.get("resolution")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or not SMALLEST <= int(text) <= LARGEST:
        raise InputError(
            f"encoder {str(name)!r}: resolution={text!r} is no number of pixels from {SMALLEST} to {LARGEST}, such as "
            f"resolution=384."
        )
    return int(text)


def check_images(name: EncoderName, modality: str) -> None:
    """Raise for a resolution of an encoder of texts."""
    if modality != "image" and "resolution" in name.options:
        raise InputError(f"encoder {str(name)!r} takes texts, which have no resolution. Leave out resolution=.")
