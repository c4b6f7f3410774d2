"""One row of every patient at a time, so that no patient is a neighbour of itself and patients can be shuffled.

Rows of one patient resemble each other in any space. They would be each other's neighbours on both sides of two
spaces that have nothing in common, and shuffling rows would take that for agreement. A draw holds one row of each
patient: what is left are independent items, and chance is known. Several draws make use of the other rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.core.arrays import Array, float64, take, to_numpy
from stitchkit.core.errors import InputError
from stitchkit.metrics.neighbourhoods import chance_overlap, neighbour_rows, shared_neighbours

ROWS = 5000  # items whose neighbourhoods are compared: the work grows with their square
MOST = 20  # draws; more make the mean hardly steadier
BLOCK = 512  # patients averaged at once


@dataclass(frozen=True, slots=True, eq=False)
class PatientDraws:
    """Rows (m, p): in each of m draws one row of each of the same p patients; without groups all rows, once.

    Parameters
    ----------
    rows : (m, p) int
    k
        Neighbours to look for: as asked, but with groups at most half of a patient's others.
    """

    rows: np.ndarray
    k: int

    @classmethod
    def of(cls, n: int, patients: np.ndarray | None, k: int, *, most: int, seed: int) -> PatientDraws:
        """Draws from ``n`` rows of the given ``patients`` (n,), of at most ``most`` patients (or rows, without).

        Raises
        ------
        InputError
            If all rows are of one patient.
        """
        rng = np.random.default_rng(seed)
        if patients is None:
            return cls(np.sort(rng.permutation(n)[:most])[None, :], k)
        order, starts, sizes = _by_patient(patients)
        if len(sizes) < 2:
            raise InputError(
                f"all {n} rows are of one patient, so no two pairs differ in it and none has a neighbour that counts. "
                f"Give pairs of several patients, or leave groups out."
            )
        some = np.sort(rng.permutation(len(sizes))[:most])
        # a sample of the patients is drawn once: further draws would do the work that it was to spare
        once = sizes.max() == 1 or len(some) < len(sizes)
        draws = 1 if once else int(np.clip((ROWS // len(some)) ** 2, 1, MOST))
        which = rng.integers(0, sizes[some], size=(draws, len(some)))
        return cls(order[starts[some] + which], min(k, max((len(some) - 1) // 2, 1)))

    @property
    def items(self) -> int:
        """Patients (rows, without groups) in a draw."""
        return int(self.rows.shape[1])

    @property
    def chance(self) -> float:
        """The overlap of shuffled patients."""
        return chance_overlap(self.items, self.k)

    def neighbours(self, vectors: Array) -> np.ndarray:
        """Columns (m, p, k) of the ``k`` nearest others of each row of ``vectors`` (n, d) within its draw."""
        return np.stack([neighbour_rows(take(vectors, draw), self.k) for draw in self.rows])

    def shares(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Share (p,) of neighbours in common of two sets of neighbours (m, p, k), mean over draws."""
        flat = shared_neighbours(one.reshape(-1, self.k), other.reshape(-1, self.k))
        means: np.ndarray = flat.reshape(self.rows.shape).mean(axis=0)
        return means


def patient_means(vectors: Array, patients: np.ndarray) -> np.ndarray:
    """The mean vector (p, d) of each patient of ``vectors`` (n, d), in float64."""
    order, starts, sizes = _by_patient(patients)
    means = []
    for a in range(0, len(sizes), BLOCK):
        some, of_each = starts[a : a + BLOCK], sizes[a : a + BLOCK]
        rows = to_numpy(float64(take(vectors, order[some[0] : some[-1] + of_each[-1]])))
        middle = rows.mean(axis=0)  # sums about a point near by lose no digits far from the origin
        means.append(middle + np.add.reduceat(rows - middle, some - some[0], axis=0) / of_each[:, None])
    return np.concatenate(means)


def _by_patient(patients: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows sorted by patient, where each patient starts there, and its number of rows; patients as they first come."""
    _, first, of_row, sizes = np.unique(patients, return_index=True, return_inverse=True, return_counts=True)
    ordered = np.argsort(first, kind="stable")
    place = np.empty_like(ordered)
    place[ordered] = np.arange(len(ordered))
    sizes = sizes[ordered]
    return np.argsort(place[of_row.reshape(-1)], kind="stable"), np.cumsum(sizes) - sizes, sizes


def patient_order(patient: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """The rows (n,) patient by patient in a drawn order, shuffled within a patient: its beginnings are nested draws.

    Parameters
    ----------
    patient : (n,)
        Whose each row is.
    """
    number = np.unique(patient, return_inverse=True)[1].reshape(-1)
    rng = np.random.default_rng([seed, draw])
    place = rng.permutation(int(number.max()) + 1)
    return np.lexsort((rng.random(len(number)), place[number]))
