"""One side's visible rows, anchors and pool, in their principal directions and with their spread tempered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stitchkit.core.arrays import Array, float64, namespace, svd, take
from stitchkit.core.errors import EvidenceError, InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.wording import python_advice, setting

FLOOR = 1e-3  # of the largest variance, added before a direction is scaled
FEWEST = 20  # rows of a pool: neighbourhoods are of ten


class TemperedRows(NamedTuple):
    """Anchors (n, k) and pool (m, k) of one side in coordinates ``(row - mean) @ lift``, mean squared length 1."""

    lift: Array  # (d, k)
    anchors: Array
    pool: Array

    def single(self) -> TemperedRows:
        """The same rows in single precision, for drafts; the way to coordinates stays exact."""
        xp = namespace(self.pool)
        return TemperedRows(self.lift, xp.astype(self.anchors, xp.float32), xp.astype(self.pool, xp.float32))


@dataclass(frozen=True, slots=True, eq=False)
class PooledSide:
    """Principal coordinates of the anchors and the pool of one space.

    Parameters
    ----------
    mean : (d,)
        Mean of anchors and pool together.
    basis : (d, k), variances : (k,)
        Principal directions, widest first.
    anchors : (n, k), pool : (m, k)
        Coordinates along them.
    """

    mean: Array
    basis: Array
    variances: Array
    anchors: Array
    pool: Array

    @classmethod
    def of(cls, anchors: Array, pool: Array, width: int, name: str) -> PooledSide:
        """The first ``width`` principal directions of anchors (n, d) and pool (m, d); ``name`` is for errors."""
        m, n = int(pool.shape[0]), int(anchors.shape[0])
        if m < FEWEST:
            raise InputError(
                f"the pool of {name!r} has {m} rows; matching by neighbourhoods needs at least {FEWEST}. "
                f"Give more unpaired vectors, or align without a pool."
            )
        xp = namespace(anchors, pool)
        rows = xp.concat([float64(anchors), float64(pool)], axis=0)
        near = rows[0, :]  # far from the origin a plain mean loses digits
        mean = near + xp.mean(rows - near, axis=0)
        centred = rows - mean
        variances, basis = _principal(centred, width)
        if not float(variances[0]) > 0:
            raise InputError(f"all rows of {name!r}, anchors and pool, are the same; nothing can be learnt from them.")
        inside = centred @ basis
        return cls(mean, basis, variances, inside[:n, :], inside[n:, :])

    def temper(self, exponent: float) -> TemperedRows:
        """Direction i scaled by ``(l_i + 1e-3 l_max)^(-exponent / 2)``: 0 leaves the spread, 1 whitens."""
        xp = namespace(self.variances)
        scale = (self.variances + FLOOR * self.variances[0]) ** (-exponent / 2)
        scale = scale / xp.sqrt(xp.sum(self.variances * scale**2))
        return TemperedRows(self.basis * scale, self.anchors * scale, self.pool * scale)


def visible(evidence: Evidence, solver: str) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The anchors' rows and the pools of ``evidence``; ``solver`` is for the error where one is missing."""
    if evidence.anchors is None or evidence.pools is None:
        missing = "the anchors' rows" if evidence.anchors is None else "unpaired pools of both spaces"
        raise EvidenceError(
            f"{solver} needs {missing}. Give "
            + python_advice("sk.align the vectors and ")
            + setting("pool", text="pool=(source_pool, target_pool)")
            + "."
        )
    return evidence.anchors, evidence.pools


def at_most(pool: Array, limit: int, seed: int) -> Array:
    """``pool`` (m, d), or a seeded draw of ``limit`` of its rows."""
    m = int(pool.shape[0])
    return pool if m <= limit else take(pool, np.sort(np.random.default_rng(seed).permutation(m)[:limit]))


def _principal(centred: Array, width: int) -> tuple[Array, Array]:
    """Variances (k,) and directions (d, k), widest first, k at most ``width`` and what the rows show."""
    xp = namespace(centred)
    rows, d = int(centred.shape[0]), int(centred.shape[1])
    if rows < d:
        _, s, vh = svd(centred)
        values, vectors = s * s / rows, xp.matrix_transpose(vh)
    else:
        values, vectors = xp.linalg.eigh(xp.matrix_transpose(centred) @ centred / rows)
        values, vectors = xp.flip(values), xp.flip(vectors, axis=1)
    shown = int(xp.sum(xp.astype(values > 1e-10 * values[0], xp.int64)))
    kept = max(min(shown, width), 1)
    return values[:kept], vectors[:, :kept]
