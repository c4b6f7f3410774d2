"""Chance of pairs shuffled among the queries, against every permutation and against draws of noise."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.metrics import ranks
from stitchkit.metrics.ranks import chance_both_ways, pair_ranks, pair_ranks_back, shuffled_reciprocal


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


@pytest.mark.parametrize(("q", "g"), [(6, 3), (5, 4), (6, 1), (7, 2)])
def test_chance_both_ways_is_the_mean_over_all_permutations(q, g):
    left, right, truth = scene(q, g, seed=3)
    chances = chance_both_ways(left, right, truth, ks=[1, 2])
    every = [np.asarray(one) for one in permutations(truth)]
    for found, ranked in zip(chances, (pair_ranks, pair_ranks_back), strict=True):
        ranks = np.stack([ranked(left, right, one) for one in every])
        literal = [np.mean(1 / ranks), np.mean(ranks <= 1), np.mean(ranks <= 2)]
        np.testing.assert_allclose(found.mean(axis=0), literal, atol=1e-12)


def test_chance_there_is_that_of_shuffled_reciprocal():
    left, right, truth = scene(40, 7)
    np.testing.assert_allclose(
        chance_both_ways(left, right, truth)[0][:, 0], shuffled_reciprocal(left, right, truth)[1]
    )


def test_of_many_scores_evenly_spread_queries_give_the_chance(monkeypatch):
    left, right, truth = scene(400, 7)
    whole = chance_both_ways(left, right, truth, ks=[1])[0].mean(axis=0)
    monkeypatch.setattr(ranks, "SORTED", 700)
    few = chance_both_ways(left, right, truth, ks=[1])[0]
    assert few.shape == (400, 2)
    np.testing.assert_allclose(few.mean(axis=0), whole, atol=0.03)
    assert len(np.unique(few[:, 0])) <= 101


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


def frequent_first(n=240):
    """Pairs of noise, half of them of one text, and a map whose rankings put that text first for every query."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 6)) + 4
    texts = rng.normal(size=(9, 6))
    texts[0] += 4
    return x, texts[rng.choice(9, n, p=[0.52, *[0.06] * 8])]


VERBS = {
    "gate": lambda map_, x, y: [(one.interval, one.chance) for one in
                                sk.gate(map_, x, y, min_mrr=0, min_recall_at_1=0, replicates=20).checks],
    "retrieval": lambda map_, x, y: [(one, way.chance(1)) for way in [
        sk.evaluate_retrieval(map_, x, y, ks=(1,), replicates=20).forward] for one in way.recall.values()],
    "compare": lambda map_, x, y: [(row.measures[name], row.chance[name]) for name in ("mrr", "recall@1") for row in
                                   sk.compare(x, y, solvers={"map": Fixed(map_)}, replicates=20).rows],
    "learning_curve": lambda map_, x, y: [(one, curve.chance) for name in ("mrr", "recall@1") for curve in [
        sk.learning_curve(x, y, sizes=[20, 40], draws=2, solver=Fixed(map_), metric=name, replicates=20)]
        for one in curve.mean],
}  # fmt: skip


class Fixed:
    """A solver that always gives the same map."""

    needs = frozenset({"moments"})

    def __init__(self, map_):
        self.map = map_

    def fit(self, evidence):
        return self.map


@pytest.mark.parametrize("verb", VERBS)
def test_rankings_that_put_frequent_targets_first_are_at_chance_in_every_verb(verb):
    x, y = frequent_first()
    space, common = sk.Space.of_array(6), sk.Space("common", 6)
    as_it_is = sk.AffineMap(space, common, np.zeros(6), np.eye(6), np.zeros(6), rank=6)
    same = sk.Alignment(as_it_is, as_it_is)
    for found, chance in VERBS[verb](same, x, y):
        assert chance > 0.4  # a random ranking of nine finds .11
        assert found.value == pytest.approx(chance, abs=0.06)


def test_a_link_is_told_from_noise():
    for draw in range(5):
        rng = np.random.default_rng(draw)
        meaning = rng.normal(size=(60, 4))
        x, y = (meaning @ rng.normal(size=(4, 8)) + 0.5 * rng.normal(size=(60, 8)) for _ in range(2))
        held_out = sk.align(x, y, solver="ridge", progress=False).record["held_out"]
        assert held_out["above_chance"]
        assert held_out["mrr"] > held_out["chance_mrr"]
