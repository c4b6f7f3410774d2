"""Several tests at once: Holm's adjustment, literal and against its promise; p-values from resamples."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.metrics.multiplicity import holm, resampled_p


def test_holm_is_the_step_down_rule():
    p = np.array([0.03, 0.001, 0.2, 0.04])
    assert holm(p).tolist() == pytest.approx([0.09, 0.004, 0.2, 0.09])


def test_holm_keeps_order_and_one():
    p = np.random.default_rng(0).random(20)
    raised = holm(p)
    assert (np.diff(raised[np.argsort(p)]) >= 0).all()
    assert (raised >= p).all()
    assert raised.max() <= 1


def test_the_family_errs_as_rarely_as_promised():
    rng = np.random.default_rng(1)
    errs = [(holm(rng.random(8)) < 0.05).any() for _ in range(4000)]
    assert 0.03 < np.mean(errs) < 0.06


def test_a_p_value_from_resamples_is_two_sided_and_never_zero():
    assert resampled_p(np.ones(999)) == pytest.approx(2 / 1000)
    assert resampled_p(-np.ones(999)) == pytest.approx(2 / 1000)
    assert resampled_p(np.zeros(10)) == 1
    assert resampled_p(np.array([1.0, -1.0, np.nan])) == 1
    draws = np.r_[np.ones(95), -np.ones(5)]
    assert resampled_p(draws) == pytest.approx(12 / 101)
