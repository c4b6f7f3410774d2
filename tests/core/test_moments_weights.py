"""Weights: how often a pair counts."""

from __future__ import annotations

import numpy as np
import pytest
from literal_moments import error, literal, same

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError
from stitchkit.core.moments.moments import Moments, moments_by, total

RNG = np.random.default_rng(11)
N = 400
X = RNG.normal(size=(N, 5)) * [1, 30, 0.1, 1, 1] + 2
Y = X @ RNG.normal(size=(5, 3)) + RNG.normal(size=(N, 3))
W = RNG.uniform(0.01, 4, size=N)


@pytest.mark.parametrize("chunk", [1, 33, 8192])
def test_weighted_sums_are_what_extended_precision_gives(library, chunk):
    moments = Moments.of(*library(X, Y), weights=W, chunk=chunk)
    reference = literal(X, Y, W)
    assert error(moments, reference) < 1e-13
    np.testing.assert_allclose(to_numpy(moments.mean_s), reference["mean_s"], rtol=1e-13)
    assert (moments.count, moments.weight) == (N, pytest.approx(W.sum(), rel=1e-13))
    assert type(moments.scatter_st) is type(library(X))


def test_numpys_weighted_covariance_agrees():
    moments = Moments.of(X, Y, W)
    expected = np.cov(np.hstack([X, Y]).T, aweights=W, ddof=0)
    np.testing.assert_allclose(moments.scatter_st / moments.weight, expected[:5, 5:], rtol=1e-10, atol=1e-12)


def test_whole_numbers_repeat_rows(library):
    times = RNG.integers(0, 4, size=N)
    weighted = Moments.of(*library(X, Y), times, chunk=64)
    repeated = literal(np.repeat(X, times, axis=0), np.repeat(Y, times, axis=0))
    assert error(weighted, repeated) < 1e-13
    assert weighted.weight == times.sum()
    assert weighted.count == np.count_nonzero(times)  # pairs that count at all: what degrees of freedom come from


def test_weights_of_one_are_no_weights(library):
    rows = library(X, Y)
    assert same(Moments.of(*rows, np.ones(N), chunk=100), Moments.of(*rows, chunk=100))


def test_one_factor_on_all_weights_scales_the_scatters_only():
    once, thrice = Moments.of(X, Y, W), Moments.of(X, Y, 3 * W)
    np.testing.assert_allclose(thrice.scatter_st, 3 * once.scatter_st, rtol=1e-12)
    np.testing.assert_allclose(thrice.mean_s, once.mean_s, rtol=1e-13)


def test_weighted_parts_add_up_to_the_whole():
    parts = [Moments.of(X[a:b], Y[a:b], W[a:b]) for a, b in ((0, 1), (1, 150), (150, N))]
    whole = total(parts)
    assert error(whole, literal(X, Y, W)) < 1e-13
    assert whole.weight == pytest.approx(W.sum(), rel=1e-14)
    mixed = parts[0] + Moments.of(X[1:], Y[1:])
    assert error(mixed, literal(X, Y, np.concatenate([W[:1], np.ones(N - 1)]))) < 1e-13


def test_pairs_of_weight_zero_may_lie_anywhere(library):
    x, y, w = X.copy(), Y.copy(), W.copy()
    x[::3] += 1e12
    w[::3] = 0
    kept = w > 0
    for chunk in (1, 50, 8192):
        assert error(Moments.of(*library(x, y), w, chunk=chunk), literal(X[kept], Y[kept], W[kept])) < 1e-12


def test_far_from_the_origin_weights_cost_no_digits():
    x = X[:, [0, 3, 4]] + 1e8  # sd 1
    assert error(Moments.of(x, Y, W, chunk=50), literal(x, Y, W)) < 1e-12
    parts = [Moments.of(x[i : i + 40], Y[i : i + 40], W[i : i + 40]) for i in range(0, N, 40)]
    assert error(total(parts), literal(x, Y, W)) < 1e-12


def test_weights_ride_with_streams_and_sets():
    labels = RNG.integers(0, 3, size=N)
    for label, part in enumerate(moments_by(X, Y, labels, weights=W, chunk=90)):
        of = labels == label
        assert error(part, literal(X[of], Y[of], W[of])) < 1e-13
    stream = ((X[i : i + 90], Y[i : i + 90], W[i : i + 90]) for i in range(0, N, 90))
    assert same(Moments.of_chunks(stream), Moments.of(X, Y, W, chunk=90))


def test_fast_weighs_in_single_precision():
    x, y = X.astype(np.float32), Y.astype(np.float32)
    assert 1e-10 < error(Moments.of(x, y, W, precision="fast"), literal(x, y, W)) < 2e-6


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.ones(N - 1), rf"weights must be \({N},\).*got shape \({N - 1},\)"),
        (np.ones((N, 1)), r"one for each pair"),
        (np.where(np.arange(N) == 7, -0.5, 1.0), r"0 or more; got -0.5 in row 7"),
        (np.where(np.arange(N) == 9, np.nan, 1.0), r"got nan in row 9"),
        (np.where(np.arange(N) == 9, np.inf, 1.0), r"got inf in row 9"),
        (np.zeros(N), r"all weights are zero.*above zero"),
        (np.full(N, "a"), r"not real numbers"),
    ],
)
def test_wrong_weights_are_refused(weights, match):
    with pytest.raises(InputError, match=match):
        Moments.of(X, Y, weights)


def test_a_set_without_weight_is_refused_by_its_number():
    labels = np.repeat([0, 1], N // 2)
    with pytest.raises(InputError, match="set 1 has weights zero"):
        moments_by(X, Y, labels, weights=np.where(labels == 1, 0.0, 1.0))
    with pytest.raises(InputError, match="zero"):
        Moments.of_chunks([(X, Y, np.zeros(N))])


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_what_has_no_weight_may_be_anything(library, chunk):
    x, y = library(np.array([[1.0], [np.nan], [3.0], [5.0]]), np.ones((4, 1)))
    found = Moments.of(x, y, [1, 0, 2, 1], chunk=chunk)
    assert (found.count, found.weight) == (3, 4.0)
    assert float(found.scatter_ss[0, 0]) == pytest.approx(8.0)
