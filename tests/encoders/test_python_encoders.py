"""Encoders of the user's own: the contract, and what is outside it."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.encoders import load_encoder


@pytest.fixture
def mine(checkpoint):
    return f"python:{checkpoint('python_file')}/mine.py"


def test_a_module_on_the_path_is_found_by_its_import_name(tmp_path, monkeypatch, images):
    (tmp_path / "my_encoders.py").write_text("def means(items):\n    return [[i.mean(), i.std()] for i in items]\n"
                                             "means.dim = 2\n")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    encoder = load_encoder("python:my_encoders:means", device="cpu")
    assert encoder.space.dim == 2
    assert encoder.encode(encoder.prepare(images)).pooled.shape == (5, 2)
    sys.modules.pop("my_encoders")


def thumbnails(items):
    return [[one.mean()] for one in items]


thumbnails.dim = 1


@pytest.mark.parametrize("kind", ["__main__", "made_by_hand"])
def test_a_module_that_is_imported_already_is_used(kind, monkeypatch, images):
    module = ModuleType(kind)  # without an origin, as __main__ in a notebook
    module.thumbnails = thumbnails
    monkeypatch.setitem(sys.modules, kind, module)
    encoder = load_encoder(f"python:{kind}:thumbnails", device="cpu")
    assert encoder.encode(encoder.prepare(images)).pooled.shape == (5, 1)


def test_a_module_whose_import_is_forbidden_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "forbidden_here", None)
    with pytest.raises(ModelUnavailableError, match="no module 'forbidden_here' can be imported"):
        load_encoder("python:forbidden_here:x", device="cpu")


def test_an_encoder_keeps_its_own_space_under_the_name_that_loads_it(mine):
    encoder = load_encoder(f"{mine}:Whole", device="cpu")
    assert (encoder.name, encoder.space.fingerprint) == (f"{mine}:Whole", "0123456789abcdef")
    with pytest.raises(InputError, match="no classifier"):
        encoder.classifier()


def test_the_classifier_of_a_wrapped_encoder_is_passed_on(checkpoint, tmp_path):
    (tmp_path / "wrap.py").write_text(
        "from stitchkit.encoders import load_encoder\n"
        "def load(path):\n    return load_encoder('timm:' + path, device='cpu')\n"
    )
    encoder = load_encoder(f"python:{tmp_path}/wrap.py:load#path={checkpoint('timm_vit')}", device="cpu")
    assert encoder.classifier().classes == ("finding 0", "finding 1", "finding 2")


def test_the_fingerprint_follows_source_options_and_named_files(checkpoint, tmp_path):
    source = (checkpoint("python_file") / "mine.py").read_text()
    weights = tmp_path / "weights.bin"

    def mark(options="", text=source, content=b"1"):
        (tmp_path / "mine.py").write_text(text)
        weights.write_bytes(content)
        return load_encoder(f"python:{tmp_path}/mine.py:Thumbnails{options}", device="cpu").space.fingerprint

    named = f"#weights={weights}"
    marks = [mark(), mark("#dim=6"), mark(named), mark(named, content=b"2"), mark(text=source + "\n# changed\n")]
    assert len(set(marks)) == 5
    assert mark(named) == marks[2]
    assert mark(f"#weights={tmp_path}") != mark(named)


@pytest.mark.parametrize(
    ("attribute", "error", "message"),
    [
        ("thumbnail", UnknownNameError, "is called 'thumbnail'; nearest: thumbnails"),
        ("bare", InputError, r"torch module without prepare\(items\)"),
        ("number", InputError, "is a int, which is no encoder"),
        ("number#k=v", InputError, "a int cannot be called"),
        ("Thumbnails#size=3", InputError, "the options do not fit .*size"),
        ("load_thumbnails", InputError, "the options do not fit .*dim"),
        ("Speech", InputError, "modality 'speech'"),
        ("flat", InputError, r"shape \(1,\) for one image; it must be \(1, d\)"),
        ("nan", InputError, "NaN or infinity for a neutral image"),
    ],
)
def test_things_outside_the_contract_are_refused(mine, attribute, error, message):
    with pytest.raises(error, match=message):
        load_encoder(f"{mine}:{attribute}", device="cpu")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("python:/nowhere/mine.py:thing", ModelUnavailableError, "there is no file /nowhere/mine.py"),
        ("python:no_such_package.module:thing", ModelUnavailableError, "no module 'no_such_package.module'"),
        ("python:json.nothing:thing", ModelUnavailableError, "no module 'json.nothing'"),
        ("python:my-module:thing", ModelUnavailableError, "no module 'my-module'"),
        ("python:..:thing", ModelUnavailableError, "no module"),
        ("python:json", InputError, "needs python:package.module:attribute"),
        ("python:json:loads@v1", InputError, "no revisions"),
    ],
)
def test_modules_that_are_not_there_are_refused(name, error, message):
    with pytest.raises(error, match=message):
        load_encoder(name, device="cpu")


OWN = """
import functools, subprocess
from collections import OrderedDict
from subprocess import Popen, run as load_run
import numpy as np
from other_library import Encoder


class Mine:
    dim = 2
    def __init__(self, scale="1"):
        self.scale = float(scale)
    def __call__(self, items):
        return np.full((len(items), 2), self.scale)


@functools.lru_cache
def load_mine(scale="2"):
    return Mine(scale)


def look(items):
    return np.ones((len(items), 2))


Alias, instance, part = Mine, Mine(), functools.partial(look)
small = lambda items: np.ones((len(items), 2))
inner = (lambda: (lambda items, k="1": items))()
builtin = len
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "other_library.py").write_text(
        "class Encoder:\n    dim = 2\n    def __call__(self, items):\n        return items\n"
    )
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield f"python:{tmp_path}/own.py"
    sys.modules.pop("other_library", None)


@pytest.mark.parametrize(
    "attribute",
    ["Mine", "Mine#scale=3", "Alias#scale=3", "load_mine", "load_mine#scale=4", "look", "instance", "part", "small"],
)
def test_what_is_written_in_the_module_is_called_and_used(own, attribute):
    assert load_encoder(f"{own}:{attribute}", device="cpu").space.dim == 2


@pytest.mark.parametrize(
    "attribute",
    ["Encoder", "Popen#args=ls", "load_run#args=ls", "OrderedDict", "instance#items=x", "part#items=x", "small#items=x",
     "inner#items=x", "builtin#obj=x"],
)  # fmt: skip
def test_what_comes_from_elsewhere_is_not_called(own, attribute):
    with pytest.raises(InputError, match="Write 'def load_"):
        load_encoder(f"{own}:{attribute}", device="cpu")


@pytest.mark.parametrize(
    "name", ["os:system#command=exit", "os:popen#cmd=exit", "subprocess:Popen#args=x", "builtins:exec#source=1"]
)
def test_functions_of_the_standard_library_are_not_called(name):
    with pytest.raises(InputError, match="Write 'def load_"):
        load_encoder(f"python:{name}", device="cpu")
