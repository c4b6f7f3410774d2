"""``stitchkit diagnose``: from files of embeddings and from encoders."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from crafted import edited

import stitchkit as sk
from stitchkit.storage.embeddings import read_embeddings, write_embeddings


def fine(done):
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return done


@pytest.fixture(scope="module")
def files(cli, world, tmp_path_factory):
    """Embeddings of the anchors in both spaces, and the alignment between them."""
    folder = tmp_path_factory.mktemp("diagnosed")
    paths = [folder / "images.safetensors", folder / "texts.safetensors"]
    for encoder, path in zip((world.quick, world.quick_text), paths, strict=True):
        fine(cli("embed", encoder, world.anchors, "--out", path))
    fine(cli("align", *paths, "--anchors", world.anchors, "--solver", "ridge", "--out", folder / "map"))
    return folder / "map", *paths


def test_a_page_and_its_numbers_are_written(cli, files, world, tmp_path):
    out = tmp_path / "page"
    done = fine(cli("diagnose", *files, "--anchors", world.anchors, "--out", out))
    assert "taken to be the anchors" in done.out
    assert done.err == "judging 40 pairs\n"
    assert done.out.endswith(f"wrote {out / 'diagnosis.html'}\n")
    numbers = json.loads((out / "diagnosis.json").read_text())
    assert (numbers["n"], numbers["groups"], numbers["coverage"]) == (40, 20, None)
    again = cli("diagnose", *files, "--anchors", world.anchors, "--out", out)
    assert again.code == 2
    assert "not empty" in again.err
    fine(cli("diagnose", *files, "--anchors", world.anchors, "--out", out, "--overwrite"))


def test_the_numbers_are_those_of_the_library(cli, files, tmp_path):
    done = fine(cli("diagnose", *files, "--out", tmp_path / "page", "--replicates", 50, "-k", 5, "--json"))
    alignment = sk.align(*map(read_embeddings, files[1:]), solver="ridge", groups=None)
    expected = sk.diagnose(alignment, *map(read_embeddings, files[1:]), k=5, replicates=50)
    assert done.json["before"]["overlap"]["value"] == expected.before.overlap.value
    assert done.json["out"] == str(tmp_path / "page")


def table_of(path, world, rows):
    with world.anchors.open() as file:
        lines = list(csv.reader(file))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([lines[0], *(lines[1 + row] for row in rows)])
    return path


def test_held_out_pairs_are_judged_beside_the_anchors(cli, files, world, tmp_path):
    anchors = table_of(tmp_path / "anchors.csv", world, range(24))
    fresh = table_of(tmp_path / "fresh.csv", world, range(24, 40))
    fine(cli("align", *files[1:], "--anchors", anchors, "--solver", "ridge", "--out", tmp_path / "map"))
    args = ("--anchors", anchors, "--test", fresh, "--json", "--replicates", 20)
    done = fine(cli("diagnose", tmp_path / "map", *files[1:], *args, "--out", tmp_path / "page"))
    assert (done.json["pairs"], done.json["n"]) == ("held-out", 16)
    first, second = done.json["audit"]
    assert first == "no patient has both anchors and held-out pairs"
    assert second.startswith(f"by id and patient, none of these pairs is among the anchors of {tmp_path / 'map'};")
    assert not any("stand in" in note for note in done.json["notes"])


def test_prompts_come_from_a_file_of_embeddings(cli, files, tmp_path):
    texts = read_embeddings(files[2])
    named = sk.Embeddings(texts.vectors[:2], ["effusion", "clear"], texts.space)
    path = write_embeddings(tmp_path / "prompts.safetensors", named)
    done = fine(cli("diagnose", *files, "--prompts", path, "--out", tmp_path / "page", "--json"))
    assert [one["name"] for one in done.json["coverage"]] == ["effusion", "clear"]
    wrong = write_embeddings(tmp_path / "wrong.safetensors", sk.Embeddings(np.ones((1, 3)), ["a"], sk.Space("b", 3)))
    refused = cli("diagnose", *files, "--prompts", wrong, "--out", tmp_path / "other")
    assert refused.code == 2
    assert not (tmp_path / "other").exists()


def test_a_prompt_set_needs_an_encoder_that_reads_it(cli, files, world, tmp_path):
    refused = cli("diagnose", *files, "--prompts", world.prompts, "--out", tmp_path / "page")
    assert refused.code == 2
    assert "names no target encoder" in refused.err


def test_encoders_are_diagnosed_on_a_table_with_prompts_by_class(cli, world, tmp_path):
    args = (world.quick, world.quick_text)
    fine(cli("align", *args, "--anchors", world.anchors, "--solver", "ridge", "--out", tmp_path / "map"))
    rest = ("--anchors", world.anchors, "--prompts", world.prompts, "--json", "--out", tmp_path / "page")
    done = fine(cli("diagnose", tmp_path / "map", *args, *rest))
    assert [one["name"] for one in done.json["coverage"]] == ["effusion", "edema"]
    shown = (tmp_path / "page" / "diagnosis.html").read_text()
    for one in done.json["coverage"]:  # counted in the texts of the table
        assert one["covered"] is (one["mentions"] > 0)
    assert "said in anchor texts" in shown
    assert "heart large" not in (tmp_path / "page" / "diagnosis.html").read_text()
    bare = cli("diagnose", tmp_path / "map", *args, "--out", tmp_path / "other")
    assert bare.code == 2
    assert "--anchors CSV" in bare.err


def test_a_dry_run_loads_nothing_and_writes_nothing(cli, world, files, tmp_path, no_models):
    args = (world.quick, world.quick_text, "--anchors", world.anchors, "--out", tmp_path / "page", "--dry-run")
    done = fine(cli("diagnose", files[0], *args))
    assert "dry run" in done.out
    assert not (tmp_path / "page").exists()


def test_files_of_another_space_are_refused_before_any_work(cli, files, tmp_path):
    refused = cli("diagnose", files[0], files[2], files[1], "--out", tmp_path / "page")
    assert refused.code == 2
    assert "the alignment in" in refused.err


def test_held_out_pairs_that_are_anchors_are_refused(cli, files, world, tmp_path, no_models):
    args = ("diagnose", *files, "--out", tmp_path / "page")
    done = cli(*args, "--anchors", world.anchors, "--test", world.anchors)
    assert done.code == 4
    assert "40 items are both anchors and held-out pairs" in done.err
    part = table_of(tmp_path / "part.csv", world, range(30, 40))
    done = cli(*args, "--test", part)
    assert done.code == 4
    assert "fitted on 10 of these items and 5 of these patients" in done.err
    assert "judge them as --anchors" in done.err


def test_pairs_that_are_no_anchors_are_not_called_the_anchors(cli, files, world, tmp_path, no_models):
    anchors = table_of(tmp_path / "anchors.csv", world, range(24))
    fresh = table_of(tmp_path / "fresh.csv", world, range(24, 40))
    some = table_of(tmp_path / "some.csv", world, range(20, 32))
    folder = tmp_path / "map"
    fine(cli("align", *files[1:], "--anchors", anchors, "--solver", "ridge", "--out", folder))
    line = ("diagnose", folder, *files[1:], "--replicates", 20, "--json")
    for table, more in ((fresh, ()), (fresh, ("--test", some))):
        done = cli(*line, "--anchors", table, *more, "--out", tmp_path / "page")
        assert done.code == 2
        assert f"0 of 16 of these pairs are anchors of {folder}. Did you mean --test?" in done.err
    done = fine(cli(*line, "--anchors", some, "--out", tmp_path / "page"))
    assert done.json["audit"] == [f"4 of 12 of these pairs are anchors of {folder}"]
    done = fine(cli(*line, "--anchors", anchors, "--out", tmp_path / "all"))
    assert done.json["audit"] == []
    done = fine(cli(*line, "--out", tmp_path / "files"))  # all 40 pairs of the files
    assert done.json["audit"] == [f"24 of 40 of these pairs are anchors of {folder}"]


def test_a_folder_that_cannot_know_its_anchors_refuses_none(cli, files, world, tmp_path):
    line = ("diagnose", files[0], *files[1:], "--anchors", world.anchors, "--replicates", 20, "--json", "--out")
    few = tmp_path / "few"
    shutil.copytree(files[0], few)
    edited(few, lambda config: config["record"]["anchor_hashes"].update(ids="0" * 16 * 30))  # of 40
    line = ("diagnose", few, *line[2:])
    done = fine(cli(*line, tmp_path / "sampled"))
    assert done.json["audit"] == [f"{few} keeps 30 of 40 hashes of its items: that these are its anchors is not sure"]
    bare = tmp_path / "bare"
    shutil.copytree(files[0], bare)
    edited(bare, lambda config: config["record"].pop("anchor_hashes"))
    done = fine(cli("diagnose", bare, *line[2:], tmp_path / "page"))
    assert done.json["audit"] == []


@pytest.fixture
def pooled(world, tmp_path):
    """Prompts with a finding that no anchor mentions, and a table of unlinked texts that do."""
    prompts = tmp_path / "three.json"
    named = {"effusion": "effusion", "cardiomegaly": "large", "congestion": "congestion"}
    prompts.write_text(json.dumps({name: {"positive": [word]} for name, word in named.items()}))
    rows = [[f"r{i}", "congestion and effusion" if i % 3 else "large" if i % 2 else "clear"] for i in range(60)]
    with (tmp_path / "pool.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *rows])
    return prompts, tmp_path / "pool.csv"


def test_a_pool_of_texts_shows_the_company_of_a_finding_that_no_anchor_mentions(cli, world, pooled, tmp_path):
    args = (world.quick, world.quick_text)
    fine(cli("align", *args, "--anchors", world.anchors, "--solver", "ridge", "--out", tmp_path / "map"))
    rest = ("--anchors", world.anchors, "--prompts", pooled[0], "--groups", "patient")
    shown = fine(cli("diagnose", tmp_path / "map", *args, *rest, "--pool", pooled[1], "--out", tmp_path / "page"))
    assert "congestion: 40 pool texts, 0 of them without any anchored finding; mentioned more often" in shown.out
    assert "congestion by association" in (tmp_path / "page" / "diagnosis.html").read_text()
    assert "congestion and effusion" not in (tmp_path / "page" / "diagnosis.html").read_text()
    (one,) = [
        one["association"]
        for one in json.loads((tmp_path / "page" / "diagnosis.json").read_text())["coverage"]
        if one["association"]
    ]
    assert (one["finding"], one["mentions"], one["company"]) == ("congestion", 40, ["effusion"])


def test_a_pool_needs_words_to_search_for_and_the_anchors_texts(cli, world, files, pooled, tmp_path):
    args, out = (world.quick, world.quick_text), ("--out", tmp_path / "page", "--pool", pooled[1])
    for rest, said in (
        (("--anchors", world.anchors), "--prompts NAME"),
        (("--test", world.anchors, "--prompts", pooled[0]), "--anchors CSV"),
    ):
        refused = cli("diagnose", files[0], *args, *rest, *out)
        assert refused.code == 2
        assert said in refused.err
    empty = tmp_path / "empty.txt"
    empty.write_text("clear lungs\n")
    rest = ("--anchors", world.anchors, "--prompts", pooled[0], "--pool", empty, "--out", tmp_path / "page")
    refused = cli("diagnose", files[0], *args, *rest)
    assert refused.code == 4
    assert "congestion: none of 1 pool text mentions it in the words of the prompts" in refused.err
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("table", ["--anchors", "--test"])
def test_patients_of_the_one_table_that_is_given_are_read(cli, world, files, tmp_path, table):
    rows = table_of(tmp_path / "anchors.csv", world, range(24))
    fresh = table_of(tmp_path / "fresh.csv", world, range(24, 40))
    fine(cli("align", *files[1:], "--anchors", rows, "--solver", "ridge", "--out", tmp_path / "map"))
    args = (table, rows if table == "--anchors" else fresh, "--groups", "patient", "--replicates", 20, "--json")
    done = fine(cli("diagnose", tmp_path / "map", *files[1:], *args, "--out", tmp_path / "page"))
    assert done.json["groups"] == (12 if table == "--anchors" else 8)
    refused = cli("diagnose", *files, "--groups", "patient", "--out", tmp_path / "other")
    assert refused.code == 2
    assert "--groups names a column of the anchors' table, and none is given" in refused.err
