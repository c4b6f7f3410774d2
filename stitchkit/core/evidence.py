"""What a solver may look at: moments of the anchors, and what moments do not hold."""

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
    """What a solver may look at.

    Parameters
    ----------
    moments
        Of all anchors; of few in wide spaces perhaps as the rows that they are made of.
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
