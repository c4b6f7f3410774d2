"""Soft and hard matching: what pools add, the laws they keep, and a literal version of the recipe."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from test_sinkhorn import in_logarithms
from two_clouds import clouds, recall, turn

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import EvidenceError, InputError, NoDirectedMapError
from stitchkit.core.moments.moments import Moments
from stitchkit.solvers.pools import ensemble
from stitchkit.solvers.pools.ensemble import SINGLE, Member, members_for
from stitchkit.solvers.pools.hard_matching import SETTLED, HardMatching, mutual_pairs
from stitchkit.solvers.pools.lowdin import Lowdin
from stitchkit.solvers.pools.soft_matching import SoftMatching, lowdin_weight

EVERY = pytest.mark.parametrize("solver", [SoftMatching(), HardMatching()], ids=["soft", "hard"])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def carriers(cross, rank, power):
    u, s, vh = np.linalg.svd(cross)
    weight = (s[:rank] / s[0]) ** (power / 2)
    return u[:, :rank] * weight, vh.T[:, :rank] * weight


def literal_soft(c, exponent, power, rank):
    """One member by the recipe, in numpy, with the plan in logarithms."""
    sides = []
    for anchors, pool in ((c.x, c.pool_x), (c.y, c.pool_y)):
        seen = np.concatenate([anchors, pool])
        values, vectors = np.linalg.eigh(np.cov(seen.T, bias=True))
        basis = vectors * (values + 1e-3 * values[-1]) ** (-exponent / 2)
        basis /= np.sqrt(np.mean(np.sum(((seen - seen.mean(0)) @ basis) ** 2, axis=1)))
        sides.append([(rows - seen.mean(0)) @ basis for rows in (anchors, pool)] + [basis, seen.mean(0)])
    (a, p, left, centre_x), (b, q, right, centre_y) = sides
    n = len(a)
    f, g = carriers(a.T @ b, n - 1, power)
    for step in range(8):
        heat = 0.1 * (0.04 / 0.1) ** (step / 7)
        plan = in_logarithms(unit(p @ f) @ unit(q @ g).T, heat, 30)
        f, g = carriers(a.T @ b / n + p.T @ plan @ q, round((n - 1) * (rank / (n - 1)) ** ((step + 1) / 8)), power)
    return unit((c.new_x - centre_x) @ left @ f), unit((c.new_y - centre_y) @ right @ g)


def test_soft_matching_is_the_recipe(library):
    c = clouds(n=8, m=60)
    members = (Member(0.0, 0.3, 14), Member(0.25, 0.6, 17))
    found = SoftMatching(steps=8, members=members).fit(c.evidence(library))
    expected = np.mean([left @ right.T for left, right in (literal_soft(c, *one) for one in members)], axis=0)
    ours = found.similarity(*library(c.new_x, c.new_y))
    assert type(ours) is type(library(c.new_x))
    np.testing.assert_allclose(to_numpy(ours), expected, atol=1e-7)


@EVERY
def test_libraries_agree(library, solver):
    c = clouds(n=8, m=60, shared=1.0)
    ours = solver.fit(c.evidence(library)).similarity(*library(c.new_x, c.new_y))
    np.testing.assert_allclose(to_numpy(ours), solver.fit(c.evidence()).similarity(c.new_x, c.new_y), atol=1e-7)


def test_pools_without_common_items_carry_few_pairs_further():
    draws = [clouds(n=6, m=150, noise=0.6, seed=seed) for seed in range(3)]
    reached = {
        solver: np.mean([recall(solver.fit(c.evidence()), c.new_x, c.new_y) for c in draws])
        for solver in (Lowdin(), SoftMatching())
    }
    assert reached[SoftMatching()] > reached[Lowdin()] + 0.1


@pytest.mark.parametrize("shared", [0.5, 1.0])
def test_where_pools_share_items_hard_matching_goes_further(shared):
    c = clouds(n=6, m=150, noise=0.6, shared=shared)
    soft, hard = (recall(one.fit(c.evidence()), c.new_x, c.new_y) for one in (SoftMatching(), HardMatching()))
    assert hard >= soft
    assert hard > 0.9


def test_a_sweep_that_ends_halfway_is_freed_by_the_next():
    c = clouds(n=5, m=200, shared=1.0, noise=1.0, seed=5)
    once, often = (HardMatching(sweeps=most).fit(c.evidence()) for most in (1, 6))
    assert recall(often, c.new_x, c.new_y) > recall(once, c.new_x, c.new_y) + 0.2
    assert often.record["mutual_share"] > once.record["mutual_share"] + 0.1


def test_sweeps_end_where_they_find_no_more_pairs(monkeypatch):
    c = clouds(n=6, m=150, noise=1.0)  # no common items: the pairs wander
    sizes, plain = [], HardMatching._sweep

    def counted(self, ensemble, pairs):
        found = plain(self, ensemble, pairs)
        sizes.append(len(found[2].source))
        return found

    monkeypatch.setattr(HardMatching, "_sweep", counted)
    record = HardMatching().fit(c.evidence()).record
    assert record["found_again"] < SETTLED
    assert 2 <= len(sizes) < 6
    assert all(size > last for last, size in itertools.pairwise(sizes[:-1]))
    assert sizes[-1] <= sizes[-2]


WIDE = {"n": 8, "m": 200, "d": SINGLE + 10}


def in_double(monkeypatch, solver, c):
    with monkeypatch.context() as patch:
        patch.setattr(ensemble, "SINGLE", 10**9)
        return solver.fit(c.evidence())


@pytest.mark.parametrize(("shared", "near"), [(0.0, 0.03), (1.0, 1e-3)])
def test_steps_in_single_precision_lead_where_those_in_double_do(library, monkeypatch, shared, near):
    c = clouds(**WIDE, shared=shared)
    found, exact = SoftMatching().fit(c.evidence(library)), in_double(monkeypatch, SoftMatching(), c)
    assert "float64" in str(found.source_map.members[0].weight.dtype)
    ours = to_numpy(found.similarity(*library(c.new_x, c.new_y)))
    np.testing.assert_allclose(ours, exact.similarity(c.new_x, c.new_y), atol=near)
    assert abs(recall(found, *library(c.new_x, c.new_y)) - recall(exact, c.new_x, c.new_y)) <= 0.02


def test_pairs_found_in_single_precision_give_the_map_of_double(library, monkeypatch):
    c = clouds(**WIDE, shared=1.0)
    found, exact = HardMatching().fit(c.evidence(library)), in_double(monkeypatch, HardMatching(), c)
    assert found.record["mutual_pairs"] == exact.record["mutual_pairs"]
    ours = to_numpy(found.similarity(*library(c.new_x, c.new_y)))
    np.testing.assert_allclose(ours, exact.similarity(c.new_x, c.new_y), atol=1e-9)


def test_a_draft_is_single_until_it_becomes_an_alignment(library):
    c, soft = clouds(**WIDE), SoftMatching(steps=3)
    draft = soft.match(c.evidence(library), draft=True)
    settled = HardMatching(sweeps=1).run_sweeps(draft, draft=True)
    for one in (draft, settled.ensemble):
        assert {str(part.dtype).split(".")[-1] for strand in one.strands for part in strand.carriers} == {"float32"}
        assert "float64" in str(soft.alignment(one).source_map.members[0].weight.dtype)
    narrow = soft.match(clouds(m=60).evidence(library), draft=True)
    assert "float64" in str(narrow.strands[0].carriers.source.dtype)


def test_colder_plans_than_single_precision_holds_stay_in_double():
    c = clouds(**WIDE)
    cold = SoftMatching(steps=3, heat=(0.1, 0.005)).match(c.evidence(), draft=True)
    assert cold.strands[0].carriers.source.dtype == np.float64
    assert np.isfinite(SoftMatching(heat=(0.1, 0.005)).fit(c.evidence()).similarity(c.new_x, c.new_y)).all()


def test_the_share_of_mutual_neighbours_tells_shared_pools():
    shares = [HardMatching().fit(clouds(shared=shared).evidence()).record["mutual_share"] for shared in (0.0, 1.0)]
    assert shares[0] < 0.75
    assert shares[1] > 0.95


@EVERY
def test_turning_scaling_and_moving_a_space_changes_no_similarity(solver):
    c = clouds(m=60, shared=1.0)
    moved = c._replace(**{name: 5 * getattr(c, name) @ turn(20, 9) + 2 for name in ("x", "pool_x", "new_x")})
    ours = solver.fit(moved.evidence()).similarity(moved.new_x, c.new_y)
    np.testing.assert_allclose(ours, solver.fit(c.evidence()).similarity(c.new_x, c.new_y), atol=1e-6)


@EVERY
def test_the_order_of_anchors_and_of_pools_is_irrelevant(solver):
    c = clouds(m=60, shared=1.0)
    rng = np.random.default_rng(5)
    at, left, right = rng.permutation(8), rng.permutation(60), rng.permutation(60)
    mixed = c._replace(x=c.x[at], y=c.y[at], pool_x=c.pool_x[left], pool_y=c.pool_y[right])
    ours = solver.fit(mixed.evidence()).similarity(c.new_x, c.new_y)
    np.testing.assert_allclose(ours, solver.fit(c.evidence()).similarity(c.new_x, c.new_y), atol=1e-6)


@EVERY
def test_the_same_evidence_gives_the_same_map_and_leaves_it_alone(solver):
    c = clouds(m=60)
    before = [part.copy() for part in c]
    first, second = (solver.fit(c.evidence()).similarity(c.new_x, c.new_y) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    for part, was in zip(c, before, strict=True):
        np.testing.assert_array_equal(part, was)


@EVERY
def test_the_two_directions_are_one_problem(solver):
    c = clouds(m=60, shared=1.0)
    back = c._replace(x=c.y, y=c.x, pool_x=c.pool_y, pool_y=c.pool_x)
    ours = solver.fit(back.evidence()).similarity(c.new_y, c.new_x).T
    # a plan's last step makes the columns exact, so the two ways differ by what thirty rounds leave
    np.testing.assert_allclose(ours, solver.fit(c.evidence()).similarity(c.new_x, c.new_y), atol=0.05)


@EVERY
def test_single_precision_rows_far_from_the_origin_are_matched_in_double(solver):
    c = clouds(m=60, shared=1.0)
    far = c._replace(**{name: (getattr(c, name) + 1000).astype(np.float32) for name in ("x", "pool_x", "new_x")})
    found = solver.fit(far.evidence())
    assert "float64" in str(found.source_map.members[0].weight.dtype)
    np.testing.assert_allclose(
        found.similarity(far.new_x, c.new_y), solver.fit(c.evidence()).similarity(c.new_x, c.new_y), atol=0.02
    )


@EVERY
def test_pools_of_unequal_size_and_more_dimensions_than_rows(solver):
    c = clouds(n=4, m=30, d=90)
    found = solver.fit(c._replace(pool_y=c.pool_y[:22]).evidence())
    assert np.isfinite(found.similarity(c.new_x, c.new_y)).all()
    assert found.record["pool"] == {"source": 30, "target": 22}
    json.dumps(found.record)


@EVERY
def test_two_pairs_are_enough_to_start(solver):
    c = clouds(n=2, m=60)
    assert np.isfinite(solver.fit(c.evidence()).similarity(c.new_x, c.new_y)).all()


@EVERY
def test_there_is_no_directed_map(solver):
    with pytest.raises(NoDirectedMapError):
        solver.fit(clouds(m=30).evidence()).to_target  # noqa: B018


def test_a_long_pool_is_drawn_from_with_a_seed_and_the_record_says_so():
    c = clouds(m=120)
    first, again, other = (SoftMatching(limit=50, seed=seed).fit(c.evidence()) for seed in (0, 0, 1))
    assert first.record["pool"] == {"source": 120, "target": 120}
    assert first.record["pool_used"] == {"source": 50, "target": 50}
    seen = [one.similarity(c.new_x, c.new_y) for one in (first, again, other)]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.allclose(seen[0], seen[2])


def test_mutual_pairs_are_the_literal_ones_surest_first():
    rng = np.random.default_rng(2)
    x, y = unit(rng.normal(size=(40, 6))), unit(rng.normal(size=(30, 6)))
    scores = x @ y.T
    scores = 2 * scores - np.sort(scores, axis=1)[:, -10:].mean(axis=1)[:, None] - np.sort(scores, axis=0)[-10:].mean(0)
    expected = [(i, j) for i in range(40) for j in range(30)
                if scores[i].argmax() == j and scores[:, j].argmax() == i]  # fmt: skip
    found = mutual_pairs(x, y)
    assert sorted(zip(found.source.tolist(), found.target.tolist(), strict=True)) == expected
    kept = scores[found.source, found.target]
    assert (np.diff(kept) <= 0).all()
    assert len(found.best(0.1).source) == min(20, len(expected))


def test_the_fewer_anchors_the_fewer_carriers():
    assert members_for(10) == ((0, 0.3, 40), (0.25, 0.3, 80), (0.25, 0.6, 40), (0.5, 0.6, 80))
    assert members_for(30)[1] == (0.25, 0.15, 96)
    assert members_for(500) == ((0, 0, 160), (0.25, 0, 256), (0.25, 0.3, 160), (0.5, 0.3, 256))


@pytest.mark.parametrize(("n", "weight"), [(2, 0), (50, 0), (60, 0.2), (75, 0.5), (100, 1), (400, 1)])
def test_the_more_anchors_the_more_lowdin_weighs(n, weight):
    assert lowdin_weight(n) == pytest.approx(weight)


def test_lowdin_joins_with_the_weight_of_all_members_together(library):
    c = clouds(n=110, m=80)
    alone = SoftMatching(lowdin=0).fit(c.evidence())
    parts = [one.similarity(c.new_x, c.new_y) for one in (alone, Lowdin().fit(c.evidence()))]
    assert parts[1].max() <= 1.0001 * np.prod([np.linalg.norm(row) for row in (c.new_x, c.new_y)])
    for soft, weight in ((SoftMatching(), 1.0), (SoftMatching(lowdin=0.5), 0.5)):
        found = soft.fit(c.evidence(library))
        expected = (parts[0] + weight * parts[1]) / (1 + weight)
        ours = to_numpy(found.similarity(*library(c.new_x, c.new_y)))
        np.testing.assert_allclose(ours, expected, atol=1e-6)
        assert found.record["lowdin_weight"] == weight
    few = SoftMatching().fit(clouds(n=12, m=60).evidence())
    assert few.record["lowdin_weight"] == 0
    assert few.source_map.weights is None


def test_lowdin_is_no_part_of_hard_matching():
    c = clouds(n=110, m=80, shared=1.0)
    with_it, without = (HardMatching(soft=SoftMatching(lowdin=one)).fit(c.evidence()) for one in (1.0, 0.0))
    np.testing.assert_array_equal(with_it.similarity(c.new_x, c.new_y), without.similarity(c.new_x, c.new_y))


def test_what_cannot_be_matched_is_refused():
    c = clouds(m=30)
    with pytest.raises(EvidenceError, match="unpaired pools"):
        SoftMatching().fit(c.evidence(pools=False))
    with pytest.raises(InputError, match="has 19 rows; matching by neighbourhoods needs at least 20"):
        HardMatching().fit(c._replace(pool_x=c.pool_x[:19]).evidence())
    with pytest.raises(InputError, match="are the same"):
        SoftMatching().fit(c._replace(x=np.ones((8, 20)), pool_x=np.ones((30, 20))).evidence())
    for settings in (
        {"steps": 0},
        {"width": 0},
        {"limit": 5},
        {"heat": (0.1, 0.001)},
        {"heat": (0.04, 0.1)},
        {"lowdin": -1.0},
        {"lowdin": float("nan")},
    ):
        with pytest.raises(InputError, match=next(iter(settings))):
            SoftMatching(**settings)
    with pytest.raises(InputError, match="round"):
        HardMatching(rounds=0)
    with pytest.raises(InputError, match="sweeps of at least 1; got 0"):
        HardMatching(sweeps=0)


@pytest.mark.parametrize("solver", [Lowdin(), SoftMatching(), HardMatching()], ids=["lowdin", "soft", "hard"])
def test_weights_of_anchors_are_refused_for_they_would_be_ignored(solver):
    c = clouds(m=30)
    weighed = replace(c.evidence(), moments=Moments.of(c.x, c.y, weights=np.arange(1, 9)))
    with pytest.raises(InputError, match="or the pairs have weights"):
        solver.fit(weighed)
