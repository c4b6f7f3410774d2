"""Relative representations: a vector described by its cosines to the anchors of its own space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stitchkit.core.arrays import Array, device_of, float64, kth_largest, like, namespace, to_numpy, working_float
from stitchkit.core.errors import InputError
from stitchkit.core.maps import apply_map, unit
from stitchkit.core.space import Space
from stitchkit.core.wording import setting

TILE = 1 << 20  # entries worked on at once: what stays in the cache, whatever the number of anchors


@dataclass(frozen=True, slots=True, eq=False)
class RelativeMap:
    """``r(x)_i = cos(x - center, anchors_i)``: as many coordinates as anchors, the same for both spaces of a pair.

    With ``keep`` or another ``power`` than 1 (ASIF) negative cosines count as 0, all but the ``keep`` largest of a
    row become 0 (of equal ones the first are kept), and what stays is divided by the row's largest and raised to
    ``power``. No cosine between rows sees that division; it keeps a high power from underflowing.

    Parameters
    ----------
    source, target
        Spaces the map leaves and enters; the target is as wide as there are anchors.
    anchors : (m, d) float64
        Unit rows, centred already.
    center : (d,) float64 or None
        Subtracted from the vectors first, in their own precision.
    keep
        Number of the largest entries of a row that stay; None keeps all.
    power
        Exponent of the entries, above 0. Default: 1

    References
    ----------
    Moschella et al., "Relative representations enable zero-shot latent space communication", ICLR 2023.
    Norelli et al., "ASIF: coupled data turns unimodal models to multimodal without training", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> corner = RelativeMap(Space("a", 2), Space("r", 3), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    >>> corner(np.array([[3.0, 4.0]]))
    array([[ 0.6,  0.8, -0.6]])
    """

    source: Space
    target: Space
    anchors: Array
    center: Array | None = None
    keep: int | None = None
    power: float = 1.0

    def __post_init__(self) -> None:
        name = f"{self.source.name!r} -> {self.target.name!r}"
        shape = (self.target.dim, self.source.dim)
        middle = shape[1:] if self.center is None else tuple(self.center.shape)
        if tuple(self.anchors.shape) != shape or middle != shape[1:]:
            raise InputError(
                f"a relative map {name} needs anchors {shape} and a centre {shape[1:]}; "
                f"got {tuple(self.anchors.shape)} and {middle}."
            )
        if self.keep is not None and not 1 <= self.keep <= shape[0]:
            raise InputError(
                f"a relative map {name} keeps 1 to {shape[0]} of its anchors; got " + setting("keep", self.keep) + "."
            )
        if not 0 < self.power < float("inf"):
            raise InputError(f"a relative map {name} needs a finite power above 0; got {self.power}.")
        self._check_lengths(name)

    def _check_lengths(self, name: str) -> None:
        xp = namespace(self.anchors)
        bounded = xp.clip(float64(self.anchors), -2.0, 2.0)  # a length of 1 stays, a huge one cannot overflow
        off = xp.abs(xp.linalg.vector_norm(bounded, axis=1) - 1)
        if not bool(xp.all(off <= 1e-6)):
            row = int(to_numpy(off > 1e-6).argmax()) if bool(xp.all(xp.isfinite(off))) else "some"
            raise InputError(
                f"the anchors of the relative map {name} must be rows of length 1; row {row} is not. Divide each row "
                f"by its length, and leave out one that has none."
            )

    @property
    def rank(self) -> int:
        """Number of directions that the anchors identify: at most their number and the space's width."""
        return min(self.source.dim, self.target.dim)

    def __call__(self, x: Any) -> Any:
        """Describe ``x`` (n, d) by its (n, m) cosines to the anchors.

        Embeddings give embeddings of the target space; a plain array gives an array of its own library.
        float64 stays float64, anything narrower gives float32.

        Raises
        ------
        SpaceMismatchError
            If ``x`` belongs to another encoder, even one of equal width.
        """
        return apply_map(self, x)

    def apply(self, vectors: Array) -> Array:
        """``vectors`` (n, d) mapped to (n, m), a tile of rows at a time, without checks of space or content."""
        x = working_float(vectors)
        xp, n, m = namespace(x), int(x.shape[0]), self.target.dim
        across = xp.matrix_transpose(like(self.anchors, x, dtype=x.dtype))
        cosines = xp.empty((n, m), dtype=x.dtype, device=device_of(x))
        for start, tile in self._tiles(x):
            cosines[start : start + int(tile.shape[0]), :] = self._sparse(unit(tile) @ across)
        return cosines

    def _tiles(self, x: Array) -> Iterator[tuple[int, Array]]:
        """Centred rows of ``x``, a tile at a time, and where each tile starts."""
        xp, n, rows = namespace(x), int(x.shape[0]), max(TILE // self.target.dim, 1)
        tiles = ((a, x[a : min(a + rows, n), :]) for a in range(0, n, rows))
        if self.center is None:
            yield from tiles
            return
        center = like(self.center, x)
        rounded = xp.astype(center, x.dtype)
        lost = xp.astype(float64(rounded) - center, x.dtype)  # what rounding the centre lost is added back
        for start, tile in tiles:
            yield start, (tile - rounded) + lost

    def _sparse(self, cosines: Array) -> Array:
        """A tile of cosines (t, m) with the small ones at 0 and the rest raised to ``power``."""
        if self.keep is None and self.power == 1:
            return cosines
        xp = namespace(cosines)
        zero, floor = xp.zeros_like(cosines[:1, :1]), xp.zeros_like(cosines[:, :1])
        if self.keep is not None and self.keep < self.target.dim:
            last, following = kth_largest(cosines, self.keep)
            tied = (last == following) & (last > 0)
            if bool(xp.any(tied)):
                cosines = _without_late_ties(cosines, last, tied, self.keep)
            floor = xp.where(last > 0, last, floor)
        top = xp.max(cosines, axis=1, keepdims=True)
        top = xp.where(top > 0, top, xp.ones_like(top))
        return _raise_to(xp.where(cosines >= floor, cosines / top, zero), self.power)


def _without_late_ties(cosines: Array, last: Array, tied: Array, keep: int) -> Array:
    """``cosines`` (t, m) where entries equal to ``last`` (t, 1) beyond the ``keep``-th are 0, in ``tied`` rows."""
    xp = namespace(cosines)
    equal = (cosines == last) & tied
    before = xp.sum(xp.astype(cosines > last, xp.int64), axis=1, keepdims=True)
    late = equal & (before + xp.cumulative_sum(xp.astype(equal, xp.int64), axis=1) > keep)
    return xp.where(late, xp.zeros_like(cosines), cosines)


def _raise_to(values: Array, power: float) -> Array:
    """Raise ``values``, at least 0, to ``power``; a whole power by repeated squaring, several times faster."""
    if power != int(power) or power > 64:
        return values**power
    exponent, product, square = int(power), None, values
    while exponent:
        if exponent & 1:
            product = square if product is None else product * square
        exponent >>= 1
        square = square * square if exponent else square
    return product
