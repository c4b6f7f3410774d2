"""Logistic regressions of many columns over the same rows, fitted together: Newton's method, conjugate gradients.

A column is one class in one fold; rows that a column is not fitted on weigh nothing in it. So all of them share one
product with the rows, and the decisions on held-out rows come with the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRECISION = 1e-7  # of the weights, relative, in the norm of the Hessian
ROUNDING = 64 * float(np.finfo(np.float64).eps)  # of a gradient, relative to the costs
ROUNDS, STEPS, HALVINGS = 100, 200, 40  # of Newton, of conjugate gradients within one, of a step that goes too far
COARSE = 0.3  # relative residual that the first Newton directions are solved to


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalRows:
    """Rows (n, r + 1) in their principal axes with a column of ones, ``basis`` (d, r) of the axes, and ``spread``.

    ``spread`` (r + 1,) is the sum of squares of each column: in these axes the Hessian of a column whose rows weigh
    alike is diagonal, which is what makes conjugate gradients fast.
    """

    rows: np.ndarray
    basis: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> PrincipalRows:
        """Of standardised ``features`` (n, d); where rows are fewer than columns, in the span of the rows."""
        span = None
        if features.shape[0] < features.shape[1]:
            span, triangle = np.linalg.qr(features.T)
            features = np.ascontiguousarray(triangle.T)
        axes = np.linalg.eigh(features.T @ features)[1]
        rows = np.concatenate([features @ axes, np.ones((len(features), 1))], axis=1)
        return cls(rows, axes if span is None else span @ axes, np.einsum("ij,ij->j", rows, rows))

    def weight(self, coefficients: np.ndarray) -> np.ndarray:
        """Weights (d, k) of features from ``coefficients`` (r + 1, k), whose last row is the bias."""
        return np.asarray(self.basis @ coefficients[:-1])


def fit_columns(
    design: PrincipalRows, truth: np.ndarray, costs: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """Coefficients (r + 1, k) that minimise ``|w|^2 / 2 + sum_i costs_i log(1 + exp(-t_i (x_i w + b)))``.

    Parameters
    ----------
    truth : (n, k) of 0 and 1
        t is 1 and -1.
    costs : (n, k)
        scikit-learn's C times the weight of the row; 0 leaves it out.
    start : (r + 1, k), optional
        Coefficients to begin with, such as those of a smaller C.

    Returns
    -------
    (r + 1, k)
        The last row is the bias, which is not penalised.
    """
    weights = np.zeros((design.rows.shape[1], truth.shape[1])) if start is None else start.copy()
    margins, left = design.rows @ weights, np.arange(truth.shape[1])
    for _ in range(ROUNDS):
        state = _State.at(weights[:, left], margins[:, left], truth[:, left], costs[:, left], design)
        open_ = state.decrement > state.goal
        if not open_.any():
            break
        left, state = left[open_], state.of(open_)
        step, change = _direction(design, state)
        length = _length(state, step, change)
        weights[:, left] += length * step
        margins[:, left] += length * change
    return weights


def likeliest_curve(values: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic curve through ``shares`` (n,) in (0, 1) at standardised ``values`` (n,).

    The curve of greatest likelihood, without a penalty: Newton's method, steps halved where the loss rises.
    """
    rows, weights = np.stack([values, np.ones(len(values))], axis=1), np.zeros(2)

    def loss(at: np.ndarray) -> float:
        margins = rows @ at
        return float(np.logaddexp(0, margins).sum() - shares @ margins)

    for _ in range(ROUNDS):
        chance = _logistic(rows @ weights)
        slope = rows.T @ (chance - shares)
        step = np.linalg.solve(rows.T @ (rows * (chance * (1 - chance))[:, None]), slope)
        if slope @ step <= ROUNDING**2 * len(values):
            break
        length, before = 1.0, loss(weights)
        while length > 1e-6 and loss(weights - length * step) > before * (1 + ROUNDING):
            length /= 2
        weights = weights - length * step
    return float(weights[0]), float(weights[1])


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """Columns at their present coefficients: loss, gradient and curvature, the latter also as one number a column."""

    coefficients: np.ndarray  # (r + 1, k)
    margins: np.ndarray  # (n, k)
    truth: np.ndarray
    costs: np.ndarray
    curvature: np.ndarray  # (n, k)
    gradient: np.ndarray  # (r + 1, k)
    inverse: np.ndarray  # (r + 1, k), of the Hessian's diagonal were all rows to weigh alike
    decrement: np.ndarray  # (k,), the squared distance to the optimum, about
    size: np.ndarray  # (k,), the squared length of the weights in the same norm

    @classmethod
    def at(
        cls, weights: np.ndarray, margins: np.ndarray, truth: np.ndarray, costs: np.ndarray, design: PrincipalRows
    ) -> _State:
        chance = _logistic(margins)
        curvature = costs * chance * (1 - chance)
        gradient = design.rows.T @ (costs * (chance - truth))
        gradient[:-1] += weights[:-1]
        inverse = design.spread[:, None] * curvature.mean(axis=0)
        inverse[:-1] += 1
        inverse = 1 / np.maximum(inverse, np.finfo(float).tiny)
        moved = margins - weights[-1]  # without the bias, beside which small weights would look like nothing
        size = _dots(weights[:-1], weights[:-1]) + _dots(curvature * moved, moved)
        decrement = _dots(gradient, inverse * gradient)
        return cls(
            coefficients=weights,
            margins=margins,
            truth=truth,
            costs=costs,
            curvature=curvature,
            gradient=gradient,
            inverse=inverse,
            decrement=decrement,
            size=size,
        )

    @property
    def goal(self) -> np.ndarray:
        """The decrement (k,) that ends a column's fit."""
        return np.asarray(PRECISION**2 * self.size + ROUNDING**2 * self.costs.sum(axis=0))

    def of(self, kept: np.ndarray) -> _State:
        """The columns where ``kept`` (k,) is true."""
        if kept.all():
            return self
        return _State(*(getattr(self, name)[..., kept] for name in self.__dataclass_fields__))

    def loss(self, coefficients: np.ndarray, margins: np.ndarray) -> np.ndarray:
        """Loss (k,) at other coefficients and their margins."""
        each = np.logaddexp(0, margins) - self.truth * margins
        return np.asarray(_dots(coefficients[:-1], coefficients[:-1]) / 2 + _dots(self.costs, each))


def _direction(design: PrincipalRows, state: _State) -> tuple[np.ndarray, np.ndarray]:
    """Newton's direction (r + 1, k) by conjugate gradients and how margins change along it (n, k)."""
    rows, left = design.rows, np.arange(len(state.size))
    step, change = np.zeros_like(state.gradient), np.zeros_like(state.margins)
    residual, inverse, curvature = -state.gradient, state.inverse, state.curvature
    along, distance = inverse * residual, state.decrement
    # coarse far from the optimum, finer near it: Newton then converges faster than linearly
    share = np.minimum(COARSE**2, state.decrement / np.maximum(state.size, state.decrement))
    goal = np.maximum(share * state.decrement, 0.01 * state.goal)
    for _ in range(STEPS):
        moved = rows @ along
        bent = rows.T @ (curvature * moved)
        bent[:-1] += along[:-1]
        far = distance / _dots(along, bent)
        step[:, left] += far * along
        change[:, left] += far * moved
        residual = residual - far * bent
        toward = inverse * residual
        after = _dots(residual, toward)
        open_ = after > goal
        if not open_.any():
            break
        along = toward + (after / distance) * along
        distance = after
        if not open_.all():
            left, goal, distance = left[open_], goal[open_], distance[open_]
            residual, along, inverse, curvature = (a[:, open_] for a in (residual, along, inverse, curvature))
    return step, change


def _length(state: _State, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Share of each column's step (k,) that lowers its loss enough, 1 if the whole does."""
    before, slope = state.loss(state.coefficients, state.margins), _dots(state.gradient, step)
    slack = 1e-12 * np.abs(before)  # rounding of the loss itself
    length = np.ones(len(slope))
    for _ in range(HALVINGS):
        after = state.loss(state.coefficients + length * step, state.margins + length * change)
        far = after > before + 1e-4 * length * slope + slack
        if not far.any():
            break
        length = np.where(far, length / 2, length)
    return length


def _dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("ij,ij->j", left, right))


def _logistic(values: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-values))`` without overflow."""
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0, small) / (1.0 + small))
