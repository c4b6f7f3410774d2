"""Shared neighbourhoods, hubs and k-NN accuracy against full sorts, scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core import neighbours
from stitchkit.core.errors import InputError
from stitchkit.metrics import neighbourhoods
from stitchkit.metrics.neighbourhoods import (
    chance_overlap,
    hubness,
    mutual_knn,
    neighbour_rows,
    shared_neighbours,
    shuffled_overlaps,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6)) + 2
Y = X @ RNG.normal(size=(6, 4)) + RNG.normal(size=(90, 4))


def literal_neighbours(x, k):
    c = x - x.mean(axis=0)
    cosine = c @ c.T / np.outer(np.linalg.norm(c, axis=1), np.linalg.norm(c, axis=1))
    np.fill_diagonal(cosine, -np.inf)
    return [set(np.argsort(-row)[:k].tolist()) for row in cosine]


def test_mutual_neighbours_are_the_literal_ones(library, monkeypatch):
    monkeypatch.setattr(neighbours, "TILE", 16)
    monkeypatch.setattr(neighbourhoods, "TILE", 16)
    both = zip(literal_neighbours(X, 5), literal_neighbours(Y, 5), strict=True)
    expected = np.mean([len(a & b) / 5 for a, b in both])
    assert mutual_knn(*library(X, Y), 5) == pytest.approx(expected, abs=1e-12)


def test_neighbourhoods_do_not_change_when_a_space_is_turned_moved_or_scaled():
    turn = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    assert mutual_knn(X, 1e-3 * X @ turn + 7, 5) == 1.0


def test_shuffled_items_share_neighbours_by_chance():
    rows = [neighbour_rows(side, 5) for side in (X, Y)]
    found = shuffled_overlaps(*rows, times=400, seed=0)
    assert found.mean() == pytest.approx(chance_overlap(90, 5), abs=3 * found.std(ddof=1) / np.sqrt(400))


def test_renaming_the_items_is_what_shuffling_the_rows_does():
    order = np.random.default_rng(7).permutation(90)  # the first draw of seed 7
    moved = np.empty_like(Y)
    moved[order] = Y
    expected = mutual_knn(X, moved, 5)
    assert shuffled_overlaps(neighbour_rows(X, 5), neighbour_rows(Y, 5), 1, seed=7)[0] == pytest.approx(expected)


def test_lists_of_the_same_items_are_renamed_alike():
    lists = [np.stack([neighbour_rows(side[:, cut], 5) for cut in (slice(0, 2), slice(2, 4))]) for side in (X, Y)]
    each = [shuffled_overlaps(one, other, 7, seed=3) for one, other in zip(*lists, strict=True)]
    np.testing.assert_allclose(shuffled_overlaps(*lists, 7, seed=3), np.mean(each, axis=0), rtol=1e-14)


def test_shares_count_common_neighbours_in_any_order():
    one, other = np.array([[1, 2], [0, 2]]), np.array([[2, 1], [2, 3]])
    np.testing.assert_array_equal(shared_neighbours(one, other), [1.0, 0.5])


def test_hubness_is_the_skewness_of_the_in_degrees():
    from scipy.stats import skew

    rows = neighbour_rows(X, 10)
    found = hubness(rows, 90)
    counted = np.array([(rows == item).sum() for item in range(90)])
    np.testing.assert_array_equal(found.in_degree, counted)
    assert found.skewness == pytest.approx(skew(counted), abs=1e-12)
    assert (found.largest, found.mean, found.k) == (counted.max(), 10.0, 10)
    assert found.never == np.mean(counted == 0)


def test_a_gallery_that_is_retrieved_evenly_has_no_hubs():
    found = hubness(np.arange(12).reshape(6, 2), 12)
    assert (found.skewness, found.largest, found.never) == (0.0, 1, 0.0)


def test_items_that_are_never_retrieved_are_counted_in():
    assert hubness(np.array([[0, 1], [0, 1]]), 8).never == 0.75


@pytest.mark.parametrize("k", [0, 90, 200])
def test_as_many_neighbours_as_rows_are_refused(k):
    with pytest.raises(InputError, match=f"{k} neighbours .* got 90"):
        neighbour_rows(X, k)


def test_unequal_sides_are_refused():
    with pytest.raises(InputError, match="x has 90 rows and y has 89"):
        mutual_knn(X, Y[:89])


def test_shuffled_overlaps_are_the_same_with_and_without_a_table(monkeypatch):
    rng = np.random.default_rng(14)
    one, other = (np.stack([neighbour_rows(rng.normal(size=(30, 4)), 5) for _ in range(3)]) for _ in range(2))
    looked_up = shuffled_overlaps(one, other, 20, 0), shuffled_overlaps(one[0], other[0], 20, 0)
    monkeypatch.setattr(neighbourhoods, "TABLE", 0)
    compared = shuffled_overlaps(one, other, 20, 0), shuffled_overlaps(one[0], other[0], 20, 0)
    for a, b in zip(looked_up, compared, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
