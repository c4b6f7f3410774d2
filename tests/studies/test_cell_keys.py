"""Keys of cells stay the same for the same settings, so that kept studies stay of use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stitchkit
from stitchkit.core.items import Items
from stitchkit.core.scores import Labels
from stitchkit.core.space import Space
from stitchkit.datasets.cohorts import Cohort
from stitchkit.studies.jobs.retrieval import RetrievalJobs
from stitchkit.studies.jobs.stitching import StitchingJobs
from stitchkit.studies.jobs.zero_shot import ZeroShotJobs
from stitchkit.studies.plans import read_plan
from stitchkit.studies.study_data import Fold, StudyData
from stitchkit.training.recipes import read_recipe

PLAN = """kind = "{kind}"
seed = 3
{top}
[data]
layout = "table"
root = "."
metadata = ["view"]
[grid]
sources = ["demo:text"]
targets = ["demo:other"]
solvers = ["ridge", "paper:affine"]
anchors = [3, "all"]
draws = 2
{grid}
[rename]
b = "a2"
"""
PROMPTS = '[classes.a]\npositive = ["an a"]\nnegative = ["no a"]\n'
KINDS = {  # jobs, lines of a plan, and the keys as version "0" of the package made them
    "stitching": (
        StitchingJobs, 'head = "identity"\nhead_classes = ["a", "c", "d"]', "",
        ["f8c71e8a50f67c7e05df2fb0", "937fa4256cbf1094f7578915", "ff22b6772145e0a46da6880f", "9272ae95f683edf77a986f82",
         "51a9c19d18c6269772238d2c", "5bc63ebc44b166c47e9ad627", "ccff1a1ad66a2a13a97a0e34", "0f58193404022d70ab15fca5",
         "90780e7c7b7d3338f7dc5b80", "98b177065ca75e95e08eef5e", "330fc6555d71b5002be2f8a0", "ad0a7d860f7f26eac89a2a99",
         "c7388b2489501e2e589594a8", "728c67a4d5137b0c96c1eafa", "f3aa01ae3edbcbb393f0c580", "acfc148376cda8568674bd5c",
         "22a65a413baa9bab316ff9f4"],
    ),
    "zeroshot": (
        ZeroShotJobs, 'prompts = "mine.toml"', 'clip = ["hf:x#a=b"]',
        ["f8c71e8a50f67c7e05df2fb0", "937fa4256cbf1094f7578915", "ff22b6772145e0a46da6880f", "9272ae95f683edf77a986f82",
         "51a9c19d18c6269772238d2c", "5bc63ebc44b166c47e9ad627", "6d150f17775c58632661e5bc", "71d1da784263de122aa0d2d8",
         "7796a8d8684c09498c229eb2", "91f257f5920447d130d0270d", "8de1eb18e519fdd887fd8b0f", "f2fa317f8d08e91da5a77ddf",
         "6cab7c3e8a5315293cb1459c"],
    ),
    "retrieval": (
        RetrievalJobs, "", "",
        ["708e181e1ea08ffb7378cebf", "5587f759fc58e8c2fa0945f3", "f10711c88c2c1acda1d03655", "b9b5d8d1ab0fb41a5bd0b835",
         "1fb0db2566a18d5af25c00ff", "c317520d396eb4b82d58f5c0"],
    ),
}  # fmt: skip
RECIPE = """name = "r"
seed = 2
[network]
size = "small"
width = 384
shared = [1, 2]
features = 4
grey = true
[pairs]
layout = "table"
root = "/data/films"
held = 0.25
fraction = 1
[pairs.reader]
text = "text"
classes = []
[training]
{end}
rate = 1e-3
decay = 0
precision = "bf16"
"""
RUNS = {  # lines of a recipe -> the key of a run
    "steps = 40": "6fde1797770f257ff1398459",
    "epochs = 3\nbatch = 64": "ad706eb1e5996b90341fcb6b",
    "chunk = 8\nzoom = 2": "d72c279cb93f406fb9c7ec5b",
}


class NoEncoder:
    modality = "text"

    def __init__(self, name):
        self.name, self.space = name, Space(name, 3, f"print of {name}")


class Loader:
    device, dtype = "cpu", "float32"

    def encoder(self, name):
        return NoEncoder(name)

    def embed(self, encoder, items):
        pytest.fail("a key needs no vectors of an encoder with a fingerprint")


@pytest.fixture(autouse=True)
def _version(monkeypatch):
    monkeypatch.setattr(stitchkit, "__version__", "0")


def data_of(kind):
    ids = np.asarray([f"i{k}" for k in range(12)])
    labels = Labels(np.arange(24).reshape(12, 2) % 3 == 0, ids, ("a", "b"),
                    np.asarray([f"p{k // 2}" for k in range(12)]), {"view": np.asarray(["AP", "PA"] * 6)})  # fmt: skip
    items, texts = (Items(ids, [f"{word} {k}" for k in range(12)], "text") for word in ("text", "report"))
    rows = np.arange(8)
    draws = {(3, 0): rows[[0, 1, 2]], (3, 1): rows[[2, 3, 4]], (None, 0): rows}
    folds = (Fold(rows, np.arange(8, 12), draws),)
    return StudyData(Cohort(items, labels, texts=texts), folds, Loader(), (), ("view",), kind == "retrieval")


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_cells_are_those_of_before(kind, tmp_path):
    jobs, top, grid, keys = KINDS[kind]
    (tmp_path / "mine.toml").write_text(PROMPTS)
    (tmp_path / "plan.toml").write_text(PLAN.format(kind=kind, top=top, grid=grid))
    study = jobs(read_plan(tmp_path / "plan.toml"), data_of(kind))
    assert [job.cell.key(job.circumstances) for job in study.jobs()] == keys
    assert study.count == len(keys)


def test_another_precision_is_another_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(Loader, "dtype", "float16")
    jobs, top, grid, keys = KINDS["retrieval"]
    (tmp_path / "plan.toml").write_text(PLAN.format(kind="retrieval", top=top, grid=grid))
    study = jobs(read_plan(tmp_path / "plan.toml"), data_of("retrieval"))
    assert not {job.cell.key(job.circumstances) for job in study.jobs()} & set(keys)


@pytest.mark.parametrize("end", RUNS)
def test_keys_of_training_runs_are_those_of_before(end, tmp_path):
    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    from stitchkit.studies.jobs.training import ArmRun

    (tmp_path / "recipe.toml").write_text(RECIPE.format(end=end))
    run = ArmRun("arm", read_recipe(tmp_path / "recipe.toml"), 40, ("image", "text"))
    assert run.cell.key(run.circumstances("digest of the pairs")) == RUNS[end]


@pytest.mark.parametrize("objective", ["equal_captions = false", "temperature = 0.1"])
def test_another_objective_is_another_run(objective, tmp_path):
    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    from stitchkit.studies.jobs.training import ArmRun

    (tmp_path / "recipe.toml").write_text(RECIPE.format(end="steps = 40"))
    arms = f"[arms.one]\n[arms.two.objective]\n{objective}\n"
    (tmp_path / "plan.toml").write_text(f'kind = "training"\nrecipe = "recipe.toml"\n{arms}')
    recipes = read_plan(tmp_path / "plan.toml").recipes.values()
    first, other = (ArmRun("arm", one, 40, ("image", "text")) for one in recipes)
    assert first.cell.key(first.circumstances("digest of the pairs")) == RUNS["steps = 40"]
    assert other.cell.key(other.circumstances("digest of the pairs")) != RUNS["steps = 40"]


def test_a_plan_is_read_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "recipe.toml").write_text(RECIPE.format(end="steps = 4").replace("/data/films", "films"))
    monkeypatch.chdir(tmp_path)
    assert read_recipe("recipe.toml").to_dict()["pairs"]["root"] == str(tmp_path / "films")
    assert read_recipe(Path("recipe.toml")).pairs.root.is_absolute()


def test_runs_of_every_objective_have_keys_of_their_own(tmp_path):
    """Settings of several objectives are those of CLIP's and more, and their runs are none of CLIP's."""
    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    from stitchkit.studies.jobs.training import ArmRun
    from stitchkit.training.objectives import OBJECTIVES

    keys = set()
    for name in OBJECTIVES:
        (tmp_path / "recipe.toml").write_text(RECIPE.format(end="steps = 40") + f'\n[objective]\nname = "{name}"\n')
        run = ArmRun("arm", read_recipe(tmp_path / "recipe.toml"), 40, ("image", "text"))
        keys.add(run.cell.key(run.circumstances("digest of the pairs")))
    assert len(keys) == len(OBJECTIVES)


def test_an_item_with_other_pixels_under_the_same_id_is_another_item():
    def digest(pixels, kind=np.asarray):
        data = data_of("zeroshot")
        values = [kind(pixels)] * len(data.cohort)
        images = Items(data.cohort.images.ids, values, "image")
        return replace(data, cohort=replace(data.cohort, images=images), cache={}).items_digest((3, 0), ("a",))

    dark, light = np.zeros((4, 4), np.uint8), np.full((4, 4), 9, np.uint8)
    assert digest(dark) == digest(dark.copy()) == digest(dark, Image.fromarray)
    assert digest(dark) != digest(light)
    assert digest(dark, Image.fromarray) != digest(light, Image.fromarray)
    assert digest(dark) != digest(dark.reshape(2, 8))
