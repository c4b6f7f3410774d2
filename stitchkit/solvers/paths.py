"""What the search for a solver sees of a family: tracks of settings and what one decomposition says of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, namespace, zeros_like_width
from stitchkit.core.moments import Evidence
from stitchkit.solvers.frames import Frame, View

PCAS = (16, 64)


class Path(Protocol):
    """Every strength of one track, from one decomposition of the training anchors; weak to strong."""

    frame: Frame

    def separation(self, held: Evidence | View) -> list[float]:
        """d' of held-out pairs at each strength: mean true score over the spread of random pairs."""
        ...

    def explained(self, held: Evidence | View) -> list[float]:
        """Held-out R2 of the directed map at each strength."""
        ...

    def freedom(self, at: int) -> float:
        """Degrees of freedom at strength ``at``."""
        ...

    def reliability(self, at: int, held: Evidence | View) -> Array | None:
        """Held-out correlation of each common direction, for families that weigh them."""
        ...

    def common(self, at: int) -> tuple[Array, Array | None]:
        """Weights (r_s, k) and (r_t, k) from the frame's coordinates into the common space; None is the identity."""
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
    scale, pca
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
    pca: int | None = None


def principal_parts(evidence: Evidence) -> list[int]:
    """Numbers of principal directions that a search tries, of those that cut something and the anchors can show."""
    widest = max(evidence.moments.shape)
    return [pca for pca in PCAS if pca < min(widest, evidence.moments.count - 1)]


def fit_width(weights: Array | None, k: int) -> Array | None:
    """``weights`` cut or continued with zeros to (k,): a direction no fold could hold out counts for nothing."""
    if weights is None or int(weights.shape[0]) == k:
        return weights
    have = int(weights.shape[0])
    rest = zeros_like_width(weights, max(k - have, 0))
    return namespace(weights).concat([weights[: min(k, have)], rest])


def separations(signal: Array, spread: Array) -> list[float]:
    """``signal / sqrt(spread)`` entry by entry as floats; 0 where nothing spreads."""
    pairs = zip(signal, spread, strict=True)
    return [float(a) / float(b) ** 0.5 if float(b) > 0 else 0.0 for a, b in pairs]


def leading_sums(symmetric: Array) -> Array:
    """Sum of each leading square block (r,) of a symmetric (r, r)."""
    xp = namespace(symmetric)
    below = xp.sum(xp.tril(symmetric, k=-1), axis=1)
    return xp.cumulative_sum(2 * below + xp.linalg.diagonal(symmetric))
