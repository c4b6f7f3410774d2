"""Pairs that a map shall be judged on against the anchors it was fitted on, by the hashes in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import (
    KEY,
    KINDS,
    Common,
    are_among,
    are_row_numbers,
    common,
    kept_of,
    row_digests,
    with_files,
)
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import LeakageError
from stitchkit.core.items import Items
from stitchkit.core.scores import Labels
from stitchkit.core.wording import advice, counted, setting
from stitchkit.datasets.content_keys import content_key

if TYPE_CHECKING:  # scoring one image imports this file
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.calibrations import HashedItems
    from stitchkit.core.fused_heads import FusedHead

INSTEAD = {"rows": "their vectors", "files": "what their files hold"}
UNKNOWN = "{what} keeps no hashes of its anchors, so that these {these} are others was not checked"
STEP = (
    "It cannot be judged on them: hold out pairs of other patients"
    + advice(", or allow leakage (", setting("allow_leakage", True), ") and say so")
    + "."
)


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
        Name of the map in words, and the last sentence of the error.

    Raises
    ------
    LeakageError
        If an id, a patient or a pair of vectors is that of an anchor and ``allow`` is not set.
    """
    kept = alignment.record.get(KEY)
    if kept is None:
        return [UNKNOWN.format(what=what, these="pairs")] if _has_anchors(alignment) else []
    rows = row_digests(kept, pairs[0].vectors, pairs[1].vectors)
    overlap = common(kept, ids=_names(ids), groups=groups, rows=rows)
    leaked = leaks_of(overlap)
    if leaked and not allow:
        raise LeakageError(f"{what} was fitted on {leaked}. " + step)
    unseen = _not_compared(kept, overlap, ids, groups, what, "pairs")
    unseen += sampling_notes(overlap, kept, what)
    return [*([f"LEAKAGE: {what} was fitted on {leaked}"] if leaked else []), *unseen]


def audit_hashed_items(items: HashedItems, what: str, ids: Any, groups: Any, *, allow: bool = False) -> list[str]:
    """Notes on test items that a calibration or thresholds from a file were fitted on.

    Parameters
    ----------
    what
        Name of the items in words, ``"calibration items"``.
    ids, groups : (n,) or None
        Test items and their patients; None for patients that are not known.
    allow
        Report leakage instead of refusing it.

    Raises
    ------
    LeakageError
        If an item or a patient is on both sides and ``allow`` is not set.
    """
    from stitchkit.core.item_names import file_name

    known = np.asarray(ids).astype(str).tolist()
    overlap = common(items.hashes, groups=groups)
    same = sum(are_among(items.hashes, known))  # as they stand, or without folders in front
    leaked = leaks_of(Common({**({"ids": same} if same else {}), **overlap.counts}, overlap.sampled))
    if leaked and not allow:
        raise LeakageError(f"{leaked} are {what} too. " + STEP)
    notes = [f"LEAKAGE: {leaked} are {what} too"] if leaked else []
    names = [file_name(one).encode("utf-8", "surrogatepass") for one in known]
    alike = common(items.hashes, files=names).counts.get("files", 0)
    if alike and not leaked:
        notes.append(f"{alike} test items have the file names of {what}: are they the same items?")
    if groups is None or items.hashes.get("groups") is None:
        notes.append(f"patients are not known, so overlap of patients between {what} and test items was not checked")
    elif not overlap.counts.get("groups"):
        notes.append(f"no patient has both {what} and test items")
    return [*notes, *sampling_notes(overlap, items.hashes, f"the record of {what}")]


def audit_fused(head: FusedHead, ids: Any, groups: Any, *, judged: bool, allow: bool = False) -> list[str]:
    """Notes on items that a fused head was trained or calibrated on; refused where they are ``judged``.

    Parameters
    ----------
    ids, groups : (n,) or None
        Items and their patients; None for patients that are not known.
    judged
        True if the items' scores are held against labels.

    Raises
    ------
    LeakageError
        If an item or a patient is on both sides, ``judged`` is set and ``allow`` is not.
    """
    notes = []
    decided = [one.calibration.fitted_on for one in head.decisions if one.calibration is not None]
    for what, fit in (("training rows", head.fitted_on), ("calibration items", decided[0] if decided else None)):
        if fit is not None:
            overlap = audit_hashed_items(fit.as_hashes(), what, ids, groups, allow=allow or not judged)
            notes += overlap if judged else [note for note in overlap if note.startswith("LEAKAGE")]
    return notes


def remember_files(alignment: Alignment, anchors: Items) -> Alignment:
    """The alignment with hashes of what its anchors hold, beside those of their ids; without those, as it is."""
    kept = alignment.record.get(KEY)
    if kept is None:
        return alignment
    keys = [content_key(value, anchors.modality) for value in anchors.values]
    return replace(alignment, record={**alignment.record, KEY: with_files(kept, keys)})


def audit_items(
    alignment: Alignment, items: Items | Embeddings, groups: Any = None, *, judged: bool = True, allow: bool = False
) -> list[str]:
    """Notes on items of the source side that the map was fitted on, by their ids, patients and by what they hold.

    Parameters
    ----------
    items
        Images or texts; or their vectors, which are compared by id and patient alone.
    groups : (n,) or None
        Patients of the items.
    judged
        False for items that are scored and no more: what was fitted on is a note, and what was not compared is none.
    allow
        Report leakage instead of refusing it.

    Raises
    ------
    LeakageError
        If an item or a patient is among the anchors, the items are judged, and ``allow`` is not set.
    """
    kept = alignment.record.get(KEY)
    if kept is None:
        return [UNKNOWN.format(what="the map", these="items")] if judged and _has_anchors(alignment) else []
    files = None
    if kept.get("files") is not None and isinstance(items, Items):
        files = [content_key(value, items.modality) for value in items.values]
    overlap = common(kept, ids=_names(items.ids), groups=groups, files=files)
    leaked = leaks_of(overlap)
    if leaked and judged and not allow:
        raise LeakageError(f"the map was fitted on {leaked}. " + STEP)
    unseen: list[str] = []
    if judged:
        unseen = _not_compared(kept, overlap, items.ids, groups, "the map", "items")
        unseen += sampling_notes(overlap, kept, "the map")
    return [*([f"LEAKAGE: the map was fitted on {leaked}"] if leaked else []), *unseen]


def _names(ids: Any) -> Any:
    """Ids that can tell items apart: None in place of row numbers, which unrelated tables share."""
    return None if ids is None or are_row_numbers(ids) else ids


def without_anchors(
    labels: Labels, alignment: Alignment | None, ids: Any, anchors: AnchorSet | None = None
) -> tuple[Labels, list[str]]:
    """The labels without those of the map's own anchors, and their number in words.

    Parameters
    ----------
    alignment
        The map that scores come from; None where it is not known, and all labels stay.
    ids : (n,)
        Scored items, whose labels stay.
    anchors
        The anchors, where they are given to :func:`stitchkit.evaluate`, which then reads their labels: all labels stay.
    """
    kept = None if alignment is None or anchors is not None else alignment.record.get(KEY)
    if kept is None:
        return labels, []
    from stitchkit.core.item_names import same_names

    scored = set(map(str, ids))
    scored |= set(same_names(scored, labels.ids.tolist()).values())
    own = np.asarray(are_among(kept, labels.ids.tolist())) & ~np.isin(labels.ids, list(scored))
    if not own.any():
        return labels, []
    return labels.take(np.flatnonzero(~own)), [
        f"{counted(int(own.sum()), 'labelled item is an anchor', 'labelled items are anchors')} that the map "
        f"was fitted on"
    ]


def _has_anchors(alignment: Alignment) -> bool:
    """False for an alignment that was fitted on none, as that of a CLIP-like pair."""
    return bool(alignment.record.get("anchors") != 0)


def _not_compared(kept: Mapping[str, Any], overlap: Common, ids: Any, groups: Any, what: str, these: str) -> list[str]:
    """Notes on ids and patients that one side alone has, and on ids that say nothing."""
    notes = []
    other = next((words for kind, words in INSTEAD.items() if kind in overlap.counts), None)
    instead = f"items were compared by {other}" if other else "items were not compared"
    if ids is not None and are_row_numbers(ids):
        notes.append(f"the ids of these {these} are row numbers, which any table has: {instead}{_also(kept, ids)}")
    elif ids is not None and kept.get("ids") is None:
        notes.append(f"{what} knows no ids of its anchors, or row numbers alone: {instead}")
    if groups is not None and kept.get("groups") is None:
        notes.append(f"{what} knows no patients of its anchors, so that patients were not compared")
    elif groups is None and kept.get("groups") is not None:
        notes.append(f"the patients of these {these} are not known, so that patients were not compared")
    return notes


def _also(kept: Mapping[str, Any], ids: Any) -> str:
    """The number of row numbers that are ids of anchors too, in words; it may mean something or nothing."""
    n = common(kept, ids=ids).counts.get("ids", 0)
    return f"; {n} of the numbers are ids of anchors" if n else ""


def leaks_of(overlap: Common) -> str:
    """Counts of what is among the anchors, in words; empty for nothing."""
    counts = [f"{n} of these {KINDS[kind]}" for kind, n in overlap.counts.items() if n]
    return " and ".join(counts)


def sampling_notes(overlap: Common, kept: Mapping[str, Any], what: str) -> list[str]:
    """Notes on overlaps that the hashes cannot show, since only a part of them was kept."""
    return [
        f"{what} keeps {kept_of(kept, kind)} of {kept[f'n_{kind}']} hashes of its {KINDS[kind]}, so that an overlap of "
        f"a few can be missed"
        for kind in overlap.sampled
    ]
