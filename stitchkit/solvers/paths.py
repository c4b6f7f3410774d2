"""Tracks of the search, and the paths that fit them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, namespace, zeros_like_width
from stitchkit.solvers.axes import Axes, Extent
from stitchkit.solvers.frames import Frame

if TYPE_CHECKING:
    from stitchkit.solvers.drafts import Draft

PCAS = (16, 64)


class Path(Protocol):
    """Every strength of one track, from one decomposition of the anchors; weak to strong."""

    frame: Frame

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
        Scaling and principal directions of its frame.
    settings
        Further fixed settings, for the record.
    strengths
        Values of the strength along the path, weak regularisation first.
    strength
        Name of the strength setting.
    open
        Decomposes a frame of anchors into a :class:`Path`.
    draft
        Decomposes a training set into a :class:`~stitchkit.solvers.drafts.Draft`.
    uncut
        True where the first strength is a contender of its own as well. Default: False
    reference
        Position of the strength whose map is the choice where nothing is clearly better; None for all other tracks.
    reference_of_few
        The same where few targets are distinct and clusters are not; of several the best is the reference.
    """

    family: str
    scale: str
    settings: dict[str, Any]
    strength: str
    strengths: Sequence[Any]
    open: Callable[[Frame], Path]
    draft: Callable[[Axes], Draft]
    uncut: bool = False
    reference: int | None = None
    reference_of_few: int | None = None
    pca: int | None = None


def principal_parts(extent: Extent) -> list[int]:
    """Numbers of principal directions for a search, below the width and within what the anchors identify."""
    return [pca for pca in PCAS if pca < min(max(extent.shape), extent.pairs - 1)]


def fit_width(weights: Array | None, k: int) -> Array | None:
    """``weights`` cut or continued with zeros to (k,): a direction that no fold could hold out has weight 0."""
    if weights is None or int(weights.shape[0]) == k:
        return weights
    have = int(weights.shape[0])
    rest = zeros_like_width(weights, max(k - have, 0))
    return namespace(weights).concat([weights[: min(k, have)], rest])
