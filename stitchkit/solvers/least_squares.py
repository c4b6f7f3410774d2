"""Ordinary least squares, accurately: never the default, since it collapses where n is near d."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, cholesky_or_none, eye_like, namespace, solve_triangular, svd
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.chunks import CHUNK
from stitchkit.solvers.conditions import method, reciprocal
from stitchkit.solvers.frames import Frame, require, rows_of_moments
from stitchkit.solvers.settings import check_cut, plain_numbers
from stitchkit.solvers.sides import EPS


@dataclass(frozen=True)
class LeastSquares:
    """``W`` that minimises ``||Yc - Xc W||``; of least norm where the anchors do not determine it.

    Unit-diagonal Cholesky of the centred scatter; where its reciprocal condition number is below ``rcond`` a
    QR sweep over the rows, or without rows an eigendecomposition that drops directions below ``rcond``. The
    record says which (``method``), why (``fallback``), the reciprocal condition number of the unit-diagonal
    scatter (``rcond``) and how many directions were dropped.

    Parameters
    ----------
    rcond
        Relative, unit-free.
    """

    rcond: float = 1e-10
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_cut(self.rcond)

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space is the target space, centred."""
        require(self, evidence)
        frame = Frame.of(evidence)
        solution = solve(frame, evidence.anchors, self.rcond)
        same = eye_like(solution.weight, frame.target.width)
        n, d = evidence.moments.count, evidence.moments.shape[0]
        notes = [] if n > 3 * d else [f"{n} anchors for {d} source dimensions: least squares overfits; try ridge"]
        if solution.rank < d:
            notes += [f"the source scatter has rank {solution.rank} of {d}: what no anchor shows is dropped"]
        record = {"solver": "least_squares", "settings": {"rcond": self.rcond}, **solution.record, "notes": notes}
        rank = min(solution.rank, frame.target.width)
        return frame.alignment(solution.weight, same, solution.weight, rank=rank, record=record)


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A least-squares weight (r_s, r_t) in a frame's coordinates, with its method."""

    weight: Array
    rank: int  # of the source scatter
    method: str
    rcond: float  # of the unit-diagonal scatter
    fallback: str = ""  # why the first method was not taken

    @property
    def record(self) -> dict[str, Any]:
        """Method and condition, for the record."""
        return {"method": self.method, "rcond": self.rcond, "fallback": self.fallback or None}


def solve(frame: Frame, anchors: tuple[Array, Array] | None, rcond: float) -> Solution:
    """Least squares in the frame's coordinates, by the first method that is safe."""
    unit = _unit_diagonal(frame.ss, frame)
    first = _by_cholesky(frame, unit, rcond)
    if isinstance(first, Solution):
        return first
    return _by_eigh(frame, unit, rcond, first) if anchors is None else _by_qr(frame, unit, anchors, first)


def _by_cholesky(frame: Frame, unit: Array, least: float) -> Solution | str:
    """The solution, or the reason why it cannot be trusted."""
    xp = namespace(unit)
    scaled = unit[:, None] * frame.ss * unit[None, :]
    lower = cholesky_or_none(scaled)
    if lower is None:
        return "cholesky: the scatter is not positive definite"
    half = solve_triangular(lower, eye_like(unit, int(unit.shape[0])), lower=True)
    inverse = xp.matrix_transpose(half) @ half
    rcond = 1 / float(_norm1(scaled) * _norm1(inverse))
    if not rcond >= least:
        return f"cholesky: reciprocal condition number {rcond:.0e} is below {least:.0e}"
    first = solve_triangular(lower, unit[:, None] * frame.st, lower=True)
    weight = unit[:, None] * solve_triangular(xp.matrix_transpose(lower), first, lower=False)
    return Solution(weight, int(unit.shape[0]), method(frame, "cholesky"), rcond)


def _by_eigh(frame: Frame, unit: Array, least: float, why: str) -> Solution:
    xp = namespace(unit)
    values, vectors = xp.linalg.eigh(unit[:, None] * frame.ss * unit[None, :])
    keep = values > least * xp.max(values)
    inverse = xp.where(keep, 1 / xp.where(keep, values, xp.ones_like(values)), xp.zeros_like(values))
    inner = xp.matrix_transpose(vectors) @ (unit[:, None] * frame.st)
    rank = int(xp.sum(xp.astype(keep, xp.int64)))
    weight = unit[:, None] * (vectors @ (inverse[:, None] * inner))
    return Solution(weight, rank, method(frame, "eigh with a cut"), reciprocal(values), why)


def _by_qr(frame: Frame, unit: Array, anchors: tuple[Array, Array], why: str) -> Solution:
    """Least squares from a QR sweep over the rows: [X Y] = Q R, then R_xx W = R_xy cut at rounding level."""
    x, y = rows_of_moments(Evidence(frame.moments, None, anchors))
    xp, n, width = namespace(x, y), int(x.shape[0]), frame.source.width
    triangle: Array = None
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        left = frame.source.coordinates(x[start:stop, :]) * unit
        block = xp.concat([left, frame.target.coordinates(y[start:stop, :])], axis=1)
        stacked = block if triangle is None else xp.concat([triangle, block], axis=0)
        triangle = xp.linalg.qr(stacked, mode="reduced")[1]
    u, s, vh = svd(triangle[:, :width])
    keep = s > max(n, width) * EPS * xp.max(s)
    inverse = xp.where(keep, 1 / xp.where(keep, s, xp.ones_like(s)), xp.zeros_like(s))
    inner = xp.matrix_transpose(u) @ triangle[:, width:]
    weight = unit[:, None] * (xp.matrix_transpose(vh) @ (inverse[:, None] * inner))
    rank = int(xp.sum(xp.astype(keep, xp.int64)))
    return Solution(weight, rank, method(frame, "qr over the rows"), reciprocal(s) ** 2, why)


def _unit_diagonal(scatter: Array, frame: Frame) -> Array:
    """Factors that bring the diagonal of ``scatter`` to one; a column constant up to rounding keeps one."""
    xp, source = namespace(scatter), frame.source
    diagonal = xp.linalg.diagonal(scatter)
    one = xp.ones_like(diagonal)
    size = source.mean if source.scale is None else source.mean * source.scale
    floor = frame.moments.weight * (1e-13 * size) ** 2 if source.basis is None else 0 * diagonal
    alive = diagonal > floor
    return xp.where(alive, 1 / xp.sqrt(xp.where(alive, diagonal, one)), one)


def _norm1(matrix: Array) -> Array:
    xp = namespace(matrix)
    return xp.max(xp.sum(xp.abs(matrix), axis=0))
