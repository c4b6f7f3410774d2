"""The branch that pools open: chosen by held-out anchors, with its account, and refused where pools do not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.alignment.pools.align_with_pool import align_with_pool
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError, UnknownNameError
from stitchkit.core.space import Space
from stitchkit.solvers.csa import CSA
from stitchkit.solvers.procrustes import Procrustes

sys.path.insert(0, str(Path(__file__).parents[1] / "solvers" / "pools"))
from two_clouds import clouds, recall

BRANCHES = ["closed form", "soft", "hard"]


def fitted(c, **settings):
    return align_with_pool(c.x, c.y, (c.pool_x, c.pool_y), **settings)


def scores(alignment):
    return {row["branch"]: row["log_rank"] for row in alignment.record["branches"]}


def test_pools_without_common_items_choose_soft():
    c = clouds(n=12, m=150, noise=0.6)
    found = fitted(c)
    assert found.record["branch"] == "soft"
    assert found.record["overlap"]["same_items"] != "solved"
    assert recall(found, c.new_x, c.new_y) > recall(fitted(c, branch="closed form"), c.new_x, c.new_y) + 0.1


@pytest.mark.parametrize(("shared", "seed"), [(0.5, 1), (1.0, 0)])
def test_pools_that_share_items_choose_hard(shared, seed):
    c = clouds(n=12, m=150, noise=0.6, shared=shared, seed=seed)
    found = fitted(c)
    assert found.record["branch"] == "hard"
    assert recall(found, c.new_x, c.new_y) > 0.9
    assert (found.record["overlap"]["same_items"] == "solved") == (shared == 1.0)


def test_spaces_that_hardly_agree_choose_the_closed_form_and_say_so():
    c = clouds(n=24, m=150, noise=0.3)
    rng = np.random.default_rng(3)
    loud = [6 * rng.normal(size=(len(rows), 40)) for rows in (c.y, c.pool_y, c.new_y)]  # the target's own affairs
    widened = [np.concatenate([rows, own], axis=1) for rows, own in zip((c.y, c.pool_y, c.new_y), loud, strict=True)]
    found = fitted(c._replace(y=widened[0], pool_y=widened[1], new_y=widened[2]))
    assert found.record["branch"] == "closed form"
    assert any("the pools gave nothing" in note for note in found.record["notes"])


def test_the_stable_share_tells_how_much_the_pools_have_in_common():
    stable = [
        fitted(clouds(n=12, m=150, noise=0.6, shared=shared)).record["overlap"]["stable_share"]
        for shared in (0.0, 0.5, 1.0)
    ]
    assert stable[0] < 0.3 < 0.45 < stable[1] < 0.75 < 0.9 < stable[2]


def test_pools_shorter_than_the_map_is_wide_solve_nothing():
    overlap = fitted(clouds(n=8, m=24, shared=1.0), branch="hard").record["overlap"]
    assert overlap["mutual_share"] > 0.8
    assert overlap["same_items"] == "uncertain"


def test_the_record_holds_every_branch_and_is_plain():
    record = json.loads(json.dumps(fitted(clouds()).record))
    assert [row["branch"] for row in record["branches"]] == BRANCHES
    assert record["seed"] == 0
    assert "in-sample" in record["transductive"]
    for row in record["branches"]:
        assert row["log_rank"] <= 0 < row["mrr"] <= 1 <= row["median_rank"]
    assert 0 <= record["overlap"]["stable_share"] <= record["overlap"]["mutual_share"]


def test_the_closed_forms_score_is_the_literal_one():
    c = clouds(n=8, m=40)
    from stitchkit.alignment.folds import assign

    logs = []
    for held in assign(8, None, seed=0, k=10):  # fewer than 20 anchors
        rest = np.setdiff1d(np.arange(8), held)
        one = fitted(c._replace(x=c.x[rest], y=c.y[rest]), branch="closed form")
        for i in held:
            x, y = np.concatenate([c.x[i : i + 1], c.pool_x]), np.concatenate([c.y[i : i + 1], c.pool_y])
            table = one.similarity(x, y)  # the anchor first, then the pools
            of_y = np.sort(table[1:], axis=0)[-10:].mean(axis=0)
            of_x = np.sort(table[:, 1:], axis=1)[:, -10:].mean(axis=1)
            for scores_of_i in (2 * table[0] - of_y, 2 * table[:, 0] - of_x):
                logs.append(-np.log((scores_of_i >= scores_of_i[0]).sum()))
    assert scores(fitted(c))["closed form"] == pytest.approx(np.mean(logs))


def test_a_group_is_held_out_whole():
    c = clouds(n=6, m=60)
    twice = c._replace(x=np.repeat(c.x, 2, axis=0), y=np.repeat(c.y, 2, axis=0))
    together = scores(fitted(twice, groups=np.repeat(np.arange(6), 2)))
    apart = scores(fitted(twice))
    assert all(apart[name] > together[name] for name in ("closed form", "hard"))  # a twin in training gives it away


@pytest.mark.parametrize("n", [2, 3])
def test_too_few_anchors_get_the_closed_form_without_a_choice(n):
    c = clouds(n=n, m=40)
    record = fitted(c).record
    assert (record["branch"], record["chosen_by"]) == ("closed form", "default")
    assert any(f"{n} anchors are too few to hold any out" in note for note in record["notes"])
    assert fitted(c, branch="soft").record["chosen_by"] == "the caller"
    assert fitted(c, branch="hard").record["overlap"]["mutual_share"] > 0


def test_few_groups_are_too_few_however_many_anchors():
    record = fitted(clouds(n=9, m=40), groups=np.arange(9) % 3).record
    assert any("3 groups of anchors are too few" in note for note in record["notes"])


def test_the_answer_stays_in_the_callers_library(library):
    c = clouds(n=6, m=40)
    found = align_with_pool(*library(c.x, c.y), library(c.pool_x, c.pool_y))
    ours = found.similarity(*library(c.new_x, c.new_y))
    assert type(ours) is type(library(c.x))
    np.testing.assert_allclose(to_numpy(ours), fitted(c).similarity(c.new_x, c.new_y), atol=1e-6)


def test_anchors_that_stand_in_the_pool_are_left_out_of_it():
    c = clouds(n=8, m=40)
    found = align_with_pool(
        c.x, c.y, (np.concatenate([c.pool_x, c.x[:3]]), np.concatenate([c.y[:5], c.pool_y])), branch="soft"
    )
    assert "3 source rows and 5 target rows of the pools are anchors already and were left out" in found.record["notes"]
    np.testing.assert_array_equal(
        found.similarity(c.new_x, c.new_y), fitted(c, branch="soft").similarity(c.new_x, c.new_y)
    )


def named(rows, ids, space):
    return Embeddings(rows, ids, Space(space, rows.shape[1], space))


def test_embeddings_are_paired_by_id_and_pools_checked_by_space():
    c = clouds(n=8, m=40)
    x, y = named(c.x, range(8), "a"), named(c.y[::-1].copy(), range(7, -1, -1), "b")
    pool_x = named(np.concatenate([c.pool_x, c.x[:1] + 1]), [*range(100, 140), 0], "a")  # one id is an anchor's
    pool_y = named(c.pool_y, range(200, 240), "b")
    found = align_with_pool(x, y, (pool_x, pool_y), branch="soft")
    np.testing.assert_allclose(
        found.similarity(c.new_x, c.new_y), fitted(c, branch="soft").similarity(c.new_x, c.new_y), atol=1e-9
    )
    assert found.source.name == "a"
    wrong = named(c.pool_x, range(40), "other")
    with pytest.raises(SpaceMismatchError, match="source pool"):
        align_with_pool(x, y, (wrong, pool_y))
    with pytest.raises(SpaceMismatchError, match="target pool"):
        align_with_pool(c.x, c.y, (c.pool_x, c.pool_x))


def test_another_closed_form_may_stand_in():
    found = fitted(clouds(n=8, m=40), branch="closed form", closed_form=Procrustes())
    assert found.record["solver"] == "procrustes"


def test_what_cannot_be_used_is_refused():
    c = clouds(n=8, m=40)
    for pool in (c.pool_x, (c.pool_x,), (c.pool_x, None), None):
        with pytest.raises(InputError, match="pool must be a pair"):
            align_with_pool(c.x, c.y, pool)
    with pytest.raises(InputError, match="target pool has 19 rows besides anchors"):
        align_with_pool(c.x, c.y, (c.pool_x, c.pool_y[:19]))
    with pytest.raises(InputError, match="NaN"):
        align_with_pool(c.x, c.y, (np.where(np.arange(40)[:, None] == 2, np.nan, c.pool_x), c.pool_y))
    with pytest.raises(InputError, match="1 anchor"):
        align_with_pool(c.x[:1], c.y[:1], (c.pool_x, c.pool_y))
    with pytest.raises(InputError, match="8 rows and target has 7"):
        align_with_pool(c.x, c.y[:7], (c.pool_x, c.pool_y))
    with pytest.raises(UnknownNameError, match="nearest: soft"):
        fitted(c, branch="sof")


def test_unrelated_noise_gets_the_closed_form_and_is_told_to_be_at_chance():
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, y, pool_x, pool_y = (rng.normal(size=shape) for shape in ((12, 20), (12, 15), (80, 20), (80, 15)))
        found.append(align_with_pool(x, y, (pool_x, pool_y)))
    told = ["hardly link the two spaces" in " ".join(one.record["notes"]) for one in found]
    assert sum(one.record["branch"] == "closed form" for one in found) >= 7  # two standard errors: one in twenty
    assert sum(told) >= 7
    assert "NOT clearly above chance" in repr(found[told.index(True)])


def test_every_branch_stands_beside_chance():
    record = fitted(clouds(n=12, m=60)).record
    for row in record["branches"]:
        assert row["gallery"] == 61
        assert row["chance_mrr"] == pytest.approx(np.mean(1 / np.arange(1, 62)))
        assert row["se"] > 0
    assert record["held_out"]["mrr"] == next(r["mrr"] for r in record["branches"] if r["branch"] == record["branch"])


def test_a_closed_form_that_needs_folds_gets_them():
    c = clouds(n=24, m=40, noise=0.3)
    found = fitted(c, branch="closed form", closed_form=CSA(), groups=np.repeat(np.arange(12), 2))
    assert found.weights is not None
    assert recall(found, c.new_x, c.new_y) > 0.3
    assert fitted(c, closed_form=CSA()).record["branch"] in BRANCHES


def test_pools_of_another_precision_are_taken(library):
    c = clouds(n=8, m=40)
    narrow = library(*(one.astype(np.float32) for one in (c.pool_x, c.pool_y)))
    found = align_with_pool(*library(c.x, c.y), narrow, branch="soft")
    ours, exact = found.similarity(*library(c.new_x, c.new_y)), fitted(c, branch="soft")
    np.testing.assert_allclose(to_numpy(ours), exact.similarity(c.new_x, c.new_y), atol=1e-5)


def private(n, seed=0, d=24, shared=4):
    """Two sides that share a few directions under strong ones of their own: pools are matched by the wrong ones."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(n, shared))
    sides = []
    for _ in range(2):
        own = 4 * rng.normal(size=(n, d - shared)) * np.linspace(1, 2, d - shared)
        sides.append(np.concatenate([meaning, own], axis=1) @ np.linalg.qr(rng.normal(size=(d, d)))[0])
    return sides


def test_pools_that_do_harm_are_left_to_the_pairs_alone():
    x, y = private(600)
    pool = (x[100:300], y[300:500])
    pooled, alone = sk.align(x[:100], y[:100], pool=pool), sk.align(x[:100], y[:100], nested=False)
    rows = {row["branch"]: row for row in pooled.record["branches"]}
    assert pooled.record["branch"] == "pairs alone"
    assert rows["pairs alone"]["log_rank"] > max(rows[name]["log_rank"] for name in BRANCHES)
    assert any("pools did harm" in note for note in pooled.record["notes"])
    assert "transductive" not in pooled.record
    assert pooled.record["held_out"]["mrr"] == rows["pairs alone"]["mrr"]
    np.testing.assert_allclose(pooled.similarity(x[500:], y[500:]), alone.similarity(x[500:], y[500:]))


def test_the_pairs_alone_are_no_rival_where_pools_help():
    c = clouds()
    found = sk.align(c.x, c.y, pool=(c.pool_x, c.pool_y))
    assert found.record["branch"] in BRANCHES
