"""The adapters pass scikit-learn's own checks, equal the plain verbs to the last bit, and work where one puts them."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import stitchkit as sk
from stitchkit.core.errors import InputError, NoDirectedMapError, SpaceMismatchError, UnknownNameError
from stitchkit.estimators import AlignTransformer, ZeroShotClassifier

TEXTS = ("effusion one", "effusion two", "mass one", "nodule one", "no effusion", "no mass", "no nodule")
POSITIVE = {"nodule": TEXTS[3:4], "effusion": TEXTS[:2], "mass": TEXTS[2:3]}
NEGATIVE = {"nodule": TEXTS[6:7], "effusion": TEXTS[4:5], "mass": TEXTS[5:6]}
SETS = {
    "one of several": sk.PromptSet("some", POSITIVE, multiclass=True),
    "one of several, against negatives": sk.PromptSet("against", POSITIVE, NEGATIVE, multiclass=True),
    "any number": sk.PromptSet("any", POSITIVE, NEGATIVE),
    "yes or no": sk.PromptSet("mass", {"mass": POSITIVE["mass"]}, {"mass": NEGATIVE["mass"]}),
}
MATRIX = "y is the target's vectors (n, d_t); the check gives labels (n,), which would be a mistake to map to"
EXPECTED = {  # class -> check -> why it cannot apply
    "AlignTransformer": {
        "check_transformer_data_not_an_array": MATRIX,
        "check_transformer_general": MATRIX,
        "check_transformer_preserve_dtypes": MATRIX,
    },
    "ZeroShotClassifier": {},
}
# the search itself is in the one that is left as it is constructed
CHECKED = [AlignTransformer(), AlignTransformer("ridge", purpose="match"), ZeroShotClassifier(solver="ridge")]


class OfColumns(AlignTransformer):
    """Reads a label as a target vector of width one, as the checks that cannot apply give it."""

    def fit(self, X, y=None):
        return super().fit(X, np.asarray(y).reshape(-1, 1))


@pytest.fixture(scope="module")
def world():
    """Source vectors (n, 12), text vectors (n, 9) and labels of 160 items; vectors of the texts."""
    rng = np.random.default_rng(0)
    text = 1.5 * rng.normal(size=(len(TEXTS), 9))
    labels = rng.choice(["effusion", "mass", "nodule"], 160)
    named = {"effusion": text[:2].mean(axis=0), "mass": text[2], "nodule": text[3]}
    y = np.stack([named[label] for label in labels]) + 0.3 * rng.normal(size=(160, 9))
    x = y @ rng.normal(size=(9, 12)) + 0.3 * rng.normal(size=(160, 12)) + 2
    return x, y, labels, sk.Embeddings(text, TEXTS, sk.Space("text", 9, "t1"))


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def vectors_of_classes(text):
    return {label: text.of_ids(texts).vectors for label, texts in POSITIVE.items()}


# scikit-learn's checks


@parametrize_with_checks(CHECKED, expected_failed_checks=lambda one: EXPECTED[type(one).__name__])
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def checks_called(names, estimator):
    found = [check for _, check in estimator_checks_generator(estimator)]
    named = [(getattr(check, "func", check).__name__, check) for check in found]
    return [check for name, check in named if name in names]


@pytest.mark.parametrize("estimator", CHECKED, ids=repr)
def test_what_is_expected_to_fail_fails_for_the_reason_given(estimator):
    names = EXPECTED[type(estimator).__name__]
    found = checks_called(names, estimator)
    assert len(found) >= len(names)
    for check in found:
        with pytest.raises(InputError, match=r"y must be vectors \(n, d_t\); got shape \(30,\)"):
            check(estimator)


@pytest.mark.parametrize(("solver", "purpose"), [("auto", "head"), ("ridge", "match")])
def test_what_is_expected_to_fail_passes_on_columns(solver, purpose):
    found = checks_called(EXPECTED["AlignTransformer"], OfColumns(solver, purpose=purpose))
    assert len(found) >= 3
    for check in found:
        check(OfColumns(solver, purpose=purpose))


# the same numbers as the plain verbs


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("solver", ["auto", "ridge", sk.Ridge(alpha=0.3, scale="both"), sk.Procrustes()], ids=repr)
def test_the_transformer_for_a_head_is_to_target(world, solver, dtype):
    x, y = (side.astype(dtype) for side in world[:2])
    groups = np.arange(120) // 2
    ours = AlignTransformer(solver, nested=True, seed=3).fit(x[:120], y[:120], groups=groups)
    plain = sk.align(x[:120], y[:120], groups=groups, purpose="head", solver=solver, seed=3, progress=False)
    assert dict(ours.alignment_.record) == dict(plain.record)
    assert np.array_equal(ours.transform(x[120:]), plain.to_target(x[120:]))
    assert ours.transform(x[120:]).dtype == plain.to_target(x[120:]).dtype
    assert np.array_equal(ours.transform_target(y[120:]), y[120:])


@pytest.mark.parametrize("solver", ["auto", "csa", sk.CSA(dims=5), sk.Relative()], ids=repr)
def test_the_transformer_for_matching_is_the_similarity(world, solver):
    x, y = world[:2]
    ours = AlignTransformer(solver, purpose="match").fit(x[:120], y[:120])
    plain = sk.align(x[:120], y[:120], solver=solver, nested=False, progress=False)
    rows, columns = ours.transform(x[120:]), ours.transform_target(y[120:])
    assert np.array_equal(rows @ columns.T, plain.similarity(x[120:], y[120:]))
    assert ours.get_feature_names_out().shape == rows.shape[1:]


@pytest.mark.parametrize("case", SETS)
def test_the_classifier_is_align_and_zeroshot(world, case):
    x, y, _, text = world
    ours = ZeroShotClassifier(SETS[case], text, solver=sk.CSA(dims=5)).fit(x[:120], y[:120])
    plain = sk.zeroshot(sk.align(x[:120], y[:120], solver=sk.CSA(dims=5)), text, SETS[case])
    values = plain.scores(x[120:]).values
    expected = {
        "any number": values,
        "yes or no": values[:, 0],
    }.get(case, values[:, np.argsort(plain.classes)])
    assert np.array_equal(ours.decision_function(x[120:]), expected)
    assert ours.head_.scores(x[120:]).kind == ("cosine" if case == "one of several" else "margin")
    if case.startswith("one of several"):
        assert ours.predict(x[120:]).tolist() == list(plain.predict(x[120:]))


@pytest.mark.parametrize("case", list(SETS))
def test_the_classifier_is_searched_by_its_prompts(world, case):
    x, y, text = world[0], world[1], world[-1]
    ours = ZeroShotClassifier(SETS[case], text).fit(x[:120], y[:120])
    assert ours.alignment_.record["chosen_by"].startswith("margin between the prompts of")
    prompts = sk.embed_prompts(text, SETS[case])
    theirs = sk.align(x[:120], y[:120], prompts=prompts, nested=False, progress=False)
    assert theirs.record["settings"] == ours.alignment_.record["settings"]


def test_vectors_name_classes_as_texts_do(world):
    x, y, _, text = world
    by_texts = ZeroShotClassifier(SETS["one of several"], text).fit(x[:120], y[:120])
    by_vectors = ZeroShotClassifier(vectors_of_classes(text)).fit(x[:120], y[:120])
    assert by_texts.classes_.tolist() == by_vectors.classes_.tolist() == ["effusion", "mass", "nodule"]
    assert np.array_equal(by_texts.decision_function(x[120:]), by_vectors.decision_function(x[120:]))


def test_a_text_encoder_names_classes_as_its_embeddings_do():
    encoder = sk.load_encoder("demo:text")
    prompts = sk.PromptSet("two", {"edema": ("Edema.", "There is edema."), "mass": ("A mass.",)}, multiclass=True)
    text = sk.embed(encoder, sk.Items(prompts.texts, list(prompts.texts), "text"), progress=False)
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, encoder.space.dim)).astype(np.float32)
    x = y[:, :20] + 0.1 * rng.normal(size=(60, 20)).astype(np.float32)
    one, other = (clone(ZeroShotClassifier(prompts, by, solver=sk.Ridge())).fit(x, y) for by in (encoder, text))
    assert np.array_equal(one.decision_function(x), other.decision_function(x))


def test_labels_stand_for_the_mean_of_their_prompts(world):
    x, _, labels, text = world
    names = vectors_of_classes(text)
    y = np.stack([names[label].mean(axis=0) for label in labels])
    by_labels = ZeroShotClassifier(names, solver=sk.Ridge()).fit(x, labels)
    by_vectors = ZeroShotClassifier(names, solver=sk.Ridge()).fit(x, y)
    assert np.array_equal(by_labels.decision_function(x), by_vectors.decision_function(x))
    assert by_labels.score(x, labels) > 0.8


def test_with_target_labels_are_not_read(world):
    x, y, labels, text = world
    names = vectors_of_classes(text)
    with_labels = ZeroShotClassifier(names, solver=sk.Ridge()).fit(x, np.roll(labels, 1), target=y)
    without = ZeroShotClassifier(names, solver=sk.Ridge()).fit(x, y)
    assert np.array_equal(with_labels.decision_function(x), without.decision_function(x))


def test_a_class_without_an_anchor_is_found_by_its_name():
    """Zero-shot as the literature has it: labels of seen classes, a question about unseen ones among all."""
    rng = np.random.default_rng(1)
    names = dict(enumerate(rng.normal(size=(40, 8))))
    labels = rng.integers(40, size=800)
    x = np.stack([names[i] for i in labels.tolist()]) @ rng.normal(size=(8, 10)) + 0.3 * rng.normal(size=(800, 10))
    seen = labels < 30
    classifier = ZeroShotClassifier(names, solver=sk.Ridge(alpha=1e-3)).fit(x[seen], labels[seen])
    assert classifier.classes_.tolist() == list(range(40))
    assert accuracy_score(labels[~seen], classifier.predict(x[~seen])) > 0.9  # chance is 1 / 40


def test_two_classes_give_one_column_and_the_second_is_positive(world):
    x, y, labels, text = world
    names = {label: rows for label, rows in vectors_of_classes(text).items() if label != "nodule"}
    classifier = ZeroShotClassifier(names, solver=sk.Ridge()).fit(x, y)
    scores, head = classifier.decision_function(x), classifier.head_.scores(x)
    assert np.array_equal(scores, head.column("mass") - head.column("effusion"))
    assert classifier.predict(x).tolist() == np.where(scores > 0, "mass", "effusion").tolist()
    some = labels != "nodule"
    assert roc_auc_score(labels[some] == "mass", scores[some]) > 0.95


def test_where_any_number_apply_predictions_are_zeros_and_ones(world):
    x, y, _, text = world
    classifier = ZeroShotClassifier(SETS["any number"], text, solver=sk.Ridge()).fit(x, y)
    assert classifier.classes_.tolist() == list(SETS["any number"].classes)
    assert np.array_equal(classifier.predict(x), classifier.decision_function(x) > 0)
    bare = ZeroShotClassifier(sk.PromptSet("bare", POSITIVE), text, solver=sk.Ridge()).fit(x, y)
    assert bare.decision_function(x).shape == (160, 3)
    with pytest.raises(InputError, match="several classes at once and have no negatives"):
        bare.predict(x)


def test_rows_of_zeros_are_points(world):
    x, y = (np.concatenate([side, np.zeros((1, side.shape[1]))]) for side in world[:2])
    mapper = AlignTransformer(sk.Ridge()).fit(x, y)
    assert np.isfinite(mapper.transform(x)).all()


def test_the_adapters_are_silent(world, capfd):
    AlignTransformer().fit(*world[:2])
    ZeroShotClassifier().fit(world[0], world[2])
    assert capfd.readouterr() == ("", "")


# scores


def test_the_score_of_a_head_is_r2_that_no_rotation_changes(world):
    x, y = world[:2]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))[0]
    scores = [AlignTransformer(sk.Ridge()).fit(x[:120], t[:120]).score(x[120:], t[120:]) for t in (y, y @ turn)]
    residual = y[120:] - AlignTransformer(sk.Ridge()).fit(x[:120], y[:120]).transform(x[120:])
    assert scores[0] == pytest.approx(1 - (residual**2).sum() / ((y[120:] - y[120:].mean(axis=0)) ** 2).sum())
    assert scores[0] == pytest.approx(scores[1])
    assert 0.8 < scores[0] < 1


def test_the_score_of_matching_is_the_mean_reciprocal_rank_among_distinct_targets(world):
    x, y = world[0], np.round(world[1][:, :1]) * np.ones(9) + np.arange(9) ** 2  # few distinct targets
    mapper = AlignTransformer(sk.Ridge(), purpose="match").fit(x[:120], y[:120])
    gallery, truth = np.unique(y[120:], axis=0, return_inverse=True)
    assert 2 <= len(gallery) < 10
    similarity = mapper.alignment_.similarity(x[120:], gallery)
    true = similarity[np.arange(40), truth.reshape(-1)][:, None]
    above, equal = (similarity > true).sum(axis=1), (similarity == true).sum(axis=1)
    expected = [np.mean(1 / np.arange(a + 1, a + b + 1)) for a, b in zip(above, equal, strict=True)]  # over all orders
    assert mapper.score(x[120:], y[120:]) == pytest.approx(np.mean(expected))


# pipelines and searches


def test_a_pipeline_maps_and_then_learns_labels(world):
    x, y, labels, _ = world
    pipe = make_pipeline(StandardScaler(), AlignTransformer(sk.Ridge()), LogisticRegression())
    pipe.fit(x[:120], labels[:120], aligntransformer__target=y[:120])
    scaled = StandardScaler().fit(x[:120])
    mapped = sk.align(scaled.transform(x[:120]), y[:120], solver=sk.Ridge()).to_target(scaled.transform(x))
    plain = LogisticRegression().fit(mapped[:120], labels[:120])
    assert np.array_equal(pipe.predict_proba(x[120:]), plain.predict_proba(mapped[120:]))
    assert pipe.score(x[120:], labels[120:]) > 0.9


def test_a_head_of_the_target_reads_mapped_vectors(world):
    x, y, labels, _ = world
    head = LogisticRegression().fit(y[:80], labels[:80])
    mapper = make_pipeline(StandardScaler(), AlignTransformer()).fit(x[80:120], y[80:120])
    stitched = make_pipeline(FrozenEstimator(mapper), FrozenEstimator(head)).fit(x[:1], labels[:1])
    assert stitched.score(x[120:], labels[120:]) > 0.9


def test_labels_where_target_vectors_belong_are_refused(world):
    pipe = make_pipeline(StandardScaler(), AlignTransformer(), LogisticRegression())
    with pytest.raises(InputError, match=r"got shape \(160,\).*give the target vectors as target="):
        pipe.fit(world[0], world[2])


def test_metadata_routing_takes_target_and_groups_through_a_pipeline(world, routing):
    x, y, labels, _ = world
    step = AlignTransformer(sk.Ridge()).set_fit_request(target=True, groups=True)
    pipe = make_pipeline(StandardScaler(), step, LogisticRegression())
    pipe.fit(x[:120], labels[:120], target=y[:120], groups=np.arange(120) // 3)
    assert pipe[1].alignment_.record["settings"]["alpha"] == 0.1
    assert pipe.score(x[120:], labels[120:]) > 0.9


def test_metadata_routing_gives_groups_to_the_folds_outside_and_inside(world, routing):
    x, y = world[:2]
    search = GridSearchCV(
        AlignTransformer().set_fit_request(groups=True), {"solver": ["ridge", "procrustes"]}, cv=GroupKFold(3)
    )
    search.fit(x, y, groups=np.arange(160) // 4)
    assert search.best_estimator_.alignment_.record["groups"] == 40


@pytest.mark.parametrize("purpose", ["head", "match"])
@pytest.mark.parametrize(
    "solvers", [["ridge", "procrustes"], [sk.Ridge(alpha=a) for a in (1e-4, 1e-1, 1e6)]], ids=["names", "values"]
)
def test_a_grid_search_over_solvers(world, solvers, purpose):
    x, y = world[:2]
    search = GridSearchCV(AlignTransformer(purpose=purpose), {"solver": solvers}, cv=3).fit(x, y)
    found = search.cv_results_["mean_test_score"]
    by_hand = [cross_val_score(AlignTransformer(one, purpose=purpose), x, y, cv=3).mean() for one in solvers]
    assert found.tolist() == by_hand
    assert search.best_score_ == max(by_hand)
    assert search.best_params_["solver"] in solvers[:2]
    assert search.score(x, y) == search.best_estimator_.score(x, y)


def test_a_grid_search_in_a_pipeline_is_judged_by_the_labels(world):
    x, y, labels, _ = world
    pipe = make_pipeline(StandardScaler(), AlignTransformer(), LogisticRegression())
    grid = {"aligntransformer__solver": [sk.Ridge(alpha=0.1), sk.Ridge(alpha=1e9)]}
    search = GridSearchCV(pipe, grid, cv=3).fit(x, labels, aligntransformer__target=y)
    assert search.best_params_["aligntransformer__solver"].alpha == 0.1


@pytest.mark.parametrize("with_texts", [True, False], ids=["texts of anchors", "labels alone"])
def test_a_grid_search_of_the_classifier_is_judged_by_labels(world, with_texts):
    x, y, labels, text = world
    extra = {"target": y} if with_texts else {}
    classifier = ZeroShotClassifier(vectors_of_classes(text))
    search = GridSearchCV(classifier, {"solver": [sk.Ridge(), sk.Procrustes()]}, cv=3).fit(x, labels, **extra)
    assert is_classifier(search)
    assert search.best_score_ > 0.8
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_of_several_findings_is_judged_by_their_auroc(world):
    x, y, labels, text = world
    truth = (labels[:, None] == np.asarray(SETS["any number"].classes)).astype(int)
    classifier = ZeroShotClassifier(SETS["any number"], text)
    search = GridSearchCV(classifier, {"solver": [sk.Ridge(), sk.Procrustes()]}, scoring="roc_auc", cv=3)
    assert search.fit(x, truth, target=y).best_score_ > 0.7


# calibration


def test_scores_are_not_called_probabilities():
    assert not hasattr(ZeroShotClassifier(), "predict_proba")


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_fitted_classifier_is_calibrated_on_labels(world, method):
    x, y, labels, text = world
    classifier = ZeroShotClassifier(vectors_of_classes(text), solver=sk.Ridge()).fit(x[:60], y[:60])
    calibrated = CalibratedClassifierCV(FrozenEstimator(classifier), method=method).fit(x[60:120], labels[60:120])
    shares = calibrated.predict_proba(x[120:])
    assert calibrated.classes_.tolist() == classifier.classes_.tolist()
    assert np.allclose(shares.sum(axis=1), 1)
    truth = labels[120:, None] == calibrated.classes_
    assert ((shares - truth) ** 2).mean() < 0.5 * ((truth.mean(axis=0) - truth) ** 2).mean()


def test_a_yes_or_no_finding_is_calibrated(world):
    x, y, labels, text = world
    classifier = ZeroShotClassifier(SETS["yes or no"], text, solver=sk.Ridge()).fit(x[:60], y[:60])
    assert classifier.classes_.tolist() == [0, 1]
    truth = (labels == "mass").astype(int)
    shares = CalibratedClassifierCV(FrozenEstimator(classifier)).fit(x[60:120], truth[60:120]).predict_proba(x[120:])
    assert roc_auc_score(truth[120:], shares[:, 1]) == roc_auc_score(truth[120:], classifier.decision_function(x[120:]))


@pytest.mark.parametrize("with_texts", [True, False], ids=["texts of anchors", "labels alone"])
def test_calibration_fits_on_folds_of_anchors_with_labels(world, with_texts):
    x, y, labels, text = world
    extra = {"target": y[:120]} if with_texts else {}
    classifier = ZeroShotClassifier(vectors_of_classes(text), solver=sk.Ridge())
    calibrated = CalibratedClassifierCV(classifier, cv=3).fit(x[:120], labels[:120], **extra)
    assert accuracy_score(labels[120:], calibrated.predict(x[120:])) > 0.8


def test_where_scikit_learn_renumbers_labels_text_vectors_are_needed(world):
    x, y, labels, text = world
    calibrated = CalibratedClassifierCV(ZeroShotClassifier(vectors_of_classes(text)), ensemble=False, cv=3)
    with pytest.raises(InputError, match=r"label 0, which no prompt names.*give the text vectors as target="):
        calibrated.fit(x, labels)
    calibrated.fit(x[:120], labels[:120], target=y[:120])
    assert accuracy_score(labels[120:], calibrated.predict(x[120:])) > 0.8


# what scikit-learn asks of every estimator


def fitted(world):
    x, y, _, text = world
    yield AlignTransformer(sk.Ridge(alpha=0.5), purpose="match", seed=1).fit(x, y)
    yield ZeroShotClassifier(SETS["any number"], text, solver=sk.CSA(), seed=1).fit(x, y)


def test_clones_copies_and_parameters(world):
    for one in fitted(world):
        fresh = clone(one)
        assert fresh.get_params()["solver"] == one.solver
        assert fresh.set_params(solver="ridge", nested=True).get_params()["nested"]
        again = pickle.loads(pickle.dumps(one))
        method = "transform" if hasattr(one, "transform") else "decision_function"
        assert np.array_equal(getattr(again, method)(world[0]), getattr(one, method)(world[0]))
        with pytest.raises(NotFittedError):
            getattr(fresh, method)(world[0])
    with pytest.raises(NotFittedError):
        AlignTransformer().transform_target(world[1])


def test_columns_are_named_after_the_transformer(world):
    x = pd.DataFrame(world[0], columns=[f"dim{i}" for i in range(12)])
    mapper = AlignTransformer(sk.Ridge()).set_output(transform="pandas").fit(x, world[1])
    mapped = mapper.transform(x)
    assert list(mapped.columns) == [f"aligntransformer{i}" for i in range(9)]
    assert mapper.feature_names_in_.tolist() == list(x.columns)
    assert mapper.score(x, world[1]) > 0.8


# what is refused


@pytest.mark.parametrize(
    "values", [sk.Embeddings(np.ones((3, 2)), ["a", "b", "c"], sk.Space("s", 2))], ids=["embeddings"]
)
def test_embeddings_are_refused_for_their_ids_would_be_lost(values):
    for x, y in ((values, np.ones((3, 2))), (np.ones((3, 2)), values)):
        for estimator in (AlignTransformer(), ZeroShotClassifier({"a": [1.0, 0], "b": [0, 1.0]})):
            with pytest.raises(InputError, match=r"must be a plain array.*\.vectors"):
                estimator.fit(x, y)


def test_a_purpose_or_solver_that_does_not_exist_is_refused(world):
    with pytest.raises(UnknownNameError, match="purpose"):
        AlignTransformer(purpose="heads").fit(*world[:2])
    with pytest.raises(UnknownNameError, match="ridge"):
        AlignTransformer("rigde").fit(*world[:2])


def test_a_solver_that_only_meets_has_nothing_for_a_head(world):
    with pytest.raises(NoDirectedMapError, match="Relative only meets in a common space"):
        AlignTransformer(sk.Relative()).fit(*world[:2])


def test_target_vectors_of_another_width_are_refused(world):
    x, y, _, text = world
    with pytest.raises(SpaceMismatchError, match=r"takes \(n, 9\)"):
        AlignTransformer(sk.Ridge()).fit(x, y).transform_target(x)
    with pytest.raises(InputError, match=r"y holds text vectors \(n, 12\) and those of the prompts are 9 wide"):
        ZeroShotClassifier(vectors_of_classes(text)).fit(x, x)
    with pytest.raises(InputError, match=r"y holds text vectors.*where y is 0 or 1 for each class"):
        ZeroShotClassifier(SETS["any number"], text).fit(x, np.ones((160, 3), dtype=int))


WRONG_NAMES = {
    "nothing": ((), "nothing names the classes"),
    "one": (({"a": np.ones(9)},), "tells apart two classes or more; got 1"),
    "widths": (({"a": np.ones(9), "b": np.ones(8)},), "differ in width between classes"),
    "zero": (({"a": np.ones(9), "b": np.zeros(9)},), "'b 0'.*all zeros"),
    "no order": (({"a": np.ones(9), 1: np.ones(9)},), "have no order"),
    "empty": (({"a": np.ones(9), "b": []},), "class 'b' has no prompt"),
    "name of an encoder": ((SETS["any number"], "hf:some/text"), "must be a text encoder or embeddings.*got str"),
    "list": ((["a", "b"],), "map labels to vectors; got list"),
    "text beside vectors": (({"a": np.ones(9), "b": -np.ones(9)}, "hf:some/text"), "got dict with text="),
    "no text": ((SETS["any number"],), "prompt set 'any' needs text="),
    "no negatives": ((sk.PromptSet("bare", {"a": ("A.",)}), sk.Embeddings(np.ones((1, 9)), ["A."], sk.Space("t", 9))),
                     "one class and no negatives"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_NAMES)
def test_names_that_name_nothing_are_refused(world, case):
    given, told = WRONG_NAMES[case]
    with pytest.raises(InputError, match=told):
        ZeroShotClassifier(*given).fit(*world[:2])


def test_a_label_without_a_prompt_is_named(world):
    x, _, labels, text = world
    names = vectors_of_classes(text)
    del names["nodule"]
    with pytest.raises(InputError, match=r"label 'nodule', which no prompt names; known: \['effusion', 'mass'\]"):
        ZeroShotClassifier(names).fit(x, labels)
