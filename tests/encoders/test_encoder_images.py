"""Decoded images of every kind become the same RGB."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import InputError
from stitchkit.datasets.grey_levels import one_warning
from stitchkit.encoders.images import rgb

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
DEEP = GREY.astype(np.uint16) * 257  # 255 * 257 == 65535


@pytest.mark.parametrize(
    "item",
    [
        GREY,
        GREY[..., None],
        np.stack([GREY] * 3, axis=2),
        np.stack([GREY] * 3 + [GREY * 0], axis=2),
        DEEP,
        np.stack([DEEP] * 3, axis=2),
        Image.fromarray(GREY),
        Image.fromarray(DEEP),
        Image.fromarray(DEEP.astype(np.int32)),
        Image.fromarray(GREY).convert("RGB"),
        Image.fromarray(GREY).convert("RGBA"),
        Image.fromarray(GREY).convert("LA"),
        Image.fromarray(GREY).convert("P"),
    ],
)
def test_every_kind_of_image_becomes_the_same_rgb(item):
    image = rgb(item)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), np.stack([GREY] * 3, axis=2))
    np.testing.assert_array_equal(np.asarray(rgb(item, "L")), GREY)


def test_masks_are_black_and_white():
    assert np.unique(np.asarray(rgb(GREY > 100))).tolist() == [0, 255]
    assert np.unique(np.asarray(rgb(Image.fromarray(GREY > 100)))).tolist() == [0, 255]


def test_a_palette_with_transparency_raises_no_warning():
    image = Image.fromarray(GREY).convert("P")
    image.info["transparency"] = bytes(range(256))
    assert rgb(image).mode == "RGB"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("scan.png", "got str"),
        (GREY / 255.0, "float64 has no stated range"),
        (GREY.astype(np.int32), "int32 has no stated range"),
        (np.zeros((3, 6, 8), np.uint8), r"got shape \(3, 6, 8\)"),
        (np.zeros((0, 8), np.uint8), "not empty"),
        (np.zeros(8, np.uint8), r"got shape \(8,\)"),
        (np.stack([DEEP] * 3, axis=2).astype(np.float32), "float32 has no stated range"),
        (Image.fromarray(GREY.astype(np.float32)), "mode 'F'"),
        (Image.fromarray(np.full((2, 2), 70000, np.int32)), "from 70000 to 70000, beyond 16 bits"),
        (Image.new("L", (0, 3)), "0 x 3 pixels"),
    ],
)
def test_images_that_cannot_be_read_are_refused(item, message):
    with pytest.raises(InputError, match=message):
        rgb(item)


@pytest.mark.parametrize("top", [256, 1023, 4095, 16383])
@pytest.mark.parametrize("of", [lambda deep: deep, Image.fromarray, lambda deep: np.stack([deep] * 3, axis=2)])
def test_few_bits_in_a_sixteen_bit_image_are_warned_of(top, of):
    dark = np.linspace(0, top, 64).reshape(8, 8).astype(np.uint16)
    with pytest.warns(UserWarning, match="1 of 1 16-bit images use less than a quarter of their range"):
        rgb(of(dark))
    rgb(of(dark * np.uint16(65535 // top)))


def test_one_bright_pixel_does_not_hide_a_dark_image():
    dark = np.full((64, 64), 3000, np.uint16)
    dark[0, 0] = 65535  # a marker, or a dead pixel
    with pytest.warns(UserWarning, match="99.9th percentile of the brightest of them 3,000 of 65,535"):
        rgb(dark)


@pytest.mark.parametrize("dtype", [np.uint16, ">u2", "<u2"])
def test_eight_bits_in_sixteen_are_read_as_eight(dtype):
    for item in (GREY, np.stack([GREY] * 3, axis=2), np.stack([GREY] * 3 + [GREY * 0 + 255], axis=2)):
        np.testing.assert_array_equal(np.asarray(rgb(item.astype(dtype), "L")), GREY)
    alpha = np.stack([GREY.astype(np.uint16)] * 3 + [np.full(GREY.shape, 65535, np.uint16)], axis=2)
    np.testing.assert_array_equal(np.asarray(rgb(alpha, "L")), GREY)
    np.testing.assert_array_equal(np.asarray(rgb(Image.fromarray(GREY.astype(np.int32)), "L")), GREY)


def read_as_one_set(images):
    with one_warning():
        for image in images:
            rgb(image)


def test_a_set_is_warned_of_once_with_a_count():
    dark = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
    images = [dark + np.uint16(k) for k in (0, 1, 2, 0, 1)]  # the same image again is no other image
    with pytest.warns(UserWarning, match="3 of 4 16-bit images use less") as heard:
        read_as_one_set([*images, DEEP, GREY])
    assert len(heard) == 1


def test_a_few_images_of_eight_bits_among_sixteen_are_counted():
    with pytest.warns(UserWarning, match="1 of 2 16-bit images hold no value above 255"):
        read_as_one_set([DEEP, GREY.astype(np.uint16)])
    read_as_one_set([GREY.astype(np.uint16), np.zeros((8, 8), np.uint16)])  # all of 8 bits; black in any reading


@pytest.mark.parametrize("shape", [(6000, 1), (1, 6000), (64, 1300), (1, 6000, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_a_strip_is_refused(shape, dtype):
    with pytest.raises(InputError, match="is a strip: its long side is more than 20 times"):
        rgb(np.zeros(shape, dtype))


def test_a_strip_from_a_file_is_refused_and_long_films_pass():
    for mode in ("L", "RGB", "I;16", "1", "P"):
        with pytest.raises(InputError, match="1 x 6000 pixels is a strip"):
            rgb(Image.new(mode, (1, 6000)))
    assert rgb(Image.new("L", (500, 2500))).size == (500, 2500)  # both legs on one film
    assert rgb(Image.new("L", (2000, 100))).size == (2000, 100)


OFFSET = np.linspace(32768, 36864, 64 * 64).reshape(64, 64).astype(np.uint16)  # 12 bits around 0, shifted by 32768


def framed(values, border):
    whole = np.full((values.shape[0] + 16, values.shape[1] + 16), border, np.uint16)
    whole[8:-8, 8:-8] = values
    return whole


@pytest.mark.parametrize(
    "flat",
    [
        OFFSET,
        OFFSET + np.uint16(20_000),
        np.uint16(65535) - OFFSET // 20,
        framed(OFFSET, 0),  # a border that is no part of the picture
        np.where(np.arange(64 * 64).reshape(64, 64) < 40, np.uint16(65535), OFFSET),  # a letter burnt in
        np.where(np.arange(64 * 64).reshape(64, 64) < 40, np.uint16(1), OFFSET),
        np.stack([OFFSET] * 3, axis=2),
        Image.fromarray(OFFSET),
    ],
)
def test_a_narrow_band_at_any_place_is_warned_of(flat):
    with pytest.warns(UserWarning, match="1 of 1 16-bit images lie in less than a quarter of the range, away from bl"):
        rgb(flat)


def test_wide_ranges_plain_areas_and_eight_bits_are_not_warned_of():
    rgb(DEEP)
    rgb((OFFSET - np.uint16(32768)) * np.uint16(5) + np.uint16(30_000))  # from 30,000 to 50,480
    rgb(np.full((8, 8), 40_000, np.uint16))
    rgb(np.where(np.eye(8, dtype=bool), np.uint16(65535), np.uint16(0)))
    rgb(np.linspace(130, 140, 64).reshape(8, 8).astype(np.uint8))
    rgb(np.linspace(130, 140, 64).reshape(8, 8).astype(np.uint16))


def test_flat_and_dark_images_of_a_set_are_counted_apart():
    dark = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
    with pytest.warns(UserWarning, match="16-bit images") as heard:
        read_as_one_set([dark, OFFSET, OFFSET, OFFSET + np.uint16(1), DEEP])
    said = sorted(str(one.message) for one in heard)
    assert [one[:24] for one in said] == ["1 of 4 16-bit images use", "2 of 4 16-bit images lie"]
    assert "(the widest of them in 32,7" in said[1]
