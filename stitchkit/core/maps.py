"""Maps between spaces. Everything affine is one :class:`AffineMap`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from stitchkit.core.arrays import Array, float64, like, namespace, to_numpy, working_float
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.space import Space

Vectors = TypeVar("Vectors")
HEAVIEST = 1e9  # weight of a member of a joined map
NARROWEST, WIDEST = 1e-15, 1e15  # lengths whose squares every float32 holds


class Map(Protocol):
    """A fitted function from one space to another."""

    @property
    def source(self) -> Space: ...

    @property
    def target(self) -> Space: ...

    def __call__(self, x: Any) -> Any: ...


class Applicable(Map, Protocol):
    """A map of plain vectors, for which :func:`apply_map` checks spaces and ids."""

    def apply(self, vectors: Array) -> Array: ...


def apply_map(one: Applicable, x: Any) -> Any:
    """Apply a map to ``x`` (n, d_s): embeddings give embeddings of its target, an array one of its own library.

    Raises
    ------
    SpaceMismatchError
        If ``x`` belongs to another encoder, even one of equal width.
    """
    name = f"{one.source.name!r} -> {one.target.name!r}"
    inputs = as_embeddings(x, f"the input of the map {name}")
    one.source.require(inputs.space, f"the map {name}")
    vectors = one.apply(inputs.vectors)
    return Embeddings.without_checks(vectors, inputs.ids, one.target) if isinstance(x, Embeddings) else vectors


@dataclass(frozen=True, slots=True, eq=False)
class AffineMap:
    """``y = (x - center) @ weight + bias`` from one space to another.

    Parameters
    ----------
    source, target
        Spaces the map leaves and enters.
    center : (d_s,) float64
        Subtracted from the vectors first, in the input's own precision: folded into the bias it would cost five digits
        in float32 at mean/sd 1e5.
    weight : (d_s, d_t) float64
    bias : (d_t,) float64
    rank
        Number of directions the anchors identified.

    Examples
    --------
    >>> import numpy as np
    >>> shift = AffineMap(Space("a", 2), Space("b", 2), np.zeros(2), np.eye(2), np.ones(2), rank=2)
    >>> shift(np.array([[1.0, 2.0]]))
    array([[2., 3.]])
    """

    source: Space
    target: Space
    center: Array
    weight: Array
    bias: Array
    rank: int

    def __post_init__(self) -> None:
        shape = (self.source.dim, self.target.dim)
        shapes = (tuple(self.center.shape), tuple(self.weight.shape), tuple(self.bias.shape))
        if shapes != (shape[:1], shape, shape[1:]):
            raise InputError(
                f"a map {self.source.name!r} -> {self.target.name!r} of shape {shape} got arrays {shapes}."
            )

    def __call__(self, x: Any) -> Any:
        """Map ``x`` (n, d_s) to (n, d_t).

        Embeddings give embeddings of the target space; a plain array gives an array of its own library.
        float64 stays float64, anything narrower gives float32.

        Raises
        ------
        SpaceMismatchError
            If ``x`` belongs to another encoder, even one of equal width.
        """
        return apply_map(self, x)

    def apply(self, vectors: Array) -> Array:
        """``vectors`` (n, d_s) mapped, without checks of space or content."""
        x = working_float(vectors)
        center, weight, bias = (like(part, x) for part in (self.center, self.weight, self.bias))
        rounded = namespace(x).astype(center, x.dtype)
        # the centre is rounded to the input's precision; what that loses goes into the bias, exactly
        lost = (float64(rounded) - center)[None, :] @ weight
        with np.errstate(over="ignore"):
            narrow = like(weight, x, dtype=x.dtype)
        if not bool(namespace(x).all(namespace(x).isfinite(narrow))):  # tiny vectors mapped to huge ones
            return namespace(x).astype(float64(x - rounded) @ weight + (bias + lost[0, :]), x.dtype)
        vectors = (x - rounded) @ narrow
        vectors += like(bias + lost[0, :], x, dtype=x.dtype)
        return vectors

    def then(self, other: AffineMap) -> AffineMap:
        """The map that applies this one first and ``other`` second."""
        other.source.require(self.target, f"the map {other.source.name!r} -> {other.target.name!r}")
        center, weight, bias = (like(part, self.weight) for part in (other.center, other.weight, other.bias))
        shifted = ((self.bias - center)[None, :] @ weight)[0, :] + bias
        rank = min(self.rank, other.rank)
        return AffineMap(self.source, other.target, self.center, self.weight @ weight, shifted, rank)

    def inverse(self) -> AffineMap:
        """The map back; only for a square map of full rank."""
        if not self.rank == self.source.dim == self.target.dim:
            raise InputError(
                f"the map {self.source.name!r} -> {self.target.name!r} has rank {self.rank} and shape "
                f"({self.source.dim}, {self.target.dim}); only a square map of full rank has an inverse. "
                f"Fit the other direction instead."
            )
        inverse = namespace(self.weight).linalg.inv(self.weight)
        return AffineMap(self.target, self.source, self.bias, inverse, self.center, self.rank)


def mapped_fingerprint(known: str | None, one: AffineMap) -> str | None:
    """The fingerprint of the space of an encoder's vectors under a map.

    Parameters
    ----------
    known
        Fingerprint of the encoder's space; None gives None.
    one
        Map of its vectors.
    """
    if known is None:
        return None
    digest = hashlib.sha256(known.encode())
    for part in (one.center, one.weight, one.bias):
        digest.update(to_numpy(part).tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class JoinedMap:
    """Several maps of one space side by side: each member's output at unit length, concatenated.

    A cosine in the joined space is the weighted mean of the members' cosines. Not affine, for the rows are normalised.

    Parameters
    ----------
    members
        At least one affine map, all leaving one space.
    target
        The joined space, as wide as the members' outputs together.
    weights
        Weight of each member in that mean, each above 0; None for equal weights.
    """

    members: tuple[AffineMap, ...]
    target: Space
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        width = sum(one.target.dim for one in self.members)
        if not self.members or any(one.source != self.members[0].source for one in self.members):
            raise InputError("a joined map needs at least one member, and all members must leave one space.")
        if width != self.target.dim:
            raise InputError(f"the members of a joined map are {width} wide together, its space {self.target.dim}.")
        if self.weights is not None:
            some = [one for one in self.weights if 0 < one <= HEAVIEST]
            if not len(some) == len(self.weights) == len(self.members):
                raise InputError(
                    f"a joined map of {len(self.members)} members needs as many weights, each above 0 and at most "
                    f"{HEAVIEST:g}; got {list(self.weights)}."
                )

    @property
    def source(self) -> Space:
        """The space that every member leaves."""
        return self.members[0].source

    @property
    def rank(self) -> int:
        """Directions that the member of most rank identifies."""
        return max(one.rank for one in self.members)

    def __call__(self, x: Any) -> Any:
        """Map ``x`` (n, d_s) to (n, k), as :class:`AffineMap` does."""
        return apply_map(self, x)

    def apply(self, vectors: Array) -> Array:
        """``vectors`` (n, d_s) mapped, without checks of space or content."""
        parts = [unit(one.apply(vectors)) for one in self.members]
        if self.weights is not None:
            parts = [weight**0.5 * part for weight, part in zip(self.weights, parts, strict=True)]
        return namespace(*parts).concat(parts, axis=1)


def unit(vectors: Array) -> Array:
    """Rows of ``vectors`` (n, k) at length one; a zero row stays zero."""
    xp = namespace(vectors)
    with np.errstate(over="ignore"):
        lengths = xp.sqrt(xp.vecdot(vectors, vectors))[:, None]  # a norm would hold all squares
    if not bool(xp.all((lengths > NARROWEST) & (lengths < WIDEST))):  # squares in float32 may have left its range
        largest = xp.max(xp.abs(vectors), axis=1, keepdims=True)
        vectors = vectors / xp.where(largest > 0, largest, xp.ones_like(largest))
        lengths = xp.linalg.vector_norm(vectors, axis=1, keepdims=True)
    return vectors / xp.where(lengths > 0, lengths, xp.ones_like(lengths))
