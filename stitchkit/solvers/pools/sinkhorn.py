"""Entropic transport between two clouds with uniform masses: the plan that soft matching weighs pairs by."""

from __future__ import annotations

from typing import NamedTuple

from stitchkit.core.arrays import Array, namespace
from stitchkit.core.errors import InputError

COLDEST = 0.005  # of scores within [-1, 1]: below it the kernel's range leaves double precision
COLDEST_SINGLE = 0.03  # the same for single precision, with room for the scaling
LOOK = 5  # rounds between two looks at the row sums


class Plan(NamedTuple):
    """``P = diag(left) kernel diag(right)`` (m_s, m_t), summing to 1; kept in parts, for only products are asked."""

    kernel: Array
    left: Array
    right: Array

    def cross(self, x: Array, y: Array) -> Array:
        """``X' P Y`` (k_s, k_t) of rows ``x`` (m_s, k_s) and ``y`` (m_t, k_t); the narrower side goes first."""
        there, back = namespace(x).matrix_transpose(x * self.left[:, None]), y * self.right[:, None]
        return (there @ self.kernel) @ back if x.shape[1] < y.shape[1] else there @ (self.kernel @ back)

    def matrix(self) -> Array:
        """The plan itself (m_s, m_t)."""
        return self.left[:, None] * self.kernel * self.right[None, :]


def sinkhorn(scores: Array, heat: float, rounds: int = 30, tolerance: float = 0.0) -> Plan:
    """The plan after ``rounds`` of scaling ``exp(scores / heat)`` to uniform row and column sums.

    Parameters
    ----------
    scores : (m_s, m_t)
        Cosines, so that nothing leaves double precision while ``heat`` is at least 0.005: scaling then gives
        what the iteration in logarithms gives, at a tenth of its cost.
    heat
        Lower is nearer to one partner for each row.
    rounds
        At most. A round scales the rows, then the columns; column sums are exact afterwards.
    tolerance
        Relative error of row sums below which no more rounds are made, looked at after every fifth; 0 makes all.

    Notes
    -----
    Holds two matrices of the size of ``scores``: 1 GB for 8,000 by 8,000 rows.

    References
    ----------
    Cuturi, "Sinkhorn distances", NeurIPS 2013.

    Examples
    --------
    >>> import numpy as np
    >>> np.round(sinkhorn(np.array([[0.9, 0.1], [0.2, 0.8]]), heat=0.1).matrix(), 2)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    if not heat >= COLDEST:
        raise InputError(f"the heat of a transport plan must be at least {COLDEST}; got {heat}.")
    xp = namespace(scores)
    kernel = xp.exp((scores - xp.max(scores)) / heat)
    m_s, m_t = scores.shape
    right = xp.ones_like(kernel[0, :])
    left = xp.ones_like(kernel[:, 0])
    for done in range(1, rounds + 1):
        before, left = left, (1 / m_s) / (kernel @ right)
        right = (1 / m_t) / (left @ kernel)
        if tolerance > 0 and done % LOOK == 0 and float(xp.max(xp.abs(before / left - 1))) < tolerance:
            break  # before / left were the row sums, times m_s; they are nearer to even now
    return Plan(kernel, left, right)
