"""PLS-SVD against scikit-learn's scores, and its regression against a literal one."""

from __future__ import annotations

import numpy as np
import pytest
from laws import fit, paired
from sklearn.cross_decomposition import PLSSVD

from stitchkit.core.arrays import to_numpy
from stitchkit.solvers.least_squares import LeastSquares
from stitchkit.solvers.pls import PLS
from stitchkit.solvers.procrustes import Procrustes

SHAPES = [(60, 6, 5), (60, 4, 7), (9, 14, 12)]


@pytest.mark.parametrize("scale", ["none", "both"])
@pytest.mark.parametrize("shape", SHAPES)
def test_scikit_learn_finds_the_same_scores(shape, scale):
    x, y = paired(*shape, noise=1.0)
    theirs = PLSSVD(n_components=3, scale=scale == "both").fit(x, y)
    alignment = fit(PLS(rank=3, scale=scale), x, y)
    ours = alignment.source_map(x), alignment.target_map(y)
    signs = np.sign((ours[0] * theirs.transform(x)).sum(0))
    for mine, reference in zip(ours, theirs.transform(x, y), strict=True):
        np.testing.assert_allclose(mine * signs, reference, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 2, 3, None])
@pytest.mark.parametrize("rows", [True, False])
def test_the_directed_map_regresses_the_target_on_the_source_scores(library, shape, rank, rows):
    x, y = paired(*shape, noise=1.0)
    a, b = x - x.mean(0), y - y.mean(0)
    most = min(*shape[1:], shape[0] - 1)
    u = np.linalg.svd(a.T @ b)[0][:, : rank or most]
    literal = a @ u @ np.linalg.lstsq(a @ u, b)[0] + y.mean(0)
    alignment = fit(PLS(rank=rank), *library(x, y), rows=rows)
    np.testing.assert_allclose(to_numpy(alignment.to_target(library(x))), literal, atol=1e-8)


def test_its_matching_is_that_of_procrustes_and_its_prediction_is_not():
    x, y = paired(60, 6, 5, noise=1.0)
    ours, isometry = fit(PLS(rank=3), x, y), fit(Procrustes(rank=3), x, y)
    np.testing.assert_allclose(ours.similarity(x, y), isometry.similarity(x, y), atol=1e-12)
    assert ours.record["r2"] > isometry.record["r2"] + 0.01


def test_at_full_rank_of_a_narrower_source_it_is_least_squares_and_is_warned_of():
    x, y = paired(30, 4, 7, noise=1.0)
    np.testing.assert_allclose(fit(PLS(), x, y).to_target(x), fit(LeastSquares(), x, y).to_target(x), atol=1e-10)
    assert fit(PLS(), x, y).record["notes"] == []
    assert "9 anchors for a regression on 8 scores" in fit(PLS(), *paired(9, 14, 12)).record["notes"][0]


def test_scores_that_hardly_differ_are_regressed_on_without_blowing_up():
    x, y = paired(80, 6, 8)
    near = np.concatenate([x, x + 1e-7 * paired(80, 6, 6, seed=3)[0]], axis=1)
    alignment = fit(PLS(), near, y)
    least = fit(LeastSquares(), near[:, :6], y).to_target(x)
    assert np.linalg.norm(alignment.to_target(near) - least) < 0.2 * np.linalg.norm(y - y.mean(0))
    assert np.isfinite(alignment.to_target.weight).all()
