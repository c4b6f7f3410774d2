"""Files that are no PNG, JPEG, BMP, TIFF or DICOM: their kind by their first bytes, and the next step."""

from __future__ import annotations

from stitchkit.datasets.image_files import DICOM_SUFFIXES

_CONVERT = "Convert it to PNG."
_AGAIN = "Copy or download it again, or leave it out."
_KINDS = (  # first bytes, where they stand, the kind, the next step
    (b"WEBP", 8, "it is a WebP image", _CONVERT),
    (b"GIF87a", 0, "it is a GIF image", _CONVERT),
    (b"GIF89a", 0, "it is a GIF image", _CONVERT),
    (b"ftypheic", 4, "it is a HEIC image", _CONVERT),
    (b"ftypheix", 4, "it is a HEIC image", _CONVERT),
    (b"ftypmif1", 4, "it is a HEIF image", _CONVERT),
    (b"ftypavif", 4, "it is an AVIF image", _CONVERT),
    (b"\0\0\0\x0cJXL ", 0, "it is a JPEG XL image", _CONVERT),
    (b"\xff\x0a", 0, "it is a JPEG XL image", _CONVERT),
    (b"\0\0\0\x0cjP  ", 0, "it is a JPEG 2000 image", _CONVERT),
    (b"\xff\x4f\xff\x51", 0, "it is a JPEG 2000 image", _CONVERT),
    (b"8BPS", 0, "it is a Photoshop file", _CONVERT),
    (b"\0\0\x01\0", 0, "it is an icon", _CONVERT),
    (b"DDS ", 0, "it is a DDS texture", _CONVERT),
    (b"P1", 0, "it is a PNM image", _CONVERT),
    (b"P2", 0, "it is a PNM image", _CONVERT),
    (b"P3", 0, "it is a PNM image", _CONVERT),
    (b"P4", 0, "it is a PNM image", _CONVERT),
    (b"P5", 0, "it is a PNM image", _CONVERT),
    (b"P6", 0, "it is a PNM image", _CONVERT),
    (b"<svg", 0, "it is an SVG drawing", _CONVERT),
    (b"%PDF", 0, "it is a PDF document", "Export the page you mean as PNG."),
    (b"n+1\0", 344, "it is a NIfTI volume", "Save the slice you mean as one PNG."),
    (b"NRRD", 0, "it is an NRRD volume", "Save the slice you mean as one PNG."),
    (b"\x89HDF", 0, "it is an HDF5 file", "Save each image in it as one PNG."),
    (b"\x93NUMPY", 0, "it is a NumPy array", "Pass numpy.load(path) itself, or save it as PNG."),
    (b"PK\x03\x04", 0, "it is a ZIP archive", "Unpack it."),
    (b"\x1f\x8b", 0, "it is compressed by gzip", "Unpack it."),
    (b"7z\xbc\xaf", 0, "it is a 7z archive", "Unpack it."),
    (b"Rar!", 0, "it is a RAR archive", "Unpack it."),
    (b"ustar", 257, "it is a tar archive", "Unpack it."),
)
_TEXTS = (  # what a text file begins with, in lower case and without blanks
    (b"<!doctype html", "it is a web page", "The download needs a login or another link."),
    (b"<html", "it is a web page", "The download needs a login or another link."),
    (b"version https://git-lfs", "it is a Git LFS pointer", "Run 'git lfs pull'."),
    (b"<svg", "it is an SVG drawing", _CONVERT),
    (b"<?xml", "it is an XML document", _AGAIN),
    (b"{", "it is JSON, perhaps an error of the server", "Look at it, and download the image again."),
)


def kind_and_step(start: bytes, suffix: str, size: int) -> tuple[str, str]:
    """The kind that the first bytes of a file show, in words, and the next step.

    Examples
    --------
    >>> kind_and_step(b"RIFF....WEBPVP8 ", ".png", 44)
    ('it is a WebP image, called .png', 'Convert it to PNG.')
    """
    for prefix, place, kind, step in _KINDS:
        if start[place : place + len(prefix)] == prefix:
            return _with_suffix(kind, suffix), step
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for prefix, kind, step in _TEXTS:
        if text.startswith(prefix):
            return kind, step
    if suffix in DICOM_SUFFIXES:
        return (
            "by its name it is DICOM, but it does not begin with 128 bytes and DICM, the file meta information",
            "Export it again as a DICOM file, or convert it to PNG.",
        )
    if not start.strip(b"\0"):
        return f"{size:,} bytes that begin with zeros", _AGAIN
    return f"{size:,} bytes that are no PNG, JPEG, BMP, TIFF or DICOM, or a cut-off header", _AGAIN


def _with_suffix(kind: str, suffix: str) -> str:
    return f"{kind}, called {suffix}" if suffix in (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff") else kind
