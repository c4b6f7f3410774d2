"""Ordinary least squares, accurately: never the default, since it collapses where n is near d."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, cholesky_or_none, eye_like, namespace, solve_triangular
from stitchkit.core.moments import CHUNK, Evidence
from stitchkit.solvers.frames import EPS, Frame, require


@dataclass(frozen=True)
class LeastSquares:
    """``W`` that minimises ``||Yc - Xc W||``; of least norm where the anchors do not determine it.

    Unit-diagonal Cholesky of the centred scatter; where its reciprocal condition number is below ``rcond`` a
    QR sweep over the rows, or without rows an eigendecomposition that drops directions below ``rcond``. The
    record says which, with the rank.

    Parameters
    ----------
    rcond
        Relative, unit-free.
    """

    rcond: float = 1e-10
    needs = frozenset({"moments"})

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space is the target space, centred."""
        require(self, evidence)
        frame = Frame.of(evidence)
        unit = _unit_diagonal(frame.ss, frame)
        weight, rank, how = self._by_cholesky(frame, unit)
        if weight is None and evidence.anchors is not None:
            weight, rank, how = _by_qr(frame, unit, evidence.anchors)
        elif weight is None:
            weight, rank, how = self._by_eigh(frame, unit)
        same = eye_like(weight, frame.target.width)
        n, d = evidence.moments.count, evidence.moments.shape[0]
        notes = [] if n > 3 * d else [f"{n} anchors for {d} source dimensions: least squares overfits; try ridge"]
        rank = min(rank, frame.target.width)
        record = {"solver": "least_squares", "settings": {"rcond": self.rcond}, "method": how, "notes": notes}
        return frame.alignment(weight, same, weight, rank=rank, record=record)

    def _by_cholesky(self, frame: Frame, unit: Array) -> tuple[Any, int, str]:
        xp = namespace(unit)
        scaled = unit[:, None] * frame.ss * unit[None, :]
        lower = cholesky_or_none(scaled)
        if lower is None:
            return None, 0, ""
        half = solve_triangular(lower, eye_like(unit, int(unit.shape[0])), lower=True)
        inverse = xp.matrix_transpose(half) @ half
        rcond = 1 / float(_norm1(scaled) * _norm1(inverse))
        if not rcond >= self.rcond:
            return None, 0, ""
        first = solve_triangular(lower, unit[:, None] * frame.st, lower=True)
        weight = unit[:, None] * solve_triangular(xp.matrix_transpose(lower), first, lower=False)
        return weight, int(unit.shape[0]), "cholesky"

    def _by_eigh(self, frame: Frame, unit: Array) -> tuple[Array, int, str]:
        xp = namespace(unit)
        values, vectors = xp.linalg.eigh(unit[:, None] * frame.ss * unit[None, :])
        keep = values > self.rcond * xp.max(values)
        inverse = xp.where(keep, 1 / xp.where(keep, values, xp.ones_like(values)), xp.zeros_like(values))
        inner = xp.matrix_transpose(vectors) @ (unit[:, None] * frame.st)
        rank = int(xp.sum(xp.astype(keep, xp.int64)))
        return unit[:, None] * (vectors @ (inverse[:, None] * inner)), rank, "eigh with a cut"


def _by_qr(frame: Frame, unit: Array, anchors: tuple[Array, Array]) -> tuple[Array, int, str]:
    """Least squares from a QR sweep over the rows: [X Y] = Q R, then R_xx W = R_xy cut at rounding level."""
    x, y = anchors
    xp, n, width = namespace(x, y), int(x.shape[0]), frame.source.width
    triangle: Array = None
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        left = frame.source.coordinates(x[start:stop, :]) * unit
        block = xp.concat([left, frame.target.coordinates(y[start:stop, :])], axis=1)
        stacked = block if triangle is None else xp.concat([triangle, block], axis=0)
        triangle = xp.linalg.qr(stacked, mode="reduced")[1]
    u, s, vh = xp.linalg.svd(triangle[:, :width], full_matrices=False)
    keep = s > max(n, width) * EPS * xp.max(s)
    inverse = xp.where(keep, 1 / xp.where(keep, s, xp.ones_like(s)), xp.zeros_like(s))
    inner = xp.matrix_transpose(u) @ triangle[:, width:]
    weight = unit[:, None] * (xp.matrix_transpose(vh) @ (inverse[:, None] * inner))
    return weight, int(xp.sum(xp.astype(keep, xp.int64))), "qr over the rows"


def _unit_diagonal(scatter: Array, frame: Frame) -> Array:
    """Factors that bring the diagonal of ``scatter`` to one; a column constant up to rounding keeps one."""
    xp = namespace(scatter)
    diagonal = xp.linalg.diagonal(scatter)
    one = xp.ones_like(diagonal)
    floor = frame.moments.count * (1e-13 * frame.source.mean) ** 2 if frame.source.basis is None else 0 * diagonal
    alive = diagonal > floor
    return xp.where(alive, 1 / xp.sqrt(xp.where(alive, diagonal, one)), one)


def _norm1(matrix: Array) -> Array:
    xp = namespace(matrix)
    return xp.max(xp.sum(xp.abs(matrix), axis=0))
