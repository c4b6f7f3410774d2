"""Ranks against literal loops; ties in the middle; equal targets are one, different ones are not."""

from __future__ import annotations

import tracemalloc
from itertools import permutations

import numpy as np
import pytest

from stitchkit.core.errors import InputError
from stitchkit.metrics import ranks
from stitchkit.metrics.ranks import (
    all_ranks,
    chance_recall,
    chance_reciprocal,
    distinct_rows,
    middle_ranks,
    pair_ranks,
    pair_ranks_back,
    recall_at,
    tiled_ranks,
)

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
    np.testing.assert_array_equal(middle_ranks(library(similarity), truth), literal(similarity, truth))


def test_a_score_that_says_nothing_ranks_in_the_middle():
    found = middle_ranks(np.zeros((4, 9)), np.arange(4))
    assert found.tolist() == [5.0] * 4
    assert recall_at(found, 1) == 0.0
    assert recall_at(found, 5) == 1.0


def test_single_precision_scores_are_ranked(library):
    similarity = RNG.normal(size=(5, 7)).astype(np.float32)
    assert middle_ranks(library(similarity), np.zeros(5, dtype=int)).dtype == np.float64


@pytest.mark.parametrize("tile", [1, 7, 30, 100])
def test_tiles_are_irrelevant(tile):
    similarity, truth = RNG.normal(size=(30, 12)), RNG.integers(12, size=30)
    found = tiled_ranks(lambda a, b: similarity[a:b], truth, tile=tile)
    np.testing.assert_array_equal(found, middle_ranks(similarity, truth))


def test_recall_counts_those_among_the_best():
    found = np.array([1, 1.5, 2, 5])
    assert [recall_at(found, k) for k in (1, 2, 5)] == [0.25, 0.75, 1.0]


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
    np.testing.assert_array_equal(found, literal(scores, truth))
    back = pair_ranks_back(library(queries), library(gallery), truth)
    np.testing.assert_array_equal(back, literal_back(scores, truth))


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
def test_the_ranks_of_all_targets_are_those_of_scipy(shape):
    from scipy.stats import rankdata

    for scores in (
        RNG.normal(size=shape), RNG.integers(3, size=shape).astype(float), np.zeros(shape),
        RNG.normal(size=shape).astype(np.float32),
    ):  # fmt: skip
        np.testing.assert_array_equal(all_ranks(scores), rankdata(-scores, method="average", axis=1))
