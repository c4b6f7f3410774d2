"""Images from disk."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import DataError
from stitchkit.datasets.images import image_metadata, read_image


def encoded(image, kind):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


NOISE = np.random.default_rng(0).integers(0, 256, (64, 48), dtype=np.uint8)


def test_an_image_is_read_completely_and_needs_its_file_no_longer(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(NOISE).save(path)
    image = read_image(path)
    path.unlink()
    np.testing.assert_array_equal(np.asarray(image), NOISE)


def test_sixteen_bits_are_kept(tmp_path):
    deep = (np.arange(12, dtype=np.uint16).reshape(3, 4) + 1) * 5000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "deep.png")).astype(int), deep.astype(int))
    assert image_metadata(tmp_path / "deep.png")["bit_depth"] == 16


def test_the_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (6, 2), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").size == (2, 6)
    assert image_metadata(tmp_path / "turned.jpg")["width"] == 6


def test_metadata_needs_no_pixels(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(NOISE).save(path)
    whole = path.stat().st_size
    assert image_metadata(path) == {"file_bytes": whole, "width": 48, "height": 64, "bit_depth": 8}
    path.write_bytes(path.read_bytes()[:-200])
    assert image_metadata(path)["file_bytes"] == whole - 200
    Image.fromarray(NOISE > 100).save(tmp_path / "a.bmp")
    assert image_metadata(tmp_path / "a.bmp")["bit_depth"] == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # what PIL says of half a TIFF header before it gives up
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_cut_off_image_is_refused_by_name(tmp_path, kind, share):
    whole = encoded(Image.fromarray(NOISE), kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=r"cut\."):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 bytes"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "LFS"),
        (b"\0" * 128 + b"DICM" + b"\0" * 50, "DICOM"),
        (b"nothing known", "no PNG, JPEG"),
    ],
)
def test_what_is_no_image_is_refused_with_the_next_step(tmp_path, content, says):
    (tmp_path / "a.png").write_bytes(content)
    for reader in (read_image, image_metadata):
        with pytest.raises(DataError, match=says):
            reader(tmp_path / "a.png")


def test_a_missing_image_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no image"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(DataError, match="folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("side", [10_000, 60_000])  # Image.open warns of the first and raises for the second
@pytest.mark.filterwarnings("always")
def test_a_decompression_bomb_is_refused_before_its_pixels_are_made(tmp_path, side, recwarn):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    Image.new("L", (5, 5)).save(tmp_path / "bomb.bmp")
    whole = bytearray((tmp_path / "bomb.bmp").read_bytes())
    whole[18:26] = struct.pack("<ii", side, side)
    (tmp_path / "bomb.bmp").write_bytes(whole)
    for name in ("bomb.png", "bomb.bmp"):
        with pytest.raises(DataError, match=f"decompression bomb .{side} x {side} pixels"):
            read_image(tmp_path / name)
        with pytest.raises(DataError, match="decompression bomb"):
            image_metadata(tmp_path / name)
    assert [str(one.message) for one in recwarn] == []


def test_several_frames_are_refused(tmp_path):
    frames = [Image.fromarray(NOISE), Image.fromarray(NOISE[::-1])]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="2 frames"):
        read_image(tmp_path / "stack.tif")
