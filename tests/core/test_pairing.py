"""Sides are paired by id or refused; what is read in one pass is never paired by chance."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.moments import chunks
from stitchkit.core.moments.moments import moments_by
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.metrics.cka import debiased_cka

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 3))
IDS = np.array([f"p{i}" for i in range(30)])
ORDER = RNG.permutation(30)


def named(rows, ids=IDS, space="s"):
    return sk.Embeddings(rows, ids, sk.Space(space, rows.shape[1]))


def test_embeddings_are_paired_by_id_and_arrays_by_row(library):
    x, y = paired_sides(named(library(X)), named(library(Y)).take(ORDER))
    np.testing.assert_array_equal(to_numpy(y.vectors), Y)
    assert x.ids.tolist() == y.ids.tolist()
    x, y = paired_sides(library(X), named(library(Y)).take(ORDER))
    np.testing.assert_array_equal(to_numpy(y.vectors), Y[ORDER])


def test_ids_of_one_side_only_are_refused_on_either_side():
    with pytest.raises(InputError, match="source has 28 rows and target has 30, 2 of them with ids of their own"):
        paired_sides(named(X[:28], IDS[:28]), named(Y))
    with pytest.raises(DataError, match="2 of 30 ids are not in the target"):
        paired_sides(named(X), named(Y[:28], IDS[:28]))


def test_groups_are_read_by_row_or_by_id():
    groups = {one: i // 3 for i, one in enumerate(IDS.tolist())}
    x = named(X).take(ORDER)
    np.testing.assert_array_equal(anchor_groups(groups, x), anchor_groups(ORDER // 3, x))
    assert anchor_groups(None, x) is None
    with pytest.raises(InputError, match="no entry for 29 anchors"):
        anchor_groups({"p0": 1}, x)


ONE_PASS = {
    "moments": sk.Moments.of,
    "a stream": lambda x, y: sk.Moments.of_chunks([(x.take(np.arange(5)), y.take(np.arange(5)))]),
    "by set": lambda x, y: moments_by(x, y, np.zeros(30, dtype=int)),
    "debiased CKA": debiased_cka,
}


@pytest.mark.parametrize("case", ONE_PASS)
def test_what_reads_rows_as_they_stand_refuses_ids_in_another_order(case):
    ONE_PASS[case](named(X), named(Y))
    first = int(ORDER[0]) if ORDER[0] else 0
    with pytest.raises(InputError, match=rf"'p0' in x.*and 'p{first}' in y.*Pair them first: y.of_ids\(x.ids\)"):
        ONE_PASS[case](named(X), named(Y).take(ORDER))


def test_embeddings_beside_a_plain_array_are_read_by_row():
    found = sk.Moments.of(named(X), Y[ORDER])
    np.testing.assert_array_equal(found.scatter_st, sk.Moments.of(X, Y[ORDER]).scatter_st)


def test_many_rows_that_start_with_zero_are_looked_through_together(library, monkeypatch):
    rows = np.maximum(RNG.normal(size=(3000, 6)), 0)
    rows[:, 5] += 0.1
    rows[:, 0] = 0
    asked = []
    real = chunks.take
    monkeypatch.setattr(chunks, "take", lambda array, some: asked.append(len(some)) or real(array, some))
    sk.Moments.of(library(rows), library(rows))
    assert asked == [1024, 1024, 952] * 2
    rows[[1500, 2900]] = 0
    with pytest.raises(InputError, match="in x row 1500 is all zeros"):
        sk.Moments.of(library(rows), library(rows))


@pytest.mark.parametrize("size", [1e-160, 1e100])
def test_vectors_whose_products_leave_double_precision_are_refused(size):
    rows = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(InputError, match="the target are of size"):
        paired_sides(rows, rows * size)


def test_the_side_that_does_not_vary_is_named():
    rows = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(InputError, match="all 6 vectors of the target are the same"):
        paired_sides(rows, np.ones((6, 3)))


def test_groups_are_one_a_row():
    x = sk.Embeddings(np.random.default_rng(0).normal(size=(6, 3)), range(6), sk.Space("a", 3))
    with pytest.raises(InputError, match=r"groups has shape \(6, 2\)"):
        anchor_groups(np.ones((6, 2)), x)
