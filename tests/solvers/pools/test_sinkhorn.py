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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("heat", [0.3, 0.1])
def test_rounds_end_where_the_row_sums_are_even_enough(library, dtype, heat):
    scores = cosines(17, 23).astype(dtype)
    plan, whole = (sinkhorn(library(scores), heat, 500, tolerance) for tolerance in (1e-2, 0.0))
    found, last = to_numpy(plan.matrix()), to_numpy(whole.matrix())
    assert found.dtype == dtype
    assert not np.array_equal(found, last)
    np.testing.assert_allclose(found.sum(axis=0), 1 / 23, rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1 / 17, rtol=1e-2)
    np.testing.assert_allclose(found, last, rtol=3e-2)


def test_a_tolerance_that_is_not_met_makes_every_round():
    scores = cosines(17, 23)
    both = [sinkhorn(scores, 0.02, 30, tolerance).matrix() for tolerance in (1e-9, 0.0)]
    np.testing.assert_array_equal(*both)


@pytest.mark.parametrize(("k_s", "k_t"), [(4, 6), (6, 4), (5, 5)])
def test_the_cross_product_is_that_of_the_whole_plan(library, k_s, k_t):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(17, k_s)), rng.normal(size=(23, k_t))
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
