"""Sound files that break decoders, and damaged ones of every kind."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import DataError, StitchError
from stitchkit.datasets.image_files import orientation_of, pixel_file
from stitchkit.datasets.images import image_metadata, read_image
from stitchkit.encoders.images import rgb

GREY = np.random.default_rng(0).integers(0, 256, (24, 36), dtype=np.uint8)
TURNED = {  # what each orientation makes of rows and columns
    1: GREY,
    2: GREY[:, ::-1],
    3: GREY[::-1, ::-1],
    4: GREY[::-1],
    5: GREY.T,
    6: np.rot90(GREY, -1),
    7: np.rot90(GREY, 2).T,
    8: np.rot90(GREY, 1),
}


def exif(*entries, order="<", tail=b""):
    """A block of EXIF of (tag, type, count, four bytes of value or offset)."""
    rows = b"".join(struct.pack(order + "HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return b"Exif\0\0" + start + struct.pack(order + "H", len(entries)) + rows + struct.pack(order + "I", 0) + tail


def short(value, order="<"):
    return struct.pack(order + "HH", value, 0)


def saved(path, image=None, **settings):
    (Image.fromarray(GREY) if image is None else image).save(path, **settings)
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(*chunks):
    """A PNG with chunks of its own behind the header."""
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "PNG")
    whole = buffer.getvalue()
    return whole[:33] + b"".join(chunks) + whole[33:]


def tiff(*entries, order="<", data=b"", following=0):
    """A TIFF of one directory whose pixels stand behind it."""
    rows = b"".join(struct.pack(order + "HHI", tag, kind, 1) + value for tag, kind, value in entries)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return start + struct.pack(order + "H", len(entries)) + rows + struct.pack(order + "I", following) + data


def plain_tiff(values, order="<", leave_out=(), extra=()):
    """An uncompressed grey TIFF of uint16 or uint8 values."""
    bits = values.dtype.itemsize * 8
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()

    def number(value):
        return struct.pack(order + "I", value)

    fields = {256: values.shape[1], 257: values.shape[0], 258: bits, 259: 1, 262: 1, 277: 1, 278: values.shape[0]}
    kept = {tag: value for tag, value in fields.items() if tag not in leave_out}
    count = len(kept) + 2 + len(extra)
    at = 8 + 2 + 12 * count + 4
    rows = [(tag, 4, number(value)) for tag, value in kept.items()]
    rows += [(273, 4, number(at)), (279, 4, number(len(data))), *extra]
    return tiff(*sorted(rows, key=lambda row: row[0]), order=order, data=data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_every_orientation_is_turned_upright(tmp_path, orientation, order, kind):
    if kind == "png":
        path = saved(tmp_path / "a.png", exif=exif((274, 3, 1, short(orientation, order)), order=order))
    else:
        path = tmp_path / "a.tif"
        path.write_bytes(plain_tiff(GREY, order, extra=[(274, 3, short(orientation, order))]))
    np.testing.assert_array_equal(np.asarray(read_image(path)), TURNED[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_as_pillow_turns_it(tmp_path, orientation):
    path = saved(tmp_path / "a.jpg", exif=exif((274, 3, 1, short(orientation))))
    plain = np.asarray(Image.open(saved(tmp_path / "plain.jpg"))).astype(int)
    again = np.asarray(read_image(path))
    expected = {1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1], 5: plain.T, 6: np.rot90(plain, -1)}
    expected |= {7: np.rot90(plain, 2).T, 8: np.rot90(plain, 1)}
    np.testing.assert_array_equal(again, expected[orientation])


HARMLESS = {  # entries beside the orientation that do not say what they should
    "a signed resolution": exif(
        (274, 3, 1, short(6)), (282, 10, 1, struct.pack("<I", 38)), tail=struct.pack("<ii", -1, 1)
    ),
    "a resolution by zero": exif(
        (274, 3, 1, short(6)), (282, 5, 1, struct.pack("<I", 38)), tail=struct.pack("<II", 1, 0)
    ),
    "an offset beyond the end": exif((274, 3, 1, short(6)), (271, 2, 400, struct.pack("<I", 1 << 30))),
    "a type nobody knows": exif((274, 3, 1, short(6)), (271, 99, 3, b"abcd")),
    "a huge count": exif((274, 3, 1, short(6)), (305, 2, (1 << 32) - 1, b"abcd")),
    "a text where a number stands": exif((274, 3, 1, short(6)), (282, 2, 4, b"abc\0"), (296, 2, 4, b"abc\0")),
    "a camera directory that is none": exif((274, 3, 1, short(6)), (34665, 4, 1, struct.pack("<I", 9999))),
    "a camera directory that points at itself": exif((274, 3, 1, short(6)), (34665, 4, 1, struct.pack("<I", 8))),
    "a directory cut off": exif((274, 3, 1, short(6)), (282, 5, 1, b"\0\0\0\0"))[:-9],
    "more entries than there are": exif((274, 3, 1, short(6))).replace(b"\x01\0\x12\x01", b"\xff\xff\x12\x01", 1),
    "an orientation of another type": exif((274, 4, 1, struct.pack("<I", 6))),
}


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_of_exif_only_the_orientation_matters(tmp_path, name, kind):
    path = saved(tmp_path / f"a.{kind}", exif=HARMLESS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).size == (24, 36)
        assert image_metadata(path)["width"] == 36


@pytest.mark.parametrize(
    "block",
    [
        exif((274, 3, 1, short(0))),
        exif((274, 3, 1, short(9))),
        exif((274, 3, 1, short(65535))),
        exif((274, 2, 2, b"6\0\0\0")),
        exif((274, 5, 1, struct.pack("<I", 38))),
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0garbage that is long enough to be a directory",
    ],
)
def test_a_damaged_orientation_is_no_orientation(tmp_path, block):
    assert orientation_of(block) == 0
    assert read_image(saved(tmp_path / "a.jpg", exif=block)).size == (36, 24)


def test_the_orientation_in_xmp_and_in_imagemagicks_text_counts(tmp_path):
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    (tmp_path / "a.png").write_bytes(with_chunks(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)))
    block = exif((274, 3, 1, short(8)))
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    (tmp_path / "b.png").write_bytes(with_chunks(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))))
    for name, orientation in (("a.png", 6), ("b.png", 8)):
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / name)), TURNED[orientation])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_first_image_of_a_phones_jpeg_is_read(tmp_path, frames):
    more = [Image.fromarray(GREY[::2, ::2])] * frames
    path = saved(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=more)
    plain = saved(tmp_path / "plain.jpg")
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(Image.open(plain)))


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_a_large_colour_profile_is_harmless(tmp_path, kind):
    path = saved(tmp_path / f"a.{kind}", icc_profile=bytes(2 << 20))
    assert read_image(path).size == (36, 24)
    assert image_metadata(path)["width"] == 36


@pytest.mark.parametrize(
    "large",
    [
        chunk(b"tEXt", b"Comment\0" + b"x" * (70 << 20)),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * (2 << 20))),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"x" * (2 << 20))),
        chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2 << 20))),
        chunk(b"iCCP", b"icc\0\0not packed at all"),
        chunk(b"pHYs", b"short"),
        chunk(b"gAMA", b""),
        chunk(b"tEXt", b"Comment\0x")[:-4] + b"\0\0\0\0",
    ],
    ids=["text", "packed text", "international text", "profile", "broken profile", "resolution", "gamma", "checksum"],
)
def test_texts_and_profiles_of_a_png_are_not_unpacked(tmp_path, large):
    (tmp_path / "a.png").write_bytes(with_chunks(large))
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png")), GREY)


def test_what_decides_pixels_stays(tmp_path):
    colours = Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    palette = colours.quantize(16)
    palette.info["transparency"] = 3
    for name, image, settings in (
        ("palette.png", palette, {"transparency": 3}),
        ("mask.png", Image.fromarray(GREY > 99), {}),
        ("cmyk.jpg", colours.convert("CMYK"), {}),
        ("progressive.jpg", colours, {"progressive": True, "comment": b"abc", "dpi": (300, 300)}),
        ("lzw.tif", colours, {"compression": "tiff_lzw", "dpi": (300, 300)}),
        ("jpeg.tif", colours, {"compression": "jpeg"}),
        ("fax.tif", Image.fromarray(GREY > 99), {"compression": "group4"}),
        ("palette.tif", palette, {}),
        ("deflate.tif", Image.fromarray(GREY), {"compression": "tiff_adobe_deflate"}),
        ("a.bmp", colours, {}),
        ("alpha.png", colours.convert("RGBA"), {}),
    ):
        path = saved(tmp_path / name, image, **settings)
        with Image.open(path) as plain:
            again = read_image(path)
            assert again.mode == plain.mode, name
            np.testing.assert_array_equal(np.asarray(again.convert("RGBA")), np.asarray(plain.convert("RGBA")), name)


def test_smaller_copies_in_a_tiff_are_no_frames(tmp_path):
    from PIL import TiffImagePlugin

    def pages(flag):
        facts = TiffImagePlugin.ImageFileDirectory_v2()
        facts[254] = flag
        small = Image.fromarray(GREY[::2, ::2])
        small.encoderinfo = {"tiffinfo": facts}
        return saved(tmp_path / f"{flag}.tif", save_all=True, append_images=[small])

    np.testing.assert_array_equal(np.asarray(read_image(pages(1))), GREY)
    with pytest.raises(DataError, match="2 frames"):
        read_image(pages(0))


def test_an_animated_png_is_refused_and_one_of_a_single_frame_read(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(GREY[::-1])]
    saved(tmp_path / "two.png", frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="2 frames"):
        read_image(tmp_path / "two.png")
    (tmp_path / "one.png").write_bytes(with_chunks(chunk(b"acTL", struct.pack(">II", 1, 0))))
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "one.png")), GREY)


@pytest.mark.parametrize(("tag", "side"), [(256, "width"), (257, "height")])
def test_a_tiff_without_dimensions_is_refused_by_name(tmp_path, tag, side):
    (tmp_path / "scan.tif").write_bytes(plain_tiff(GREY, leave_out=(tag,)))
    for reader in (read_image, image_metadata):
        with pytest.raises(DataError, match=rf"scan\.tif is damaged .*no {side} \(TIFF tag {tag}\)"):
            reader(tmp_path / "scan.tif")


@pytest.mark.parametrize("order", "<>")
def test_odd_tags_of_a_tiff_are_not_read(tmp_path, order):
    odd = [(305, 2, b"\xff\xff\xff\xff"), (34665, 4, b"\x7f\0\0\0"), (700, 77, b"abcd"), (34675, 7, b"\x7f\0\0\0")]
    (tmp_path / "a.tif").write_bytes(plain_tiff(GREY, order, extra=odd))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.tif")), GREY)


def test_a_tiff_that_leads_in_a_circle_ends(tmp_path):
    whole = plain_tiff(GREY)
    (count,) = struct.unpack_from("<H", whole, 8)
    place = 10 + 12 * count
    (tmp_path / "a.tif").write_bytes(whole[:place] + struct.pack("<I", 8) + whole[place + 4 :])
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.tif")), GREY)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"RIFF\x24\0\0\0WEBPVP8 ", "WebP"),
        (b"GIF89a", "GIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"%PDF-1.4", "PDF"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x93NUMPY\1\0", "NumPy"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\0" * 344 + b"n+1\0", "NIfTI"),
        (b"<?xml version='1.0'?><svg>", "XML"),
        (b'{"error": "not found"}', "JSON"),
        (b"P5\n2 2\n255\n", "PNM"),
    ],
)
def test_another_kind_is_named_by_its_content(tmp_path, start, kind):
    (tmp_path / "a.png").write_bytes(start + bytes(300))
    for reader in (read_image, image_metadata):
        with pytest.raises(DataError, match=rf"a\.png is not a readable image: .*{kind}"):
            reader(tmp_path / "a.png")


def test_a_wrong_but_known_suffix_is_no_matter(tmp_path):
    for kind in ("PNG", "BMP", "TIFF"):
        path = saved(tmp_path / f"{kind}.jpg", format=kind)
        np.testing.assert_array_equal(np.asarray(read_image(path)), GREY)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "a.png")
    for reader in (read_image, image_metadata):
        with pytest.raises(DataError, match="is a pipe or a device"):
            reader(tmp_path / "a.png")


DEEP = GREY.astype(np.uint16) * 257


def deep_png(values):
    """A PNG of 16 bits and one (grey), two (with alpha), three or four channels."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    rows = values.astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def deep_tiff(values, order, compression=1):
    """A TIFF of 16-bit colour."""
    height, width, channels = values.shape
    raw = values.astype(np.dtype(np.uint16).newbyteorder(order)).tobytes()
    data = zlib.compress(raw) if compression == 8 else raw
    count = 10
    bits_at = 8 + 2 + 12 * count + 4
    at = bits_at + 2 * channels
    fields = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, bits_at), (259, 3, 1, compression), (262, 3, 1, 2),
        (273, 4, 1, at), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1),
    ]  # fmt: skip
    rows = b"".join(
        struct.pack(order + "HHI", tag, kind, n)
        + (struct.pack(order + "HH", value, 0) if kind == 3 and n == 1 else struct.pack(order + "I", value))
        for tag, kind, n, value in fields
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    bits = struct.pack(order + f"{channels}H", *[16] * channels)
    return start + struct.pack(order + "H", count) + rows + struct.pack(order + "I", 0) + bits + data


def with_alpha(values, alpha):
    return np.concatenate([values, np.full((*values.shape[:2], 1), alpha, np.uint16)], axis=2)


def stored(values):
    """Files of 16 bits that hold grey values, in every way that is read."""
    colour = np.stack([values] * 3, axis=2)
    return {
        "grey.png": deep_png(values),
        "colour.png": deep_png(colour),
        "alpha.png": deep_png(with_alpha(colour, 65535)),
        "grey-alpha.png": deep_png(with_alpha(values[..., None], 65535)),
        "grey-le.tif": plain_tiff(values, "<"),
        "grey-be.tif": plain_tiff(values, ">"),
        "colour-le.tif": deep_tiff(colour, "<"),
        "colour-be.tif": deep_tiff(colour, ">"),
        "packed-le.tif": deep_tiff(colour, "<", 8),
        "packed-be.tif": deep_tiff(colour, ">", 8),
    }


@pytest.mark.parametrize("name", stored(DEEP))
def test_eight_bits_in_sixteen_are_read_as_eight(tmp_path, name):
    (tmp_path / name).write_bytes(stored(GREY.astype(np.uint16))[name])
    image = read_image(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(image.convert("L")), GREY)
    np.testing.assert_array_equal(np.asarray(rgb(image, "L")), GREY)
    assert image_metadata(tmp_path / name)["width"] == 36


@pytest.mark.parametrize("name", stored(DEEP))
def test_sixteen_bits_are_read_by_their_full_range(tmp_path, name):
    (tmp_path / name).write_bytes(stored(DEEP)[name])
    np.testing.assert_array_equal(np.asarray(rgb(read_image(tmp_path / name), "L")), GREY)


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
@pytest.mark.parametrize("name", stored(DEEP))
def test_fewer_bits_in_sixteen_are_warned_of(tmp_path, name, bits):
    (tmp_path / name).write_bytes(stored((DEEP >> (16 - bits)).astype(np.uint16))[name])
    image = read_image(tmp_path / name)
    with pytest.warns(UserWarning, match="1 of 1 16-bit images use less than a quarter of their range"):
        rgb(image)


def test_twelve_bits_that_a_file_states_are_scaled(tmp_path):
    values = np.linspace(0, 4095, 24 * 36).astype(np.uint16).reshape(24, 36)
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    whole = bytearray(plain_tiff(packed.astype(np.uint8)))
    (count,) = struct.unpack_from("<H", whole, 8)
    for place in range(10, 10 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", whole, place)
        new = {256: 36, 257: 24, 258: 12, 278: 24}.get(tag)
        if new is not None:
            struct.pack_into("<I", whole, place + 8, new)
    (tmp_path / "a.tif").write_bytes(whole)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_allclose(np.asarray(image).astype(float), values * 65535.0 / 4095, atol=1)
    assert np.asarray(rgb(image, "L")).max() == 255


def sound_files():
    """Small valid files of every kind, by name."""
    colour = Image.fromarray(np.stack([GREY[:8, :8]] * 3, axis=2))
    small = Image.fromarray(GREY[:8, :8])
    made = {}
    for name, image, settings in (
        ("grey.png", small, {"exif": exif((274, 3, 1, short(6)))}),
        ("palette.png", colour.quantize(8), {}),
        ("grey.jpg", small, {"exif": HARMLESS["a signed resolution"]}),
        ("colour.jpg", colour, {"progressive": True, "icc_profile": bytes(40)}),
        ("phone.jpg", colour, {"format": "MPO", "save_all": True, "append_images": [small]}),
        ("grey.tif", small, {}),
        ("lzw.tif", colour, {"compression": "tiff_lzw"}),
        ("stack.tif", small, {"save_all": True, "append_images": [small]}),
        ("grey.bmp", small, {}),
        ("colour.bmp", colour, {}),
        ("a.gif", small, {"format": "GIF"}),
        ("a.ppm", colour, {"format": "PPM"}),
    ):
        buffer = io.BytesIO()
        kind = settings.pop("format", {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name[-3:].upper()))
        image.save(buffer, kind, **settings)
        made[name] = buffer.getvalue()
    return made | {f"deep-{name}": content for name, content in stored(DEEP[:8, :8]).items()}


def damaged(content, rng):
    """One of: bytes changed, cut off, some left out, some put in, a run of one value."""
    whole = bytearray(content)
    way, at = rng.integers(5), int(rng.integers(len(whole)))
    some = int(rng.integers(1, 9))
    if way == 0:
        for place in rng.integers(len(whole), size=some):
            whole[place] = rng.integers(256)
    elif way == 1:
        del whole[at:]
    elif way == 2:
        del whole[at : at + some]
    elif way == 3:
        whole[at:at] = rng.bytes(some)
    else:
        whole[at : at + some] = bytes([int(rng.choice([0, 255, 127]))]) * len(whole[at : at + some])
    return bytes(whole)


@pytest.mark.filterwarnings("ignore")  # what Pillow says of damaged files, before it gives up or goes on
@pytest.mark.parametrize("name", sound_files())
def test_damaged_files_end_in_errors_that_are_raised_on_purpose(tmp_path, name, capfd):
    rng, content = np.random.default_rng(zlib.crc32(name.encode())), sound_files()[name]
    path, refused = tmp_path / name, []
    for _ in range(250):
        path.write_bytes(damaged(content, rng))
        try:
            read_image(path)
            image_metadata(path)
        except StitchError as error:
            refused.append(str(error))
    assert refused
    assert all(name in line for line in refused)


def test_a_sound_file_is_reduced_and_stays_readable():
    for name, content in sound_files().items():
        if not name.endswith(("gif", "ppm")):
            file = pixel_file(content)
            assert Image.open(io.BytesIO(file.content)).size == (8, 8), name


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_in_which_zero_is_white_is_turned_round(tmp_path, bits):
    top = 2**bits - 1
    values = np.linspace(0, top, 400).reshape(20, 20).astype(np.uint8 if bits == 8 else np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={262: 0} if bits == 16 else {})
    Image.fromarray(values).save(tmp_path / "b.tif")
    if bits == 8:
        Image.fromarray(np.uint8(255) - values).save(tmp_path / "a.tif")
    ours, plain = (np.asarray(rgb(read_image(tmp_path / name), "L")).astype(int) for name in ("a.tif", "b.tif"))
    assert np.abs(ours + plain - 255).max() <= 1


@pytest.mark.parametrize("share", [0.0015, 0.01, 0.03])
def test_a_letter_burnt_into_a_dark_film_does_not_make_it_bright(share):
    dark = np.linspace(0, 4095, 256 * 256).reshape(256, 256).astype(np.uint16)
    dark.ravel()[: int(share * dark.size)] = 65535
    with pytest.warns(UserWarning, match="use less than a quarter of their range"):
        rgb(dark)


def test_directories_of_a_tiff_that_overlap_are_refused(tmp_path):
    header = struct.pack("<2sHI", b"II", 42, 8)
    body = bytearray(header + bytes(400_000))
    count = 20_000
    for page in range(200):
        at = 8 + 4 * page
        struct.pack_into("<H", body, at, count)
        struct.pack_into("<I", body, at + 2 + 12 * count, at + 4)
    (tmp_path / "bomb.tif").write_bytes(bytes(body))
    with pytest.raises(DataError, match="its directories overlap"):
        read_image(tmp_path / "bomb.tif")


def with_tags(values, order="<", **tags):
    """A TIFF with some tags (``t262=0``) stated otherwise, or added."""
    given = {int(name[1:]): value for name, value in tags.items()}
    extra = [(tag, 4, struct.pack(order + "I", value)) for tag, value in given.items()]
    return plain_tiff(values, order, leave_out=given, extra=extra)


@pytest.mark.parametrize("order", "<>")
def test_eight_bits_in_sixteen_with_zero_as_white_are_read_as_eight_and_turned_round(tmp_path, order):
    (tmp_path / "a.tif").write_bytes(with_tags(GREY.astype(np.uint16), order, t262=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(np.asarray(rgb(read_image(tmp_path / "a.tif"), "L")), 255 - GREY)


@pytest.mark.parametrize("order", "<>")
def test_sixteen_bits_with_zero_as_white_are_turned_round_in_both_byte_orders(tmp_path, order):
    (tmp_path / "a.tif").write_bytes(with_tags(DEEP, order, t262=0))
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.tif")).astype(int), 65535 - DEEP.astype(int))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_fewer_bits_in_sixteen_with_zero_as_white_are_warned_of(tmp_path, bits, compression):
    path = saved(tmp_path / "a.tif", Image.fromarray(DEEP >> (16 - bits)), tiffinfo={262: 0}, compression=compression)
    image = read_image(path)
    with pytest.warns(UserWarning, match="1 of 1 16-bit images lie in less than a quarter of the range, away from bl"):
        pixels = np.asarray(rgb(image, "L"))
    assert pixels.min() >= 191


def test_signed_values_of_eight_bits_are_refused_by_name(tmp_path):
    (tmp_path / "a.tif").write_bytes(with_tags(GREY, t339=2))
    with pytest.raises(DataError, match=r"a\.tif holds signed values of 8 bits, .* Save the whole set with unsigned"):
        read_image(tmp_path / "a.tif")
    colour = deep_tiff(np.stack([GREY] * 3, axis=2).astype(np.uint16), "<")
    assert not pixel_file(colour).signed


@pytest.mark.parametrize("order", "<>")
def test_signed_values_of_sixteen_bits_are_read_where_none_is_negative(tmp_path, order):
    values = np.linspace(0, 32767, 400).reshape(20, 20).astype(np.uint16)
    (tmp_path / "a.tif").write_bytes(with_tags(values, order, t339=2))
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.tif")), values)
    (tmp_path / "b.tif").write_bytes(with_tags(values - np.uint16(1000), order, t339=2))
    with pytest.raises(DataError, match=r"b\.tif holds values from -1000 to 31767; .* the same two numbers"):
        read_image(tmp_path / "b.tif")


def test_values_beyond_sixteen_bits_are_refused_with_their_range(tmp_path):
    values = np.linspace(0, 2**32 - 1, 400).reshape(20, 20).astype(np.uint32)
    (tmp_path / "a.tif").write_bytes(with_tags(values))
    with pytest.raises(DataError, match=r"a\.tif holds values from 0 to 4294967295; "):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("values", "order", "tags", "said"),
    [
        (GREY.astype(np.uint32), ">", {}, "32 bits unsigned, big-endian, 0 is black, 1 a pixel, compression 1"),
        (GREY.astype(np.uint32), "<", {"t262": 0}, "32 bits unsigned, little-endian, 0 is white"),
        (GREY.astype(np.uint16), "<", {"t262": 0, "t339": 2}, "16 bits signed, little-endian, 0 is white"),
        (GREY.astype(np.float64), "<", {"t339": 3}, "64 bits floating-point"),
        (GREY.astype(np.uint16), "<", {"t262": 9}, "PhotometricInterpretation 9"),
    ],
)
def test_a_sound_tiff_without_a_reader_is_not_called_damaged(tmp_path, values, order, tags, said):
    (tmp_path / "a.tif").write_bytes(with_tags(values, order, **tags))
    with pytest.raises(DataError, match=f"a TIFF of a sort that cannot be read here .*{said}.* Save it as PNG"):
        read_image(tmp_path / "a.tif")
