"""Studies of retrieval: the ranks are those of the verb, and no label is looked at."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from phantom_studies import TEST, run

import stitchkit as sk
from stitchkit.core.errors import DataError
from stitchkit.evaluation.retrieval.evaluate_retrieval import partner_ranks
from stitchkit.metrics.proportions import by_patient, exact_interval, mean_interval
from stitchkit.storage.embeddings import write_embeddings
from stitchkit.studies.judges import PairJudge

undrawn = pytest.mark.usefixtures("undrawn")
PLAN = """
kind = "retrieval"
name = "films to reports"
[data]
layout = "table"
root = "{root}"
{data}
[data.reader]
table = "manifest.csv"
text = "text"
patient = "patient"
split = "split"
classes = []
{reader}
[grid]
sources = ["{source}"]
targets = ["demo:text"]
{grid}
[judge]
"""


@pytest.fixture
def matched(films, tmp_path):
    def make(*, source="demo:medical", data="", reader="", grid='solvers = ["ridge", "procrustes"]'):
        path = tmp_path / "plan.toml"
        path.write_text(PLAN.format(root=films, source=source, data=data, reader=reader, grid=grid))
        return path

    return make


@undrawn
def test_recall_is_that_of_the_verb_both_ways(matched, vectors, tmp_path):
    labels, _, medical, reports, _, train, test = vectors
    found = run(matched(), tmp_path / "out")
    x, y, groups = medical.take(train), reports.take(train), labels.groups[train]
    for name in ("ridge", "procrustes"):
        fitted = sk.align(x, y, groups=groups, solver=name, nested=False, progress=False)
        result = sk.evaluate_retrieval(fitted, medical.take(test), reports.take(test), ks=(1, 5, 10))
        (row,) = found.of(name)
        forward, backward = result.forward.recall, result.backward.recall
        assert row.classes["source to target"].value == pytest.approx(forward[1].value)
        assert row.classes["target to source"].value == pytest.approx(backward[1].value)
        assert row.macro.value == pytest.approx((forward[1].value + backward[1].value) / 2)
        for k in (5, 10):
            assert row.measures[f"recall@{k}"].value == pytest.approx((forward[k].value + backward[k].value) / 2)
        ranks = partner_ranks(fitted, medical.take(test), reports.take(test))
        assert row.measures["mrr"].value == pytest.approx(
            (np.mean(ranks.there.reciprocal) + np.mean(ranks.back.reciprocal)) / 2
        )
    assert found.measure == "recall@1"
    there, back = (way.chance(1) for way in (result.forward, result.backward))
    (note,) = [note for note in found.notes if "gallery of" in note]
    assert f"gallery of {result.forward.gallery} distinct targets of text" in note
    assert f"by chance R@1 is {there:.3f} there and {back:.3f} back" in note


@undrawn
def test_intervals_are_of_shares_over_patients_and_never_of_no_width(matched, vectors, tmp_path):
    labels, *_, test = vectors
    found = run(matched(grid='solvers = ["ridge"]'), tmp_path / "out")
    (row,) = found.rows
    values = np.load(next((tmp_path / "out" / "scores").iterdir()))
    people = labels.groups[test]
    asked = ~np.isnan(values[..., 0])
    above, equal, _ = np.moveaxis(np.nan_to_num(values), -1, 0)
    assert not equal.any()
    values = np.where(asked, above + 1, np.nan)
    of = np.stack([by_patient(column, people) for column in asked.T], axis=1)
    one, five = (np.stack([by_patient(column <= k, people) for column in values.T], axis=1) for k in (1, 5))
    mrr = np.stack([by_patient(np.where(known, 1 / np.where(known, column, 1), 0), people)
                    for column, known in zip(values.T, asked.T, strict=True)], axis=1)  # fmt: skip
    expected = {
        "macro": (row.macro, mean_interval(one, of)), "five": (row.measures["recall@5"], mean_interval(five, of)),
        "mrr": (row.measures["mrr"], mean_interval(mrr, of)),
        "there": (row.classes["source to target"], exact_interval(one[:, 0], of[:, 0])),
        "back": (row.classes["target to source"], exact_interval(one[:, 1], of[:, 1])),
    }  # fmt: skip
    for name, (told, literal) in expected.items():
        assert told == pytest.approx(literal, abs=1e-9), name
        assert told.high > told.low, name


@pytest.mark.parametrize(("people", "ends"), [(4, False), (6, True)])
def test_a_tiny_gallery_has_honest_intervals_or_none_and_no_words_about_classes(films, matched, tmp_path, people, ends):
    import shutil

    folder = tmp_path / "few"
    shutil.copytree(films, folder)
    lines = (folder / "manifest.csv").read_text().splitlines()
    test = [line for line in lines[1:] if ",test," in line][:people]
    text = test[0].split(",")[1]
    same = [line.replace(line.split(",")[1], text) for line in test[:-1]]  # all films but one of one report
    kept = [line for line in lines if ",test," not in line]
    (folder / "manifest.csv").write_text("\n".join([*kept, *same, test[-1]]) + "\n")
    path = matched(grid='solvers = ["ridge"]')
    path.write_text(path.read_text().replace(str(films), str(folder)))
    found = run(path, tmp_path / "out")
    (row,) = found.rows
    whole = [f"recall@{k}" for k in (5, 10) if k >= people]  # of two targets, and so many films
    assert all(row.measures[name] == pytest.approx((1, np.nan, np.nan), nan_ok=True) for name in whole)
    assert any(note.startswith(f"{', '.join(whole)}: 1 by construction") for note in found.notes)
    measured = (row.macro, *row.classes.values(), *(one for name, one in row.measures.items() if name not in whole))
    assert {one.has_ends for one in measured} == {ends}
    assert not ends or all(one.high - one.low > 0.2 for one in measured)
    assert any(note.startswith("no interval of means") for note in found.notes) == (not ends)
    assert not any("class" in note for note in found.notes)


@undrawn
def test_other_solvers_are_compared_with_the_first(matched, tmp_path):
    found = run(matched(grid='solvers = ["ridge", "procrustes"]\nanchors = [20, "all"]\ndraws = 2'), tmp_path / "out")
    assert [set(row.gaps) for row in found.rows] == [set(), set(), {"ridge"}, {"ridge"}]
    ridge, other = found.of("ridge")[0], found.of("procrustes")[0]
    assert other.gaps["ridge"].value.value == pytest.approx(other.macro.value - ridge.macro.value)
    assert [len(row.draws) for row in found.rows] == [2, 1, 2, 1]


@undrawn
def test_targets_that_are_alike_are_one_and_asked_once(matched, films, tmp_path):
    found = run(matched(grid='solvers = ["ridge"]'), tmp_path / "plain")
    whole = len(set(texts_of(films)))
    assert any(f"gallery of {whole} " in note for note in found.notes)
    values = np.load(next((tmp_path / "plain" / "scores").iterdir()))
    assert values.shape == (TEST, 2, 3)
    assert np.isnan(values[:, 1, 0]).sum() == TEST - whole


def texts_of(films):
    with (films / "manifest.csv").open() as file:
        return [row["text"] for row in csv.DictReader(file) if row["split"] == "test"]


@undrawn
def test_two_encoders_of_text_are_matched(matched, tmp_path):
    found = run(matched(source="demo:text", reader='image = "text"\nmodality = "text"\nid = "path"'), tmp_path / "out")
    (row,) = found.of("procrustes")
    assert row.macro.value > 0.9  # an encoder to itself: what is missing are reports that say the same


def test_vectors_that_no_fingerprint_names_are_refused_with_the_command_that_stamps_them(matched, tmp_path):
    np.save(tmp_path / "medical.npy", np.ones((3, 4)))
    with pytest.raises(DataError, match=r"stitchkit import medical\.npy --ids TABLE --fingerprint TEXT"):
        run(matched(source="medical.npy"), tmp_path / "out")


@undrawn
def test_a_file_of_vectors_is_a_side(matched, vectors, tmp_path):
    _, _, medical, *_ = vectors
    write_embeddings(tmp_path / "medical.safetensors", medical)
    by_file = run(matched(source="medical.safetensors"), tmp_path / "file")
    by_name = run(matched(), tmp_path / "name")
    assert [row.macro for row in by_file.rows] == [pytest.approx(row.macro, abs=1e-9) for row in by_name.rows]


@undrawn
def test_folds_take_the_place_of_a_split(matched, tmp_path):
    found = run(matched(data="folds = 4", grid='solvers = ["ridge"]'), tmp_path / "out")
    assert found.n == 110
    values = np.load(next((tmp_path / "out" / "scores").iterdir()))
    assert values.shape == (110, 2, 3)
    assert np.nanmax(values[..., 0]) <= 110 / 4 + 4  # galleries are those of a fold
    assert any("in the first fold" in note for note in found.notes)


def test_the_page_says_what_is_looked_for(matched, tmp_path):
    out = tmp_path / "out"
    found = run(matched(grid='solvers = ["ridge"]\nanchors = [20, "all"]\ndraws = 2'), out)
    page = (out / "report.html").read_text()
    for words in ("of each item the partner", "R@1, mean of both ways", "Each way", "source to target", ">chance<",
                  "The map"):  # fmt: skip
        assert words in page, words
    for words in ("AUROC", "classes judged", "Are the probabilities", "Best and worst"):
        assert words not in page, words
    assert "| R@1, mean of both ways |" in (out / "table.md").read_text()
    assert "R@1, mean of both ways on 50 items" in str(found)
    numbers = json.loads((out / "results.json").read_text())
    assert numbers["measure"] == "recall@1"
    assert numbers["close_up"]["spectrum"]["rank"] > 0


def test_resamples_are_refused_where_nothing_is_resampled(matched, tmp_path):
    path = matched()
    path.write_text(path.read_text() + "replicates = 500\n")
    with pytest.raises(DataError, match=r"called 'replicates' in a study of retrieval: .* Take the line out"):
        run(path, tmp_path / "out")
    assert "replicates" not in run(matched(grid='solvers = ["ridge"]'), tmp_path / "out").settings
    assert not (tmp_path / "out" / "resampled").exists()


@undrawn
def test_equal_scores_count_over_all_their_orders_as_in_the_verb(matched, vectors, tmp_path):
    """A source of one dimension points one of two ways: half of the gallery scores alike."""
    labels, _, medical, reports, _, train, test = vectors
    flat = replace(medical, vectors=medical.vectors[:, :1], space=replace(medical.space, name="flat", dim=1))
    write_embeddings(tmp_path / "flat.safetensors", flat)
    (row,) = run(matched(source="flat.safetensors", grid='solvers = ["procrustes"]'), tmp_path / "out").rows
    fitted = sk.align(flat.take(train), reports.take(train), groups=labels.groups[train], solver="procrustes",
                      nested=False, progress=False)  # fmt: skip
    result = sk.evaluate_retrieval(fitted, flat.take(test), reports.take(test), groups=labels.groups[test])
    for way, found in (("source to target", result.forward), ("target to source", result.backward)):
        assert row.classes[way] == pytest.approx(found.recall[1], abs=1e-12)
        assert 0 < row.classes[way].value < 0.2
    for k in (5, 10):
        both = (result.forward.recall[k].value + result.backward.recall[k].value) / 2
        assert row.measures[f"recall@{k}"].value == pytest.approx(both)


def test_cells_of_earlier_versions_hold_one_rank_a_query():
    old, new = np.array([[3.0, np.nan], [1.0, 12.0]]), np.full((2, 2, 3), np.nan)
    new[0, 0], new[1, 0], new[1, 1] = [2, 0, 1], [0, 0, 1], [11, 0, 1]
    for name, one in PairJudge(2).shares(old).items():
        np.testing.assert_array_equal(one.won, PairJudge(2).shares(new)[name].won)
        np.testing.assert_array_equal(one.of, [[1, 0], [1, 1]])


@pytest.mark.parametrize("key", ["multiclass = true", "min_positives = 3", 'classes = ["edema"]', "images = 3"])
def test_what_is_about_classes_is_refused(matched, tmp_path, key):
    path = matched()
    path.write_text(path.read_text() + key + "\n")
    with pytest.raises(DataError, match=f"no key of \\[judge\\].*'{key.split()[0]}'"):
        run(path, tmp_path / "out")


@undrawn
def test_an_encoder_of_the_wrong_kind_is_named(matched, tmp_path):
    with pytest.raises(DataError, match="source 'demo:text' reads texts, and the items are images"):
        run(matched(source="demo:text"), tmp_path / "out")


def to_old_form(out, methods):
    """The records of ``methods`` as they were before: the chance of a random ranking, here a high one."""
    path = out / "cells.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["method"] in methods:
            del line["record"]["shuffled_chance"], line["sha256"], line["scores_sha256"]
            line["record"]["chance"] = [0.75, 0.85]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def chances_of(found):
    return [note for note in found.notes if "gallery of" in note or "kept from" in note]


@pytest.mark.filterwarnings("ignore:.*written without SHA-256 digests")
@undrawn
def test_kept_cells_with_a_counted_chance_are_not_mixed_with_shuffled_ones(matched, tmp_path):
    out, path = tmp_path / "out", matched(grid='solvers = ["ridge", "procrustes"]\nanchors = [20, 40]\ndraws = 1')
    (gallery,) = chances_of(run(path, out))
    to_old_form(out, ["procrustes"])
    shuffled, kept = chances_of(run(path, out))
    assert "by chance R@1 is 0.0" in gallery
    assert "by chance R@1 is 0.0" in shuffled
    assert kept.startswith("2 of 4 cells were kept from a version that did not count the chance of shuffled pairs")
    to_old_form(out, ["ridge"])
    counted, kept = chances_of(run(path, out))
    assert "by a random ranking R@1 is 0.750 there and 0.850 back" in counted
    assert "by chance" not in counted
    assert kept.startswith("4 of 4 cells")
    assert ">chance<" not in (out / "report.html").read_text()


@undrawn
def test_cells_are_kept_with_the_chance_of_shuffled_pairs(matched, tmp_path):
    run(matched(grid='solvers = ["ridge"]'), tmp_path / "out")
    (line,) = (tmp_path / "out" / "cells.jsonl").read_text().splitlines()
    record = json.loads(line)["record"]
    assert "chance" not in record
    assert len(record["shuffled_chance"]) == 2
