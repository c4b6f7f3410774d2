"""The leakage audit: the same item or patient on both sides of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import LeakageError
from stitchkit.core.item_names import same_names
from stitchkit.core.items import Items
from stitchkit.core.keys import folded_path, spelled_alike, spelled_twice
from stitchkit.core.wording import advice, counted, setting
from stitchkit.datasets.content_keys import content_key

ALLOW = advice(", or allow leakage (", setting("allow_leakage", True), ") and say so")


def audit(
    anchor_ids: np.ndarray,
    test_ids: np.ndarray,
    anchor_groups: np.ndarray | None,
    test_groups: np.ndarray | None,
    *,
    allow: bool = False,
    sides: tuple[str, str] = ("anchors", "test items"),
    step: str | None = None,
) -> list[str]:
    """Notes on items and patients that are on both sides, exactly or in another spelling.

    Parameters
    ----------
    anchor_ids : (n,), test_ids : (m,)
    anchor_groups : (n,) or None, test_groups : (m,) or None
        Patients; None means that they are not known.
    allow
        Report leakage instead of refusing it.
    sides
        Names of the two sides.
    step
        Next step at the end of the error; by default to take them out, or to allow leakage.

    Raises
    ------
    LeakageError
        If an item or a patient stands on both sides and ``allow`` is not set. Two spellings of one patient
        (:func:`stitchkit.core.keys.spelled_alike`) are one patient.
    """
    leaks, notes = [], []
    both = " and ".join(sides)
    if items := shared_values(anchor_ids, test_ids):
        leaks.append(f"{counted(items, 'item is', 'items are')} both {both}")
    copies, doubts = _items_alike(anchor_ids, test_ids, both)
    leaks += copies
    if names := same_names(map(str, anchor_ids), set(map(str, test_ids)) - set(map(str, anchor_ids))):
        one, other = next(iter(names.items()))
        doubts.append(
            f"{len(names)} {both} have the same file names, for example {one!r} and {other!r}: are they one item?"
        )
    if anchor_groups is None or test_groups is None:
        notes.append(f"patients are not known, so overlap of patients between {both} was not checked")
    elif patients := _patients_on_both(anchor_groups, test_groups, ("has", "have"), f"both {both}"):
        leaks += patients
    else:
        notes.append(f"no patient has both {both}")
    if leaks and not allow:
        usual = f"Take them out of the {sides[0]}" + ALLOW + "."
        raise LeakageError(f"{'; '.join(leaks)}. {_advice(leaks)}" + (step or usual))
    return [*(f"LEAKAGE: {one}" for one in leaks), *doubts, *notes]


def shared_values(one: Any, other: Any) -> int | None:
    """The number of distinct names of ``one`` (n,) that are in ``other`` (m,); None where either is not known."""
    if one is None or other is None:
        return None
    return int(np.intersect1d(np.asarray(one).astype(str), np.asarray(other).astype(str)).size)


def spelled_notes(groups: np.ndarray | None) -> list[str]:
    """A note where patients of one table (n,) differ in spelling only; they are taken as they are given."""
    pairs = [] if groups is None else spelled_twice(groups)
    if not pairs:
        return []
    return [
        f"{counted(len(pairs), 'pair of patients differs', 'pairs of patients differ')} in spelling only, for "
        f"example {_pair(pairs)}: are they one patient?"
    ]


def two_spellings_note(pairs: Sequence[tuple[str, str]], one: str, many: str) -> str:
    """The finding that names of one side are names of the other in another spelling, with one pair of them.

    ``one`` and ``many`` say what is in two spellings.
    """
    number = counted(len({name for name, _ in pairs}), one, many)
    return f"{number} in two spellings, for example {_pair(pairs)}"


def _pair(pairs: Sequence[tuple[str, str]]) -> str:
    return " and ".join(repr(str(one)) for one in pairs[0])


def _patients_on_both(one: np.ndarray, other: np.ndarray, verbs: tuple[str, str], what: str) -> list[str]:
    """Findings on patients of both sides: those of one spelling, and those of two."""
    words = f"patient {verbs[0]} {what}", f"patients {verbs[1]} {what}"
    leaks = [counted(same, *words)] if (same := shared_values(one, other)) else []
    pairs = spelled_alike(one, other)
    return [*leaks, *([two_spellings_note(pairs, *words)] if pairs else [])]


def _items_alike(one: np.ndarray, other: np.ndarray, both: str) -> tuple[list[str], list[str]]:
    """Findings and doubts on ids that differ in spelling only; bare numbers may be of unrelated tables: a doubt."""
    left, right = ({str(name) for name in names} for names in (one, other))
    folded = {folded_path(name): name for name in sorted(left - right, reverse=True)}
    pairs = [(folded[key], name) for name in sorted(right - left) if (key := folded_path(name)) in folded]
    numbers = [pair for pair in pairs if folded_path(pair[0]).isdigit()]
    named = [pair for pair in pairs if not folded_path(pair[0]).isdigit()]
    leaks = [two_spellings_note(named, f"item is both {both}", f"items are both {both}")] if named else []
    doubt = counted(len(numbers), f"pair of ids of {both} differs", f"pairs of ids of {both} differ")
    return leaks, [f"{doubt} in spelling only, for example {_pair(numbers)}: are they one item?"] if numbers else []


def _advice(leaks: Sequence[str]) -> str:
    if not any("in two spellings" in one for one in leaks):
        return ""
    return "Write each name the same way on both sides; two patients need names that differ in more than spelling. "


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
        With the number of items or patients, and one pair of spellings of patients that differ in spelling only.
    """
    named = isinstance(fitted[0], Embeddings) and isinstance(held[0], Embeddings)
    items = shared_values(fitted[0].ids, held[0].ids) if named else _same_vectors(fitted, held)
    if items:
        raise LeakageError(f"{counted(items, 'item is', 'items are')} both {what}. Hold out other items.")
    alike = _items_alike(fitted[0].ids, held[0].ids, what)[0] if named else []
    if alike:
        raise LeakageError(f"{alike[0]}. {_advice(alike)}Hold out other items.")
    if fitted[2] is None or held[2] is None:
        return
    if patients := _patients_on_both(fitted[2], held[2], ("is", "are"), f"both {what}"):
        raise LeakageError(f"{'; '.join(patients)}. {_advice(patients)}Hold out other patients.")


def _same_vectors(fitted: tuple[Any, ...], held: tuple[Any, ...]) -> int:
    """Number of rows of ``held`` that are, number for number on both sides, rows of ``fitted``."""
    known, other = (
        [hash((a.tobytes(), b.tobytes())) for a, b in zip(*(to_numpy(_vectors(one)) for one in both[:2]), strict=True)]
        for both in (fitted, held)
    )
    return len(set(known) & set(other))


def _vectors(side: Any) -> Any:
    return side.vectors if isinstance(side, Embeddings) else side


def same_files(anchors: Items, test: Items, *, allow: bool = False) -> list[str]:
    """Findings about test items that are, byte for byte, anchor items under other ids.

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
    pairs = (
        counted(count, "test item is an anchor's own file", "test items are anchors' own files") + " under other ids"
    )
    if not allow:
        raise LeakageError(f"{pairs}. Take them out of the anchors" + ALLOW + ".")
    return [f"LEAKAGE: {pairs}"]
