"""Pairs that a map shall be judged on against the anchors it was fitted on, by the hashes in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import KEY, KINDS, Common, are_row_numbers, common, kept_of, row_digests, with_files
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import LeakageError
from stitchkit.core.items import Items
from stitchkit.datasets.content_keys import content_key

STEP = "It cannot be judged on them: hold out pairs of other patients, or allow leakage and say so."


def audit_pairs(
    alignment: Alignment,
    pairs: tuple[Embeddings, Embeddings],
    groups: Any,
    ids: Any,
    *,
    allow: bool = False,
    what: str = "the map",
    step: str = STEP,
) -> list[str]:
    """Notes on pairs that are to be judged and were fitted on, and on what could not be checked.

    Parameters
    ----------
    pairs
        Both sides (n, d_s) and (n, d_t), row by row.
    groups, ids : (n,) or None
        Patients, and ids; None where they are not known, as of plain arrays. Ids that are mere row numbers are not
        compared, and a note says so.
    allow
        Report leakage instead of refusing it.
    what, step
        How the map is called, and the last sentence of the error.

    Raises
    ------
    LeakageError
        If an id, a patient or a pair of vectors is that of an anchor and ``allow`` is not set.
    """
    kept = alignment.record.get(KEY)
    if kept is None:
        return [f"{what} keeps no hashes of its anchors, so that these pairs are others was not checked"]
    named = None if ids is None or are_row_numbers(ids) else ids
    found = common(kept, ids=named, groups=groups, rows=row_digests(kept, pairs[0].vectors, pairs[1].vectors))
    leaked = leaks_of(found)
    if leaked and not allow:
        raise LeakageError(f"{what} was fitted on {leaked}. {step}")
    unseen = _not_compared(kept, found, ids, groups, what)
    return [*([f"LEAKAGE: {what} was fitted on {leaked}"] if leaked else []), *unseen, *missed(found, kept, what)]


def remember_files(alignment: Alignment, anchors: Items) -> Alignment:
    """The alignment with hashes of what its anchors hold, beside those of their ids; without those, as it is."""
    kept = alignment.record.get(KEY)
    if kept is None:
        return alignment
    keys = [content_key(value, anchors.modality) for value in anchors.values]
    return replace(alignment, record={**alignment.record, KEY: with_files(kept, keys)})


def audit_items(alignment: Alignment, items: Items, *, allow: bool = False) -> list[str]:
    """Notes on items of the source side that the map was fitted on, by their ids and by what they hold.

    Raises
    ------
    LeakageError
        If there are such items and ``allow`` is not set.
    """
    kept = alignment.record.get(KEY)
    if kept is None:
        return []
    files = None
    if kept.get("files") is not None:
        files = [content_key(value, items.modality) for value in items.values]
    leaked = leaks_of(common(kept, ids=items.ids, files=files))
    if leaked and not allow:
        raise LeakageError(f"the map was fitted on {leaked}. {STEP}")
    return [f"LEAKAGE: the map was fitted on {leaked}"] if leaked else []


def _not_compared(kept: Mapping[str, Any], found: Common, ids: Any, groups: Any, what: str) -> list[str]:
    """Notes on ids and patients that one side alone has, and on ids that say nothing."""
    notes = []
    instead = "items were compared by their vectors" if "rows" in found.found else "items were not compared"
    if ids is not None and are_row_numbers(ids):
        notes.append(f"the ids of these pairs are row numbers, which any table has: {instead}")
    elif ids is not None and kept.get("ids") is None:
        notes.append(f"{what} knows no ids of its anchors, or row numbers alone: {instead}")
    if groups is not None and kept.get("groups") is None:
        notes.append(f"{what} knows no patients of its anchors, so that patients were not compared")
    elif groups is None and kept.get("groups") is not None:
        notes.append("the patients of these pairs are not known, so that patients were not compared")
    return notes


def leaks_of(found: Common) -> str:
    """Counts of what is among the anchors, in words; empty for nothing."""
    told = [f"{n} of these {KINDS[kind]}" for kind, n in found.found.items() if n]
    return " and ".join(told)


def missed(found: Common, kept: Mapping[str, Any], what: str) -> list[str]:
    """Notes on overlaps that the hashes cannot show, since only a part of them was kept."""
    return [
        f"{what} keeps {kept_of(kept, kind)} of {kept[f'n_{kind}']} hashes of its {KINDS[kind]}, so that an overlap of "
        f"a few can be missed"
        for kind in found.sampled
    ]
