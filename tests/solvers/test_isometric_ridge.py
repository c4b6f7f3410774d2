"""Ridge toward the isometry: its objective, and its two ends."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from laws import fit, paired, rotation

from stitchkit.solvers.isometric_ridge import IsometricRidge
from stitchkit.solvers.least_squares import LeastSquares
from stitchkit.solvers.procrustes import Procrustes
from stitchkit.solvers.ridge import Ridge

SHAPES = [(60, 5, 5), (60, 6, 4), (60, 4, 6), (9, 14, 12), (4, 6, 6)]


def literal(x, y, alpha):
    """The formula with full matrices, and the isometry and penalty in it."""
    a, b = x - x.mean(0), y - y.mean(0)
    u, s, vh = np.linalg.svd(a.T @ b, full_matrices=False)
    r = int((s > 1e-10 * s[0]).sum())
    turn = u[:, :r] @ vh[:r]
    stretch = s[:r].sum() / np.trace(turn.T @ a.T @ a @ turn)
    penalty = alpha * np.trace(a.T @ a) / x.shape[1]
    return np.linalg.solve(a.T @ a + penalty * np.eye(x.shape[1]), a.T @ b + penalty * stretch * turn), turn * stretch


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("rows", [True, False])
def test_it_is_the_formula(shape, alpha, rows):
    x, y = paired(*shape, noise=0.7)
    found = fit(IsometricRidge(alpha=alpha), x, y, rows=rows).to_target
    np.testing.assert_allclose(found.weight, literal(x, y, alpha)[0], atol=1e-8)


def test_least_squares_with_the_isometry_as_prior_rows_gives_the_same():
    x, y = paired(60, 6, 4, noise=0.7)
    weight, prior = literal(x, y, 0.5)
    penalty = 0.5 * ((x - x.mean(0)) ** 2).sum() / 6
    # the penalty as further anchors: sqrt(lam) I goes to sqrt(lam) s R
    rows = np.vstack([x - x.mean(0), penalty**0.5 * np.eye(6)])
    told = np.vstack([y - y.mean(0), penalty**0.5 * prior])
    np.testing.assert_allclose(scipy.linalg.lstsq(rows, told)[0], weight, atol=1e-10)
    np.testing.assert_allclose(fit(IsometricRidge(alpha=0.5), x, y).to_target.weight, weight, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_penalty_it_is_least_squares(shape):
    x, y = paired(*shape, noise=0.7)
    ours, least = (fit(one, x, y).to_target for one in (IsometricRidge(alpha=1e-11), LeastSquares()))
    np.testing.assert_allclose(ours(x), least(x), atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_with_all_penalty_it_is_scaled_procrustes(shape):
    x, y = paired(*shape, noise=0.7)
    ours, isometry = (fit(one, x, y).to_target for one in (IsometricRidge(alpha=1e10), Procrustes()))
    np.testing.assert_allclose(ours.weight, isometry.weight, atol=1e-8)


def test_the_way_between_the_ends_gets_farther_from_the_one_and_nearer_to_the_other():
    x, y = paired(60, 6, 6, noise=0.7)
    least, isometry = (fit(one, x, y).to_target.weight for one in (LeastSquares(), Procrustes()))
    on_the_way = [fit(IsometricRidge(alpha=alpha), x, y).to_target.weight for alpha in (1e-3, 1e-1, 10, 1e3)]
    from_least = [np.linalg.norm(weight - least) for weight in on_the_way]
    from_isometry = [np.linalg.norm(weight - isometry) for weight in on_the_way]
    assert from_least == sorted(from_least)
    assert from_isometry == sorted(from_isometry, reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_a_noisy_rotation_is_found_from_so_few_anchors_that_neither_ridge_nor_least_squares_finds_it(seed):
    x, _ = paired(12, 8, 8, seed=seed)
    turn = rotation(8, seed)
    y = x @ turn + 0.3 * np.random.default_rng(seed + 9).normal(size=x.shape)

    def error(solver):
        return np.linalg.norm(fit(solver, x, y).to_target.weight - turn)

    grid = (1e-6, 1e-4, 1e-2, 1e-1, 1.0)
    assert error(IsometricRidge(alpha=1.0)) < 0.7 * min(error(Ridge(alpha=alpha)) for alpha in grid)
    assert error(IsometricRidge(alpha=1.0)) < 0.7 * error(LeastSquares())


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_the_ends_themselves_are_refused_by_name(alpha):
    with pytest.raises(ValueError, match="The ends are LeastSquares and Procrustes"):
        IsometricRidge(alpha=alpha)
