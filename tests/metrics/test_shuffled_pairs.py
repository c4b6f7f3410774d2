"""Chance of pairs shuffled among the queries, against every permutation and against draws of noise."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.metrics import ranks
from stitchkit.metrics.ranks import pair_ranks, shuffled_reciprocal


def scene(q, g, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(g), rng.integers(0, g, q - g)]) if q > g else rng.integers(0, g, q)
    return rng.normal(size=(q, 3)), rng.normal(size=(g, 3)).round(1), rng.permutation(truth)


@pytest.mark.parametrize(("q", "g"), [(6, 3), (6, 6), (5, 9), (6, 1)])
def test_mean_and_variance_are_those_of_all_permutations(q, g):
    left, right, truth = scene(q, g)
    reciprocal, expected, variance = shuffled_reciprocal(left, right, truth)
    sums = [np.sum(1 / pair_ranks(left, right, np.asarray(one))) for one in permutations(truth)]
    assert expected.sum() == pytest.approx(np.mean(sums))
    assert variance == pytest.approx(np.var(sums), abs=1e-12)
    np.testing.assert_allclose(reciprocal, 1 / pair_ranks(left, right, truth))


def test_tiles_change_nothing(monkeypatch):
    left, right, truth = scene(40, 7)
    whole = shuffled_reciprocal(left, right, truth)
    monkeypatch.setattr(ranks, "_tile", lambda gallery: 3)
    for one, other in zip(shuffled_reciprocal(left, right, truth), whole, strict=True):
        np.testing.assert_allclose(one, other)


def test_one_query_says_nothing():
    left, right, truth = scene(1, 4)
    reciprocal, expected, variance = shuffled_reciprocal(left, right, truth)
    assert reciprocal == pytest.approx(expected)
    assert variance == 0


def shares(rng):
    return rng.normal(size=(60, 8)), rng.normal(size=(3, 9))[rng.choice(3, 60, p=(0.8, 0.15, 0.05))], None


def patients(rng):
    who = np.repeat(np.arange(20), 3)
    left = rng.normal(size=(20, 6))[who] + 0.3 * rng.normal(size=(60, 6))
    return left, rng.normal(size=(4, 7))[rng.choice(4, 20, p=(0.7, 0.1, 0.1, 0.1))][who], who


@pytest.mark.parametrize("noise", [shares, patients])
def test_noise_is_rarely_taken_for_a_link(noise):
    """A source of noise and few texts of unequal frequency: 1 in 40 is right, and was 1 in 4 beside uniform chance."""
    taken = 0
    for draw in range(20):
        x, y, groups = noise(np.random.default_rng(draw))
        found = sk.align(x, y, groups=groups, solver="ridge", progress=False)
        taken += found.record["held_out"]["above_chance"]
        assert ("NOT clearly above chance" in repr(found)) != found.record["held_out"]["above_chance"]
        told = any("is not clearly above chance" in note for note in found.record["notes"])
        assert told != found.record["held_out"]["above_chance"]
    assert taken <= 2


def test_a_link_is_told_from_noise():
    for draw in range(5):
        rng = np.random.default_rng(draw)
        meaning = rng.normal(size=(60, 4))
        x, y = (meaning @ rng.normal(size=(4, 8)) + 0.5 * rng.normal(size=(60, 8)) for _ in range(2))
        held_out = sk.align(x, y, solver="ridge", progress=False).record["held_out"]
        assert held_out["above_chance"]
        assert held_out["mrr"] > held_out["chance_mrr"]
