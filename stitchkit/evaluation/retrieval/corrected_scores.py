"""Scores corrected for what is near to everything: CSLS and the inverted softmax, with pools or the gallery itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, like, namespace
from stitchkit.core.embeddings import as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.neighbours import TEMPERATURE, crowding, soft_crowding

NEIGHBOURS = 10  # the r of CSLS is a mean over this many
PLAIN = "similarity as it is"
FROM_POOL = "CSLS, neighbourhoods from the pool"
SOFTMAX = f"inverted softmax over the pool, T = {TEMPERATURE}"
FROM_GALLERY = "CSLS, neighbourhoods from the gallery itself: transductive, every query helps the others"


def correct_rows(alignment: Alignment, sides: tuple[Array, Array], *, csls: Any, pool: Any) -> tuple[Array, Array]:
    """Rows of both sides whose inner products are the scores, corrected as ``csls`` or ``pool`` say.

    Raises
    ------
    InputError
        For both of them, or pools that are no pair or too short.
    """
    if csls is not None and pool is not None:
        raise InputError("csls and pool are two ways to correct scores. Give one of them.")
    left, right = alignment.unit_rows(*sides)
    if csls is not None:
        return _by_csls(left, right, alignment.unit_rows(*_pools(alignment, csls, *sides)))
    if pool is not None:
        return _by_softmax(left, right, alignment.unit_rows(*_checked_pools(alignment, pool, "pool")))
    return left, right


def scoring_in_words(csls: Any, pool: Any) -> str:
    """The scoring in words."""
    if pool is not None:
        return SOFTMAX
    return PLAIN if csls is None else FROM_GALLERY if isinstance(csls, str) else FROM_POOL


def _pools(alignment: Alignment, csls: Any, sources: Array, gallery: Array) -> tuple[Array, Array]:
    """The vectors of both sides that neighbours are looked for among."""
    if not isinstance(csls, str):
        return _checked_pools(alignment, csls, "csls", ", or 'gallery'")
    if csls != "gallery":
        raise UnknownNameError.of("way to take CSLS neighbourhoods", csls, ("gallery",), "Or give the two pools.")
    _check_length((sources, gallery), "csls", "gallery")
    return sources, gallery


def _checked_pools(alignment: Alignment, pools: Any, name: str, other: str = "") -> tuple[Array, Array]:
    """The vectors of both pools of the argument ``name``."""
    if not isinstance(pools, tuple | list) or len(pools) != 2 or any(side is None for side in pools):
        raise InputError(f"{name} must be a pair (source_pool, target_pool) of vectors{other}.")
    pair = [as_embeddings(one, f"the {side} pool") for one, side in zip(pools, ("source", "target"), strict=True)]
    for one, space, side in zip(pair, (alignment.source, alignment.target), ("source", "target"), strict=True):
        space.require(one.space, f"retrieval with this {side} pool")
    _check_length((pair[0].vectors, pair[1].vectors), name, "pool")
    return pair[0].vectors, pair[1].vectors


def _check_length(pair: tuple[Array, Array], name: str, where: str) -> None:
    short = min(int(side.shape[0]) for side in pair)
    if short < NEIGHBOURS:
        raise InputError(
            f"{name} corrects scores by {NEIGHBOURS} rows or more, and a {where} of {short} rows has too few. "
            f"Give a longer pool, or leave {name} out: a short list of classes is no place for it."
        )


def _by_csls(queries: Array, gallery: Array, pools: tuple[Array, Array]) -> tuple[Array, Array]:
    """Rows whose inner products are ``2 s - r_x - r_y``."""
    near_s, near_t = (like(pool, queries, dtype=queries.dtype) for pool in pools)
    return _subtract_crowding(
        2 * queries, gallery, crowding(queries, near_t, NEIGHBOURS), crowding(gallery, near_s, NEIGHBOURS)
    )


def _by_softmax(queries: Array, gallery: Array, pools: tuple[Array, Array]) -> tuple[Array, Array]:
    """Rows whose inner products are ``s - c_x - c_y``; what a query has of its own changes no rank."""
    near_s, near_t = (like(pool, queries, dtype=queries.dtype) for pool in pools)
    return _subtract_crowding(queries, gallery, soft_crowding(queries, near_t), soft_crowding(gallery, near_s))


def _subtract_crowding(left: Array, right: Array, of_left: np.ndarray, of_right: np.ndarray) -> tuple[Array, Array]:
    """Rows whose inner products are less by a number for each row: the numbers ride along as two columns more."""
    xp = namespace(left)
    off_left, off_right = (like(penalties, left, dtype=left.dtype)[:, None] for penalties in (of_left, of_right))
    wider = xp.concat([left, -off_left, xp.ones_like(off_left)], axis=1)
    return wider, xp.concat([right, xp.ones_like(off_right), -off_right], axis=1)
