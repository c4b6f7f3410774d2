"""The parts of an image file that decide its pixels, and its orientation; nothing else reaches the decoder.

Camera data, colour profiles, previews, comments and printers' resolutions change no pixel, but they are where sound
files break decoders: a damaged EXIF entry, a profile of two megabytes, the preview that a phone puts behind a photo.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

PNG, JPEG, BMP, TIFF = "PNG", "JPEG", "BMP", "TIFF"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_READ = (b"eXIf", b"acTL", b"zTXt", b"tEXt", b"iTXt")
_STARTS = (
    (_PNG_START, PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"BM", BMP),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),  # BigTIFF
    (b"MM\0+", TIFF),
)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_DICM, _DICM_AT = b"DICM", 128  # PS3.10 section 7.1
DICOM_BYTES = _DICM_AT + len(_DICM)  # bytes that tell a DICOM file
_CHOICE = re.compile(r"#((?:frame|window)=[^/#]*)$")  # behind the path of a DICOM file
_PHOTOMETRIC, _COMPRESSION, _SAMPLES, _SAMPLE_FORMAT = 262, 259, 277, 339
_UNSIGNED, _SIGNED = 1, 2
_FORMATS = {_UNSIGNED: "unsigned", _SIGNED: "signed", 3: "floating-point"}
_ORIENTATION, _WIDTH, _HEIGHT, _BITS, _SUBFILE, _OLD_SUBFILE = 274, 256, 257, 258, 254, 255
# TIFF 6.0 with its tiles, JPEG tables and sample formats: what a decoder needs to make pixels
_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338, 339}
    | {347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 50674}
)
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}  # TIFF types -> struct
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])")
_MOST_PAGES = 100_000
_MOST_METADATA = 1 << 16  # bytes of an EXIF block packed into a PNG text that are unpacked


@dataclass(frozen=True, slots=True)
class PixelFile:
    """An image file without what its pixels do not need.

    Parameters
    ----------
    kind
        ``"PNG"``, ``"JPEG"``, ``"BMP"`` or ``"TIFF"``.
    content
        A file of that kind.
    orientation
        EXIF orientation, 1 to 8; 1 where none is stated or the stated one is none.
    frames
        Number of full pictures; previews and smaller copies of a picture do not count.
    bits
        Bits a channel as the file states them; 0 where it states none.
    white_is_zero
        True if 0 means white, as a TIFF may say; of grey with 12 or 16 bits, ``content`` no longer says it.
    signed
        True if its values are signed, as a TIFF may say.
    sort
        Sample format of a TIFF, in words.
    """

    kind: str
    content: bytes
    orientation: int = 1
    frames: int = 1
    bits: int = 0
    white_is_zero: bool = False
    signed: bool = False
    sort: str = ""


def image_format(start: bytes) -> str | None:
    """The format of an image file that begins with ``start`` ("PNG", ...), or None for one that is not read here."""
    return next((kind for prefix, kind in _STARTS if start.startswith(prefix)), None)


def is_dicom(start: bytes) -> bool:
    """True for a file that begins with ``start`` if it is DICOM, whatever its name."""
    return start[_DICM_AT:DICOM_BYTES] == _DICM


def file_and_choice(path: str | Path) -> tuple[Path, str]:
    """The file of a path, and the choice of frame or window behind it, empty where there is none.

    Examples
    --------
    >>> file_and_choice("scans/1.dcm#frame=3&window=40,400")[1], file_and_choice("scans/a#1.png")[1]
    ('frame=3&window=40,400', '')
    """
    text = str(path)
    match = _CHOICE.search(text) if "#" in text else None
    return (Path(text[: match.start()]), match.group(1)) if match else (Path(path), "")


def pixel_file(content: bytes) -> PixelFile:
    """The image file ``content`` of a known kind, reduced to what decides its pixels.

    A file cut off or damaged in its structure is handed on from there as it is, for the decoder to judge.

    Raises
    ------
    ValueError
        If a TIFF has no picture, or one without width or height.
    """
    kind = image_format(content)
    if kind == PNG:
        return _png(content)
    if kind == JPEG:
        return _jpeg(content)
    if kind == TIFF:
        return _tiff(content)
    return PixelFile(BMP, content)


def _png(content: bytes) -> PixelFile:
    """Critical chunks and transparency; orientation from eXIf, ImageMagick's text, or XMP."""
    kept, place, frames = [content[:8]], 8, 1
    exif, text, xmp = 0, 0, 0
    while place + 12 <= len(content):
        (size,), name = struct.unpack_from(">I", content, place), content[place + 4 : place + 8]
        end = place + 12 + size
        if end > len(content):
            break
        data = content[place + 8 : end - 4] if name in _PNG_READ else b""
        if name == b"eXIf":
            exif = orientation_of(data)
        elif name == b"acTL" and size >= 4:
            frames = max(1, struct.unpack_from(">I", data)[0])
        elif name in (b"zTXt", b"tEXt"):
            text = text or _text_orientation(name, data)
        elif name == b"iTXt" and data.startswith(b"XML:com.adobe.xmp\0"):
            xmp = _xmp_orientation(data)
        if name == b"tRNS" or not name[:1].islower():
            kept.append(content[place:end])
        place = end
        if name == b"IEND":
            break
    if kept[-1][4:8] != b"IEND":
        kept.append(content[place:])
    bits = content[24] if len(content) > 24 else 0
    return PixelFile(PNG, b"".join(kept), exif or text or xmp or 1, frames, bits)


def _text_orientation(name: bytes, data: bytes) -> int:
    """The orientation in a PNG text where ImageMagick keeps EXIF as hexadecimal digits; 0 for none."""
    key, _, value = data.partition(b"\0")
    if key not in (b"Raw profile type exif", b"Raw profile type APP1"):
        return 0
    try:
        raw = zlib.decompressobj().decompress(value[1:], 2 * _MOST_METADATA) if name == b"zTXt" else value
        return orientation_of(bytes.fromhex("".join(raw.decode("latin-1").split("\n")[3:])))
    except (zlib.error, ValueError):
        return 0


def _xmp_orientation(data: bytes) -> int:
    match = _XMP_ORIENTATION.search(data)
    return int(match.group(1)) if match else 0


def _jpeg(content: bytes) -> PixelFile:
    """All segments but those of applications and comments; JFIF and Adobe's stay, which decide the colours."""
    kept, place, bits = [content[:2]], 2, 8
    exif, xmp = 0, 0
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker in (0x00, 0xDA, 0xD9):  # the picture itself, or nothing known
            break
        end = place + 2 if marker == 0x01 or 0xD0 <= marker <= 0xD8 else _segment_end(content, place)
        if end is None:
            break
        segment = content[place:end]
        if marker == 0xE1 and segment[4:8] == b"Exif":
            exif = exif or orientation_of(segment[4:])
        elif marker == 0xE1 and segment[4:].startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = xmp or _xmp_orientation(segment)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(segment) > 4:
            bits = segment[4]
        if marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(segment)
        place = end
    kept.append(content[place:])
    return PixelFile(JPEG, b"".join(kept), exif or xmp or 1, 1, bits)


def _segment_end(content: bytes, place: int) -> int | None:
    (size,) = struct.unpack_from(">H", content, place + 2)
    end = place + 2 + int(size)
    return end if size >= 2 and end <= len(content) else None


@dataclass(frozen=True, slots=True)
class _Directory:
    """One TIFF directory: tag -> its entry as it stands in the file."""

    entries: dict[int, bytes]
    following: int  # offset of the next directory, 0 for none
    order: str
    wide: bool  # BigTIFF
    size: int  # bytes of all its entries

    def number(self, tag: int, default: int) -> int:
        """The first integer of ``tag``, where it stands in the entry itself."""
        entry = self.entries.get(tag, b"")
        if len(entry) < 12:
            return default
        code = _INTEGERS.get(struct.unpack_from(self.order + "H", entry, 2)[0])
        if code is None or struct.calcsize(code) > len(entry) - (12 if self.wide else 8):
            return default
        return int(struct.unpack_from(self.order + code, entry, 12 if self.wide else 8)[0])

    @property
    def is_reduced(self) -> bool:
        """True if it is a smaller copy of another picture, or a mask."""
        return bool(self.number(_SUBFILE, 0) & 0b101) or self.number(_OLD_SUBFILE, 0) == 2


def _directory(content: bytes, at: int, order: str, wide: bool) -> _Directory | None:
    """The directory at an offset, or None where the file has none."""
    count_code, entry_size, offset_code = ("Q", 20, "Q") if wide else ("H", 12, "I")
    start = at + struct.calcsize(order + count_code)
    if at < 8 or start > len(content):
        return None
    (count,) = struct.unpack_from(order + count_code, content, at)
    end = start + count * entry_size
    if count == 0 or end > len(content):
        return None
    edges = range(start, end + 1, entry_size)
    rows = [content[left:right] for left, right in pairwise(edges)]
    tags = {struct.unpack_from(order + "H", row)[0]: row for row in rows}
    last = end + struct.calcsize(order + offset_code) <= len(content)
    return _Directory(
        tags, struct.unpack_from(order + offset_code, content, end)[0] if last else 0, order, wide, end - start
    )


def _layout(content: bytes) -> tuple[str, bool, int]:
    """Byte order, whether offsets have 64 bits, and the first directory's offset."""
    order = "<" if content[:2] == b"II" else ">"
    wide = content[2:4] in (b"+\0", b"\0+")
    place, code = (8, "Q") if wide else (4, "I")
    if len(content) < place + struct.calcsize(code):
        raise ValueError("it ends within its header")
    return order, wide, int(struct.unpack_from(order + code, content, place)[0])


def _directories(content: bytes) -> list[_Directory]:
    order, wide, at = _layout(content)
    pages: list[_Directory] = []
    visited, size = {0}, 0
    while at not in visited and len(pages) < _MOST_PAGES:
        visited.add(at)
        page = _directory(content, at, order, wide)
        if page is None:
            break
        size += page.size
        if size > len(content):  # directories that overlap: a small file would unfold to a huge one
            raise ValueError("its directories overlap")
        pages.append(page)
        at = page.following
    return pages


def _tiff(content: bytes) -> PixelFile:
    """The one full picture, by a directory written anew at the end with the tags that decide pixels."""
    pages = _directories(content)
    if not pages:
        raise ValueError("it holds no directory of a picture, or ends before it")
    full = [page for page in pages if not page.is_reduced] or pages
    page = full[0]
    for tag, side in ((_WIDTH, "width"), (_HEIGHT, "height")):
        if page.number(tag, 0) < 1:
            raise ValueError(f"it states no {side} (TIFF tag {tag})")
    turned = page.number(_ORIENTATION, 1)
    bits, form = _first_of(content, page, _BITS) or 1, _first_of(content, page, _SAMPLE_FORMAT) or _UNSIGNED
    inverted = page.number(_PHOTOMETRIC, 1) == 0
    sort = _sort(page, bits, form)
    if inverted and form == _UNSIGNED and bits in (12, 16) and page.number(_SAMPLES, 1) == 1:
        page = _as_black_is_zero(page)  # which the decoder reads in both byte orders, and does not turn round
    turned = turned if 1 <= turned <= 8 else 1
    return PixelFile(TIFF, _pixel_tags_only(content, page), turned, len(full), bits, inverted, form == _SIGNED, sort)


def _sort(page: _Directory, bits: int, form: int) -> str:
    order = "little-endian" if page.order == "<" else "big-endian"
    zero = {0: "0 is white", 1: "0 is black"}.get(
        page.number(_PHOTOMETRIC, 1), f"PhotometricInterpretation {page.number(_PHOTOMETRIC, 1)}"
    )
    return (
        f"{bits} bits {_FORMATS.get(form, f'of SampleFormat {form}')}, {order}, {zero}, "
        f"{page.number(_SAMPLES, 1)} a pixel, compression {page.number(_COMPRESSION, 1)}"
    )


def _as_black_is_zero(page: _Directory) -> _Directory:
    head = struct.pack(page.order + ("HHQ" if page.wide else "HHI"), _PHOTOMETRIC, 3, 1)
    entry = head + struct.pack(page.order + "H", 1) + bytes(6 if page.wide else 2)
    return replace(page, entries={**page.entries, _PHOTOMETRIC: entry})


def _first_of(content: bytes, page: _Directory, tag: int) -> int:
    """A number of the first channel, 0 for none; of several channels the list may stand elsewhere in the file."""
    entry = page.entries.get(tag, b"")
    if len(entry) < 12 or struct.unpack_from(page.order + "H", entry, 2)[0] != 3:
        return page.number(tag, 0)
    code, place = ("Q", 12) if page.wide else ("I", 8)
    (count,) = struct.unpack_from(page.order + code, entry, 4)
    if count * 2 <= len(entry) - place:
        return page.number(tag, 0)
    (at,) = struct.unpack_from(page.order + code, entry, place)
    return int(struct.unpack_from(page.order + "H", content, at)[0]) if at + 2 <= len(content) else 0


def _pixel_tags_only(content: bytes, page: _Directory) -> bytes:
    rows = [row for tag, row in sorted(page.entries.items()) if tag in _PIXEL_TAGS]
    body = content + b"\0" * (-len(content) % 8)
    count_code, offset_code, place = ("Q", "Q", 8) if page.wide else ("H", "I", 4)
    directory = struct.pack(page.order + count_code, len(rows)) + b"".join(rows) + b"\0" * 8
    if not page.wide and len(body) >= 1 << 32:
        raise ValueError("it is longer than the offsets of a TIFF reach")
    start = struct.pack(page.order + offset_code, len(body))
    return body[:place] + start + body[place + len(start) :] + directory


def orientation_of(exif: bytes) -> int:
    """The orientation (1 to 8) that a block of EXIF states, whatever else is wrong with it; 0 for none.

    Examples
    --------
    >>> block = b"Exif\\0\\0MM\\0*\\0\\0\\0\\x08\\0\\x01\\x01\\x12\\0\\x03\\0\\0\\0\\x01\\0\\x06\\0\\0\\0\\0\\0\\0"
    >>> orientation_of(block), orientation_of(block[:20]), orientation_of(b"")
    (6, 0, 0)
    """
    block = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    if block[:4] not in (b"II*\0", b"MM\0*") or len(block) < 10:
        return 0
    order = "<" if block[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", block, 4)
    if at + 2 > len(block):
        return 0
    (count,) = struct.unpack_from(order + "H", block, at)
    orientation = 0
    for place in range(at + 2, min(at + 2 + 12 * count, len(block) - 11), 12):  # entries that are there, of all claimed
        page = _Directory({_ORIENTATION: block[place : place + 12]}, 0, order, False, 12)
        if struct.unpack_from(order + "H", block, place)[0] == _ORIENTATION and 1 <= page.number(_ORIENTATION, 0) <= 8:
            orientation = page.number(_ORIENTATION, 0)
    return orientation
