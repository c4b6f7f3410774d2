"""Scores by association rank items: whatever makes a probability or a decision of scores refuses them."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.calibrations import LogisticCalibration
from stitchkit.core.errors import InputError
from stitchkit.evaluation.cross_fitting import cross_fitted
from stitchkit.score_tables import read_scores, write_scores

REFUSAL = "of kind 'association' .* No probability, threshold, conformal set or decision .* Add anchors"


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    truth = np.eye(2)[rng.integers(2, size=80)]
    ids = [f"scan{i}" for i in range(80)]
    classes, values = ("Edema", "Mass"), truth + rng.normal(size=(80, 2))
    scores = {kind: sk.Scores(values, kind, ids, classes) for kind in ("association", "logit")}
    return scores, sk.Labels(truth, ids, classes)


@pytest.mark.parametrize("method", ["platt", "temperature", "isotonic"])
@pytest.mark.parametrize("multiclass", [False, True])
def test_no_calibration_is_fitted(scored, method, multiclass):
    scores, labels = scored
    with pytest.raises(InputError, match=REFUSAL):
        sk.calibrate(scores["association"], labels, method=method, multiclass=multiclass)


@pytest.mark.parametrize("rule", [{"rule": "youden"}, {"rule": "sensitivity", "at": 0.9}])
def test_no_threshold_is_chosen(scored, rule):
    scores, labels = scored
    with pytest.raises(InputError, match=REFUSAL):
        sk.choose_thresholds(scores["association"], labels, **rule)


def test_no_conformal_set_is_fitted(scored):
    scores, labels = scored
    with pytest.raises(InputError, match=REFUSAL):
        sk.conformal_sets(scores["association"], labels)


def test_nothing_fitted_on_other_scores_is_applied(scored):
    scores, labels = scored
    for apply in (
        sk.calibrate(scores["logit"], labels),
        sk.choose_thresholds(scores["logit"], labels, replicates=20).decide,
        sk.conformal_sets(scores["logit"], labels),
        LogisticCalibration("platt", "association", ("Edema", "Mass"), np.ones(2), np.zeros(2), None),
    ):
        with pytest.raises(InputError, match=REFUSAL):
            apply(scores["association"])


def test_they_are_judged_by_rank_and_not_by_the_best_class(scored):
    scores, labels = scored
    same = sk.Scores(scores["association"].values, "logit", labels.ids, labels.classes)
    ranked, plain = (sk.evaluate(one, labels, replicates=50) for one in (scores["association"], same))
    assert ranked.main.macro == plain.main.macro
    assert "scores are by association" in str(ranked)
    for main, other in (("association", "logit"), ("logit", "association")):
        with pytest.raises(InputError, match=REFUSAL):
            sk.evaluate(scores[main], labels, others={"other": scores[other]}, multiclass=True, replicates=50)


def test_cross_fitted_probabilities_are_refused(scored):
    scores, labels = scored
    with pytest.raises(InputError, match=REFUSAL):
        cross_fitted(scores["association"], labels, replicates=50)


def test_a_part_of_the_classes_and_a_table_keep_the_kind(scored, tmp_path):
    scores, labels = scored
    write_scores(tmp_path / "scores.csv", scores["association"])
    for kept in (scores["association"].of_classes(("Mass",)), read_scores(tmp_path / "scores.csv")):
        with pytest.raises(InputError, match=REFUSAL):
            sk.calibrate(kept, labels)


def test_no_head_gives_them():
    space = sk.Space("images", 3)
    with pytest.raises(InputError, match="come beside their rivals"):
        sk.LinearHead(space, ("Edema",), np.ones((3, 1)), np.zeros(1), kind="association")
