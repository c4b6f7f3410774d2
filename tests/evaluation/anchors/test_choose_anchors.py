"""Choosing anchors: each rule against what it promises, and what none of them may do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, StitchError, UnknownNameError
from stitchkit.evaluation.anchors.choose import METHODS, RIDGE


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(120, 6)) * np.asarray([3, 2, 1, 1, 0.5, 0.2])


@pytest.fixture(scope="module")
def sides(rows):
    rng = np.random.default_rng(1)
    return {"other": rng.normal(size=(120, 4)), "classes": rng.integers(0, 3, 120)}


def directions(rows):
    centred = rows - rows.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1)[:, None]


def bounded(rows):
    """Centred rows with lengths up to the upper quartile, from three times that on shortened again."""
    centred = rows - rows.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1)
    usual = np.quantile(lengths, 0.75)
    kept = [min(one / usual, 1) * min(3 * usual / one, 1) ** 2 for one in lengths]
    return directions(rows) * np.asarray(kept)[:, None]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_different_rows(rows, sides, method):
    first, again = (sk.choose_anchors(rows, 25, method=method, seed=3, **sides) for _ in range(2))
    assert first.dtype == np.int64
    assert np.array_equal(first, again)
    assert len(set(first.tolist())) == 25
    assert set(first.tolist()) <= set(range(120))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"leverage"}))
def test_another_seed_gives_other_rows(rows, sides, method):
    first, second = (sk.choose_anchors(rows, 25, method=method, seed=seed, **sides) for seed in (0, 1))
    assert set(first.tolist()) != set(second.tolist())


@pytest.mark.parametrize("method", METHODS)
def test_all_rows_can_be_chosen(rows, sides, method):
    assert sorted(sk.choose_anchors(rows, 120, method=method, **sides).tolist()) == list(range(120))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"kmeans"}))
def test_fewer_anchors_are_the_first_of_more(rows, sides, method):
    more, fewer = (sk.choose_anchors(rows, n, method=method, **sides) for n in (30, 12))
    assert np.array_equal(more[:12], fewer)


@pytest.mark.parametrize("method", METHODS)
def test_every_library_chooses_the_same_rows(library, rows, sides, method):
    given = library(rows)
    other = library(sides["other"])
    chosen = sk.choose_anchors(given, 15, method=method, other=other, classes=sides["classes"])
    assert np.array_equal(chosen, sk.choose_anchors(rows, 15, method=method, **sides))


@pytest.mark.parametrize("method", METHODS)
def test_no_patient_is_picked_twice_while_another_has_none(rows, sides, method):
    patients = np.arange(120) // 4
    chosen = sk.choose_anchors(rows, 30, method=method, groups=patients, classes=np.zeros(120), other=sides["other"])
    assert len(np.unique(patients[chosen])) == 30
    more = sk.choose_anchors(rows, 45, method=method, groups=patients, classes=np.zeros(120), other=sides["other"])
    assert np.bincount(patients[more]).max() == 2


@pytest.mark.parametrize("method", METHODS)
def test_equal_rows_are_picked_last(rows, method):
    repeated = np.concatenate([rows[:20], rows[:20], rows[:20]])
    chosen = sk.choose_anchors(repeated, 20, method=method, other=repeated, classes=np.zeros(60))
    assert len(np.unique(chosen % 20)) == 20
    assert len(sk.choose_anchors(repeated, 33, method=method, other=repeated, classes=np.zeros(60))) == 33


def radius(rows, chosen):
    apart = np.linalg.norm(rows[:, None] - rows[chosen][None], axis=2)
    return apart.min(axis=1).max()


@pytest.mark.parametrize("seed", range(6))
def test_farthest_covers_within_twice_the_best_radius(seed):
    given = np.random.default_rng(seed).normal(size=(13, 3))
    points = bounded(given)
    best = min(radius(points, list(some)) for some in combinations(range(13), 4))
    assert radius(points, sk.choose_anchors(given, 4, method="farthest", seed=seed)) <= 2 * best


def test_farthest_is_the_literal_rule(rows):
    chosen = sk.choose_anchors(rows, 12, method="farthest").tolist()
    points = bounded(rows)
    for k in range(1, 12):
        apart = np.linalg.norm(points[:, None] - points[chosen[:k]][None], axis=2).min(axis=1)
        assert chosen[k] == apart.argmax()


def test_diverse_text_is_farthest_on_the_other_side(rows, sides):
    chosen = sk.choose_anchors(rows, 12, method="diverse-text", other=sides["other"])
    assert np.array_equal(chosen, sk.choose_anchors(sides["other"], 12, method="farthest"))


def volume(rows, chosen):
    x = bounded(rows)
    floor = RIDGE * np.mean(x**2)
    return np.linalg.slogdet(floor * np.eye(x.shape[1]) + x[chosen].T @ x[chosen])[1]


def test_leverage_is_the_literal_greedy_design(rows):
    chosen = sk.choose_anchors(rows, 15, method="leverage").tolist()
    for k in range(15):
        free = [i for i in range(120) if i not in chosen[:k]]
        gains = [volume(rows, [*chosen[:k], i]) for i in free]
        assert gains[free.index(chosen[k])] == pytest.approx(max(gains), abs=1e-9)


def test_leverage_beats_random_on_the_determinant(rows):
    found = volume(rows, sk.choose_anchors(rows, 20, method="leverage"))
    assert all(found > volume(rows, sk.choose_anchors(rows, 20, method="random", seed=seed)) for seed in range(50))


def test_kmeans_takes_one_row_of_each_cluster():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(8), 15)
    points = 50 * rng.normal(size=(8, 5))[cluster] + rng.normal(size=(120, 5))
    chosen = sk.choose_anchors(points, 8, method="kmeans")
    assert sorted(cluster[chosen].tolist()) == list(range(8))
    for row in chosen:
        own = directions(points)[cluster == cluster[row]]
        apart = np.linalg.norm(own - own.mean(axis=0), axis=1)
        assert np.linalg.norm(directions(points)[row] - own.mean(axis=0)) == pytest.approx(apart.min())


@pytest.mark.parametrize("method", ["farthest", "leverage", "diverse-text", "kmeans"])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_length_changes_nothing(rows, method, scale):
    plain, scaled = (sk.choose_anchors(one, 12, method=method, other=one) for one in (rows, rows * scale))
    assert np.array_equal(plain, scaled)


@pytest.mark.parametrize("method", ["farthest", "leverage", "diverse-text"])
def test_short_rows_are_not_taken_for_far_ones(method):
    """Half of the rows are noise of a tenth of the others' length and as many directions as there are dimensions."""
    rng = np.random.default_rng(4)
    short = rng.random(400) < 0.5
    rows = np.where(
        short[:, None], 0.05 * rng.normal(size=(400, 40)), rng.normal(size=(400, 5)) @ rng.normal(size=(5, 40))
    )
    chosen = sk.choose_anchors(rows, 20, method=method, other=rows)
    assert short[chosen].mean() <= 0.05  # of directions alone nearly all are short


@pytest.mark.parametrize("method", ["farthest", "leverage", "diverse-text"])
def test_outliers_are_not_taken_for_far_ones(method):
    rng = np.random.default_rng(5)
    outlier = rng.random(400) < 0.05
    rows = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 40)) + 0.3 * rng.normal(size=(400, 40))
    rows[outlier] += 30 * rng.normal(size=(int(outlier.sum()), 40))
    chosen = sk.choose_anchors(rows, 15, method=method, other=rows)
    assert outlier[chosen].mean() <= 0.2


@pytest.mark.parametrize("method", ["farthest", "leverage", "kmeans", "diverse-text"])
def test_rows_that_are_all_equal_can_be_chosen(method):
    assert len(sk.choose_anchors(np.ones((6, 3)), 4, method=method, other=np.ones((6, 3)))) == 4


@pytest.mark.parametrize("method", ["kmeans"])
def test_how_long_a_row_is_changes_nothing(rows, method):
    both = np.concatenate([rows, -rows])  # so that the mean stays where it is
    stretch = np.tile(np.random.default_rng(3).lognormal(sigma=2, size=(120, 1)), (2, 1))
    plain, stretched = (sk.choose_anchors(one, 12, method=method) for one in (both, both * stretch))
    assert np.array_equal(plain % 120, stretched % 120)  # a row and its opposite have the same leverage


def test_balanced_counts_differ_by_at_most_one_while_a_class_lasts(rows):
    classes = np.asarray(["common"] * 90 + ["rare"] * 25 + ["rarest"] * 5)
    for n in (1, 10, 14, 15):
        chosen = sk.choose_anchors(rows, n, method="balanced", classes=classes)
        counts = [int((classes[chosen] == one).sum()) for one in ("common", "rare", "rarest")]
        assert max(counts) - min(counts) <= 1
    chosen = sk.choose_anchors(rows, 45, method="balanced", classes=classes)
    assert [(classes[chosen] == one).sum() for one in ("common", "rare", "rarest")] == [20, 20, 5]


def test_texts_are_joined_by_id(rows, sides):
    ids = [f"item {i}" for i in range(120)]
    order = np.random.default_rng(2).permutation(120)
    x = sk.Embeddings(rows, ids, sk.Space("images", 6))
    y = sk.Embeddings(sides["other"], ids, sk.Space("texts", 4))
    shuffled = sk.choose_anchors(x, 9, method="diverse-text", other=y.take(order))
    assert np.array_equal(shuffled, sk.choose_anchors(x, 9, method="diverse-text", other=y))


WRONG = {
    "no such method": ({"method": "kmean"}, UnknownNameError, "nearest: kmeans"),
    "too many": ({"n": 121}, InputError, "121 anchors were asked of 120 rows"),
    "none": ({"n": 0}, InputError, "0 anchors"),
    "no texts": ({"method": "diverse-text"}, InputError, "other="),
    "other texts": ({"method": "diverse-text", "other": np.ones((3, 2))}, InputError, "3 rows"),
    "no classes": ({"method": "balanced"}, InputError, "classes="),
    "other classes": ({"method": "balanced", "classes": [1, 2]}, InputError, "120 rows"),
    "other groups": ({"groups": [1, 2]}, InputError, "120 rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_chosen_is_refused(rows, case):
    settings, kind, words = WRONG[case]
    with pytest.raises(StitchError, match=words) as error:
        sk.choose_anchors(rows, **{"n": 5, **settings})
    assert isinstance(error.value, kind)


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_are_all_the_same_can_still_be_chosen(method):
    same = np.ones((12, 3))
    assert len(set(sk.choose_anchors(same, 5, method=method, other=same, classes=np.zeros(12)).tolist())) == 5


def test_patients_may_be_named_by_id():
    rng = np.random.default_rng(2)
    ids = [f"p{i}" for i in range(30)]
    items = sk.Embeddings(rng.normal(size=(30, 4)), ids, sk.Space("a", 4))
    texts = sk.Embeddings(rng.normal(size=(30, 3)), ids, sk.Space("b", 3)).take(rng.permutation(30))
    patients = np.arange(30) // 3
    by_id = dict(zip(ids, patients.tolist(), strict=True))
    for more in ({}, {"method": "diverse-text", "other": texts}):
        found = sk.choose_anchors(items, 10, groups=by_id, **more)
        np.testing.assert_array_equal(found, sk.choose_anchors(items, 10, groups=patients, **more))
        assert len(set(patients[found].tolist())) == 10
    with pytest.raises(InputError, match="embeddings has 29 rows and other has 30"):
        sk.choose_anchors(items.take(np.arange(29)), 5, method="diverse-text", other=texts)
