"""The search: what few targets, groups and heads do to the choice, and numbers that are those of fresh pairs."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.alignment.criteria import (
    BalancedReciprocalRank,
    ExplainedVariance,
    Margin,
    margin_entries,
    margins,
    weights_of_kinds,
)
from stitchkit.alignment.folds import Folds, assign, assign_by_target
from stitchkit.alignment.search import Contender, Finalist, Search, Trial
from stitchkit.alignment.training_axes import TrainingSets
from stitchkit.core.embeddings import as_embeddings
from stitchkit.metrics.ranks import true_ranks
from stitchkit.solvers.axes import Extent
from stitchkit.solvers.procrustes import ProcrustesDraft
from stitchkit.solvers.ridge import tracks as ridge_tracks

MIX = np.random.default_rng(99)
INTO_X, INTO_Y = MIX.normal(size=(6, 20)), MIX.normal(size=(6, 14))


def pairs(n, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 6))
    return z @ INTO_X + noise * rng.normal(size=(n, 20)), z @ INTO_Y + noise * rng.normal(size=(n, 14))


def few_texts(n, seed=0, weights=(0.6, 0.2, 0.1, 0.1)):
    """Four texts of unequal frequency, and sources that carry them under variance of their own."""
    rng = np.random.default_rng(seed)
    which = np.concatenate([np.arange(4), rng.choice(4, size=n - 4, p=weights)])
    texts = np.random.default_rng(1).normal(size=(4, 14))
    return np.random.default_rng(2).normal(size=(4, 20))[which] + rng.normal(size=(n, 20)), texts[which], which


# --- few distinct targets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("grouped", [False, True])
def test_equal_targets_are_spread_over_all_folds(grouped):
    target = np.repeat([0, 1, 2], [60, 25, 15])
    groups = np.arange(100) // 2 if grouped else None
    folds = assign_by_target(target, groups, seed=0)
    assert sorted(np.concatenate(folds).tolist()) == list(range(100))
    assert all(set(target[rows]) == {0, 1, 2} for rows in folds)
    if grouped:
        assert sum(len(set(groups[rows])) for rows in folds) == 50


def test_targets_too_rare_for_every_fold_are_assigned_as_any():
    target = np.arange(20) // 2
    ours, plain = assign_by_target(target, None, seed=3), assign(20, None, seed=3)
    assert [rows.tolist() for rows in ours] == [rows.tolist() for rows in plain]


def test_the_balanced_mean_is_that_of_targets():
    ranks = np.array([1, 1, 1, 1, 1, 0.5, 0.25])
    target = np.array([7, 7, 7, 7, 7, 3, 9])
    entries = BalancedReciprocalRank().entries(np.column_stack([ranks, target]))
    assert entries.shape == (7,)
    assert entries.mean() == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_targets_of_unequal_number_are_no_noise():
    entries = BalancedReciprocalRank().entries(np.column_stack([np.ones(100), np.repeat([0, 1], [90, 10])]))
    np.testing.assert_allclose(entries, 1)


def test_few_targets_are_judged_alike():
    x, y, _ = few_texts(120)
    record = sk.align(x, y).record
    assert record["chosen_by"] == Margin.words
    assert all("margin" in one for one in record["candidates"])
    assert record["held_out"]["gallery"] == 4
    assert "margin" not in sk.align(*pairs(120)).record["candidates"][0]


def test_the_margin_is_the_correlation_of_scores_with_the_truth():
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(60, 4)), np.repeat([0, 1, 2, 3], 15)
    entries = margin_entries(*margins(scores, truth).T, np.ones(60))
    apart = scores - scores.mean(axis=1, keepdims=True)
    assert entries.mean() == pytest.approx(np.corrcoef(apart.ravel(), np.eye(4)[truth].ravel())[0, 1])
    again = margin_entries(*margins(7 * scores + 3, truth).T, np.ones(60))
    np.testing.assert_allclose(again, entries)
    perfect = margin_entries(*margins(np.eye(4)[truth], truth).T, np.ones(60))
    np.testing.assert_allclose(perfect, 1)
    assert margin_entries(*margins(np.ones((60, 4)), truth).T, np.ones(60)).tolist() == [0] * 60


def test_entries_of_the_margin_are_linear_in_each_item():
    """Leaving one item out moves the value by its entry's distance from the value, over n - 1."""
    rng = np.random.default_rng(1)
    truth = rng.integers(3, size=400)
    scores, weights = np.eye(3)[truth] + rng.normal(size=(400, 3)), rng.uniform(0.5, 2, size=400)
    both = np.column_stack([margins(scores, truth), weights])
    entries = margin_entries(*both.T)
    for i in (0, 17, 399):
        without = margin_entries(*np.delete(both, i, axis=0).T).mean()
        assert without - entries.mean() == pytest.approx((entries.mean() - entries[i]) / 399, abs=2e-5)


def test_targets_of_few_anchors_do_not_count_in_full():
    weights = weights_of_kinds(np.repeat([0, 1, 2, 3], [40, 10, 4, 1]))
    np.testing.assert_allclose(weights * [40, 10, 4, 1], [1, 1, 4 / 8, 1 / 8])


def test_between_two_targets_margins_are_more_than_signs():
    x, y, which = few_texts(60, weights=(0.5, 0.5, 0, 0))
    keep = which < 2
    record = sk.align(x[keep], y[keep]).record
    assert record["chosen_by"] == Margin.words
    ridge = [one["margin"] for one in record["candidates"] if one["solver"] == "ridge"]
    assert len({round(one, 6) for one in ridge}) == len(
        {(c["scale"], c["alpha"]) for c in record["candidates"] if c["solver"] == "ridge"}
    )


def test_of_few_targets_the_better_of_two_references_must_be_beaten():
    x, y, _ = few_texts(60)
    fixed = {(one["scale"], one["alpha"]) for one in sk.align(x, y).record["candidates"] if one["solver"] == "ridge"}
    assert {("none", 0.1), ("source", 1.0)} <= fixed
    of_few = sk.align(x[:30], y[:30]).record["candidates"]
    fixed = {(one["scale"], one["alpha"]) for one in of_few if one["solver"] == "ridge"}
    assert ("none", 0.1) in fixed
    assert sum(one["solver"] == "ridge" and one["scale"] == "source" for one in of_few) <= 1  # no reference of its own


def test_a_common_target_among_many_counts_as_few():
    x, y = pairs(100)
    y[:30] = y[0]
    assert sk.align(x, y, nested=False).record["chosen_by"] == BalancedReciprocalRank.words
    y = pairs(100)[1]
    y[:10] = y[0]
    assert sk.align(x, y, nested=False).record["chosen_by"] != BalancedReciprocalRank.words


def test_rare_texts_are_found_as_well_as_by_the_best_solver():
    reached = {"auto": [], "ridge": [], "csa": []}
    for seed in range(6):
        x, y, which = few_texts(400, seed)
        for name, draws in reached.items():
            fitted = sk.align(x[:100], y[:100], solver=name, nested=False)
            guessed = fitted.similarity(x[100:], y[:4]).argmax(axis=1)
            draws.append(np.mean([(guessed[which[100:] == k] == k).mean() for k in range(4)]))
    means = {name: np.mean(draws) for name, draws in reached.items()}
    assert means["auto"] >= max(means.values()) - 0.03


# --- what must not matter ---------------------------------------------------------------------------------------


def test_other_names_of_groups_change_nothing():
    x, y = pairs(60)
    number = np.random.default_rng(0).integers(20, size=60)
    one = sk.align(x, y, groups=[f"p{i}" for i in number], anchor_hashes=False)
    other = sk.align(x, y, groups=[f"{(7 * i) % 20:03d}-{i}" for i in number], anchor_hashes=False)
    assert one.record == other.record
    np.testing.assert_array_equal(one.similarity(x, y), other.similarity(x, y))


@pytest.mark.parametrize("purpose", ["match", "head"])
def test_the_estimate_changes_no_map(purpose):
    x, y = pairs(60)
    one, other = (sk.align(x, y, purpose=purpose, nested=nested) for nested in (True, False))
    np.testing.assert_array_equal(one.to_target.weight, other.to_target.weight)
    assert one.record["candidates"] == other.record["candidates"]


# --- on the way -------------------------------------------------------------------------------------------------


def test_a_winner_that_stands_ends_the_search_and_few_anchors_get_every_assignment():
    assert sk.align(*pairs(160), nested=False).record["repeats"] < 5
    assert sk.align(*pairs(60), nested=False).record["repeats"] == 5


def test_paths_that_fall_behind_are_listed_and_every_family_keeps_one_of_one_assignment():
    record = sk.align(*pairs(450), nested=False).record
    assert record["repeats"] == 1
    assert record["given_up"]
    assert {"solver", "scale", "folds"} <= set(record["given_up"][0])
    assert {one["solver"] for one in record["candidates"]} >= {"procrustes", "ridge", "csa", "lowdin", "reduced_rank"}


def test_a_solver_without_folds_gets_none(monkeypatch):
    from stitchkit.alignment import anchor_search

    seen = []
    real = anchor_search.evidence_of
    monkeypatch.setattr(
        anchor_search, "evidence_of", lambda x, y, members: seen.append(len(members)) or real(x, y, members)
    )
    for solver in (sk.Ridge(), sk.CSA()):
        sk.align(*pairs(60), solver=solver)
    assert seen == [1, 5]


# --- numbers ----------------------------------------------------------------------------------------------------


def fresh_mrr(n, gallery, seed):
    x, y = pairs(n * 4 // 5 + 400, seed, noise=2.0)
    fitted = sk.align(x[:-400], y[:-400], nested=False)
    parts = [slice(-a - gallery, -a or None) for a in range(0, 400 - gallery + 1, gallery)]
    return np.mean([np.mean(1 / true_ranks(fitted.similarity(x[p], y[p]), np.arange(gallery)).middle) for p in parts])


@pytest.mark.parametrize("n", [20, pytest.param(50, marks=pytest.mark.slow)])
def test_the_number_of_few_anchors_is_that_of_fresh_pairs(n):
    held = [sk.align(*pairs(n, seed, noise=2.0)).record["held_out"] for seed in range(8)]
    assert {one["gallery"] for one in held} == {n // 5}
    fresh = [fresh_mrr(n, n // 5, 100 + seed) for seed in range(8)]
    assert np.mean([one["mrr"] for one in held]) == pytest.approx(np.mean(fresh), abs=0.06)


@pytest.mark.slow
def test_the_standard_error_of_r2_is_the_spread_of_draws():
    held = [sk.align(*pairs(60, seed), solver="ridge", purpose="head").record["held_out"] for seed in range(24)]
    spread = np.std([one["r2"] for one in held], ddof=1)
    assert 0.85 * spread < np.mean([one["se"] for one in held]) < 1.3 * spread


def test_entries_of_r2_are_the_ratio_and_linear_in_each_pair():
    rng = np.random.default_rng(0)
    error, whole = rng.random((2, 50))
    whole = whole + 1
    entries = ExplainedVariance(np.zeros((50, 1))).entries(np.stack([error, whole], axis=1))
    assert entries.mean() == pytest.approx(1 - error.sum() / whole.sum())
    moved = error.copy()
    moved[3] += 1e-6
    change = ExplainedVariance(np.zeros((50, 1))).entries(np.stack([moved, whole], axis=1)).mean() - entries.mean()
    assert change == pytest.approx(-1e-6 / whole.sum(), rel=1e-6)


@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("scale", ["none", "source", "both"])
def test_r2_is_that_of_the_map_in_raw_units(scale, factor):
    x, y = pairs(60)
    x, y = np.tile(x, (1, 3)) + np.random.default_rng(1).normal(size=(60, 60)), factor * y
    folds = Folds.of(as_embeddings(x), as_embeddings(y), assign(60, None, seed=0))
    axes = TrainingSets(x, y, folds.evidence().moments).axes(folds, 0, [scale])[scale]
    draft, fold = ProcrustesDraft(axes, (None,)), folds.parts[0]
    ours = ExplainedVariance(y).entries(ExplainedVariance(y).measures(draft, 0, None, fold)).mean()
    rows, mean = axes.lower()
    predicted, true = draft.predictions(0) @ rows + mean, y[fold.queries]
    literal = 1 - ((true - predicted) ** 2).sum() / ((true - mean) ** 2).sum()
    assert ours == pytest.approx(literal, abs=1e-6)


def test_far_targets_are_noted_for_a_head():
    x, y = pairs(100)
    y[:3] += 60
    notes = sk.align(x, y, purpose="head", nested=False).record["notes"]
    assert any(note.startswith("3 of 100 targets lie more than 6 times as far") for note in notes)
    assert not any(
        "times as far" in note for note in sk.align(*pairs(100), purpose="head", nested=False).record["notes"]
    )


def test_noise_is_seldom_above_chance():
    rng = np.random.default_rng(0)
    held = [sk.align(rng.normal(size=(60, 8)), rng.normal(size=(60, 6))).record["held_out"] for _ in range(12)]
    assert sum(one["above_chance"] for one in held) <= 1


def test_pairs_too_few_to_tell_are_not_said_to_hardly_link():
    rng = np.random.default_rng(0)
    record = sk.align(rng.normal(size=(6, 4)), rng.normal(size=(6, 4))).record
    assert record["held_out"]["chance_mrr"] < 0.6
    assert any("6 anchors or patients cannot tell" in note for note in record["notes"])
    assert not any("hardly link" in note for note in record["notes"])


def test_one_far_target_does_not_make_the_others_equal():
    x, y = pairs(60)
    y[0] *= 1e6
    record = sk.align(x, y).record
    assert record["held_out"]["gallery"] == 12
    assert any(note.startswith("1 of 60 targets lie more than 6 times as far") for note in record["notes"])


def test_brain_floats_are_anchors_too():
    torch = pytest.importorskip("torch")
    x, y = (torch.tensor(rows).bfloat16() for rows in pairs(60))
    ours, exact = (sk.align(a.to(kind), b.to(kind)) for a, b, kind in ((x, y, torch.bfloat16), (x, y, torch.float32)))
    assert ours.record["settings"] == exact.record["settings"]


def test_deviations_of_two_texts_are_not_divided_out():
    """They would give most weight to features in which the two hardly differ, and to nothing but these two wordings."""
    rng = np.random.default_rng(0)
    which = rng.integers(2, size=100)
    texts = rng.normal(size=(2, 30))
    x = rng.normal(size=(100, 40)) + 1.5 * which[:, None] * rng.normal(size=40)
    record = sk.align(x, texts[which]).record
    assert "both" not in {one["scale"] for one in record["candidates"] + record["given_up"]}
    fitted, other = sk.align(x, texts[which]), texts + 0.5 * rng.normal(size=(2, 30))
    assert np.mean(fitted.similarity(x, other).argmax(axis=1) == which) > 0.9


@pytest.mark.parametrize(("n", "stays"), [(120, False), (90, True)])
def test_a_family_behind_after_all_folds_is_left_out_of_the_next_assignment_of_many_anchors(n, stays):
    """An isometry cannot weigh loud features that no target has."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=(n, 6))
    x = np.concatenate([z + 0.2 * rng.normal(size=z.shape), 20 * rng.normal(size=(n, 14))], axis=1)
    record = sk.align(x, z @ INTO_Y).record
    assert ("procrustes" in {one["solver"] for one in record["candidates"]}) == stays
    gone = [one["folds"] for one in record["given_up"] if one["solver"] == "procrustes"]
    assert stays or max(gone) == record["folds"]
    assert any(one["solver"] == "ridge" for one in record["candidates"])


def test_of_families_only_those_clearly_behind_the_best_are_given_up_but_for_the_reference():
    rng, tracks = np.random.default_rng(0), ridge_tracks(Extent(80, (20, 14)), "match")
    noise = rng.normal(size=100)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    finalists = []
    for track, errors, reference in zip(tracks, (0, 2, 3, 5), (False, False, False, True), strict=False):
        contender = Contender(Trial(track), reference=reference)
        finalists.append(Finalist(contender, 0, 1 + noise * bool(errors) - errors / 10, np.arange(100)))
    search = Search(None, tracks, (), None)
    search.live = [one.contender for one in finalists]
    search.splits = [(0, f) for f in range(5)]
    search._give_up_families(finalists)
    assert search.live == [finalists[k].contender for k in (0, 1, 3)]
    assert search.given_up == [(tracks[2], 5)]
