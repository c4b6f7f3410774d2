"""Moments: one pass, any chunks, any order, any library; taken apart only as far as the digits go."""

from __future__ import annotations

import numpy as np
import pytest
from literal_moments import error, literal

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError, UnknownNameError
from stitchkit.core.moments.moments import Moments, total
from stitchkit.core.space import Space

RNG = np.random.default_rng(7)
N, D_S, D_T = 211, 6, 4
X = RNG.normal(size=(N, D_S)) * [1, 10, 0.1, 1, 5, 1] + 3
Y = X @ RNG.normal(size=(D_S, D_T)) + RNG.normal(size=(N, D_T))


WHOLE = literal(X, Y)


@pytest.mark.parametrize("chunk", [1, 7, 100, N, 10 * N])
def test_chunked_and_whole_agree(library, chunk):
    moments = Moments.of(*library(X, Y), chunk=chunk)
    assert moments.count == N
    assert moments.shape == (D_S, D_T)
    assert error(moments, WHOLE) < 1e-12
    np.testing.assert_allclose(to_numpy(moments.mean_s), WHOLE["mean_s"], rtol=1e-13)
    np.testing.assert_allclose(to_numpy(moments.mean_t), WHOLE["mean_t"], rtol=1e-12)


def test_moments_stay_in_the_callers_library(library):
    x, y = library(X.astype(np.float32), Y)
    moments = Moments.of(x, y)
    assert type(moments.scatter_st) is type(x)
    assert "float64" in str(moments.scatter_ss.dtype)


def test_merged_and_whole_agree_in_any_order(library):
    cuts = [(0, 1), (1, 40), (40, 41), (41, 200), (200, N)]
    parts = [Moments.of(*library(X[a:b], Y[a:b])) for a, b in cuts]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        assert error(total(parts[i] for i in order), WHOLE) < 1e-12
    assert error((parts[0] + parts[1]) + (parts[2] + (parts[3] + parts[4])), WHOLE) < 1e-12


def test_row_order_is_irrelevant():
    order = np.random.default_rng(0).permutation(N)
    assert error(Moments.of(X[order], Y[order]), WHOLE) < 1e-12


def test_sites_far_apart_merge_exactly():
    x = X + np.repeat([0, 1e4], [100, N - 100])[:, None]
    parts = Moments.of(x[:100], Y[:100]) + Moments.of(x[100:], Y[100:])
    assert error(parts, literal(x, Y)) < 1e-12


def test_means_of_a_hundred_million_are_harmless_in_float64(library):
    x, y = X + 1e8, Y - 1e8
    exact = literal(x, y)
    assert error(Moments.of(*library(x, y)), exact) < 1e-12
    assert error(Moments.of(*library(x, y), chunk=50), exact) < 1e-12


def test_fast_is_exact_to_single_precision(library):
    x, y = X.astype(np.float32), Y.astype(np.float32)
    exact = literal(x, y)
    fast = Moments.of(*library(x, y), precision="fast", chunk=64)
    assert 1e-10 < error(fast, exact) < 1e-6
    assert "float64" in str(fast.scatter_ss.dtype)
    assert error(Moments.of(*library(x, y)), exact) < 1e-12


def test_fast_centres_before_it_rounds():
    x = (X + 1e5).astype(np.float32)
    fast = Moments.of(x, Y.astype(np.float32), precision="fast")
    assert error(fast, literal(x, Y.astype(np.float32))) < N * 2**-24  # the bound of a single-precision sum


def test_fast_with_mixed_precisions_is_exact():
    x = X.astype(np.float32)
    assert error(Moments.of(x, Y, precision="fast"), literal(x, Y)) < 1e-6


def test_fast_takes_whole_numbers_without_truncating_them():
    x, y = np.random.default_rng(0).integers(1, 9, size=(2, 50, 3))
    assert error(Moments.of(x, y, precision="fast"), literal(x, y)) < 1e-6


def test_fast_takes_half_precision_without_overflow():
    x = (X * 40).astype(np.float16)
    assert error(Moments.of(x, x, precision="fast"), literal(x, x)) < 1e-6


def test_one_pair_has_no_scatter():
    one = Moments.of(X[:1], Y[:1])
    assert (one.count, float(abs(one.scatter_ss).max())) == (1, 0.0)


def test_moments_of_different_spaces_are_not_mixed():
    def of(mark, wide=D_S):
        rows = Embeddings(X[:, :wide], np.arange(N).astype(str), Space("a", wide, mark))
        return Moments.of(rows, Y)

    assert (of("f1") + of("f1")).source == Space("a", D_S, "f1")
    for one, other in ((of("f1"), of("f2")), (of("f1"), of("f1", 3))):
        with pytest.raises(SpaceMismatchError, match="source side"):
            one + other
        with pytest.raises(SpaceMismatchError, match="source side"):
            one - other
    with pytest.raises(SpaceMismatchError, match="target side"):
        Moments.of(X, X) + Moments.of(X, Y)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="5 rows and target has 4"):
        Moments.of(X[:5], Y[:4])
    with pytest.raises(InputError, match="0 anchors"):
        Moments.of(X[:0], Y[:0])
    with pytest.raises(InputError, match="NaN"):
        Moments.of(np.where(X > 1e9, X, np.nan), Y)
    with pytest.raises(UnknownNameError, match="nearest: exact"):
        Moments.of(X, Y, precision="exac")
    with pytest.raises(InputError, match="chunk"):
        Moments.of(X, Y, chunk=0)


def test_libraries_are_not_mixed():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"different libraries.*Convert"):
        Moments.of(X, torch.asarray(Y))


@pytest.mark.parametrize("scale", [1e-18, 1e-21, 1e-25])
def test_fast_does_not_underflow(library, scale):
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * np.float32([1, scale, 1])
    fast, exact = (Moments.of(*library(rows, rows), precision=how) for how in ("fast", "exact"))
    np.testing.assert_allclose(to_numpy(fast.scatter_ss), to_numpy(exact.scatter_ss), rtol=1e-5)


@pytest.mark.parametrize("dtype", [">f8", np.longdouble])
def test_other_double_precisions_are_not_narrowed(dtype):
    rows = np.random.default_rng(0).normal(size=(50, 3)) + 1e8
    fast, exact = Moments.of(rows.astype(dtype), rows, precision="fast"), Moments.of(rows, rows)
    np.testing.assert_array_equal(fast.scatter_ss, exact.scatter_ss)
