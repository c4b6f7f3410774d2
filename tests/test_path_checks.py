"""Whatever is no path is refused by every reader, before anything is read there."""

from __future__ import annotations

import errno
import os

import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, ModelUnavailableError
from stitchkit.datasets.images import read_image
from stitchkit.datasets.tables import read_items
from stitchkit.path_checks import checked_path
from stitchkit.score_tables import read_scores
from stitchkit.stitching import load_head
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
    "moments": lambda path: sk.load_moments(path),
    "alignment": lambda path: sk.load_alignment(path),
    "joint": lambda path: sk.load_joint(path),
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
