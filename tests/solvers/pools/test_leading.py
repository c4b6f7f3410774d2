"""Leading singular directions: exact in double precision, drafts in single, and where a draft's Gram matrix fails."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from stitchkit.core.arrays import best_values, single_svd, to_numpy
from stitchkit.solvers.pools.leading import leading

SHAPES = pytest.mark.parametrize("shape", [(40, 60), (60, 40), (50, 50)])


def matrix(shape, smallest=1e-2, seed=0):
    rng, k = np.random.default_rng(seed), min(shape)
    left, right = (np.linalg.qr(rng.normal(size=(m, k)))[0] for m in shape)
    return (left * np.geomspace(3.0, 3 * smallest, k)) @ right.T


def check(found, cross, rank, atol):
    """Values, orthonormal sides, and their product: what singular directions determine, signs left free."""
    u, s, v = (to_numpy(part).astype(np.float64) for part in found)
    left, values, right = np.linalg.svd(cross)
    np.testing.assert_allclose(s, values[:rank], atol=atol * values[0])
    for side in (u, v):
        np.testing.assert_allclose(side.T @ side, np.eye(rank), atol=10 * atol)
    np.testing.assert_allclose((u * s) @ v.T, (left[:, :rank] * values[:rank]) @ right[:rank], atol=10 * atol)


@SHAPES
def test_in_double_precision_they_are_those_of_the_whole_decomposition(library, shape):
    cross = matrix(shape)
    check(leading(library(cross), 12), cross, 12, 1e-12)


@SHAPES
def test_a_draft_is_as_good_as_single_precision(library, shape):
    cross = matrix(shape)
    found = leading(library(cross.astype(np.float32)), 12)
    assert all("float32" in str(part.dtype) for part in found)
    check(found, cross, 12, 1e-5)


@pytest.mark.parametrize("smallest", [1e-4, 1e-5])
def test_directions_that_a_gram_matrix_does_not_resolve_are_still_found(library, smallest):
    cross = matrix((40, 60), smallest)
    check(leading(library(cross.astype(np.float32)), 40), cross, 40, 3e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_more_than_there_are_gives_all(library, dtype):
    assert [part.shape for part in leading(library(matrix((9, 5)).astype(dtype)), 30)] == [(9, 5), (5,), (5, 5)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nothing_at_all_has_values_of_zero(dtype):
    u, s, v = leading(np.zeros((6, 4), dtype), 3)
    np.testing.assert_array_equal(s, 0)
    assert np.isfinite(u).all()
    assert np.isfinite(v).all()


def test_where_the_single_decomposition_gives_up_the_double_one_is_taken(monkeypatch):
    def fails(*_, **settings):
        raise np.linalg.LinAlgError("SVD did not converge")

    cross = matrix((20, 30)).astype(np.float32)
    monkeypatch.setattr(scipy.linalg, "svd", fails)
    u, s, vh = single_svd(cross)
    assert u.dtype == s.dtype == vh.dtype == np.float32
    np.testing.assert_allclose((u * s) @ vh, cross, atol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 11])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_best_values_are_those_of_a_sort(library, k, dtype):
    rows = np.random.default_rng(k).normal(size=(7, 11)).astype(dtype)
    np.testing.assert_array_equal(np.sort(to_numpy(best_values(library(rows), k))), np.sort(rows)[:, -k:])
    np.testing.assert_array_equal(np.sort(to_numpy(best_values(library(rows.T), 2))), np.sort(rows.T)[:, -2:])
