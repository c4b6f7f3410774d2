"""The one place where libraries meet."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core import arrays
from stitchkit.core.arrays import svd, to_numpy
from stitchkit.core.errors import InputError

RNG = np.random.default_rng(2)
SQUARE = RNG.normal(size=(5, 5))
POSITIVE = SQUARE @ SQUARE.T + np.eye(5)


def test_there_and_back_is_the_same(library):
    x = library(SQUARE)
    np.testing.assert_array_equal(arrays.to_numpy(x), SQUARE)
    assert arrays.as_array(x) is x or type(arrays.as_array(x)) is type(x)
    back = arrays.like(SQUARE, x)
    assert type(back) is type(x)
    assert arrays.device_of(back) == arrays.device_of(x)


def test_rows_are_taken(library):
    rows = np.array([3, 0, 3])
    np.testing.assert_array_equal(arrays.to_numpy(arrays.take(library(SQUARE), rows)), SQUARE[rows])


@pytest.mark.parametrize("lower", [True, False])
def test_triangular_systems_are_solved(library, lower):
    factor = np.tril(SQUARE) if lower else np.triu(SQUARE)
    right = RNG.normal(size=(5, 3))
    found = arrays.solve_triangular(*library(factor, right), lower=lower)
    np.testing.assert_allclose(factor @ arrays.to_numpy(found), right, atol=1e-10)


def test_cholesky_is_a_factor_or_none(library):
    factor = arrays.to_numpy(arrays.cholesky_or_none(library(POSITIVE)))
    np.testing.assert_allclose(factor @ factor.T, POSITIVE, rtol=1e-12)
    assert arrays.cholesky_or_none(library(np.diag([1.0, -1.0]))) is None


def test_identity_and_zeros_follow_their_reference(library):
    x = library(SQUARE)
    np.testing.assert_array_equal(arrays.to_numpy(arrays.eye_like(x, 3)), np.eye(3))
    np.testing.assert_array_equal(arrays.to_numpy(arrays.zeros_like_width(x, 3)), np.zeros(3))
    assert type(arrays.eye_like(x, 3)) is type(x)


def test_double_precision_is_reached_from_every_type(library):
    for dtype in ("float32", "float64", "int32"):
        assert "float64" in str(arrays.float64(library(SQUARE.astype(dtype))).dtype)


def test_brain_floats_reach_numpy():
    torch = pytest.importorskip("torch")
    assert arrays.to_numpy(torch.ones(2, dtype=torch.bfloat16)).tolist() == [1, 1]


def test_mixed_libraries_are_named():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"\(numpy, torch\)"):
        arrays.namespace(SQUARE, torch.asarray(SQUARE))


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize("shape", [(7, 4), (4, 7)])
def test_a_decomposition_that_gives_up_is_tried_another_way(monkeypatch, failures, shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    ours, left = np.linalg.svd, [failures]

    def fails_first(*args, **how):
        left[0] -= 1
        if left[0] >= 0:
            raise np.linalg.LinAlgError("SVD did not converge")
        return ours(*args, **how)

    monkeypatch.setattr(np.linalg, "svd", fails_first)
    u, s, vh = svd(matrix)
    assert (u.shape, s.shape, vh.shape) == ((shape[0], 4), (4,), (4, shape[1]))
    np.testing.assert_allclose(u * s @ vh, matrix, atol=1e-12)
    assert (np.diff(s) <= 0).all()


def test_the_decomposition_is_the_librarys_own(library):
    matrix = np.random.default_rng(0).normal(size=(6, 3))
    u, s, vh = svd(library(matrix))
    np.testing.assert_allclose(to_numpy(u) * to_numpy(s) @ to_numpy(vh), matrix, atol=1e-12)
    assert type(u) is type(library(matrix))


@pytest.mark.parametrize(("dtype", "worked"), [(">f8", "f8"), (np.longdouble, "f8"), (">f4", "f4"), ("f2", "f4")])
def test_only_what_is_narrower_than_double_is_worked_in_single(dtype, worked):
    assert arrays.working_float(np.ones((2, 2), dtype=dtype)).dtype == np.dtype(worked)
