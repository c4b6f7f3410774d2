"""Evidence of solvers for many spaces: one joint scatter, and the factors that bring each space to one size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

from stitchkit.core.arrays import Array, float64, namespace, zeros_like_width
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.joint_alignments import JointAlignment
from stitchkit.core.maps import AffineMap
from stitchkit.core.moments.chunks import CHUNK, check_chunk, check_paired
from stitchkit.core.moments.scatter import Scatter, two_sum
from stitchkit.core.space import Space, common_fingerprint

SCALES = ("none", "each")  # whether every space is divided by its per-feature standard deviation


@dataclass(frozen=True, slots=True, eq=False)
class JointMoments:
    """Sums over n items that every one of several spaces has seen, in float64.

    Parameters
    ----------
    count
        Number of items.
    means
        One (d_i,) a space.
    scatter : (D, D)
        Centred scatter of the spaces' vectors side by side, D the sum of the widths; a sum, not divided by n.
    spaces
        Name -> space.
    tail : (D,)
        Rounding errors of the means, so that moments far from the origin merge exactly; left out zero.
    """

    count: int
    means: tuple[Array, ...]
    scatter: Array
    spaces: Mapping[str, Space]
    tail: Array = None

    def __post_init__(self) -> None:
        if self.tail is None:
            object.__setattr__(self, "tail", zeros_like_width(self.scatter, int(self.scatter.shape[0])))

    @classmethod
    def of(cls, views: Mapping[str, Embeddings], *, chunk: int = CHUNK) -> JointMoments:
        """Moments of views paired by row, in one pass.

        Raises
        ------
        InputError
            If the views' numbers of rows differ, fewer than two views, arrays of different libraries, or numbers
            whose squares overflow.
        """
        n = check_views(views)
        check_paired(n, n, least=1)
        check_chunk(chunk)
        first, *others = (one.vectors for one in views.values())
        xp, scatter = namespace(first, *others), Scatter("exact")
        for a in range(0, n, chunk):
            b = min(a + chunk, n)
            if not scatter.add(first[a:b, :], xp.concat([float64(x[a:b, :]) for x in others], axis=1)):
                raise InputError(
                    f"the squares of rows {a} to {b - 1} of {', '.join(map(repr, views))} overflow, or are not finite. "
                    f"Divide the vectors by their size."
                )
        sums, spaces = scatter.sums(), {name: one.space for name, one in views.items()}
        means = tuple(sums.mean[a:b] for a, b in _bounds(spaces))
        return JointMoments(n, means, sums.scatter, spaces, sums.tail)

    def __add__(self, other: JointMoments) -> JointMoments:
        """Moments of both sets of items together."""
        if list(self.spaces) != list(other.spaces):
            raise InputError(f"joint moments of {list(self.spaces)} cannot be added to those of {list(other.spaces)}.")
        for name, space in self.spaces.items():
            space.require(other.spaces[name], f"these joint moments ({name!r})")
        n, xp = self.count + other.count, namespace(self.scatter)
        step, share = other._from(xp.concat(self.means), self.tail), other.count / n
        mean, tail = two_sum(xp.concat(self.means), self.tail + share * step)
        between = self.count * share * xp.linalg.outer(step, step)
        means = tuple(mean[a:b] for a, b in self.bounds)
        return JointMoments(n, means, self.scatter + other.scatter + between, self.spaces, tail)

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First column and end of each space in ``scatter``."""
        return _bounds(self.spaces)

    def about(self, means: Sequence[Array]) -> Array:
        """The scatter (D, D) about other means."""
        xp = namespace(self.scatter)
        step = self._from(xp.concat(list(means)), 0.0)
        return self.scatter + self.count * xp.linalg.outer(step, step)

    def _from(self, point: Array, tail: Array | float) -> Array:
        """From ``point + tail`` (D,) to these means, to all digits."""
        return (namespace(point).concat(self.means) - point) + (self.tail - tail)


def joint_total(parts: Iterable[JointMoments]) -> JointMoments:
    """The sum of at least one set of joint moments."""
    return reduce(JointMoments.__add__, parts)


def _bounds(spaces: Mapping[str, Space]) -> list[tuple[int, int]]:
    ends = [0]
    for space in spaces.values():
        ends.append(ends[-1] + space.dim)
    return list(pairwise(ends))


@dataclass(frozen=True, slots=True, eq=False)
class JointFrame:
    """Centres, and factors (d_i,) that bring each space to total variance 1, perhaps each feature to one size first."""

    means: tuple[Array, ...]
    factors: tuple[Array, ...]
    bounds: list[tuple[int, int]]

    @classmethod
    def of(cls, m: JointMoments, scale: str) -> JointFrame:
        xp, diagonal, factors = namespace(m.scatter), namespace(m.scatter).linalg.diagonal(m.scatter) / m.count, []
        for mean, (a, b) in zip(m.means, m.bounds, strict=True):
            variance = diagonal[a:b]
            one, alive = xp.ones_like(variance), xp.sqrt(variance) > 1e-13 * xp.abs(mean)
            spread = xp.where(alive, variance, one) if scale == "each" else one
            total = float(xp.sum(xp.where(alive, variance / spread, xp.zeros_like(one))))
            factors.append(1 / xp.sqrt(spread * (total or 1.0)))
        return cls(m.means, tuple(factors), m.bounds)

    def blocks(self, m: JointMoments) -> list[list[Array]]:
        """``S_ij / n`` of the sized spaces about THESE means, for all i and j."""
        xp = namespace(m.scatter)
        by = xp.concat(self.factors)
        sized = m.about(self.means) * by[:, None] * by[None, :] / m.count
        return [[sized[a:b, c:d] for c, d in self.bounds] for a, b in self.bounds]

    def joint(
        self, m: JointMoments, inner: Sequence[Array], weights: Array | None, record: Mapping[str, Any]
    ) -> JointAlignment:
        """The joint alignment of weights (d_i, k) on sized vectors."""
        k = int(inner[0].shape[1])
        common = Space(" | ".join(m.spaces), k, common_fingerprint(m.spaces.values(), m.count, weights=inner[:1]))
        maps = {
            name: AffineMap(space, common, mean, factor[:, None] * weight, zeros_like_width(weight, k), k)
            for (name, space), mean, factor, weight in zip(
                m.spaces.items(), self.means, self.factors, inner, strict=True
            )
        }
        return JointAlignment(maps, weights, {**record, "anchors": m.count, "spaces": list(m.spaces)})


def check_views(views: Mapping[str, Embeddings]) -> int:
    """The number of rows of at least two views; raise unless all have it."""
    if len(views) < 2:
        raise InputError(f"many spaces are at least two; got {len(views)}. Give another view of the same items.")
    first, *others = views
    n = len(views[first])
    for name in others:
        if len(views[name]) != n:
            raise InputError(
                f"{first!r} has {n} rows and {name!r} has {len(views[name])}; row i of every view must be one item. "
                f"Match them by id first."
            )
    return n


def check_spread(m: JointMoments) -> None:
    """Raise for fewer than two items, or a space whose vectors are all the same."""
    check_paired(m.count, m.count)
    xp, diagonal = namespace(m.scatter), namespace(m.scatter).linalg.diagonal(m.scatter) / m.count
    for (name, mean), (a, b) in zip(zip(m.spaces, m.means, strict=True), m.bounds, strict=True):
        if not bool(xp.any(xp.sqrt(diagonal[a:b]) > 1e-13 * xp.abs(mean))):
            raise InputError(f"all {m.count} vectors of {name!r} are the same; nothing can be learnt from them.")


def check_joint(width: int | None, name: str, scale: str) -> None:
    if width is not None and width < 1:
        raise InputError(f"a common space needs {name} >= 1; got {width}.")
    if scale not in SCALES:
        raise UnknownNameError.of("scale", scale, SCALES)


def fix_signs(weights: list[Array]) -> list[Array]:
    """Flip common directions so that the largest entry of the first space's column is positive."""
    xp, first = namespace(weights[0]), weights[0]
    up, one = xp.max(first, axis=0) >= -xp.min(first, axis=0), xp.ones_like(first[0, :])
    sign = xp.where(up, one, -one)
    return [weight * sign for weight in weights]
