"""A space: the output space of one encoder with its weights, preprocessing and pooling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stitchkit.core.arrays import Array, namespace
from stitchkit.core.errors import InputError, SpaceMismatchError


@dataclass(frozen=True, slots=True)
class Space:
    """The output space of ONE encoder.

    Parameters
    ----------
    name
        Name of the encoder, as the user typed it.
    dim
        Width of its vectors.
    fingerprint
        Hash of weights, preprocessing, pooling, layer and prompt prefix. ``None`` for plain arrays, for which
        only the width can be checked.

    Examples
    --------
    >>> Space("rad-dino", 768, "a1").accepts(Space("dinov2", 768, "b2"))
    False
    """

    name: str
    dim: int
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.dim, bool) or not isinstance(self.dim, int | np.integer):
            raise InputError(f"space {self.name!r} has width {self.dim!r}; a width is a whole number.")
        if self.dim < 1:
            raise InputError(f"space {self.name!r} has width {self.dim}; a space needs at least one dimension.")

    @classmethod
    def of_array(cls, dim: int) -> Space:
        """The space of a plain array, of which only the width is known."""
        return cls("array", dim, None)

    def accepts(self, other: Space) -> bool:
        """True if vectors of ``other`` may be read as vectors of this space."""
        known = self.fingerprint is not None and other.fingerprint is not None
        return self.dim == other.dim and (not known or self.fingerprint == other.fingerprint)

    def require(self, other: Space, what: str) -> None:
        """Raise unless vectors of ``other`` may be given to ``what``, which takes this space's.

        Raises
        ------
        SpaceMismatchError
            Naming both spaces, their widths and the next step.
        """
        if self.accepts(other):
            return
        if self.dim != other.dim and self.name == other.name:  # arrays of a name that says nothing
            raise SpaceMismatchError(
                f"{what} takes (n, {self.dim}) vectors; got (n, {other.dim}). Check that the two sides are not "
                f"exchanged, or fit another map."
            )
        if self.dim != other.dim:
            raise SpaceMismatchError(
                f"{what} takes (n, {self.dim}) vectors of {self.name!r}; got (n, {other.dim}) of {other.name!r}. "
                f"Embed with {self.name!r}, or fit another map."
            )
        raise SpaceMismatchError(
            f"{what} takes vectors of {self.name!r} (fingerprint {self.fingerprint}); got vectors of {other.name!r} "
            f"(fingerprint {other.fingerprint}), which has the same width but other weights or preprocessing. "
            f"Embed with {self.name!r}, or fit another map."
        )


def common_fingerprint(spaces: Iterable[Space], *facts: int | str, weights: Iterable[Array]) -> str | None:
    """The fingerprint of a common space, so that vectors of another fit's are refused.

    Parameters
    ----------
    spaces
        Spaces whose maps end in the common space.
    facts
        Further facts that distinguish the fit: number of anchors, kind of fit.
    weights
        Fitted arrays, each represented by the sum of its absolute entries.

    Returns
    -------
    str or None
        None where a space is a nameless array's, of which nothing but the width is known.

    Examples
    --------
    >>> import numpy as np
    >>> common_fingerprint([Space("a", 2, "f1"), Space("b", 2, "f2")], 50, weights=[np.eye(2)])
    'f1|f2|50|0x1.0000000000000p+1'
    """
    known = [space.fingerprint for space in spaces]
    if None in known:
        return None
    sums = [float(namespace(one).sum(namespace(one).abs(one))).hex() for one in weights]
    return "|".join([*map(str, known), *map(str, facts), *sums])
