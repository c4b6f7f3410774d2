"""However the rows are cut, sorted, merged, offset or scaled, moments are what extended precision gives."""

from __future__ import annotations

import numpy as np
import pytest
from literal_moments import error, literal

from stitchkit.core.arrays import to_numpy
from stitchkit.core.moments.moments import Moments, moments_by, total

N, D_S, D_T = 900, 5, 4
BOUND = 1e-12  # of sqrt(S_ii S_jj)


def correlated(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D_S))
    return x, x @ rng.normal(size=(D_S, D_T)) + rng.normal(size=(N, D_T))


def shapes():
    """Rows that make one-pass sums lose digits: name -> (x, y)."""
    x, y = correlated()
    jump = np.where(np.arange(N) < 7, 0.0, 1e6)[:, None]
    spike = np.zeros((N, 1))
    spike[-1] = 1e9
    return {
        "means of 1e8": (x + 1e8, y - 1e8),
        "means of 1e8 on one side": (x, y + 1e8),
        "scales of 1e12 and 1e-12": (x * 10.0 ** np.array([12, -12, 0, 6, -6]), y * 10.0 ** np.array([-12, 12, 3, -3])),
        "scales and means": (x * 10.0 ** np.array([12, -12, 0, 6, -6]) + 1e4, y),
        "sorted rows": (np.sort(x, axis=0) * 1e3, np.sort(y, axis=0)[::-1]),
        "a slow drift": (x + np.linspace(0, 1e6, N)[:, None], y),
        "a jump after seven rows": (x + jump, y - jump),
        "one outlier at the end": (x + spike, y),
        "alternating sites": (x + 1e7 * (np.arange(N) % 2)[:, None], y),
        "a constant column": (np.concatenate([x[:, :4], np.full((N, 1), 1 / 3)], axis=1), y),
    }


SHAPES = shapes()


def close(moments, x, y):
    reference = literal(x, y)
    assert error(moments, reference) < BOUND
    assert (abs(to_numpy(moments.mean_s) - reference["mean_s"]) <= 1e-15 * abs(x).max(0)).all()


@pytest.mark.parametrize("chunk", [1, 7, 256, 300, 8192])
@pytest.mark.parametrize("name", SHAPES)
def test_any_chunk_gives_what_extended_precision_gives(name, chunk):
    x, y = SHAPES[name]
    close(Moments.of(x, y, chunk=chunk), x, y)


@pytest.mark.parametrize("name", SHAPES)
def test_every_library_gives_the_same(library, name):
    x, y = SHAPES[name]
    close(Moments.of(*library(x, y), chunk=300), x, y)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 100, 899])
def test_any_merge_gives_what_extended_precision_gives(name, size):
    x, y = SHAPES[name]
    parts = [Moments.of(x[i : i + size], y[i : i + size]) for i in range(0, N, size)]
    close(total(parts), x, y)
    close(total(parts[::-1]), x, y)
    while len(parts) > 1:  # as a tree of workers would
        parts = [total(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    close(parts[0], x, y)


@pytest.mark.parametrize("name", SHAPES)
def test_sets_by_label_give_what_extended_precision_gives(name):
    x, y = SHAPES[name]
    labels = np.random.default_rng(3).integers(0, 4, size=N)
    parts = moments_by(x, y, labels, chunk=128)
    close(total(parts), x, y)


def test_a_constant_column_has_no_scatter_at_all(library):
    x, y = SHAPES["a constant column"]
    for chunk in (17, 300, 8192):
        moments = Moments.of(*library(x, y), chunk=chunk)
        assert not to_numpy(moments.scatter_ss)[4, :].any()
        assert not to_numpy(moments.scatter_st)[4, :].any()


def test_the_square_of_the_offset_is_what_a_naive_sum_loses():
    x, y = SHAPES["means of 1e8"]
    naive = x.T @ x - N * np.outer(x.mean(0), x.mean(0))
    reference = literal(x, y)["scatter_ss"]
    assert abs(naive - reference).max() > 0.1 * reference.max()


def test_scatters_are_symmetric_to_the_last_bit(library):
    x, y = correlated()
    wide = np.random.default_rng(1).normal(size=(N, 300))
    for moments in (Moments.of(*library(x, y), chunk=70), Moments.of(*library(wide, wide[:, ::-1].copy()), chunk=256)):
        for scatter in (to_numpy(moments.scatter_ss), to_numpy(moments.scatter_tt)):
            assert np.array_equal(scatter, scatter.T)


def test_wide_rows_are_multiplied_by_blocks_as_whole(library):
    wide = np.random.default_rng(1).normal(size=(64, 411))
    x, y = wide[:, :257], wide[:, 257:]
    assert error(Moments.of(*library(x, y)), literal(x, y)) < BOUND


def test_an_only_row_and_equal_rows_have_no_scatter_at_all(library):
    row = np.array([[1 / 3, 1e8 + 0.1, -7e-9]])
    for n in (1, 2, 300):
        moments = Moments.of(*library(np.repeat(row, n, axis=0), np.repeat(row, n, axis=0)), chunk=256)
        assert not to_numpy(moments.scatter_st).any()
        np.testing.assert_array_equal(to_numpy(moments.mean_s), row[0])


def test_two_rows_and_one_column_are_enough(library):
    x, y = np.array([[1.0], [3.0]]), np.array([[5.0], [1.0]])
    moments = Moments.of(*library(x, y))
    assert (moments.count, moments.weight, moments.shape) == (2, 2.0, (1, 1))
    found = (float(moments.scatter_ss[0, 0]), float(moments.scatter_st[0, 0]), float(moments.scatter_tt[0, 0]))
    assert found == (2.0, -4.0, 8.0)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("order", ["as drawn", "sorted"])
def test_fast_is_single_precision_wherever_the_chunk_lies(library, dtype, order):
    if (library.name, dtype) == ("array-api-strict", "float16"):
        pytest.skip("array-api-strict has no half precision")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(3000, 8)) * np.geomspace(0.5, 8, 8) + 5).astype(dtype)
    x = np.sort(x, axis=0) if order == "sorted" else x
    y = (x[:, :4] + rng.normal(size=(3000, 4))).astype(dtype)
    reference = literal(x, y)
    fast = Moments.of(*library(x, y), precision="fast", chunk=1000)
    assert 1e-10 < error(fast, reference) < 2e-6
    assert "float64" in str(fast.scatter_ss.dtype)
    assert error(Moments.of(*library(x, y), chunk=1000), reference) < BOUND


def test_half_precision_far_from_zero_is_said_to_have_lost_digits():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)) * [1, 1, 0] + [0, 1000, 5]
    with pytest.warns(UserWarning, match=r"1 of 3 columns of x have a mean of up to 1e\+03 standard dev.*float16"):
        Moments.of(x.astype(np.float16), x)
    with pytest.warns(UserWarning, match="columns of y.*float32"):
        Moments.of(x, (x + 1e7).astype(np.float32))
    Moments.of(x.astype(np.float32), x + 1e7)  # what holds it is not warned of
    Moments.of(x[:20].astype(np.float16), x[:20])  # too few rows to know


def test_the_warning_comes_where_a_hundredth_of_the_variance_is_rounding():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(20000, 1))
    quiet, said = wide + 2.5e6, wide + 5e6
    rounding = [np.var(rows.astype(np.float32).astype(np.float64) - rows) / np.var(rows) for rows in (quiet, said)]
    assert rounding[0] < 0.01 < rounding[1] < 0.03
    Moments.of(quiet.astype(np.float32), wide)
    with pytest.warns(UserWarning, match="rounding to float32"):
        Moments.of(said.astype(np.float32), wide)
