"""Folds: whole groups, every row once, sizes alike."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.alignment.folds import Folds, assign
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.moments.moments import Moments
from stitchkit.core.space import Space

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [5, 7, 23, 200])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_folds_cover_every_row_once_and_never_split_a_group(n, grouped, seed):
    groups = RNG.integers(max(n // 3, 2), size=n).astype(str) if grouped else None
    folds = assign(n, groups, seed=seed)
    assert sorted(np.concatenate(folds).tolist()) == list(range(n))
    assert all(len(rows) for rows in folds)
    if grouped:
        owners = [set(groups[rows]) for rows in folds]
        assert sum(map(len, owners)) == len(set(groups))


def test_folds_are_balanced():
    assert {len(rows) for rows in assign(203, None, seed=0)} <= {40, 41}
    groups = np.repeat(np.arange(60), RNG.integers(1, 9, size=60))
    sizes = [len(rows) for rows in assign(len(groups), groups, seed=0)]
    assert max(sizes) - min(sizes) <= 8


def test_one_big_group_has_a_fold_of_its_own():
    groups = np.concatenate([np.zeros(100), np.arange(1, 41)])
    sizes = sorted(len(rows) for rows in assign(140, groups, seed=0))
    assert sizes == [10, 10, 10, 10, 100]


def test_there_are_no_more_folds_than_groups():
    assert len(assign(9, np.array([0, 0, 0, 1, 1, 1, 2, 2, 2]), seed=0)) == 3
    assert len(assign(3, None, seed=0)) == 3


def test_the_seed_decides():
    same, again, other = (np.concatenate(assign(50, None, seed=seed)).tolist() for seed in (1, 1, 2))
    assert same == again
    assert same != other


def folds_of(x, y, **how):
    return Folds.of(as_embeddings(x), as_embeddings(y), assign(len(x), None, seed=0, **how))


def test_leaving_folds_out_is_adding_the_others():
    x, y = RNG.normal(size=(60, 4)), RNG.normal(size=(60, 3))
    folds = folds_of(x, y)
    rows = np.setdiff1d(np.arange(60), np.concatenate([folds.parts[1].rows, folds.parts[3].rows]))
    found, expected = folds.evidence(frozenset({1, 3})), Moments.of(x[rows], y[rows])
    assert found.moments.count == 36
    assert len(found.folds) == 3
    np.testing.assert_allclose(found.moments.scatter_st, expected.scatter_st, atol=1e-11)
    np.testing.assert_allclose(folds.evidence().moments.scatter_ss, Moments.of(x, y).scatter_ss, atol=1e-11)


def test_the_rows_come_along_where_they_are_fewer_than_dimensions():
    x, y = RNG.normal(size=(20, 30)), RNG.normal(size=(20, 3))
    given = folds_of(x, y).evidence(frozenset({0}))
    np.testing.assert_allclose(Moments.of(*given.anchors).scatter_st, given.moments.scatter_st, atol=1e-11)
    assert folds_of(x[:, :3], y).evidence().anchors is None


@pytest.mark.parametrize("n", [30, 200])
def test_each_query_is_judged_against_distinct_targets_with_its_own_among_them(n):
    x, texts = RNG.normal(size=(n, 4)), RNG.normal(size=(9, 3))
    y = texts[RNG.integers(9, size=n)]
    for fold in folds_of(x, y).parts:
        assert len(np.unique(y[fold.gallery], axis=0)) == len(fold.gallery) <= 9
        np.testing.assert_array_equal(y[fold.gallery[fold.truth]], y[fold.rows])
        np.testing.assert_array_equal(fold.queries, fold.rows)


def test_small_folds_are_ranked_among_all_targets():
    x, y = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 3))
    assert {len(fold.gallery) for fold in folds_of(x, y).parts} == {30}


@pytest.mark.parametrize("offset", [0, 1e7])
def test_targets_far_from_the_origin_are_told_apart(offset):
    x, y = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 3)) + offset
    assert {len(fold.gallery) for fold in folds_of(x, y).parts} == {30}


def test_rows_are_judged_from_the_whole_table_not_its_head():
    n = 12_000
    x = np.random.default_rng(0).normal(size=(n, 4))
    spaces = Space.of_array(4)
    ids = np.arange(n).astype(str)
    folds = Folds.of(Embeddings(x, ids, spaces), Embeddings(x, ids, spaces), assign(n, None, seed=0))
    for part in folds.parts:
        late = np.mean(part.groups >= n // 2)
        assert 0.4 < late < 0.6
        assert len(part.truth) == 1000


def test_equal_targets_are_one_however_many_anchors_there_are():
    n = 20_100
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(50, 4))
    which = rng.integers(0, 50, n)
    ids, space = np.arange(n).astype(str), Space.of_array(4)
    x = Embeddings(rng.normal(size=(n, 4)), ids, space)
    folds = Folds.of(x, Embeddings(texts[which], ids, space), assign(n, None, seed=0))
    assert all(part.gallery.shape[0] == 50 for part in folds.parts)
