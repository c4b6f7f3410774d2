"""Images from disk: decoded completely, turned upright, with errors that name the file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stitchkit.core.errors import DataError
from stitchkit.datasets.grey_levels import DEPTH, EIGHT, HIGH, LOW, SIXTEEN, is_eight_bits
from stitchkit.datasets.image_files import (
    DICOM_SUFFIXES,
    PNG,
    PixelFile,
    file_and_choice,
    image_format,
    is_dicom,
    pixel_file,
)
from stitchkit.storage.path_checks import checked_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *DICOM_SUFFIXES)
# what Pillow and zlib raise of damaged files; warnings are here for callers who turn them into errors
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError,
    AssertionError, NotImplementedError, struct.error, zlib.error, UserWarning,
)  # fmt: skip
_BIT_DEPTHS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}  # PIL mode -> bits a channel, else 8
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_NO_READER = "unknown pixel mode"  # what Pillow says of a TIFF that it has no reader for
_START = 512  # bytes that tell the kind of a file
_BYTES_PER_PIXEL = 16  # a file with more of them for every pixel that is allowed is no image of this size


def looks_like_image(path: str | Path) -> bool:
    """True if the name ends like an image file's.

    Examples
    --------
    >>> looks_like_image("scans/0001.PNG"), looks_like_image("No pleural effusion."), looks_like_image("1.dcm#frame=3")
    (True, False, True)
    """
    return str(file_and_choice(path)[0]).lower().endswith(IMAGE_SUFFIXES)


def read_image(path: str | Path) -> Image.Image:
    """A PNG, JPEG, BMP, TIFF or DICOM image, fully loaded and upright.

    Only what decides the pixels is decoded: of EXIF the orientation, of a phone's JPEG with previews (MPO) the first
    image, of a TIFF with smaller copies the full one. Damaged camera data and large colour profiles do no harm.

    Grey images of 16 bits keep them (mode ``"I;16"`` or ``"I;16B"``, or ``"I"`` in old Pillow), and 12-bit TIFF files
    are scaled to 16; of 16-bit colour the upper 8 bits are kept. A 16-bit image without a stored value above 255 is
    read as the 8-bit image that it is, and then turned round where a TIFF says that 0 is white.

    DICOM is known by its first bytes, not by its name, and read by its own LUTs or window
    (:func:`stitchkit.datasets.dicom.pictures.read_dicom`).

    Parameters
    ----------
    path
        The image file; of a DICOM file also ``scan.dcm#frame=3`` or ``scan.dcm#window=40,400``.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    DataError
        If the file is missing, empty, truncated, of another kind, has several frames, holds values below 0 or beyond 16
        bits, or claims more pixels than
        ``PIL.Image.MAX_IMAGE_PIXELS``.
    MissingExtraError
        For DICOM without pydicom, or without the reader of its compression.
    """
    named, choice = file_and_choice(path)
    path = checked_file(named, "an image")
    file = _pixel_file(path)
    if file is None:
        from stitchkit.datasets.dicom.pictures import read_dicom

        return read_dicom(path, choice)
    _check_no_choice(path, choice)
    try:
        with _open(path, file) as opened:
            opened.load()
            image = _at_its_depth(opened.copy(), file, path)  # a copy lets go of the file's bytes
        rotation = _UPRIGHT.get(file.orientation)
        return image if rotation is None else image.transpose(rotation)
    except DataError:
        raise
    except _BROKEN as error:
        raise _damage_error(path, error) from error


def image_metadata(path: str | Path) -> dict[str, int]:
    """Metadata of an image file without its pixels, for the metadata-only baseline.

    Returns
    -------
    dict
        ``file_bytes``; ``width`` and ``height`` in pixels as stored, before any EXIF rotation; ``bit_depth`` in
        bits a channel.

    Raises
    ------
    DataError
        If the file is missing, empty, or not an image.
    """
    named, choice = file_and_choice(path)
    path = checked_file(named, "an image")
    file = _pixel_file(path)
    if file is None:
        from stitchkit.datasets.dicom.pictures import dicom_metadata

        return dicom_metadata(path, choice)
    _check_no_choice(path, choice)
    with _open(path, file) as image:
        depth = _BIT_DEPTHS.get(image.mode, 8)
        return {
            "file_bytes": path.stat().st_size,
            "width": image.width,
            "height": image.height,
            "bit_depth": file.bits if file.kind == PNG else depth,  # PIL shows 16-bit colour as if it had 8
        }


def _check_no_choice(path: Path, choice: str) -> None:
    if choice:
        raise DataError(f"{path} is no DICOM file, so it has no #{choice}. Name it without.")


def _pixel_file(path: Path) -> PixelFile | None:
    """The file's bytes without what its pixels do not need; None for DICOM, which has a reader of its own."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, not an image. Give the path of one file.")
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        raise DataError(f"there is no image {path}. Check the path, and the root it is relative to.") from error
    if facts.st_size == 0:
        raise DataError(f"the image {path} is empty (0 bytes). Copy or download it again, or leave it out.")
    try:
        with path.open("rb") as stream:
            start = stream.read(_START)
            if is_dicom(start):
                return None
            if image_format(start) is None:
                raise _no_image(path, start, facts.st_size)
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and facts.st_size > _BYTES_PER_PIXEL * limit:
                raise _too_large(path, f"{facts.st_size:,} bytes in one file")
            content = start + stream.read()
    except OSError as error:
        raise DataError(
            f"the image {path} cannot be read: {error.strerror or error}. Check its permissions."
        ) from error
    try:
        return pixel_file(content)
    except (ValueError, struct.error) as error:
        raise _damage_error(path, error) from error


def _open(path: Path, file: PixelFile) -> Image.Image:
    """The image with its header read and checked; pixels follow on load()."""
    try:
        image = _with_header(file)
    except (SyntaxError, IndexError, TypeError, struct.error) as error:  # what Image.open takes for another kind
        if _NO_READER in str(error):
            raise _other_sort(path, file) from error
        raise _damage_error(path, ValueError(f"its {file.kind} header cannot be read")) from error
    except _BROKEN as error:
        raise _damage_error(path, error) from error
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        image.close()
        raise _too_large(path, f"{image.width} x {image.height} pixels, the limit is {limit}")
    if min(image.size) == 0:
        image.close()
        raise _damage_error(path, ValueError(f"{image.width} x {image.height} pixels"))
    if file.frames > 1:
        image.close()
        raise DataError(f"the image {path} holds {file.frames} frames. Save the frame you mean as one PNG.")
    return image


def _with_header(file: PixelFile) -> Image.Image:
    """The image without its pixels, by Pillow's own reader of the format.

    Not by ``Image.open``, which warns of a size between its limit and twice that, and raises above: the size is checked
    here, and filters of warnings cannot be set in one thread alone.
    """
    Image.preinit()
    if file.kind not in Image.OPEN:
        Image.init()
    image: Image.Image = Image.OPEN[file.kind][0](io.BytesIO(file.content), "")
    return image


def _at_its_depth(image: Image.Image, file: PixelFile, path: Path) -> Image.Image:
    """The image with values of fewer than 16 bits in 16 read by what they are."""
    if file.signed and file.bits == 8:  # Pillow reads -1 as 255
        raise DataError(
            f"the image {path} holds signed values of 8 bits, of which none is said to be black. Save the whole set "
            f"with unsigned values, for instance shifted by 128."
        )
    if image.mode.startswith("I"):
        values = _within_sixteen_bits(np.asarray(image), file, path)
        if file.white_is_zero and file.bits in (12, 16):
            top = EIGHT if file.bits == 16 and is_eight_bits(values) else 2**file.bits - 1
            values = np.uint16(top) - values.astype(np.uint16)
            image = Image.fromarray(values)
            if top == EIGHT:
                return _with_depth(Image.fromarray(values.astype(np.uint8)), LOW)
        if file.bits == 12:  # stated by the file, not guessed from its values
            return Image.fromarray(((values.astype(np.uint32) * SIXTEEN + 2047) // 4095).astype(np.uint16))
        if file.bits in (16, 32) and is_eight_bits(values):
            return _with_depth(Image.fromarray(values.astype(np.uint8)), LOW)
    elif file.bits == 16 and image.mode != "F":
        if max(_brightest(image)) > 0 or (low := _low_bytes(file)) is None:
            return _with_depth(image, HIGH)
        return _with_depth(low, LOW)
    return image


def _within_sixteen_bits(values: np.ndarray, file: PixelFile, path: Path) -> np.ndarray:
    """The values themselves, if every one is in [0, 65535]."""
    if file.bits == 32 and not file.signed:
        values = values.view(np.uint32)  # Pillow knows signed ones only
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > SIXTEEN:
        raise DataError(
            f"the image {path} holds values from {low} to {high}; images are read from 0 (black) to {SIXTEEN} (white). "
            f"Shift and scale the whole set by the same two numbers, and save it as unsigned 16-bit PNG or TIFF."
        )
    return values


def _with_depth(image: Image.Image, bytes_used: str) -> Image.Image:
    image.info[DEPTH] = bytes_used
    return image


def _brightest(image: Image.Image) -> list[int]:
    """The largest value of each channel but alpha."""
    bands: Any = image.getextrema() if len(image.getbands()) > 1 else (image.getextrema(),)
    return [high for (_, high), name in zip(bands, image.getbands(), strict=True) if name not in ("A", "a", "X")]


_GREY_ALPHA = "LA;16B"
_SWAPPED = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if struct.pack("=H", 1)[0] else ";16L"}


def _low_bytes(file: PixelFile) -> Image.Image | None:
    """16-bit colour by its lower bytes, by reading it in the other byte order; None where Pillow has no such reader."""
    image: Any  # a PIL image whose tiles, what its decoder is set to, are written anew
    with Image.open(io.BytesIO(file.content), formats=[file.kind]) as image:
        grey = any(_raw_mode(tile) == _GREY_ALPHA for tile in image.tile)
        image.tile = [_other_order(tile) for tile in image.tile]
        if grey:
            image._mode = "RGBA"
        try:
            image.load()
        except (ValueError, OSError):  # no such byte order
            return None
        low: Image.Image = image.getchannel(1) if grey else image.convert("RGB")
        return low


def _raw_mode(tile: Any) -> str:
    """The layout of stored pixels that a decoder's tile (codec, extents, offset, settings) names."""
    return str(tile[3] if isinstance(tile[3], str) else tile[3][0])


def _other_order(tile: Any) -> Any:
    """The tile for the other byte order."""
    raw = _raw_mode(tile)
    # Pillow reads grey with alpha in one byte order only: its four bytes are read as four channels of 8 bits
    other = "RGBA" if raw == _GREY_ALPHA else raw[:-4] + _SWAPPED.get(raw[-4:], raw[-4:])
    fields = (*tile[:3], other if isinstance(tile[3], str) else (other, *tile[3][1:]))
    return tile._make(fields) if hasattr(tile, "_make") else fields  # a plain tuple in older Pillow


def _damage_error(path: Path, error: BaseException) -> DataError:
    return DataError(f"the image {path} is damaged or cut off ({error}). Copy or download it again, or leave it out.")


def _other_sort(path: Path, file: PixelFile) -> DataError:
    return DataError(
        f"the image {path} is a TIFF of a sort that cannot be read here ({file.sort}). Save it as PNG of 8 or 16 bits "
        f"with 0 as black, for instance with ImageJ, or in Python with tifffile.imread and PIL.Image.fromarray; if it "
        f"should be another sort, it is damaged."
    )


def _too_large(path: Path, what: str) -> DataError:
    return DataError(
        f"the image {path} was refused as a possible decompression bomb ({what}). Downscale or tile it; if you trust "
        f"it, raise PIL.Image.MAX_IMAGE_PIXELS."
    )


def _no_image(path: Path, start: bytes, size: int) -> DataError:
    from stitchkit.datasets.unreadable_images import kind_and_step

    kind, step = kind_and_step(start, path.suffix.lower(), size)
    return DataError(f"{path} is not a readable image: {kind}. {step}")
