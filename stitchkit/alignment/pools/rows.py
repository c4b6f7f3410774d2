"""Checks of the pools of a fit: of the same spaces, without the anchors' own rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, namespace, take, to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.wording import counted
from stitchkit.solvers.pools.sides import FEWEST


def dropped_note(dropped: tuple[int, int]) -> list[str]:
    """A note where the pools held anchors."""
    if not any(dropped):
        return []
    return [
        f"{counted(dropped[0], 'source row')} and {counted(dropped[1], 'target row')} of the pools are anchors "
        f"already and were left out"
    ]


def pool_rows(pool: Any, x: Embeddings, y: Embeddings) -> tuple[tuple[Array, Array], tuple[int, int]]:
    """Both pools without the anchors' own rows, and the number of those rows."""
    if not isinstance(pool, tuple | list) or len(pool) != 2 or any(side is None for side in pool):
        raise InputError("pool must be a pair (source_pool, target_pool) of vectors; both sides are needed.")
    kept, dropped = [], []
    for side_pool, anchors, side in zip(pool, (x, y), ("source", "target"), strict=True):
        embeddings = as_embeddings(side_pool, f"the {side} pool")
        anchors.space.require(embeddings.space, f"the {side} pool of anchors")
        namespace(anchors.vectors, embeddings.vectors)  # one library, or say so now
        fresh = _fresh(embeddings, anchors, by_id=isinstance(side_pool, Embeddings))
        if len(fresh) < FEWEST:
            raise InputError(
                f"the {side} pool has {len(fresh)} rows besides anchors; matching needs at least {FEWEST}. "
                f"Give more unpaired vectors, or align without a pool."
            )
        kept.append(take(embeddings.vectors, fresh))
        dropped.append(len(embeddings) - len(fresh))
    return (kept[0], kept[1]), (dropped[0], dropped[1])


def _fresh(pool: Embeddings, anchors: Embeddings, *, by_id: bool) -> np.ndarray:
    """Positions of pool rows that are no anchor: neither its vector nor, where both have real ids, its id."""
    known = {row.tobytes() for row in np.ascontiguousarray(to_numpy(anchors.vectors), dtype=np.float64)}
    rows = np.ascontiguousarray(to_numpy(pool.vectors), dtype=np.float64)
    own = np.asarray([row.tobytes() in known for row in rows], dtype=bool)
    if by_id and anchors.space.fingerprint is not None:
        own |= np.isin(pool.ids, anchors.ids)
    return np.flatnonzero(~own)
