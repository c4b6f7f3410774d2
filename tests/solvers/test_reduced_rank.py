"""Reduced-rank regression against its literal form: the SVD of fitted values."""

from __future__ import annotations

import numpy as np
import pytest
from laws import fit, paired

from stitchkit.solvers.reduced_rank import ReducedRank
from stitchkit.solvers.ridge import Ridge

SHAPES = [(60, 6, 5), (60, 4, 7), (9, 14, 12)]


def literal(x, y, rank, alpha):
    """Ridge as least squares on augmented rows, its fitted values cut by SVD: the map, and the directions P."""
    a, b = x - x.mean(0), y - y.mean(0)
    penalty = alpha * (a**2).sum() / x.shape[1]
    rows = np.vstack([a, penalty**0.5 * np.eye(x.shape[1])])
    told = np.vstack([b, np.zeros((x.shape[1], y.shape[1]))])
    weight = np.linalg.lstsq(rows, told)[0]
    p = np.linalg.svd(rows @ weight)[2][:rank].T
    return weight @ p @ p.T, weight @ p, p, (rows, told)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_the_literal_form_gives_the_same_map_and_matching(shape, rank, alpha):
    x, y = paired(*shape, noise=1.0)
    weight, left, p, _ = literal(x, y, rank, alpha)
    for rows in (True, False):
        alignment = fit(ReducedRank(rank=rank, alpha=alpha), x, y, rows=rows)
        np.testing.assert_allclose(alignment.to_target.weight, weight, atol=1e-9)
        expected = (x - x.mean(0)) @ left, (y - y.mean(0)) @ p
        expected = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in expected]
        np.testing.assert_allclose(alignment.similarity(x, y), expected[0] @ expected[1].T, atol=1e-8)


def test_no_map_of_that_rank_does_better():
    x, y = paired(60, 6, 5, noise=1.0)
    weight, _, _, (rows, told) = literal(x, y, 2, 0.3)

    def loss(one):
        return ((told - rows @ one) ** 2).sum()

    ours = fit(ReducedRank(rank=2, alpha=0.3), x, y).to_target.weight
    assert loss(ours) == pytest.approx(loss(weight))
    rng = np.random.default_rng(0)
    u, s, vh = np.linalg.svd(ours)
    for _ in range(200):
        left, right = (part + 0.05 * rng.normal(size=part.shape) for part in (u[:, :2] * s[:2], vh[:2]))
        assert loss(left @ right) > loss(ours)


@pytest.mark.parametrize("shape", SHAPES)
def test_at_full_rank_it_is_ridge(shape):
    x, y = paired(*shape, noise=1.0)
    ours, ridge = (fit(one, x, y).to_target for one in (ReducedRank(alpha=0.3), Ridge(alpha=0.3)))
    np.testing.assert_allclose(ours(x), ridge(x), atol=1e-9)


def test_it_finds_the_few_directions_that_are_there():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 10))
    truth = rng.normal(size=(10, 2)) @ rng.normal(size=(2, 10))
    y = x @ truth + rng.normal(size=(80, 10))
    error = {r: np.linalg.norm(fit(ReducedRank(rank=r, alpha=1e-6), x, y).to_target.weight - truth) for r in (1, 2, 10)}
    assert error[2] < 0.75 * error[10]
    assert error[2] < error[1]


def test_more_rank_than_the_anchors_show_is_not_kept():
    record = fit(ReducedRank(rank=50), *paired(60, 6, 5)).record
    assert (record["rank"], record["settings"]["rank"], record["kept"]) == (5, 5, 1.0)
    few = fit(ReducedRank(rank=1), *paired(60, 6, 5)).record
    assert 0 < few["kept"] < 1
