"""Columns of logistic regressions fitted together: the optimum, by its own conditions and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stitchkit.evaluation.scores.logistic import PrincipalRows, fit_columns, likeliest_curve


def problem(n, d, c, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.geomspace(1, 0.05, d)
    y = (x @ rng.normal(size=(d, c)) + rng.normal(size=(n, c)) > np.linspace(-1, 1, c)).astype(float)
    return (x - x.mean(axis=0)) / x.std(axis=0), y, rng.random((n, c)) + 0.1


def gradient(x, y, costs, weight, bias):
    """The gradient (d + 1, c) of every column's loss, written out."""
    pull = costs * (1 / (1 + np.exp(-(x @ weight + bias))) - y)
    return np.concatenate([weight + x.T @ pull, pull.sum(axis=0)[None]])


@pytest.mark.parametrize("strength", [1e-6, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("n", "d"), [(200, 10), (60, 60), (30, 120), (8, 3)])
def test_every_column_ends_where_its_gradient_vanishes(n, d, strength):
    x, y, weights = problem(n, d, 4)
    design = PrincipalRows.of(x)
    found = fit_columns(design, y, strength * weights)
    left = gradient(x, y, strength * weights, design.weight(found), found[-1])
    at_zero = gradient(x, y, strength * weights, np.zeros((d, 4)), np.zeros(4))
    assert np.abs(left).max() < 1e-5 * np.abs(at_zero).max()


@pytest.mark.parametrize("strength", [1e-3, 1.0])
@pytest.mark.parametrize(("n", "d"), [(200, 10), (40, 90)])
def test_weighted_rows_are_scikit_learns_sample_weights(n, d, strength):
    x, y, weights = problem(n, d, 3)
    weights[: n // 5] = 0
    design = PrincipalRows.of(x)
    found = fit_columns(design, y, strength * weights)
    for c in range(3):
        model = LogisticRegression(C=strength, max_iter=10_000, tol=1e-10).fit(x, y[:, c], weights[:, c])
        size = np.abs(model.coef_).max()
        assert np.allclose(design.weight(found)[:, c], model.coef_[0], rtol=0, atol=2e-5 * size)
        assert np.allclose(found[-1, c], model.intercept_[0], rtol=0, atol=2e-5 * max(1, size))


def test_a_start_changes_the_way_and_not_the_end():
    x, y, weights = problem(80, 20, 3)
    design = PrincipalRows.of(x)
    cold = fit_columns(design, y, weights)
    for start in (fit_columns(design, y, 1e-3 * weights), 10 * np.ones_like(cold)):
        before = start.copy()
        assert np.allclose(fit_columns(design, y, weights, start), cold, rtol=0, atol=1e-6 * np.abs(cold).max())
        assert np.array_equal(start, before)


def test_a_column_does_not_depend_on_its_neighbours():
    x, y, weights = problem(80, 20, 5)
    design = PrincipalRows.of(x)
    together = fit_columns(design, y, weights)
    alone = np.concatenate([fit_columns(design, y[:, [c]], weights[:, [c]]) for c in range(5)], axis=1)
    assert np.allclose(together, alone, rtol=0, atol=1e-6 * np.abs(alone).max())


def test_separable_rows_end_at_the_penalised_optimum():
    x, _, _ = problem(50, 5, 1)
    y = (x[:, :1] > 0).astype(float)
    design = PrincipalRows.of(x)
    found = fit_columns(design, y, np.full((50, 1), 1e4))
    left = gradient(x, y, np.full((50, 1), 1e4), design.weight(found), found[-1])
    assert np.abs(left).max() < 1e-4 * np.abs(found).max()


def test_a_feature_that_is_constant_gets_no_weight():
    x, y, weights = problem(40, 6, 2)
    x[:, 2] = 0
    design = PrincipalRows.of(x)
    assert np.abs(design.weight(fit_columns(design, y, weights))[2]).max() < 1e-10


@pytest.mark.parametrize("case", ["plain", "separable", "against", "two values", "outlier"])
def test_the_likeliest_curve_is_scikit_learns_without_a_penalty(case):
    rng = np.random.default_rng(5)
    values = rng.normal(size=80)
    truth = (values + rng.normal(size=80) > 0.5).astype(float)
    if case == "separable":
        truth = (values > 0).astype(float)
    if case == "against":
        truth = 1 - truth
    if case == "two values":
        values = np.sign(values)
    if case == "outlier":
        values[0] = 1e3
    values = (values - values.mean()) / values.std()
    shares = np.where(truth == 1, 0.97, 0.02)
    slope, intercept = likeliest_curve(values, shares)
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000)
    both = np.concatenate([values, values])[:, None]
    model.fit(both, np.repeat([1, 0], 80), sample_weight=np.concatenate([shares, 1 - shares]))
    assert slope == pytest.approx(model.coef_[0, 0], rel=1e-5, abs=1e-5)
    assert intercept == pytest.approx(model.intercept_[0], rel=1e-5, abs=1e-5)
    chance = 1 / (1 + np.exp(-(slope * values + intercept)))
    assert abs((chance - shares).sum()) < 1e-9
    assert abs(((chance - shares) * values).sum()) < 1e-9
