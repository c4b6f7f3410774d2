"""Probes: the same regression as scikit-learn's own pipeline, on raw vectors, chosen without splitting patients."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stitchkit import Embeddings, Labels, Space, fit_probe
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.evaluation.scores import probe as probes
from stitchkit.metrics.auroc import auroc

SPACE = Space("general", 6, "f1")


def drawn(n=120, d=6, c=2, seed=0, *, noise=1.0):
    """Vectors with uneven scales and centres, and labels that follow one direction a class."""
    rng = np.random.default_rng(seed)
    inner = rng.normal(size=(n, d))
    y = (inner[:, :c] + noise * rng.normal(size=(n, c)) > 0.3).astype(float)
    return inner * np.geomspace(0.01, 100, d) + np.arange(d), y


def labels_of(y, groups=None, names=None):
    ids = [f"i{i}" for i in range(len(y))] if names is None else names
    return Labels(y, ids, tuple("abcdef"[: y.shape[1]]), groups)


def by_scikit_learn(x, y, strength):
    """The decision function of the usual pipeline for one class."""
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=10_000, tol=1e-8)
    return make_pipeline(StandardScaler(), model).fit(x, y).decision_function


def test_it_recovers_the_direction_that_separates():
    rng = np.random.default_rng(0)
    direction = np.array([3, -4, 0, 0, 0, 0]) / 5
    x = rng.normal(size=(400, 6))
    head = fit_probe(x, labels_of((x @ direction > 0)[:, None].astype(float)))
    assert head.weight[:, 0] @ direction > 0.98 * np.linalg.norm(head.weight)
    fresh = rng.normal(size=(200, 6))
    assert auroc(head.scores(fresh).values[:, 0], fresh @ direction > 0) > 0.99


@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_its_weights_act_on_raw_vectors_like_the_pipelines_decision_function(strength):
    x, y = drawn()
    head = fit_probe(x, labels_of(y), strengths=(strength,))
    fresh = drawn(seed=1)[0]
    for c in range(y.shape[1]):
        expected = by_scikit_learn(x, y[:, c], strength)(fresh)
        assert np.allclose(head.scores(fresh).values[:, c], expected, rtol=0, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("strength", [1e-3, 1e-1])
def test_with_fewer_items_than_dimensions_it_is_still_the_full_solution(strength):
    x, y = drawn(n=30, d=80)
    head = fit_probe(x, labels_of(y), strengths=(strength,))
    assert head.weight.shape == (80, 2)
    fresh = drawn(n=50, d=80, seed=1)[0]
    for c in range(2):
        expected = by_scikit_learn(x, y[:, c], strength)(fresh)
        assert np.allclose(head.scores(fresh).values[:, c], expected, rtol=0, atol=5e-3 * np.abs(expected).max())


def test_a_constant_feature_gets_no_weight():
    x, y = drawn()
    x[:, 3] = 7.0
    head = fit_probe(x, labels_of(y))
    assert np.isfinite(head.weight).all()
    assert np.allclose(head.weight[3], 0)


def test_scaling_a_feature_scales_its_weight_back_and_leaves_the_scores():
    x, y = drawn()
    head, stretched = fit_probe(x, labels_of(y)), fit_probe(x * [1, 10, 1, 1, 1, 1], labels_of(y))
    assert np.allclose(stretched.weight[1] * 10, head.weight[1], rtol=1e-6)
    assert np.allclose(stretched.scores(x * [1, 10, 1, 1, 1, 1]).values, head.scores(x).values, atol=1e-6)


@pytest.fixture
def columns_fitted(monkeypatch):
    """Used rows (n, k) and costs of every call that fits columns, in order; the last is the fit on all rows."""
    calls = []
    inner = probes.fit_columns

    def spy(design, truth, costs, start=None):
        calls.append(costs)
        return inner(design, truth, costs, start)

    monkeypatch.setattr(probes, "fit_columns", spy)
    return calls


@pytest.mark.parametrize("given_as", ["labels", "argument"])
def test_no_patient_is_split_when_the_strength_is_chosen(columns_fitted, given_as):
    x, y = drawn(n=60)
    groups = np.random.default_rng(3).permutation(np.arange(60) // 5)
    in_labels = given_as == "labels"
    fit_probe(x, labels_of(y, groups if in_labels else None), groups=None if in_labels else groups)
    assert [costs.shape[1] for costs in columns_fitted] == [2 * 5] * 5 + [2]  # classes x folds, then classes
    assert (columns_fitted[-1] > 0).all()
    for used in (column > 0 for costs in columns_fitted[:-1] for column in costs.T):
        assert 0 < used.sum() < 60
        assert not set(groups[used]) & set(groups[~used])


def test_without_patients_every_row_is_held_out_once_for_each_strength(columns_fitted):
    x, y = drawn(n=60, c=1)
    fit_probe(x, labels_of(y), strengths=(0.01, 1.0))
    held = sum((costs == 0).sum(axis=1) for costs in columns_fitted[:-1])
    assert held.tolist() == [2] * 60


def literal(x, y, groups, strengths):
    """The probe in scikit-learn's words: standardised once, strength by grouped folds, refitted on all rows."""
    features, splits = StandardScaler().fit_transform(x), list(splitter(groups).split(x, groups=groups))
    means = []
    for strength in strengths:
        held = np.zeros(y.shape)
        for train, test in splits:
            for c in range(y.shape[1]):
                held[test, c] = by_class(features[train], y[train, c], strength)(features[test])
        known = ~np.isnan(y)
        means.append(np.mean([auroc(held[known[:, c], c], y[known[:, c], c]) for c in range(y.shape[1])]))
    best = strengths[int(np.argmax(means))]
    return best, np.stack([by_class(features, y[:, c], best)(features) for c in range(y.shape[1])], axis=1)


@pytest.mark.parametrize(("n", "k"), [(60, 5), (61, 5), (7, 3), (4, 4)])
@pytest.mark.parametrize("seed", [0, 3])
def test_folds_are_scikit_learns(n, k, seed):
    groups = np.random.default_rng(seed).permutation([f"p{row // 2 if n > 20 else row}" for row in range(n)])
    for given, splitter in (None, KFold), (groups, GroupKFold):
        fold = probes.fold_numbers(n, given, k, seed)
        parts = splitter(k, shuffle=True, random_state=seed).split(np.empty(n), groups=given)
        for number, (_, test) in enumerate(parts, start=1):
            assert np.flatnonzero(fold == number).tolist() == test.tolist()


def splitter(groups):
    return KFold(5, shuffle=True, random_state=0) if groups is None else GroupKFold(5, shuffle=True, random_state=0)


def by_class(features, y, strength):
    known = ~np.isnan(y)
    if min((y[known] == side).sum() for side in (0, 1)) < 2:
        return lambda rows: np.zeros(len(rows))
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=10_000, tol=1e-9)
    return model.fit(features[known], y[known]).decision_function


@pytest.mark.parametrize("patients", [False, True])
@pytest.mark.parametrize("case", ["tall", "wide", "rare", "unknown", "repeated columns", "one feature"])
def test_strength_and_scores_are_those_of_scikit_learns_regressions(case, patients):
    n, d = {"wide": (60, 150), "one feature": (90, 1)}.get(case, (120, 12))
    rng = np.random.default_rng(7)
    inner = rng.normal(size=(n, d))
    y = (inner @ rng.normal(size=(d, 3)) + 2 * rng.normal(size=(n, 3)) > (3.0 if case == "rare" else 0.4)).astype(float)
    if case == "unknown":
        y[rng.random(y.shape) < 0.3] = np.nan
    x = inner * np.geomspace(0.1, 10, d) + 3
    x = np.concatenate([x, x[:, :4], np.ones((n, 1))], axis=1) if case == "repeated columns" else x
    groups = np.arange(n) // 3 if patients else None
    best, expected = literal(x, y, None if groups is None else groups.astype(str), probes.STRENGTHS)
    chosen = fit_probe(x, labels_of(y, groups))
    alone = fit_probe(x, labels_of(y, groups), strengths=(best,))
    assert np.array_equal(chosen.weight, alone.weight)
    assert np.allclose(chosen.scores(x).values, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_columns_fitted_a_few_at_a_time_give_the_same_probe(monkeypatch):
    x, y = drawn(c=3)
    y[:20, 1] = np.nan
    together = fit_probe(x, labels_of(y))
    monkeypatch.setattr(probes, "ENTRIES", 2 * len(x))
    assert np.allclose(fit_probe(x, labels_of(y)).weight, together.weight, rtol=1e-5)


def test_strengths_may_stand_in_any_order():
    x, y = drawn(noise=3.0)
    rising, falling = (fit_probe(x, labels_of(y), strengths=s) for s in ((1e-3, 1e-1, 10.0), (10.0, 1e-1, 1e-3)))
    assert np.allclose(rising.weight, falling.weight)


def test_the_strength_is_that_of_the_best_held_out_auroc():
    rng = np.random.default_rng(0)  # one weak direction among many that say nothing: strong regularisation is better
    x = rng.normal(size=(80, 60))
    y = (x[:, 0] + rng.normal(size=80) > 0).astype(float)[:, None]
    chosen = fit_probe(x, labels_of(y), strengths=(1e-3, 1e3))
    assert np.allclose(chosen.weight, fit_probe(x, labels_of(y), strengths=(1e-3,)).weight)


def test_duplicates_of_a_patient_do_not_make_memorising_look_good():
    """Rows of a patient are near copies with one label that follows nothing: patients apart, nothing is learnt."""
    rng = np.random.default_rng(1)
    x = np.repeat(rng.normal(size=(30, 60)), 4, axis=0) + 0.01 * rng.normal(size=(120, 60))
    y, groups = np.repeat(rng.random(30) < 0.5, 4).astype(float)[:, None], np.repeat(np.arange(30), 4)
    order = rng.permutation(120)
    x, y, groups = x[order], y[order], groups[order]
    strengths = (1e-6, 1.0)
    weak = fit_probe(x, labels_of(y), strengths=strengths[1:])
    assert np.allclose(fit_probe(x, labels_of(y), strengths=strengths).weight, weak.weight)  # memorising wins
    strong = fit_probe(x, labels_of(y, groups), strengths=strengths)
    assert np.abs(strong.weight).max() < np.abs(weak.weight).max() / 100


@pytest.mark.parametrize("positives", [0, 1, 119, 120])
def test_a_class_with_fewer_than_two_of_a_kind_scores_zero(positives):
    x, y = drawn()
    y[:, 1] = np.arange(120) < positives
    head = fit_probe(x, labels_of(y))
    scores = head.scores(x).values
    assert (scores[:, 1] == 0).all()
    assert auroc(scores[:, 0], y[:, 0]) > 0.7


def test_unknown_labels_are_left_out_class_by_class():
    x, y = drawn()
    y[:40, 1] = np.nan
    head = fit_probe(x, labels_of(y), strengths=(0.1,))
    scaler = StandardScaler().fit(x)
    for c, rows in enumerate([slice(None), slice(40, None)]):
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=10_000, tol=1e-8)
        expected = model.fit(scaler.transform(x)[rows], y[rows, c]).decision_function(scaler.transform(x))
        assert np.allclose(head.scores(x).values[:, c], expected, rtol=0, atol=2e-3 * np.abs(expected).max())


def test_a_class_nobody_labelled_scores_zero_and_the_others_are_still_tuned():
    x, y = drawn()
    y[:, 1] = np.nan
    head = fit_probe(x, labels_of(y))
    assert (head.scores(x).values[:, 1] == 0).all()
    assert np.allclose(head.weight[:, :1], fit_probe(x, labels_of(y[:, :1])).weight)


def test_embeddings_are_joined_with_their_labels_by_id():
    x, y = drawn()
    labels = labels_of(y, np.arange(120) // 3)
    plain = fit_probe(x, labels)
    order = np.random.default_rng(0).permutation(140)
    more = np.concatenate([x, 50 + drawn(n=20, seed=5)[0]])
    ids = np.array([f"i{i}" for i in range(140)])
    joined = fit_probe(Embeddings(more[order], ids[order], SPACE), labels)
    assert np.allclose(joined.weight, plain.weight)
    assert joined.space == SPACE
    assert joined.classes == ("a", "b")


def test_labelled_items_without_vectors_are_left_out():
    x, y = drawn()
    labels = labels_of(y, np.arange(120) // 3)
    ids = labels.ids[:90]
    some = fit_probe(Embeddings(x[:90], ids, SPACE), labels)
    assert np.allclose(some.weight, fit_probe(x[:90], labels.take(np.arange(90))).weight)


def test_the_head_refuses_vectors_of_another_encoder():
    x, y = drawn()
    labels = labels_of(y)
    head = fit_probe(Embeddings(x, labels.ids, SPACE), labels)
    with pytest.raises(SpaceMismatchError, match="general"):
        head.scores(Embeddings(x, labels.ids, Space("other", 6, "f2")))


def test_the_seed_is_all_the_chance_there_is():
    x, y = drawn(noise=3.0)
    np.random.seed(0)  # noqa: NPY002
    first = fit_probe(x, labels_of(y), seed=4)
    np.random.seed(1)  # noqa: NPY002
    assert (fit_probe(x, labels_of(y), seed=4).weight == first.weight).all()


def test_rows_that_do_not_pair_and_too_few_rows_are_refused():
    x, y = drawn()
    with pytest.raises(InputError, match="119 vectors came with 120 labelled rows"):
        fit_probe(x[1:], labels_of(y))
    with pytest.raises(InputError, match="share ids"):
        fit_probe(Embeddings(x, [f"other{i}" for i in range(120)], SPACE), labels_of(y))
