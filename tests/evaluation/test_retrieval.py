"""Recall both ways, against a literal count."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(260, 6))
    x = meaning @ rng.normal(size=(6, 9)) + 0.8 * rng.normal(size=(260, 9))
    y = meaning @ rng.normal(size=(6, 7)) + 0.8 * rng.normal(size=(260, 7))
    return sk.align(x[:200], y[:200], solver=sk.Procrustes()), x[200:], y[200:]


def test_recall_is_the_literal_one_both_ways(pairs):
    alignment, x, y = pairs
    similarity = alignment.similarity(x, y)
    found = sk.evaluate_retrieval(alignment, x, y, ks=(1, 5), replicates=50)
    for table, direction in ((similarity, found.forward), (similarity.T, found.backward)):
        above = (table > np.diag(table)[:, None]).sum(axis=1)
        for k in (1, 5):
            assert direction.recall[k].value == np.mean(above < k)
            assert direction.recall[k].low <= direction.recall[k].value <= direction.recall[k].high
        assert (direction.gallery, direction.queries, direction.chance(5)) == (60, 60, 5 / 60)
    assert found.forward.recall[1].value > 5 / 60
    assert "gallery of 60" in str(found)
    assert "chance 0.017" in str(found)


def test_equal_targets_are_one(pairs):
    alignment, x, y = pairs
    repeated = y.copy()
    repeated[30:] = y[:30]
    found = sk.evaluate_retrieval(alignment, x, repeated, ks=(1,), replicates=20)
    assert (found.forward.gallery, found.forward.queries) == (30, 60)
    assert (found.backward.gallery, found.backward.queries) == (60, 30)
    similarity = alignment.similarity(x, repeated[:30])
    assert found.forward.recall[1].value == np.mean(similarity.argmax(axis=1) == np.arange(60) % 30)
    assert found.backward.recall[1].value == np.mean(similarity.argmax(axis=0) % 30 == np.arange(30))


def test_shuffled_pairs_are_at_chance(pairs):
    alignment, x, y = pairs
    order = np.random.default_rng(1).permutation(60)
    assert sk.evaluate_retrieval(alignment, x, y[order], ks=(6,), replicates=20).forward.recall[6].value < 0.3


def test_repeating_a_patients_queries_does_not_narrow_the_interval(pairs):
    alignment, x, y = pairs
    once = sk.evaluate_retrieval(alignment, x, y, ks=(1,), groups=np.arange(60)).forward.recall[1]
    twice = sk.evaluate_retrieval(
        alignment, np.tile(x, (2, 1)), np.tile(y, (2, 1)), ks=(1,), groups=np.tile(np.arange(60), 2)
    ).forward.recall[1]
    assert twice.high - twice.low == pytest.approx(once.high - once.low, abs=1e-9)


def test_what_cannot_be_counted_is_refused(pairs):
    alignment, x, y = pairs
    with pytest.raises(InputError, match="k of at least 1"):
        sk.evaluate_retrieval(alignment, x, y, ks=(0,))
    with pytest.raises(InputError, match="60 rows and target has 59"):
        sk.evaluate_retrieval(alignment, x, y[:59])
