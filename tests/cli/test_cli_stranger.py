"""README's own sequence on a folder that somebody else made: one table, images below it, other ids than ours."""

from __future__ import annotations

import csv
import shutil

import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Films with reports to align on, other films with labels, and a label table of all, as a hospital keeps them."""
    root = tmp_path_factory.mktemp("hospital")
    (root / "reports").mkdir()
    (root / "scans").mkdir()
    sets = {"reports": make_phantoms(60, seed=1), "scans": make_phantoms(60, seed=2)}
    pairs, labels = [["path", "text", "patient"]], [["path", "patient", "age", *FINDINGS]]
    for number, (name, made) in enumerate(sets.items()):
        for i, image in enumerate(made.images):
            path = f"{name}/{name}-{i:03d}.png"
            Image.fromarray(image).save(root / path)
            if name == "reports":
                pairs.append([path, made.reports[i], f"p{made.patients[i]}"])
            labels.append([path, f"{'pq'[number]}{made.patients[i]}", 40 + i % 30, *map(int, made.labels[i])])
    for file, rows in (("anchors.csv", pairs), ("labels.csv", labels)):
        with (root / file).open("w", newline="") as out:
            csv.writer(out).writerows(rows)
    return root


def test_the_sequence_prints_chance_probe_and_metadata(cli, folder, tmp_path):
    scores, anchors = tmp_path / "scores.csv", folder / "anchors.csv"
    made = cli("zeroshot", "demo:general", "demo:text", "--anchors", anchors, "--prompts", "phantom", "--items",
               folder / "scans", "--out", scores)  # fmt: skip
    assert made.code == 0, made.err
    judged = cli("evaluate", scores, "--labels", folder / "labels.csv", "--groups", "patient", "--metadata", "age",
                 "--anchors", anchors, "--items", folder / "scans", "--encoder", "demo:general", "--min-positives", 5,
                 "--replicates", 50)  # fmt: skip
    assert judged.code == 0, judged.err
    for row in ("chance", "probe on the anchors", "metadata only"):
        assert row in judged.out
    assert "60 items were matched by file name" in judged.out


def test_images_and_texts_of_one_table_are_aligned(cli, folder, tmp_path):
    table = folder / "anchors.csv"
    for encoder, name in (("demo:general", "x"), ("demo:text", "y")):
        done = cli("embed", encoder, table, "--out", tmp_path / f"{name}.safetensors")
        assert done.code == 0, done.err
    done = cli("align", tmp_path / "x.safetensors", tmp_path / "y.safetensors", "--out", tmp_path / "map", "--solver",
               "procrustes")  # fmt: skip
    assert done.code == 0, done.err


def test_a_folder_scores_its_own_anchors_under_other_names_with_a_note(cli, folder, tmp_path):
    out = tmp_path / "stitched"
    done = cli("stitch", "demo:general", "demo:text", "--anchors", folder / "anchors.csv", "--head", "prompts:phantom",
               "--out", out, "--solver", "procrustes")  # fmt: skip
    assert done.code == 0, done.err
    copies = tmp_path / "copies"
    copies.mkdir()
    for i in range(10):
        shutil.copy(folder / f"reports/reports-{i:03d}.png", copies / f"c{i}.png")
    done = cli("zeroshot", out, "--items", copies, "--out", tmp_path / "s.csv")
    assert done.code == 0, done.err
    assert "note      LEAKAGE: the map was fitted on 10 of these files" in done.out
    with (tmp_path / "labels.csv").open("w") as file:
        csv.writer(file).writerows([["id", *FINDINGS], *([f"c{i}.png", *[i % 2] * len(FINDINGS)] for i in range(10))])
    line = ("evaluate", out, "--labels", tmp_path / "labels.csv", "--items", copies, "--min-positives", 1,
            "--replicates", 20)  # fmt: skip
    done = cli(*line)
    assert done.code == 4
    assert "fitted on 10 of these files" in done.err
    done = cli(*line, "--allow-leakage")
    assert done.code == 0, done.err
    assert "LEAKAGE: the map was fitted on 10 of these files" in done.out
    with (folder / "anchors.csv").open(newline="") as file:
        people = [row["patient"] for row in csv.DictReader(file)]
    others = [[f"scans/scans-{i:03d}.png", people[i].upper(), *[i % 2] * len(FINDINGS)] for i in range(20)]
    with (tmp_path / "others.csv").open("w") as file:
        csv.writer(file).writerows([["path", "patient", *FINDINGS], *others])
    line = ("--labels", tmp_path / "others.csv", "--items", tmp_path / "others.csv", "--root",
            folder, "--min-positives", 1, "--replicates", 20)  # fmt: skip
    for command in (("evaluate", out, *line), ("zeroshot", out, *line, "--out", tmp_path / "t.csv")):
        done = cli(*command)
        assert done.code == 4, done.err
        assert f"fitted on {len(set(people[:20]))} of these patients" in done.err
        done = cli(*command, "--allow-leakage")
        assert done.code == 0, done.err
        assert f"LEAKAGE: the map was fitted on {len(set(people[:20]))} of these patients" in done.out


def test_test_images_that_are_anchors_under_other_names_are_refused_before_a_model_is_loaded(cli, folder, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    for i in range(10):
        shutil.copy(folder / f"reports/reports-{i:03d}.png", copies / f"c{i}.png")
    (tmp_path / "test.csv").write_text("path\n" + "".join(f"copies/c{i}.png\n" for i in range(10)))
    done = cli("stitch", "demo:general", "demo:text", "--anchors", folder / "anchors.csv", "--test",
               tmp_path / "test.csv", "--out", tmp_path / "out")  # fmt: skip
    assert done.code == 4
    assert "10 test items are anchors' own files under other ids" in done.err


@pytest.mark.parametrize("line", [("align", "--purpose", "head"), ("stitch", "--head", "own")])
def test_a_head_is_not_driven_by_a_relative_map_and_that_is_said_before_the_work(cli, folder, tmp_path, line):
    verb, *rest = line
    done = cli(verb, "demo:general", "demo:medical", "--anchors", folder / "anchors.csv", "--source-column", "path",
               "--target-column", "path", "--solver", "relative", "--out", tmp_path / "x", *rest)  # fmt: skip
    assert done.code != 0
    assert "only meets in a common space" in done.err
    assert "embedding" not in done.err


def test_scores_of_a_whole_folder_are_refused_for_the_anchors_in_it(cli, folder, tmp_path):
    (tmp_path / "all").mkdir()
    for name in ("reports", "scans"):
        for file in (folder / name).iterdir():
            shutil.copy(file, tmp_path / "all" / file.name)
    scores = tmp_path / "scores.csv"
    line = ("demo:general", "demo:text", "--anchors", folder / "anchors.csv", "--solver", "procrustes")
    done = cli("zeroshot", *line, "--prompts", "phantom", "--items", tmp_path / "all", "--out", scores)
    assert done.code == 0, done.err
    judge = ("--labels", folder / "labels.csv", "--groups", "patient", "--min-positives", 5, "--replicates", 20)
    for command in (
        ("evaluate", scores, *judge, "--anchors", folder / "anchors.csv", "--items", tmp_path / "all"),
        ("zeroshot", *line, "--prompts", "phantom", "--items", tmp_path / "all", "--out", tmp_path / "t.csv", *judge),
    ):
        done = cli(*command)
        assert done.code == 4
        assert "60 items are both anchors and test items" in done.err
        assert "--allow-leakage" in done.err
        assert "--id-column" not in done.err
        done = cli(*command, "--allow-leakage")
        assert done.code == 0, done.err
        assert "LEAKAGE: 60 items are both anchors and test items" in done.out


@pytest.fixture(scope="module")
def stitched(cli, folder, tmp_path_factory):
    """A stitched folder of all anchors, which knows them by hashes."""
    out = tmp_path_factory.mktemp("own") / "stitched"
    done = cli("stitch", "demo:general", "demo:text", "--anchors", folder / "anchors.csv", "--head", "prompts:phantom",
               "--out", out, "--solver", "procrustes")  # fmt: skip
    assert done.code == 0, done.err
    return out


def lines_of(table, start, stop):
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    return [rows[0], *rows[1:][start:stop]]


def written(path, rows):
    with path.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    return path


JUDGE = ("--groups", "patient", "--min-positives", 2, "--replicates", 20)


def test_labels_of_a_folders_own_anchors_are_not_counted_as_left_over(cli, folder, stitched):
    done = cli("evaluate", stitched, "--labels", folder / "labels.csv", "--items", folder / "scans", *JUDGE)
    assert done.code == 0, done.err
    assert "60 labelled items are anchors that the map was fitted on" in done.out
    assert "labelled items are not" not in done.out
    assert "labelled items are neither" not in done.out


def test_only_labels_of_neither_anchors_nor_calibration_items_are_counted(cli, folder, stitched, tmp_path):
    rows = lines_of(folder / "labels.csv", 60, 120)[1:]
    paths = {"test": rows[:25], "calibration": rows[25:55]}
    tables = {name: written(tmp_path / f"{name}.csv", [["path"], *([one[0]] for one in some)])
              for name, some in paths.items()}  # fmt: skip
    done = cli("zeroshot", stitched, "--items", tables["calibration"], "--root", folder, "--out", tmp_path / "c.csv")
    assert done.code == 0, done.err
    labels = ("--labels", folder / "labels.csv", "--items", tables["test"], "--root", folder, *JUDGE)
    done = cli("evaluate", stitched, *labels, "--calibrate", tmp_path / "c.csv")
    assert done.code == 0, done.err
    assert "5 of 60 labelled items are neither scored nor calibration items" in done.out
    done = cli("evaluate", stitched, *labels)
    assert "35 of 60 labelled items are not scored" in done.out


def held_out(folder, tmp_path):
    """Pairs of the test films, with texts."""
    rows = lines_of(folder / "labels.csv", 60, 120)[1:]
    texts = make_phantoms(60, seed=2).reports
    table = [[str(folder / row[0]), text, row[1]] for row, text in zip(rows, texts, strict=True)]
    return written(tmp_path / "held-out.csv", [["path", "text", "patient"], *table])


def test_the_audit_says_that_vectors_are_compared_where_they_are(cli, folder, stitched, tmp_path):
    fresh = held_out(folder, tmp_path)
    seen = "the same item under another id is looked for by its vectors"
    done = cli("gate", stitched, "--test", fresh, "--min-mrr", "0.01")
    assert seen in done.out, done.err
    done = cli("diagnose", stitched, "demo:general", "demo:text", "--test", fresh, "--out", tmp_path / "page")
    assert seen in done.out, done.err
    own = [["id", "path", "text", "patient"]]
    for i, row in enumerate(lines_of(folder / "anchors.csv", 0, 60)[1:]):
        own.append([f"new-{i}", str(folder / row[0]), row[1], f"other{i}"])
    renamed = written(tmp_path / "renamed.csv", own)
    done = cli("gate", stitched, "--test", renamed, "--min-mrr", "0.01")
    assert done.code == 4
    assert "pairs of vectors" in done.err


@pytest.mark.parametrize("verb", ["align", "stitch", "zeroshot"])
def test_anchors_without_patients_say_which_columns_are_looked_for(cli, folder, tmp_path, verb):
    rows = lines_of(folder / "anchors.csv", 0, 60)
    table = written(tmp_path / "nobody.csv", [["path", "text"], *([folder / one[0], one[1]] for one in rows[1:])])
    more = {"zeroshot": ("--prompts", "phantom", "--items", folder / "scans"), "stitch": ("--head", "prompts:phantom")}
    out = tmp_path / ("s.csv" if verb == "zeroshot" else "out")
    done = cli(verb, "demo:general", "demo:text", "--anchors", table, "--solver", "procrustes", *more.get(verb, ()),
               "--out", out)  # fmt: skip
    assert done.code == 0, done.err
    assert "anchors   60 pairs; patients not known" in done.out
    assert "note      patients not known" in done.out
    for word in ("'patient'", "'patient_id'", "--groups"):
        assert word in done.out
    if verb != "zeroshot":
        assert "60 pairs, patients not known" in (out / "README.md").read_text()


def test_a_map_saved_from_python_says_what_to_do_to_score_and_to_gate(cli, folder, tmp_path):
    pairs = sk.read_anchors(folder / "anchors.csv")
    x, y = (sk.embed(sk.load_encoder(name), items) for name, items in
            (("demo:general", pairs.source_items), ("demo:text", pairs.target_items)))  # fmt: skip
    sk.save(sk.align(x, y, groups=pairs.groups, solver=sk.Procrustes()), tmp_path / "map")
    done = cli("zeroshot", tmp_path / "map", "--items", folder / "scans", "--out", tmp_path / "s.csv")
    assert done.code == 2
    assert "names no encoder" in done.err
    assert "files of embeddings" not in done.err
    for step in ("stitchkit stitch SOURCE TARGET --anchors CSV", "sk.stitch(encoder, alignment)"):
        assert step in done.err
    fresh = held_out(folder, tmp_path)
    done = cli("gate", tmp_path / "map", "--test", fresh, "--min-mrr", "0.01")
    assert done.code == 2
    for side, name in (("source", "demo:general"), ("target", "demo:text")):
        assert f"{side} side ({name!r}" in done.err
        assert f"stitchkit embed {side.upper()} {fresh} --out {side}.safetensors" in done.err
        assert f"--{side} {side}.safetensors" in done.err
        made = cli("embed", name, fresh, "--out", tmp_path / f"{side}.safetensors")
        assert made.code == 0, made.err
    files = ("--source", tmp_path / "source.safetensors", "--target", tmp_path / "target.safetensors")
    assert cli("gate", tmp_path / "map", "--test", fresh, "--min-mrr", "0.01", *files).code == 0


@pytest.fixture(scope="module")
def others(folder, tmp_path_factory):
    """Folders that are no alignment, by name."""
    root = tmp_path_factory.mktemp("others")
    for name in ("empty", "page", "checkpoint"):
        (root / name).mkdir()
    (root / "page" / "report.html").write_text("<html></html>")
    (root / "checkpoint" / "config.json").write_text('{"model_type": "bert"}')
    (root / "checkpoint" / "model.safetensors").write_bytes(b"")
    return {"films": folder / "scans", **{name: root / name for name in ("empty", "page", "checkpoint")}}


@pytest.mark.parametrize("name", ["films", "empty", "page", "checkpoint"])
def test_another_folder_than_an_alignment_is_the_callers_mistake(cli, folder, others, tmp_path, name):
    films, table = folder / "scans", folder / "anchors.csv"
    lines = {
        "gate": (others[name], "--test", table, "--min-mrr", "0.1"),
        "diagnose": (others[name], "demo:general", "demo:text", "--test", table, "--out", tmp_path / "d"),
        "zeroshot": (others[name], "--items", films, "--out", tmp_path / "s.csv"),
        "evaluate": (others[name], "--items", films, "--labels", folder / "labels.csv"),
        **({} if name == "checkpoint" else {"info": (others[name],)}),
    }
    for verb, line in lines.items():
        done = cli(verb, *line)
        assert done.code == 2, (verb, done.err)
        assert f"{others[name]} is no alignment or stitched folder: give what 'stitchkit align'" in done.err


def test_a_folder_of_stitchkit_that_is_damaged_is_still_said_to_be(cli, stitched, folder, tmp_path):
    for lost in ("config.json", "model.safetensors"):
        half = tmp_path / lost.partition(".")[0]
        shutil.copytree(stitched, half)
        (half / lost).unlink()
        done = cli("gate", half, "--test", folder / "anchors.csv", "--min-mrr", "0.1")
        assert done.code == 5
        assert "not a complete artefact" in done.err
    (tmp_path / "config" / "config.json").write_text("{")
    done = cli("gate", tmp_path / "config", "--test", folder / "anchors.csv", "--min-mrr", "0.1")
    assert done.code == 5
