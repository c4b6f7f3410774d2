"""An alignment of many spaces: one map each into one common space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import KEY, of_two
from stitchkit.core.arrays import Array
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.escaping import escape
from stitchkit.core.maps import AffineMap
from stitchkit.core.space import Space


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JointAlignment:
    """Maps of two or more spaces into one common space.

    Parameters
    ----------
    maps
        Name of each space -> its map; all end in one space of width k.
    weights : (k,) float64 or None
        Weight of each common direction in a similarity.
    record
        Record of the fit: plain numbers and names that can be written as JSON.

    Examples
    --------
    >>> import numpy as np
    >>> from stitchkit import align_many
    >>> z = np.random.default_rng(0).normal(size=(50, 3))
    >>> joint = align_many({"xray": z, "ct": z[:, ::-1], "text": -2 * z})
    >>> similarity = joint.between("ct", "text").similarity(z[:, ::-1], -2 * z)
    >>> bool(np.allclose(np.diag(similarity), 1))
    True
    """

    maps: Mapping[str, AffineMap]
    weights: Array | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "maps", dict(self.maps))
        if len(self.maps) < 2:
            raise InputError(f"a joint alignment binds at least two spaces; got {len(self.maps)}.")
        odd = [name for name, one in self.maps.items() if one.target != self.common]
        if odd:
            raise InputError(f"the maps of a joint alignment end in one space; that of {odd[0]!r} ends in another.")
        if self.weights is not None and tuple(self.weights.shape) != (self.common.dim,):
            raise InputError(
                f"a joint alignment {self.common.dim} wide needs weights ({self.common.dim},); "
                f"got {tuple(self.weights.shape)}."
            )

    def __repr__(self) -> str:
        """Spaces and solver in one line."""
        spaces = ", ".join(f"{name!r} ({one.source.dim})" for name, one in self.maps.items())
        summary = f"{spaces}, {self.record.get('solver', 'fitted maps')}, {self.common.dim} directions"
        return f"JointAlignment({escape(summary)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the spaces, in the order they were given."""
        return tuple(self.maps)

    @property
    def common(self) -> Space:
        """The space that every map ends in."""
        return next(iter(self.maps.values())).target

    def map_of(self, name: str) -> AffineMap:
        """The map of one space into the common one; an unknown name is an error that lists the nearest."""
        if name not in self.maps:
            raise UnknownNameError.of("space of this joint alignment", str(name), self.maps)
        return self.maps[name]

    def between(self, source: str, target: str) -> Alignment:
        """The alignment of two of the spaces, in the common space and without a directed map."""
        record = {**self.record, "between": [source, target]}
        if "views" in (self.record.get(KEY) or {}):
            record[KEY] = of_two(self.record[KEY], source, target)
        return Alignment(self.map_of(source), self.map_of(target), self.weights, None, record)
