"""The strength of ridge without folds: generalised cross-validation from moments, leave-one-out from the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stitchkit.core.arrays import Array, namespace, svd
from stitchkit.solvers.frames import Frame
from stitchkit.solvers.sides import EPS

RULES = ("gcv", "loo")
DECADES = 4  # that the grid may grow by at an end that wins
ALIVE = 1e-12  # eigenvalues (of loo: singular values) below this share of the largest are rounding
UNDECIDED = 0.1  # the alpha taken where the rule does not tell strengths apart

Curve = Callable[[float], float]  # penalty -> estimated squared error of an unseen pair


@dataclass(frozen=True, slots=True)
class Strength:
    """The alpha that a rule chose, with its record and notes."""

    alpha: float
    record: dict[str, Any]
    notes: list[str]


def choose_strength(rule: str, frame: Frame, anchors: tuple[Array, Array] | None, alphas: Sequence[float]) -> Strength:
    """The alpha of least estimated error; of equal ones (to nine digits) the largest.

    Parameters
    ----------
    rule
        ``"gcv"``: from the frame alone. ``"loo"``: from the ``anchors`` (n, d_s), (n, d_t).
    alphas
        The grid, increasing, two a decade; it is extended by up to four decades at an end that wins.
    """
    curve = gcv(frame) if rule == "gcv" or anchors is None else loo(frame, *anchors)
    unit = mean_eigenvalue(frame)
    errors = {alpha: curve(alpha * unit) for alpha in alphas}
    if max(errors.values()) <= min(errors.values()) * (1 + 1e-9):
        note = f"{rule} finds every strength equally good: these anchors do not tell; alpha is {UNDECIDED}"
        return Strength(UNDECIDED, {"rule": rule, "error": curve(UNDECIDED * unit)}, [note])
    for _ in range(DECADES):
        further = _beyond(errors)
        if not further:
            break
        errors |= {alpha: curve(alpha * unit) for alpha in further}
    alpha = _least(errors)
    record = {"rule": rule, "error": errors[alpha], "from": min(errors), "to": max(errors), "tried": len(errors)}
    return Strength(alpha, record, _at_the_end(rule, alpha, errors))


def mean_eigenvalue(frame: Frame) -> float:
    """tr(Sx) / d_s, the unit of alpha; 1 where the source does not vary."""
    return float(namespace(frame.ss).linalg.trace(frame.ss)) / frame.moments.shape[0] or 1.0


def gcv(frame: Frame) -> Curve:
    """Golub, Heath and Wahba's ``n RSS / (n - tr H)^2``, summed over target dimensions; H holds the mean too."""
    xp, n = namespace(frame.ss), frame.moments.count
    values, vectors = frame.source_eigh
    alive = values > ALIVE * xp.max(values)
    inner = xp.matrix_transpose(vectors) @ frame.st
    power = xp.sum(inner * inner, axis=1)
    share = xp.where(alive, power / xp.where(alive, values, xp.ones_like(values)), xp.zeros_like(values))
    free = max(n - 1 - int(xp.sum(xp.astype(alive, xp.int64))), 0)
    whole = float(xp.linalg.trace(frame.tt))
    outside = whole - float(xp.sum(share)) if free else 0.0
    # what no penalty removes; below rounding it is nothing, or a fit without noise would never end its search
    outside = outside if outside > 64 * EPS * whole else 0.0

    def error(penalty: float) -> float:
        keep = penalty / (values + penalty)  # 1 - shrinkage, without cancellation
        left = free + float(xp.sum(xp.where(alive, keep, xp.zeros_like(keep))))
        return n * (outside + float(xp.sum(share * keep * keep))) / left**2 if left > 0 else 0.0

    return error


def loo(frame: Frame, x: Array, y: Array) -> Curve:
    """Mean squared error of each pair, predicted by ridge on all others at the same penalty; exact.

    Residual over one minus leverage; the mean is estimated again too, so leverage holds 1/n. Deviations and
    principal directions that the frame divides by or keeps are those of all anchors.
    """
    rows, right = frame.source.coordinates(x), frame.target.coordinates(y)
    xp, n = namespace(rows), int(rows.shape[0])
    u, s, _ = svd(rows)
    alive = s > ALIVE * xp.max(s)
    u = xp.where(alive, u, xp.zeros_like(u))  # (n, r)
    inner, square = xp.matrix_transpose(u) @ right, u * u
    free = 1 - 1 / n - xp.sum(square, axis=1)  # the share of each pair that no direction holds
    held = free < ALIVE  # nothing of the pair stays outside: exact zeros, or rounding is divided by rounding
    free = xp.where(held, xp.zeros_like(free), free)
    outside = xp.where(held[:, None], xp.zeros_like(right), right - u @ inner)

    def error(penalty: float) -> float:
        keep = xp.where(alive, penalty / (s * s + penalty), xp.zeros_like(s))
        residual = outside + u @ (keep[:, None] * inner)
        left = free + square @ keep
        at = residual / xp.where(left > 0, left, xp.ones_like(left))[:, None]
        return float(xp.sum(at * at)) / n

    return error


def _least(errors: dict[float, float]) -> float:
    best = min(errors.values())
    return max(alpha for alpha, error in errors.items() if error <= best * (1 + 1e-9))


def _beyond(errors: dict[float, float]) -> list[float]:
    """The next decade at the end that wins; nothing where the best lies inside."""
    best = _least(errors)
    if best == min(errors):
        return [best / 10**0.5, best / 10]
    return [best * 10**0.5, best * 10] if best == max(errors) else []


def _at_the_end(rule: str, alpha: float, errors: dict[float, float]) -> list[str]:
    if alpha == min(errors):
        return [f"{rule} still prefers less than alpha {alpha:.0e}, the end of the grid: hardly any penalty is wanted"]
    if alpha == max(errors):
        return [f"{rule} still prefers more than alpha {alpha:.0e}, the end of the grid: hardly any link was found"]
    return []
