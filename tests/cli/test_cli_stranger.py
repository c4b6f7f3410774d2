"""README's own sequence on a folder that somebody else made: one table, images below it, other ids than ours."""

from __future__ import annotations

import csv
import shutil

import pytest
from PIL import Image

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
    scores, line = tmp_path / "scores.csv", ("demo:general", "demo:text", "--anchors", folder / "anchors.csv")
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
