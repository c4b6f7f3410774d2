"""The exam on phantoms: the same numbers as by hand, splits that share no patient, and sittings that are kept."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms
from stitchkit.reports.exam_page import write_exam
from stitchkit.tasks import exam as exam_file
from stitchkit.tasks.cards import read_task
from stitchkit.tasks.exam import exam
from stitchkit.tasks.sitting import STRENGTHS

CARD = """
name = "films"
title = "Phantom films"
kind = "classes"
modality = "phantom"
source = "drawn by the tests"
licence = "Apache-2.0"
obtain = "drawn by the tests"
header = "path,text,patient,split"
layout = "table"
classes = {classes}
metric = "auroc"
metadata = ["age"]
prompts = "phantom"
[reader]
text = "text"
patient = "patient"
split = "split"
classes = {classes}
columns = ["age"]
[splits]
train = "train"
test = "test"
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder with a set of films and its card; the first two training films are of patients of the test."""
    data = tmp_path_factory.mktemp("data")
    (data / "films").mkdir()
    drawn = make_phantoms(240, seed=5)
    with (data / "films" / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "text", "patient", "split", "age", *FINDINGS])
        for i in range(len(drawn.images)):
            Image.fromarray(np.asarray(drawn.images[i])).save(data / "films" / f"{i}.png")
            patient = f"p{i}" if i > 1 else f"p{238 + i}"
            table.writerow([f"{i}.png", drawn.reports[i], patient, "train" if i < 140 else "test", i % 7,
                            *drawn.labels[i].astype(int)])  # fmt: skip
    card = data / "films.toml"
    card.write_text(CARD.replace("{classes}", json.dumps(list(FINDINGS))))
    return data, card


@pytest.fixture(scope="module")
def sat(films, tmp_path_factory):
    out = tmp_path_factory.mktemp("sat")
    data, card = films
    found = exam("demo:general", [card], data, out=out, shots=(1, 3), draws=4, store=None, progress=False)
    return found, out


def test_the_probe_is_that_of_the_library_on_training_items_of_other_patients(sat, films):
    data, card = films
    found, _ = sat
    task = read_task(card)
    cohort = sk.read_cohort("table", data / "films", **task.reader)
    rows = np.flatnonzero(cohort.split == "train")[2:]
    encoder = sk.load_encoder("demo:general")
    vectors = sk.embed(encoder, cohort.images, store=None, progress=False)
    probe = sk.fit_probe(vectors.take(rows), cohort.labels.take(rows), strengths=STRENGTHS)
    test = np.flatnonzero(cohort.split == "test")
    judged = sk.evaluate(probe.scores(vectors.take(test)), cohort.labels, progress=False)
    row = found.of("demo:general", "films", "probe")
    assert row.measures["auroc"] == pytest.approx(judged.main.macro)
    facts = found.tasks["films"]
    assert (facts.train, facts.test) == (138, 100)
    assert any("2 training items left out" in note for note in facts.notes)
    assert found.of("demo:general", "films", "probe, leaking items in") is not None


def test_every_way_is_judged_and_an_encoder_without_texts_has_no_zero_shot(sat):
    found, _ = sat
    assert found.ways[:3] == ["probe", "probe, leaking items in", "nearest items"]
    assert found.tasks["films"].chance.value == 0.5
    assert "chance 0.500" in str(found)
    assert "metadata only" in str(found)
    assert [way for way in found.ways if "of each class" in way] == ["1 of each class, draws", "3 of each class, draws"]
    assert not any("zero-shot" in way for way in found.ways)
    assert any("no zero-shot" in note for note in found.notes)
    assert "films (auroc)" in str(found)


def test_a_sitting_is_kept_and_read_back_the_same(sat, films, monkeypatch):
    data, card = films
    found, out = sat
    monkeypatch.setattr(exam_file, "sit", lambda *_: pytest.fail("the encoder sat again"))
    again = exam("demo:general", [card], data, out=out, shots=(1, 3), draws=4, store=None, progress=False)
    assert str(again) == str(found)
    assert again.to_dict() == found.to_dict()


def test_another_encoder_setting_or_label_sits_anew(sat, films, monkeypatch):
    class SatAnewError(Exception):
        pass

    def sit(*_):
        raise SatAnewError

    data, card = films
    _, out = sat
    monkeypatch.setattr(exam_file, "sit", sit)
    for change in ({"encoders": "demo:medical"}, {"seed": 1}, {"shots": (2,)}):
        settings = {"encoders": "demo:general", "shots": (1, 3), "draws": 4, **change}
        with pytest.raises(SatAnewError):
            exam(tasks=[card], data=data, out=out, store=None, progress=False, **settings)


def test_a_card_whose_measure_few_shots_do_not_have_is_printed_and_drawn(films, tmp_path):
    """Nodule or none, judged by accuracy, of which the nearest items have the vote of the twenty."""
    data, _ = films
    lines = (data / "films" / "manifest.csv").read_text().splitlines()
    place = tmp_path / "two"
    shutil.copytree(data / "films", place)
    heading = lines[0].split(",")
    at = heading.index("nodule")
    rows = list(csv.reader(lines[1:]))
    with (place / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "patient", "split", "nodule", "none"])
        table.writerows([row[0], row[2], row[3], row[at], 1 - int(row[at])] for row in rows)
    card = tmp_path / "two.toml"
    text = CARD.replace("{classes}", '["nodule", "none"]').replace(
        'metric = "auroc"', 'metric = "accuracy"\nmulticlass = true'
    )
    for gone in ('prompts = "phantom"\n', 'text = "text"\n', 'columns = ["age"]\n', 'metadata = ["age"]\n'):
        text = text.replace(gone, "")
    card.write_text(text.replace('name = "films"', 'name = "two"'))
    result = exam("demo:general", card, tmp_path, shots=(1, 90), draws=2, store=None, progress=False)
    assert "two (accuracy)" in str(result)
    assert "two (auroc)" in str(result)
    assert any("fewer training items than some of the shots" in note for note in result.tasks["two"].notes)
    page = write_exam(result.to_dict(), tmp_path / "page").read_text("utf-8")
    assert "accuracy" in page
    vectors = sk.embed(sk.load_encoder("demo:general"), sk.read_cohort("table", place, **read_task(card).reader).images,
                       store=None, progress=False)  # fmt: skip
    units = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    truth, train = np.asarray([int(row[at]) for row in rows]), np.arange(2, 140)
    right = []
    for row in range(140, 240):
        near = units[train] @ units[row]
        nearest = np.argsort(-near)[:20]
        weights = np.exp(near[nearest] / 0.07)
        right.append((weights @ truth[train][nearest] > weights.sum() / 2) == truth[row])
    measured = result.of("demo:general", "two", "nearest items").measures["accuracy"].value
    assert measured == pytest.approx(np.mean(right), abs=1e-9)


@pytest.mark.parametrize("shots", ["5", [0], [1.5]])
def test_shots_are_whole_numbers(films, shots):
    data, card = films
    with pytest.raises(InputError, match="shots are whole numbers"):
        exam("demo:general", [card], data, shots=shots)


def test_a_folder_that_holds_something_else_is_refused_before_the_work(films, tmp_path):
    data, card = films
    (tmp_path / "results.json").write_text('{"sittings": {"a": {"rows": 3}}}')
    with pytest.raises(DataError, match="holds no results of an exam"):
        exam("none:such", [card], data, out=tmp_path)
    with pytest.raises(InputError, match="is a file"):
        exam("none:such", [card], data, out=tmp_path / "results.json")


def test_other_pixels_under_the_same_ids_sit_anew(films, tmp_path):
    from stitchkit.tasks.candidates import candidate
    from stitchkit.tasks.exam_log import ExamLog
    from stitchkit.tasks.sitting import ExamSettings
    from stitchkit.tasks.task_data import open_task

    data, card = films
    shutil.copytree(data / "films", tmp_path / "films")
    log, one, settings = ExamLog.of(None), candidate("demo:general"), ExamSettings((1,), 1, 0)
    task = open_task(read_task(card), tmp_path / "films")
    before = log.key(one, task, settings)
    assert log.key(one, task, settings) == before
    Image.new("L", (20, 20)).save(tmp_path / "films" / "150.png")
    assert log.key(one, task, settings) != before


def test_a_stitched_model_is_named_by_text_and_probed_behind_its_map(films, tmp_path):
    data, card = films
    anchors = sk.read_anchors("phantoms-500")
    images, text = sk.load_encoder("demo:general"), sk.load_encoder("demo:text")
    rows = range(120)
    x, y = (sk.embed(one, items.take(np.asarray(rows)), store=None, progress=False)
            for one, items in ((images, anchors.source_items), (text, anchors.target_items)))  # fmt: skip
    alignment = sk.align(x, y, solver=sk.Ridge(0.1), progress=False)
    model = sk.stitch(images, alignment, target_name="demo:text")
    sk.save(model, tmp_path / "stitched")
    found = exam(["demo:general", tmp_path / "stitched"], [card], data, shots=(1,), draws=2, store=None, progress=False)
    name = str(tmp_path / "stitched")
    cohort = sk.read_cohort("table", data / "films", **read_task(card).reader).part("test")
    head = sk.zeroshot(alignment, text, sk.read_prompts("phantom"), store=None)
    vectors = sk.embed(images, cohort.images, store=None, progress=False)
    judged = sk.evaluate(head.scores(vectors), cohort.labels, progress=False)
    assert found.of(name, "films", "zero-shot, ours").measures["auroc"] == pytest.approx(judged.main.macro)
    assert found.of("demo:general", "films", "zero-shot, ours") is None
    probes = [found.of(one, "films", "probe").measures["auroc"].value for one in ("demo:general", name)]
    assert probes[0] != probes[1]


def changed(card, tmp_path, *changes):
    text = card.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "card.toml"
    path.write_text(text)
    return path


def test_groups_are_divided_where_no_split_is_published(films, tmp_path):
    from stitchkit.tasks.task_data import open_task

    data, card = films
    path = changed(card, tmp_path, ('split = "split"\n', ""), ('train = "train"\ntest = "test"', "held = 0.25"))
    task = open_task(read_task(path), data / "films")
    sides = [set(one.labels.groups.tolist()) for one in (task.train, task.test)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == round(0.25 * len(sides[0] | sides[1]))


def test_mistakes_are_named_before_an_encoder_is_loaded(films, tmp_path):
    data, card = films
    with pytest.raises(UnknownNameError, match="'film'"):
        exam("demo:general", ["film"], data)
    with pytest.raises(DataError, match="no task can be sat: films: its data are not there"):
        exam("demo:general", [card], tmp_path)
    with pytest.raises(InputError, match="one name"):
        exam("demo:general", [card, card], data)
    with pytest.raises(InputError, match="needs encoders and tasks"):
        exam([], [card], data)
    with pytest.raises(DataError, match="has no column 'weight'"):
        exam("none:such", [changed(card, tmp_path, ('metadata = ["age"]', 'metadata = ["weight"]'))], data)
    lacking = changed(card, tmp_path, ('classes = ["', 'classes = ["gout", "'), ('prompts = "phantom"\n', ""))
    with pytest.raises(DataError, match="has no class 'gout'"):
        exam("none:such", [lacking], data)


def test_an_encoder_of_texts_is_refused(films):
    data, card = films
    with pytest.raises(InputError, match="reads texts, and the tasks are about images"):
        exam("demo:text", [card], data)


def test_test_items_that_a_map_was_fitted_on_are_named(films, tmp_path):
    data, card = films
    cohort = sk.read_cohort("table", data / "films", **read_task(card).reader)
    rows = np.arange(100, 160)  # twenty of them test items
    images, text = sk.load_encoder("demo:general"), sk.load_encoder("demo:text")
    x, y = (sk.embed(one, items.take(rows), store=None, progress=False)
            for one, items in ((images, cohort.images), (text, cohort.texts)))  # fmt: skip
    alignment = sk.align(x, y, groups=cohort.labels.groups[rows], solver=sk.Ridge(0.1), progress=False)
    model = sk.stitch(images, alignment, target_name="demo:text")
    result = exam(model, [card], data, shots=(), draws=1, store=None, progress=False)
    assert any("LEAKAGE: the map was fitted on 20 of these items" in note for note in result.notes), result.notes


def test_images_in_an_archive_sit_by_a_shipped_card(tmp_path):
    """PneumoniaMNIST's archive in miniature: bright images are pneumonia, so that a probe is right."""
    rng, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 60), ("val", 10), ("test", 40)):
        labels = np.arange(count) % 2
        arrays[f"{split}_images"] = (60 + 90 * labels[:, None, None] + rng.integers(0, 40, (count, 28, 28))).astype(
            np.uint8
        )
        arrays[f"{split}_labels"] = labels[:, None].astype(np.uint8)
    (tmp_path / "pneumoniamnist").mkdir()
    np.savez(tmp_path / "pneumoniamnist" / "pneumoniamnist_224.npz", **arrays)
    result = exam("demo:general", ["pneumoniamnist"], tmp_path, out=tmp_path / "out", shots=(1,), draws=2, store=None,
                  progress=False)  # fmt: skip
    assert result.of("demo:general", "pneumoniamnist", "probe").measures["auroc"].value == 1.0
    assert result.tasks["pneumoniamnist"].test == 40
    assert (tmp_path / "out" / "results.json").is_file()
