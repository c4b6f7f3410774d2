"""Who is near whom: shared neighbourhoods of two spaces, and hubs of a neighbour graph.

Neighbours are by cosine about the mean of the rows, and a row is no neighbour of itself; the work goes in tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.core.arrays import Array, float64, namespace
from stitchkit.core.errors import InputError
from stitchkit.core.maps import unit
from stitchkit.core.neighbours import nearest

TILE = 4096  # rows compared at once
TABLE = 1 << 26  # pairs of items that a table is made of


def centred_units(vectors: Array) -> Array:
    """``vectors`` (n, d) about their mean, each at length one, in float64; a row at the mean stays zero."""
    wide = float64(vectors)
    return unit(wide - namespace(wide).mean(wide, axis=0))


def neighbour_rows(vectors: Array, k: int) -> np.ndarray:
    """Positions (n, k) of the ``k`` nearest other rows of each row of ``vectors`` (n, d), nearest first.

    Raises
    ------
    InputError
        If there are not more than ``k`` rows.
    """
    n = int(vectors.shape[0])
    if not 1 <= k < n:
        raise InputError(f"{k} neighbours of each row need more than {max(k, 1)} rows; got {n}. Lower k or add rows.")
    units = centred_units(vectors)
    return nearest(units, units, k, skip_self=True).rows


def shared_neighbours(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Share (n,) of each row's neighbours in ``one`` (n, k) that are among its neighbours in ``other`` (n, k)."""
    shares = []
    for start in range(0, len(one), TILE):
        a, b = one[start : start + TILE], other[start : start + TILE]
        shares.append((a[:, :, None] == b[:, None, :]).any(axis=2).mean(axis=1))
    return np.concatenate(shares)


def mutual_knn(x: Array, y: Array, k: int = 10) -> float:
    """Mean share of the ``k`` nearest neighbours that each item has in common in two spaces, in [0, 1].

    Parameters
    ----------
    x : (n, d_x), y : (n, d_y)
        Row i of both is one item; the arrays may be of different libraries.
    k
        Chance is ``k / (n - 1)``, see :func:`chance_overlap`: compare only at the same n and k.

    Raises
    ------
    InputError
        If the numbers of rows differ or are not above ``k``.

    References
    ----------
    Huh et al., "The platonic representation hypothesis", ICML 2024.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 5))
    >>> mutual_knn(x, 3 * x[:, ::-1] + 1, k=4)
    1.0
    """
    if int(x.shape[0]) != int(y.shape[0]):
        raise InputError(f"x has {x.shape[0]} rows and y has {y.shape[0]}; row i of both must be one item.")
    return float(shared_neighbours(neighbour_rows(x, k), neighbour_rows(y, k)).mean())


def chance_overlap(n: int, k: int) -> float:
    """What :func:`mutual_knn` is on average when the items of one space are shuffled: ``k / (n - 1)``."""
    return k / (n - 1)


def shuffled_overlaps(one: np.ndarray, other: np.ndarray, times: int, seed: int) -> np.ndarray:
    """Mean shares (times,) after the items of ``other`` (n, k) were given each other's names at random.

    Several lists of the same items, (m, n, k), are renamed alike.
    """
    rng, found = np.random.default_rng(seed), []
    n, k = other.shape[-2:]
    if one.size // k * n <= TABLE:  # who is whose neighbour is looked up, k times faster
        lists, named = (part.reshape(-1, n, k) for part in (one, other))
        table = np.zeros((len(lists), n, n), dtype=bool)
        np.put_along_axis(table, lists, True, axis=2)
        which = np.arange(len(lists))[:, None, None]
        orders = (rng.permutation(n) for _ in range(times))
        return np.asarray([table[which, order[:, None], order[named]].mean() for order in orders])
    for _ in range(times):
        order = rng.permutation(n)
        renamed = np.empty_like(other)
        renamed[..., order, :] = order[other]
        found.append(shared_neighbours(one.reshape(-1, k), renamed.reshape(-1, k)).mean())
    return np.asarray(found)


@dataclass(frozen=True, slots=True, eq=False)
class Hubness:
    """How unevenly the items of a gallery are retrieved.

    Parameters
    ----------
    k
        Neighbours taken of each query.
    in_degree : (g,) int
        Number of queries that have each item of the gallery among their ``k`` nearest; mean ``q k / g``.
    """

    k: int
    in_degree: np.ndarray

    @property
    def skewness(self) -> float:
        """Third standardised moment of the in-degrees; 0 if all are equal, above 1 there are hubs."""
        away = self.in_degree - self.in_degree.mean()
        spread = float(np.mean(away**2))
        return 0.0 if spread == 0 else float(np.mean(away**3)) / spread**1.5

    @property
    def largest(self) -> int:
        """In-degree of the greatest hub."""
        return int(self.in_degree.max())

    @property
    def mean(self) -> float:
        """Mean in-degree."""
        return float(self.in_degree.mean())

    @property
    def never(self) -> float:
        """Share of the gallery that no query retrieves, in [0, 1]."""
        return float(np.mean(self.in_degree == 0))


def hubness(rows: np.ndarray, gallery: int) -> Hubness:
    """Hubness of the neighbour lists ``rows`` (q, k) into a gallery of ``gallery`` items.

    References
    ----------
    Radovanović et al., "Hubs in space", JMLR 2010.

    Examples
    --------
    >>> found = hubness(np.array([[0], [0], [1]]), 4)
    >>> found.largest, found.never
    (2, 0.5)
    """
    return Hubness(int(rows.shape[1]), np.bincount(rows.reshape(-1), minlength=gallery))
