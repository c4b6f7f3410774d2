"""Clusters of anchors that folds keep together: those of a patient, and exact repeats of a vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.alignment.folds import in_order
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import BLOCK, Embeddings
from stitchkit.core.patients import patients_or_rows

DOMINANT = 0.5  # share of the anchors in one cluster from which folds are lopsided


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Cluster number (n,) of each anchor, or None where each is its own; and the number of repeated vectors.

    Numbers go by first appearance: other names of the groups change nothing.
    """

    labels: np.ndarray | None
    repeated: int

    @classmethod
    def of(cls, x: Embeddings, groups: np.ndarray | None) -> Clusters:
        """Groups joined where they share a source vector, to the last bit: a repeat in another fold is a leak."""
        same = _same_rows(x)
        repeated = len(x) - len(np.unique(same))
        if repeated == 0:
            return cls(None if groups is None else in_order(groups), 0)
        return cls(in_order(same if groups is None else _join(same, groups)), repeated)

    def count(self, n: int) -> int:
        """Number of clusters of ``n`` anchors."""
        return patients_or_rows(self.labels, n)

    def notes(self, n: int) -> list[str]:
        """Notes for the record."""
        notes = []
        if self.repeated:
            notes.append(f"{self.repeated} of {n} anchors repeat another's source vector; folds keep repeats together")
        largest = 1 if self.labels is None else int(np.unique(self.labels, return_counts=True)[1].max())
        if largest > DOMINANT * n:
            notes.append(
                f"one group holds {largest} of {n} anchors: where it is held out, little is left to fit; held-out "
                f"numbers are lower than those of the final map"
            )
        return notes


def _same_rows(x: Embeddings) -> np.ndarray:
    """A label (n,) that equal rows share, read in blocks."""
    numbers: dict[int, int] = {}
    labels = np.empty(len(x), dtype=np.int64)
    for start in range(0, len(x), BLOCK):
        block = np.ascontiguousarray(to_numpy(x.vectors[start : min(start + BLOCK, len(x)), :]))
        for i, row in enumerate(block, start):
            labels[i] = numbers.setdefault(hash(row.tobytes()), len(numbers))
    return labels


def _join(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The finest labels (n,) that keep together whatever ``a`` or ``b`` keep together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, left = np.unique(a, return_inverse=True)
    _, right = np.unique(b, return_inverse=True)
    size = int(left.max()) + 1
    nodes = size + int(right.max()) + 1
    links = coo_array((np.ones(len(left), dtype=np.int8), (left, size + right)), shape=(nodes, nodes))
    component: np.ndarray = connected_components(links, directed=False)[1]
    return component[left]
