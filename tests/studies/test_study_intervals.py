"""Intervals and p-values of a study: measures of classes by patient, draws of anchors averaged for each."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from phantom_studies import JUDGED, LoadedOnce, run

from stitchkit.core.scores import Labels
from stitchkit.evaluation.scores.evaluate import PROBE
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_differences,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)
from stitchkit.metrics.average_precision_intervals import PrecisionPulls, macro_precision_interval
from stitchkit.metrics.class_means import ClassMeans, recalls_and_f1
from stitchkit.metrics.multiplicity import holm
from stitchkit.studies.judges import ClassJudge, PairJudge, Share
from stitchkit.studies.plans import read_plan
from stitchkit.studies.row_measures import RowMeasures
from stitchkit.studies.study_data import StudyData


@pytest.fixture
def pulls_of(tmp_path):
    """Pulls of a method in a study that ran into ``out``, from the scores of its cells, by default of AUROC."""

    def pulls(path, method, measure=AurocPulls):
        test = StudyData.of(read_plan(path), LoadedOnce(device="cpu")).test.of_classes(JUDGED)
        lines = [json.loads(line) for line in (tmp_path / "out" / "cells.jsonl").read_text().splitlines()]
        keys = [line["key"] for line in lines if line["method"] == method]
        scores = [np.load(tmp_path / "out" / "scores" / f"{key}.npy") for key in keys]
        return [measure.of(one, test.values, test.groups) for one in scores]

    return pulls


def test_draws_of_anchors_are_averaged_for_each_patient(planned, tmp_path, pulls_of):
    path = planned(grid='solvers = ["ridge"]\nanchors = [30]\ndraws = 3')
    found = run(path, tmp_path / "out")
    (row,), (probe,) = found.of("ridge", 30), found.of(PROBE, 30)
    each, others = pulls_of(path, "ridge"), pulls_of(path, PROBE)
    assert len(each) == len(others) == 3
    mean, other = AurocPulls.mean_of(each), AurocPulls.mean_of(others)
    assert list(row.classes.values()) == auroc_intervals(mean)
    assert (row.macro, probe.macro) == (macro_auroc_interval(mean), macro_auroc_interval(other))
    assert row.draws == pytest.approx([one.value.mean() for one in each])
    precise = PrecisionPulls.mean_of(pulls_of(path, "ridge", PrecisionPulls))
    assert row.measures["average_precision"] == macro_precision_interval(precise)
    gap = macro_auroc_difference(mean, other)
    assert (row.gaps[PROBE].value, row.gaps[PROBE].p) == (gap.interval, gap.p)
    apart = auroc_differences(mean, other)
    assert [one.gap for one in found.findings] == [one.interval for one in apart]
    assert [one.p for one in found.findings] == pytest.approx(holm(np.asarray([one.p for one in apart])))


def test_another_number_of_resamples_changes_no_measure_of_classes(planned, tmp_path):
    path = planned()
    first = run(path, tmp_path / "out")
    path.write_text(path.read_text().replace("replicates = 60", "replicates = 20"))
    again = run(path, tmp_path / "out")
    for one, other in zip(first.rows, again.rows, strict=True):
        assert (one.macro, one.classes, one.gaps) == (other.macro, other.classes, other.gaps)
        assert one.measures == other.measures


@pytest.fixture
def rare_nodules(films, tmp_path):
    """The films of the other tests, with nodules in four test patients alone."""
    shutil.copytree(films, tmp_path / "rare")
    with (films / "manifest.csv").open(newline="") as file:
        head, *rows = list(csv.reader(file))
    nodule, split, patient = (head.index(name) for name in ("nodule", "split", "patient"))
    ill = [row for row in rows if row[split] == "test" and row[nodule] == "1"]
    kept = sorted({row[patient] for row in ill})[:4]
    for row in ill:
        row[nodule] = str(int(row[patient] in kept))
    with (tmp_path / "rare" / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return tmp_path / "rare"


def test_a_class_of_few_patients_has_no_interval_and_no_p_value(planned, films, rare_nodules, tmp_path):
    path = planned()
    path.write_text(path.read_text().replace(str(films), str(rare_nodules)))
    found = run(path, tmp_path / "out")
    few = {one.label: one for one in found.findings if one.patients < 5}
    assert list(few) == ["nodule"]
    assert few["nodule"].patients == 4
    for one in found.findings:
        bare = one.label in few
        assert one.value.has_ends == one.gap.has_ends == (not bare)
        assert np.isnan(one.p) == bare
        assert one.positives >= one.patients
    for row in found.rows:
        assert row.macro.has_ends
        assert {label for label, one in row.classes.items() if not one.has_ends} == set(few)
    note = next(note for note in found.notes if note.startswith("no interval where"))
    assert all(f"{label} ({one.patients} positive patients)" in note for label, one in few.items())
    page = (tmp_path / "out" / "report.html").read_text()
    assert "nan" not in page.split("<body>")[1].lower()
    first = next(iter(few.values()))
    assert f">{first.positives} of {first.patients} patients<" in page
    numbers = json.loads((tmp_path / "out" / "results.json").read_text())
    told = next(one for one in numbers["findings"] if one["label"] == first.label)
    assert (told["p"], told["value"]["low"], told["patients"]) == (None, None, first.patients)


@pytest.fixture
def few_carriers(films, tmp_path):
    """The films of the other tests, with all findings of the test in the same four patients."""
    shutil.copytree(films, tmp_path / "few")
    with (films / "manifest.csv").open(newline="") as file:
        head, *rows = list(csv.reader(file))
    split, patient = head.index("split"), head.index("patient")
    tested = [row for row in rows if row[split] == "test"]
    kept = sorted({row[patient] for row in tested})[:4]
    for row in tested:
        for name in JUDGED:
            row[head.index(name)] = str(int(row[patient] in kept))
    with (tmp_path / "few" / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return tmp_path / "few"


def test_means_that_four_patients_carry_have_no_interval_and_no_p_value(planned, films, few_carriers, tmp_path):
    path = planned()
    path.write_text(path.read_text().replace(str(films), str(few_carriers)))
    found = run(path, tmp_path / "out")
    assert any(row.gaps for row in found.rows)
    for row in found.rows:
        assert not row.macro.has_ends
        assert not row.measures["average_precision"].has_ends
        assert np.isfinite([row.macro.value, row.measures["average_precision"].value]).all()
        for gap in row.gaps.values():
            assert not gap.value.has_ends
            assert np.isnan(gap.p)
    assert any(note.startswith("no interval of means") and "4 patients" in note for note in found.notes)
    assert not any("SHORTCUT" in note or "not above chance" in note for note in found.notes)
    assert "nan" not in str(found).lower()
    assert "nan" not in (tmp_path / "out" / "report.html").read_text().split("<body>")[1].lower()
    numbers = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {row["macro"]["low"] for row in numbers["rows"]} == {None}


@pytest.mark.parametrize(("people", "ends"), [(4, False), (5, True)])
def test_rows_of_partners_follow_the_same_rule(people, ends):
    judge = PairJudge(people)
    ranks = np.stack([np.arange(people) % 3 + 1, np.ones(people)], axis=1).astype(float)
    shares = {name: Share(one.won, one.of) for name, one in judge.shares(ranks).items()}
    rows = {("s", "t", name, 10): shares for name in ("one", "other")}
    nothing, draws = {row: {} for row in rows}, dict.fromkeys(rows, ())
    found = RowMeasures(judge, nothing, {}, nothing, rows, draws, complete=np.empty(0, dtype=bool), candidates=100)
    row, other = rows
    gap = found.gap(row, other)
    assert {found.interval(row, name).has_ends for name in shares} == {ends}
    assert [one.has_ends for one in found.columns(row).values()] == [ends, ends]
    assert (gap.value.has_ends, np.isnan(gap.p)) == (ends, not ends)


def test_one_class_an_item_has_balanced_accuracy_and_macro_f1_by_patient():
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(3), 8)
    labels = Labels(np.eye(3)[truth], [f"film{i}" for i in range(24)], ("a", "b", "c"), np.arange(24) // 2)
    judge = ClassJudge.of(labels, multiclass=True, min_positives=2)
    each = [np.eye(3)[truth] + rng.normal(size=(24, 3)) for _ in range(2)]
    means = [judge.means(values) for values in each]
    assert list(means[0]) == ["average_precision", "balanced_accuracy", "f1"]
    for number, name in enumerate(("balanced_accuracy", "f1")):
        literal = [recalls_and_f1(one.argmax(axis=1), truth, 3, np.arange(24) // 2)[number] for one in each]
        found = ClassMeans.mean_of([one[name] for one in means]).interval()
        assert found == ClassMeans.mean_of(literal).interval()
        assert found.value == pytest.approx(np.mean([one.value.mean() for one in literal]))
    parts = ClassJudge.of(labels, multiclass=True, min_positives=2, folds=np.arange(24) % 2)
    assert list(parts.means(each[0])) == ["balanced_accuracy", "f1"]
