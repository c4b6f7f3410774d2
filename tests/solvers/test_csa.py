"""CSA against a literal regularised CCA, and ridge at full dimension."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from laws import fit, paired

from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments
from stitchkit.solvers.csa import CSA
from stitchkit.solvers.ridge import Ridge

NEW_X, NEW_Y = paired(12, 6, 4, seed=5)


def literal_cca(x, y, kappa, k):
    """Canonical directions of regularised CCA as a generalised eigenproblem, with their correlations."""
    a, b = x - x.mean(0), y - y.mean(0)
    sx, sy, sxy = a.T @ a, b.T @ b, a.T @ b
    sx, sy = (s + kappa * np.trace(s) / len(s) * np.eye(len(s)) for s in (sx, sy))
    values, left = scipy.linalg.eigh(sxy @ np.linalg.solve(sy, sxy.T), sx)
    rho, left = np.sqrt(values[::-1][:k]), left[:, ::-1][:, :k]
    return left, np.linalg.solve(sy, sxy.T @ left) / rho, rho


def literal_similarity(x, y, left, right, weights):
    p, q = (NEW_X - x.mean(0)) @ left, (NEW_Y - y.mean(0)) @ right
    p, q = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (p, q))
    return p * weights @ q.T


@pytest.mark.parametrize("kappa", [1e-3, 0.1, 10])
@pytest.mark.parametrize("dims", [None, 2])
def test_a_literal_cca_gives_the_same_similarity(kappa, dims):
    x, y = paired(80, 6, 4, noise=1.0)
    left, right, _ = literal_cca(x, y, kappa, dims or 4)
    alignment = CSA(kappa=kappa, dims=dims).fit(Evidence(Moments.of(x, y), []))
    assert alignment.weights is None
    expected = literal_similarity(x, y, left, right, 1)
    np.testing.assert_allclose(alignment.similarity(NEW_X, NEW_Y), expected, atol=1e-9)


def test_the_weights_are_the_mean_correlations_of_held_out_folds():
    x, y = paired(90, 6, 4, noise=1.0)
    parts = np.arange(90).reshape(3, 30)
    expected = np.zeros(4)
    for part in parts:
        rest = np.setdiff1d(np.arange(90), part)
        left, right, _ = literal_cca(x[rest], y[rest], 0.1, 4)
        p, q = (x[part] - x[rest].mean(0)) @ left, (y[part] - y[rest].mean(0)) @ right
        expected += np.maximum((p * q).sum(0) / np.sqrt((p**2).sum(0) * (q**2).sum(0)), 0) / 3
    alignment = fit(CSA(kappa=0.1), x, y)
    np.testing.assert_allclose(alignment.weights, expected, atol=1e-9)
    assert ((alignment.weights >= 0) & (alignment.weights <= 1)).all()
    left, right, _ = literal_cca(x, y, 0.1, 4)
    np.testing.assert_allclose(
        alignment.similarity(NEW_X, NEW_Y), literal_similarity(x, y, left, right, expected), atol=1e-9
    )


@pytest.mark.parametrize(("n", "d_s", "d_t"), [(80, 6, 4), (80, 4, 6), (8, 12, 10)])
@pytest.mark.parametrize("kappa", [1e-4, 0.1, 10])
def test_at_full_dimension_the_directed_map_is_ridge(n, d_s, d_t, kappa):
    x, y = paired(n, d_s, d_t, noise=1.0)
    new = paired(20, d_s, d_t, seed=4)[0]
    for rows in (True, False):
        ours, ridge = (fit(one, x, y, rows=rows).to_target for one in (CSA(kappa=kappa), Ridge(alpha=kappa)))
        np.testing.assert_allclose(ours(new), ridge(new), atol=1e-9)


def test_pure_noise_weighs_little():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, 5)), rng.normal(size=(600, 5))
    assert fit(CSA(), x, y).weights.max() < 0.2
