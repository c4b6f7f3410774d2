"""Studies from a TOML file on phantom films: the numbers are those of the verbs, and a killed run goes on."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from phantom_studies import JUDGED, TEST, TRAIN, by_hand, manifest, only, run
from PIL import Image

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, LeakageError
from stitchkit.datasets.prompt_sets import subset
from stitchkit.evaluation.scores.evaluate import METADATA, PROBE
from stitchkit.evaluation.scores.metadata import metadata_scores
from stitchkit.evaluation.scores.naive import NAIVE
from stitchkit.studies.methods import OWN, RELATIVE
from stitchkit.studies.named_encoders import NamedEncoders
from stitchkit.studies.study import study
from stitchkit.studies.study_data import _is_one_of

pytestmark = pytest.mark.usefixtures("undrawn")

# numbers


def test_every_row_of_a_stitching_study_is_what_the_verbs_give(planned, vectors, tmp_path):
    labels, general, medical, _, encoders, train, test = vectors
    found = run(planned(grid='solvers = ["ridge", "procrustes", "paper:ortho"]'), tmp_path / "out")
    head, known = encoders["medical"].classifier(), labels.take(train)
    x, y = general.take(train), medical.take(train)
    expected = {OWN: head.scores(medical.take(test))}
    for name, how in (("ridge", {"solver": "ridge"}), ("procrustes", {"solver": "procrustes"}),
                      ("paper:ortho", {"paper": "ortho"})):  # fmt: skip
        fitted = sk.align(x, y, groups=known.groups, purpose="head", head=head, nested=False, progress=False, **how)
        expected[name] = head.scores(fitted.to_target(general.take(test)))
    expected[PROBE] = sk.fit_probe(x, known).scores(general.take(test))
    files = tuple({} for _ in range(2))
    expected[METADATA], _ = metadata_scores(known, labels.take(test), ("view", "sex"), files)
    for method, scores in expected.items():
        if method == METADATA:
            continue  # the study also reads the files' sizes
        (row,) = [one for one in found.rows if one.method == method]
        main = by_hand(scores, labels, test)
        assert row.macro == pytest.approx(main.macro, abs=1e-9), method
        for label, interval in main.classes.items():
            assert row.classes[label] == pytest.approx(interval, abs=1e-9)
    assert {one.method for one in found.rows} == {*expected, NAIVE, RELATIVE}
    assert found.failed == {}


def test_differences_are_paired(planned, vectors, tmp_path):
    labels, general, medical, _, encoders, train, test = vectors
    found = run(planned(), tmp_path / "out")
    (row,) = found.of("ridge")
    head, known = encoders["medical"].classifier(), labels.take(train)
    fitted = sk.align(general.take(train), medical.take(train), groups=known.groups, purpose="head", head=head,
                      solver="ridge", nested=False, progress=False)  # fmt: skip
    others = {"own": only(head.scores(medical.take(test))),
              "probe": sk.fit_probe(general.take(train), known).scores(general.take(test))}  # fmt: skip
    result = sk.evaluate(only(head.scores(fitted.to_target(general.take(test)))), labels.take(test), min_positives=3,
                         replicates=60, others=others)  # fmt: skip
    assert row.gaps[OWN].value == pytest.approx(result.method("own").difference, abs=1e-9)
    assert row.gaps[PROBE].value == pytest.approx(result.method("probe").difference, abs=1e-9)
    assert set(row.gaps) == {OWN, PROBE, METADATA}
    assert {one.label for one in found.findings} == set(row.classes)
    assert all(one.baseline == PROBE for one in found.findings)


def test_a_zero_shot_study_is_what_the_verbs_give(planned, vectors, tmp_path):
    labels, general, _, reports, encoders, train, test = vectors
    found = run(planned("zeroshot"), tmp_path / "out")
    prompts = subset(sk.read_prompts("phantom"), JUDGED)
    by = sk.embed_prompts(encoders["text"], prompts, store=None)
    fitted = sk.align(general.take(train), reports.take(train), groups=labels.take(train).groups, solver="ridge",
                      prompts=by, nested=False, progress=False)  # fmt: skip
    assert fitted.record["chosen_by"].startswith("margin between the prompts of 3 classes")
    head = sk.zeroshot(fitted, encoders["text"], prompts, store=None)
    (row,) = found.of("ridge")
    assert row.macro == pytest.approx(by_hand(head.scores(general.take(test)), labels, test).macro, abs=1e-9)
    assert OWN not in row.gaps


def test_draws_hold_whole_patients_first_and_more_anchors_hold_the_fewer(planned, tmp_path):
    from stitchkit.studies.plans import read_plan
    from stitchkit.studies.study_data import StudyData

    plan = read_plan(planned(grid='anchors = [10, 30, "all"]\ndraws = 2'))
    data = StudyData.of(plan, NamedEncoders(device="cpu"))
    (fold,) = data.folds
    assert set(fold.draws) == {(10, 0), (10, 1), (30, 0), (30, 1), (None, 0)}
    for draw in (0, 1):
        assert set(fold.draws[10, draw]) < set(fold.draws[30, draw]) <= set(fold.anchors)
    assert set(fold.draws[10, 0]) != set(fold.draws[10, 1])
    groups = data.cohort.labels.groups
    split = [patient for patient in np.unique(groups[fold.draws[30, 0]])
             if (groups[fold.draws[30, 0]] == patient).sum() < (groups[fold.anchors] == patient).sum()]  # fmt: skip
    assert len(split) <= 1


@pytest.mark.parametrize("kind", ["stitching", "zeroshot"])
def test_the_number_of_jobs_is_known_before_they_are_made(planned, kind):
    from stitchkit.studies.jobs.stitching import StitchingJobs
    from stitchkit.studies.jobs.zero_shot import ZeroShotJobs
    from stitchkit.studies.plans import read_plan
    from stitchkit.studies.study_data import StudyData

    plan = read_plan(planned(kind, grid='solvers = ["ridge", "procrustes"]\nanchors = [10, "all"]\ndraws = 2'))
    data = StudyData.of(plan, NamedEncoders(device="cpu", store=None))
    study = (StitchingJobs if kind == "stitching" else ZeroShotJobs)(plan, data)
    assert len(list(study.jobs())) == study.count


def test_draws_are_averaged_inside_a_resample(planned, tmp_path):
    found = run(planned(grid='solvers = ["ridge"]\nanchors = [20, 40]\ndraws = 2'), tmp_path / "out")
    (row,) = found.of("ridge", 20)
    assert row.macro.value == pytest.approx(np.mean(row.draws))
    assert len(row.draws) == 2
    assert [one.anchors for one in found.rows if one.method == "ridge"] == [20, 40]


def test_cross_fitted_every_item_is_judged_once_by_other_patients(planned, tmp_path):
    found = run(planned(data="folds = 3"), tmp_path / "out")
    assert found.n == TRAIN + TEST
    assert any("cross-fitted" in note for note in found.notes)
    assert found.of("ridge")[0].macro.value > 0.5


def test_cross_fitted_items_are_ranked_among_those_of_the_same_map(planned, tmp_path):
    from stitchkit.studies.plans import read_plan
    from stitchkit.studies.study_data import StudyData

    path = planned(data="folds = 3")
    found = run(path, tmp_path / "out")
    data = StudyData.of(read_plan(path), NamedEncoders(device="cpu"))
    test, parts = data.test.of_classes(JUDGED), np.repeat(range(3), [len(fold.test) for fold in data.folds])
    lines = [json.loads(line) for line in (tmp_path / "out" / "cells.jsonl").read_text().splitlines()]
    key = next(line["key"] for line in lines if line["method"] == "ridge")
    values = np.load(tmp_path / "out" / "scores" / f"{key}.npy")
    for c, label in enumerate(JUDGED):
        won, pairs = 0.0, 0
        for i in np.flatnonzero(test.values[:, c] == 1):
            rivals = values[(test.values[:, c] == 0) & (parts == parts[i]), c]
            won += (values[i, c] > rivals).sum() + (values[i, c] == rivals).sum() / 2
            pairs += len(rivals)
        assert found.of("ridge")[0].classes[label].value == pytest.approx(won / pairs, abs=1e-12)
    assert any("ranked among its own fold's items" in note for note in found.notes)


def test_rows_are_chosen_by_column(planned, films, tmp_path):
    views = [row["view"] for row in csv.DictReader(manifest(films)) if row["split"] == "test"]
    with planned(data="").open("a") as file:
        file.write('\n[data.where]\nview = "PA"\n')
    found = run(tmp_path / "plan.toml", tmp_path / "out")
    assert found.n == views.count("PA") < TEST
    (tmp_path / "plan.toml").write_text((tmp_path / "plan.toml").read_text().replace('"PA"', '"PB"'))
    with pytest.raises(DataError, match="no row is left where 'view' is one of PB; the column holds AP, PA"):
        run(tmp_path / "plan.toml", tmp_path / "out2")


# going on


class Killed(BaseException):
    pass


@pytest.mark.parametrize("column", [["AP", "NA", "unknown", "", "PA"], [1.0, np.nan, np.nan, np.nan, 2.0]])
def test_rows_without_a_value_are_chosen_by_any_word_for_it(column):
    column = np.asarray(column)
    for word in ("unknown", "", "NA"):
        assert _is_one_of(column, (word,)).tolist() == [False, True, True, True, False]
    assert _is_one_of(column, (str(column[0]), "nan")).tolist() == [True, True, True, True, False]


def test_a_killed_study_goes_on_where_it_was(planned, tmp_path, monkeypatch):
    from stitchkit.studies.cells import CellLog

    plan = planned(grid='solvers = ["ridge", "procrustes"]')
    whole = run(plan, tmp_path / "whole")
    real, done = CellLog.add, []

    def dying(self, *args):
        if len(done) == 3:
            with self.path.open("a") as file:
                file.write('{"key": "torn')  # the kill comes in the middle of a line
            raise Killed
        done.append(args[0])
        real(self, *args)

    monkeypatch.setattr(CellLog, "add", dying)
    with pytest.raises(Killed):
        run(plan, tmp_path / "out")
    assert len(CellLog(tmp_path / "out")) == 3
    again = []
    monkeypatch.setattr(CellLog, "add", lambda self, *args: (again.append(args[0]), real(self, *args)))
    found = run(plan, tmp_path / "out")
    assert not set(again) & set(done)
    assert found.to_dict() == whole.to_dict()
    again.clear()
    run(plan, tmp_path / "out")
    assert again == []


def test_what_changed_is_done_again_and_the_rest_is_not(planned, tmp_path, monkeypatch):
    from stitchkit.studies.cells import CellLog

    run(planned(), tmp_path / "out")
    again, real = [], CellLog.add
    monkeypatch.setattr(CellLog, "add", lambda self, *args: (again.append(args[1].method), real(self, *args)))
    run(planned(grid='solvers = ["ridge", "procrustes"]'), tmp_path / "out")
    assert again == ["procrustes"]
    run(planned(judge="classes = ['edema', 'nodule']"), tmp_path / "out")
    assert set(again[1:]) == {"ridge", OWN, NAIVE, RELATIVE, PROBE, METADATA}


def change_texts(folder, plan):
    rows = list(csv.reader(manifest(folder)))
    for row in rows[1:]:
        row[1] = row[1][::-1]
    write(folder, rows)


def change_metadata(folder, plan):
    rows = list(csv.reader(manifest(folder)))
    for i, row in enumerate(rows[1:]):
        row[4] = "PA" if i % 2 else "AP"
    write(folder, rows)


def change_images(folder, plan):
    for path in folder.glob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def change_head(folder, plan):
    plan.write_text(plan.read_text() + '\n[rename]\nedema = "nodule"\nnodule = "edema"\n')


def write(folder, rows):
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.parametrize(
    ("kind", "change", "method"),
    [("zeroshot", change_texts, "ridge"), ("stitching", change_metadata, METADATA),
     ("stitching", change_images, "ridge"), ("stitching", change_head, "ridge")],
    ids=["texts", "metadata", "images", "rename"],
)  # fmt: skip
def test_a_cell_is_not_used_again_when_what_decides_it_changed(planned, films, tmp_path, kind, change, method):
    own = tmp_path / "films"
    shutil.copytree(films, own)
    plan = planned(kind)
    plan.write_text(plan.read_text().replace(str(films), str(own)))
    run(plan, tmp_path / "out")
    change(own, plan)
    again, fresh = run(plan, tmp_path / "out"), run(plan, tmp_path / "fresh")
    (kept,), (made,) = ([one for one in found.rows if one.method == method] for found in (again, fresh))
    assert kept == made


def test_two_encoders_of_one_short_name_are_told_apart(planned, vectors, tmp_path):
    from stitchkit.studies.results import distinct_names

    names = distinct_names(("timm:r.x#size=224", "timm:r.x#size=512", "hf:org/other"))
    assert len(set(names.values())) == 3
    assert names["hf:org/other"] == "other"
    labels, general, medical, *_ = vectors
    for folder, made in (("a", general), ("b", medical)):
        ids = [str(one) for one in labels.ids]
        (tmp_path / folder).mkdir()
        sk.write_embeddings(tmp_path / folder / "x.safetensors", sk.Embeddings(made.vectors, ids, made.space))
    plan = planned()
    plan.write_text(plan.read_text().replace('["demo:general"]', '["a/x.safetensors", "b/x.safetensors"]'))
    found = run(plan, tmp_path / "out")
    first, second = (found.title(source) for source in found.names if source.endswith("x.safetensors"))
    assert first != second
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"<h3>{first} to medical</h3>" in page
    assert f"<h3>{second} to medical</h3>" in page


def test_a_text_encoder_without_a_fingerprint_reads_the_prompts_it_is_told_to(planned, films, tmp_path):
    """Its vectors stand for its fingerprint: they must be those of the texts that are really used."""
    own = tmp_path / "films"
    shutil.copytree(films, own)
    rows = list(csv.reader(manifest(films)))
    at = [rows[0].index(one) for one in JUDGED[:2]]
    for i, row in enumerate(rows[1:]):
        row[at[0]], row[at[1]] = ("1", "0") if i % 2 else ("0", "1")
    write(own, rows)
    plan = planned("zeroshot", data='texts = "prompts"', classes=JUDGED[:2])
    plan.write_text(plan.read_text().replace(str(films), str(own)))

    @dataclass(frozen=True)
    class Unmarked(NamedEncoders):
        read: tuple = ()

        def encoder(self, name):
            made = super().encoder(name)
            return made if name != "demo:text" else replace(made, space=replace(made.space, fingerprint=None))

        def embed(self, encoder, items):
            if encoder.modality == "text":
                seen.append(set(items.values))
            return super().embed(encoder, items)

    seen = []
    run_with = Unmarked(device="cpu", store=None, progress=False)
    study(plan, tmp_path / "out", loader=run_with, progress=False)
    first = {sk.read_prompts("phantom").positive[one][0] for one in JUDGED[:2]}
    assert seen[0] == first


def test_films_of_the_test_under_other_ids_are_refused(planned, films, tmp_path):
    own = tmp_path / "films"
    shutil.copytree(films, own)
    shutil.copy(own / "train0.png", own / "test0.png")
    plan = planned()
    plan.write_text(plan.read_text().replace(str(films), str(own)))
    with pytest.raises(LeakageError, match="1 test item is an anchor's own file"):
        run(plan, tmp_path / "out")


def test_labels_of_several_classes_have_no_best_one(planned, tmp_path):
    with pytest.raises(DataError, match="do not have exactly one class"):
        run(planned(judge="multiclass = true"), tmp_path / "out")


def test_a_study_in_which_no_map_can_be_fitted_says_why(planned, films, tmp_path):
    rows = list(csv.reader(manifest(films)))
    for row in rows[1:]:
        row[1] = "The same."
    own = tmp_path / "films"
    shutil.copytree(films, own)
    write(own, rows)
    plan = planned("zeroshot")
    plan.write_text(plan.read_text().replace(str(films), str(own)))
    with pytest.raises(DataError, match=r"no map of the study could be worked out\. ."):
        run(plan, tmp_path / "out")


def test_a_method_that_these_anchors_do_not_suit_is_told_and_tried_again(planned, tmp_path, monkeypatch):
    from stitchkit.core.errors import EvidenceError
    from stitchkit.studies import methods

    real = methods.align

    def failing(*args, **how):
        if how.get("solver") == "procrustes":
            raise EvidenceError("not with these")
        return real(*args, **how)

    monkeypatch.setattr(methods, "align", failing)
    plan = planned(grid='solvers = ["ridge", "procrustes"]')
    found = run(plan, tmp_path / "out")
    assert list(found.failed.values()) == ["not with these"]
    assert "demo:general -> demo:medical, procrustes, all anchors" in found.failed
    assert "not worked out" in str(found)
    monkeypatch.setattr(methods, "align", real)
    assert run(plan, tmp_path / "out").failed == {}


# bad input


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("solvers", "solver"), r"no key of \[grid\] in .* is called 'solver'; nearest: .*solvers"),
        (('"ridge"', '"rigde"'), "'rigde'; nearest: ridge"),
        (('kind = "stitching"', 'kind = "stiching"'), "'stiching'; nearest: stitching"),
        (("replicates", "replicate"), "'replicate'; nearest: .*replicates"),
        (('layout = "table"', 'layout = "tabel"'), "tabel"),
        (('split = "split"', 'split = "splits"'), "splits"),
        (('[data]', '[data]\nanchors = "trian"'), "no row is of split 'trian'"),
        (("[grid]", "[grid]\nanchors = [500]"), "500 anchors were asked for; there are 60"),
        (("[grid]", "[grid]\nanchors = [1]"), "a list of whole numbers, 2 or more each"),
        (("[judge]", '[judge]\nclasses = ["odema"]'), "odema"),
        (("min_positives = 3", "min_positives = 300"), "Lower min_positives"),
        (('metadata = ["view", "sex"]', 'metadata = ["wiev"]'), "wiev"),
    ],
)  # fmt: skip
def test_mistakes_in_a_study_file_are_named(planned, tmp_path, change, said):
    plan = planned()
    text = plan.read_text()
    assert change[0] in text
    plan.write_text(text.replace(*change, 1))
    with pytest.raises(sk.StitchError, match=said):
        run(plan, tmp_path / "out")


def test_patients_on_both_sides_are_refused_or_told(planned, films, tmp_path):
    rows = list(csv.reader(manifest(films)))
    rows[1][2] = rows[-1][2]  # a train film gets a test film's patient
    copy = films / "leaky.csv"
    with copy.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    plan = planned()
    plan.write_text(plan.read_text().replace("manifest.csv", "leaky.csv"))
    with pytest.raises(LeakageError, match="1 patient has both anchors and test items"):
        run(plan, tmp_path / "out")
    found = run(plan, tmp_path / "out", allow_leakage=True)
    assert any(note.startswith("LEAKAGE: 1 patient ") for note in found.notes)
    assert "LEAKAGE" in (tmp_path / "out" / "report.html").read_text().split("All methods")[0]


def test_another_study_does_not_take_a_studys_folder(planned, tmp_path):
    run(planned(), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    plan = planned("zeroshot")
    with pytest.raises(InputError, match="holds the study 'phantoms'"):
        run(plan, tmp_path / "out")
    assert (tmp_path / "out" / "report.html").read_text() == page


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", "[" * 99_999, '{"name": 7}', "\ufeff{}", '{"name": 1, "name": 2}']
)
def test_a_damaged_name_of_a_study_is_refused(content, planned, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text(content)
    with pytest.raises(DataError, match=r"study\.json .*the cells beside it stay of use"):
        run(planned(), tmp_path / "out")


def test_anchors_whose_texts_are_labels_are_called_a_label_map(planned, films, tmp_path):
    rows = list(csv.reader(manifest(films)))
    for row in rows[1:]:
        row[1] = "There is a nodule." if row[rows[0].index("nodule")] == "1" else "No nodule."
    with (films / "templates.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    plan = planned("zeroshot", classes=("nodule",))
    plan.write_text(plan.read_text().replace("manifest.csv", "templates.csv"))
    found = run(plan, tmp_path / "out")
    (note,) = [note for note in found.notes if note.startswith("LABEL MAP")]
    assert "are 2 different ones" in note
    (row,) = found.of("ridge")
    key = next(line["key"] for line in map(json.loads, (tmp_path / "out" / "cells.jsonl").read_text().splitlines())
               if line["method"] == "ridge")  # fmt: skip
    assert len(np.unique(np.load(tmp_path / "out" / "scores" / f"{key}.npy"))) > 20  # not a vote
    assert row.macro.value > 0.5
    assert not any(note.startswith("LABEL MAP") for note in run(planned("zeroshot"), tmp_path / "other").notes)


def test_a_folder_of_something_else_is_left_alone(planned, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="no study"):
        run(planned(), tmp_path / "mine")
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_prompts_as_anchor_texts_need_one_class_an_item_and_are_told(planned, tmp_path):
    with pytest.raises(DataError, match="exactly one class an anchor"):
        run(planned("zeroshot", data='texts = "prompts"'), tmp_path / "out")


class Pair:
    """A made-up CLIP-like checkpoint over the demo's encoders: image and text vectors of one width."""

    def __init__(self, inner: NamedEncoders) -> None:
        self.inner, self.store = inner, None
        self.device, self.dtype = inner.device, inner.dtype

    def encoder(self, name):
        if not name.startswith("pair:"):
            return self.inner.encoder(name)
        half = self.inner.encoder("demo:general" if name.endswith("image") else "demo:text")
        return Half(half, name)

    def embed(self, encoder, items):
        if not isinstance(encoder, Half):
            return self.inner.embed(encoder, items)
        found = self.inner.embed(encoder.inner, items)
        return sk.Embeddings(np.asarray(found.vectors)[:, :64], found.ids, encoder.space)


class Half:
    def __init__(self, inner, name):
        self.inner, self.name, self.modality = inner, name, inner.modality
        self.pair = "made up"
        self.space = replace(inner.space, name=name, dim=64, fingerprint=f"{name} of a made-up pair")


def test_a_clip_like_pair_stands_beside_the_maps_and_is_compared_with_them(planned, tmp_path):
    path = planned("zeroshot", grid='solvers = ["ridge"]\nclip = ["pair:one"]\nanchors = [20, "all"]\ndraws = 1')
    found = study(
        path, tmp_path / "out", loader=Pair(NamedEncoders(device="cpu", store=None, progress=False)), progress=False
    )
    (clip,) = [row for row in found.rows if row.method.startswith("CLIP")]
    assert set(clip.gaps) == {METADATA}
    for anchors in (20, None):
        (ridge,) = found.of("ridge", anchors)
        assert set(ridge.gaps) == {PROBE, METADATA, clip.method}
        assert ridge.gaps[clip.method].value.value == pytest.approx(ridge.macro.value - clip.macro.value)
    assert clip.method in (tmp_path / "out" / "report.html").read_text()


def cells(out):
    return [json.loads(line)["key"] for line in (out / "cells.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["stitching", "zeroshot"])
def test_more_anchors_and_draws_are_added_to_what_is_there(planned, tmp_path, kind):
    out = tmp_path / "out"
    run(planned(kind, grid='solvers = ["ridge"]\nanchors = [20]\ndraws = 1'), out)
    first = cells(out)
    run(planned(kind, grid='solvers = ["ridge"]\nanchors = [20, 40]\ndraws = 2'), out)
    second = cells(out)
    assert second[: len(first)] == first
    fits = 3 + (kind == "stitching")  # metadata, probe, ridge, and relative representations
    assert len(second) - len(first) == 3 * fits
    run(planned(kind, grid='solvers = ["ridge"]\nanchors = [20, 40, "all"]\ndraws = 2'), out)
    assert len(cells(out)) - len(second) == fits


def test_another_column_of_images_is_another_study_though_files_look_alike(planned, films, tmp_path):
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    lines = manifest(folder)
    for name in [line.split(",")[0] for line in lines[1:]]:  # uncompressed and of one time, as an archive leaves them
        pixels = np.asarray(Image.open(folder / name))
        for kind, values in (("one", pixels), ("two", 255 - pixels)):
            path = folder / f"{kind}_{name.removesuffix('.png')}.bmp"
            Image.fromarray(values).save(path)
            os.utime(path, (1, 1))
    head, *rows = lines
    names = [line.split(",")[0].removesuffix(".png") for line in rows]
    text = [
        f"id,one,two,{head}",
        *(f"{name},one_{name}.bmp,two_{name}.bmp,{line}" for name, line in zip(names, rows, strict=True)),
    ]
    (folder / "manifest.csv").write_text("\n".join(text) + "\n")
    found = {}
    for kind in ("one", "two"):
        path = planned()
        path.write_text(path.read_text().replace(str(films), str(folder)).replace(
            'text = "text"', f'text = "text"\nimage = "{kind}"\nid = "id"'))  # fmt: skip
        found[kind] = run(path, tmp_path / "out").of("ridge")[0].macro.value
        assert found[kind] == run(path, tmp_path / f"fresh {kind}").of("ridge")[0].macro.value
    assert found["one"] != found["two"]


def test_a_class_that_is_no_longer_judged_leaves_the_kept_resamples(planned, tmp_path):
    every = run(planned(), tmp_path / "out")
    least = min(one.positives for one in every.findings) + 1
    path = planned()
    path.write_text(path.read_text().replace("min_positives = 3", f"min_positives = {least}"))
    fewer = run(path, tmp_path / "out")
    assert len(fewer.of("ridge")[0].classes) < 3
    assert fewer == run(path, tmp_path / "fresh")


def test_folds_too_small_to_rank_in_judge_nothing(planned, tmp_path):
    with pytest.raises(
        DataError,
        match=r"no class can be judged \(1 positive and 1 negative in folds that have both, of 1 and 1 p",
    ):
        run(planned(data="folds = 200"), tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()


def test_with_folds_intervals_are_of_pairs_within_them_and_there_is_no_average_precision(planned, tmp_path):
    from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals
    from stitchkit.studies.plans import read_plan
    from stitchkit.studies.study_data import StudyData

    path = planned(data="folds = 3")
    found = run(path, tmp_path / "out")
    data = StudyData.of(read_plan(path), NamedEncoders(device="cpu"))
    test, parts = data.test.of_classes(JUDGED), data.fold_of_test
    lines = [json.loads(line) for line in (tmp_path / "out" / "cells.jsonl").read_text().splitlines()]
    key = next(line["key"] for line in lines if line["method"] == "ridge")
    values = np.load(tmp_path / "out" / "scores" / f"{key}.npy")
    (row,) = found.of("ridge")
    at = [test.classes.index(label) for label in JUDGED]
    pulls = AurocPulls.of(values[:, at], test.values[:, at], test.groups, parts)
    for literal, (label, one) in zip(auroc_intervals(pulls), row.classes.items(), strict=True):
        truth = test.values[:, test.classes.index(label)]
        own = values[:, test.classes.index(label)]
        above = (own[:, None] > own[None, :]) + (own[:, None] == own[None, :]) / 2
        pairs = (truth[:, None] == 1) & (truth[None, :] == 0) & (parts[:, None] == parts[None, :])
        assert one.value == pytest.approx((above * pairs).sum() / pairs.sum(), abs=1e-12)
        assert one == literal
    assert not (tmp_path / "out" / "resampled").exists()  # nothing but AUROC, which needs no resamples
    assert row.measures == {}
    assert "beside it" not in str(found)
    assert any("no average precision" in note for note in found.notes)


def test_further_measures_are_of_the_most_anchors_with_a_pair_beside(planned, tmp_path):
    path = planned("zeroshot", grid='solvers = ["ridge"]\nclip = ["pair:one"]\nanchors = [20, 40]\ndraws = 1')
    found = study(
        path, tmp_path / "out", loader=Pair(NamedEncoders(device="cpu", store=None, progress=False)), progress=False
    )
    beside = str(found).split("beside it")[1].split("note:")[0]
    assert [line.split()[0] for line in beside.splitlines()[1:] if line] == ["metadata", "probe", "ridge", "CLIP-like,"]
