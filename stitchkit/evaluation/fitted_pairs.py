"""Pairs that a map shall be judged on against the anchors it was fitted on, by the hashes in its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import KEY, KINDS, Common, common, kept_of, pair_bytes
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import LeakageError

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
    found = common(kept, ids=ids, groups=groups, rows=pair_bytes(pairs[0].vectors, pairs[1].vectors))
    leaked = leaks_of(found)
    if leaked and not allow:
        raise LeakageError(f"{what} was fitted on {leaked}. {step}")
    return [*([f"LEAKAGE: {what} was fitted on {leaked}"] if leaked else []), *missed(found, kept, what)]


def leaks_of(found: Common) -> str:
    """What of the pairs is among the anchors, in words; empty for nothing."""
    told = [f"{n} of these {KINDS[kind]}" for kind, n in found.found.items() if n]
    return " and ".join(told)


def missed(found: Common, kept: Mapping[str, Any], what: str) -> list[str]:
    """Notes on overlaps that the hashes cannot show, since only a part of them was kept."""
    return [
        f"{what} keeps {kept_of(kept, kind)} of {kept[f'n_{kind}']} hashes of its {KINDS[kind]}, so that an overlap of "
        f"a few can be missed"
        for kind in found.sampled
    ]
