"""The transport plan against the iteration in logarithms, as it stands in the books."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError
from stitchkit.solvers.pools.sinkhorn import sinkhorn


def cosines(m_s, m_t, seed=0):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(m, 5)) for m in (m_s, m_t))
    return (x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T


def in_logarithms(scores, heat, rounds):
    log_kernel = scores / heat
    m_s, m_t = scores.shape
    g = np.zeros(m_t)
    for _ in range(rounds):
        f = -np.log(m_s) - logsumexp(log_kernel + g[None, :], axis=1)
        g = -np.log(m_t) - logsumexp(log_kernel + f[:, None], axis=0)
    return np.exp(f[:, None] + log_kernel + g[None, :])


@pytest.mark.parametrize("heat", [0.5, 0.1, 0.04, 0.005])
def test_it_is_the_iteration_in_logarithms(library, heat):
    scores = cosines(17, 23)
    plan = sinkhorn(library(scores), heat, 30)
    np.testing.assert_allclose(to_numpy(plan.matrix()), in_logarithms(scores, heat, 30), rtol=1e-8, atol=1e-14)


def test_columns_are_exact_and_rows_come_near():
    plan = sinkhorn(cosines(17, 23), 0.1, 200).matrix()
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 23, rtol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 17, rtol=1e-6)


def test_the_cross_product_is_that_of_the_whole_plan(library):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(17, 4)), rng.normal(size=(23, 6))
    plan = sinkhorn(library(cosines(17, 23)), 0.1)
    np.testing.assert_allclose(to_numpy(plan.cross(*library(x, y))), x.T @ to_numpy(plan.matrix()) @ y, atol=1e-13)


def test_a_cold_plan_is_the_best_assignment():
    from scipy.optimize import linear_sum_assignment

    scores = cosines(12, 12, seed=3)
    plan = sinkhorn(scores, 0.005, 3000).matrix()
    np.testing.assert_array_equal(plan.argmax(axis=1), linear_sum_assignment(-scores)[1])


@pytest.mark.parametrize("heat", [0.0, -1.0, 0.001, float("nan")])
def test_a_heat_that_leaves_double_precision_is_refused(heat):
    with pytest.raises(InputError, match=r"at least 0\.005"):
        sinkhorn(cosines(5, 5), heat)
