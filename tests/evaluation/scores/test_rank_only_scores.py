"""Scores by association rank items: whatever makes a probability or a decision of scores refuses them."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.calibrations import LogisticCalibration
from stitchkit.core.errors import InputError
from stitchkit.evaluation.associations.associations import AssociationScores
from stitchkit.evaluation.scores.cross_fitting import cross_fitted
from stitchkit.reports.evaluation_page import write_evaluation
from stitchkit.storage.scores import read_scores, write_scores

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


# their rivals


def rivals_missing(found):
    return [note for note in found.notes if "without their rivals" in note]


def test_scores_alone_are_judged_with_a_note_on_their_rivals(scored):
    scores, labels = scored
    found = sk.evaluate(scores["association"], labels, replicates=20)
    (note,) = rivals_missing(found)
    for word in ("'abnormal' alone", "permuted weights", "prompts", "sk.fit_associations", "evaluate(labels)"):
        assert word in note
    assert note in str(found)
    assert note in found.to_dict()["notes"]
    assert not rivals_missing(sk.evaluate(scores["logit"], labels, replicates=20))


@pytest.mark.parametrize("main", ["association", "logit"])
def test_they_are_noted_in_any_row_of_the_table(scored, main):
    scores, labels = scored
    other = scores["logit" if main == "association" else "association"]
    assert len(rivals_missing(sk.evaluate(scores[main], labels, others={"other": other}, replicates=20))) == 1


def test_a_part_of_the_classes_and_scores_read_from_a_table_are_noted_too(scored, tmp_path):
    scores, labels = scored
    write_scores(tmp_path / "scores.csv", scores["association"])
    for one in (scores["association"].of_classes(("Mass",)), read_scores(tmp_path / "scores.csv")):
        assert rivals_missing(sk.evaluate(one, labels, replicates=20))


def test_the_page_shows_the_note(scored, tmp_path):
    scores, labels = scored
    found = sk.evaluate(scores["association"], labels, replicates=20)
    write_evaluation(found, tmp_path / "page")
    pages = [one.read_text() for one in (tmp_path / "page").glob("*.html")]
    assert len(pages) == 1
    assert "without their rivals" in pages[0]


def test_beside_their_rivals_nothing_is_missing_and_prompts_may_be_one_more(scored):
    scores, labels = scored
    rng = np.random.default_rng(1)
    given = AssociationScores(
        scores["association"].ids, ("Edema", "Mass"), ("Effusion", "normal"), rng.normal(size=(80, 2)),
        rng.normal(size=(2, 2)), rng.normal(size=(5, 2, 2)), (),
    )  # fmt: skip
    plain, prompted = (
        given.evaluate(labels, others=others, replicates=20) for others in (None, {"prompts": scores["logit"]})
    )
    assert not rivals_missing(plain.table)
    assert not rivals_missing(prompted.table)
    assert [one.name for one in prompted.table.methods][1:3] == ["'abnormal' alone", "prompts"]
    assert "weights permuted" in str(plain)
