"""Names read from data: none of them runs Python code without consent, at any depth and in any spelling."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, ModelUnavailableError, StitchError
from stitchkit.encoders import load_encoder, load_recorded
from stitchkit.encoders.consent import Consent

IDS = [f"scan {i}" for i in range(30)]
CODE = """
import pathlib
pathlib.Path({marker!r}).write_text("ran")
import numpy as np


def look(items):
    return np.ones((len(items), 4))


look.dim = 4
"""


class Hostile:
    """A stitched folder whose config can name anything, and the file that shows whether its code ran."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.marker = folder / "stitched", folder / "ran"
        self.file = folder / "evil.py"
        self.file.write_text(CODE.format(marker=str(self.marker)))
        self.code = f"python:{self.file}:look"
        rng = np.random.default_rng(0)
        encoder = load_encoder("demo:text", device="cpu")
        x = sk.Embeddings(rng.normal(size=(30, encoder.space.dim)), IDS, encoder.space)
        y = sk.Embeddings(rng.normal(size=(30, 3)), x.ids, sk.Space("target", 3, "t"))
        sk.stitch(encoder, sk.align(x, y, solver=sk.Ridge(), progress=False)).save(self.folder)

    def naming(self, name: object, key: str = "encoder", folder: str = "stitched") -> Path:
        """The folder, with another name in its config; copied first for another ``folder``."""
        place = self.folder.with_name(folder)
        place.mkdir(exist_ok=True)
        for file in self.folder.iterdir():
            (place / file.name).write_bytes(file.read_bytes())
        config = json.loads((self.folder / "config.json").read_text())
        (place / "config.json").write_text(json.dumps({**config, key: name}))
        return place

    @property
    def ran(self) -> bool:
        return self.marker.exists()


@pytest.fixture
def hostile(tmp_path):
    return Hostile(tmp_path)


LOADS = {
    "load": sk.load,
    "load_encoder": lambda folder, **given: load_encoder(f"stitchkit:{folder}", device="cpu", **given),
}


@pytest.mark.parametrize("verb", LOADS)
def test_a_folder_never_runs_the_file_that_it_names(hostile, verb):
    with pytest.raises(ModelUnavailableError) as error:
        LOADS[verb](hostile.naming(hostile.code))
    assert not hostile.ran
    for part in (hostile.code, str(hostile.folder), "trust_python=True", "--trust-python"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "python:os:system#command=touch {marker}",
        "python:subprocess:run#args=touch {marker}",
        "python:builtins:exec#source=open('{marker}','w')",
        "python:evil_package.inner:look",
        "python:{file}:look#a=b",
        " python:{file}:look",
        "PYTHON:{file}:look",
        "Python:{file}:look",
        "python :{file}:look",
        "python\u200b:{file}:look",
        "p\u0443thon:{file}:look",
        "\npython:{file}:look",
        "python:{file}:look\n",
        "python:\\\\host\\share\\evil.py:look",
        "hf:\\\\host\\share\\model",
        "timm:local-dir://host/share/model",
        "own",
        "",
    ],
)
@pytest.mark.parametrize("verb", LOADS)
def test_no_spelling_of_a_name_runs_code(hostile, monkeypatch, verb, name):
    package = hostile.folder.with_name("evil_package")
    package.mkdir()
    for file in ("__init__.py", "inner.py"):  # looking a submodule up would already run its package
        (package / file).write_text(hostile.file.read_text())
    monkeypatch.syspath_prepend(package.parent)
    folder = hostile.naming(name.format(marker=hostile.marker, file=hostile.file))
    with pytest.raises(StitchError):
        LOADS[verb](folder)
    assert not hostile.ran
    assert "evil_package" not in sys.modules


@pytest.mark.parametrize("name", [None, 3, ["python:x:y"], {"a": 1}, True])
@pytest.mark.parametrize("verb", LOADS)
def test_a_name_that_is_no_text_is_refused(hostile, verb, name):
    with pytest.raises(StitchError):
        LOADS[verb](hostile.naming(name))


@pytest.mark.parametrize("verb", LOADS)
def test_a_folder_inside_folders_needs_consent_too(hostile, verb):
    inner = hostile.naming(hostile.code, folder="inner")
    middle = hostile.naming(f"stitchkit:{inner}", folder="middle")
    outer = hostile.naming(f"stitchkit:{middle}", folder="outer")
    with pytest.raises(ModelUnavailableError, match=str(inner)) as error:
        LOADS[verb](outer)
    assert not hostile.ran
    assert hostile.code in str(error.value)
    with pytest.raises(StitchError):  # allowed, it runs, and is not the encoder of the map
        LOADS[verb](outer, trust_python=[hostile.code])
    assert hostile.ran


@pytest.mark.parametrize("consent", [True, "NAME", ["other", "NAME"], {"NAME"}])
def test_consent_is_for_every_name_or_for_names_as_written(hostile, consent):
    given = consent
    if consent is not True:
        given = (
            hostile.code
            if consent == "NAME"
            else type(consent)(hostile.code if one == "NAME" else one for one in consent)
        )
    with pytest.raises(sk.StitchError, match="was stitched on"):
        sk.load(hostile.naming(hostile.code), trust_python=given)
    assert hostile.ran


def test_consent_to_another_name_is_none(hostile):
    near = [
        hostile.code + "#a=b",
        hostile.code[:-1],
        hostile.code.upper(),
        "python:",
        "",
        f"stitchkit:{hostile.folder}",
    ]
    for given in (near, hostile.code + " ", False, (), []):
        with pytest.raises(ModelUnavailableError, match="trust_python"):
            sk.load(hostile.naming(hostile.code), trust_python=given)
    assert not hostile.ran


@pytest.mark.parametrize("wrong", [1, None, [3], 2.5])
def test_consent_is_true_false_or_names(hostile, wrong):
    with pytest.raises(InputError, match="trust_python is True, False or a list"):
        sk.load(hostile.folder, trust_python=wrong)


def test_a_name_that_the_user_typed_needs_no_consent(hostile):
    assert load_encoder(hostile.code, device="cpu").space.dim == 4
    assert hostile.ran


def test_the_names_of_a_folder_are_shown_without_their_control_characters(hostile):
    with pytest.raises(ModelUnavailableError) as error:
        sk.load(hostile.naming("python:\x1b[2J\u202emine.py:look\n"))
    assert str(error.value).isprintable()
    assert "\\x1b[2J" in str(error.value)


@pytest.mark.parametrize("verb", LOADS)
def test_a_folder_that_leads_back_to_itself_is_refused(hostile, verb):
    alone = hostile.naming(f"stitchkit:{hostile.folder.with_name('alone')}", folder="alone")
    with pytest.raises(ModelUnavailableError, match=r"names itself as its encoder\. Stitch"):
        LOADS[verb](alone)
    for here, there in (("a", "b"), ("b", "c"), ("c", "a")):
        hostile.naming(f"stitchkit:{hostile.folder.with_name(there)}/../{there}", folder=here)
    with pytest.raises(ModelUnavailableError, match="by way of 2 others"):
        LOADS[verb](hostile.folder.with_name("a"))
    (hostile.folder.with_name("link")).symlink_to(hostile.folder.with_name("d"))
    looped = hostile.naming(f"stitchkit:{hostile.folder.with_name('link')}", folder="d")
    with pytest.raises(ModelUnavailableError, match="names itself"):
        LOADS[verb](looped)


def test_a_long_row_of_folders_is_refused(hostile):
    for depth in range(20):
        hostile.naming(f"stitchkit:{hostile.folder.with_name(f'f{depth + 1}')}", folder=f"f{depth}")
    with pytest.raises(ModelUnavailableError, match="deep"):
        sk.load(hostile.folder.with_name("f0"))


def test_permission_for_hub_code_reaches_only_what_has_such_code(hostile):
    assert sk.load(hostile.folder, trust_remote_code=True, device="cpu").encoder.name == "demo:text"


def test_a_commit_in_a_folder_is_no_permission_for_hub_code(hostile, monkeypatch):
    given = []

    def load(name, *, device, dtype, trust_remote_code=False):
        given.append(trust_remote_code)
        return load_encoder("demo:text", device="cpu")

    monkeypatch.setattr("stitchkit.encoders.hf.load.load", load)
    folder = hostile.naming(f"hf:org/name@{'a1' * 20}")
    sk.load(folder, trust_python=True)
    sk.load(folder, trust_remote_code=True)
    assert given == [False, True]


def test_the_card_of_a_folder_tells_how_to_load_it(hostile):
    mine = load_encoder(hostile.code, device="cpu")
    x = sk.Embeddings(np.random.default_rng(0).normal(size=(30, 4)), IDS, mine.space)
    y = sk.Embeddings(np.random.default_rng(1).normal(size=(30, 3)), x.ids, sk.Space("target", 3, "t"))
    folder = sk.stitch(mine, sk.align(x, y, solver=sk.Ridge(), progress=False)).save(hostile.folder.with_name("mine"))
    text = (folder / "README.md").read_text()
    assert "trust_python=[its name]" in text
    assert str(hostile.folder) not in text
    assert sk.load(folder, trust_python=[hostile.code]).encoder.name == hostile.code


def test_names_of_other_families_need_no_consent():
    for name in ("demo:text", "hf:org/python:x", "timm:python"):
        Consent.of().require(name, "here")
    with pytest.raises(StitchError, match="encoder family"):
        load_recorded("nothing:x", "the folder here", consent=Consent.of(True))
