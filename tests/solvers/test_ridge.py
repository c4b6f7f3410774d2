"""Ridge against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model
from laws import fit, paired

from stitchkit.solvers.ridge import Ridge

NEW = paired(10, 6, 4, seed=5)[0]


@pytest.mark.parametrize("alpha", [1e-6, 0.1, 10, 1e4])
@pytest.mark.parametrize("n", [5, 80])
def test_scikit_learn_predicts_the_same(alpha, n):
    x, y = paired(n, 6, 4)
    penalty = alpha * ((x - x.mean(0)) ** 2).sum() / 6
    reference = sklearn.linear_model.Ridge(alpha=penalty).fit(x, y)
    for rows in (True, False):
        np.testing.assert_allclose(fit(Ridge(alpha=alpha), x, y, rows=rows).to_target(NEW), reference.predict(NEW),
                                   atol=1e-8)  # fmt: skip


def test_standardising_first_is_what_scaling_means():
    x, y = paired(80, 6, 4)
    by_x, by_y = x.std(0, ddof=1), y.std(0, ddof=1)
    for scale, sizes in (("source", np.ones(4)), ("both", by_y)):
        a, b = (x - x.mean(0)) / by_x, (y - y.mean(0)) / sizes
        reference = sklearn.linear_model.Ridge(alpha=0.3 * (a**2).sum() / 6).fit(a, b)
        expected = reference.predict((NEW - x.mean(0)) / by_x) * sizes + y.mean(0)
        np.testing.assert_allclose(fit(Ridge(alpha=0.3, scale=scale), x, y).to_target(NEW), expected, atol=1e-10)


def test_a_strong_penalty_predicts_the_mean():
    x, y = paired(80, 6, 4)
    np.testing.assert_allclose(fit(Ridge(alpha=1e12), x, y).to_target(NEW), np.tile(y.mean(0), (10, 1)), atol=1e-9)
