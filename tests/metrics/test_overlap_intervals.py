"""Intervals of overlaps: what an item pulls, and how often the truth is inside."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.metrics.neighbourhoods import chance_overlap, mutual_knn, neighbour_rows
from stitchkit.metrics.overlap_intervals import Overlap, overlap_intervals, share_intervals


def draw(n, noise, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    return x + noise * rng.normal(size=x.shape), (x if noise < 9 else 0) + noise * rng.normal(size=x.shape)


def overlap(x, y, k=5):
    return Overlap.of(neighbour_rows(x, k)[None], neighbour_rows(y, k)[None])


def test_the_value_is_mutual_knn_and_the_pulls_are_the_literal_ones():
    x, y = draw(30, 0.5, 0)
    found = overlap(x, y)
    assert found.value == pytest.approx(mutual_knn(x, y, 5))
    near, far = (np.zeros((30, 30)) for _ in range(2))
    for table, side in ((near, x), (far, y)):
        np.put_along_axis(table, neighbour_rows(side, 5), 1, axis=1)
    excess = (near * far - found.value * (near + far) / 2) / 150
    excess = excess + excess.T
    pulls = excess.sum(axis=1)
    once = np.sum(pulls**2) - np.sum(excess**2) / 4
    assert found.excess.sum() == pytest.approx(0, abs=1e-12)
    assert np.sum(found.pulls**2) == pytest.approx(once)
    np.testing.assert_allclose(found.pulls / np.linalg.norm(found.pulls), pulls / np.linalg.norm(pulls), atol=1e-12)


@pytest.mark.parametrize(("noise", "truth"), [(9.0, chance_overlap(80, 5)), (0.5, None)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(noise, truth):
    if truth is None:
        truth = np.mean([mutual_knn(*draw(80, noise, seed), 5) for seed in range(1000, 1400)])
    found = [share_intervals([overlap(*draw(80, noise, seed))], 200, seed)[0] for seed in range(200)]
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.9


def test_a_difference_is_paired_and_of_itself_nothing():
    x, y = draw(60, 0.5, 1)
    one, other = overlap(x, y), overlap(x, y + 0.01 * np.random.default_rng(2).normal(size=y.shape))
    whole, apart = overlap_intervals([one, one - other], 400, 0)
    assert apart.high - apart.low < 0.5 * (whole.high - whole.low)
    assert overlap_intervals([one - one], 50, 0)[0] == (0, 0, 0)


def test_an_overlap_of_all_or_nothing_has_width():
    x, _ = draw(20, 0.5, 3)
    near = neighbour_rows(x, 5)[None]
    assert share_intervals([Overlap.of(near, near)], 50, 0)[0] == (1.0, pytest.approx(0.025 ** (1 / 20)), 1.0)
    far = np.stack([np.setdiff1d(np.arange(20), [*row, i])[:5] for i, row in enumerate(near[0])])[None]
    assert share_intervals([Overlap.of(near, far)], 50, 0)[0] == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
