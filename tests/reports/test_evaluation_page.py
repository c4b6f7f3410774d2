"""The page of an evaluation: every number it shows is the evaluation's, what is loud comes first, names are escaped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
import stitchkit.reports
from stitchkit.core.errors import InputError
from stitchkit.reports.evaluation_page import write_evaluation

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
    assert "Are the probabilities what they say?" in page
    assert "Mine &amp; yours" in page
    assert "Mass &lt;b&gt;" in page
    assert "Mass <b>" not in page
    assert "stitchkit evaluate x" in page
    first, _, rest = page.partition("Beside what it must be compared with")
    assert "SHORTCUT" in first
    assert "Not a medical device" in rest
    numbers = json.loads((tmp_path / "page" / "evaluation.json").read_text())
    assert numbers["methods"][0]["macro"]["value"] == found.main.macro.value


def test_plain_scores_have_no_curve_and_no_decisions(found, tmp_path):
    scores = sk.Scores(np.arange(40.0)[:, None], "logit", [f"f{i}" for i in range(40)], ("Edema",))
    plain = sk.evaluate(scores, sk.Labels(np.arange(40)[:, None] % 2, scores.ids, ("Edema",)), replicates=20)
    page = write_evaluation(plain, tmp_path / "page").read_text()
    assert "probabilities what they say" not in page
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
    assert "Hernia 6 of 3 patients" in page
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
