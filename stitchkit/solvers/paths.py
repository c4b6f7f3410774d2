"""What the search for a solver sees of a family: tracks of settings and what one decomposition says of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array
from stitchkit.core.moments import Evidence
from stitchkit.solvers.frames import Frame


class Path(Protocol):
    """Every strength of one track, from one decomposition of the training anchors; weak to strong."""

    def separation(self, held: Evidence) -> list[float]:
        """d' of held-out pairs at each strength: mean true score over the spread of random pairs."""
        ...

    def explained(self, held: Evidence) -> list[float]:
        """Held-out R2 of the directed map at each strength."""
        ...

    def freedom(self, at: int) -> float:
        """Degrees of freedom at strength ``at``."""
        ...

    def reliability(self, at: int, held: Evidence) -> Array | None:
        """Held-out correlation of each common direction, for families that weigh them."""
        ...

    def alignment(self, at: int, weights: Array | None = None) -> Alignment:
        """The alignment at strength ``at``."""
        ...


@dataclass(frozen=True)
class Track:
    """One row of the search: a family with everything fixed but its strength.

    Parameters
    ----------
    family
        Name in the table of solvers.
    scale
        The frame it works in.
    settings
        What else is fixed, for the record.
    strengths
        Values of the strength along the path, weak regularisation first.
    strength
        Name of the strength setting.
    open
        Decomposes a frame of training anchors into a :class:`Path`.
    uncut
        Judge the first strength by rank as well as the one shortlisted.
    """

    family: str
    scale: str
    settings: dict[str, Any]
    strength: str
    strengths: Sequence[Any]
    open: Callable[[Frame], Path]
    uncut: bool = False


def separations(signal: Array, spread: Array) -> list[float]:
    """``signal / sqrt(spread)`` entry by entry as floats; 0 where nothing spreads."""
    pairs = zip(signal, spread, strict=True)
    return [float(a) / float(b) ** 0.5 if float(b) > 0 else 0.0 for a, b in pairs]
