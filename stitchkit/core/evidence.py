"""Evidence of a fit: moments of the anchors, with rows and pools for what moments cannot give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stitchkit.core.arrays import Array

if TYPE_CHECKING:
    from stitchkit.core.moments.moments import Moments
    from stitchkit.core.moments.row_moments import RowMoments


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Data that a solver is fitted to.

    Parameters
    ----------
    moments
        Moments of all anchors; few anchors in wide spaces may be held as rows (:class:`RowMoments`).
    folds
        Moments of each fold of the anchors, groups kept whole; their sum is ``moments``. For solvers that
        estimate something on held-out pairs.
    anchors
        The paired rows (n, d_s) and (n, d_t) themselves, for what moments cannot give (fewer anchors than
        dimensions, a fallback that needs the data again).
    pools
        Unpaired vectors (m_s, d_s) and (m_t, d_t) of both spaces.
    """

    moments: Moments | RowMoments
    folds: Sequence[Moments | RowMoments] | None = None
    anchors: tuple[Array, Array] | None = None
    pools: tuple[Array, Array] | None = None
