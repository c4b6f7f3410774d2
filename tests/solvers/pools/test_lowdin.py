"""Löwdin's closed form, against scipy's matrix root and the laws of an orthonormal basis."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from two_clouds import clouds, recall, turn

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import EvidenceError, InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments
from stitchkit.solvers.pools.lowdin import Lowdin
from stitchkit.solvers.procrustes import Procrustes


def literal(rows, new, centre, shrink):
    """The formula as it is written."""
    a = rows - centre
    square = a @ a.T
    k = shrink * np.trace(square) / len(a)
    return (new - centre) @ a.T @ fractional_matrix_power(square + k * np.eye(len(a)), -0.5)


@pytest.mark.parametrize("pools", [True, False])
def test_it_is_the_formula(library, pools):
    c = clouds(n=7)
    found = Lowdin().fit(c.evidence(library, pools=pools))
    for fitted, rows, pool, new in (
        (found.source_map, c.x, c.pool_x, c.new_x),
        (found.target_map, c.y, c.pool_y, c.new_y),
    ):
        centre = (np.concatenate([rows, pool]) if pools else rows).mean(axis=0)
        ours = fitted(library(new))
        assert type(ours) is type(library(new))
        np.testing.assert_allclose(to_numpy(ours), literal(rows, new, centre, 0.03), atol=1e-9)
    assert found.record["centre"] == ("anchors and pool" if pools else "anchors")


def test_without_shrinking_the_anchors_become_orthonormal():
    c = clouds(n=7)
    found = Lowdin(shrink=1e-12).fit(c.evidence())
    mapped = found.source_map(c.x)
    np.testing.assert_allclose(mapped.T @ mapped, (mapped.T @ mapped).T, atol=1e-9)
    values = np.linalg.svd(found.source_map.weight, compute_uv=False)
    np.testing.assert_allclose(values, 1, atol=1e-6)


@pytest.mark.parametrize("n", [9, 60])
def test_a_noise_free_rotation_is_recovered(library, n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 8)) + 3
    y = 2.5 * x @ turn(8, 1) - 1
    found = Lowdin(shrink=1e-12).fit(Evidence(Moments.of(*library(x, y)), None, library(x, y)))
    np.testing.assert_allclose(to_numpy(found.to_target(library(x))), y, atol=1e-6)


def test_turning_and_scaling_a_space_changes_no_similarity():
    c = clouds(n=7)
    moved = c._replace(**{name: 5 * getattr(c, name) @ turn(20, 9) + 2 for name in ("x", "pool_x", "new_x")})
    plain, turned = Lowdin().fit(c.evidence()), Lowdin().fit(moved.evidence())
    np.testing.assert_allclose(turned.similarity(moved.new_x, c.new_y), plain.similarity(c.new_x, c.new_y), atol=1e-9)
    np.testing.assert_allclose(turned.to_target(moved.new_x), plain.to_target(c.new_x), atol=1e-9)


def test_with_the_pools_centre_few_pairs_are_used_better_than_by_procrustes():
    draws = [clouds(n=6, seed=seed) for seed in range(4)]
    ours = np.mean([recall(Lowdin().fit(c.evidence()), c.new_x, c.new_y) for c in draws])
    theirs = np.mean([recall(Procrustes().fit(c.evidence(pools=False)), c.new_x, c.new_y) for c in draws])
    assert ours > theirs + 0.02


def test_r2_is_that_of_the_directed_map():
    c = clouds(n=12)
    found = Lowdin().fit(c.evidence())
    residual = c.y - found.to_target(c.x)
    expected = 1 - (residual**2).sum() / ((c.y - c.y.mean(0)) ** 2).sum()
    assert found.record["r2"] == pytest.approx(expected, abs=1e-10)


def test_what_cannot_be_fitted_is_refused():
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="shrink above 0"):
            Lowdin(shrink=bad)
    c = clouds()
    with pytest.raises(EvidenceError, match="Lowdin needs anchors"):
        Lowdin().fit(Evidence(Moments.of(c.x, c.y)))


def test_constant_sides_fit_without_a_word():
    ones, c = np.ones((8, 20)), clouds()
    found = Lowdin().fit(Evidence(Moments.of(ones, c.y), None, (ones, c.y)))
    np.testing.assert_allclose(found.to_target(ones), np.broadcast_to(c.y.mean(0), c.y.shape), atol=1e-9)
    assert np.isfinite(found.similarity(ones, c.y)).all()
