"""Pairs that a map shall be judged on against the anchors it was fitted on, by the hashes in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import KEY, KINDS, Common, common, kept_of, row_digests, with_files
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
        Patients, and ids where they are more than row numbers.
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
    found = common(kept, ids=ids, groups=groups, rows=row_digests(kept, pairs[0].vectors, pairs[1].vectors))
    leaked = leaks_of(found)
    if leaked and not allow:
        raise LeakageError(f"{what} was fitted on {leaked}. {step}")
    return [*([f"LEAKAGE: {what} was fitted on {leaked}"] if leaked else []), *missed(found, kept, what)]


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
