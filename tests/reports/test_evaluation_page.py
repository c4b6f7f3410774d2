"""The page of an evaluation: every number it shows is the evaluation's, what is loud comes first, names are escaped."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
import stitchkit.reports
from stitchkit.core.errors import InputError
from stitchkit.core.scores import Provenance
from stitchkit.metrics.reliability import Bin, reliability_curve
from stitchkit.reports.evaluation_page import write_evaluation
from stitchkit.reports.figures import PANELS, pooled_bins, reliability_figures
from stitchkit.reports.pages import wrapped_command

CLASSES = ("Edema", "Mass <b>")


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    truth = (rng.random((400, 2)) < 0.4).astype(float)
    ids = np.asarray([f"f{i}" for i in range(400)])
    room = np.where(truth[:, 0] == 1, "east", "west")
    labels = sk.Labels(truth, ids, CLASSES, [f"p{i // 2}" for i in range(400)], {"room": room})
    scores = sk.Scores(truth + rng.normal(size=(400, 2)), "logit", ids, CLASSES)

    def part(rows):
        return sk.Scores(scores.values[rows], "logit", ids[rows], CLASSES), labels.take(np.arange(400)[rows])

    known, test = part(slice(100, 250)), part(slice(250, 400))
    return sk.evaluate(test[0], labels, anchors=ids[:100], metadata=("room",), calibration=sk.calibrate(*known),
                       thresholds=sk.choose_thresholds(*known, replicates=20), replicates=50)  # fmt: skip


def test_the_page_shows_the_evaluation(found, tmp_path):
    page = write_evaluation(found, tmp_path / "page", title="Mine & yours", command="stitchkit evaluate x").read_text()
    assert f"{found.main.macro.value:.3f}" in page
    for one in found.methods:
        assert one.name in page
        assert f"{one.macro.low:.3f} – {one.macro.high:.3f}" in page
    assert f"{found.decisions['Edema'].threshold:.4g}" in page
    assert "Calibration (predicted probability / observed frequency)" in page
    assert "Mine &amp; yours" in page
    assert "Mass &lt;b&gt;" in page
    assert "Mass <b>" not in page
    assert "stitchkit evaluate x" in page
    first, _, rest = page.partition("Comparison with baselines")
    assert "SHORTCUT" in first
    assert "Not a medical device" in rest
    numbers = json.loads((tmp_path / "page" / "evaluation.json").read_text())
    assert numbers["methods"][0]["macro"]["value"] == found.main.macro.value


def test_plain_scores_have_no_curve_and_no_decisions(found, tmp_path):
    scores = sk.Scores(np.arange(40.0)[:, None], "logit", [f"f{i}" for i in range(40)], ("Edema",))
    plain = sk.evaluate(scores, sk.Labels(np.arange(40)[:, None] % 2, scores.ids, ("Edema",)), replicates=20)
    page = write_evaluation(plain, tmp_path / "page").read_text()
    assert "Calibration (" not in page
    assert "Decisions at thresholds" not in page


def test_a_file_in_the_way_is_refused(found, tmp_path):
    (tmp_path / "page").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        write_evaluation(found, tmp_path / "page")
    assert (tmp_path / "page").read_text() == "mine"


def test_what_is_no_number_is_a_dash_and_null(found, tmp_path):
    rng = np.random.default_rng(1)
    truth = (rng.random((120, 1)) < 0.4).astype(float)
    ids = [f"n{i}" for i in range(120)]
    low = sk.Scores(truth + rng.normal(size=(120, 1)) - 50, "logit", ids, ("Edema",))
    known = sk.Scores(low.values + 50, "logit", [f"k{i}" for i in range(120)], ("Edema",))
    thresholds = sk.choose_thresholds(known, sk.Labels(truth, known.ids, ("Edema",)), replicates=10)
    shifted = sk.evaluate(low, sk.Labels(truth, ids, ("Edema",)), thresholds=thresholds, replicates=10)
    assert np.isnan(shifted.decisions["Edema"].measures["ppv"].value)
    page = write_evaluation(shifted, tmp_path / "page").read_text()
    assert "nan" not in page.split("<body>")[1].lower().replace("finance", "")
    assert json.loads((tmp_path / "page" / "evaluation.json").read_text())["decisions"]["Edema"]["ppv"]["value"] is None


def test_thresholds_say_of_which_scores_they_are(found, tmp_path):
    text = str(found)
    line = next(one for one in text.splitlines() if "at its threshold" in one)
    assert "threshold (logits)" in line
    assert f"{found.decisions['Edema'].threshold:.4g}" in text
    assert found.to_dict()["decisions"]["Edema"]["kind"] == "logit"
    page = write_evaluation(found, tmp_path / "page").read_text()
    assert "Thresholds are of logits, not of the probabilities made of them" in page


def test_equal_notes_are_shown_once(found, tmp_path):
    twice = replace(found, notes=("SHORTCUT: mine", "one note", "one note", "SHORTCUT: mine"))
    page = write_evaluation(twice, tmp_path / "page").read_text()
    for text in (str(twice), page):
        assert text.count("one note") == 1
        assert text.count("SHORTCUT: mine") == 1


def test_one_item_is_no_plural(found):
    one = str(replace(found, n=1, patients=1, anchors=1))
    assert "on 1 item (1 patient), 1 anchor;" in one


def test_long_commands_are_wrapped_and_columns_stand_apart():
    folder = Path(stitchkit.reports.__file__).parent / "templates"
    style = (folder / "house.css").read_text()
    (block,) = [line for line in style.splitlines() if line.startswith("pre {")]
    assert "white-space: pre-wrap" in block
    assert "overflow-wrap: anywhere" in block
    for page in folder.glob("*.j2"):
        text = page.read_text()
        assert ".wide" not in text, f"{page.name} hides columns on narrow screens"
        assert text.count("<pre") == 0 or "house.css" in text


def test_patients_stand_beside_images_and_classes_without_an_interval_show_the_value_alone(tmp_path):
    rng = np.random.default_rng(3)
    truth = np.stack([rng.random(200) < 0.4, np.arange(200) < 6], axis=1).astype(float)
    labels = sk.Labels(truth, [f"f{i}" for i in range(200)], ("Edema", "Hernia"), [f"p{i // 2}" for i in range(200)])
    scores = sk.Scores(truth + rng.normal(size=(200, 2)), "logit", labels.ids, labels.classes)
    found = sk.evaluate(scores, labels, min_positives=1, replicates=20)
    page = write_evaluation(found, tmp_path / "page").read_text()
    row = page.partition("<tr><td>Hernia")[2].partition("</tr>")[0]
    assert re.findall(r'data-label="(?:positives|of patients)">(\d+)<', row) == ["6", "3"]
    assert "fewer than 5 positive or negative patients: Hernia (3 positive patients)" in page
    assert "nan" not in page.split("<body>")[1].lower()
    numbers = json.loads((tmp_path / "page" / "evaluation.json").read_text())
    assert numbers["methods"][0]["classes"]["Hernia"]["low"] is None
    assert numbers["positive_patients"] == {"Edema": found.positive_patients["Edema"], "Hernia": 3}
    alone = replace(labels, values=np.stack([truth[:, 0], np.arange(200) < 2], axis=1).astype(float))
    bare = sk.evaluate(scores, alone, others={"twin": scores}, min_positives=1, replicates=20)
    page = write_evaluation(bare, tmp_path / "bare").read_text()
    assert "nan" not in page.split("<body>")[1].lower()
    assert f"{bare.main.macro.value:.3f}</td>" in page


ORIGIN = Provenance(source="demo:general", target="demo:text", map="ridge, alpha 0.1", prompts="mine",
                    prompts_sha256="ab" * 32, anchors="pairs.csv, 200 pairs", anchors_sha256="cd" * 32,
                    date="2024-05-06", command="stitchkit zeroshot <folder>")  # fmt: skip


def facts_of(page):
    names, values = (re.findall(rf"<{tag}>(.*?)</{tag}>", page) for tag in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


def test_the_page_says_what_was_judged(found, tmp_path):
    page = write_evaluation(replace(found, provenance=ORIGIN), tmp_path / "page").read_text()
    facts = facts_of(page)
    assert (facts["Source encoder"], facts["Target encoder"]) == ("demo:general", "demo:text")
    assert facts["Map"] == "ridge, alpha 0.1"
    assert facts["Prompts"] == f"mine (SHA-256 {'ab' * 6})"
    assert facts["Anchors"] == f"pairs.csv, 200 pairs (SHA-256 {'cd' * 6})"
    assert facts["Scored on"] == "2024-05-06"
    assert facts["Scored by"] == "<code>stitchkit zeroshot &lt;folder&gt;</code>"
    assert facts["Items"] == f"{found.n} items, {found.patients} patients"
    assert "<h1>Evaluation of demo:general to demo:text</h1>" in page
    numbers = json.loads((tmp_path / "page" / "evaluation.json").read_text())
    assert numbers["provenance"] == ORIGIN.to_dict()
    assert numbers["date"] == facts["Evaluated on"]


def test_scores_of_unknown_origin_are_said_to_be_so(found, tmp_path):
    page = write_evaluation(found, tmp_path / "page").read_text()
    assert facts_of(page)["Origin of the scores"] == "not recorded"
    assert "<h1>Evaluation</h1>" in page
    stale = replace(found, provenance=Provenance(remark="it is of another table"))
    page = write_evaluation(stale, tmp_path / "page").read_text()
    assert facts_of(page)["Origin of the scores"] == "it is of another table"


def test_classes_that_are_not_judged_are_one_table(found, tmp_path):
    reasons = {"Hernia": "2 positives, fewer than 10", "Mass <i>": "no label"}
    page = write_evaluation(replace(found, not_judged=reasons), tmp_path / "page").read_text()
    table = page.partition("<h3>Not judged</h3>")[2].partition("</table>")[0]
    assert table.count("<tr>") == 1 + len(reasons)
    assert "<td>Mass &lt;i&gt;</td><td>no label</td>" in table
    assert page.count("fewer than 10") == 1


def test_every_class_has_a_reliability_figure_of_its_own():
    rng = np.random.default_rng(0)
    curves = {}
    for i in range(PANELS + 3):
        said = rng.random(200)
        curves[f"class {i}"] = reliability_curve(said, (rng.random(200) < said ** (1 + i)).astype(float))
    few = reliability_figures({label: curves[label] for label in list(curves)[:12]})
    assert [label for label, _, _ in few["panels"]] == list(curves)[:12]
    for label, error, _ in few["panels"]:
        gaps = [one.n * abs(one.said - one.seen) for one in curves[label]]
        assert error == pytest.approx(sum(gaps) / 200)
    many = reliability_figures(curves)["panels"]
    assert len(many) == PANELS
    worst = sorted(many, key=lambda one: one[1])[0][1]
    left_out = set(curves) - {label for label, _, _ in many}
    assert max(sum(one.n * abs(one.said - one.seen) for one in curves[label]) / 200 for label in left_out) <= worst


def test_pooled_bins_keep_every_prediction_and_positive():
    rng = np.random.default_rng(1)
    curves = []
    for n in (40, 333, 1000):
        said = rng.beta(1, 4, n)
        curves.append(reliability_curve(said, (rng.random(n) < said).astype(float)))
    pooled = pooled_bins(curves)
    assert len(pooled) <= 10
    assert [one.said for one in pooled] == sorted(one.said for one in pooled)
    for field in ("said", "seen"):
        whole = sum(one.n * getattr(one, field) for curve in curves for one in curve)
        assert sum(one.n * getattr(one, field) for one in pooled) == pytest.approx(whole)
    assert sum(one.n for one in pooled) == 1373
    assert pooled_bins([[Bin(4, 0.5, 0.25)]]) == [Bin(4, 0.5, 0.25)]


@pytest.mark.parametrize(
    "command",
    [
        "stitchkit evaluate 'my scores.csv' --labels=a.csv --metadata age,view --threshold youden -q --report p",
        "stitchkit study " + "x" * 90,
        "stitchkit evaluate s.csv --column 'a \\ b' --labels 'x\ny' --anchors " + "y" * 60,
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="a shell of Unix reads the command")
def test_a_wrapped_command_is_the_same_command(command):
    wrapped = wrapped_command(command)
    read = subprocess.run(["sh", "-c", f"printf '%s\\0' {wrapped}"], capture_output=True, text=True, check=True)
    assert read.stdout.split("\0")[:-1] == shlex.split(command)
    options = [word for word in shlex.split(command) if word.startswith("-")]
    assert len(wrapped.split(" \\\n  ")) == 1 + len(options)
    assert wrapped_command("stitchkit demo --out x") == "stitchkit demo --out x"
    assert wrapped_command("it's no command " + "z" * 90).startswith("it's no")
