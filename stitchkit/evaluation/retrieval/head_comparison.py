"""Solvers compared by what a head reads: the criterion of ``align(purpose="head", head=)`` on held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import float64, to_numpy
from stitchkit.core.embeddings import Embeddings


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Measures of a head's outputs on all held-out pairs of one solver, each pair by the map of its fold.

    Parameters
    ----------
    head
        The criterion.
    measures : (n, p)
        Pooled over folds.
    """

    head: HeadAgreement
    measures: np.ndarray

    @classmethod
    def of(cls, head: HeadAgreement, folds: Sequence[np.ndarray]) -> Readings:
        """Measures (q, p) of each fold, pooled."""
        return cls(head, head.pool(folds))

    @property
    def value(self) -> float:
        """Agreement: the mean of the criterion's entries."""
        return float(self.head.entries(self.measures).mean())

    @property
    def chance(self) -> float:
        """Agreement of pairs shuffled within a fold."""
        return float(self.head.by_chance(self.measures).mean())


def read_by(head: HeadAgreement, fitted: Alignment, x: Embeddings, rows: np.ndarray) -> np.ndarray:
    """Measures (q, p) of the pairs at positions ``rows``, whose sources are ``x`` (q, d_s)."""
    return head.read(to_numpy(float64(fitted.to_target.apply(x.vectors))), rows)
