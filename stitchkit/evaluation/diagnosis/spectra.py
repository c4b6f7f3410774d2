"""The spectrum of a map: how many directions it carries across."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import float64, like, namespace, to_numpy
from stitchkit.core.maps import AffineMap
from stitchkit.runtime.threads import is_small, one_blas_thread

CUT = 1e-10  # of the largest singular value


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Singular values of the map, largest first.

    Parameters
    ----------
    of
        ``"directed map"``, or ``"similarity"``: the bilinear form of both maps and the weights.
    values
        At most min(d_s, d_t) numbers.
    rank
        Number of values above 1e-10 of the largest.
    effective
        Participation ratio of their squares, between 1 and the rank.
    """

    of: str
    values: tuple[float, ...]
    rank: int
    effective: float


def spectrum_of(alignment: Alignment) -> Spectrum | None:
    """That of the directed map, else of the similarity; None where the maps are not affine."""
    if alignment.directed is not None:
        of, matrix = "directed map", alignment.directed.weight
    elif isinstance(alignment.source_map, AffineMap) and isinstance(alignment.target_map, AffineMap):
        left, right = float64(alignment.source_map.weight), alignment.target_map.weight
        left = left if alignment.weights is None else left * like(alignment.weights, left, dtype=left.dtype)
        of, matrix = "similarity", left @ namespace(left).matrix_transpose(like(right, left, dtype=left.dtype))
    else:
        return None
    with one_blas_thread(is_small(*matrix.shape)):
        values = to_numpy(namespace(matrix).linalg.svdvals(float64(matrix)))
    energy = values**2
    total = float(energy.sum())
    effective = total**2 / float(np.sum(energy**2)) if total > 0 else 0.0
    return Spectrum(of, tuple(values.tolist()), int(np.sum(values > CUT * values[0])), effective)
