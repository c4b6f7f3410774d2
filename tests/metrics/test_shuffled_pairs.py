"""Chance of pairs shuffled among the queries, against every permutation and against draws of noise."""

from __future__ import annotations

import tracemalloc
from itertools import permutations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.metrics import ranks
from stitchkit.metrics.ranks import (
    chance_both_ways,
    chance_queries,
    pair_ranks,
    pair_ranks_back,
    shuffled_reciprocal,
)

RNG = np.random.default_rng(17)


def scene(q, g, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(g), rng.integers(0, g, q - g)]) if q > g else rng.integers(0, g, q)
    return rng.normal(size=(q, 3)), rng.normal(size=(g, 3)).round(1), rng.permutation(truth)


@pytest.mark.parametrize(("q", "g"), [(6, 3), (6, 6), (5, 9), (6, 1)])
def test_mean_and_variance_are_those_of_all_permutations(q, g):
    left, right, truth = scene(q, g)
    found, expected, variance = shuffled_reciprocal(left, right, truth)
    sums = [np.sum(pair_ranks(left, right, np.asarray(one)).reciprocal) for one in permutations(truth)]
    assert expected.sum() == pytest.approx(np.mean(sums))
    assert variance == pytest.approx(np.var(sums), abs=1e-12)
    np.testing.assert_array_equal(found.reciprocal, pair_ranks(left, right, truth).reciprocal)


def test_tiles_change_nothing(monkeypatch):
    left, right, truth = scene(40, 7)
    whole = shuffled_reciprocal(left, right, truth)
    monkeypatch.setattr(ranks, "_tile", lambda gallery: 3)
    found = shuffled_reciprocal(left, right, truth)
    np.testing.assert_array_equal(found[0].above, whole[0].above)
    for one, other in zip(found[1:], whole[1:], strict=True):
        np.testing.assert_allclose(one, other)


@pytest.mark.parametrize(("q", "g"), [(6, 3), (5, 4), (6, 1), (7, 2)])
def test_chance_both_ways_is_the_mean_over_all_permutations(q, g):
    left, right, truth = scene(q, g, seed=3)
    chances = chance_both_ways(left, right, truth, ks=[1, 2])
    every = [np.asarray(one) for one in permutations(truth)]
    for found, ranked in zip(chances, (pair_ranks, pair_ranks_back), strict=True):
        literal = np.mean([ranked(left, right, one).reached([1, 2]) for one in every], axis=(0, 1))
        np.testing.assert_allclose(found.mean(axis=0), literal, atol=1e-12)


def test_chance_there_is_that_of_shuffled_reciprocal():
    left, right, truth = scene(40, 7)
    np.testing.assert_allclose(
        chance_both_ways(left, right, truth)[0][:, 0], shuffled_reciprocal(left, right, truth)[1]
    )


def literal_chances(left, right, truth, ks):
    """Mean reciprocal rank and recalls there and back, over every permutation of the pairs."""
    every = sorted(set(permutations(truth.tolist())))
    for ranked in (pair_ranks, pair_ranks_back):
        yield np.mean([ranked(left, right, np.asarray(one)).reached(ks) for one in every], axis=(0, 1))


CORNER = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
SCENES = {
    "one target": (RNG.normal(size=(5, 2)), np.ones((1, 2)), [0] * 5),
    "one query": (np.ones((1, 2)), np.ones((1, 2)), [0]),
    "two queries of two": (CORNER[:2], CORNER[:2], [0, 1]),
    "equally frequent targets": (RNG.normal(size=(6, 2)), CORNER[:3], [0, 1, 2, 0, 1, 2]),
    "equally frequent, tied": (CORNER[[0, 0, 0, 1, 2, 3]], CORNER[:3], [0, 1, 2, 0, 1, 2]),
    "one frequent target": (RNG.normal(size=(7, 2)), CORNER, [0, 0, 0, 0, 1, 2, 3]),
    "every frequency": (RNG.normal(size=(7, 2)), CORNER[:3], [0, 0, 0, 0, 1, 1, 2]),
    "equal queries": (CORNER[[0, 0, 0, 1, 1, 2]], CORNER[:3], [0, 1, 0, 2, 0, 1]),
    "equal targets": (RNG.normal(size=(6, 2)), CORNER[[0, 0, 1]], [0, 1, 0, 2, 0, 1]),
    "collapsed queries": (np.ones((7, 2)), RNG.normal(size=(3, 2)), [0, 0, 0, 0, 1, 1, 2]),
    "collapsed map": (np.zeros((7, 2)), CORNER, [0, 0, 0, 0, 1, 2, 3]),
    "collapsed map, several right": (np.zeros((6, 2)), CORNER[:2], [0, 0, 0, 1, 1, 1]),
    "groups of rounded scores": (RNG.integers(0, 2, (8, 2)) * 1.0, CORNER[:3], [0, 0, 0, 0, 1, 1, 1, 2]),
    "two groups of equal queries": (CORNER[[0] * 4 + [1] * 4], CORNER[:2], [0, 1] * 4),
}  # fmt: skip


@pytest.mark.parametrize("few", [0, 8], ids=["sorted", "compared"])
@pytest.mark.parametrize("name", SCENES)
def test_chance_is_that_of_every_permutation(monkeypatch, library, name, few):
    monkeypatch.setattr(ranks, "FEW", few)
    left, right, truth = SCENES[name][0], SCENES[name][1], np.asarray(SCENES[name][2])
    found = chance_both_ways(library(left), library(right), truth, ks=[1, 2, 3])
    for one, literal in zip(found, literal_chances(left, right, truth, [1, 2, 3]), strict=True):
        np.testing.assert_allclose(one.mean(axis=0), literal, atol=1e-12)


@pytest.mark.parametrize("frequent", [0, 40])
def test_a_collapsed_map_is_at_the_chance_of_a_random_ranking(frequent):
    """All scores are equal, so that any order may be true; at the middle of its places no target would be first."""
    truth = np.concatenate([np.arange(300) % 30, np.zeros(frequent, dtype=int)])
    rows = np.zeros((len(truth), 2)), np.ones((30, 2))
    for ranked, chance in zip((pair_ranks, pair_ranks_back), chance_both_ways(*rows, truth, ks=[1, 5]), strict=True):
        np.testing.assert_allclose(ranked(*rows, truth).reached([1, 5]).mean(axis=0), chance.mean(axis=0), rtol=1e-9)
    assert chance_both_ways(*rows, truth, ks=[1])[0][:, 1].mean() == pytest.approx(1 / 30)


@pytest.mark.parametrize("y", ["same", "constant plus noise"])
def test_a_constant_map_is_at_chance_in_the_verbs(y):
    """Every item is mapped onto one vector: each measure of a verb equals the chance beside it, to rounding."""
    rng = np.random.default_rng(8)
    x, targets = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    space, common = sk.Space.of_array(4), sk.Space("common", 4)
    constant = sk.AffineMap(space, common, np.zeros(4), np.zeros((4, 4)), np.eye(4)[0], rank=0)
    flat = sk.AffineMap(space, common, np.zeros(4), np.zeros((4, 4)), np.ones(4), rank=0) if y == "same" else (
        sk.AffineMap(space, common, np.zeros(4), np.eye(4), np.zeros(4), rank=4))  # fmt: skip
    map_ = sk.Alignment(constant, flat)
    for verb in ("gate", "retrieval", "compare", "learning_curve"):
        for found, chance in VERBS[verb](map_, x, targets):
            assert found.value == pytest.approx(chance, abs=1e-9 if y == "same" else 0.05)


def test_ties_of_held_out_numbers_are_at_chance():
    """Anchors of two scores each and a map onto one: what align writes of held-out anchors is chance, not less."""
    map_ = sk.AffineMap(sk.Space.of_array(4), sk.Space("common", 4), np.zeros(4), np.zeros((4, 4)), np.ones(4), rank=0)
    rng = np.random.default_rng(9)
    sides = rng.normal(size=(40, 4)), rng.normal(size=(40, 4))
    found, expected, variance = shuffled_reciprocal(*(map_(one) for one in sides), np.arange(40))
    np.testing.assert_allclose(found.reciprocal, expected, rtol=1e-12)
    np.testing.assert_allclose(found.recall(1), 1 / 40)
    assert found.reciprocal.mean() == pytest.approx(np.mean(1 / np.arange(1, 41)))
    assert variance == pytest.approx(0, abs=1e-9)


def alternating(q, g, share):
    """Queries of which every second one puts the frequent target first and the others put it last."""
    rng = np.random.default_rng(2)
    left = np.stack([np.where(np.arange(q) % 2, -1.0, 1.0), 0.01 * rng.normal(size=q)], axis=1)
    right = np.stack([np.zeros(g), rng.normal(size=g)], axis=1)
    right[0] = [1, 0]
    others = 1 + np.arange(q - int(share * q)) % (g - 1)
    return left, right, np.concatenate([np.zeros(q - len(others), dtype=int), others])


def shuffled(left, right, truth, draws=20):
    """Mean recall@1 over random permutations, and its standard error."""
    rng = np.random.default_rng(4)
    first = np.argmax(left @ right.T, axis=1)
    found = [np.mean(first == rng.permutation(truth)) for _ in range(draws)]
    return np.mean(found), np.std(found) / draws**0.5


@pytest.mark.parametrize("few", [0, 8], ids=["sampled", "compared"])
def test_alternating_kinds_of_queries_do_not_mislead_the_chance_of_many_scores(monkeypatch, few):
    """5,000 by 3,000 scores: a sample at a fixed stride sees one kind only, and gave .400 or .000 in place of .200."""
    monkeypatch.setattr(ranks, "FEW", few)
    left, right, truth = alternating(5000, 3000, 0.4)
    there, _ = chance_both_ways(left, right, truth, ks=[1])
    literal, error = shuffled(left, right, truth)
    assert literal == pytest.approx(0.2, abs=0.01)
    assert there[:, 1].mean() == pytest.approx(literal, abs=4 * error if few else 0.02)
    assert chance_queries(truth, 3000) == (5000 if few else 2000)


def test_chance_holds_few_scores_at_once():
    left, right, truth = alternating(6000, 2500, 0.3)
    tracemalloc.start()
    chance_both_ways(left, right, truth, ks=[1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 6000 * 2500


def test_queries_that_score_all_targets_alike_are_at_chance_too():
    """Every third query of 3,000 does, which changes no chance."""
    rng = np.random.default_rng(6)
    left, right = rng.normal(size=(3000, 3)), rng.normal(size=(1500, 3))
    left[::3] = 0
    there, back = chance_both_ways(left, right, np.arange(3000) % 1500, ks=[1])
    assert there[:, 1].mean() == pytest.approx(1 / 1500)
    assert there[:, 0].mean() == pytest.approx(np.mean(1 / np.arange(1, 1501)))
    assert back.shape == (1500, 2)


def test_chance_of_a_part_is_the_same_in_every_call(monkeypatch):
    monkeypatch.setattr(ranks, "FEW", 0)
    scene_ = alternating(3000, 1500, 0.4)
    np.testing.assert_array_equal(chance_both_ways(*scene_)[0], chance_both_ways(*scene_)[0])


def test_one_query_says_nothing():
    left, right, truth = scene(1, 4)
    found, expected, variance = shuffled_reciprocal(left, right, truth)
    assert found.reciprocal == pytest.approx(expected)
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
                                sk.gate(map_, x, y, min_mrr=0, min_recall_at_1=0).checks],
    "retrieval": lambda map_, x, y: [(one, way.chance(1)) for way in [
        sk.evaluate_retrieval(map_, x, y, ks=(1,)).forward] for one in way.recall.values()],
    "compare": lambda map_, x, y: [(row.measures[name], row.chance[name]) for name in ("mrr", "recall@1") for row in
                                   sk.compare(x, y, solvers={"map": Fixed(map_)}).rows],
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
