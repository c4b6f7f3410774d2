"""Results as JSON: strict, whatever is undefined in them."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil

import numpy as np
import pytest

import stitchkit
import stitchkit as sk
from stitchkit.core.plain_values import plain
from stitchkit.evaluation.diagnosis.coverage import prompt_coverage
from stitchkit.evaluation.scores.results import UNDEFINED
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.decisions import decision_intervals

NAN = float("nan")
# settings and numbers that are read again, checked by their types
SETTINGS = (
    "BindingRecipe",
    "FusionRecipe",
    "NetworkRecipe",
    "PromptSet",
    "Provenance",
    "Recipe",
    "TowersRecipe",
    "TableFeatures",
    "Validation",
)


def with_to_dict():
    """Every class of the package that has a ``to_dict`` of its own."""
    found = {}
    for module in pkgutil.walk_packages(stitchkit.__path__, "stitchkit."):
        if module.name.startswith(("stitchkit.scale", "stitchkit.app")) or module.name.endswith("__main__"):
            continue
        for name, one in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if one.__module__ == module.name and "to_dict" in vars(one):
                found[name] = one
    return found


def test_every_result_gives_plain_values():
    found = with_to_dict()
    assert len(found) >= 20
    bare = {name for name, one in found.items() if not hasattr(one.to_dict, "__wrapped__")}
    assert bare == set(SETTINGS)


def test_what_is_no_number_is_null_at_every_depth():
    given = {
        1: (NAN, [np.float32("inf"), {"x": np.array([1.0, NAN])}]),
        np.int64(2): np.bool_(True),
        "n": Interval(0.5, NAN, NAN),
    }
    assert plain(given) == {1: [None, [None, {"x": [1.0, None]}]], 2: True, "n": [0.5, None, None]}
    json.dumps(plain(given), allow_nan=False)


def few(n=40, positive=3):
    """An evaluation, with decisions, of a class that few patients have and no score calls."""
    rng = np.random.default_rng(0)
    ids = [f"i{i}" for i in range(n)]
    truth = (np.arange(n) < positive).astype(float)[:, None]
    scores = sk.Scores(np.minimum(truth + rng.normal(size=(n, 1)), 3), "logit", ids, ("Mass",))
    known = [f"k{i}" for i in range(n)]
    thresholds = sk.choose_thresholds(
        sk.Scores(scores.values + 100, "logit", known, ("Mass",)), sk.Labels(truth, known, ("Mass",)),
        min_positives=1, replicates=5, progress=False,
    )  # fmt: skip
    return sk.evaluate(scores, sk.Labels(truth, ids, ("Mass",)), thresholds=thresholds, min_positives=1, replicates=5,
                       progress=False)  # fmt: skip


def test_an_evaluation_without_ends_and_without_a_positive_call_is_strict_json():
    found = few()
    plain_ = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain_["methods"][0]["macro"]["low"] is None
    assert plain_["decisions"]["Mass"]["ppv"] == {"value": None, "low": None, "high": None}


def test_a_measure_without_a_value_is_a_dash_with_the_reason_in_print():
    printed = str(few())
    assert "nan" not in printed
    assert "Mass: PPV is undefined: no item was called positive" in printed


CASES = {  # decided, labels, and which measures are then undefined
    "none called": ([0, 0, 0, 0], [1, 1, 0, 0], {"ppv"}),
    "all called": ([1, 1, 1, 1], [1, 1, 0, 0], {"npv"}),
    "none positive": ([1, 0, 0, 0], [0, 0, 0, 0], {"sensitivity", "balanced_accuracy"}),
    "none negative": ([1, 0, 1, 1], [1, 1, 1, 1], {"specificity", "balanced_accuracy"}),
    "nothing at all": ([0, 0, 0, 0], [0, 0, 0, 0], {"sensitivity", "ppv", "balanced_accuracy", "f1"}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_undefined_measure_has_its_reason(case):
    decided, labels, expected = CASES[case]
    found = decision_intervals(np.array(decided, dtype=bool), np.array(labels, dtype=float), np.arange(4))
    missing = {name for name, one in found.items() if np.isnan(one.value)}
    assert missing == expected <= set(UNDEFINED)
    assert all(str(found[name]) == "-" == found[name].signed for name in missing)


@pytest.mark.parametrize("shift", [0.0, 1e-9])
def test_a_prompt_at_the_mean_of_the_anchors_has_no_reach_and_says_why(shift):
    rng = np.random.default_rng(0)
    anchors = rng.normal(size=(60, 6)) + 3
    mean = anchors.mean(axis=0)
    middle, other = prompt_coverage(anchors, {"middle": mean[None] + shift, "other": mean[None] + np.eye(6)[:1]})
    assert np.isnan(middle.reach)
    assert not middle.covered
    assert "it lies at the mean of the anchors' targets" in middle.undefined
    assert other.undefined == ""
    assert 0 <= other.reach <= 1
    assert json.loads(json.dumps(middle.to_dict(), allow_nan=False))["reach"] is None


def test_a_diagnosis_prints_and_saves_an_undefined_reach(tmp_path):
    from stitchkit.reports.diagnosis_page import write_diagnosis

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60, 6))
    prompts = {"middle": y.mean(axis=0)[None], "one": y[:1]}
    found = sk.diagnose(sk.align(x, y, solver="ridge", nested=False), x, y, prompts=prompts, replicates=20)
    assert "reach undefined: it lies at the mean" in str(found)
    assert "nan" not in str(found)
    page = write_diagnosis(found, tmp_path / "page").read_text()
    assert "reach undefined: it lies at the mean" in page
    assert ">nan<" not in page


def test_recall_among_as_many_candidates_is_1_by_construction():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30, 4))
    alignment = sk.align(x[:20], y[:20], solver="ridge", nested=False)
    found = sk.evaluate_retrieval(alignment, x[20:], np.repeat(y[20:25], 2, axis=0), ks=(1, 5, 10))
    assert found.forward.gallery == 5
    assert [one.has_ends for one in found.forward.recall.values()] == [True, False, False]
    assert [one.has_ends for one in found.backward.recall.values()] == [True, True, False]
    assert found.forward.recall[5].value == found.backward.recall[10].value == 1
    assert "recall@5, recall@10: 1 by construction where a gallery has no more candidates" in "".join(found.notes)
    assert not any("construction" in note for note in sk.evaluate_retrieval(alignment, x[20:], y[20:], ks=(1, 5)).notes)


def test_compared_recall_among_as_many_candidates_has_no_interval():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40, 4))
    found = sk.compare(x, y, solvers=["ridge", "procrustes"], ks=(1, 10), folds=5, progress=False)
    assert found.gallery == 8
    for row in found.rows:
        assert row.measures["recall@10"].value == 1
        assert not row.measures["recall@10"].has_ends
        assert row.measures["recall@1"].has_ends
    assert any("recall@10, recall@10 back: 1 by construction" in note for note in found.notes)
    json.dumps(found.to_dict(), allow_nan=False)
