"""What is no path, and what is a pipe or a device, is refused by every reader, before anything is read there."""

from __future__ import annotations

import errno
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.cli.paths import new_file, new_folder
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError, StitchError
from stitchkit.core.scores import Scores
from stitchkit.core.space import Space
from stitchkit.datasets.content_keys import content_key
from stitchkit.datasets.embeddable_items import check_left_out
from stitchkit.datasets.images import read_image
from stitchkit.datasets.tables import read_items
from stitchkit.encoders.checkpoints import check_weights, settings_in
from stitchkit.encoders.folder_kinds import adapter
from stitchkit.reports.descriptions import describe
from stitchkit.storage.atomic_writes import replace_file
from stitchkit.storage.embedding_cache import SpaceCache
from stitchkit.storage.folders import refresh_folder, write_folder
from stitchkit.storage.heads import load_head
from stitchkit.storage.path_checks import checked_file, checked_path, resolved_path
from stitchkit.storage.scores import check_scores_path, read_scores, write_scores
from stitchkit.storage.toml_files import read_toml
from stitchkit.studies.cells import CellLog
from stitchkit.studies.identity import read_identity
from stitchkit.studies.plans import read_plan
from stitchkit.training.recipes import read_recipe

READERS = {
    "image": lambda path: read_image(path),
    "items": lambda path: read_items(path),
    "anchors": lambda path: sk.read_anchors(path),
    "labels": lambda path: sk.read_labels(path, classes=["Edema"]),
    "prompts": lambda path: sk.read_prompts(path + ".toml"),
    "cohort": lambda path: sk.read_cohort("nih", path),
    "scores": lambda path: read_scores(path),
    "embeddings": lambda path: sk.read_embeddings(path),
    "moments": lambda path: sk.load(path),
    "alignment": lambda path: sk.load(path),
    "joint": lambda path: sk.load(path),
    "model": lambda path: sk.load(path),
    "head": lambda path: load_head(path),
    "plan": lambda path: read_plan(path),
    "recipe": lambda path: read_recipe(path),
    "hf": lambda path: sk.load_encoder(f"hf:local-dir:{path}", device="cpu"),
    "timm": lambda path: sk.load_encoder(f"timm:local-dir:{path}", device="cpu"),
    "stitchkit": lambda path: sk.load_encoder(f"stitchkit:{path}", device="cpu"),
    "python file": lambda path: sk.load_encoder(f"python:{path}.py:encoder", device="cpu"),
}
BY_NAME = {
    "python": (lambda name: sk.load_encoder(f"python:{name}:encoder", device="cpu"), "no module '.* can be imported"),
    "demo": (lambda name: sk.load_encoder(f"demo:{name}", device="cpu"), "no demo encoder is called '"),
}
TOO_LONG = r"^a path of \d+ characters is longer than a file system takes\. Check it: was a text given for a path\?$"
NO_PATHS = {  # path, error
    "a text": ("No pleural effusion. " * 300, TOO_LONG),
    "a long name": ("/" + "a" * 300, TOO_LONG),
    "NUL": ("films\0.png", r"^'films\\x00\.png.*' is no path: embedded null (byte|character)"),
    "half a surrogate pair": ("films\ud800.png", r"^'films\\ud800\.png.*' is no path: .* surrogates not allowed"),
    "another's home": ("~nosuchuser/films", r"there is no [a-z ]+ .*~nosuchuser/films"),
    "nothing": ("no/such/folder", r"there is no [a-z ]+ .*no/such/folder"),
}


@pytest.mark.parametrize("odd", NO_PATHS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_path_is_refused_by_every_reader(reader, odd):
    path, message = NO_PATHS[odd]
    with pytest.raises(sk.StitchError, match=message):
        READERS[reader](path)


@pytest.mark.parametrize("odd", NO_PATHS)
@pytest.mark.parametrize("family", BY_NAME)
def test_what_is_no_name_is_refused(family, odd):
    load, message = BY_NAME[family]
    with pytest.raises(sk.StitchError, match=message):
        load(NO_PATHS[odd][0])


def test_a_text_given_for_a_path_is_not_repeated():
    with pytest.raises(DataError, match=r"^a path of 6300 characters is longer .* was a text given for a path\?$"):
        sk.read_prompts(NO_PATHS["a text"][0])


def test_a_folder_that_may_not_be_entered_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(ModelUnavailableError, match=r"films cannot be read: Permission denied\. Check its permissions"):
        checked_path(tmp_path / "films", ModelUnavailableError)


PIPES = {  # a file that is a pipe -> the reader of it; of some the folder is read
    "toml.toml": lambda path: read_toml(path),
    "plan.toml": lambda path: read_plan(path),
    "recipe.toml": lambda path: read_recipe(path),
    "prompts.toml": lambda path: sk.read_prompts(path),
    "prompts.json": lambda path: sk.read_prompts(path),
    "labels.csv": lambda path: sk.read_labels(path),
    "anchors.jsonl": lambda path: sk.read_anchors(path),
    "items.txt": lambda path: read_items(path),
    "scores.csv": lambda path: read_scores(path),
    "written.csv": lambda path: check_scores_path(path),
    "left_out.csv": lambda path: check_left_out(path),
    "embeddings.safetensors": lambda path: sk.read_embeddings(path),
    "described/config.json": lambda path: describe(path.parent),
    "model/config.json": lambda path: settings_in(path),
    "model/model.safetensors": lambda path: check_weights(path),
    "model/adapter_config.json": lambda path: adapter(path.parent),
    "study/study.json": lambda path: read_identity(path.parent),
    "study/cells.jsonl": lambda path: CellLog(path.parent),
    "shelf/lock": lambda path: SpaceCache(path.parent, 2, "float32"),
    "shelf/manifest.jsonl": lambda path: SpaceCache(path.parent, 2, "float32"),
    "shelf/vectors.bin": lambda path: SpaceCache(path.parent, 2, "float32"),
    "image.png": lambda path: read_image(path),
    "key.png": lambda path: content_key(path, "image"),
}  # fmt: skip


@pytest.mark.parametrize("file", PIPES)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, file):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    raised = []

    def read():
        try:
            PIPES[file](path)
        except sk.StitchError as error:
            raised.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(60)
    assert len(raised) == 1
    assert f"{path} is a pipe or a device, not a" in raised[0]


def test_a_device_is_refused_and_a_link_to_a_file_is_not(tmp_path):
    (tmp_path / "link.csv").symlink_to(os.devnull)
    with pytest.raises(InputError, match=r"link\.csv is a pipe or a device, not a table on disk\. Write it to a file"):
        checked_file(tmp_path / "link.csv", "a table", InputError)
    (tmp_path / "a.csv").write_text("id")
    (tmp_path / "other.csv").symlink_to(tmp_path / "a.csv")
    assert checked_file(str(tmp_path / "other.csv"), "a table") == tmp_path / "other.csv"
    assert checked_file(tmp_path, "a table") == tmp_path


SPACE = Space("demo", 2, "f1")
VECTORS = Embeddings(np.random.default_rng(0).normal(size=(12, 2)), [f"i{k}" for k in range(12)], SPACE)


def aligned():
    return sk.align(VECTORS, VECTORS, solver="procrustes")


RECIPE = Path(__file__).parents[2] / "examples" / "recipes" / "shared.toml"
PLAN = """kind = "stitching"
head = "identity"
head_classes = ["A", "B"]
[data]
layout = "table"
root = "."
[data.reader]
table = "t.csv"
classes = ["A", "B"]
split = "split"
[grid]
sources = ["x.safetensors"]
targets = ["t.safetensors"]
"""


def study_of(place, folder):
    (folder / "plan.toml").write_text(PLAN)
    (folder / "t.csv").write_text("path,split,A,B\n")
    return sk.study(folder / "plan.toml", place)


def train_in(place, folder):
    return sk.train(RECIPE, place)


WRITERS = {
    "alignment": ("", lambda place, folder: sk.save(aligned(), place)),
    "artefact": ("", lambda place, folder: write_folder(place, {}, {"w": np.ones(2)}, "card")),
    "refreshed artefact": ("", lambda place, folder: refresh_folder(place, {}, {"w": np.ones(2)}, "card")),
    "embeddings": (".safetensors", lambda place, folder: sk.write_embeddings(place, VECTORS)),
    "scores": (".csv", lambda place, folder: write_scores(place, Scores(np.ones((1, 1)), "logit", ["a"], ("A",)))),
    "a path of scores": (".csv", lambda place, folder: check_scores_path(place)),
    "study": ("", study_of),
    "training run": ("", train_in),
    "output folder": ("", lambda place, folder: new_folder(Path(place), overwrite=False)),
    "output file": ("", lambda place, folder: new_file(Path(place), overwrite=False)),
}
LOOPS = {  # the link to itself, and the path through it
    "itself": ("loop{}", "loop{}"),
    "below": ("loop", "loop/x{}"),
    "further below": ("loop", "loop/x/y/z{}"),
    "and up again": ("loop", "loop/../x{}"),
    "from a missing folder": ("loop", "no/../loop/x{}"),
    "two links": ("one", "two/x{}"),
    "by another link": ("loop", "link/x{}"),
}


@pytest.fixture
def loops(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("loop", "loop.safetensors", "loop.csv"):
        Path(name).symlink_to(name)
    Path("one").symlink_to("two")
    Path("two").symlink_to("one")
    Path("link").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_to_itself_is_no_place_to_write(loops, writer, loop):
    ending, write = WRITERS[writer]
    place = LOOPS[loop][1].format(ending)
    before = sorted(loops.iterdir())
    with pytest.raises(InputError, match=rf"{re.escape(place)} cannot be used: .* is a link that leads to itself"):
        write(place, loops)
    if writer != "study":  # whose plan was written
        assert sorted(loops.iterdir()) == before


@pytest.mark.parametrize("loop", [one for one in LOOPS if one != "itself"])
def test_a_file_is_not_replaced_through_a_link_to_itself(loops, loop):
    place = LOOPS[loop][1].format(".bin")
    with pytest.raises(InputError, match="is a link that leads to itself"):
        replace_file(place, b"abc")


@pytest.mark.parametrize("make", [str, Path])
def test_links_that_lead_somewhere_are_followed(tmp_path, make):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    place = tmp_path / "link"
    for k in range(60):  # more than the kernel follows at once
        (tmp_path / f"link{k}").symlink_to(place)
        place = tmp_path / f"link{k}"
    assert resolved_path(make(place / "x.bin")) == (tmp_path / "real" / "x.bin").resolve()
    write_folder(tmp_path / "link" / "model", {}, {"w": np.ones(2)}, "card")
    assert (tmp_path / "real" / "model" / "config.json").exists()


def test_a_data_folder_that_is_a_link_to_itself_is_refused(loops):
    (loops / "plan.toml").write_text(PLAN.replace('root = "."', 'root = "loop"'))
    with pytest.raises(DataError):
        sk.study(loops / "plan.toml", loops / "out")


def test_encoders_at_a_link_to_itself_are_refused(loops):
    for name in ("python:loop/x.py:encoder", "python:./loop.py/../loop/x.py:encoder", "stitchkit:loop", "hf:./loop"):
        with pytest.raises(StitchError):
            sk.load_encoder(name, trust_python=True)
