"""A fusion study: the fused head and its rivals in one table, with everything and with each input alone."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, LeakageError
from stitchkit.studies.plans import read_plan

PLAN = """
kind = "fusion"
name = "lesions"
recipe = "fusion.toml"
[data]
layout = "table"
root = "."
folds = 2
[data.reader]
table = "table.csv"
label = "dx"
patient = "patient"
[grid]
sources = ["image.safetensors"]
columns = [{columns}]
arms = ["fused", "zero filling", "average of single heads"]
seeds = 2
[judge]
multiclass = true
min_positives = 5
replicates = 50
"""
RECIPE = (
    "hidden = 12\nepochs = 5\ncontrastive = 'none'\nbatch = 40\nlearning_rate = 0.004\nweight_decay = [0.1]\nheld = 0\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place, rng = tmp_path_factory.mktemp("fusion"), np.random.default_rng(0)
    n = 160
    kind = rng.integers(0, 3, n)
    ids = [f"images/{i}.png" for i in range(n)]
    (place / "images").mkdir()
    with (place / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "age", "sex", "dx", "patient"])
        for i, one in enumerate(ids):
            (place / one).write_bytes(b"x")
            age = "" if rng.random() < 0.2 else int(50 + 12 * (kind[i] == 2) + 9 * rng.normal())
            table.writerow([one, age, rng.choice(["f", "m"]), ["nev", "mel", "bcc"][kind[i]], f"p{i // 2}"])
    vectors = rng.normal(size=(n, 16)) + 1.5 * np.eye(16)[kind]
    sk.write_embeddings(place / "image.safetensors", sk.Embeddings(vectors, ids, sk.Space("net", 16, "f1")))
    (place / "fusion.toml").write_text(RECIPE)
    (place / "plan.toml").write_text(PLAN.format(columns='"age", "sex"'))
    return place


@pytest.fixture(scope="module")
def summary(folder):
    return sk.study(folder / "plan.toml", folder / "out", progress=False)


def test_every_arm_stands_beside_the_fused_head_with_everything_and_with_each_input_alone(summary):
    rows = {(row.target, row.method): row for row in summary.rows}
    arms = {"fused", "zero filling", "average of single heads", "items alone", "table alone"}
    assert set(rows) == {(shown, arm) for shown in ("everything", "items alone", "table alone") for arm in arms}
    assert all(len(row.draws) == 2 for row in rows.values())
    assert rows["everything", "fused"].macro.low > 0.6
    assert set(rows["everything", "zero filling"].gaps) == {"fused"}
    assert rows["table alone", "items alone"].macro.value == pytest.approx(0.5)  # it has nothing to read
    assert "balanced_accuracy" in rows["everything", "fused"].measures


def test_finished_cells_are_not_done_again_and_the_page_says_what_was_compared(folder, summary, monkeypatch):
    def refuse(*_, **__):
        pytest.fail("an arm was fitted again")

    monkeypatch.setattr("stitchkit.studies.jobs.fusion.fit_arms", refuse)
    again = sk.study(folder / "plan.toml", folder / "out", progress=False)
    assert [row.macro for row in again.rows] == [row.macro for row in summary.rows]
    page = (folder / "out" / "report.html").read_text()
    for words in (
        "Fusion: items and a table",
        "table alone",
        "zero filling",
        "chose its strength on held-out patients",
    ):
        assert words in page


def test_a_plan_with_an_unknown_arm_or_column_or_the_label_among_its_columns_is_refused(folder):
    path = folder / "other.toml"
    path.write_text(PLAN.format(columns='"age"').replace('"zero filling"', '"xgboost"'))
    with pytest.raises(DataError, match="no arm of a fusion study is called 'xgboost'"):
        sk.study(path, folder / "other", progress=False)
    path.write_text(PLAN.format(columns='"agee"'))
    with pytest.raises(DataError, match="agee"):
        sk.study(path, folder / "other", progress=False)
    path.write_text(PLAN.format(columns='"age"]\ncategories = ["sex"'))
    with pytest.raises(DataError, match="no column of the grid is called 'sex'"):
        sk.study(path, folder / "other", progress=False)
    path.write_text(PLAN.format(columns='"dx"'))
    with pytest.raises(LeakageError, match="column 'dx' tells the label"):
        sk.study(path, folder / "other", progress=False)


def test_numbers_that_the_plan_calls_categories_are_categories(folder, tmp_path):
    from stitchkit.studies.jobs.fusion import FusionJobs
    from stitchkit.studies.study_data import StudyData

    plan = folder / "codes.toml"
    plan.write_text(PLAN.format(columns='"age", "sex"]\ncategories = ["age"'))
    read = read_plan(plan)
    jobs = FusionJobs(read, StudyData.of(read, None))
    assert [values.dtype.kind for values in jobs.table.columns.values()] == ["U", "U"]
    assert set(jobs.table.columns["age"][:20].tolist()) <= {"", *map(str, range(100))}


def test_files_of_a_plan_lie_beside_it(folder):
    plan = read_plan(folder / "plan.toml")
    assert plan.grid.sources == (str(folder / "image.safetensors"),)
    assert plan.recipe == folder / "fusion.toml"
    assert plan.kind == "fusion"
