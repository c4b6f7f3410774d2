"""Pointing: the patch of an image that resembles a sentence most, against the region that the sentence is about."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoder
from stitchkit.datasets.images import read_image
from stitchkit.datasets.phrase_regions import WHITE, PhraseRegions

BATCH = 32
RULES = ("words", "sentence")


@dataclass(frozen=True, slots=True, eq=False)
class Pointing:
    """Hits of sentences about images.

    Parameters
    ----------
    rows : (m,) int
        Rows of the images that the sentences are about.
    hits : rule -> (m,)
        Share of the best patch's area that lies in the sentence's region: the chance that a place in that patch hits.
        By ``"words"`` the best patch has the largest mean cosine with the words, by ``"sentence"`` the largest cosine
        with the sentence's vector.
    chance : (m,)
        Share of all patches' area that lies in the region: the chance of a patch that is drawn at random.
    """

    rows: np.ndarray
    hits: dict[str, np.ndarray]
    chance: np.ndarray


def point(image_encoder: Encoder, text_encoder: Encoder, images: Items, regions: PhraseRegions) -> Pointing | None:
    """Find the patch that resembles each sentence most.

    Parameters
    ----------
    image_encoder, text_encoder
        Two encoders of one space that give tokens as wide as their vectors.
    images
        The images, by id.
    regions
        Sentences with their regions. Those whose region is empty as the encoder sees the image, and those without
        tokens, are left out.

    Returns
    -------
    Pointing or None
        None where an encoder gives no such tokens, where patches are no grid of the image's form, or where images are
        normalised one by one, so that a mask has no levels.

    Raises
    ------
    InputError
        For a sentence about an image that is not there.
    DataError
        For a mask of another size than its image.
    """
    row_of = {name: row for row, name in enumerate(images.ids.tolist())}
    if missing := [name for name in regions.ids.tolist() if name not in row_of]:
        raise InputError(f"a sentence is about {missing[0]!r}, and no image has that id. Take the sentence out.")
    rows = np.asarray([row_of[name] for name in regions.ids.tolist()], dtype=np.int64)
    order = np.argsort(rows, kind="stable")
    hits: dict[str, list[float]] = {rule: [] for rule in RULES}
    known, chance = [], []
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        pictures = [as_picture(images.values[rows[i]]) for i in some]
        of_images = image_encoder.encode(image_encoder.prepare(pictures))
        of_texts = text_encoder.encode(text_encoder.prepare([regions.texts[i] for i in some]))
        if (
            of_images.tokens is None
            or of_texts.tokens is None
            or of_images.tokens.shape[-1] != of_images.pooled.shape[-1]
        ):
            return None
        masks = [regions.mask_like(int(i), picture) for i, picture in zip(some, pictures, strict=True)]
        patches, places = _unit(of_images.tokens), _mask(of_images)
        words, content, sentences = _unit(of_texts.tokens), _mask(of_texts), _unit(of_texts.pooled)
        areas = [_areas(image_encoder, mask, int(one.sum())) for mask, one in zip(masks, places, strict=True)]
        for at, (i, area) in enumerate(zip(some, areas, strict=True)):
            if area is None:
                return None
            if not area.any() or not content[at].any():
                continue
            inside = patches[at][places[at]]
            near = {"words": (inside @ words[at][content[at]].T).mean(axis=1), "sentence": inside @ sentences[at]}
            for rule in RULES:
                hits[rule].append(float(area[int(np.argmax(near[rule]))]))
            chance.append(float(area.mean()))
            known.append(int(rows[i]))
    return Pointing(
        np.asarray(known, dtype=np.int64), {rule: np.asarray(hits[rule]) for rule in RULES}, np.asarray(chance)
    )


def _areas(encoder: Encoder, mask: Any, count: int) -> np.ndarray | None:
    """Share of each patch's area that lies in a mask, (p,), as the encoder prepares it; None of patches without places.

    The mask goes through the encoder's own preprocessing, between a black and a white image of its size.
    """
    from PIL import Image

    ends = [Image.new("L", mask.size, level) for level in (0, WHITE)]
    prepared = encoder.prepare([mask.convert("L"), *ends])
    tensor = prepared if hasattr(prepared, "ndim") else prepared["pixel_values"]
    level, black, white = to_numpy(tensor)[:, 0].astype(np.float64)
    if (white <= black).any():  # of an encoder that normalises each image by itself
        return None
    share = np.clip((level - black) / (white - black), 0, 1)
    down, across = (round(length / (share.size / max(count, 1)) ** 0.5) for length in share.shape)
    if down * across != count:
        return None
    tall, wide = (np.linspace(0, length, parts + 1).round().astype(int)
                  for length, parts in zip(share.shape, (down, across), strict=True))  # fmt: skip
    return np.asarray([share[a:b, c:d].mean() for a, b in pairwise(tall) for c, d in pairwise(wide)])


def as_picture(value: Any) -> Any:
    """An image of PIL from a path, an array or an image."""
    from PIL import Image

    image = read_image(value) if not hasattr(value, "ndim") and not hasattr(value, "size") else value
    return image if hasattr(image, "convert") else Image.fromarray(np.asarray(image))


def _mask(encoded: Any) -> np.ndarray:
    """Mask (b, t) of the tokens that are content; all where the encoder says nothing of them."""
    if encoded.mask is None:
        return np.ones(encoded.tokens.shape[:2], dtype=bool)
    return to_numpy(encoded.mask).astype(bool)


def _unit(vectors: Any) -> np.ndarray:
    rows = to_numpy(vectors).astype(np.float64)
    unit: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return unit
