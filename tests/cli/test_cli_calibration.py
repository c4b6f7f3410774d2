"""``stitchkit evaluate --calibrate``: probabilities and thresholds from other patients' scores."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from stitchkit.evaluation.scores import thresholds
from stitchkit.metrics.bootstrap import patient_counts

CLASSES = ("Edema", "Mass")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Labels of 300 films of 150 patients, scores of the first 200 for calibration and of the last 100 to judge."""
    folder = tmp_path_factory.mktemp("scores")
    rng = np.random.default_rng(0)
    truth = (rng.random((300, 2)) < 0.4).astype(int)
    margins = np.clip(0.2 * truth + 0.2 * rng.normal(size=(300, 2)), -2, 2)
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "patient", *CLASSES], *([f"f{i}", f"p{i // 2}", *truth[i]] for i in range(300))]
        )
    for name, rows in (("known", range(200)), ("test", range(200, 300)), ("mixed", range(150, 250))):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            lines = [["id", "kind", *CLASSES], *([f"f{i}", "margin", *margins[i]] for i in rows)]
            csv.writer(file).writerows(lines)
    return folder


def judge(cli, files, *more, test="test"):
    return cli("evaluate", files / f"{test}.csv", "--labels", files / "labels.csv", "--replicates", 50, *more)


def test_scores_become_probabilities_with_thresholds(cli, files):
    done = judge(cli, files, "--calibrate", files / "known.csv", "--threshold", "sensitivity=0.9", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["kind"] == "probability"
    assert found["methods"][0]["further"]["brier"]["macro"]["value"] < 0.24
    assert set(found["decisions"]) == set(CLASSES)
    assert found["decisions"]["Edema"]["sensitivity"]["value"] > 0.75
    assert found["reliability"]["Edema"]


def test_either_may_be_left_out(cli, files):
    alone = judge(cli, files, "--calibrate", files / "known.csv", "--threshold", "none", "--json").json
    assert alone["decisions"] == {}
    raw = judge(cli, files, "--calibrate", files / "known.csv", "--calibration", "none", "--json").json
    assert raw["kind"] == "margin"
    assert set(raw["decisions"]) == set(CLASSES)
    assert judge(cli, files, "--json").json["decisions"] == {}


def test_the_tested_patients_are_refused(cli, files):
    done = judge(cli, files, "--calibrate", files / "mixed.csv")
    assert done.code == 4
    assert "both calibration items and test items" in done.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--calibration", "plat"), "nearest: platt"),
        (("--threshold", "yuden"), "nearest: youden"),
        (("--threshold", "sensitivity=high"), "'high' is no number"),
        (("--threshold", "sensitivity"), "takes a share in"),
    ],
)
def test_mistakes_are_named(cli, files, flags, said):
    done = judge(cli, files, "--calibrate", files / "known.csv", *flags)
    assert done.code == 2
    assert said in done.err


def test_a_rule_without_items_to_choose_by_is_refused(cli, files):
    done = judge(cli, files, "--threshold", "youden")
    assert done.code == 2
    assert "--calibrate" in done.err


def test_exclusive_classes_have_an_accuracy(cli, files, tmp_path):
    labels = (files / "labels.csv").read_text().splitlines()
    one = [labels[0], *(",".join([*row.split(",")[:3], str(1 - int(row.split(",")[2]))]) for row in labels[1:])]
    (tmp_path / "labels.csv").write_text("\n".join(one) + "\n")
    done = cli("evaluate", files / "test.csv", "--labels", tmp_path / "labels.csv", "--replicates", 20, "--multiclass",
               "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert 0.5 < done.json["methods"][0]["further"]["accuracy"]["macro"]["value"] < 1


def test_patients_of_the_labels_are_named_without_anchors(cli, files, tmp_path):
    text = (files / "labels.csv").read_text().replace("patient", "subject", 1)
    (tmp_path / "labels.csv").write_text(text)
    given = ("--labels", tmp_path / "labels.csv", "--groups", "subject", "--class", "Edema", "--class", "Mass")
    done = cli("evaluate", files / "test.csv", *given, "--replicates", 20, "--json")
    assert done.code == 0, done.err
    assert done.json["patients"] == 50


@pytest.fixture(scope="module")
def lacking(files, tmp_path_factory):
    """The same with a class ``Rare`` that only test items have, and ``common.csv``, scores of that class alone."""
    folder = tmp_path_factory.mktemp("lacking")
    rng = np.random.default_rng(1)
    rare = [0] * 200 + [int(one) for one in rng.random(100) < 0.3]
    scores = [f"{0.2 * one + 0.1 * rng.normal():.4f}" for one in rare]
    labels = (files / "labels.csv").read_text().splitlines()
    rows = [f"{line},{'Rare' if i == 0 else rare[i - 1]}" for i, line in enumerate(labels)]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    for name in ("known", "test", "mixed"):
        lines = (files / f"{name}.csv").read_text().splitlines()
        at = [int(line.split(",")[0][1:]) for line in lines[1:]]
        both = [f"{lines[0]},Rare", *(f"{line},{scores[i]}" for line, i in zip(lines[1:], at, strict=True))]
        (folder / f"{name}.csv").write_text("\n".join(both) + "\n")
        alone = ["id,kind,Rare", *(f"f{i},margin,{scores[i]}" for i in at)]
        (folder / f"{name}_rare.csv").write_text("\n".join(alone) + "\n")
    return folder


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_class_that_cannot_be_calibrated_is_judged_without(cli, lacking, method):
    flags = ("--calibrate", lacking / "known.csv", "--calibration", method, "--threshold", "sensitivity=0.9")
    done = judge(cli, lacking, *flags, "--json")
    assert done.code == 0, done.err
    found = done.json
    plain = judge(cli, lacking, "--json").json
    assert found["not_calibrated"] == ["Rare"]
    assert set(found["decisions"]) == set(found["reliability"]) == set(CLASSES)
    measures = found["methods"][0]
    assert measures["classes"]["Rare"] == plain["methods"][0]["classes"]["Rare"]  # the order of its scores is kept
    assert set(measures["further"]["brier"]["classes"]) == set(CLASSES)
    classes = [one["value"] for one in measures["further"]["brier"]["classes"].values()]
    assert measures["further"]["brier"]["macro"]["value"] == pytest.approx(np.mean(classes))
    assert any("Rare: 0 positives and 200 negatives" in note for note in found["notes"])
    text = judge(cli, lacking, *flags).out
    (row,) = [line for line in text.splitlines() if line.strip().startswith("Rare  ")]
    assert row.endswith("not calibrated)")


def test_without_a_class_to_calibrate_the_way_out_is_named(cli, lacking):
    done = judge(cli, lacking, "--calibrate", lacking / "known_rare.csv", test="test_rare")
    assert done.code == 4
    assert "Rare: 0 positives and 200 negatives" in done.err
    assert "--calibration none" in done.err


def test_a_share_out_of_range_is_refused_before_classes_are_counted(cli, lacking):
    done = judge(cli, lacking, "--calibrate", lacking / "known_rare.csv", "--threshold", "sensitivity=90")
    assert done.code == 2
    assert "(0, 1]" in done.err


def test_the_tested_items_are_refused_before_classes_are_counted(cli, lacking):
    done = judge(cli, lacking, "--calibrate", lacking / "known_rare.csv", test="known_rare")
    assert done.code == 4
    assert "both calibration items and test items" in done.err
    allowed = judge(cli, lacking, "--calibrate", lacking / "test.csv", "--allow-leakage", "--json")
    assert allowed.code == 0, allowed.err
    assert any("LEAKAGE" in note for note in allowed.json["notes"])


def test_scores_by_association_are_judged_with_a_note_on_their_rivals(cli, tmp_path):
    rng = np.random.default_rng(0)
    truth = np.eye(2)[rng.integers(2, size=60)]
    rows = [f"scan{i},association,{a:.4f},{b:.4f}" for i, (a, b) in enumerate(truth + rng.normal(size=(60, 2)))]
    (tmp_path / "scores.csv").write_text("\n".join(["id,kind,Edema,Mass", *rows]) + "\n")
    rows = [f"scan{i},p{i},{a:.0f},{b:.0f}" for i, (a, b) in enumerate(truth)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,patient,Edema,Mass", *rows]) + "\n")
    line = ("evaluate", tmp_path / "scores.csv", "--labels", tmp_path / "labels.csv", "--replicates", "20")
    done = cli(*line, "--report", tmp_path / "page")
    assert done.code == 0, done.err
    for word in ("without their rivals", "'abnormal' alone", "permuted weights", ".scores(items).evaluate(labels)"):
        assert word in done.out
    assert any("without their rivals" in one.read_text() for one in (tmp_path / "page").glob("*.html"))


def test_thresholds_take_the_number_of_resamples(cli, files, monkeypatch):
    replicates = []

    def count(people, number, *more):
        replicates.append(number)
        return patient_counts(people, number, *more)

    monkeypatch.setattr(thresholds, "patient_counts", count)
    done = judge(cli, files, "--calibrate", files / "known.csv")
    assert done.code == 0, done.err
    assert replicates == [50, 50]


def test_calibration_items_are_matched_by_file_name(cli, files, tmp_path):
    text = (files / "known.csv").read_text().replace("\nf", "\nfilms/f")
    (tmp_path / "known.csv").write_text(text)
    done = judge(cli, files, "--calibrate", tmp_path / "known.csv", "--json")
    assert done.code == 0, done.err
    assert any("matched by file name" in note for note in done.json["notes"])
