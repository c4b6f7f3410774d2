"""Pairs to train on: which ones, their pixels in one packed file, their captions as numbers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.errors import DataError
from stitchkit.core.items import Items
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.datasets.images import read_image
from stitchkit.encoders.shared import ImageBatch
from stitchkit.evaluation.leakage import audit
from stitchkit.evaluation.patient_draws import patient_order
from stitchkit.progress import Progress
from stitchkit.training.recipes import PairsRecipe

AT_ONCE = 64  # images that are decoded together


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPairs:
    """Images with captions.

    Parameters
    ----------
    ids : (n,) str
    pixels : (n, side, side, channels) uint8
    texts
        The n captions.
    same : (n,) int
        One number for each distinct caption.
    """

    ids: np.ndarray
    pixels: np.ndarray
    texts: list[str]
    same: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def captions(self) -> int:
        """How many distinct captions there are."""
        return int(self.same.max()) + 1

    @classmethod
    def of(
        cls, images: Items, texts: list[str], reading: ImageBatch, side: int, folder: Path, bar: Progress
    ) -> TrainingPairs:
        """The pairs with their pixels packed in ``folder``, read from there where they are."""
        _, same = np.unique(np.asarray(texts, dtype=np.str_), return_inverse=True)
        return cls(images.ids, packed(images, reading, side, folder, bar), texts, same.reshape(-1))


def chosen_pairs(recipe: PairsRecipe, seed: int) -> tuple[Cohort, Cohort, list[str]]:
    """Train and validation pairs of a recipe, and notes.

    Raises
    ------
    DataError
        For data without texts, a split that is not there, or too few pairs.
    LeakageError
        If a patient is in both published splits.
    """
    cohort = read_cohort(recipe.layout, recipe.root, **recipe.reader)
    if cohort.texts is None:
        raise DataError(f"{cohort.name} was read without texts. Name the column of captions in [pairs.reader].")
    train = cohort if cohort.split is None else cohort.part(recipe.train)
    groups = train.labels.groups
    if recipe.valid:
        valid = cohort.part(recipe.valid)
        notes = audit(train.images.ids, valid.images.ids, groups, valid.labels.groups)
    else:
        parts = assign(len(train), groups, seed=seed, k=max(2, round(1 / recipe.held)))
        rest = np.setdiff1d(np.arange(len(train)), parts[0])
        train, valid, whose = train.take(rest), train.take(parts[0]), "pairs" if groups is None else "patients"
        notes = [f"validated on {len(valid)} pairs of {whose} held out of the train pairs"]
    if recipe.fraction < 1:
        known = train.labels.groups
        people = np.arange(len(train)) if known is None else known
        order = patient_order(people, seed, 0)
        train = train.take(np.sort(order[: round(recipe.fraction * len(train))]))
    for what, part in (("train", train), ("validate", valid)):
        if len(part) < 2:
            raise DataError(f"{len(part)} pairs are too few to {what} on. Give more, or a larger fraction.")
    return train, valid, notes


def packed(images: Items, reading: ImageBatch, side: int, folder: Path, bar: Progress) -> np.ndarray:
    """Decoded images (n, side, side, channels) uint8 in one file of ``folder``, made the first time.

    Raises
    ------
    DataError
        Naming the image that cannot be read; nothing is kept then.
    """
    shape = (len(images), side, side, len(reading.mean))
    path = folder / f"{_mark(images, (reading.wide, *shape))}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
        try:
            _pack(images, reading, shape, draft, bar)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    found: np.ndarray = np.load(path, mmap_mode="r")
    return found


def _pack(images: Items, reading: ImageBatch, shape: tuple[int, ...], path: Path, bar: Progress) -> None:
    bar.begin("decoding images", len(images))
    with path.open("wb") as file, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for start in range(0, len(images), AT_ONCE):
            values = images.values[start : start + AT_ONCE]
            for pixels in pool.map(lambda value: reading.pixels(_opened(value), shape[1]), values):
                file.write(np.ascontiguousarray(pixels).tobytes())
            bar.step(len(values))
        file.flush()
        os.fsync(file.fileno())


def _opened(value: object) -> object:
    return read_image(value) if isinstance(value, str | Path) else value


def _mark(images: Items, form: tuple[int, ...]) -> str:
    whole = hashlib.sha256(repr(form).encode())
    for name, value in zip(images.ids.tolist(), images.values, strict=True):
        if isinstance(value, str | Path):
            facts = Path(value).stat()
            whole.update(f"{name}\0{value}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        else:
            whole.update(name.encode() + np.asarray(value).tobytes())
    return whole.hexdigest()[:24]


def batches(n: int, size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Rows (m,) of one epoch's batches, of equal size, in an order of its own; what is left over waits for the next."""
    order = np.random.default_rng([seed, 1, epoch]).permutation(n)
    size = min(size, n)
    for start in range(0, n - size + 1, size):
        yield order[start : start + size]


def cropped(pixels: np.ndarray, rows: np.ndarray, side: int, seed: int, epoch: int) -> np.ndarray:
    """The images of ``rows``, each cut to ``side`` at a place that its row and the epoch decide."""
    room = pixels.shape[1] - side
    places = np.random.default_rng([seed, 2, epoch]).integers(0, room + 1, size=(len(pixels), 2))[rows]
    return np.stack([
        pixels[row, down : down + side, across : across + side]
        for row, (down, across) in zip(rows.tolist(), places.tolist(), strict=True)
    ])  # fmt: skip
