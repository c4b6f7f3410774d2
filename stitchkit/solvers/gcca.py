"""Canonical correlation of many spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stitchkit.core.arrays import Array, namespace
from stitchkit.core.errors import InputError
from stitchkit.core.joint_alignments import JointAlignment
from stitchkit.solvers.many import JointFrame, JointMoments, check_joint, check_spread, fix_signs, joint_total
from stitchkit.solvers.settings import check_strength, plain_numbers
from stitchkit.solvers.sides import numerical_rank

POWERS = (1.0, 0.5, 0.25, 0.0)  # exponents of the held-out correlations that are compared
TAIL = 8  # a fold's last 1/8 of directions stands for those it does not show; one correlation alone is noise


@dataclass(frozen=True)
class GCCA:
    """MAXVAR canonical correlation: eigenvectors g of ``sum_i Z_i (Z_i' Z_i + k_i I)^-1 Z_i'``, and ridge onto them.

    Z_i are the centred rows. The eigenvalues lie in [0, number of spaces]; they are found from the joint scatter,
    never from an n x n matrix. The map of a space is ridge regression of g on it. With folds, direction j is weighed
    by ``rho_j ** power``, rho_j being the correlation of the spaces along it on items held out, on average over pairs
    of spaces and folds; in-sample that is 1 for few items. Directions that a fold has too few items to show take the
    mean of that fold's last ones.

    Parameters
    ----------
    kappa
        Ridge of each space: ``k_i = kappa tr(S_i) / d_i``.
    dims
        Common directions kept; None keeps as many as the narrowest space shows.
    scale
        ``"none"``, or ``"each"``: every space divided by its per-feature standard deviation.
    power
        Exponent of the held-out correlations, from 0 (all directions count alike) to 1; None takes the one of 1, 1/2,
        1/4 and 0 under which held-out items are separated best. A small ridge wants large exponents and a large one
        small ones.

    References
    ----------
    Kettenring, Biometrika 58 (1971).
    """

    kappa: float = 1.0
    dims: int | None = None
    scale: str = "none"
    power: float | None = None
    needs = frozenset({"moments", "folds"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_strength(self.kappa, "kappa")
        check_joint(self.dims, "dims", self.scale)
        if self.power is not None and not 0 <= self.power <= 1:
            raise InputError(f"power is an exponent from 0 to 1, or None to choose it; got {self.power}.")

    def fit(self, folds: Sequence[JointMoments]) -> JointAlignment:
        """The joint alignment of all items in ``folds``; with two or more, directions are weighed on held-out ones."""
        m = joint_total(folds)
        check_spread(m)
        frame, maps, values = self._directions(m)
        k, parts = int(values.shape[0]), self._held_out(folds)
        power = self._power(parts)
        weights = _mean_correlations(parts, k) ** power if parts else None
        record = {
            "solver": "gcca",
            "settings": {"kappa": self.kappa, "dims": k, "scale": self.scale, "power": power if parts else None},
            "rank": k,
            "eigenvalues": [float(one) for one in values],
            "folds": len(parts),
            "notes": [] if parts else ["no items were held out: all directions count alike"],
        }
        return frame.joint(m, maps, weights, record)

    def _held_out(self, folds: Sequence[JointMoments]) -> list[_HeldOut]:
        """Agreement of the spaces on each fold, under the directions of the others."""
        parts = []
        for i, held in enumerate(folds if len(folds) > 1 else ()):
            others = joint_total([*folds[:i], *folds[i + 1 :]])
            if others.count > 1:
                frame, maps, _ = self._directions(others)
                parts.append(_HeldOut.of(frame.blocks(held), maps))
        return parts

    def _power(self, parts: Sequence[_HeldOut]) -> float:
        """The exponent set, or the one of largest separation, summed over folds weighed by the other folds alone."""
        if self.power is not None:
            return float(self.power)
        if len(parts) < 2:
            return 1.0
        separations = dict.fromkeys(POWERS, 0.0)
        for i, part in enumerate(parts):
            weights = _mean_correlations([*parts[:i], *parts[i + 1 :]], int(part.correlations.shape[0]))
            for power in POWERS:
                separations[power] += part.separation(weights**power)
        return max(separations, key=lambda power: separations[power])

    def _directions(self, m: JointMoments) -> tuple[JointFrame, list[Array], Array]:
        """Coordinates, one weight (d_i, k) a space, and the eigenvalues (k,), largest first."""
        frame = JointFrame.of(m, self.scale)
        blocks = frame.blocks(m)
        xp, white, shown = namespace(m.scatter), [], []
        for i, row in enumerate(blocks):
            values, vectors = xp.linalg.eigh(row[i])
            values = xp.where(values > 0, values, xp.zeros_like(values))
            floor = self.kappa * float(xp.sum(values)) / int(values.shape[0]) or 1.0
            shown.append(max(numerical_rank(values), 1))
            white.append((vectors / xp.sqrt(values + floor))[:, -shown[-1] :])  # the rest no item shows
        joined = [
            xp.concat([xp.matrix_transpose(a) @ one @ b for one, b in zip(row, white, strict=True)], axis=1)
            for a, row in zip(white, blocks, strict=True)
        ]
        values, vectors = xp.linalg.eigh(xp.concat(joined, axis=0))
        k = min(shown) if self.dims is None else min(self.dims, *shown)
        values, vectors = xp.flip(values)[:k], xp.flip(vectors, axis=1)[:, :k]
        maps, start = [], 0
        for a in white:
            stop = start + int(a.shape[1])
            maps.append(a @ vectors[start:stop, :] * xp.sqrt(values))
            start = stop
        return frame, fix_signs(maps), values


@dataclass(frozen=True, slots=True, eq=False)
class _HeldOut:
    """Agreement of the spaces along k common directions on items held out.

    correlations (k,): mean over pairs of spaces. signal (k,): the true pairs' products, and noise (k, k): second
    moments of random pairs' products, both summed over pairs of spaces.
    """

    correlations: Array
    signal: Array
    noise: Array

    @classmethod
    def of(cls, blocks: list[list[Array]], maps: Sequence[Array]) -> _HeldOut:
        xp, v = namespace(maps[0]), len(maps)
        spread = [xp.matrix_transpose(one) @ blocks[i][i] @ one for i, one in enumerate(maps)]
        size = [xp.linalg.diagonal(one) for one in spread]
        zero = xp.zeros_like(size[0])
        rho, signal, noise = zero, zero, xp.zeros_like(spread[0])
        for i in range(v):
            for j in range(i + 1, v):
                cross, square = xp.sum(maps[i] * (blocks[i][j] @ maps[j]), axis=0), size[i] * size[j]
                alive = square > 0
                rho = rho + xp.where(alive, cross / xp.sqrt(xp.where(alive, square, xp.ones_like(square))), zero)
                signal, noise = signal + cross, noise + spread[i] * spread[j]
        return cls(rho / (v * (v - 1) / 2), signal, noise)

    def separation(self, weights: Array) -> float:
        """Score of true pairs over the spread of random pairs, for weights (k,) of the directions."""
        xp = namespace(weights)
        spread = float(xp.sum(weights * (self.noise @ weights)))
        return float(xp.sum(weights * self.signal)) / spread**0.5 if spread > 0 else 0.0


def _mean_correlations(parts: Sequence[_HeldOut], k: int) -> Array:
    """Mean over folds of held-out correlations (k,), none below 0."""
    return sum(_of_width(part.correlations, k) for part in parts) / len(parts)


def _of_width(values: Array, k: int) -> Array:
    """The first k values, none below 0; where there are fewer, the rest is the mean of the last of them."""
    xp, have = namespace(values), int(values.shape[0])
    zero = xp.zeros_like(values)
    above = xp.where(values > 0, values, zero)
    if have >= k:
        return above[:k]
    last = max(float(xp.mean(values[-max(have // TAIL, 1) :])), 0.0)  # of signed values, or noise would count
    return xp.concat([above, xp.broadcast_to(last + zero[:1], (k - have,))])
