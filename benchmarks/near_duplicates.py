"""``python -m benchmarks.near_duplicates TABLE [--every N]``: altered images found again, and false pairs.

TABLE is an anchor table of images with a patient column. The patients are split into two halves by ``--seed``, and
the rates of each half are printed, which shows how far they depend on the draw. An altered image counts as found if
:func:`stitchkit.datasets.near_duplicates.find_alike` pairs it with its own original among all images; pairs of it with
an image of another patient count as false.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from stitchkit import Items, read_anchors
from stitchkit.core.anchors import AnchorSet
from stitchkit.datasets.images import read_image
from stitchkit.datasets.near_duplicates import Looks, find_alike, look_at

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def level(image: Image.Image, grey: int) -> Any:
    """A grey level in the image's mode."""
    return grey if image.mode == "L" else (grey,) * len(image.getbands())


def mapped(function: Callable[[float], float]) -> Change:
    """Each grey level, from 0 to 1, through a function, clipped."""
    table = [min(max(round(255 * function(grey / 255)), 0), 255) for grey in range(256)]
    return lambda image, rng: image.point(table * len(image.getbands()))


def window(low: float, high: float) -> Change:
    return mapped(lambda grey: (grey - low) / (high - low))


def box(width: int, height: int, grey: int) -> Change:
    """A box painted over a random place; its size is given for images of 256 pixels."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        image, scale = image.copy(), min(image.size) / 256
        across, down = max(round(width * scale), 1), max(round(height * scale), 1)
        x, y = int(rng.integers(0, image.width - across)), int(rng.integers(0, image.height - down))
        ImageDraw.Draw(image).rectangle((x, y, x + across - 1, y + down - 1), fill=level(image, grey))
        return image

    return change


def pad(share: float, grey: int) -> Change:
    return lambda image, rng: ImageOps.expand(image, round(share * max(image.size)), level(image, grey))


def crop(*shares: float) -> Change:
    """Left, top, right and bottom shares cut off."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        left, top, right, bottom = (round(one * side) for one, side in zip(shares, image.size * 2, strict=True))
        return image.crop((left, top, image.width - right, image.height - bottom))

    return change


def turn(degrees: float) -> Change:
    return lambda image, rng: image.rotate(degrees, Image.Resampling.BICUBIC)


def resize(factor: float) -> Change:
    return lambda image, rng: image.resize([max(round(factor * side), 1) for side in image.size])


def jpeg(quality: int) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).copy()

    return change


def noise(spread: float) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        grey = np.asarray(image, dtype=float)
        return Image.fromarray(np.clip(grey + rng.normal(0, spread, grey.shape), 0, 255).astype(np.uint8))

    return change


def text(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = image.copy()
    ImageDraw.Draw(image).text((4, 4), "PORTABLE 12:30", fill=level(image, 255))
    return image


def both(*changes: Change) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        for one in changes:
            image = one(image, rng)
        return image

    return change


CHANGES: dict[str, Change] = {
    "white box, 20 x 10 of 256 pixels": box(20, 10, 255),
    "black box, 60 x 60 of 256 pixels": box(60, 60, 0),
    "text in a corner": text,
    "border of 2 %, black": pad(0.02, 0),
    "border of 2 %, grey": pad(0.02, 128),
    "border of 2 %, white": pad(0.02, 255),
    "border of 5 %, black": pad(0.05, 0),
    "border of 10 %, black": pad(0.1, 0),
    "crop of 1 % a side": crop(0.01, 0.01, 0.01, 0.01),
    "crop of 3 % a side": crop(0.03, 0.03, 0.03, 0.03),
    "crop of 10 % a side": crop(0.1, 0.1, 0.1, 0.1),
    "crop of 5 % on the left": crop(0.05, 0, 0, 0),
    "crop of 10 % at the top": crop(0, 0.1, 0, 0),
    "rotation by 1 degree": turn(1),
    "rotation by 2 degrees": turn(-2),
    "rotation by 5 degrees": turn(5),
    "equalised": lambda image, rng: ImageOps.equalize(image),
    "window from .2 to .8": window(0.2, 0.8),
    "window from .3 to .7": window(0.3, 0.7),
    "window from .1 to .6": window(0.1, 0.6),
    "gamma 0.7": mapped(lambda grey: grey**0.7),
    "gamma 1.4": mapped(lambda grey: grey**1.4),
    "inverted": lambda image, rng: ImageOps.invert(image),
    "half the size": resize(0.5),
    "a quarter of the size": resize(0.25),
    "JPEG of quality 30": jpeg(30),
    "JPEG of quality 10": jpeg(10),
    "noise, standard deviation 15 of 255": noise(15),
    "crop of 3 %, gamma 0.7, JPEG of quality 40": both(
        crop(0.03, 0.03, 0.03, 0.03), mapped(lambda grey: grey**0.7), jpeg(40)
    ),
    "rotation by 1 degree, window from .2 to .8": both(turn(1), window(0.2, 0.8)),
    "mirrored": lambda image, rng: ImageOps.mirror(image),
}


def looks_of(ids: list[str], images: list[Any]) -> Looks:
    items = Items(ids, images, "image")
    return Looks.of(items.ids, list(look_at(items)))


def rates(anchors: AnchorSet, looks: Looks, rows: np.ndarray, name: str, seed: int) -> tuple[float, int]:
    """Share of altered images that are found again, and pairs with an image of another patient."""
    rng = np.random.default_rng(seed)
    images = [CHANGES[name](read_image(anchors.source_items.values[row]), rng) for row in rows]
    found, _ = find_alike(looks, looks_of([f"altered {row}" for row in rows], images))
    again = {one.second for one in found if one.first == rows[one.second] or _same(looks, one.first, rows[one.second])}
    false = sum(anchors.groups[one.first] != anchors.groups[rows[one.second]] for one in found)
    return len(again) / len(rows), false


def _same(looks: Looks, row: int, other: int) -> bool:
    return bool(looks.pixels[row] == looks.pixels[other])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--every", type=int, default=1, help="alter every n-th image of a half (1)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    anchors = read_anchors(given.table)
    looks = Looks.of(anchors.ids, list(look_at(anchors.source_items)))
    patients = np.random.default_rng(given.seed).permutation(np.unique(anchors.groups))
    halves = [np.flatnonzero(np.isin(anchors.groups, patients[half::2])) for half in (0, 1)]
    for name, rows in zip(("first half", "second half"), halves, strict=True):
        part = looks_of(anchors.ids[rows].tolist(), [anchors.source_items.values[row] for row in rows])
        found, _ = find_alike(part)
        groups = anchors.groups[rows]
        false = sum(groups[one.first] != groups[one.second] for one in found)
        pairs = int((groups[:, None] != groups[None, :]).sum() // 2)
        print(f"{name}: {len(rows)} images; {false} of {pairs:,} pairs of different patients are near duplicates")
    whole = sum(anchors.groups[one.first] != anchors.groups[one.second] for one in find_alike(looks)[0])
    print(f"all: {whole} pairs of different patients are near duplicates\n")
    print("| change | found, first half | second half | false pairs |\n|---|---|---|---|")
    for name in CHANGES:
        if name.startswith("noise") and read_image(anchors.source_items.values[0]).mode != "L":
            continue
        (one, wrong), (other, more) = (rates(anchors, looks, rows[:: given.every], name, given.seed) for rows in halves)
        print(f"| {name} | {one:.1%} | {other:.1%} | {wrong + more} |", flush=True)


if __name__ == "__main__":
    main()
