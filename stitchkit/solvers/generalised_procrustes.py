"""Generalised Procrustes: rotations of many spaces that agree best, and regressions of their consensus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stitchkit.core.arrays import Array, eye_like, namespace, svd
from stitchkit.core.errors import InputError
from stitchkit.core.joint_alignments import JointAlignment
from stitchkit.solvers.many import JointFrame, JointMoments, check_joint, check_spread, fix_signs, joint_total
from stitchkit.solvers.settings import check_strength, plain_numbers


@dataclass(frozen=True)
class GeneralisedProcrustes:
    """Ridge regression on the consensus of rotations R_i that minimise ``sum_i |X_i R_i - mean_j X_j R_j|^2``.

    Each space is first divided by the square root of its total variance. R_i (d_i, r) has orthonormal columns; for
    r below a width it maximises ``sum_{i<j} tr(R_i' S_ij R_j)``, which is the same for r = d. Each R_i is replaced
    by the polar factor of ``sum_{j != i} S_ij R_j``, which never lowers that sum. The start is spectral: the first r
    eigenvectors of the cross scatters. The common axes are the first space's principal axes there.

    The map of a space is the ridge regression of the consensus ``mean_j X_j R_j`` on it, which shrinks the directions
    on which the spaces do not agree; for exactly rotated spaces all maps give the same vectors. With ``kappa=0`` it is
    the rotation alone, which keeps the distances within a space.

    Parameters
    ----------
    rank
        Width of the common space; None takes all directions that every space shares with the others.
    scale
        ``"none"``, or ``"each"``: every space divided by its per-feature standard deviation.
    kappa
        Ridge of that regression, relative and the same for every space: ``k_i = kappa tr(S_i) / d_i``. 0 keeps the
        rotations.
    tolerance
        Relative growth of the sum at which a sweep is the last.
    sweeps
        Largest number of sweeps; the record says if they did not suffice.
    rcond
        Singular values below ``rcond`` times the largest are not shared.

    References
    ----------
    Gower, Psychometrika 40 (1975); Ten Berge, Psychometrika 42 (1977).
    """

    rank: int | None = None
    scale: str = "none"
    kappa: float = 0.1
    tolerance: float = 1e-10
    sweeps: int = 200
    rcond: float = 1e-10
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_joint(self.rank, "rank", self.scale)
        if self.kappa:
            check_strength(self.kappa, "kappa")
        if self.sweeps < 1:
            raise InputError(f"generalised Procrustes needs at least one sweep; got {self.sweeps}.")

    def fit(self, folds: Sequence[JointMoments]) -> JointAlignment:
        """The joint alignment of all items in ``folds``, which are added up."""
        m = joint_total(folds)
        check_spread(m)
        frame = JointFrame.of(m, self.scale)
        blocks = frame.blocks(m)
        r = self._common_rank(blocks)
        rotations, sums = self._sweep(blocks, _spectral(blocks, r))
        rotations = _on_principal_axes(rotations, blocks[0][0])
        maps = _onto_consensus(blocks, rotations, self.kappa) if self.kappa else rotations
        sizes = float(len(rotations) * (len(rotations) - 1)) / 2
        record = {
            "solver": "generalised procrustes",
            "settings": {
                "rank": r,
                "scale": self.scale,
                "kappa": self.kappa,
                "tolerance": self.tolerance,
                "sweeps": self.sweeps,
                "rcond": self.rcond,
            },
            "rank": r,
            "sweeps": len(sums) - 1,
            "agreement": sums[-1] / sizes,
            "notes": []
            if self._converged(sums)
            else [f"{self.sweeps} sweeps did not settle the rotations; allow more"],
        }
        return frame.joint(m, maps, None, record)

    def _common_rank(self, blocks: list[list[Array]]) -> int:
        """Number of directions that every space shares with the others, at most ``rank``."""
        xp, ranks = namespace(blocks[0][0]), []
        for i, row in enumerate(blocks):
            s = xp.linalg.svdvals(xp.concat([one for j, one in enumerate(row) if j != i], axis=1))
            ranks.append(max(int(xp.sum(xp.astype(s > self.rcond * xp.max(s), xp.int64))), 1))
        return min(ranks) if self.rank is None else min(self.rank, *ranks)

    def _sweep(self, blocks: list[list[Array]], rotations: list[Array]) -> tuple[list[Array], list[float]]:
        """Rotations after the last sweep and the sum at the start and after each sweep."""
        sums = [_agreement(blocks, rotations)]
        for _ in range(self.sweeps):
            for i, row in enumerate(blocks):
                rotations[i] = _polar(sum(row[j] @ rotations[j] for j in range(len(rotations)) if j != i))
            sums.append(_agreement(blocks, rotations))
            if self._converged(sums):
                break
        return rotations, sums

    def _converged(self, sums: Sequence[float]) -> bool:
        return sums[-1] - sums[-2] <= self.tolerance * abs(sums[-1])


def _spectral(blocks: list[list[Array]], r: int) -> list[Array]:
    """Orthonormal columns (d_i, r) from the first r eigenvectors of the cross scatters."""
    xp = namespace(blocks[0][0])
    rows = [
        xp.concat([xp.zeros_like(one) if i == j else one for j, one in enumerate(row)], axis=1)
        for i, row in enumerate(blocks)
    ]
    _, vectors = xp.linalg.eigh(xp.concat(rows, axis=0))
    first, rotations, start = xp.flip(vectors, axis=1)[:, :r], [], 0
    for row in blocks:
        stop = start + int(row[0].shape[0])
        rotations.append(_polar(first[start:stop, :]))
        start = stop
    return rotations


def _polar(matrix: Array) -> Array:
    """The matrix with orthonormal columns nearest to ``matrix`` (d, r), r at most d."""
    u, _, vh = svd(matrix)
    return u @ vh


def _agreement(blocks: list[list[Array]], rotations: Sequence[Array]) -> float:
    """``sum_{i<j} tr(R_i' S_ij R_j)``: the number of pairs where all agree, for spaces of total variance 1."""
    xp, v = namespace(rotations[0]), len(rotations)
    return sum(float(xp.sum(rotations[i] * (blocks[i][j] @ rotations[j]))) for i in range(v) for j in range(i + 1, v))


def _onto_consensus(blocks: list[list[Array]], rotations: Sequence[Array], kappa: float) -> list[Array]:
    """Weights (d_i, r) of the ridge regression of ``mean_j X_j R_j`` on each space."""
    xp, v, maps = namespace(rotations[0]), len(rotations), []
    for i, row in enumerate(blocks):
        d = int(row[i].shape[0])
        ridge = kappa * float(xp.linalg.trace(row[i])) / d
        toward = sum(one @ rotation for one, rotation in zip(row, rotations, strict=True)) / v
        maps.append(xp.linalg.solve(row[i] + ridge * eye_like(row[i], d), toward))
    return maps


def _on_principal_axes(rotations: list[Array], first: Array) -> list[Array]:
    """Rotations into a common space in which the scatter of the first space is diagonal, largest first."""
    xp = namespace(first)
    _, axes = xp.linalg.eigh(xp.matrix_transpose(rotations[0]) @ first @ rotations[0])
    return fix_signs([rotation @ xp.flip(axes, axis=1) for rotation in rotations])
