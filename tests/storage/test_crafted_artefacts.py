"""Artefact folders with one wrong value and right digests: each is refused by name, whatever the value is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crafted import edited, with_arrays
from safetensors.numpy import load_file

import stitchkit as sk
from stitchkit.core.errors import DataError, ModelUnavailableError, StitchError
from stitchkit.encoders.pair_network import ImageInput, TextInput
from stitchkit.encoders.shared.encoder import pack_shared, unpack_shared
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 5)), RNG.normal(size=(40, 4))
INPUTS = {"image": ImageInput(4, 2, 1), "text": TextInput(8, 9, 8)}
SHAPE = SharedShape(8, 2, 2, 4, None, "token_wise", 2, INPUTS)
SETTINGS = {"start": 7, "tokenizer": "0" * 64, "wide": 4, "mean": [0.5], "std": [0.2]}
ODD = [None, True, -1, 10**12, 0.5, "", "x", [], [None], {}, {"a": 1}, ["a\x1b[2J"], float(2**60)]


def paths_in(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in a nest of objects and lists."""
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from paths_in(one, (*at, key))


def replaced(whole: Any, at: tuple[Any, ...], value: Any) -> Any:
    changed = deepcopy(whole)
    place = changed
    for key in at[:-1]:
        place = place[key]
    place[at[-1]] = value
    return changed


def folder_of(kind: str, folder: Path) -> tuple[Path, Any]:
    """A saved artefact, and what loads it and uses all of it."""
    if kind == "joint":
        sk.save(sk.align_many({"a": X, "b": Y}), folder)
        return (
            folder,
            lambda: str(sk.load(folder)) + str(sk.load(folder).between("a", "b").similarity(X, Y)),
        )
    if kind == "head":
        sk.save(sk.LinearHead(sk.Space("t", 4, "f"), ("a", "b"), RNG.normal(size=(4, 2)), np.zeros(2)), folder)
        return folder, lambda: str(sk.load(folder).scores(Y).values)
    solver = {"relative": sk.Relative(), "affine": sk.CSA()}[kind]
    sk.save(sk.align(X, Y, solver=solver, progress=False), folder)
    return folder, lambda: str(sk.load(folder)) + str(sk.load(folder).similarity(X, Y))


@pytest.mark.parametrize("kind", ["affine", "relative", "joint", "head"])
def test_a_wrong_value_anywhere_in_a_config_is_refused_or_read(tmp_path, kind):
    """Values of the record may be odd and are kept; what decides numbers may not."""
    folder, used = folder_of(kind, tmp_path / "a")
    good = (folder / "config.json").read_text()
    config = json.loads(good)
    said = []
    for at in paths_in({key: value for key, value in config.items() if not key.startswith("stitchkit")}):
        for value in ODD:
            (folder / "config.json").write_text(good)
            edited(folder, lambda known, at=at, value=value: known.update(replaced(known, at, value)))
            try:
                said.append(str(used()))
            except StitchError as error:
                said.append(f"refused: {error}")
    assert not [one for one in said if "\x1b" in one]
    assert sum(one.startswith("refused") for one in said) > 100


BROKEN = {
    "NaN": lambda one: np.where(np.arange(one.size).reshape(one.shape) == 0, np.nan, one),
    "infinity": lambda one: np.full_like(one, -np.inf),
    "another shape": lambda one: one[..., :-1] if one.ndim else one[None, None],
    "no entry": lambda one: one[:0] if one.ndim else np.zeros(0),
    "one more dimension": lambda one: one[None],
    "whole numbers": lambda one: one.astype(np.int8),
    "truth values": lambda one: one > 0,
}


@pytest.mark.parametrize("damage", [*BROKEN, "missing"])
@pytest.mark.parametrize("kind", ["affine", "relative", "joint", "head"])
def test_a_wrong_array_is_refused(tmp_path, kind, damage):
    folder, used = folder_of(kind, tmp_path / "a")
    arrays = load_file(folder / "model.safetensors")
    for name, array in arrays.items():
        others = {key: value for key, value in arrays.items() if key != name}
        changed = others if damage == "missing" else {**others, name: BROKEN[damage](array)}
        with_arrays(folder / "model.safetensors", changed)
        if (damage, name) == ("missing", "weights"):
            continue  # an alignment may have none
        with pytest.raises(ModelUnavailableError, match=r"holds no (joint )?(alignment|head)"):
            used()


def test_negative_weights_are_refused(tmp_path):
    folder, used = folder_of("affine", tmp_path / "a")
    arrays = load_file(folder / "model.safetensors")
    with_arrays(folder / "model.safetensors", {**arrays, "weights": -arrays["weights"]})
    with pytest.raises(ModelUnavailableError, match="its weights are negative"):
        used()


@pytest.fixture
def zero_shot(tmp_path):
    """A folder with a zero-shot head with negatives."""
    space = sk.load_encoder("demo:text", device="cpu")
    x = sk.Embeddings(RNG.normal(size=(30, space.space.dim)), range(30), space.space)
    alignment = sk.align(x, RNG.normal(size=(30, 4)), solver=sk.CSA(), progress=False)
    k = alignment.source_map.target.dim
    from stitchkit.core.heads import ZeroShotHead

    positive, negative = RNG.normal(size=(2, 3, k))
    head = ZeroShotHead(alignment.source_map, ("a", "b", "c"), positive, negative, alignment.weights)
    return sk.stitch(space, alignment, head).save(tmp_path / "stitched")


def test_a_zero_shot_head_without_its_negatives_is_refused(zero_shot):
    arrays = load_file(zero_shot / "model.safetensors")
    with_arrays(zero_shot / "model.safetensors", {k: v for k, v in arrays.items() if k != "head.negative"})
    with pytest.raises(ModelUnavailableError, match="its negative class embeddings are missing"):
        sk.load(zero_shot)
    with_arrays(zero_shot / "model.safetensors", arrays)
    edited(zero_shot, lambda config: config["head"].update(negatives=False))
    with pytest.raises(ModelUnavailableError, match="negative"):
        sk.load(zero_shot)


@pytest.mark.parametrize(
    ("key", "value"),
    [("multiclass", "false"), ("multiclass", 0), ("multiclass", None), ("classes", "abc"), ("classes", ["a", "b"]),
     ("classes", ["a", "a", "b"]), ("classes", ["a", "b", "c\x1b]0;title\x07"]), ("kind", "zeroshot"), ("kind", None),
     ("kind", ["linear"]), ("extra", 1)],
)  # fmt: skip
def test_a_zero_shot_head_with_a_wrong_value_is_refused(zero_shot, key, value):
    edited(zero_shot, lambda config: config["head"].update({key: value}))
    with pytest.raises(StitchError) as caught:
        sk.load(zero_shot)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("head", [None, [], "linear", 5])
def test_a_head_that_is_none_is_refused(zero_shot, head):
    edited(zero_shot, lambda config: config.update(head=head))
    with pytest.raises(ModelUnavailableError, match="holds no head"):
        sk.load(zero_shot)


@pytest.mark.parametrize("key", ["encoder", "target_encoder"])
@pytest.mark.parametrize("value", [None, 5, ["demo:text"], {"a": 1}])
def test_an_encoder_that_is_no_name_is_refused(zero_shot, key, value):
    edited(zero_shot, lambda config: config.update({key: value}))
    with pytest.raises(ModelUnavailableError, match="no name"):
        sk.load(zero_shot)


def test_what_another_version_wrote_of_a_zero_shot_head_is_read(zero_shot):
    """Folders of the earlier format do not say whether there are negatives."""
    edited(zero_shot, lambda config: config["head"].pop("negatives"))
    assert sk.load(zero_shot).head.negative is not None


def test_a_wrong_value_anywhere_in_a_shared_encoder_is_refused_or_read():
    config, arrays = pack_shared(SharedNetwork(SHAPE), SETTINGS)
    plain = json.loads(json.dumps(config))
    assert unpack_shared(plain, arrays)[1] == SETTINGS
    refused = 0
    for at in paths_in({key: plain[key] for key in ("shape", "preparing")}):
        for value in ODD:
            try:
                unpack_shared(replaced(plain, at, value), arrays)
            except ModelUnavailableError:
                refused += 1
    assert refused > 200


@pytest.mark.parametrize("damage", BROKEN)
def test_a_wrong_array_of_a_shared_encoder_is_refused(damage):
    config, arrays = pack_shared(SharedNetwork(SHAPE), SETTINGS)
    for name, array in arrays.items():
        with pytest.raises(ModelUnavailableError, match="holds no shared encoder"):
            unpack_shared(config, {**arrays, name: BROKEN[damage](array)})


def test_a_folder_of_embeddings_is_read_by_its_own_verb(tmp_path):
    with pytest.raises(DataError, match=r"sk\.read_embeddings"):
        sk.load(sk.write_embeddings(tmp_path / "e.safetensors", sk.Embeddings(X, range(40), sk.Space("a", 5))))
    with pytest.raises(DataError, match="there is no file of embeddings"):
        sk.read_embeddings(shutil.copytree(folder_of("affine", tmp_path / "a")[0], tmp_path / "b"))


@pytest.mark.parametrize("weight", [0, -1.0, 1e300, True, None, "1"])
def test_weights_of_a_joined_map_that_are_none_are_refused(tmp_path, weight):
    x = RNG.normal(size=(60, 5))
    pair = (x, x @ RNG.normal(size=(5, 4)))
    soft = sk.SoftMatching(lowdin=1.0)
    folder = sk.save(sk.align(*(side[:20] for side in pair), pool=pair, solver=soft), tmp_path / "map")
    assert sk.load(folder).source_map.weights == (1.0, 1.0, 1.0, 1.0, 4.0)
    edited(folder, lambda config: config["maps"]["source_map"]["members"][4].update(weight=weight))
    with pytest.raises(ModelUnavailableError, match="weight"):
        sk.load(folder)


def test_a_file_cut_short_is_named_once(tmp_path):
    folder = folder_of("affine", tmp_path / "a")[0]
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ModelUnavailableError) as caught:
        sk.load(folder)
    assert str(caught.value).count("model.safetensors") == 1
    assert ".." not in str(caught.value).replace(str(folder), "")
