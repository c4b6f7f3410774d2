"""Decoded images of every kind become the same RGB."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import InputError
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


def test_twelve_bits_in_a_sixteen_bit_image_are_warned_of():
    dark = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
    with pytest.warns(UserWarning, match="no value above 4095: with 12 bits it comes out nearly black"):
        rgb(dark)
    rgb(dark * np.uint16(16))
