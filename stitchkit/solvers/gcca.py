"""Canonical correlation of many spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stitchkit.core.arrays import Array, namespace, zeros_like_width
from stitchkit.core.joint_alignments import JointAlignment
from stitchkit.solvers.many import JointFrame, JointMoments, check_joint, check_spread, joint_total, signed
from stitchkit.solvers.settings import check_strength, plain_numbers
from stitchkit.solvers.sides import identified


@dataclass(frozen=True)
class GCCA:
    """MAXVAR canonical correlation: eigenvectors g of ``sum_i Z_i (Z_i' Z_i + k_i I)^-1 Z_i'``, and ridge onto them.

    Z_i are the centred rows. The eigenvalues lie in [0, number of spaces]; they are found from the joint scatter,
    never from an n x n matrix. The map of a space is ridge regression of g on it. With folds, a direction counts as
    much as the spaces correlate along it on items held out, on average over pairs of spaces; in-sample that is 1 for
    few items.

    Parameters
    ----------
    kappa
        Ridge of each space: ``k_i = kappa tr(S_i) / d_i``.
    dims
        Common directions kept; None keeps as many as the narrowest space shows.
    scale
        ``"none"``, or ``"each"``: every space divided by its per-feature standard deviation.

    References
    ----------
    Kettenring, Biometrika 58 (1971).
    """

    kappa: float = 1.0
    dims: int | None = None
    scale: str = "none"
    needs = frozenset({"moments", "folds"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_strength(self.kappa, "kappa")
        check_joint(self.dims, "dims", self.scale)

    def fit(self, folds: Sequence[JointMoments]) -> JointAlignment:
        """The joint alignment of all items in ``folds``; with two or more, directions are weighed on held-out ones."""
        m = joint_total(folds)
        check_spread(m)
        frame, maps, values = self._directions(m)
        held_out = []
        for i, held in enumerate(folds if len(folds) > 1 else ()):
            others = joint_total([*folds[:i], *folds[i + 1 :]])
            if others.count > 1:
                without, theirs, _ = self._directions(others)
                held_out.append(_held_out_correlations(without.blocks(held), theirs))
        k = int(values.shape[0])
        weights = _mean_of_width(held_out, k) if held_out else None
        record = {
            "solver": "gcca",
            "settings": {"kappa": self.kappa, "dims": k, "scale": self.scale},
            "rank": k,
            "eigenvalues": [float(one) for one in values],
            "folds": len(held_out),
            "notes": [] if held_out else ["no items were held out: all directions count alike"],
        }
        return frame.joint(m, maps, weights, record)

    def _directions(self, m: JointMoments) -> tuple[JointFrame, list[Array], Array]:
        """Coordinates, one weight (d_i, k) a space, and the eigenvalues (k,), largest first."""
        frame = JointFrame.of(m, self.scale)
        blocks = frame.blocks(m)
        xp, white, shown = namespace(m.scatter), [], []
        for i, row in enumerate(blocks):
            values, vectors = xp.linalg.eigh(row[i])
            values = xp.where(values > 0, values, xp.zeros_like(values))
            floor = self.kappa * float(xp.sum(values)) / int(values.shape[0]) or 1.0
            shown.append(max(identified(values), 1))
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
        return frame, signed(maps), values


def _held_out_correlations(blocks: list[list[Array]], maps: Sequence[Array]) -> Array:
    """Correlation along each common direction (k,), mean over pairs of spaces, never below 0."""
    xp, v = namespace(maps[0]), len(maps)
    zero = xp.zeros_like(maps[0][0, :])
    spread = [xp.sum(maps[i] * (blocks[i][i] @ maps[i]), axis=0) for i in range(v)]
    found = zero
    for i in range(v):
        for j in range(i + 1, v):
            square = spread[i] * spread[j]
            alive = square > 0
            root = xp.sqrt(xp.where(alive, square, xp.ones_like(square)))
            found = found + xp.where(alive, xp.sum(maps[i] * (blocks[i][j] @ maps[j]), axis=0) / root, zero)
    mean = found / (v * (v - 1) / 2)
    return xp.where(mean > 0, mean, zero)


def _mean_of_width(parts: Sequence[Array], k: int) -> Array:
    """Mean over folds on the directions all have, (k,); a direction that some fold lacks counts for nothing."""
    xp, have = namespace(parts[0]), min(k, *(int(part.shape[0]) for part in parts))
    mean = sum(part[:have] for part in parts) / len(parts)
    return xp.concat([mean, zeros_like_width(mean, k - have)]) if have < k else mean
