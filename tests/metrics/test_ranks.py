"""Ranks against literal loops and over all orders of equal scores; equal targets are one, different ones are not."""

from __future__ import annotations

import tracemalloc
from itertools import permutations

import numpy as np
import pytest

from stitchkit.core.errors import InputError
from stitchkit.metrics import ranks
from stitchkit.metrics.ranks import (
    chance_recall,
    chance_reciprocal,
    distinct_rows,
    pair_ranks,
    pair_ranks_back,
    recall_at,
    reciprocal_ranks,
    tiled_ranks,
    true_ranks,
)
from stitchkit.metrics.tied_ranks import Ranks

RNG = np.random.default_rng(13)


def literal(similarity, truth):
    out = []
    for row, at in zip(similarity, truth, strict=True):
        above = sum(one > row[at] for one in row)
        equal = sum(one == row[at] for one in row) - 1
        out.append(1 + above + equal / 2)
    return out


@pytest.mark.parametrize("digits", [1, 12], ids=["many ties", "no ties"])
def test_ranks_are_those_of_the_loop(library, digits):
    similarity = np.round(RNG.normal(size=(30, 12)), digits)
    truth = RNG.integers(12, size=30)
    np.testing.assert_array_equal(true_ranks(library(similarity), truth).middle, literal(similarity, truth))


def literal_orders(scores, right, k):
    """Mean reciprocal rank and recall@k of the best of ``right`` candidates, over all orders of the candidates."""
    places = []
    for order in permutations(range(len(scores))):  # a stable sort leaves equal scores in this order
        ranked = sorted(order, key=lambda one: -scores[one])
        places.append(min(ranked.index(one) for one in right) + 1)
    return np.mean(1 / np.array(places)), np.mean(np.array(places) <= k)


TIED = {
    "none": [5.0, 4.0, 3.0, 2.0, 1.0],
    "all": [1.0] * 6,
    "the best": [2.0, 2.0, 2.0, 1.0, 0.0],
    "the worst": [3.0, 1.0, 1.0, 1.0],
    "two groups": [2.0, 1.0, 2.0, 1.0, 1.0, 2.0],
    "a single candidate": [1.0],
}


@pytest.mark.parametrize("name", TIED)
def test_measures_are_means_over_all_orders_of_equal_scores(library, name):
    scores = TIED[name]
    table = library(np.tile(scores, (len(scores), 1)))
    found, each = true_ranks(table, np.arange(len(scores))), reciprocal_ranks(np.array([scores]))[0]
    for k in (1, 2, 3, 7):
        for at in range(len(scores)):
            reciprocal, recall = literal_orders(scores, [at], k)
            assert found.reciprocal[at] == pytest.approx(reciprocal, abs=1e-13)
            assert each[at] == pytest.approx(reciprocal, abs=1e-13)
            assert found.recall(k)[at] == pytest.approx(recall, abs=1e-13)


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("right", [[0], [0, 1], [0, 2, 3], [1, 3]], ids=str)
def test_the_best_of_several_is_a_mean_over_all_orders(name, right):
    scores = TIED[name]
    if max(right) >= len(scores):
        pytest.skip(f"there are {len(scores)} candidates")
    best = max(scores[one] for one in right)
    rivals = [one for at, one in enumerate(scores) if at not in right]
    own = sum(scores[one] == best for one in right)
    stand = Ranks.of([sum(one > best for one in rivals)], [sum(one == best for one in rivals)], own)
    for k in (1, 2, 4):
        reciprocal, recall = literal_orders(scores, right, k)
        assert stand.reciprocal[0] == pytest.approx(reciprocal, abs=1e-12)
        assert stand.recall(k)[0] == pytest.approx(recall, abs=1e-12)


@pytest.mark.parametrize("g", [1, 2, 9, 400])
def test_a_score_that_says_nothing_is_at_chance_exactly(g):
    """At the middle of its places no target would be first, and all would be among the best half."""
    found = true_ranks(np.zeros((g, g)), np.arange(g))
    back = pair_ranks_back(np.zeros((3 * g, 2)), np.ones((g, 2)), np.arange(3 * g) % g)
    for k in (1, 5, 10):
        assert recall_at(found, k) == pytest.approx(min(k / g, 1), rel=1e-13)
        assert recall_at(back, k) == pytest.approx(chance_recall(k, 3 * g, np.array([3]))[0], rel=1e-9)
    assert found.reciprocal.mean() == pytest.approx(chance_reciprocal(g, np.array([1]))[0], rel=1e-12)
    assert back.reciprocal.mean() == pytest.approx(chance_reciprocal(3 * g, np.array([3]))[0], rel=1e-9)


def test_scores_without_ties_have_the_same_bits_as_one_over_the_rank():
    similarity = RNG.normal(size=(50, 40))
    truth = RNG.integers(40, size=50)
    rank = (similarity >= similarity[np.arange(50), truth][:, None]).sum(axis=1)
    np.testing.assert_array_equal(true_ranks(similarity, truth).reciprocal, 1 / rank)
    np.testing.assert_array_equal(reciprocal_ranks(similarity)[np.arange(50), truth], 1 / rank)


def test_the_expected_logarithm_is_the_mean_over_the_places():
    stand = Ranks.of([0, 2, 1, 0, 7], [0, 3, 2, 5, 0])
    literal = [np.log(np.arange(a + 1, a + e + 2)).mean() for a, e in zip(stand.above, stand.equal, strict=True)]
    np.testing.assert_allclose(stand.logarithm, literal, atol=1e-13)
    assert stand.logarithm[4] == np.log(8)  # of a place of its own to the last bit


def test_single_precision_scores_are_ranked(library):
    similarity = RNG.normal(size=(5, 7)).astype(np.float32)
    assert true_ranks(library(similarity), np.zeros(5, dtype=int)).middle.dtype == np.float64


@pytest.mark.parametrize("tile", [1, 7, 30, 100])
def test_tiles_are_irrelevant(tile):
    similarity, truth = RNG.normal(size=(30, 12)), RNG.integers(12, size=30)
    found = tiled_ranks(lambda a, b: similarity[a:b], truth, tile=tile)
    np.testing.assert_array_equal(found.middle, true_ranks(similarity, truth).middle)


def test_recall_counts_those_among_the_best():
    found = Ranks.of([0, 0, 1, 4], [0, 1, 0, 0])
    assert [recall_at(found, k) for k in (1, 2, 5)] == [0.375, 0.75, 1.0]


def test_equal_rows_share_a_label_and_others_do_not():
    rows = RNG.normal(size=(6, 3))[[0, 1, 0, 2, 1, 3]]
    label = distinct_rows(rows)
    assert [label[0] == label[i] for i in range(6)] == [True, False, True, False, False, False]
    assert len(set(label.tolist())) == 4


def test_rows_equal_up_to_rounding_share_a_label():
    rows = np.array([[0.1, 0.2], [0.1, 0.2], [0.3, 0.2]])
    rows[1] += 1e-9
    assert distinct_rows(rows).tolist()[0] == distinct_rows(rows).tolist()[1]
    assert len(set(distinct_rows(rows).tolist())) == 2
    wide = RNG.normal(size=(6, 256)).astype(np.float32)
    again = (wide * (1 + 1e-7 * RNG.normal(size=wide.shape))).astype(np.float32)  # the same texts in another batch
    labels = distinct_rows(np.concatenate([wide, again])).tolist()
    assert labels[:6] == labels[6:]
    assert len(set(labels)) == 6
    signs = np.array([[0.0, 1.0], [-0.0, 1.0]])
    assert len(set(distinct_rows(signs).tolist())) == 1


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_labels_do_not_depend_on_the_unit(scale):
    rows = RNG.normal(size=(20, 3))
    assert len(set(distinct_rows(rows * scale).tolist())) == 20


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_different_rows_stay_different_in_every_precision(dtype):
    rows = RNG.normal(size=(50, 4)).astype(dtype)
    assert len(set(distinct_rows(rows).tolist())) == 50


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e8])
def test_different_rows_far_from_the_origin_stay_different(offset):
    assert len(set(distinct_rows(RNG.normal(size=(50, 4)) + offset).tolist())) == 50


def test_one_huge_direction_does_not_make_all_rows_equal():
    rows = RNG.normal(size=(50, 4)) * 1e-3
    rows[:, 0] = 100 + 1e-6 * RNG.normal(size=50)  # a massive, nearly constant activation
    assert len(set(distinct_rows(rows).tolist())) == 50


def test_constant_rows_are_one():
    assert set(distinct_rows(np.ones((4, 2))).tolist()) == {0}


def literal_back(scores, truth):
    """Rank of the best true query of each column, counted one by one."""
    out = []
    for column in range(scores.shape[1]):
        own = [scores[i, column] for i in range(len(truth)) if truth[i] == column]
        rivals = [scores[i, column] for i in range(len(truth)) if truth[i] != column]
        out.append(1 + sum(one > max(own) for one in rivals) + sum(one == max(own) for one in rivals) / 2)
    return out


@pytest.mark.parametrize("digits", [0, 12], ids=["many ties", "no ties"])
@pytest.mark.parametrize("near", [1, 1 << 22], ids=["small tiles", "one tile"])
def test_ranks_of_pairs_are_those_of_the_loops_both_ways(library, monkeypatch, digits, near):
    monkeypatch.setattr(ranks, "NEAR", near)
    rng = np.random.default_rng(2)
    truth = rng.permutation(np.concatenate([np.arange(90), rng.integers(90, size=60)]))
    queries, gallery = (np.round(2 * rng.normal(size=(n, 3)), digits) for n in (150, 90))
    scores = queries @ gallery.T
    found = pair_ranks(library(queries), library(gallery), truth)
    np.testing.assert_array_equal(found.middle, literal(scores, truth))
    back = pair_ranks_back(library(queries), library(gallery), truth)
    np.testing.assert_array_equal(1 + back.above + back.equal / 2, literal_back(scores, truth))


def test_a_target_that_is_nobodys_is_refused():
    with pytest.raises(InputError, match="row 1 of 3 targets is no query's"):
        pair_ranks_back(np.ones((4, 2)), np.ones((3, 2)), np.array([0, 2, 2, 0]))


def test_the_way_back_holds_no_table_of_all_pairs():
    rng, n, g = np.random.default_rng(3), 20_000, 4_000
    queries, gallery, truth = rng.normal(size=(n, 4)), rng.normal(size=(g, 4)), np.arange(n) % g
    tracemalloc.start()
    pair_ranks_back(queries, gallery, truth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.1 * 8 * n * g


@pytest.mark.parametrize("gallery", [1, 4, 6])
def test_chance_is_that_of_every_order_counted(gallery):
    orders = list(permutations(range(gallery)))
    for right in range(1, gallery + 1):
        best = np.array([min(order[:right]) + 1 for order in orders])  # places of the right ones
        assert chance_reciprocal(gallery, np.array([right]))[0] == pytest.approx(np.mean(1 / best))
        for k in range(1, gallery + 2):
            assert chance_recall(k, gallery, np.array([right]))[0] == pytest.approx(np.mean(best <= k))
    many = np.array([gallery, 1, gallery])
    assert chance_recall(1, gallery, many).tolist() == [1.0, 1 / gallery, 1.0]


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (30, 7), (20, 60)])
def test_the_reciprocal_ranks_of_all_targets_are_means_over_the_places_of_scipy(shape):
    from scipy.stats import rankdata

    for scores in (
        RNG.normal(size=shape), RNG.integers(3, size=shape).astype(float), np.zeros(shape),
        RNG.normal(size=shape).astype(np.float32),
    ):  # fmt: skip
        low, high = (rankdata(-scores, method=method, axis=1).astype(int) for method in ("min", "max"))
        expected = [
            [np.mean(1 / np.arange(a, b + 1)) for a, b in zip(*row, strict=True)] for row in zip(low, high, strict=True)
        ]
        np.testing.assert_allclose(reciprocal_ranks(scores), expected, rtol=1e-12)
