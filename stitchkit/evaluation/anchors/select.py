"""Anchors chosen out of a table, apart from a test: which rows, by which method, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import Items
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import count_patients, patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.roles import Encoder
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.content_keys import content_key
from stitchkit.datasets.near_duplicates import MOST
from stitchkit.evaluation.anchors.choose import OF_CLASSES, OF_TEXTS, WITHOUT_VECTORS, check_method, choose_anchors
from stitchkit.evaluation.anchors.overlap import Side, overlap_of
from stitchkit.runtime.progress import Progress


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Rows of an anchor set that may be chosen, and why the others may not.

    Parameters
    ----------
    rows : (m,) int64
        Positions.
    excluded
        Number of rows that are left out; the notes say why.
    notes
        Checks that were not made.
    """

    rows: np.ndarray
    excluded: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Selection(NotebookText):
    """Anchors that were chosen.

    Parameters
    ----------
    rows : (n,) int64
        Positions in the anchor set, in the order they were picked.
    method, seed
        Method of :func:`choose_anchors`.
    candidates, excluded
        Numbers of rows that could be chosen, and that could not because of the test.
    patients
        Patients of the chosen; None where not known.
    notes
        Rows left out with the reason, and checks that were not made.
    """

    rows: np.ndarray
    method: str
    seed: int
    candidates: int
    excluded: int
    patients: int | None
    notes: tuple[str, ...]

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; no id and no patient."""
        return {
            "n": len(self.rows),
            "method": self.method,
            "seed": self.seed,
            "candidates": self.candidates,
            "excluded": self.excluded,
            "patients": self.patients,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Text for a terminal."""
        people = patients_in_words(self.patients)
        rows = f"{len(self.rows)} of {counted(self.candidates, 'row')} ({people})"
        head = f"{rows}, chosen by {self.method}, seed {self.seed}"
        return "\n".join([head, *(f"note: {note}" for note in self.notes)])


def candidates_of(
    anchors: AnchorSet,
    test: AnchorSet | Items | Sequence[str] | np.ndarray | None,
    test_groups: Any = None,
    *,
    progress: bool | None = None,
) -> Candidates:
    """Anchors that share neither id nor patient nor image with the test.

    Parameters
    ----------
    anchors, test, test_groups
        As :func:`stitchkit.evaluation.anchors.check.check_anchors` takes them; without a test all rows may be chosen.

    Raises
    ------
    DataError
        If no row is left, or more pairs of images are near duplicates than are listed.
    """
    if test is None:
        return Candidates(np.arange(len(anchors)), 0, ())
    ours, theirs = Side.of(anchors), Side.of(test, test_groups)
    fingerprints = None
    if ours.images and theirs.images:
        with Progress(show=progress) as bar:
            fingerprints = ours.fingerprints("anchors", bar), theirs.fingerprints("test images", bar)
    overlap = overlap_of(ours, theirs, fingerprints)
    if not overlap.complete:
        raise DataError(
            f"more than {MOST} pairs of an anchor's and a test item's image look the same, so what leaks cannot be "
            f"told apart. Are most images nearly empty? See what the check of the anchors lists."
        )
    rows = np.flatnonzero(~overlap.rows)
    if not rows.size:
        raise DataError(f"all {len(ours)} anchors share an id, a patient or an image with the test. Give others.")
    notes = []
    if leaks := overlap.leaks():
        number = counted(len(ours) - len(rows), "row was", "rows were")
        notes.append(f"{number} left out, because of the test: {'; '.join(leaks)}")
    if overlap.patients is None:
        notes.append("patients are not known on both sides, so rows of the test's patients were not looked for")
    if overlap.alike is None:
        notes.append("images are not known on both sides, so rows that show the test's images were not looked for")
    return Candidates(rows, len(ours) - len(rows), tuple(notes))


def check_selection(method: str, *, vectors: bool, classes: bool) -> None:
    """Raise for a method that does not exist, that lacks what it reads, or that reads no classes where some are given.

    Parameters
    ----------
    vectors, classes
        True if there are vectors of the candidates, and a class of each.

    Raises
    ------
    UnknownNameError
        If there is no such method.
    InputError
        If vectors or classes are missing, or classes are not read.
    """
    check_method(method, classes=classes)
    if not vectors and method not in WITHOUT_VECTORS:
        raise InputError(
            setting("method", method)
            + " compares vectors: pass "
            + setting("vectors")
            + f". {' and '.join(WITHOUT_VECTORS)} need none."
        )
    if method != OF_CLASSES and classes:
        raise InputError(
            setting("label_column", text="classes=")
            + " is for "
            + setting("method", OF_CLASSES)
            + "; "
            + setting("method", method)
            + " reads no class."
        )


def compared_items(method: str, pairs: AnchorSet, encoder: Encoder) -> Items:
    """The items of the pairs whose vectors the method compares, on the side that the encoder reads.

    Raises
    ------
    InputError
        If the method compares texts and the encoder reads none, or neither side holds what it reads.
    """
    if method == OF_TEXTS and encoder.modality != "text":
        raise InputError(
            setting("method", method)
            + f" compares texts; {encoder.name} reads {encoder.modality}s. Name a text encoder."
        )
    items = pairs.items_of(encoder.modality)
    if items is None:
        raise InputError(
            f"{encoder.name} reads {encoder.modality}s, and neither side of the pairs holds any. Name another encoder, "
            "or the column with " + setting("source_column", text="AnchorTable(source=)") + "."
        )
    return items


def select_anchors(
    anchors: AnchorSet,
    n: int,
    candidates: Candidates,
    *,
    method: str,
    vectors: Any = None,
    classes: Any = None,
    seed: int = 0,
) -> Selection:
    """``n`` of the candidates, by :func:`stitchkit.choose_anchors`.

    Parameters
    ----------
    anchors
        The pairs.
    candidates
        From :func:`candidates_of`.
    method
        Method of ``choose_anchors``; ``"diverse-text"`` reads ``vectors`` of the texts.
    vectors : (m, d), optional
        Vectors of the candidates, in their order. Without them, as ``"random"`` and ``"balanced"`` allow, rows are
        distinguished by their source items.
    classes : (m,), optional
        Classes of the candidates, in their order, for ``"balanced"``.

    Raises
    ------
    InputError
        If n is more than there are candidates, or what the method reads is missing.
    UnknownNameError
        If there is no such method.
    """
    check_selection(method, vectors=vectors is not None, classes=classes is not None)
    some = anchors.take(candidates.rows)
    if vectors is None:
        vectors = _codes(some.source_items)
    other = vectors if method == OF_TEXTS else None
    picked = choose_anchors(vectors, n, method=method, other=other, classes=classes, groups=some.groups, seed=seed)
    people = None if some.groups is None else count_patients(some.groups[picked])
    return Selection(
        rows=candidates.rows[picked],
        method=method,
        seed=seed,
        candidates=len(candidates.rows),
        excluded=candidates.excluded,
        patients=people,
        notes=candidates.notes,
    )


def _codes(items: Items) -> np.ndarray:
    """Numbers (m, 4) that are equal for equal content and differ otherwise."""
    keys = b"".join(content_key(value, items.modality) for value in items.values)
    return np.frombuffer(keys, dtype=np.uint32).reshape(len(items), -1).astype(np.float64)
