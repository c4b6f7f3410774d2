"""The leakage audit: the same item or patient on both sides of an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import LeakageError
from stitchkit.core.items import Items
from stitchkit.datasets.content_keys import content_key


def audit(
    anchor_ids: np.ndarray,
    test_ids: np.ndarray,
    anchor_groups: np.ndarray | None,
    test_groups: np.ndarray | None,
    *,
    allow: bool = False,
    sides: tuple[str, str] = ("anchors", "test items"),
) -> list[str]:
    """What the audit found, in words.

    Parameters
    ----------
    anchor_ids : (n,), test_ids : (m,)
    anchor_groups : (n,) or None, test_groups : (m,) or None
        Patients; None means that they are not known.
    allow
        Report leakage instead of refusing it.
    sides
        What the two are called.

    Raises
    ------
    LeakageError
        If an item or a patient stands on both sides and ``allow`` is not set.
    """
    found, notes = [], []
    both = " and ".join(sides)
    if items := shared(anchor_ids, test_ids):
        found.append(f"{items} items are both {both}")
    patients = shared(anchor_groups, test_groups)
    if patients is None:
        notes.append(f"patients are not known, so overlap of patients between {both} was not checked")
    elif patients:
        found.append(f"{patients} patients have both {both}")
    else:
        notes.append(f"no patient has both {both}")
    if found and not allow:
        raise LeakageError(f"{'; '.join(found)}. Take them out of the {sides[0]}, or allow leakage and say so.")
    return [*(f"LEAKAGE: {one}" for one in found), *notes]


def shared(one: Any, other: Any) -> int | None:
    """How many distinct names of ``one`` (n,) are in ``other`` (m,); None where either is not known."""
    if one is None or other is None:
        return None
    return int(np.intersect1d(np.asarray(one).astype(str), np.asarray(other).astype(str)).size)


def check_apart(
    fitted: tuple[Any, Any, np.ndarray | None], held: tuple[Any, Any, np.ndarray | None], what: str
) -> None:
    """Raise where an item or a patient is on both sides; ``what`` says which they are, ``"anchors and held out"``.

    Parameters
    ----------
    fitted, held
        Source side, target side and patients (None if not known), row i of all one pair. Items are told by id where
        both source sides are embeddings; arrays have no ids, and there equal vectors on both sides are one item.

    Raises
    ------
    LeakageError
        With the number of items or patients.
    """
    named = isinstance(fitted[0], Embeddings) and isinstance(held[0], Embeddings)
    items = shared(fitted[0].ids, held[0].ids) if named else _same_vectors(fitted, held)
    if items:
        raise LeakageError(f"{items} items are both {what}. Hold out other items.")
    if patients := shared(fitted[2], held[2]):
        raise LeakageError(f"{patients} patients are both {what}. Hold out other patients.")


def _same_vectors(fitted: tuple[Any, ...], held: tuple[Any, ...]) -> int:
    """How many rows of ``held`` are, number for number on both sides, rows of ``fitted``."""
    known, found = (
        [hash((a.tobytes(), b.tobytes())) for a, b in zip(*(to_numpy(_vectors(one)) for one in both[:2]), strict=True)]
        for both in (fitted, held)
    )
    return len(set(known) & set(found))


def _vectors(side: Any) -> Any:
    return side.vectors if isinstance(side, Embeddings) else side


def same_files(anchors: Items, test: Items, *, allow: bool = False) -> list[str]:
    """What is found of test items that are, byte for byte, anchor items under other ids.

    Raises
    ------
    LeakageError
        If there is one and ``allow`` is not set.
    """
    if anchors.modality != test.modality:
        return []
    known = {content_key(value, anchors.modality) for value in anchors.values}
    count = sum(content_key(value, test.modality) in known for value in test.values)
    if not count:
        return []
    found = f"{count} test items are anchors' own files under other ids"
    if not allow:
        raise LeakageError(f"{found}. Take them out of the anchors, or allow leakage and say so.")
    return [f"LEAKAGE: {found}"]
