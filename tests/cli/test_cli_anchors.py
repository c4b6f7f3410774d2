"""``stitchkit anchors``: choosing, checking and describing anchors; what the page shows is what is printed."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.datasets.images import read_image
from stitchkit.storage.embeddings import write_embeddings

PAGE = Path(__file__).parents[2] / "docs" / "anchors.md"
QUICK = ("--quiet",)


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def write_test(world, folder, rows):
    """A test table of ``rows``, with images of the world's test set beside it where there are none yet."""
    for i, row in enumerate(rows):
        if not (folder / row[1]).exists():
            shutil.copy(world.test / f"test{i}.png", folder / row[1])
    return write(folder / "test.csv", [["id", "path", "text", "patient"], *rows])


@pytest.fixture
def apart(world, tmp_path):
    """A test table that shares nothing with the anchors."""
    return write_test(world, tmp_path, [[f"t{i}", f"t{i}.png", f"report {i}", f"q{i}"] for i in range(5)])


@pytest.fixture
def leaking(world, tmp_path):
    """A test table with an anchor's patient, an anchor's file and an anchor's image as JPEG, twice the size."""
    rows = [[f"t{i}", f"t{i}.png", f"report {i}", f"q{i}"] for i in range(5)]
    rows[0][3] = "anchors-3"  # of anchors 6 and 7
    rows[1][1] = "copy.png"
    (tmp_path / "copy.png").write_bytes((world.folder / "anchors" / "anchors20.png").read_bytes())
    rows[2][1] = "near.jpg"
    read_image(world.folder / "anchors" / "anchors30.png").resize((64, 64)).save(tmp_path / "near.jpg", quality=90)
    return write_test(world, tmp_path, rows)


# check


def test_anchors_apart_from_the_test_pass(cli, world, apart):
    done = cli("anchors", "check", world.anchors, "--test", apart, "--quiet")
    assert done.code == 0, done.err
    assert "40 anchors (20 patients); 5 test items (5 patients)" in done.out
    assert "LEAKAGE" not in done.out
    assert done.err == ""


def test_leakage_is_told_in_full_and_ends_with_4(cli, world, leaking, tmp_path):
    out = tmp_path / "found.json"
    line = ("anchors", "check", world.anchors, "--test", leaking)
    done = cli(*line, "--json", "--out", out, "--quiet")
    assert done.code == 4
    assert done.json["passed"] is False
    assert len(done.json["leakage"]) == 3
    assert [(one["first"], one["second"], one["kind"]) for one in done.json["leaked"]] == [
        ("anchors20.png", "t1", "same file"), ("anchors30.png", "t2", "near"),
    ]  # fmt: skip
    assert json.loads(out.read_text()) == done.json
    assert done.err.startswith("error: 1 patient has both anchors and test items; 1 test image is a copy")
    assert "--allow-leakage" in done.err
    allowed = cli(*line, "--allow-leakage", "--quiet")
    assert allowed.code == 0
    assert allowed.out.count("LEAKAGE") == 3
    assert allowed.err == ""
    assert cli(*line, "--out", out).code == 2  # it exists
    for told in (done.out, done.err, allowed.out):
        assert "anchors-3" not in told  # the patient


def test_labels_and_prompts_are_judged(cli, world, apart):
    done = cli(
        "anchors", "check", world.anchors, "--test", apart, "--labels", world.labels, "--prompts", world.prompts,
        "--class", "effusion", "--class", "edema", "--metadata", "age", "--json", *QUICK,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert [one["name"] for one in done.json["classes"]] == ["effusion", "edema"]
    assert {one["name"] for one in done.json["words"]} == {"effusion", "edema"}
    assert set(done.json["columns"]) >= {"age"}
    assert len(done.json["shortcuts"]) == 2


def test_a_table_of_ids_and_patients_can_be_the_test(cli, world, tmp_path):
    bare = write(tmp_path / "bare.csv", [["id", "patient"], ["anchors3.png", "x"], ["t", "anchors-9"]])
    done = cli("anchors", "check", world.anchors, "--test", bare, "--quiet")
    assert done.code == 4
    assert "LEAKAGE: 1 item " in done.out
    assert "LEAKAGE: 1 patient " in done.out
    assert "copies of images in the test were not looked for" in done.out


def test_texts_alone_can_be_checked(cli, tmp_path):
    rows = [[f"r{i}", f"report {i % 3}"] for i in range(40)]
    alone = write(tmp_path / "texts.csv", [["uid", "text"], *rows])
    done = cli("anchors", "check", alone, "--id-column", "uid", "--quiet")
    assert done.code == 0, done.err
    assert "40 texts, 3 different, the commonest 14 times" in done.out
    assert "FEW TEXTS" in done.out


MISTAKES = {
    "no such table": (("check", "absent.csv"), 2, "absent.csv"),
    "metadata without labels": (("check", "{anchors}", "--metadata", "age"), 2, "--metadata"),
    "a class without labels": (("check", "{anchors}", "--class", "edema"), 2, "--class"),
    "an unknown prompt set": (("check", "{anchors}", "--prompts", "chexpert"), 2, "nearest"),
    "an unknown column": (("check", "{anchors}", "--labels", "{labels}", "--metadata", "agee"), 4, "nearest: age"),
    "an impossible likeness": (("check", "{anchors}", "--likeness", "3"), 2, "up to 1"),
    "a card of another kind": (("card", "{anchors}", "--out", "card.html"), 2, ".json"),
    "no number": (("select", "{anchors}", "--out", "x.csv"), 2, "-n"),
    "another kind of table": (("select", "{anchors}", "-n", "3", "--method", "random", "--out", "x.xlsx"), 2, ".csv"),
    "no vectors": (("select", "{anchors}", "-n", "3", "--out", "x.csv"), 2, "--encoder"),
    "an unknown method": (("select", "{anchors}", "-n", "3", "--method", "kmean", "--out", "x.csv"), 2, "kmeans"),
    "no classes": (("select", "{anchors}", "-n", "3", "--method", "balanced", "--out", "x.csv"), 2, "--label-column"),
    "too many": (("select", "{anchors}", "-n", "41", "--method", "random", "--out", "x.csv"), 2, "41 anchors"),
    "no command": ((), 2, "Missing command"),
    "an unknown command": (("chek",), 2, "check"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(cli, world, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    words, code, told = MISTAKES[case]
    done = cli("anchors", *(one.format(anchors=world.anchors, labels=world.labels) for one in words))
    assert done.code == code, done.err
    assert done.err.splitlines()[-1].startswith("error: ")
    assert told in done.err
    assert done.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_models")
def test_dry_runs_write_nothing(cli, world, apart, tmp_path):
    before = sorted(tmp_path.iterdir())
    for line in (
        ("check", world.anchors, "--test", apart, "--labels", world.labels, "--out", tmp_path / "x.json"),
        ("card", world.anchors, "--out", tmp_path / "x.md"),
        ("select", world.anchors, "-n", 5, "--encoder", world.quick, "--out", tmp_path / "x.csv"),
    ):
        done = cli("anchors", *line, "--dry-run", "--json")
        assert done.code == 0, done.err
        assert done.json["dry_run"] is True
    assert sorted(tmp_path.iterdir()) == before


# card


def test_a_card_goes_to_stdout_or_to_a_file(cli, world, tmp_path):
    line = ("anchors", "card", world.anchors, "--source", "drawn | by us", "--licence", "MIT", "--quiet")
    done = cli(*line)
    assert done.code == 0, done.err
    for words in ("# Anchors: table", "| source | drawn \\| by us |", "| pairs | 40 |", "| patients | 20 |"):
        assert words in done.out
    assert "| path | source item, path of an image |" in done.out
    wrote = cli(*line, "--out", tmp_path / "card.md")
    assert (tmp_path / "card.md").read_text() == done.out
    assert wrote.out == f"wrote {tmp_path / 'card.md'}\nnote: the card does not state everything: pass --obtain\n"
    assert cli(*line, "--out", tmp_path / "card.md").code == 2
    assert cli(*line, "--out", tmp_path / "card.json").code == 0
    assert json.loads((tmp_path / "card.json").read_text()) == cli(*line, "--json").json
    told = done.out + (tmp_path / "card.json").read_text()
    assert "anchors-1" not in told  # a patient
    assert not [row[2] for row in table(world.anchors)[1:] if row[2] in told]


def test_columns_are_told_by_what_they_are_used_for(cli, tmp_path):
    path = write(tmp_path / "texts.csv", [["uid", "text", "who", "age"], ["a", "No edema.", "p1", "4"]])
    done = cli("anchors", "card", path, "--id-column", "uid", "--groups", "who", "--json", "--quiet")
    assert done.json["columns"] == {
        "uid": "unique id of the pair",
        "text": "source item, text; target item, text",
        "who": "patient: folds and intervals keep it whole",
        "age": "not read as an anchor",
    }


# select


def test_chosen_rows_are_those_of_the_library(cli, world, tmp_path):
    out = tmp_path / "chosen.csv"
    line = ("anchors", "select", world.anchors, "-n", 9, "--method", "farthest", "--encoder", world.quick, "--seed", 3)
    done = cli(*line, "--out", out, "--json", "--quiet")
    assert done.code == 0, done.err
    anchors = sk.read_anchors(world.anchors)
    vectors = sk.embed(sk.load_encoder(world.quick), anchors.source_items, progress=False)
    picked = sk.choose_anchors(vectors, 9, method="farthest", groups=anchors.groups, seed=3)
    assert [row[0] for row in table(out)[1:]] == anchors.ids[picked].tolist()
    assert done.json["n"] == done.json["patients"] == 9
    assert done.json["candidates"] == 40
    assert cli(*line, "--out", out).code == 2
    assert cli(*line, "--out", out, "--overwrite").code == 0


def test_vectors_may_come_from_a_file(cli, world, tmp_path):
    anchors = sk.read_anchors(world.anchors)
    vectors = sk.embed(sk.load_encoder(world.quick), anchors.source_items, progress=False)
    write_embeddings(tmp_path / "v.safetensors", vectors.take(np.random.default_rng(0).permutation(40)))
    line = ("anchors", "select", world.anchors, "-n", 7, "--method", "leverage", "--quiet")
    assert cli(*line, "--embeddings", tmp_path / "v.safetensors", "--out", tmp_path / "a.csv").code == 0
    assert cli(*line, "--encoder", world.quick, "--out", tmp_path / "b.csv").code == 0
    assert table(tmp_path / "a.csv") == table(tmp_path / "b.csv")
    both = cli(*line, "--embeddings", tmp_path / "v.safetensors", "--encoder", world.quick, "--out", tmp_path / "c.csv")
    assert both.code == 2


def test_what_leaks_is_left_out_and_the_chosen_pass_the_check(cli, world, leaking, tmp_path):
    out = tmp_path / "elsewhere" / "chosen.csv"
    line = ("anchors", "select", world.anchors, "--method", "random", "--test", leaking, "--out", out, "--quiet")
    done = cli(*line, "-n", 36)
    assert done.code == 0, done.err
    assert "36 of 36 rows" in done.out
    assert "4 rows were left out, because of the test" in done.out
    ids = {row[0] for row in table(out)[1:]}
    assert not ids & {"anchors6.png", "anchors7.png", "anchors20.png", "anchors30.png"}
    assert cli("anchors", "check", out, "--test", leaking, "--quiet").code == 0
    assert cli(*line, "-n", 37, "--overwrite").code == 2


def test_a_table_elsewhere_still_leads_to_the_images(cli, world, tmp_path):
    out = tmp_path / "deep" / "er" / "chosen.csv"
    done = cli("anchors", "select", world.anchors, "-n", 30, "--method", "random", "--out", out, "--quiet")
    assert done.code == 0, done.err
    rows = table(out)
    assert rows[0] == table(world.anchors)[0]
    assert all((out.parent / row[1]).samefile(world.folder / "anchors" / row[0]) for row in rows[1:])
    assert not Path(rows[1][1]).is_absolute()
    stands = {row[0]: [row[0], *row[2:]] for row in table(world.anchors)[1:]}
    assert all([row[0], *row[2:]] == stands[row[0]] for row in rows[1:])
    fitted = cli("align", world.quick, world.quick_text, "--anchors", out, "--out", tmp_path / "map", "--quiet",
                 "--solver", "procrustes")  # fmt: skip
    assert fitted.code == 0, fitted.err


def test_beside_the_first_table_nothing_is_changed(cli, world):
    out = world.anchors.parent / "chosen.tsv"
    done = cli("anchors", "select", world.anchors, "-n", 3, "--method", "random", "--out", out, "--quiet")
    assert done.code == 0, done.err
    assert "paths" not in done.out
    first = {row[0]: row for row in table(world.anchors)}
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    out.unlink()
    assert all(row == first[row[0]] for row in rows)
    same = cli("anchors", "select", world.anchors, "-n", 3, "--method", "random", "--out", world.anchors, "--overwrite")
    assert same.code == 2
    assert "never overwritten" in same.err


def test_ids_that_were_paths_are_kept(cli, world, tmp_path):
    """Without a column of ids the paths are the ids; written anew, they would no longer match labels and files."""
    rows = [[row[1], row[2], f" {row[3]}, "] for row in table(world.anchors)[1:]]
    first = write(tmp_path / "one" / "bare.csv", [["path", "text", "patient"], *rows])
    out = tmp_path / "two" / "chosen.csv"
    done = cli(
        "anchors", "select", first, "--root", world.anchors.parent, "-n", 5, "--method", "random", "--out", out, "-q",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "column id keeps the ids" in done.out
    chosen = table(out)
    assert chosen[0] == ["id", "path", "text", "patient"]
    assert {row[0] for row in chosen[1:]} <= {row[0] for row in rows}
    assert all(row[3] == f" {row[3].strip()} " for row in chosen[1:])  # white space stands as it stood
    assert sk.read_anchors(out).ids.tolist() == [row[0] for row in chosen[1:]]


def test_absolute_paths_and_second_images_keep_their_meaning(cli, world, tmp_path):
    folder = world.anchors.parent
    rows = [
        [f"a{i}", str((folder / f"anchors{i}.png").resolve()), f"anchors{i + 1}.png", f"anchors{i}.png", "text"]
        for i in range(6)
    ]
    first = write(folder / "two.csv", [["id", "path", "lateral", "orig", "text"], *rows])
    out = tmp_path / "chosen.csv"
    done = cli("anchors", "select", first, "-n", 6, "--method", "random", "--out", out, "--quiet")
    first.unlink()
    assert done.code == 0, done.err
    for row in table(out)[1:]:
        i = int(row[0][1:])
        assert row[1] == rows[i][1]
        assert (out.parent / row[2]).samefile(folder / f"anchors{i + 1}.png")


def test_balanced_and_diverse_text(cli, world, tmp_path):
    rows = table(world.anchors)
    labelled = [[*rows[0], "kind"], *([*row, "rare" if i < 5 else "common"] for i, row in enumerate(rows[1:]))]
    first = write(world.anchors.parent / "labelled.csv", labelled)
    line = ("anchors", "select", first, "--out", tmp_path / "x.csv", "--overwrite", "--quiet")
    done = cli(*line, "-n", 8, "--method", "balanced", "--label-column", "kind")
    assert done.code == 0, done.err
    assert [row[-1] for row in table(tmp_path / "x.csv")[1:]].count("rare") == 4
    assert cli(*line, "-n", 8, "--method", "random", "--label-column", "kind").code == 2
    assert cli(*line, "-n", 8, "--method", "diverse-text", "--encoder", world.quick_text).code == 0
    assert len({row[2] for row in table(tmp_path / "x.csv")[1:]}) == 8
    wrong = cli(*line, "-n", 8, "--method", "diverse-text", "--encoder", world.quick)
    first.unlink()
    assert wrong.code == 2
    assert "compares texts" in wrong.err


# the page


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)


def without_numbers(text):
    return re.sub(r"[0-9a-f]{64}|\d+(\.\d+)?", "#", " ".join(text.split()))


def test_the_page_shows_what_is_printed(cli, tmp_path, monkeypatch):
    """Numbers aside: file sizes, and what follows from them, depend on the version of the PNG library."""
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[0], {"__name__": "docs"})
    shown = blocks("text")
    assert len(shown) >= 3
    for block in shown:
        line, printed = block.replace("\\\n", " ").split("\n", 1)
        done = cli(*shlex.split(line.removeprefix("$ stitchkit ")), "--quiet")
        assert done.code in (0, 4), done.err
        assert without_numbers(done.out + done.err) == without_numbers(printed), line


def test_the_group_explains_itself(cli):
    done = cli("anchors", "--help")
    assert done.code == 0
    for command in ("select", "check", "card"):
        assert command in done.out
        assert cli("anchors", command, "--help").code == 0


@pytest.mark.parametrize("form", ["a long report", "semicolons", "JSON lines"])
def test_rows_of_every_kind_of_table_can_be_chosen(form, cli, world, tmp_path):
    rows = table(world.anchors)
    rows[1][2] = "a long report " * 20_000  # csv's own limit is 131,072 characters
    first = world.anchors.parent / f"first.{'jsonl' if form == 'JSON lines' else 'csv'}"
    if form == "JSON lines":
        first.write_text("\n".join(json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]))
    elif form == "semicolons":
        first.write_text("sep=;\n" + "\n".join(";".join(row) for row in rows) + "\n")
    else:
        write(first, rows)
    out = world.anchors.parent / "chosen-rows.csv"
    done = cli("anchors", "select", first, "-n", len(rows) - 1, "--method", "random", "--out", out, "--quiet")
    assert done.code == 0, done.err
    found = sk.read_anchors(out)
    first.unlink()
    out.unlink()
    by_id = {row[0]: row[2].strip() for row in rows[1:]}
    assert dict(zip(found.ids.tolist(), found.target_items.values, strict=True)) == by_id
