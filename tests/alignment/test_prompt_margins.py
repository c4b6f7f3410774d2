"""Maps chosen by prompts that are known at fit time: the scores they judge by, the choice, the record, and errors."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.alignment.folds import Folds, assign
from stitchkit.alignment.prompt_margins import PromptAgreement, PromptRank, criterion_of
from stitchkit.alignment.training_axes import TrainingSets
from stitchkit.core.embeddings import as_embeddings
from stitchkit.core.errors import DataError, InputError, SpaceMismatchError
from stitchkit.core.space import Space
from stitchkit.metrics.auroc import auroc

NAMES = ("cyst", "mass", "scar", "node")


def named(vectors, negative=None, multiclass=True, names=NAMES):
    """A prompt set whose classes have one text each, with these vectors (c, d)."""
    names = names[: len(vectors)]
    positive = {name: (f"A {name}.",) for name in names}
    against = {} if negative is None else {name: (f"No {name}.",) for name in names}
    prompts = sk.PromptSet("mine", positive, against, multiclass)
    rows = vectors if negative is None else np.concatenate([vectors, negative])
    return sk.embed_prompts(sk.Embeddings(rows, prompts.texts, Space.of_array(rows.shape[1])), prompts)


def own_texts(n, seed, fresh=1000, rates=(0.5, 0.25, 0.15, 0.1), spread=0.9):
    """Four classes; every anchor has a text of its own, and its source much that is not of the class."""
    world, rng = np.random.default_rng(7000 + seed), np.random.default_rng(seed)
    texts, centres, common = world.normal(size=(4, 32)), world.normal(size=(4, 40)), 2 * world.normal(size=32)
    which = np.concatenate([np.arange(4), rng.choice(4, size=n + fresh - 4, p=rates)])
    own = rng.normal(size=(n + fresh, 20)) @ world.normal(size=(20, 40))
    x = 0.8 * centres[which] + 0.9 * own + 0.8 * rng.normal(size=own.shape)
    y = texts[which] + common + spread * rng.normal(size=(n + fresh, 32))
    return x, y, which, texts + common + 0.3 * world.normal(size=(4, 32))


def reports(n, seed, fresh=1000):
    """Six findings of unequal frequency in texts that say each of them, or sometimes that it is absent."""
    world, rng = np.random.default_rng(7000 + seed), np.random.default_rng(seed)
    present, absent, common = world.normal(size=(6, 32)), 0.6 * world.normal(size=(6, 32)), world.normal(size=32)
    truth = rng.random((n + fresh, 6)) < [0.4, 0.25, 0.15, 0.1, 0.1, 0.06]
    said = truth & (rng.random(truth.shape) > 0.1)
    y = said @ present + (~said & (rng.random(truth.shape) < 0.4)) @ absent + 2 * common
    y = y + 0.3 * rng.normal(size=(n + fresh, 8)) @ world.normal(size=(8, 32))
    own = rng.normal(size=(n + fresh, 20)) @ world.normal(size=(20, 40))
    x = 0.9 * truth @ world.normal(size=(6, 40)) + 0.8 * own + 0.8 * rng.normal(size=own.shape)
    names = tuple("abcdef")
    return x, y, truth, named(present + common, absent + common, multiclass=False, names=names)


def balanced_accuracy(alignment, prompts, x, truth):
    head = sk.zeroshot(alignment, prompts.embeddings, prompts.prompts)
    guessed = head.scores(x).values.argmax(axis=1)
    return np.mean([(guessed[truth == k] == k).mean() for k in range(len(head.classes))])


def macro_auroc(alignment, prompts, x, truth):
    scores = sk.zeroshot(alignment, prompts.embeddings, prompts.prompts).scores(x).values
    return np.mean([auroc(scores[:, k], truth[:, k]) for k in range(truth.shape[1])])


# --- the scores -------------------------------------------------------------------------------------------------


def drafts(n, family, prompts, x, y):
    """One fold's drafts of a family's tracks, with what fits the same pairs, the fold, and the criterion."""
    from stitchkit.alignment.anchor_search import _tracks
    from stitchkit.solvers.axes import Extent
    from stitchkit.solvers.frames import Frame

    a, b = as_embeddings(x, "x"), as_embeddings(y, "y")
    folds = Folds.of(a, b, assign(n, None, seed=0))
    criterion = criterion_of(prompts, b, [folds])
    wide = criterion.galleries(folds)
    sets = TrainingSets(x, criterion.table(b), folds.evidence().moments)
    for track in _tracks([family], Extent(n - n // 5, (x.shape[1], y.shape[1])), "match"):
        axes = sets.axes(wide, 0, [track.scale])[track.scale]
        draft = track.draft(axes if track.pca is None else axes.cut(track.pca))
        frame = Frame.of(folds.evidence(frozenset({0})), track.scale, track.pca)
        yield track, draft, frame, folds.parts[0], criterion


@pytest.mark.parametrize("family", ["ridge", "procrustes", "csa", "reduced_rank", "lowdin"])
@pytest.mark.parametrize("n", [30, 150], ids=["in the span of the anchors", "whole spaces"])
def test_scores_are_those_of_a_zero_shot_head_of_the_fold_s_map(family, n):
    x, y, _, vectors = own_texts(n, seed=1, fresh=0)
    prompts = named(vectors)
    seen = 0
    for track, draft, frame, fold, criterion in drafts(n, family, prompts, x, y):
        at = len(draft) // 2
        if track.scale == "both":  # features are divided by the deviations of all anchors, in a fit by its own
            continue
        fitted = track.open(frame).alignment(at)
        wanted = sk.zeroshot(fitted, prompts.embeddings, prompts.prompts).scores(x[fold.queries]).values
        ours = criterion.scores(draft, at, None)
        if track.scale == "none":
            np.testing.assert_allclose(ours, wanted, atol=2e-3)
            seen += 1
        else:
            assert np.corrcoef(ours.ravel(), wanted.ravel())[0, 1] > 0.95
    assert seen


def test_what_a_ridge_cannot_show_of_a_prompt_counts_in_its_length():
    x, y, _, vectors = own_texts(150, seed=2, fresh=0, spread=0.0)  # four distinct texts in 32 dimensions
    prompts = named(vectors + 2 * np.random.default_rng(0).normal(size=vectors.shape))
    track, draft, frame, fold, criterion = next(drafts(150, "ridge", prompts, x, y))
    wanted = sk.zeroshot(track.open(frame).alignment(3), prompts.embeddings, prompts.prompts).scores(x[fold.queries])
    np.testing.assert_allclose(criterion.scores(draft, 3, None), wanted.values, atol=2e-3)


@pytest.mark.parametrize("scale", ["none", "both"])
@pytest.mark.parametrize("family", ["ridge", "isometric_ridge"])
@pytest.mark.parametrize(("n", "width"), [(150, 300), (150, 40), (50, 40)])
def test_several_texts_beyond_what_anchors_show_count_as_in_a_head_whatever_the_width_of_the_source(
    family, n, width, scale
):
    rng = np.random.default_rng(8)
    y = rng.normal(size=(4, 32))[rng.integers(4, size=n)]  # four distinct texts in 32 dimensions
    x = y @ rng.normal(size=(32, width)) + rng.normal(size=(n, width))
    positive = {name: tuple(f"{name} {i}." for i in range(5)) for name in NAMES}
    prompts = sk.PromptSet("mine", positive, multiclass=True)
    rows = np.repeat(np.unique(y, axis=0), 5, axis=0) + 0.8 * rng.normal(size=(20, 32))
    by = sk.embed_prompts(sk.Embeddings(rows, prompts.texts, Space.of_array(32)), prompts)
    for track, draft, frame, fold, criterion in drafts(n, family, by, x, y):
        if track.scale != scale or track.pca is not None:
            continue
        wanted = sk.zeroshot(track.open(frame).alignment(3), by).scores(x[fold.queries]).values
        ours = criterion.scores(draft, 3, None)
        if scale == "none":
            np.testing.assert_allclose(ours, wanted, atol=2e-3)
        else:  # by the deviations of all anchors, in a fit by its own
            assert np.corrcoef(ours.ravel(), wanted.ravel())[0, 1] > 0.95


def test_several_texts_of_a_class_are_one_class_embedding():
    x, y, _, vectors = own_texts(120, seed=3, fresh=0)
    rows = np.concatenate([vectors, vectors + 0.5 * np.random.default_rng(1).normal(size=vectors.shape)])
    positive = {name: (f"A {name}.", f"This {name}.") for name in NAMES}
    prompts = sk.PromptSet("mine", positive, multiclass=True)
    ids = [f"A {name}." for name in NAMES] + [f"This {name}." for name in NAMES]
    both = sk.embed_prompts(sk.Embeddings(rows, ids, Space.of_array(32)), prompts)
    for family in ("ridge", "csa"):
        track, draft, frame, fold, criterion = next(drafts(120, family, both, x, y))
        head = sk.zeroshot(track.open(frame).alignment(2), both.embeddings, prompts)
        np.testing.assert_allclose(criterion.scores(draft, 2, None), head.scores(x[fold.queries]).values, atol=2e-3)


def test_entries_average_over_classes_and_chance_is_that_of_shuffled_pairs():
    criterion = object.__new__(PromptRank)
    measures = np.array([[1.0, 0.75, 0], [1.0, 0.75, 0], [1.0, 0.75, 0], [0.5, 0.75, 1]])
    assert criterion.entries(measures).mean() == pytest.approx(0.75)
    assert criterion.by_chance(measures).mean() == pytest.approx(0.75)


def test_chance_is_that_of_shuffled_pairs_where_a_fold_has_some_classes_only():
    rng = np.random.default_rng(4)
    criterion, scores = object.__new__(PromptRank), rng.normal(size=(2, 6, 3))
    kinds = np.array([[0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 2, 2]])
    ranks = 1 + (scores[:, :, :, None] < scores[:, :, None, :]).sum(axis=3)
    criterion.nearest = kinds.ravel()
    measures = []
    for f in range(2):
        criterion.scores = lambda draft, at, weights, f=f: scores[f]
        measures.append(criterion.measures(None, 0, None, SimpleNamespace(queries=np.arange(6 * f, 6 * f + 6))))
    expected = []
    for k in range(3):
        of_class = (kinds == k).sum(axis=1)
        expected.append((of_class * (1 / ranks[:, :, k]).mean(axis=1)).sum() / of_class.sum())
    assert criterion.by_chance(np.concatenate(measures)).mean() == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("family", ["ridge", "procrustes", "csa", "reduced_rank", "lowdin", "isometric_ridge"])
def test_where_anchors_show_one_direction_scores_are_projections_as_a_head_s(family):
    x, y, which, _ = own_texts(60, seed=4, fresh=0, spread=0.0)
    y = np.unique(y, axis=0)[which % 2]
    texts = np.random.default_rng(1).normal(size=(3, 32)) + y.mean(axis=0)
    prompts = named(texts)
    for track, draft, frame, fold, criterion in drafts(60, family, prompts, x, y):
        if track.scale != "none" or track.pca is not None:
            continue
        head = sk.zeroshot(track.open(frame).alignment(1), prompts)
        wanted, ours = head.scores(x[fold.queries]).values, criterion.scores(draft, 1, None)
        assert len(np.unique(np.abs(ours[:, 0]).round(6))) > 3
        assert np.corrcoef(wanted.ravel(), ours.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("n", [20, 200], ids=["fewer texts than dimensions", "more"])
def test_targets_are_read_about_the_anchors_mean_and_whitened_where_several_findings_may_apply(n):
    _, y, _, prompts = reports(n, seed=1, fresh=0)
    rows = y - y.mean(axis=0)
    values, vectors = np.linalg.eigh(rows.T @ rows / n)
    root = vectors / np.sqrt(values + 0.1 * values.mean()) @ vectors.T
    unit = lambda some: some / np.linalg.norm(some, axis=1, keepdims=True)  # noqa: E731
    texts = unit((prompts.embeddings.vectors - y.mean(axis=0)) @ root)
    place = {text: i for i, text in enumerate(prompts.prompts.texts)}
    sides = [
        [texts[place[some[0]]] for some in side.values()]
        for side in (prompts.prompts.positive, prompts.prompts.negative)
    ]
    criterion = PromptAgreement(prompts, as_embeddings(y), np.arange(n))
    np.testing.assert_allclose(criterion.read, unit(rows @ root) @ (np.array(sides[0]) - sides[1]).T, atol=1e-9)


def test_of_very_many_texts_a_part_judges():
    x, y, _, vectors = own_texts(60, seed=5, fresh=0)
    rng = np.random.default_rng(0)
    positive = {name: tuple(f"{name} {i}." for i in range(300)) for name in NAMES}
    prompts = sk.PromptSet("mine", positive, multiclass=True)
    rows = np.repeat(vectors, 300, axis=0) + 0.1 * rng.normal(size=(1200, 32))
    by = sk.embed_prompts(sk.Embeddings(rows, prompts.texts, Space.of_array(32)), prompts)
    folds = Folds.of(as_embeddings(x), as_embeddings(y), assign(60, None, seed=0))
    criterion = criterion_of(by, as_embeddings(y), [folds])
    assert criterion.beside == 1000
    assert criterion.prompts.prompts.classes == NAMES
    whole, part = (sk.align(x, y, prompts=one, progress=False).record for one in (named(vectors), by))
    assert whole["settings"] == part["settings"]


def test_the_held_out_agreement_is_that_of_the_chosen_map_though_folds_choose_others():
    for seed in range(2):
        x, y, _, prompts = reports(100, seed, fresh=0)
        record = sk.align(x, y, prompts=prompts, progress=False).record
        best = max(one["prompt_agreement"] for one in record["candidates"])
        assert record["held_out"]["prompt_agreement"] == pytest.approx(best, abs=0.06)


def test_correlations_leave_out_classes_that_no_text_varies_in():
    rng = np.random.default_rng(0)
    found, wanted = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    wanted[:, 1] = 0.2
    entries = object.__new__(PromptAgreement).entries(np.concatenate([found, wanted], axis=1))
    expected = np.mean([np.corrcoef(found[:, k], wanted[:, k])[0, 1] for k in (0, 2)])
    assert entries.mean() == pytest.approx(expected)


# --- the choice -------------------------------------------------------------------------------------------------


def test_classes_are_named_better_where_every_anchor_has_a_text_of_its_own():
    gains = []
    for n in (50, 100):
        for seed in range(3):
            x, y, which, vectors = own_texts(n, seed)
            prompts = named(vectors)
            plain, chosen = (
                sk.align(x[:n], y[:n], prompts=one, nested=False, progress=False) for one in (None, prompts)
            )
            reached = [balanced_accuracy(one, prompts, x[n:], which[n:]) for one in (plain, chosen)]
            gains.append(reached[1] - reached[0])
    assert np.mean(gains) > 0.02
    assert min(gains) > -0.08


def test_findings_are_ranked_better_where_texts_say_several():
    gains = []
    for seed in range(6):
        x, y, truth, prompts = reports(100, seed)
        plain, chosen = (
            sk.align(x[:100], y[:100], prompts=one, nested=False, progress=False) for one in (None, prompts)
        )
        reached = [macro_auroc(one, prompts, x[100:], truth[100:]) for one in (plain, chosen)]
        gains.append(reached[1] - reached[0])
    assert np.mean(gains) > 0
    assert min(gains) > -0.08


def test_prompts_that_are_the_texts_choose_as_the_texts_do():
    for seed in range(3):
        x, y, _, _ = own_texts(120, seed, fresh=0, spread=0.0)
        texts = np.unique(y, axis=0)
        plain, chosen = (
            sk.align(x, y, prompts=one, progress=False, anchor_hashes=False) for one in (None, named(texts))
        )
        assert plain.record["settings"] == chosen.record["settings"]
        assert [one["margin"] for one in plain.record["candidates"]] == pytest.approx(
            [one["prompt_margin"] for one in chosen.record["candidates"]], abs=1e-6
        )
        same = ("mrr", "se", "recall@1", "gallery", "chance_mrr")
        held = [[one.record["held_out"][name] for name in same] for one in (plain, chosen)]
        assert held[0] == pytest.approx(held[1], abs=1e-6)


def test_a_map_that_turns_classes_over_is_seen():
    """Two texts whose difference is mostly along features of little spread: scaled, other wordings read reversed."""
    x, y, which, prompts = _turned_over(60)
    chosen = sk.align(x[:60], y[:60], prompts=prompts, progress=False)
    assert balanced_accuracy(chosen, prompts, x[60:], which[60:]) > 0.9
    assert chosen.record["held_out"]["prompt_margin"] > 0.9


def _turned_over(n, fresh=400):
    rng = np.random.default_rng(5)
    which = np.concatenate([[0, 1], rng.integers(2, size=n + fresh - 2)])
    step = np.concatenate([np.full(2, 3.0), np.full(30, 0.02)])
    y = np.where(which[:, None] == 1, step, -step) + 5.0
    wording = np.concatenate([np.full(2, 2.0), np.full(30, -0.3)])
    x = np.where(which[:, None] == 1, 1.0, -1.0) * rng.normal(size=12) + 0.3 * rng.normal(size=(n + fresh, 12))
    return x, y, which, named(np.stack([-wording, wording]) + 5.0)


def test_the_fit_itself_does_not_look_at_prompts():
    x, y, _, vectors = own_texts(80, seed=4, fresh=0)
    for solver in (sk.Ridge(alpha=0.1), sk.CSA()):
        with_prompts, without = (
            sk.align(x, y, solver=solver, prompts=p, progress=False) for p in (named(vectors), None)
        )
        np.testing.assert_array_equal(with_prompts.similarity(x, y), without.similarity(x, y))
    chosen = sk.align(x, y, solver="procrustes", prompts=named(vectors), nested=False, progress=False)
    again = sk.align(x, y, solver=sk.Procrustes(**chosen.record["settings"]), progress=False)
    np.testing.assert_allclose(chosen.similarity(x, y), again.similarity(x, y), atol=1e-9)


# --- the record -------------------------------------------------------------------------------------------------


def test_the_record_says_which_prompts_decided_and_gives_chance():
    x, y, _, vectors = own_texts(80, seed=0, fresh=0)
    record = sk.align(x, y, prompts=named(vectors), progress=False).record
    assert record["chosen_by"].startswith("margin between the prompts of 4 classes")
    assert all("prompt_margin" in one and "separation" in one for one in record["candidates"])
    held = record["held_out"]
    assert held["chance_prompt_margin"] == pytest.approx(0, abs=0.05)
    assert held["prompt_margin"] > held["chance_prompt_margin"] + 2 * held["prompt_margin_se"]
    assert {"mrr", "chance_mrr", "recall@1", "above_chance"} <= set(held)
    x, y, _, prompts = reports(80, seed=0, fresh=0)
    record = sk.align(x, y, prompts=prompts, progress=False).record
    assert record["chosen_by"].startswith("margin between the prompts of 6 classes")
    assert record["held_out"]["chance_prompt_agreement"] == 0
    assert record["held_out"]["prompt_agreement"] > 0.1


def test_shuffled_anchors_are_at_the_chance_of_the_record():
    excess = []
    for seed in range(4):
        x, y, _, vectors = own_texts(100, seed, fresh=0)
        shuffled = y[np.random.default_rng(seed).permutation(100)]
        held = sk.align(x, shuffled, prompts=named(vectors), progress=False).record["held_out"]
        excess.append((held["prompt_margin"] - held["chance_prompt_margin"]) / held["prompt_margin_se"])
    assert abs(np.mean(excess)) < 1.5


def test_a_class_that_no_anchor_s_text_is_nearest_to_is_named():
    x, y, which, vectors = own_texts(90, seed=0, fresh=0, spread=0.2)
    x, y = x[which < 3], y[which < 3]
    last = y.mean(axis=0) + np.linalg.svd(y - y.mean(axis=0))[2][-1] * 1e3  # where texts differ least
    notes = sk.align(x, y, prompts=named(np.vstack([vectors[:3], last])), nested=False, progress=False).record["notes"]
    assert any("1 of 4 classes, node" in one for one in notes)


@pytest.mark.parametrize("multiclass", [True, False])
def test_prompts_that_read_all_texts_alike_leave_the_choice_to_the_pairs(multiclass):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 12)), np.zeros((60, 16))
    y[:, :8] = x @ rng.normal(size=(12, 8))
    y = (y + 1).astype(np.float32)
    aside = np.eye(16)[8:11] + y.mean(axis=0)  # the classes differ where no anchor's text does
    prompts = named(aside, None if multiclass else aside[[1, 2, 0]], multiclass)
    chosen, plain = (sk.align(x, y, prompts=one, progress=False, anchor_hashes=False) for one in (prompts, None))
    assert chosen.record["chosen_by"] == plain.record["chosen_by"]
    assert chosen.record["held_out"] == plain.record["held_out"]
    assert any("own targets all score alike" in one for one in chosen.record["notes"])


@pytest.mark.parametrize("other", ["torch", "array_api_strict"])
def test_other_array_libraries_choose_the_same(other):
    xp = pytest.importorskip(other)
    x, y, _, vectors = own_texts(60, seed=0, fresh=0)
    ours = sk.align(x, y, prompts=named(vectors), nested=False, progress=False)
    prompts = named(vectors)
    theirs = sk.align(xp.asarray(x), xp.asarray(y), prompts=prompts, nested=False, progress=False)
    assert ours.record["settings"] == theirs.record["settings"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_vectors_choose_about_the_same(dtype):
    x, y, which, vectors = own_texts(100, seed=1)
    prompts = named(vectors)
    narrow = sk.align(x[:100].astype(dtype), y[:100].astype(dtype), prompts=prompts, nested=False, progress=False)
    wide = sk.align(x[:100], y[:100], prompts=prompts, nested=False, progress=False)
    reached = [balanced_accuracy(one, prompts, x[100:], which[100:]) for one in (narrow, wide)]
    assert abs(reached[0] - reached[1]) < 0.05


def test_few_anchors_are_fitted_without_a_choice():
    x, y, _, vectors = own_texts(4, seed=0, fresh=0)
    assert sk.align(x, y, prompts=named(vectors), progress=False).record["chosen_by"] == "default"


# --- errors -----------------------------------------------------------------------------------------------------


def test_items_cannot_come_along_as_prompts():
    x, y, _, vectors = own_texts(40, seed=0, fresh=20)
    for items in (y[40:], vectors, as_embeddings(y[40:], "y"), {"mass": vectors[:1]}, [vectors]):
        with pytest.raises(InputError, match="embed_prompts"):
            sk.align(x[:40], y[:40], prompts=items)
    prompts = named(vectors).prompts
    rows = np.concatenate([vectors, y[40:]])
    ids = [*prompts.texts, *(f"item{i}" for i in range(20))]
    beside = sk.embed_prompts(sk.Embeddings(rows, ids, Space.of_array(32)), prompts)
    assert beside.embeddings.ids.tolist() == list(prompts.texts)


def test_prompts_that_tell_nothing_apart_are_refused():
    vectors = np.random.default_rng(0).normal(size=(4, 32))
    with pytest.raises(InputError, match="one class and no negatives"):
        named(vectors[:1])
    with pytest.raises(InputError, match="the prompts of all classes of set 'mine' have the same vectors"):
        named(np.tile(vectors[:1], (4, 1)))
    with pytest.raises(InputError, match=r"the positive and negative prompts of every class .* have the same vectors"):
        named(vectors, negative=3 * vectors, multiclass=False)
    with pytest.raises(InputError, match="NaN"):
        named(np.full((4, 32), np.nan))
    prompts = named(vectors).prompts
    with pytest.raises(DataError, match="1 of 4 ids are not in"):
        sk.embed_prompts(sk.Embeddings(vectors[:3], prompts.texts[:3], Space.of_array(32)), prompts)
    with pytest.raises(InputError, match="embed_prompts"):
        sk.PromptVectors(prompts, vectors)
    with pytest.raises(InputError, match="embed_prompts"):
        sk.PromptVectors.distinct_or_none(prompts, vectors)


def test_prompts_of_another_width_a_head_and_a_pool_are_refused():
    x, y, _, vectors = own_texts(40, seed=0, fresh=0)
    with pytest.raises(SpaceMismatchError, match="choice by prompts"):
        sk.align(x, y, prompts=named(vectors[:, :20]))
    with pytest.raises(SpaceMismatchError, match="choice by prompts"):
        sk.align(x, y, solver=sk.Ridge(), prompts=named(vectors[:, :20]))
    with pytest.raises(InputError, match="purpose='match'"):
        sk.align(x, y, purpose="head", prompts=named(vectors))
    with pytest.raises(InputError, match="pool"):
        sk.align(x, y, pool=(x, y), prompts=named(vectors))


def test_a_head_that_counts_as_false_is_still_the_head():
    class Counted:
        multiclass = True

        def __init__(self, head):
            self.head, self.space, self.classes, self.scores = head, head.space, head.classes, head.scores

        def __len__(self):
            return 0

    x, y, _, vectors = own_texts(60, seed=0, fresh=0)
    head = sk.LinearHead(Space.of_array(32), NAMES, vectors.T, np.zeros(4), multiclass=True)
    chosen = sk.align(x, y, purpose="head", head=Counted(head), nested=False, progress=False)
    assert "agreement" in chosen.record["candidates"][0]
