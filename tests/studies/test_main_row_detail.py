"""The main row from near: calibration, decisions, spectrum, images."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from phantom_studies import JUDGED, only, run

import stitchkit as sk
from stitchkit.evaluation.scores import cross_fitting
from stitchkit.evaluation.scores.cross_fitting import cross_fitted
from stitchkit.evaluation.scores.evaluate import METADATA

FOUR = 'images = 4\nclasses = ["cardiomegaly", "nodule"]'


def numbers_of(out):
    return json.loads((out / "results.json").read_text())


@pytest.fixture
def scored(vectors):
    """Scores of the test by the ridge map and the medical head, with labels, made by the verbs."""
    labels, general, medical, _, encoders, train, test = vectors
    head = encoders["medical"].classifier()
    fitted = sk.align(general.take(train), medical.take(train), groups=labels.groups[train], purpose="head",
                      head=head, solver="ridge", nested=False, progress=False)  # fmt: skip
    scores = head.scores(fitted.to_target(general.take(test)))
    return only(scores), labels.take(test), fitted


@pytest.mark.usefixtures("undrawn")
def test_probabilities_decisions_and_spectrum_are_those_of_the_main_row(planned, scored, tmp_path, few_are_enough):
    scores, test, fitted = scored
    run(planned(judge="sensitivity = 0.8"), tmp_path / "out")
    found = numbers_of(tmp_path / "out")["close_up"]
    literal = cross_fitted(scores, test.of_classes(scores.classes), sensitivity=0.8, replicates=60).to_dict()
    assert set(literal["reliability"]) == set(literal["decisions"]) == set(JUDGED)
    for name in ("calibration", "reliability", "decisions", "not_calibrated"):
        assert nested(literal[name], found[name]), name
    values = np.linalg.svd(fitted.directed.weight, compute_uv=False)
    np.testing.assert_allclose(found["spectrum"]["values"], values, atol=1e-9 * values[0])


def nested(left, right):
    """Equal up to rounding, at any depth; NaN is null in a file."""
    if isinstance(left, dict):
        return set(left) == set(right) and all(nested(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(nested(*pair) for pair in zip(left, right, strict=True))
    if right is None:
        return left is None or np.isnan(left)
    return left == pytest.approx(right, abs=1e-9)


@pytest.fixture
def few_are_enough(monkeypatch):
    """Three positives to calibrate by: the films are fifty."""
    monkeypatch.setattr(cross_fitting, "FEW_POSITIVES", 3)


def test_the_page_shows_curve_thresholds_and_map(planned, tmp_path, few_are_enough):
    run(planned("zeroshot", judge="sensitivity = 0.8"), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("Calibration (predicted probability / observed frequency)", "find 80 % of the positives",
                  "prevalence alone", "perfect ones, expected in so few items", "Singular values of the"):  # fmt: skip
        assert words in page, words
    assert "Best and worst" not in page
    assert "data:image" not in page


def test_images_are_shown_only_when_asked_for_and_are_the_extremes(planned, scored, tmp_path):
    scores, test, _ = scored
    run(planned(judge=FOUR), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    found = numbers_of(tmp_path / "out")["close_up"]["images"]
    assert list(found) == ["cardiomegaly", "nodule"]
    for label, rows in found.items():
        values, truth = scores.column(label), test.values[:, test.classes.index(label)]
        present, absent = (sorted(values[truth == side]) for side in (1, 0))
        told = [[one["score"] for one in row] for row in rows.values()]
        assert told == [pytest.approx(present[::-1][:4]), pytest.approx(present[:4]), pytest.approx(absent[::-1][:4])]
        score_of = dict(zip(test.ids.tolist(), values, strict=True))
        assert all(score_of[one["id"]] == pytest.approx(one["score"]) for row in rows.values() for one in row)
    assert len(re.findall("<img src=.data:image/jpeg", page)) == 24
    assert "Pass it on only where the pictures may be passed on" in page


def test_too_few_positives_are_told_and_the_page_is_written(planned, tmp_path):
    run(planned(data='where = { view = "PA" }'), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not calibrated: " in page
    assert "fewer than 10" in page


@pytest.mark.usefixtures("undrawn")
def test_rows_have_further_measures(planned, scored, tmp_path):
    scores, test, _ = scored
    (row,) = run(planned(), tmp_path / "out").of("ridge")
    main = sk.evaluate(scores, test, min_positives=3, replicates=60).main
    assert row.measures == {"average_precision": pytest.approx(main.measures["average_precision"].macro, abs=1e-9)}
    assert set(JUDGED) == set(main.classes)
    assert METADATA not in row.measures


@pytest.mark.usefixtures("undrawn")
def test_with_folds_scores_are_standardised_within_each_before_they_are_calibrated(planned, tmp_path, few_are_enough):
    from stitchkit.studies.named_encoders import NamedEncoders
    from stitchkit.studies.plans import read_plan
    from stitchkit.studies.study_data import StudyData

    path = planned(data="folds = 3")
    run(path, tmp_path / "out")
    data = StudyData.of(read_plan(path), NamedEncoders(device="cpu"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "cells.jsonl").read_text().splitlines()]
    key = next(line["key"] for line in lines if line["method"] == "ridge")
    values = np.load(tmp_path / "out" / "scores" / f"{key}.npy")
    for part in range(3):
        rows = data.fold_of_test == part
        values[rows] = (values[rows] - values[rows].mean(axis=0)) / values[rows].std(axis=0)
    test = data.test.of_classes(JUDGED)
    literal = cross_fitted(sk.Scores(values, "logit", test.ids, JUDGED), test, replicates=60).to_dict()
    found = numbers_of(tmp_path / "out")["close_up"]
    assert nested(literal["reliability"], found["reliability"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "scores of each fold standardised" in page
    assert "that of the first fold" in page


def test_constant_scores_stay_constant():
    from stitchkit.evaluation.scores.truth import standardise_within

    scores = np.full((9, 2), 0.1) * np.asarray([1, 3])
    assert not standardise_within(scores, np.repeat(range(3), 3)).any()


def test_the_page_says_that_it_shows_the_first_draw(planned, tmp_path, few_are_enough):
    run(planned(grid='solvers = ["ridge"]\nanchors = [30]\ndraws = 2'), tmp_path / "out")
    assert "first of 2 draws of anchors" in (tmp_path / "out" / "report.html").read_text()
