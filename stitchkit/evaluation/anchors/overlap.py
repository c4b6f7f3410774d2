"""Overlap of anchors and test items: ids, patients, and images that are the same under other names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.errors import InputError
from stitchkit.core.items import Items, checked_groups, checked_ids
from stitchkit.core.keys import spelled_alike
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.anchor_tables import AnchorTable
from stitchkit.datasets.near_duplicates import LIKENESS, NEAR, Alike, ImageFingerprints, find_alike, fingerprints_of
from stitchkit.datasets.rows import groups_of, ids_of, read_rows
from stitchkit.evaluation.leakage import audit, same_files, shared_values, two_spellings_note
from stitchkit.runtime.progress import Progress


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side of the comparison: items, what is known of their patients, their images and their texts.

    Parameters
    ----------
    ids : (n,) str
    groups : (n,) str or None
    images
        Items of images, each with all n ids; none if there are no images.
    texts
        The n texts; None if there are none.
    """

    ids: np.ndarray
    groups: np.ndarray | None
    images: tuple[Items, ...] = ()
    texts: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, items: AnchorSet | Items | Sequence[str] | np.ndarray, groups: Any = None) -> Side:
        """Anchors, items or bare ids as a side; ``groups`` where the value itself knows none.

        Raises
        ------
        InputError
            If groups are given twice, or a single text stands for ids.
        """
        if isinstance(items, str):
            raise InputError("the test is an anchor set, items or a list of ids; got a single text. Read the table.")
        if isinstance(items, AnchorSet):
            if groups is not None:
                raise InputError(
                    "an anchor set has its own groups. Leave " + setting("test_groups", text="test_groups") + " out."
                )
            sides = [items.source_items, items.target_items]
            images = [one for one in sides if one.modality == "image"]
            if len(images) == 2 and all(map(_same, images[0].values, images[1].values)):
                del images[1]
            texts = next((one.values for one in reversed(sides) if one.modality == "text"), None)
            return cls(items.ids, items.groups, tuple(images), texts)
        known = None if groups is None else checked_groups(groups, len(items))
        if isinstance(items, Items):
            if items.modality == "image":
                return cls(items.ids, known, (items,))
            return cls(items.ids, known, (), items.values)
        return cls(checked_ids(items), known)

    def fingerprints(self, what: str, bar: Progress) -> ImageFingerprints:
        """Fingerprints of the images; an item with two images stands twice."""
        images = []
        bar.begin(f"looking at {what}", total=sum(map(len, self.images)))
        for items in self.images:
            for one in fingerprints_of(items):
                images.append(one)
                bar.step(1)
        return ImageFingerprints.of(np.tile(self.ids, len(self.images)), images)


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Overlap of anchors with test items.

    Parameters
    ----------
    rows : (n,) bool
        Anchors that are also test items, or of a test item's patient, or show a test item's image.
    items
        Ids on both sides.
    patients
        Patients on both sides; None where those of one side are not known.
    alike
        Images of one side that are, or look, the same as one of the other under another id; None where one side has
        no images. Positions are of the items of either side.
    complete
        False if there are more of them than are listed.
    spelled
        Patients of the anchors and of the test that differ in spelling only, as pairs.
    """

    rows: np.ndarray
    items: int
    patients: int | None
    alike: tuple[Alike, ...] | None
    complete: bool
    spelled: tuple[tuple[str, str], ...] = ()

    def leaks(self) -> tuple[str, ...]:
        """Leaks in words, a line each."""
        alike = self.alike or ()
        near = sum(one.kind == NEAR for one in alike)
        copies = len({one.second for one in alike if one.kind != NEAR})
        more = "" if self.complete else ", and more"
        lines = (
            (self.items, "item is", "items are", "both anchors and test items"),
            (self.patients, "patient has", "patients have", "both anchors and test items"),
            (copies, "test image is a copy", "test images are copies", "of anchors' images under other ids"),
            (
                near,
                "pair",
                "pairs",
                f"of an anchor's and a test item's image are near duplicates under other ids{more}",
            ),
        )
        sentences = [f"{counted(count, one, many)} {what}" for count, one, many, what in lines if count]
        if self.spelled:
            both = (f"{words} {lines[1][3]}" for words in lines[1][1:3])
            sentences.insert(sum(map(bool, (self.items, self.patients))), two_spellings_note(self.spelled, *both))
        return tuple(sentences)


def _same(one: Any, other: Any) -> bool:
    """True if two values are one image without looking at it: one object, or one path."""
    return one is other or (isinstance(one, str | Path) and isinstance(other, str | Path) and Path(one) == Path(other))


def overlap_of(
    anchors: Side,
    test: Side,
    fingerprints: tuple[ImageFingerprints, ImageFingerprints] | None,
    likeness: float = LIKENESS,
) -> Overlap:
    """Overlap of ``anchors`` with ``test``; ``fingerprints`` are of both sides' images, None if one has none."""
    rows = np.isin(anchors.ids, test.ids)
    items = int(rows.sum())
    patients = shared_values(anchors.groups, test.groups)
    spelled: tuple[tuple[str, str], ...] = ()
    if anchors.groups is not None and test.groups is not None:
        spelled = tuple(spelled_alike(anchors.groups, test.groups))
        rows |= np.isin(anchors.groups, test.groups) | np.isin(anchors.groups, [one for one, _ in spelled])
    if fingerprints is None:
        return Overlap(rows=rows, items=items, patients=patients, alike=None, complete=True, spelled=spelled)
    pairs, complete = find_alike(*fingerprints, likeness=likeness)
    alike = _of_items(pairs, anchors, test)
    pictures = fingerprints[0].pixels
    shown = np.isin(pictures, pictures[[one.first for one in pairs]])  # a pair names the first of equal pictures
    rows[np.flatnonzero(shown) % len(anchors)] = True
    return Overlap(rows=rows, items=items, patients=patients, alike=alike, complete=complete, spelled=spelled)


def _of_items(pairs: list[Alike], first: Side, second: Side) -> tuple[Alike, ...]:
    """Each pair of items once, with their best likeness; not an item with itself."""
    kept: dict[tuple[int, int], Alike] = {}
    for one in pairs:
        pair = one.first % len(first), one.second % len(second)
        if first.ids[pair[0]] != second.ids[pair[1]]:
            kept.setdefault(pair, one._replace(first=pair[0], second=pair[1]))
    return tuple(kept.values())


def alike_within(
    side: Side, fingerprints: ImageFingerprints, likeness: float = LIKENESS
) -> tuple[tuple[Alike, ...], bool]:
    """Items of one side whose images are, or look, the same, and whether all are listed."""
    pairs, complete = find_alike(fingerprints, likeness=likeness)
    return _of_items(pairs, side, side), complete


def audit_test_table(anchors: AnchorSet, table: AnchorTable, test: Path, *, allow: bool = False) -> list[str]:
    """Notes on anchors that are also in a table of test items, by id, patient and image, before any model is loaded.

    Parameters
    ----------
    table
        The anchors' table; columns that it names are those of the test as well, where it has them.
    test
        The table of test items.
    allow
        Report leakage instead of refusing it.

    Raises
    ------
    LeakageError
        If an item, a patient or an image is on both sides and ``allow`` is not set.
    """
    rows = read_rows(test)
    id, patients = (name if name in rows.columns else None for name in (table.id, table.groups))
    ids = ids_of(rows, id, rows.first_of("path"))
    notes = audit(anchors.ids, ids, anchors.groups, groups_of(rows, patients), allow=allow)
    if "path" not in rows.columns:
        return notes
    files = [test.parent / cell for cell in rows.column("path")]
    if not all(os.path.isfile(file) for file in files):
        return [*notes, f"images of {test} are not all here: anchors' images under other names were not looked for"]
    return [*notes, *same_files(anchors.source_items, Items(ids, files, "image"), allow=allow)]
