"""Alignments of many spaces on disk: every bit comes back, and nothing else is taken for them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from crafted import edited, with_arrays
from safetensors.numpy import load_file

import stitchkit as sk
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, ModelUnavailableError, SpaceMismatchError

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(60, 4))
WIDTHS = {"röntgen/scan": 6, "report": 5, "CT": 7}
ROWS = {name: Z @ RNG.normal(size=(4, d)) + 0.1 * RNG.normal(size=(60, d)) for name, d in WIDTHS.items()}
VIEWS = {
    name: sk.Embeddings(x, np.arange(60), sk.Space(f"encoder {i}", x.shape[1], f"f{i}"))
    for i, (name, x) in enumerate(ROWS.items())
}


def joined(solver="gcca"):
    return sk.align_many(VIEWS, solver=solver)


@pytest.mark.parametrize("solver", ["gcca", "procrustes"])
def test_every_bit_comes_back(tmp_path, solver):
    before = joined(solver)
    after = sk.load(sk.save(before, tmp_path / "new" / "joint"))
    assert (after.names, after.common) == (before.names, before.common)
    assert after.record == json.loads(json.dumps(dict(before.record)))
    for name in WIDTHS:
        ours, theirs = after.map_of(name), before.map_of(name)
        assert (ours.source, ours.rank) == (theirs.source, theirs.rank)
        for part in ("center", "weight", "bias"):
            assert np.array_equal(getattr(ours, part), getattr(theirs, part))
            assert getattr(ours, part).dtype == np.float64
    assert (after.weights is None) == (before.weights is None) == (solver == "procrustes")
    similarities = [one.between("CT", "report").similarity(VIEWS["CT"], VIEWS["report"]) for one in (before, after)]
    assert np.array_equal(*similarities)
    with pytest.raises(SpaceMismatchError, match="fingerprint f2"):
        after.map_of("CT")(sk.Embeddings(ROWS["CT"], np.arange(60), sk.Space("other", 7, "x")))


def test_joint_alignments_of_any_library_are_saved(library, tmp_path):
    joint = sk.align_many({name: library(x) for name, x in ROWS.items()})
    after = sk.load(sk.save(joint, tmp_path / "joint"))
    weights = [after.map_of("CT").weight, joint.map_of("CT").weight]
    assert type(weights[0]) is np.ndarray
    assert np.array_equal(weights[0], to_numpy(weights[1]))


def test_the_card_says_what_was_joined_and_how_to_use_it(tmp_path):
    text = (sk.save(joined("procrustes"), tmp_path / "joint") / "README.md").read_text("utf-8")
    assert "**röntgen/scan**: encoder 0, 6 wide" in text
    assert "generalised procrustes, from 60 items" in text
    code = text.split("```python\n")[1].split("```")[0].replace("this folder", str(tmp_path / "joint"))
    found = {"x": ROWS["röntgen/scan"], "y": ROWS["report"]}
    exec(compile(code, "card", "exec"), found)
    assert found["similarity"].shape == (60, 60)


def test_an_earlier_folder_is_replaced_only_when_asked_and_a_strange_one_never(tmp_path):
    folder = sk.save(joined(), tmp_path / "joint")
    with pytest.raises(InputError, match="overwrite=True"):
        sk.save(joined("procrustes"), folder)
    assert sk.load(sk.save(joined("procrustes"), folder, overwrite=True)).weights is None
    strange = tmp_path / "home"
    strange.mkdir()
    (strange / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="left alone"):
        sk.save(joined(), strange, overwrite=True)
    assert [one.name for one in strange.iterdir()] == ["thesis.txt"]


def test_what_is_no_joint_alignment_is_not_saved(tmp_path):
    joint = joined()
    broken = {**joint.maps, "CT": replace(joint.map_of("CT"), bias=np.full(joint.common.dim, np.nan))}
    with pytest.raises(InputError, match=r"maps\.2\.bias of this joint alignment holds NaN"):
        sk.save(sk.JointAlignment(broken), tmp_path / "joint")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_hold_together_is_refused(tmp_path):
    with pytest.raises(ModelUnavailableError, match="there is no artefact folder"):
        sk.load(tmp_path / "absent")
    folder = sk.save(joined(), tmp_path / "joint")
    model = folder / "model.safetensors"
    whole, arrays = model.read_bytes(), load_file(model)
    with_arrays(model, {**arrays, "maps.1.weight": np.full_like(arrays["maps.1.weight"], np.inf)})
    with pytest.raises(ModelUnavailableError, match=r"maps\.1\.weight holds NaN or infinity"):
        sk.load(folder)
    model.write_bytes(whole[:-5])
    with pytest.raises(ModelUnavailableError, match="cut off"):
        sk.load(folder)
    model.write_bytes(whole)
    edited(folder, lambda config: config["spaces"][0].pop("rank"))
    with pytest.raises(ModelUnavailableError, match="'rank'"):
        sk.load(folder)
