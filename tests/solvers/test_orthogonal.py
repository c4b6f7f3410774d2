"""The orthogonal map from the cross scatter alone."""

from __future__ import annotations

import numpy as np
import pytest
from laws import fit, paired

import stitchkit as sk
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.solvers import orthogonal
from stitchkit.solvers.orthogonal import orthogonal_map
from stitchkit.solvers.procrustes import Procrustes


@pytest.mark.parametrize(("d_s", "d_t"), [(6, 6), (6, 4), (4, 6)])
def test_it_is_the_rigid_procrustes_map(library, monkeypatch, d_s, d_t):
    monkeypatch.setattr(orthogonal, "CHUNK", 17)
    x, y = paired(90, d_s, d_t)
    x = np.sort(x, axis=0) + 1e6  # chunks that drift, far from the origin
    found = orthogonal_map(*library(x, y))
    expected = fit(Procrustes(stretch=False), x, y).to_target
    assert type(found.weight) is type(library(x))
    np.testing.assert_allclose(to_numpy(found.weight), expected.weight, atol=1e-8)
    np.testing.assert_allclose(to_numpy(found(library(x))), expected(x), atol=1e-7)


def test_fast_products_are_near_the_exact_ones():
    x, y = (side.astype(np.float32) for side in paired(4000, 6, 6))
    exact, fast = orthogonal_map(x, y), orthogonal_map(x, y, precision="fast")
    assert fast.weight.dtype == np.float64
    assert 0 < np.abs(fast.weight - exact.weight).max() < 1e-5


def test_directions_without_evidence_are_dropped():
    x, y = paired(4, 8, 8)
    assert orthogonal_map(x, y, rcond=1e-8).rank == 3


def test_bad_rows_are_named():
    x, y = paired(30, 4, 4)
    y[20, 1] = np.nan
    with pytest.raises(InputError, match="row 20"):
        sk.orthogonal_map(x, y)
    with pytest.raises(InputError, match="at least 2"):
        sk.orthogonal_map(x[:1], x[:1])
    with pytest.raises(UnknownNameError, match="nearest: fast"):
        sk.orthogonal_map(x, x, precision="fst")


def test_sides_that_do_not_vary_together_are_refused():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(InputError, match="do not vary together"):
        orthogonal_map(np.ones((50, 3)), rows)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_is_refused_without_a_warning(bad):
    rows = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(InputError):
        orthogonal_map(np.where(rows > 1, bad, rows), rows)
