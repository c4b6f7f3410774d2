"""Procrustes against scipy, padded against thin, and lengths on the anchors' span."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from laws import fit, paired, rotation

from stitchkit.solvers.procrustes import Procrustes


def isometry(alignment):
    return alignment.source_map.weight @ alignment.target_map.weight.T


def test_scipy_finds_the_same_rotation_and_scale():
    x, y = paired(60, 5, 5, noise=0.5)
    a, b = x - x.mean(0), y - y.mean(0)
    reference, trace = scipy.linalg.orthogonal_procrustes(a, b)
    alignment = fit(Procrustes(), x, y)
    np.testing.assert_allclose(isometry(alignment), reference, atol=1e-10)
    np.testing.assert_allclose(alignment.to_target.weight, trace / (a**2).sum() * reference, atol=1e-10)


@pytest.mark.parametrize(("d_s", "d_t"), [(5, 3), (3, 5), (4, 4)])
def test_padding_with_zeros_gives_the_same_map(d_s, d_t):
    x, y = paired(60, d_s, d_t, noise=0.5)
    wide = max(d_s, d_t)
    a, b = (np.pad(rows - rows.mean(0), ((0, 0), (0, wide - rows.shape[1]))) for rows in (x, y))
    padded = scipy.linalg.orthogonal_procrustes(a, b)[0][:d_s, :d_t]
    np.testing.assert_allclose(isometry(fit(Procrustes(), x, y)), padded, atol=1e-10)


def test_lengths_and_angles_are_kept_on_the_anchors_span():
    x = paired(7, 12, 12)[0]
    y = x @ rotation(12, 1)
    mapped = fit(Procrustes(), x, y).to_target(x)
    np.testing.assert_allclose(mapped, y, atol=1e-10)
    centred = x - x.mean(0)
    mapped = mapped - mapped.mean(0)
    np.testing.assert_allclose(mapped @ mapped.T, centred @ centred.T, atol=1e-10)


def test_reflections_are_allowed():
    x = paired(60, 4, 4)[0]
    y = x * [1, 1, 1, -1]
    assert np.linalg.det(isometry(fit(Procrustes(), x, y))) == pytest.approx(-1)


def test_the_rank_asked_for_is_kept_and_no_more():
    x, y = paired(60, 6, 5)
    assert fit(Procrustes(rank=2), x, y).record["rank"] == 2
    assert fit(Procrustes(rank=50), x, y).record["rank"] == 5
    low = fit(Procrustes(rank=2), x, y)
    u, s, vh = np.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)))
    stretch = s[:2].sum() / np.trace(u[:, :2].T @ (x - x.mean(0)).T @ (x - x.mean(0)) @ u[:, :2])
    np.testing.assert_allclose(low.to_target.weight, stretch * u[:, :2] @ vh[:2], atol=1e-10)
