"""Bound modalities judged together: each number against a literal version, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, LeakageError, UnknownNameError
from stitchkit.core.maps import unit
from stitchkit.evaluation.binding import evaluate_binding
from stitchkit.metrics.proportions import exact_interval

DIM, CLASSES = 6, ("normal", "benign", "malignant")
PLACES = np.random.default_rng(0).normal(size=(3, DIM)) * 1.5
KINDS = {"breast": 0, "skin": 1}


def loads(name, d):
    return np.random.default_rng(sum(map(ord, name))).normal(size=(DIM, d))


def items_of(kind, n, seed, first=0):
    """Embeddings, text embeddings and labels of one modality."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, size=n)
    z = PLACES[truth] + rng.normal(size=(n, DIM)) * 0.7
    z[:, KINDS[kind]] += 4
    ids = [f"{kind}{first + i}" for i in range(n)]
    x = sk.Embeddings(z @ loads(kind, 9) + rng.normal(size=(n, 9)) * 0.1, ids, sk.Space(kind, 9, kind))
    texts = sk.Embeddings(prompts_of(kind)[truth] @ loads("text", 8), ids, sk.Space("text", 8, "text"))
    labels = sk.Labels(np.eye(3)[truth], ids, CLASSES, groups=[f"{kind} {(first + i) // 2}" for i in range(n)])
    return x, texts, labels


def prompts_of(kind):
    z = PLACES.copy()
    z[:, KINDS[kind]] += 4
    return z


def prompt_set(kind):
    prompts = sk.PromptSet(kind, {label: (f"{kind} {label}",) for label in CLASSES}, multiclass=True)
    vectors = sk.Embeddings(prompts_of(kind) @ loads("text", 8), list(prompts.texts), sk.Space("text", 8, "text"))
    return prompts, vectors.of_ids([f"{kind} {label}" for label in CLASSES])


@pytest.fixture(scope="module")
def bound():
    return sk.bind({kind: items_of(kind, 150, seed=i)[:2] for i, kind in enumerate(KINDS)})


def held_out(bound, kind):
    x, _, labels = items_of(kind, 160, seed=20 + KINDS[kind], first=1000)
    train_x, train_t, train_labels = items_of(kind, 150, seed=KINDS[kind])
    prompts, vectors = prompt_set(kind)
    head = sk.zeroshot(bound.alignment(kind), bound.into_hub("text", vectors), prompts)
    before = sk.zeroshot(sk.align(train_x, train_t), vectors, prompts)
    return sk.ModalityTest(
        vectors=x, labels=labels, scores=head.scores(x), texts=vectors, alone=before.scores(x),
        training=(train_x, train_labels),
        common={"normal": "normal", "benign": "abnormal", "malignant": "abnormal"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def tests(bound):
    return {kind: held_out(bound, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def result(bound, tests):
    texts = {
        "text": sk.Embeddings(
            np.random.default_rng(5).normal(size=(40, 8)), list(range(40)), bound.text_maps["text"].source
        )
    }
    return sk.evaluate_binding(bound, tests, texts=texts, shots=(1, 5), draws=6)


def test_zero_shot_and_its_cost_are_those_of_evaluate(tests, result):
    for kind, one in tests.items():
        found = result.modalities[kind]
        truth, scores, alone = one.labels.values, one.scores.values, one.alone.values
        macro = np.mean([roc_auc_score(truth[:, c], scores[:, c]) for c in range(3)])
        before = np.mean([roc_auc_score(truth[:, c], alone[:, c]) for c in range(3)])
        assert found.zero_shot.main.macro.value == pytest.approx(macro)
        assert found.cost.value == pytest.approx(before - macro)
        assert found.cost.low <= found.cost.value <= found.cost.high
        accuracy = balanced_accuracy_score(truth.argmax(axis=1), scores.argmax(axis=1))
        assert found.zero_shot.main.measures["balanced_accuracy"].macro.value == pytest.approx(accuracy)
    assert result.verdict.startswith("2 of 2 modalities are named by text above chance; binding costs")


def test_modalities_are_named_by_their_prompts_about_the_global_mean(bound, tests, result):
    mean, text_mean = bound.global_means
    unit = lambda rows: rows / np.linalg.norm(rows, axis=-1, keepdims=True)  # noqa: E731
    named = np.stack(
        [unit(unit(bound.into_hub("text", one.texts).vectors - text_mean).mean(axis=0)) for one in tests.values()]
    )
    shares = []
    for i, (kind, one) in enumerate(tests.items()):
        rows = unit(bound.into_hub(kind, one.vectors).vectors - mean)
        shares.append(((rows @ named.T).argmax(axis=1) == i).mean())
        assert result.modalities[kind].identified.value == pytest.approx(shares[-1])
    assert result.identified.value == pytest.approx(np.mean(shares))
    assert result.chance_identified == 0.5
    assert result.identified.value > 0.9


def test_retrieval_between_modalities_counts_the_common_label(bound, tests, result):
    (one,) = [one for one in result.cross_modal if one.query == "breast"]
    rows = [bound.comparable_rows(kind, tests[kind].vectors) for kind in ("breast", "skin")]
    abnormal = [tests[kind].labels.values.argmax(axis=1) > 0 for kind in ("breast", "skin")]
    nearest = (rows[0] @ rows[1].T).argmax(axis=1)
    assert one.first.value == pytest.approx((abnormal[0] == abnormal[1][nearest]).mean())
    assert one.chance_first == pytest.approx((abnormal[0][:, None] == abnormal[1][None, :]).mean())
    assert one.precision > one.chance
    assert one.labels == ("abnormal", "normal")
    assert {(each.query, each.gallery) for each in result.cross_modal} == {("breast", "skin"), ("skin", "breast")}


def test_modalities_are_named_about_the_mean_of_texts_with_intervals_over_patients(bound, tests):
    """Where the means of items and of their texts differ, texts are centred about their own."""
    apart = np.subtract(*(bound.modality(name).text_mean for name in KINDS))
    shift = 3.0 * apart  # beyond both modalities, so that texts of both lie on one side
    moved = replace(
        bound,
        modalities={name: replace(one, text_mean=one.text_mean + shift) for name, one in bound.modalities.items()},
    )
    mean, text_mean = moved.global_means
    named = [
        unit(unit(moved.into_hub("text", one.texts).vectors - text_mean).mean(axis=0)[None])[0]
        for one in tests.values()
    ]
    found = sk.evaluate_binding(moved, tests, shots=()).modalities
    for i, (kind, one) in enumerate(tests.items()):
        rows = unit(moved.into_hub(kind, one.vectors).vectors - mean)
        right = ((rows @ np.stack(named).T).argmax(axis=1) == i).astype(float)
        patients = np.asarray(one.labels.groups)
        sums = [[value[patients == name].sum() for name in np.unique(patients)] for value in (right, np.ones(160))]
        assert 0 < right.mean() < 1
        assert found[kind].identified == exact_interval(*map(np.asarray, sums))


def test_few_labelled_items_have_an_interval_over_patients_and_the_range_of_their_draws(bound, tests, result):
    for kind, one in tests.items():
        vectors, labels = one.training
        truth, pool = one.labels.values.argmax(axis=1), labels.values.argmax(axis=1)
        rows, other = (bound.comparable_rows(kind, each) for each in (one.vectors, vectors))
        right = []
        for draw in range(6):
            rng = np.random.default_rng((0, 5, draw))
            means = [other[rng.choice(np.flatnonzero(pool == c), 5, replace=False)].mean(axis=0) for c in range(3)]
            right.append((rows @ unit(np.stack(means)).T).argmax(axis=1) == truth)
        each = [balanced_accuracy_score(truth, np.where(draw, truth, (truth + 1) % 3)) for draw in right]
        found = result.modalities[kind].few_shot[5]
        assert found.accuracy.value == pytest.approx(np.mean(each))
        assert [found.low, found.high] == pytest.approx(np.percentile(each, [2.5, 97.5]))
        assert found.accuracy.high - found.accuracy.low > 0.04  # of 160 items of 80 patients
        assert str(found) == f"{found.accuracy}, draws {found.low:.3f} to {found.high:.3f}"


def test_the_interval_of_few_labelled_items_covers_the_mean_over_patients(bound):
    """Tests of 30 patients, by one pool of labelled items: the truth is that of 1,500 patients."""
    pool_x, _, pool_labels = items_of("breast", 60, seed=0)

    def few(n, seed):
        x, _, labels = items_of("breast", n, seed, first=10_000)
        test = sk.ModalityTest(x, labels, sk.Scores(labels.values, "cosine", x.ids, CLASSES),
                               prompt_set("breast")[1], training=(pool_x, pool_labels))  # fmt: skip
        found = evaluate_binding._few_shot(bound, "breast", test, labels.values.argmax(axis=1), (1,), 20, 0)
        return found[1].accuracy

    truth = few(6000, 99).value
    intervals = [few(60, 100 + seed) for seed in range(80)]
    covered = np.mean([one.low <= truth <= one.high for one in intervals])
    assert covered >= 0.92


def test_the_result_prints_and_is_json(result):
    text = str(result)
    assert "cost of binding" in text
    assert "which of 2 modalities, by text" in text
    assert json.loads(json.dumps(result.to_dict()))["identified"]["value"] == result.identified.value
    assert result.loops == ()
    assert "moved onto their own texts" in text


def test_loops_of_exactly_rotated_text_spaces_end_where_they_began():
    z = np.random.default_rng(0).normal(size=(200, DIM))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(DIM, DIM)))[0]
    spaces = {"a": sk.Space("a", DIM, "a"), "b": sk.Space("b", DIM, "b")}
    ids = [str(i) for i in range(200)]
    views = {"a": sk.Embeddings(z, ids, spaces["a"]), "b": sk.Embeddings(z @ turn, ids, spaces["b"])}
    x = {name: sk.Embeddings(z @ loads(name, 9), ids, sk.Space(name, 9, name)) for name in ("one", "two")}
    joint = sk.bind(
        {"one": sk.ModalityPairs(x["one"], views["a"]), "two": sk.ModalityPairs(x["two"], views["b"])},
        texts={name: view.take(np.arange(100)) for name, view in views.items()},
    )
    labels = sk.Labels(np.eye(2)[np.arange(200) % 2], ids, ("even", "odd"))
    scores = sk.Scores(np.eye(2)[np.arange(200) % 2], "cosine", ids, ("even", "odd"))
    test = {name: sk.ModalityTest(one, labels, scores, views["a"].take(np.arange(2))) for name, one in x.items()}
    loops = sk.evaluate_binding(
        joint, test, texts={name: view.take(np.arange(100, 200)) for name, view in views.items()}
    ).loops
    assert [(one.start, one.by, one.n) for one in loops] == [("a", "b", 50), ("b", "a", 50)]
    for one in loops:
        assert one.cosine > 0.999
        assert one.recall == one.direct == 1


def test_a_patient_is_no_answer_to_its_own_query():
    """The same patients in both modalities, whose labels are coin flips: identity would find every label."""
    rng = np.random.default_rng(0)
    z, truth = rng.normal(size=(150, DIM)), rng.integers(0, 2, 150)
    ids, people = [str(i) for i in range(150)], [f"p{i}" for i in range(150)]
    text = sk.Embeddings(z @ loads("text", 8), ids, sk.Space("text", 8, "text"))
    x = {name: sk.Embeddings(z @ loads(name, 9), ids, sk.Space(name, 9, name)) for name in ("one", "two")}
    joint = sk.bind({name: (view.take(np.arange(50)), text.take(np.arange(50))) for name, view in x.items()})
    rows = np.arange(50, 150)
    labels = sk.Labels(np.eye(2)[truth], ids, ("even", "odd"), people).take(rows)
    scores = sk.Scores(np.eye(2)[truth], "cosine", ids, ("even", "odd")).take(rows)
    common = {"even": "even", "odd": "odd"}
    test = {
        name: sk.ModalityTest(view.take(rows), labels, scores, text.take(np.arange(2)), common=common)
        for name, view in x.items()
    }
    found = sk.evaluate_binding(joint, test).cross_modal
    for one in found:
        assert one.first.low < one.chance_first < one.first.high
        assert one.precision == pytest.approx(one.chance, abs=0.1)


def test_items_that_were_anchors_are_refused(bound, tests):
    x, _, labels = items_of("skin", 150, seed=KINDS["skin"])
    scores = sk.Scores(labels.values, "cosine", labels.ids, CLASSES)
    leaky = {**tests, "skin": sk.ModalityTest(x, labels, scores, tests["skin"].texts)}
    with pytest.raises(LeakageError):
        sk.evaluate_binding(bound, leaky, shots=())
    notes = sk.evaluate_binding(bound, leaky, shots=(), allow_leakage=True).notes
    assert any("LEAKAGE" in note for note in notes)


def with_two_classes(test):
    values = test.labels.values.copy()
    values[0] = [1, 1, 0]
    labels = sk.Labels(values, test.labels.ids, CLASSES, groups=test.labels.groups)
    return sk.ModalityTest(test.vectors, labels, test.scores, test.texts)


def trained_on_itself(test):
    return sk.ModalityTest(test.vectors, test.labels, test.scores, test.texts, training=(test.vectors, test.labels))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda tests: {"breast": tests["breast"]}, InputError, "at least two are needed; got 1"),
        (lambda tests: {**tests, "mri": tests["breast"]}, UnknownNameError, "no modality .* is called 'mri'"),
        (lambda tests: {**tests, "skin": with_two_classes(tests["skin"])}, DataError, "no class or several"),
        (
            lambda tests: {**tests, "skin": trained_on_itself(tests["skin"])},
            DataError,
            "80 patients of 'skin'",
        ),
    ],
)
def test_what_cannot_be_judged_is_named(bound, tests, change, error, said):
    with pytest.raises(error, match=said):
        sk.evaluate_binding(bound, change(tests))


@pytest.mark.parametrize("settings", [{"shots": (0,)}, {"draws": 0}])
def test_no_shots_are_refused(bound, tests, settings):
    with pytest.raises(InputError, match="at least 1 labelled item"):
        sk.evaluate_binding(bound, tests, **settings)
