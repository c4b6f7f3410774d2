"""Solvers compared by what a head reads: the criterion of ``align(purpose="head", head=)`` on held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import float64, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.metrics.agreement_intervals import (
    correlation_difference,
    correlation_interval,
    cosine_difference,
    cosine_interval,
)
from stitchkit.metrics.bootstrap import Interval


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Measures of a head's outputs on all held-out pairs of one solver, each pair by the map of its fold.

    Parameters
    ----------
    head
        The criterion.
    measures : (n, p)
        Pooled over folds.
    patient : (n,)
        Patient of each pair.
    """

    head: HeadAgreement
    measures: np.ndarray
    patient: np.ndarray

    @classmethod
    def of(cls, head: HeadAgreement, folds: Sequence[np.ndarray], patient: Sequence[np.ndarray]) -> Readings:
        """Measures (q, p) of each fold, pooled."""
        return cls(head, head.pooled(folds), np.concatenate(patient))

    @property
    def interval(self) -> Interval:
        """Agreement with its interval over patients."""
        if self.head.multiclass:
            return cosine_interval(self.measures[:, 0], self.patient)
        found, wanted = np.split(self.measures, 2, axis=1)
        return correlation_interval(found, wanted, self.patient)

    @property
    def chance(self) -> float:
        """Agreement of pairs shuffled within a fold."""
        return float(self.head.by_chance(self.measures).mean())

    def minus(self, other: Readings) -> Interval:
        """The difference of two solvers' agreement on the same pairs."""
        if self.head.multiclass:
            return cosine_difference(self.measures[:, 0], other.measures[:, 0], self.patient)
        (found, wanted), (against, _) = (np.split(one.measures, 2, axis=1) for one in (self, other))
        return correlation_difference(found, against, wanted, self.patient)


def read_by(head: HeadAgreement, fitted: Alignment, x: Embeddings, rows: np.ndarray) -> np.ndarray:
    """Measures (q, p) of the pairs at positions ``rows``, whose sources are ``x`` (q, d_s)."""
    return head.read(to_numpy(float64(fitted.to_target.apply(x.vectors))), rows)
