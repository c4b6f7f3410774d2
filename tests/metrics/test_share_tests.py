"""P-values of paired differences of shares agree with the intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from stitchkit.metrics.proportions import mean_difference
from stitchkit.metrics.share_tests import LEAST, mean_difference_p


@pytest.mark.parametrize("errors", range(9))
@pytest.mark.parametrize("columns", [1, 2])
def test_p_is_below_a_level_exactly_where_the_interval_leaves_out_0(errors, columns):
    right = np.ones((24, columns))
    other = right.copy()
    other[:errors, 0] = 0
    p = mean_difference_p(right, other, right)
    for level in (0.8, 0.9, 0.95, 0.99):
        found = mean_difference(right, other, right, level)
        assert (p < 1 - level) == (found.low > 0)
    assert mean_difference_p(other, right, right) == pytest.approx(p, rel=1e-2)


def test_nothing_apart_has_p_1_and_everything_apart_the_least():
    right = np.ones((40, 1))
    assert mean_difference_p(right, right, right) == 1
    assert mean_difference_p(right, 0 * right, right) == LEAST
    assert np.isnan(mean_difference_p(right, right, 0 * right))


def test_p_is_that_of_the_distribution_whose_quantiles_are_the_ends():
    right = np.ones((30, 1))
    other = np.where(np.arange(30) < 9, 0.0, 1.0)[:, None]
    p = mean_difference_p(right, other, right)
    rng = np.random.default_rng(0)
    weights = np.stack([rng.gamma(9, size=400_000), rng.gamma(0.5, size=400_000)])
    assert p / 2 == pytest.approx(np.mean(weights[0] < weights[1]), rel=0.1)
    assert p / 2 == pytest.approx(beta.cdf(0.5, 9, 0.5), rel=0.01)  # the same in closed form
