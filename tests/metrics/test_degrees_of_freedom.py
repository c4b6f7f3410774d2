"""Effective numbers of patients and degrees of freedom: against matrices and simulations, and their limits."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.metrics.degrees_of_freedom import (
    effective_number,
    left_around_mean,
    mean_freedom,
    normal_freedom,
    tailed_freedom,
)

SIZES = {"equal": np.ones(12), "one to six": np.arange(1, 13) % 6 + 1, "one of most": np.r_[40, np.ones(11)]}


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def share(request):
    return request.param / request.param.sum()


@pytest.mark.parametrize("k", [2, 5, 40])
def test_equal_patients_are_as_many_as_they_are(k):
    share = np.full(k, 1 / k)
    assert effective_number(share) == pytest.approx(k)
    assert normal_freedom(share) == pytest.approx(k - 1)
    assert left_around_mean(share) == pytest.approx(np.full(k, 1 - 1 / k))


def test_unequal_patients_are_fewer():
    numbers = [float(effective_number(one / one.sum())) for one in SIZES.values()]
    assert 12 > numbers[1] > 8 > 2 > numbers[2] > 1
    degrees = [float(normal_freedom(one / one.sum())) for one in SIZES.values()]
    assert 11 > degrees[1] > 6 > 1.1 > degrees[2] > 1


def test_degrees_are_those_of_the_quadratic_form(share):
    k = len(share)
    centred = share[:, None] * (np.eye(k) - share)
    form = centred.T @ np.diag(1 / (1 - 2 * share + share @ share)) @ centred
    assert normal_freedom(share) == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form), rel=1e-9)
    assert np.trace(form) == pytest.approx(share @ share)  # the variance of the mean


@pytest.mark.parametrize("alike", [False, True])
def test_corrected_sums_have_the_variance_of_the_mean_or_more(share, alike):
    """Items are independent, or all of a patient's are one; the other correction is the smaller."""
    rng, sizes = np.random.default_rng(0), np.round(share / share.min())
    means = rng.normal(size=(20_000, len(share))) / (1 if alike else np.sqrt(sizes))
    sums = share * (means - means @ share[:, None]) / np.sqrt(left_around_mean(share))
    ratio = np.mean(np.sum(sums**2, axis=1)) / np.var(means @ share)
    assert ratio > 0.97
    if alike or np.ptp(share) == 0:
        assert ratio < 1.15


def test_patients_who_are_not_there_change_nothing(share):
    padded = np.r_[share, 0, 0]
    assert effective_number(padded) == pytest.approx(effective_number(share))
    assert normal_freedom(padded) == pytest.approx(normal_freedom(share))
    assert left_around_mean(padded)[:12] == pytest.approx(left_around_mean(share))


def test_long_tails_have_fewer_degrees_than_normal_sums_and_none_more_than_the_most():
    rng, most = np.random.default_rng(1), np.full(500, 39.0)
    normal, tailed = rng.normal(size=(40, 500)), rng.standard_t(2.5, size=(40, 500))
    found = [np.median(tailed_freedom(one, np.full(500, 40.0), most)) for one in (normal, tailed)]
    assert found[1] < 20 < 30 < found[0] <= 39


def test_one_patient_who_varies_has_the_fewest_degrees_and_nobody_too():
    one, none = np.zeros((9, 1)), np.zeros((9, 1))
    one[0] = 0.3
    found = [tailed_freedom(each, np.asarray([9.0]), np.asarray([8.0]))[0] for each in (one, none, 1e3 * one)]
    assert found == pytest.approx(3 * [2 + 2 / (1 - 1 / 9)])
    assert np.isnan(tailed_freedom(np.full((3, 1), np.nan), np.asarray([3.0]), np.asarray([np.nan]))).all()


def test_classes_of_different_patients_add_up_and_of_the_same_do_not():
    share = np.full((10, 1), 0.1)
    same, apart = np.repeat(share, 4, axis=1), np.kron(np.eye(4), share)
    for shares, expected in ((share, 9.0), (same, 9.0), (apart, 36.0)):
        own = normal_freedom(shares)
        assert mean_freedom(np.ones(shares.shape[1]), shares**2, own) == pytest.approx(expected)
        assert mean_freedom(np.ones(shares.shape[1]), shares, effective_number(shares) - 1) == pytest.approx(expected)
