"""Images from disk: decoded completely, turned upright, with errors that name the file."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

from stitchkit.core.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")  # PIL knows fifty; what nobody sends is only a way in for broken files
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError)
_BIT_DEPTHS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}  # PIL mode -> bits a channel, else 8


def looks_like_image(path: str | Path) -> bool:
    """Whether the name ends like an image file's.

    Examples
    --------
    >>> looks_like_image("scans/0001.PNG"), looks_like_image("No pleural effusion.")
    (True, False)
    """
    return str(path).lower().endswith(IMAGE_SUFFIXES)


def read_image(path: str | Path) -> Image.Image:
    """A PNG, JPEG, BMP or TIFF image, fully loaded and upright.

    Grey images of 16 bits keep them (mode ``"I;16"``, or ``"I"`` in old Pillow); PIL itself reduces 16-bit colour
    to 8. The EXIF orientation is applied.

    Parameters
    ----------
    path
        The image file.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    DataError
        If the file is missing, empty, truncated, of another kind, has several frames, or claims more pixels than
        ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    path = Path(path)
    with _opened(path) as image:
        try:
            image.load()
            return ImageOps.exif_transpose(image)
        except _BROKEN as error:
            raise DataError(
                f"the image {path} is damaged or cut off ({error}). Copy or download it again, or leave it out."
            ) from error


def image_metadata(path: str | Path) -> dict[str, int]:
    """What a file tells about an image without its pixels, for the metadata-only baseline.

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
    path = Path(path)
    with _opened(path) as image:
        depth = _BIT_DEPTHS.get(image.mode, 8)
        if image.format == "PNG":
            with path.open("rb") as file:
                depth = file.read(25)[24]  # IHDR: PIL shows 16-bit colour as if it had 8
        return {
            "file_bytes": path.stat().st_size,
            "width": image.width,
            "height": image.height,
            "bit_depth": depth,
        }


def _opened(path: Path) -> Image.Image:
    """The image with its header read and checked; pixels follow on load()."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, not an image. Give the path of one file.")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"there is no image {path}. Check the path, and the root it is relative to.") from error
    if size == 0:
        raise DataError(f"the image {path} is empty (0 bytes). Copy or download it again, or leave it out.")
    try:
        image = Image.open(path, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, str(error)) from error
    except _BROKEN as error:
        raise DataError(f"{path} is not a readable image: {_kind(path)}. {_step(path)}") from error
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:  # PIL only warns below twice its limit
        image.close()
        raise _too_large(path, f"{image.width} x {image.height} pixels, the limit is {limit}")
    if (frames := getattr(image, "n_frames", 1)) > 1:
        image.close()
        raise DataError(f"the image {path} holds {frames} frames. Save the frame you mean as one PNG.")
    return image


def _too_large(path: Path, what: str) -> DataError:
    return DataError(
        f"the image {path} was refused as a possible decompression bomb ({what}). Downscale or tile it; if you trust "
        f"it, raise PIL.Image.MAX_IMAGE_PIXELS."
    )


def _kind(path: Path) -> str:
    """What the first bytes say a file is that PIL could not open."""
    with path.open("rb") as file:
        start = file.read(256)
    if start[128:132] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom"):
        return "it is DICOM"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html")):
        return "it is a web page"
    if text.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer"
    return f"{path.stat().st_size} bytes that are no PNG, JPEG, BMP or TIFF, or a cut-off header"


def _step(path: Path) -> str:
    return {
        "it is DICOM": "Convert it to PNG (16 bits are kept), windowed as the encoder expects.",
        "it is a web page": "The download needs a login or another link.",
        "it is a Git LFS pointer": "Run 'git lfs pull'.",
    }.get(_kind(path), "Copy or download it again, or leave it out.")
