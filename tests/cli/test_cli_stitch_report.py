"""``stitchkit stitch`` writes its report: a diagnosis without labels, with them the comparison on its own anchors."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from stitchkit.datasets.phantoms import FINDINGS, make_phantoms

pytestmark = pytest.mark.usefixtures("quick_probes")
JUDGED = ("--class", "edema", "--class", "cardiomegaly", "--min-positives", 3, "--replicates", 40)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    drawn = make_phantoms(50, seed=3)
    with (folder / "anchors.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "text", "patient", "view", *FINDINGS])
        for i, image in enumerate(drawn.images):
            Image.fromarray(np.asarray(image)).save(folder / f"{i}.png")
            truth = drawn.labels[i].astype(int)
            table.writerow([f"{i}.png", drawn.reports[i], drawn.patients[i], drawn.views[i], *truth])
    return folder / "anchors.csv"


def run(cli, films, target, out, *more):
    given = ("--anchors", films, "--solver", "ridge", "--device", "cpu", "--out", out)
    done = cli("stitch", "demo:general", target, *given, *more)
    assert done.code == 0, done.err
    return done


def test_a_stitched_head_is_compared_with_all_it_must_be(cli, films, tmp_path):
    out = tmp_path / "model"
    done = run(cli, films, "demo:medical", out, "--target-column", "path", "--labels", films, "--metadata", "view",
               "--json", *JUDGED)  # fmt: skip
    methods = {row["method"] for row in done.json["comparison"]["rows"]}
    assert methods == {
        "own head", "naive (cut to width)", "relative representations", "probe on the anchors", "metadata only",
        "procrustes", "ridge", "paper:affine", "paper:linear", "paper:l-ortho", "paper:ortho",
    }  # fmt: skip
    page = (out / "report.html").read_text()
    assert "cross-fitted on the 50 anchors with labels" in page
    assert "stitchkit stitch demo:general demo:medical" in page
    assert "draws of anchors" not in page  # there is one draw
    assert "Intervals (95 %) are over patients, the same for every row" in page
    assert "those of AUROC and of means over classes" in page
    numbers = json.loads((out / "results.json").read_text())
    assert numbers["n"] == 50
    assert {"config.json", "model.safetensors", "README.md", "table.md"} <= {one.name for one in out.iterdir()}


@pytest.mark.usefixtures("undrawn")
def test_a_model_named_by_text_is_compared_too_and_can_be_loaded(cli, films, tmp_path):
    out = tmp_path / "model"
    done = run(cli, films, "demo:text", out, "--head", "prompts:phantom", "--labels", films, *JUDGED)
    assert "chosen by margin between the prompts of 7 classes" in done.out
    assert "correlation of the prompts' scores" in done.out
    assert "minus probe on the anchors" in done.out
    assert f"open {out / 'report.html'}" in done.out
    import stitchkit as sk

    assert sk.load(out, device="cpu").head.classes == FINDINGS


def test_without_labels_the_report_is_a_diagnosis(cli, films, tmp_path):
    out = tmp_path / "model"
    done = run(cli, films, "demo:medical", out, "--target-column", "path")
    assert "True pairs against random ones" in (out / "report.html").read_text()
    assert "minus" not in done.out
    assert not (out / "results.json").exists()


def test_a_head_of_ones_own_drives_it(cli, films, tmp_path):
    file = tmp_path / "head.py"
    file.write_text(
        "import stitchkit as sk\n"
        "def load_head():\n    return sk.load_encoder('demo:medical', device='cpu').classifier()\n"
    )
    out = tmp_path / "model"
    done = run(
        cli, films, "demo:medical", out, "--target-column", "path", "--head", f"python:{file}:load_head", "--json"
    )
    assert done.json["classes"] == list(FINDINGS)


def test_too_few_labelled_anchors_are_refused_and_nothing_is_written(cli, films, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("\n".join(films.read_text().splitlines()[:6]) + "\n")
    out = tmp_path / "model"
    given = ("--anchors", films, "--target-column", "path", "--solver", "ridge", "--device", "cpu")
    done = cli("stitch", "demo:general", "demo:medical", *given, "--labels", few, "--out", out, *JUDGED)
    assert done.code == 4
    assert "5 anchors have labels, too few to judge by" in done.err
    assert [one.name for one in tmp_path.iterdir()] == ["few.csv"]


@pytest.mark.usefixtures("undrawn")
def test_images_and_markdown_are_given_when_asked_for(cli, films, tmp_path):
    out = tmp_path / "model"
    done = run(cli, films, "demo:medical", out, "--target-column", "path", "--labels", films, "--images", 2,
               "--format", "md", *JUDGED)  # fmt: skip
    assert done.out == (out / "table.md").read_text() + "\n"
    assert done.out.startswith("# general stitched to medical")
    assert (out / "report.html").read_text().count("data:image/jpeg") == 12


@pytest.mark.parametrize("more", [("--images", 2), ("--format", "md")])
def test_what_is_about_the_comparison_needs_labels(cli, films, tmp_path, more):
    done = cli("stitch", "demo:general", "demo:medical", "--anchors", films, "--target-column", "path", "--out",
               tmp_path / "model", *more)  # fmt: skip
    assert done.code == 2
    assert "--labels" in done.err
    assert not (tmp_path / "model").exists()
