"""Images that are the same: byte for byte, pixel for pixel, or to the eye, after a change that leaves the content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.datasets.candidate_pairs import candidate_pairs
from stitchkit.datasets.content_keys import as_keys, content_key
from stitchkit.datasets.fingerprints import LENGTH, fingerprint, tiles, view_map
from stitchkit.datasets.images import read_image
from stitchkit.datasets.registration import registered_likeness
from stitchkit.datasets.thumbnails import SIDE, thumbnail

LIKENESS = 0.97  # likeness from which two images are near duplicates
MOST = 10_000  # near duplicates that are listed
TOGETHER = 32  # pairs registered at once: their arrays stay in the cache

FILE, PIXELS, NEAR = "same file", "same pixels", "near"


class Alike(NamedTuple):
    """Two rows that show the same: positions on either side, how they are the same, and their likeness."""

    first: int
    second: int
    kind: str  # FILE, PIXELS or NEAR
    likeness: float  # 1 for copies


@dataclass(frozen=True, slots=True, eq=False)
class ImageFingerprints:
    """Content keys, fingerprints and thumbnails of n images.

    Parameters
    ----------
    ids : (n,) str
    files : (n,) S16
        Content keys of the files (of the pixels, where an image is no file).
    pixels : (n,) S16
        Content keys of the decoded images.
    prints : (n, 255) float32
        Fingerprints of unit length; zero for a blank image.
    thumbnails : (n, 64, 64) uint8
        Ranks of grey levels (:func:`stitchkit.datasets.thumbnails.thumbnail`); zero for a blank image.
    """

    ids: np.ndarray
    files: np.ndarray
    pixels: np.ndarray
    prints: np.ndarray
    thumbnails: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, ids: np.ndarray, fingerprints: list[tuple[bytes, bytes, np.ndarray, np.ndarray]]) -> ImageFingerprints:
        """Fingerprints of images, one by one from :func:`fingerprints_of`."""
        files, pixels, prints, small = zip(*fingerprints, strict=True) if fingerprints else ((), (), (), ())
        rows = np.stack(prints) if prints else np.zeros((0, LENGTH), dtype=np.float32)
        return cls(
            ids=ids,
            files=as_keys(files),
            pixels=as_keys(pixels),
            prints=rows,
            thumbnails=np.stack(small) if small else np.zeros((0, SIDE, SIDE), dtype=np.uint8),
        )

    @property
    def blank(self) -> int:
        """Number of images that show nothing; only exact copies of them are found."""
        return int((~self.prints.any(axis=1)).sum())


def fingerprints_of(items: Items) -> Iterator[tuple[bytes, bytes, np.ndarray, np.ndarray]]:
    """File key, pixel key, fingerprint and thumbnail of each image, one by one, for :meth:`ImageFingerprints.of`.

    Raises
    ------
    InputError
        If the items are texts.
    DataError
        If a file is missing or no image.
    """
    if items.modality != "image":
        raise InputError(f"near duplicates are looked for among images; the items are {items.modality}s.")
    for value in items.values:
        if isinstance(value, str | Path):
            image: Any = read_image(value)
            yield content_key(value, "image"), content_key(image, "image"), fingerprint(image), thumbnail(image)
        else:
            key = content_key(value, "image")
            yield key, key, fingerprint(value), thumbnail(value)


def find_alike(
    fingerprints: ImageFingerprints, others: ImageFingerprints | None = None, *, likeness: float = LIKENESS
) -> tuple[list[Alike], bool]:
    """Images that show the same, within one side or across two, and whether all near ones are listed.

    Two images are near duplicates by the cosine of their fingerprints, or by their likeness after a registration
    (:func:`stitchkit.datasets.registration.registered_likeness`), whichever is larger. Of each image the eight most
    alike of a side are registered.

    Found, on chest films of 256 pixels: files of other bytes but equal pixels; another encoding, size, brightness,
    contrast or gamma; a window from .2 to .8; equalisation; inversion; a grey image stored as colour; crops of up to a
    tenth a side and borders of up to a twentieth; rotations of up to five degrees; a text or a small box painted
    over. Not found: mirrored images, and most of which much is lost. On smaller, darker or softer images fewer crops
    and borders are found. ``docs/anchors.md`` has the rates, and tells of which images ``LIKENESS`` was measured.

    Parameters
    ----------
    fingerprints
        One side.
    others
        The other side; by default the rows of ``fingerprints`` among themselves.
    likeness
        From which two images are near duplicates, in (0, 1].

    Returns
    -------
    list of Alike
        Copies first. Of k equal images of one side, the first is paired with each of the others (k - 1 pairs), and
        stands for all of them in near pairs; across two sides, each equal image of the other side is paired with the
        first one here. At most 10,000 near pairs.
    bool
        False if there are more.

    Raises
    ------
    InputError
        If ``likeness`` is not in (0, 1].
    """
    if not 0 < likeness <= 1:
        raise InputError(f"the likeness of near duplicates is above 0 and up to 1; got {likeness}.")
    exact, near = _copies(fingerprints, others), _near(fingerprints, others, likeness)
    return [*exact, *near[:MOST]], len(near) <= MOST


def _firsts(fingerprints: ImageFingerprints) -> list[int]:
    """The first row of each distinct picture."""
    _, first = np.unique(fingerprints.pixels, return_index=True)
    return sorted(first.tolist())


def _copies(fingerprints: ImageFingerprints, others: ImageFingerprints | None) -> list[Alike]:
    """Rows of equal files or equal pixels."""
    other = fingerprints if others is None else others
    by_pixels: dict[bytes, int] = {}
    for row, key in enumerate(fingerprints.pixels.tolist()):
        by_pixels.setdefault(key, row)
    files = set(fingerprints.files.tolist()) if others is not None else set()
    copies: list[Alike] = []
    previous: set[bytes] = set()
    for row, (key, file) in enumerate(zip(other.pixels.tolist(), other.files.tolist(), strict=True)):
        first = by_pixels.get(key)
        if first is not None and (others is not None or first != row):
            copies.append(Alike(first, row, FILE if file in (files or previous) else PIXELS, 1.0))
        previous.add(file)
    return copies


def _near(fingerprints: ImageFingerprints, others: ImageFingerprints | None, likeness: float) -> list[Alike]:
    """Pairs of different pictures that look alike, up to one more than are listed: by fingerprint, then registered."""
    by_print = _near_prints(fingerprints, others, likeness)
    if len(by_print) > MOST:
        return by_print
    best = {(one.first, one.second): one for one in by_print}
    for one in _near_registered(fingerprints, others, likeness):
        known = best.get((one.first, one.second))
        if known is None or known.likeness < one.likeness:
            best[one.first, one.second] = one
    return [best[pair] for pair in sorted(best)]


def _near_prints(fingerprints: ImageFingerprints, others: ImageFingerprints | None, likeness: float) -> list[Alike]:
    """Pairs of different pictures whose fingerprints are alike."""
    other = fingerprints if others is None else others
    ours, theirs = _firsts(fingerprints), _firsts(other)
    left, right = fingerprints.prints[ours], other.prints[theirs]
    matches: list[Alike] = []
    for rows, columns_of in tiles(len(left), None if others is None else len(right)):
        for columns in columns_of:
            cosines = left[rows] @ right[columns].T
            if others is None and rows == columns:
                cosines = np.triu(cosines, 1)
            for i, j in np.argwhere(cosines >= likeness).tolist():
                first, second = ours[rows.start + i], theirs[columns.start + j]
                if fingerprints.pixels[first] != other.pixels[second]:  # those are copies
                    matches.append(Alike(first, second, NEAR, float(cosines[i, j])))
            if len(matches) > MOST:
                return matches[: MOST + 1]
    return matches


def _near_registered(fingerprints: ImageFingerprints, others: ImageFingerprints | None, likeness: float) -> list[Alike]:
    """Pairs of different pictures that are alike after a registration."""
    other = fingerprints if others is None else others
    ours, theirs = np.asarray(_firsts(fingerprints), dtype=int), np.asarray(_firsts(other), dtype=int)
    pairs = candidate_pairs(fingerprints.thumbnails[ours], None if others is None else other.thumbnails[theirs])
    first, second = ours[pairs["first"]], theirs[pairs["second"]]
    differ = fingerprints.pixels[first] != other.pixels[second]  # others are copies
    pairs = pairs[differ]  # as one line, ten seconds of mypy
    matches: list[Alike] = []
    for start in range(0, len(pairs), TOGETHER):
        part = pairs[start : start + TOGETHER]
        first, second = ours[part["first"]], theirs[part["second"]]
        alike = _likeness_of_pairs(fingerprints.thumbnails[first], other.thumbnails[second], part["view"])
        for row in np.flatnonzero(alike >= likeness).tolist():
            matches.append(Alike(int(first[row]), int(second[row]), NEAR, float(alike[row])))
        if len(matches) > MOST:
            break
    return matches


def _likeness_of_pairs(first: np.ndarray, second: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Likeness of pairs of thumbnails after a registration; the one seen in a view is fitted onto the other."""
    starts = np.stack([view_map(abs(view)) for view in views.tolist()])
    forward = (views >= 0)[:, None, None]
    return registered_likeness(np.where(forward, second, first), np.where(forward, first, second), starts)
