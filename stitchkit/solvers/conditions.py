"""Method and condition of a fit, for its record."""

from __future__ import annotations

from stitchkit.core.arrays import Array, namespace
from stitchkit.solvers.frames import Frame


def method(frame: Frame, how: str) -> str:
    """``how`` the system was solved; where anchors are fewer than dimensions, that it was their span (dual form)."""
    few = frame.moments.count - 1 < frame.moments.shape[0]
    return f"{how} in the span of the anchors" if few and frame.source.basis is not None else how


def reciprocal(values: Array, floor: float = 0.0) -> float:
    """Smallest over largest of ``|values|`` (r,), each raised by ``floor``; 0 where all are 0."""
    xp = namespace(values)
    size = xp.abs(values) + floor
    largest = float(xp.max(size))
    return float(xp.min(size)) / largest if largest > 0 else 0.0
