"""Every command on a small world: what it writes, and what it says where."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.solvers import SOLVERS
from stitchkit.storage.embeddings import read_embeddings
from stitchkit.storage.folders import read_folder
from stitchkit.storage.scores import read_scores


def fine(done):
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return done


@pytest.fixture(scope="module")
def stitched(cli, world, tmp_path_factory):
    """A timm encoder driving the classifier of a transformers checkpoint."""
    folder = tmp_path_factory.mktemp("stitched") / "folder"
    done = fine(cli("stitch", world.vision, world.medical, "--anchors", world.anchors, "--out", folder))
    return folder, done


@pytest.fixture(scope="module")
def named(cli, world, tmp_path_factory):
    """An image encoder named by text."""
    folder = tmp_path_factory.mktemp("named") / "folder"
    head = f"prompts:{world.prompts}"
    fine(cli("stitch", world.quick, world.text, "--anchors", world.anchors, "--head", head, "--out", folder))
    return folder


def test_embed_writes_what_the_library_embeds(cli, world, tmp_path):
    out = tmp_path / "vectors.safetensors"
    done = fine(cli("embed", world.quick, world.test, "--out", out))
    expected = sk.embed(sk.load_encoder(world.quick), world.test, store=None)
    assert np.array_equal(read_embeddings(out).vectors, expected.vectors)
    assert "30 images" in done.out


def test_embed_reads_the_column_that_is_named(cli, world, tmp_path):
    out = tmp_path / "vectors.safetensors"
    done = fine(cli("embed", world.quick_text, world.anchors, "--column", "text", "--out", out, "--json"))
    assert done.json["n"] == 40
    assert done.json["dim"] == 7
    assert read_embeddings(out).ids[0] == "anchors0.png"


def test_align_of_two_files_tells_held_out_numbers_with_chance_and_gallery(cli, world, tmp_path):
    files = [tmp_path / "images.safetensors", tmp_path / "texts.safetensors"]
    for encoder, file in zip((world.quick, world.quick_text), files, strict=True):
        fine(cli("embed", encoder, world.anchors, "--out", file))
    done = fine(cli("align", *files, "--anchors", world.anchors, "--out", tmp_path / "map"))
    for word in ("held out", "chance", "galleries of", "20 groups", "-v lists them"):
        assert word in done.out
    assert "degrees of freedom" not in done.out
    more = fine(cli("align", *files, "--anchors", world.anchors, "--out", tmp_path / "verbose", "-v"))
    assert "degrees of freedom" in more.out
    assert done.err == "searching procrustes, ridge, csa, lowdin, reduced_rank on 40 pairs\n"
    config, arrays = read_folder(tmp_path / "map")
    assert "encoder" not in config
    assert arrays["source_map.weight"].shape[0] == 16
    refused = cli("zeroshot", tmp_path / "map", "--items", world.test, "--out", tmp_path / "scores.csv")
    assert refused.code == 2
    assert "names no encoder" in refused.err


def test_align_of_two_encoders_writes_a_folder_that_loads(cli, world, tmp_path):
    out = tmp_path / "map"
    args = ("--anchors", world.anchors, "--purpose", "head", "--solver", "ridge", "--json")
    done = fine(cli("align", world.quick, world.own("small"), *args, "--out", out))
    assert done.json["record"]["solver"] == "ridge"
    assert done.json["record"]["groups"] == 20
    model = sk.load(out, trust_python=[world.quick])
    assert model.head is None
    assert model.embed([np.zeros((8, 8), np.uint8) + 1], store=None).vectors.shape == (1, 5)


def test_align_with_a_fixed_solver_says_that_nothing_was_measured(cli, world, tmp_path):
    args = ("--anchors", world.anchors, "--solver", "least_squares", "--out", tmp_path / "map")
    done = fine(cli("align", world.quick, world.own("small"), *args))
    assert "not measured" in done.out
    assert "chosen by the caller" in done.out


def test_stitch_takes_the_targets_own_classifier(stitched, world):
    folder, done = stitched
    assert "head      linear: no finding, effusion, edema" in done.out
    config, _ = read_folder(folder)
    assert config["record"]["purpose"] == "head"
    assert config["target_encoder"] == world.medical


def test_a_stitched_folder_keeps_facts_about_its_anchors_but_no_path_of_theirs(stitched, world):
    config, _ = read_folder(stitched[0])
    kept = config["anchor_set"]
    assert kept["table"] == "table.csv"
    assert (kept["n"], kept["groups"]) == (40, 20)
    assert len(kept["sha256"]) == 64
    card = (stitched[0] / "README.md").read_text()
    assert "stitchkit stitch timm:local-dir:" in card
    assert str(world.folder) not in json.dumps(kept)


def test_scores_of_a_folder_equal_those_of_the_parts(cli, stitched, world, tmp_path):
    out = tmp_path / "scores.csv"
    done = fine(cli("zeroshot", stitched[0], "--items", world.test, "--out", out))
    assert done.out.splitlines() == [f"wrote {out}: 30 items, 3 classes, logits"]
    found = read_scores(out)
    model = sk.load(stitched[0])
    head = sk.load_encoder(world.medical).classifier()
    vectors = model.alignment.to_target(sk.embed(sk.load_encoder(world.vision), world.test, store=None))
    np.testing.assert_allclose(found.values, head.scores(vectors).values, atol=1e-5)
    assert found.kind == "logit"


def test_stitch_to_text_without_a_head_matches_only(cli, world, tmp_path):
    args = ("--anchors", world.anchors, "--out", tmp_path / "map")
    done = fine(cli("stitch", world.quick, world.quick_text, *args))
    assert "head      none" in done.out
    assert read_folder(tmp_path / "map")[0]["record"]["purpose"] == "match"
    refused = cli("zeroshot", tmp_path / "map", "--items", world.test, "--out", tmp_path / "scores.csv")
    assert refused.code == 2
    assert "has no head" in refused.err


def test_stitch_takes_a_saved_probe_as_head(cli, world, tmp_path):
    target = world.own("small")
    labels = sk.read_labels(world.labels, classes=("effusion",))
    sk.save(sk.fit_probe(sk.embed(sk.load_encoder(target), world.test, store=None), labels), tmp_path / "probe")
    args = ("--anchors", world.anchors, "--head", tmp_path / "probe", "--out", tmp_path / "map", "--json")
    assert fine(cli("stitch", world.quick, target, *args)).json["classes"] == ["effusion"]


def test_a_target_without_a_classifier_gives_a_folder_without_a_head_and_says_why(cli, world, tmp_path):
    args = ("--anchors", world.anchors, "--out")
    done = fine(cli("stitch", world.quick, world.own("small"), *args, tmp_path / "a"))
    assert "no head: encoder" in done.out
    asked = cli("stitch", world.quick, world.own("small"), *args, tmp_path / "b", "--head", "own")
    assert asked.code == 2
    assert not (tmp_path / "b").exists()


def test_zeroshot_of_a_pair_equals_zeroshot_of_its_folder(cli, named, world, tmp_path):
    pair, folder, again = (tmp_path / name for name in ("pair.csv", "folder.csv", "again.csv"))
    given = ("--anchors", world.anchors, "--prompts", world.prompts)
    done = fine(cli("zeroshot", world.quick, world.text, *given, "--items", world.test, "--out", pair))
    fine(cli("zeroshot", named, *world.trusted, "--items", world.test, "--out", folder))
    fine(cli("zeroshot", named, *world.trusted, "--prompts", world.prompts, "--items", world.test, "--out", again))
    assert "held out  mean reciprocal rank" in done.out
    assert read_scores(pair).kind == "margin"
    np.testing.assert_allclose(read_scores(pair).values, read_scores(folder).values, atol=1e-6)
    np.testing.assert_allclose(read_scores(pair).values, read_scores(again).values, atol=1e-6)
    mine, *others = (replace(read_scores(one).provenance, command="") for one in (pair, folder, again))
    assert others == [mine, mine], "the same encoders, map, prompts and anchors by each way"
    assert (mine.prompts, mine.head) == (sk.read_prompts(world.prompts).name, "classes named by text, 2 classes")
    assert mine.anchors == "table.csv, 40 pairs, 20 groups"
    assert mine.anchors_sha256 == read_folder(named)[0]["anchor_set"]["sha256"]


def test_the_page_of_scores_says_what_was_judged_without_a_folder_of_this_machine(cli, stitched, world, tmp_path):
    scores, page = tmp_path / "scores.csv", tmp_path / "page"
    fine(cli("zeroshot", stitched[0], "--items", world.test, "--out", scores))
    record = (tmp_path / "scores.provenance.json").read_text()
    hidden = (str(world.folder), str(tmp_path), str(stitched[0].parent), "scan", "patient")
    assert [word for word in hidden if word in record] == []
    given = ("--labels", world.labels, "--min-positives", "1", "--replicates", "20", "--report", page)
    fine(cli("evaluate", scores, *given))
    text = (page / "report.html").read_text()
    origin = read_scores(scores).provenance
    assert "<h1>Evaluation of scores.csv</h1>" in text
    for word in (origin.source, origin.target, origin.map, origin.anchors_sha256[:12], origin.date):
        assert f"{word}" in text
    scores.write_text(scores.read_text() + "\n")
    shown = cli("evaluate", scores, *given, "--overwrite")
    assert "provenance of another table" in shown.out
    assert "provenance of another table" in (page / "report.html").read_text()


def test_a_folder_named_by_text_keeps_its_prompts(named):
    config, _ = read_folder(named)
    assert config["prompts"]["negative"]["effusion"] == ["no effusion", "lungs clear"]


def test_zeroshot_with_labels_also_evaluates(cli, named, world, tmp_path):
    out = tmp_path / "scores.csv"
    args = ("--items", world.test, "--out", out, "--labels", world.labels, "--anchors", world.anchors)
    rest = ("--min-positives", "5", "--replicates", "50", "--json")
    found = fine(cli("zeroshot", named, *world.trusted, *args, *rest)).json["evaluation"]
    assert [one["name"] for one in found["methods"]] == ["scores", "chance", "probe on the anchors"]
    assert found["anchors"] == 40


@pytest.fixture(scope="module")
def scored(cli, named, world, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "scores.csv"
    fine(cli("zeroshot", named, *world.trusted, "--items", world.test, "--out", out))
    return out


JUDGED = ("--min-positives", "5", "--replicates", "50")


def test_evaluate_prints_the_table_with_every_baseline(cli, scored, world):
    given = ("--items", world.test, "--anchors", world.anchors, "--encoder", world.quick, "--metadata", "age")
    done = fine(cli("evaluate", scored, "--labels", world.labels, *given, *JUDGED))
    for word in ("AUROC over 2 classes on 30 items (15 patients)", "chance", "probe on the anchors", "metadata only"):
        assert word in done.out


def test_min_positives_counts_patients_on_the_command_line(cli, scored, world):
    def judged(least):
        given = ("--labels", world.labels, "--min-positives", str(least), "--replicates", "2")
        return cli("evaluate", scored, *given), cli("evaluate", scored, *given, "--json")

    shown, plain = map(fine, judged(1))
    for label, people in plain.json["positive_patients"].items():
        images = plain.json["positives"][label]
        assert people < images  # two films a patient
        assert f"({images} positive of {people} patients)" in shown.out
    least = min(plain.json["positives"].values())  # images of every class, but not patients
    assert max(plain.json["positive_patients"].values()) < least
    refused, _ = judged(least)
    assert refused.code == 4
    assert f"patients, fewer than {least}" in refused.err
    assert "lower --min-positives" in refused.err


def test_evaluate_names_missing_baselines_in_the_words_of_the_command_line(cli, scored, world):
    done = fine(cli("evaluate", scored, "--labels", world.labels, "--anchors", world.anchors, *JUDGED))
    assert "give --encoder and --items for the vectors of anchors and test items" in done.out
    assert "give --items (image files) or --metadata (columns of the labels)" in done.out


def test_evaluate_of_a_folder_equals_evaluate_of_its_scores(cli, scored, named, world, tmp_path):
    args = ("--labels", world.labels, "--class", "effusion", *JUDGED, "--json")
    of_scores = fine(cli("evaluate", scored, *args)).json
    of_folder = fine(
        cli("evaluate", named, *world.trusted, "--items", world.test, *args, "--out", tmp_path / "e.json")
    ).json
    assert list(of_scores["positives"]) == ["effusion"]
    assert of_folder["methods"] == of_scores["methods"]
    assert json.loads((tmp_path / "e.json").read_text()) == of_folder


def test_evaluate_needs_no_image_of_the_anchors_for_the_leakage_audit(cli, scored, world, tmp_path):
    elsewhere = tmp_path / "table.csv"
    elsewhere.write_text(world.anchors.read_text())
    fine(cli("evaluate", scored, "--labels", world.labels, "--anchors", elsewhere, *JUDGED))


def test_info_tells_what_each_thing_is(cli, stitched, scored, world, tmp_path):
    vectors = tmp_path / "v.safetensors"
    fine(cli("embed", world.quick, world.test, "--out", vectors))
    kinds = {
        world.vision: ("an encoder", "classifier", ["finding 0", "finding 1", "finding 2"]),
        world.quick_text: ("an encoder", "reads", "texts"),
        stitched[0]: ("a stitched folder", "classes", ["no finding", "effusion", "edema"]),
        vectors: ("a file of embeddings", "n", 30),
        "chexpert5": ("a prompt set", "negatives", True),
        world.prompts: ("a prompt set", "classes", ["effusion", "edema"]),
        world.anchors: ("a table", "patients", 20),
        scored: ("a table of scores", "kind", "margin"),
    }
    for what, (kind, key, value) in kinds.items():
        facts = fine(cli("info", what, "--json")).json
        assert facts["is"] == kind
        assert facts[key] == value
        assert kind in fine(cli("info", what)).out


def test_encoders_lists_the_catalogue_by_a_word(cli):
    (entry,) = fine(cli("encoders", "rad-dino", "--json")).json["encoders"]
    assert (entry["name"], entry["width"], entry["domain"]) == ("hf:microsoft/rad-dino", 768, "chest X-ray")
    assert "hf:microsoft/rad-dino" in fine(cli("encoders", "chest")).out
    assert "0 encoders" in fine(cli("encoders", "no such thing")).out


def test_info_of_a_table_shows_no_cell(cli, world):
    out = fine(cli("info", world.anchors)).out
    assert "anchors0" not in out
    assert "effusion" not in out


@dataclass(frozen=True)
class FakeResult:
    report: Path

    def summary(self):
        return "all is well"


@pytest.fixture
def fake_demo(monkeypatch):
    def run_demo(out, *, settings, say):
        say("drawing")
        out.mkdir(exist_ok=True)
        (out / "report.html").write_text("<html>")
        (out / "results.json").write_text(json.dumps({"seed": settings.seed}))
        return FakeResult(out / "report.html")

    bench, study = ModuleType("stitchkit.studies.demo.demo_data"), ModuleType("stitchkit.studies.demo.run_demo")
    bench.DemoSettings = lambda seed: type("Settings", (), {"seed": seed})()
    study.run_demo = run_demo
    monkeypatch.setitem(sys.modules, bench.__name__, bench)
    monkeypatch.setitem(sys.modules, study.__name__, study)


@pytest.mark.usefixtures("fake_demo")
def test_demo_ends_with_the_report_to_open(cli, tmp_path):
    done = fine(cli("demo", "--out", tmp_path / "d"))
    assert done.out.splitlines()[0] == "all is well"
    assert done.out.splitlines()[-1] == f"open {tmp_path / 'd' / 'report.html'}"
    assert done.err == "drawing\n"
    assert cli("demo", "--out", tmp_path / "d").code == 2
    again = fine(cli("demo", "--out", tmp_path / "d", "--overwrite", "--seed", "3", "--json", "--quiet"))
    assert again.json == {"seed": 3}
    assert again.err == ""


def test_the_help_names_every_solver_that_works(cli, world, tmp_path):
    words = " ".join(cli("align", "--help").out.replace("│", " ").split())
    assert f"auto, or one of {', '.join(SOLVERS)}." in words
    line = ("align", world.quick, world.quick_text, "--anchors", world.anchors, "--dry-run", "--out", tmp_path / "map")
    assert [name for name in SOLVERS if cli(*line, "--solver", name).code != 0] == []
