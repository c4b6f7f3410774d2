"""Alignments of two spaces on disk: every bit comes back, the command line reads them, and nothing else is one."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from crafted import with_arrays
from safetensors.numpy import load_file
from typer.testing import CliRunner

import stitchkit as sk
from stitchkit.cli.main import app
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError
from stitchkit.core.maps import JoinedMap
from stitchkit.solvers import SOLVERS
from stitchkit.storage.artefacts import pack_alignment
from stitchkit.storage.embeddings import write_embeddings
from stitchkit.storage.folders import read_folder, write_folder

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(80, 4))
X, Y = (Z @ RNG.normal(size=(4, d)) + 0.1 * RNG.normal(size=(80, d)) for d in (6, 5))


def of_table(name):
    module, attribute = SOLVERS[name].split(":")
    return sk.align(X, Y, solver=getattr(import_module(module), attribute)())


def joined():
    """Two alignments side by side, as an ensemble is."""
    parts = [sk.align(X, Y, solver=one) for one in (sk.Procrustes(), sk.CSA())]
    common = sk.Space("both", sum(one.source_map.target.dim for one in parts), "joined")
    maps = [JoinedMap(tuple(getattr(one, side) for one in parts), common) for side in ("source_map", "target_map")]
    return sk.Alignment(*maps, None, parts[0].directed, {"solver": "joined"})


def weighed():
    """The same with unequal weights."""
    one = joined()
    maps = [replace(side, weights=(1.0, 2.5)) for side in (one.source_map, one.target_map)]
    return replace(one, source_map=maps[0], target_map=maps[1])


def fitted():
    return sk.align(X, Y, solver=sk.Ridge())


MADE = {name: lambda name=name: of_table(name) for name in SOLVERS} | {
    "joined": joined,
    "joined, weighed": weighed,
    "searched": lambda: sk.align(X, Y, groups=np.arange(80) // 2),
    "made by hand": lambda: replace(fitted(), record={}, directed=None),
}


@pytest.mark.parametrize("kind", MADE)
def test_every_kind_of_map_comes_back_to_the_last_bit(kind, tmp_path):
    before = MADE[kind]()
    after = sk.load(sk.save(before, tmp_path / "new" / "map"))
    (config, arrays), (others, theirs) = pack_alignment(after), pack_alignment(before)
    assert config == json.loads(json.dumps(others))
    assert arrays.keys() == theirs.keys()
    for name, array in arrays.items():
        assert array.dtype == theirs[name].dtype
        assert np.array_equal(array, theirs[name])
    assert np.array_equal(after.similarity(X, Y), before.similarity(X, Y))


@pytest.mark.parametrize("solver", ["csa", "relative"])
def test_alignments_of_any_library_come_back_as_numpy(library, tmp_path, solver):
    before = sk.align(library(X), library(Y), solver=solver)
    after = sk.load(sk.save(before, tmp_path / "map"))
    found = pack_alignment(after)[1]
    assert all(type(one) is np.ndarray for one in found.values())
    assert np.allclose(after.similarity(X, Y), to_numpy(before.similarity(library(X), library(Y))), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("written", "public"),
    [
        ("hf:/home/ann/bert#adapter=/home/ann/a%26b&pool=cls", "hf:bert#adapter=a%26b&pool=cls"),
        ("hf:local-dir:/models/bert", "hf:local-dir:bert"),
        ("timm:/vit and python:~/mine.py:Encoder", "timm:vit and python:mine.py:Encoder"),
        (r"hf:C:\Users\ann\bert and D:/films/", "hf:bert and films/"),
        ("'/home/ann/films.csv' -o=/scratch/runs/lr=1e-3/map", "'films.csv' -o=lr=1e-3/map"),
        *((same, same) for same in (
            "1/2 of km/h, a / b, ../films/x.csv, ~ 5, org/name", "https://example.org/a/b", "10 % /day", "12:30 AP/PA",
        )),
    ],
)  # fmt: skip
def test_no_card_names_a_folder_of_this_machine(written, public, tmp_path):
    one = replace(MADE["searched"](), record={"notes": [written], "solver": "ridge"})
    card = sk.save(one, tmp_path / "map", command=written) / "README.md"
    lines = card.read_text("utf-8").splitlines()
    assert lines.count(f"- {public}") == lines.count(public) == 1


def test_the_card_says_how_it_was_found_and_how_to_use_it(tmp_path):
    facts = {"anchor_set": {"table": "mine.csv", "licence": "CC-BY"}, "why": "a test"}
    folder = sk.save(MADE["searched"](), tmp_path / "map", extra=facts, command="python fit.py")
    text = (folder / "README.md").read_text("utf-8")
    for words in (
        "6 wide",
        "5 wide",
        "80 pairs, 40 groups",
        "**Held out**: mean reciprocal rank ",
        "licence CC-BY",
        "python fit.py",
    ):
        assert words in text
    assert read_folder(folder)[0]["why"] == "a test"
    code = text.split("```python\n")[1].split("```")[0].replace("this folder", str(folder))
    found = {"x": X, "y": Y}
    exec(compile(code, "card", "exec"), found)
    assert found["similarity"].shape == (80, 80)


def test_an_earlier_folder_is_replaced_only_when_asked_and_a_strange_one_never(tmp_path):
    folder = sk.save(fitted(), tmp_path / "map")
    with pytest.raises(InputError, match="overwrite=True"):
        sk.save(MADE["csa"](), folder)
    assert sk.load(folder).record["solver"] == "ridge"
    sk.save(MADE["csa"](), folder, overwrite=True)
    assert sk.load(folder).record["solver"] == "csa"
    strange = tmp_path / "home"
    strange.mkdir()
    (strange / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="left alone"):
        sk.save(fitted(), strange, overwrite=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "map"]


def test_what_is_no_sound_alignment_is_not_saved(tmp_path):
    one = fitted()
    broken = replace(one, target_map=replace(one.target_map, bias=np.full(len(one.target_map.bias), np.nan)))
    with pytest.raises(InputError, match=r"target_map\.bias of this alignment holds NaN"):
        sk.save(broken, tmp_path / "map")
    with pytest.raises(InputError, match=r"got dict.*sk\.write_embeddings"):
        sk.save({"x": X, "y": Y}, tmp_path / "map")
    for key in ("source", "maps"):
        with pytest.raises(InputError, match=f"extra may not hold '{key}'"):
            sk.save(one, tmp_path / "map", extra={key: "mine"})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_hold_together_is_refused(tmp_path):
    with pytest.raises(ModelUnavailableError, match="there is no artefact folder"):
        sk.load(tmp_path / "absent")
    folder = sk.save(fitted(), tmp_path / "map")
    model = folder / "model.safetensors"
    whole, arrays = model.read_bytes(), load_file(model)
    with_arrays(model, {**arrays, "directed.weight": np.full_like(arrays["directed.weight"], np.inf)})
    with pytest.raises(ModelUnavailableError, match=r"directed\.weight holds NaN or infinity"):
        sk.load(folder)
    model.write_bytes(whole[:-5])
    with pytest.raises(ModelUnavailableError, match="cut off"):
        sk.load(folder)
    head = write_folder(tmp_path / "head", {"head": {}}, {}, "")
    with pytest.raises(ModelUnavailableError, match="head"):
        sk.load(head)


def test_each_kind_is_loaded_as_what_it_is(tmp_path):
    head = sk.LinearHead(sk.Space("t", 3, "f"), ("a", "b"), np.eye(3)[:, :2], np.zeros(2))
    values = [fitted(), sk.align_many({"x": X, "y": Y}), head, sk.Moments.of(X, Y)]
    for number, value in enumerate(values):
        path = tmp_path / f"{number}{'.safetensors' if isinstance(value, sk.Moments) else ''}"
        assert type(sk.load(sk.save(value, path))) is type(value)
    assert isinstance(sk.load(tmp_path / "0", part="alignment"), sk.Alignment)
    with pytest.raises(InputError, match=r"without a head.*part"):
        sk.load(tmp_path / "0", part="head")
    with pytest.raises(sk.StitchError, match="'maps'"):
        sk.load(tmp_path / "0", part="maps")


def test_other_files_are_refused_with_the_verb_that_reads_them(tmp_path):
    vectors = sk.Embeddings(X, [str(i) for i in range(len(X))], sk.Space("a", X.shape[1], "f"))
    with pytest.raises(DataError, match=r"sk\.read_embeddings"):
        sk.load(sk.write_embeddings(tmp_path / "e.safetensors", vectors))
    with pytest.raises(InputError, match="Moments is saved without extra="):
        sk.save(sk.Moments.of(X, Y), tmp_path / "m.safetensors", extra={"a": 1})


def command(*args):
    done = CliRunner().invoke(app, [str(one) for one in args])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_command_line_reads_what_python_wrote(tmp_path):
    folder = sk.save(sk.align(X[:50], Y[:50], solver="procrustes"), tmp_path / "map")
    sides = [
        write_embeddings(
            tmp_path / f"{name}.safetensors", sk.Embeddings(rows[50:], range(30), sk.Space(name, rows.shape[1]))
        )
        for name, rows in (("x", X), ("y", Y))
    ]
    assert command("info", folder, "--json")["solver"] == "procrustes"
    gate = command("gate", folder, "--source", sides[0], "--target", sides[1], "--min-mrr", "0.1", "--json")
    assert gate["pairs"] == 30
    expected = sk.gate(sk.load(folder), X[50:], Y[50:], min_mrr=0.1)
    assert gate["checks"] == json.loads(json.dumps(expected.to_dict()["checks"]))
    page = command("diagnose", folder, *sides, "--out", tmp_path / "page", "--replicates", "20", "--json")
    assert page["n"] == 30


def test_python_and_the_command_line_write_the_same_folder(tmp_path):
    paths = [
        write_embeddings(tmp_path / f"{name}.safetensors", sk.Embeddings(rows, range(80), sk.Space(name, len(rows.T))))
        for name, rows in (("x", X), ("y", Y))
    ]
    command("align", *paths, "--solver", "ridge", "--out", tmp_path / "theirs", "--json")
    theirs = sk.load(tmp_path / "theirs")
    ours = sk.save(theirs, tmp_path / "ours")
    (config, arrays), (other, others) = read_folder(ours), read_folder(tmp_path / "theirs")
    assert set(other) - set(config) == {"anchor_set"}
    assert all(other[name] == value for name, value in config.items())
    assert all(np.array_equal(others[name], array) for name, array in arrays.items())
    assert (ours / "README.md").read_text().splitlines()[0] == "# x aligned to y"
