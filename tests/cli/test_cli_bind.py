"""``stitchkit bind``: tables to one folder and a page; its modalities in other commands; bad command lines."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.datasets.text_lists import check_texts
from stitchkit.persistence.bound_folders import index_of, read_bound
from stitchkit.storage.embeddings import read_embeddings

WORDS = {"chest": "chest x-ray", "film": "inverted film"}


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """Tables of phantoms as two modalities, films and inverted films, with one of two texts each."""
    root = tmp_path_factory.mktemp("bind")
    for at, (kind, word) in enumerate(WORDS.items()):
        for part, n in (("train", 60), ("test", 60)):
            films = sk.make_phantoms(n, seed=10 * at + (part == "test"))
            rows = []
            for i in range(n):
                name = f"{kind}-{part}{i}.png"
                Image.fromarray(255 - films.images[i] if kind == "film" else films.images[i]).save(root / name)
                large = films.labels[i].any()
                text = f"{word} with a finding." if large else f"{word}: normal."
                rows.append([name, text, f"{kind}{part}{i}", "abnormal" if large else "normal"])
            with (root / f"{kind}-{part}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([["path", "text", "patient", "finding"], *rows])
    return root


def sides(tables, part="train"):
    return [f"{kind}={tables / f'{kind}-{part}.csv'}" for kind in WORDS]


ENCODERS = ("--encoder", "demo:general", "--text-encoder", "demo:text")
QUICK = ("--solver", "ridge", "--store", "none", "-q")


@pytest.fixture(scope="session")
def bound(cli, tables):
    """A bound folder with an index and a judged page, and what the command printed."""
    out = tables / "bound"
    tests = [word for side in sides(tables, "test") for word in ("--test", side)]
    done = cli(
        "bind", *sides(tables), *ENCODERS, "--out", out, "--index", *tests, "--common", "finding", "--json", *QUICK
    )
    assert done.code == 0, done.err
    return out, done.json


def test_one_command_makes_a_folder_a_page_and_an_index(bound):
    out, printed = bound
    space = read_bound(out)
    assert space.names == ("chest", "film")
    assert printed["modalities"] == ["chest", "film"]
    assert {one.name for one in out.iterdir()} >= {"chest", "film", "text", "index", "report.html", "README.md"}
    index = read_embeddings(index_of(out, "film"))
    assert len(index) == 60
    assert index.space.fingerprint == space.hub.fingerprint
    page = (out / "report.html").read_text()
    assert "One map for all, or a map for each?" in page
    assert "stitchkit bind chest=" in page
    assert set(json.loads((out / "binding.json").read_text())["evaluation"]["modalities"]) == set(WORDS)


def test_the_printed_numbers_are_those_of_the_page(bound):
    out, printed = bound
    numbers = json.loads((out / "binding.json").read_text())["evaluation"]
    assert numbers == printed["evaluation"]
    assert numbers["identified"]["value"] > 0.9
    assert [one["query"] for one in numbers["cross_modal"]] == ["chest", "film"]


def test_a_modality_is_scored_by_name_as_a_stitched_folder(cli, bound, tables, tmp_path):
    out, _ = bound
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({"finding": ["chest x-ray with a finding."], "normal": ["chest x-ray: normal."]}))
    scores = tmp_path / "scores.csv"
    items = ("--items", tables / "chest-test.csv")
    done = cli("zeroshot", out / "chest", "--prompts", prompts, *items, "--out", scores, "--store", "none", "-q")
    assert done.code == 0, done.err
    values = sk.read_scores(scores)
    assert values.classes == ("finding", "normal")
    assert len(values) == 60
    named = cli("info", out)
    assert "bound modalities" in named.out
    assert "chest" in named.out
    refused = cli("zeroshot", out, "--prompts", prompts, *items, "--out", tmp_path / "other.csv")
    assert refused.code == 2
    assert "Name one of them" in refused.err


def test_two_text_encoders_meet_in_a_consensus(cli, tables, world, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text(
        "\n".join(
            f"chest x-ray {a} with {b}." for a in ("seen", "clear", "large") for b in ("effusion", "edema", "heart")
        )
    )
    encoders = (
        "--encoder",
        "demo:general",
        "--text-encoder",
        "chest=demo:text",
        "--text-encoder",
        f"film={world.quick_text}",
    )
    out = tmp_path / "two"
    done = cli("bind", *sides(tables), *encoders, "--texts", texts, "--out", out, *QUICK)
    assert done.code == 0, done.err
    space = read_bound(out)
    assert len(space.text_maps) == 2
    assert space.record["hub"]["solver"] == "procrustes"
    assert space.record["hub"]["texts"] == 9
    assert (out / "texts").is_dir()
    assert "Nothing was judged on held-out items" in (out / "report.html").read_text()


def test_vectors_join_without_an_encoder(cli, tables, tmp_path):
    ids = [f"film-train{i}.png" for i in range(60)]
    vectors = np.random.default_rng(0).normal(size=(60, 7))
    file = tmp_path / "signals.safetensors"
    sk.write_embeddings(file, sk.Embeddings(vectors, ids, sk.Space("ecg net", 7, "ecg")))
    out = tmp_path / "vectors"
    encoders = (
        "--encoder",
        "demo:general",
        "--encoder",
        f"film={file}",
        "--text-encoder",
        "demo:text",
        "--id-column",
        "path",
    )
    done = cli("bind", *sides(tables), *encoders, "--out", out, *QUICK)
    assert done.code == 0, done.err
    assert read_bound(out).modality("film").encoder == ""


@pytest.mark.parametrize("text", ["demo:text", "quick"])
def test_a_modality_is_added_and_no_other_file_of_weights_changes(cli, tables, bound, world, tmp_path, text):
    out = tmp_path / "bound"
    shutil.copytree(bound[0], out)
    before = {one: one.read_bytes() for one in out.glob("*/*.safetensors")}
    reader = world.quick_text if text == "quick" else text
    more = ("--encoder", "demo:medical", "--text-encoder", reader, "--into", out, "--index")
    done = cli("bind", f"late={tables / 'chest-train.csv'}", *more, "--json", *QUICK)
    assert done.code == 0, done.err
    assert {one: one.read_bytes() for one in before} == before
    assert read_bound(out).names == ("chest", "film", "late")
    assert done.json["changes"][0]["added"] == "late"
    assert index_of(out, "late").is_file()
    assert "evaluation" in json.loads((out / "binding.json").read_text())  # the earlier judgement stays
    again = cli("bind", f"late={tables / 'chest-train.csv'}", *more, *QUICK)
    assert again.code == 2
    assert "there is a modality 'late' already" in again.err


@pytest.mark.parametrize(
    "option", [("--maps", "own"), ("--common", "finding"), ("--hub", "demo:text"), ("--overwrite",)]
)
def test_options_of_a_whole_folder_are_refused_where_one_is_added_to(cli, tables, bound, option):
    done = cli("bind", f"late={tables / 'chest-train.csv'}", *ENCODERS, "--into", bound[0], *option)
    assert done.code == 2
    assert f"{option[0]} belongs to a folder that is written as a whole" in done.err


@pytest.mark.filterwarnings("ignore:1 of 60 rows")
def test_common_labels_are_read_by_id_beside_rows_without_a_text(cli, tables, bound, tmp_path):
    tests = []
    for kind in WORDS:
        lines = (tables / f"{kind}-test.csv").read_text().splitlines()
        blank = f"{kind}-test0.png".join(["", ",,nobody,"])
        held = tables / f"{kind}-blank.csv"
        held.write_text("\n".join([lines[0], blank, *lines[2:]]))
        tests += ["--test", f"{kind}={held}"]
    out = tmp_path / "blank"
    done = cli("bind", *sides(tables), *ENCODERS, "--out", out, *tests, "--common", "finding", "--json", *QUICK)
    assert done.code == 0, done.err
    first = {one["query"]: one["first"]["value"] for one in done.json["evaluation"]["cross_modal"]}
    whole = {one["query"]: one["first"]["value"] for one in bound[1]["evaluation"]["cross_modal"]}
    assert all(abs(first[kind] - whole[kind]) < 0.1 for kind in WORDS)


def test_anchors_of_a_modality_with_the_same_encoder_are_no_test_items(cli, tables, tmp_path):
    tests = ("--test", f"chest={tables / 'film-train.csv'}", "--test", f"film={tables / 'film-test.csv'}")
    done = cli("bind", *sides(tables), *ENCODERS, "--out", tmp_path / "out", *tests, *QUICK)
    assert done.code == 4
    assert not (tmp_path / "out").exists()


def test_a_folder_is_written_or_added_to(cli, tables, tmp_path):
    done = cli("bind", *sides(tables), *ENCODERS)
    assert done.code == 2
    assert "with --out FOLDER, or added to with --into FOLDER" in done.err


def test_a_dry_run_loads_nothing(cli, tables, tmp_path, no_models):
    done = cli("bind", *sides(tables), *ENCODERS, "--out", tmp_path / "bound", "--dry-run")
    assert done.code == 0, done.err
    assert "60 items of" in done.out
    assert not (tmp_path / "bound").exists()


def changed(*words, without=()):
    """The usual command line with words more, and without some."""

    def line(tables, out):
        usual = [*sides(tables), *ENCODERS, "--out", out]
        return [one for one in usual if one not in without] + [one.format(tables=tables) for one in words]

    return line


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (lambda tables, out: [sides(tables)[0], *ENCODERS, "--out", out], 2, "at least two modalities; got 1"),
        (changed("xray"), 2, "'xray' is not MODALITY=TABLE"),
        (changed("chest={tables}/film-train.csv"), 2, "'chest' is named twice"),
        (changed("mri={tables}/nowhere.csv"), 2, "there is no table or folder"),
        (changed("text={tables}/film-train.csv"), 2, "'text' names the texts"),
        (changed("--encoder", "demo:medical"), 2, "--encoder is given 2 times for all modalities"),
        (changed("--text-encoder", "demo:nowhere"), 2, "--text-encoder is given 2 times"),
        (changed("--hub", "demo:medical"), 2, "the hub 'demo:medical' is none of the text encoders 'demo:text'"),
        (changed("--hub-solver", "pls"), 2, "no solver of a hub is called 'pls'"),
        (changed("--test", "chest={tables}/chest-test.csv"), 2, "--test names one modality"),
        (changed("--test", "mri={tables}/chest-test.csv"), 2, "no modality is called 'mri'"),
        (changed("--test", "chest={tables}/chest-train.csv", "--test", "film={tables}/film-test.csv"), 4, "anchor"),
        (changed("--common", "finding"), 2, "--common names a column of held-out tables"),
        (changed("ct={tables}"), 2, "the modality 'ct' has no texts, so its encoders must be two halves"),
    ],
)
def test_bad_command_lines_are_named_and_leave_no_folder(cli, tables, tmp_path, line, code, said):
    done = cli("bind", *line(tables, tmp_path / "out"), *QUICK)
    assert done.code == code, done.err
    assert said in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a", " ", "b"], "a blank text in line 2"),
        (["no effusion", "clear", "no  effusion"], "one text twice, in lines 1 and 3"),
    ],
)
def test_a_list_of_texts_with_blank_or_repeated_lines_is_refused(cli, tables, tmp_path, lines, said):
    with pytest.raises(sk.StitchError, match=said):
        check_texts(lines)
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(lines))
    done = cli("bind", *sides(tables), *ENCODERS, "--texts", file, "--out", tmp_path / "out", "-q")
    assert done.code == 4
    assert said in done.err


def test_a_modality_is_scored_and_judged_by_its_name(cli, tables, bound, tmp_path):
    """As ``stitchkit:FOLDER#modality=NAME``, which is what its encoder is called, or by its path."""
    names = [f"stitchkit:{bound[0]}#modality=film", bound[0] / "film"]
    items = ("--items", tables / "film-test.csv", "--store", "none", "-q")
    written = []
    for i, name in enumerate(names):
        out = tmp_path / f"{i}.csv"
        done = cli("zeroshot", name, *items, "--prompts", "chexpert5", "--out", out)
        assert done.code == 0, done.err
        written.append([line for line in out.read_text().splitlines() if not line.startswith("#")])
    assert written[0] == written[1]
    missing = cli("zeroshot", f"stitchkit:{bound[0]}#modality=mri", *items, "--out", tmp_path / "2.csv")
    assert missing.code != 0
    assert "mri" in missing.err
    judged = cli("evaluate", f"stitchkit:{bound[0]}#modality=mri", "--labels", tables / "film-test.csv", "-q")
    assert judged.code == 2
    assert "there is no SCORES" in judged.err
