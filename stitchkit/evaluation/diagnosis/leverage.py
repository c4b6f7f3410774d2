"""Anchors that a map leans on: their hat values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, cholesky_or_none, float64, namespace, solve_triangular, svd, to_numpy
from stitchkit.core.embeddings import as_embeddings

HIGH = 3.0  # times the mean leverage
CUT = 1e-10  # of the largest singular value
PIVOT = 1e-3  # of a unit-diagonal Cholesky factor; with smaller ones hat values would lose more than half their digits


@dataclass(frozen=True, slots=True)
class Leverage:
    """Hat values of the anchors' source vectors, in [1/n, 1].

    Parameters
    ----------
    mean, largest
        The mean is the share of freedom the map spends on each anchor.
    high
        Ids of anchors above three times the mean, highest first, at most 10.
    count
        Number of anchors above it.
    ridge
        0 for plain hat values; with fewer than 2 (d + 1) anchors these are all near 1, and ridge leverages with
        this share of the mean variance are given.
    """

    mean: float
    largest: float
    high: tuple[str, ...]
    count: int
    ridge: float

    @classmethod
    def of(cls, values: np.ndarray, ridge: float, ids: np.ndarray) -> Leverage:
        """Mean, largest and highest of the leverages ``values`` (n,) of the anchors ``ids`` (n,)."""
        mean = float(values.mean())
        order = np.argsort(-values, kind="stable")
        high = order[values[order] > HIGH * mean]
        return cls(
            mean=mean, largest=float(values.max()), high=tuple(ids[high[:10]].tolist()), count=len(high), ridge=ridge
        )


def hat_values(vectors: Any) -> tuple[np.ndarray, float]:
    """Leverages (n,) of the rows of ``vectors`` (n, d) in a fit with intercept, in [1/n, 1], and the ridge used.

    ``h_i = 1/n + x_i' (S + n a I)^-1 x_i`` with x_i and S centred. With at least 2 (d + 1) rows a is 0: the plain
    hat values, which add up to the rank and 1. With fewer they are all near 1 and tell nothing, and a is the mean
    variance: ridge leverages (Alaoui and Mahoney, NeurIPS 2015).

    Examples
    --------
    >>> h, ridge = hat_values(np.array([[1.0], [2.0], [3.0], [10.0]]))
    >>> h.round(2).tolist(), ridge
    ([0.43, 0.33, 0.27, 0.97], 0.0)
    """
    rows = float64(as_embeddings(vectors, "vectors").vectors)
    xp, (n, d) = namespace(rows), rows.shape
    rows = rows - xp.mean(rows, axis=0)
    if n >= 2 * (d + 1) and (plain := _by_cholesky(rows)) is not None:
        return to_numpy(1 / n + plain), 0.0
    ridge = 0.0 if n >= 2 * (d + 1) else 1.0
    left, sizes, _ = svd(rows)  # (n, r), (r,)
    kept = sizes > CUT * sizes[0]
    floor = ridge * float(xp.sum(sizes**2)) / d
    share = xp.where(kept, sizes**2 / xp.where(kept, sizes**2 + floor, xp.ones_like(sizes)), xp.zeros_like(sizes))
    return to_numpy(1 / n + (left**2) @ share), ridge


def _by_cholesky(rows: Array) -> Array | None:
    """Plain hat values (n,) of centred ``rows`` (n, d), less 1/n, a third of the time of singular values.

    None where columns are constant or nearly dependent.
    """
    xp = namespace(rows)
    sizes = xp.sqrt(xp.vecdot(rows, rows, axis=-2))
    if not bool(xp.all(sizes > 0)):
        return None
    scaled = rows / sizes
    factor = cholesky_or_none(xp.matrix_transpose(scaled) @ scaled)
    if factor is None or float(xp.min(xp.linalg.diagonal(factor))) < PIVOT:
        return None
    solved = solve_triangular(factor, xp.matrix_transpose(scaled), lower=True)  # (d, n)
    return xp.vecdot(solved, solved, axis=-2)
