"""``python -m benchmarks.near_duplicates TABLE [--every N]``: altered images found again, and false pairs.

TABLE is an anchor table of images with a patient column, or ``phantoms:5000`` for so many chest phantoms. Printed are
the pairs of different patients that count as near duplicates, and the largest cosine of their fingerprints. With
``--every N`` each N-th image is altered in many ways: the patients are split into two halves by ``--seed``, and the
rates of each half show how far they depend on the draw. An altered image counts as found if
:func:`stitchkit.datasets.near_duplicates.find_alike` pairs it with its own original among all images; pairs of it with
an image of another patient count as false.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from stitchkit import Items, read_anchors
from stitchkit.datasets.images import read_image
from stitchkit.datasets.near_duplicates import ImageFingerprints, find_alike, fingerprints_of
from stitchkit.datasets.phantoms import make_phantoms

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


def looks_of(ids: list[str], images: Sequence[Any]) -> ImageFingerprints:
    items = Items(ids, images, "image")
    return ImageFingerprints.of(items.ids, list(fingerprints_of(items)))


@dataclass(frozen=True, eq=False)
class Films:
    """Images with the patients that they are of."""

    ids: np.ndarray  # (n,)
    values: Sequence[Any]  # paths or PIL images
    patients: np.ndarray  # (n,)

    @classmethod
    def of(cls, table: str, seed: int) -> Films:
        """The images of a table of anchors, or phantoms."""
        kind, _, count = table.partition(":")
        if kind == "phantoms":
            films = make_phantoms(int(count), seed=seed)
            return cls(
                np.asarray(films.ids), [Image.fromarray(one) for one in films.images], np.asarray(films.patients)
            )
        anchors = read_anchors(table)
        return cls(anchors.ids, anchors.source_items.values, np.asarray(anchors.groups))

    def image(self, row: int) -> Image.Image:
        value = self.values[row]
        return value if isinstance(value, Image.Image) else read_image(value)


def rates(films: Films, looks: ImageFingerprints, rows: np.ndarray, name: str, seed: int) -> tuple[float, int]:
    """Share of altered images that are found again, and pairs with an image of another patient."""
    rng = np.random.default_rng(seed)
    images = [CHANGES[name](films.image(row), rng) for row in rows]
    pairs, _ = find_alike(looks, looks_of([f"altered {row}" for row in rows], images))
    again = {one.second for one in pairs if one.first == rows[one.second] or _same(looks, one.first, rows[one.second])}
    false = sum(films.patients[one.first] != films.patients[rows[one.second]] for one in pairs)
    return len(again) / len(rows), false


def _same(looks: ImageFingerprints, row: int, other: int) -> bool:
    return bool(looks.pixels[row] == looks.pixels[other])


def different(films: Films, looks: ImageFingerprints) -> str:
    """Pairs of different patients: their number, near duplicates among them, and the most alike fingerprints."""
    count, most = 0, 0.0
    for start in range(0, len(looks), 1024):
        rows = slice(start, start + 1024)
        others = films.patients[rows, None] != films.patients[None, :]
        count += int(others.sum())
        most = max(most, float(np.where(others, looks.prints[rows] @ looks.prints.T, 0).max()))
    pairs, _ = find_alike(looks)
    false = sum(films.patients[one.first] != films.patients[one.second] for one in pairs)
    return (
        f"{len(looks):,} images; {false} of {count // 2:,} pairs of different patients are near duplicates, the cosine "
        f"of the most alike fingerprints of such pairs is {most:.3f}"
    )


def difference_hash(image: Image.Image) -> np.ndarray:
    """64 signs: whether each pixel of an 8 x 9 thumbnail is brighter than the one on its left."""
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS), dtype=int)
    return (small[:, 1:] > small[:, :-1]).ravel()


def cosine_hash(image: Image.Image) -> np.ndarray:
    """64 signs: which of the lowest cosine waves of a 32 x 32 thumbnail are above their median."""
    from scipy.fft import dctn

    small = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=float)
    waves = dctn(small)[:8, :8].ravel()
    return waves > np.median(waves)


def hash_rows(films: Films, rows: np.ndarray) -> Iterator[str]:
    """A line for each classical hash: pairs of different patients within so many bits, and bits that changes cost."""
    changes = (jpeg(30), mapped(lambda grey: grey**1.2))
    others = np.triu(films.patients[:, None] != films.patients[None, :], 1)
    rng = np.random.default_rng(0)
    for name, function in (("difference", difference_hash), ("cosine", cosine_hash)):
        signs = np.stack([function(films.image(row)) for row in range(len(films.ids))]).astype(np.float32)
        apart = (signs @ (1 - signs).T + (1 - signs) @ signs.T)[others]
        cells = [f"{int((apart <= bits).sum()):,}" for bits in (4, 6, 8)]
        for change in changes:
            altered = np.stack([function(change(films.image(row), rng)) for row in rows])
            cells.append(f"{int(np.abs(altered - signs[rows]).sum(axis=1).max())}")
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--every", type=int, default=0, help="alter every n-th image of a half (0: none)")
    parser.add_argument("--hashes", action="store_true", help="also compare classical hashes of 64 bits")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    films = Films.of(given.table, given.seed)
    looks = looks_of(films.ids.tolist(), films.values)
    print(different(films, looks), flush=True)
    if given.hashes:
        print("\n| hash | pairs within 4 bits | 6 | 8 | JPEG of quality 30, bits at most | gamma 1.2 |")
        print("|---|---|---|---|---|---|")
        for line in hash_rows(films, np.arange(0, len(looks), max(given.every, 1))):
            print(line)
    if not given.every:
        return
    patients = np.random.default_rng(given.seed).permutation(np.unique(films.patients))
    halves = [np.flatnonzero(np.isin(films.patients, patients[half::2])) for half in (0, 1)]
    print("\n| change | found, first half | second half | false pairs |\n|---|---|---|---|")
    for name in CHANGES:
        if name.startswith("noise") and films.image(0).mode != "L":
            continue
        (one, wrong), (other, more) = (rates(films, looks, rows[:: given.every], name, given.seed) for rows in halves)
        print(f"| {name} | {one:.1%} | {other:.1%} | {wrong + more} |", flush=True)


if __name__ == "__main__":
    main()
