"""The verb ``align_without_pairs``: two unpaired pools in, an alignment out, or a refusal."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import float64, like, namespace, to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, NotIdentifiedError
from stitchkit.core.maps import AffineMap, unit
from stitchkit.core.seeds import check_seed
from stitchkit.core.space import Space, common_fingerprint
from stitchkit.core.wording import setting
from stitchkit.runtime.threads import is_small, one_blas_thread
from stitchkit.solvers.pools.pair_free import PairFree, match_clouds
from stitchkit.solvers.pools.sides import at_most

AGREEMENT, MIXING = 0.5, 0.25  # below either the answer is refused
LIMIT = 2000
NARROW = 3  # dimensions below which any two clouds fit onto each other


def align_without_pairs(
    source: Any, target: Any, *, clusters: int = 20, limit: int = LIMIT, seed: int = 0
) -> Alignment:
    """The map between two spaces from unpaired vectors alone, where their geometry identifies it.

    Parameters
    ----------
    source : (m_s, d_s), target : (m_t, d_t)
        Embeddings or arrays of similar items, in no common order; at least ``5 * clusters`` rows a side.
    clusters
        Number of clusters of each clustering, at least 3. Default: 20
    limit
        Rows of a side that are matched, a seeded draw of a longer one.
    seed
        Seed of clusterings, assignments and draws. Default: 0

    Returns
    -------
    Alignment
        ``record["confidence"]`` holds ``agreement``, ``mixing`` and ``mutual_share``
        (:class:`stitchkit.solvers.pools.pair_free.PairFree`). It has no directed map, since unpaired vectors do not
        determine the units.

    Raises
    ------
    NotIdentifiedError
        If independent attempts disagree or the clouds do not fit onto each other: round clouds, and clouds of fewer
        than 3 dimensions, fit in any rotation. A few pairs and :func:`stitchkit.align` with ``pool=`` get further.
    InputError
        For NaN, zero rows or too few of them.

    Notes
    -----
    Both sides are centred on their pools and brought to unit length for the fit. The thresholds, 0.5 of agreement and
    0.25 of mixing, are conservative: encoders whose clouds differ by their own noise are refused even where part
    of the answer is right. Nothing here replaces a check on pairs: symmetric data fit equally well the wrong way.
    """
    check_seed(seed)
    if isinstance(clusters, bool) or not isinstance(clusters, Integral) or clusters < 3:
        raise InputError(f"matching without pairs needs at least 3 clusters, a whole number; got {clusters!r}.")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"seed must be a whole number, 0 or more; got {seed!r}.")
    x, y = as_embeddings(source, "source"), as_embeddings(target, "target")
    for name, side in (("source", x), ("target", y)):
        if len(side) < 5 * clusters:
            raise InputError(
                f"{len(side)} rows of the {name} are too few for {clusters} clusters; 5 a cluster are needed. "
                f"Give more rows, or lower clusters."
            )
        if side.space.dim < NARROW:
            raise NotIdentifiedError(
                f"the {name} is {side.space.dim} wide: clouds so flat fit onto each other whatever they hold, so that "
                f"nothing can be identified without pairs. Pair a few items and use align with " + setting("pool") + "."
            )
    namespace(x.vectors, y.vectors)  # one library, or say so now
    samples = [np.asarray(to_numpy(float64(at_most(side.vectors, limit, seed)))) for side in (x, y)]
    means = [rows.mean(axis=0) for rows in samples]
    left, right = (np.asarray(unit(rows - mean)) for rows, mean in zip(samples, means, strict=True))
    with one_blas_thread(is_small(len(left) + len(right), max(x.space.dim, y.space.dim))):
        match = match_clouds(left, right, clusters=clusters, seed=seed)
    _refuse_unless_identified(match, x, y)
    rank = int(match.rotations.source.shape[1])
    fingerprint = common_fingerprint((x.space, y.space), "pools", weights=[match.rotations.source])
    common = Space(f"{x.space.name} | {y.space.name}", rank, fingerprint)
    source_map, target_map = (
        AffineMap(
            side.space,
            common,
            like(mean, x.vectors),
            like(weight, x.vectors),
            like(np.zeros(rank), x.vectors),
            rank,
        )
        for side, mean, weight in zip((x, y), means, (match.rotations.source, match.rotations.target), strict=True)
    )
    record = {
        "solver": "pair_free",
        "settings": {"clusters": clusters},
        "seed": seed,
        "rank": rank,
        "anchors": 0,
        "pool": {"source": len(x), "target": len(y)},
        "pool_used": {"source": len(samples[0]), "target": len(samples[1])},
        "confidence": {"agreement": match.agreement, "mixing": match.mixing, "mutual_share": match.mutual_share},
        "notes": ["fitted without a single pair: check it on pairs before it is used"],
    }
    return Alignment(source_map, target_map, record=record)


def _refuse_unless_identified(match: PairFree, x: Embeddings, y: Embeddings) -> None:
    if match.agreement >= AGREEMENT and match.mixing >= MIXING:
        return
    raise NotIdentifiedError(
        f"{x.space.name!r} and {y.space.name!r} cannot be aligned without pairs: independent attempts agree on "
        f"{match.agreement:.0%} of the rows (at least {AGREEMENT:.0%} is needed), and {match.mixing:.0%} of the rows "
        f"have their nearest neighbour on the other side (at least {MIXING:.0%}). Pair a few items and use align with "
        + setting("pool")
        + "."
    )
