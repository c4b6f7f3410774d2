"""Alignments and heads as plain configuration and arrays: nothing is lost, and what is broken is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.alignments import Alignment
from stitchkit.core.errors import ModelUnavailableError, NoDirectedMapError, StitchError, UnknownNameError
from stitchkit.core.heads import ZeroShotHead
from stitchkit.core.maps import JoinedMap
from stitchkit.solvers import SOLVERS
from stitchkit.solvers.relative import ASIF, Relative
from stitchkit.storage.artefacts import (
    KINDS,
    pack_alignment,
    pack_head,
    pack_joint,
    same_map,
    unpack_alignment,
    unpack_head,
    unpack_joint,
    unpack_linear_head,
)
from stitchkit.storage.folders import read_folder, write_folder

SOURCE, TARGET = sk.Space("general", 6, "g1"), sk.Space("medical", 4, "m1")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)), RNG.normal(size=(60, 4))


def alignment_of(solver, *, weights=True, directed=True):
    ids = np.arange(60)
    found = sk.align(sk.Embeddings(X, ids, SOURCE), sk.Embeddings(Y, ids, TARGET), solver=solver)
    return replace(found, weights=found.weights if weights else None, directed=found.directed if directed else None)


def zero_shot_head(alignment, *, negative=True, multiclass=False):
    k = alignment.source_map.target.dim
    sides = RNG.normal(size=(2, 3, k))
    against = sides[1] if negative else None
    return ZeroShotHead(alignment.source_map, ("a", "b", "c"), sides[0], against, alignment.weights, multiclass)


def linear_head(kind="logit"):
    return sk.LinearHead(TARGET, ("a", "b"), RNG.normal(size=(4, 2)), RNG.normal(size=2), kind)


def through_disk(config, arrays, folder):
    return read_folder(write_folder(folder / "artefact", config, arrays, "# card"))


VARIANTS = {
    "ridge": (sk.Ridge(alpha=0.1), {}),
    "procrustes": (sk.Procrustes(), {}),
    "csa, weighed": (sk.CSA(), {}),
    "csa, not weighed": (sk.CSA(dims=2), {"weights": False}),
    "not directed": (sk.CSA(), {"directed": False}),
    "relative": (Relative(), {}),
    "relative, not centred": (Relative(center=False), {}),
    "asif": (ASIF(keep=7, power=2.5), {}),
}
for name, address in SOLVERS.items():  # every solver of the table with its defaults
    module, attribute = address.split(":")
    VARIANTS.setdefault(f"table: {name}", (getattr(import_module(module), attribute)(), {}))


def joined_alignment():
    """Two alignments side by side, as an ensemble is."""
    parts = [alignment_of(sk.Procrustes()), alignment_of(sk.CSA())]
    width = sum(one.source_map.target.dim for one in parts)
    common = sk.Space("general + medical", width, "joined")
    maps = [JoinedMap(tuple(getattr(one, side) for one in parts), common) for side in ("source_map", "target_map")]
    return Alignment(*maps, None, parts[0].directed, {"solver": "joined", "rank": maps[0].rank})


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_alignment_comes_back_from_disk_as_it_was(variant, tmp_path):
    solver, parts = VARIANTS[variant]
    before = alignment_of(solver, **parts)
    after = unpack_alignment(*through_disk(*pack_alignment(before), tmp_path))
    assert np.array_equal(after.similarity(X, Y), before.similarity(X, Y))
    assert (after.source, after.target) == (SOURCE, TARGET)
    assert after.source_map.target == before.source_map.target
    assert (after.source_map.rank, after.target_map.rank) == (before.source_map.rank, before.target_map.rank)
    assert (after.weights is None) == (before.weights is None)
    assert after.record == json.loads(json.dumps(dict(before.record)))
    assert same_map(after.source_map, before.source_map)
    if before.directed is None:
        with pytest.raises(NoDirectedMapError):
            after.to_target  # noqa: B018
        return
    assert np.array_equal(after.to_target(X), before.to_target(X))
    assert after.to_target.rank == before.to_target.rank


def test_a_searched_alignment_keeps_its_whole_record(tmp_path):
    before = sk.align(X, Y, groups=np.arange(60) // 2)
    after = unpack_alignment(*through_disk(*pack_alignment(before), tmp_path))
    assert after.record == before.record


def test_a_torch_alignment_is_saved_as_the_same_numbers(tmp_path):
    torch = pytest.importorskip("torch")
    before = sk.align(torch.asarray(X), torch.asarray(Y), solver=sk.CSA())
    after = unpack_alignment(*through_disk(*pack_alignment(before), tmp_path))
    ours = before.similarity(torch.asarray(X), torch.asarray(Y)).numpy()
    assert np.allclose(after.similarity(X, Y), ours, rtol=0, atol=1e-14)


def test_joined_maps_come_back_from_disk_as_they_were(tmp_path):
    before = joined_alignment()
    after = unpack_alignment(*through_disk(*pack_alignment(before), tmp_path))
    assert np.array_equal(after.similarity(X, Y), before.similarity(X, Y))
    assert np.array_equal(after.to_target(X), before.to_target(X))
    assert (after.source, after.source_map.target) == (SOURCE, before.source_map.target)
    for ours, theirs in ((after.source_map, before.source_map), (after.target_map, before.target_map)):
        assert [one.target for one in ours.members] == [one.target for one in theirs.members]
        assert [one.rank for one in ours.members] == [one.rank for one in theirs.members]


def test_a_folder_from_before_there_were_other_kinds_still_loads():
    space = {"name": "general", "dim": 6, "fingerprint": "g1"}
    config = {
        "source": space,
        "target": {"name": "medical", "dim": 4, "fingerprint": "m1"},
        "common": {"name": "general | medical", "dim": 2, "fingerprint": "c"},
        "ranks": {"source_map": 2, "target_map": 2, "directed": 2},
        "record": {"solver": "ridge"},
    }
    shapes = {"source_map": (6, 2), "target_map": (4, 2), "directed": (6, 4)}
    arrays = {}
    for name, (a, b) in shapes.items():
        parts = {"center": np.zeros(a), "weight": RNG.normal(size=(a, b)), "bias": np.zeros(b)}
        arrays |= {f"{name}.{part}": array for part, array in parts.items()}
    found = unpack_alignment(config, arrays)
    assert np.array_equal(found.to_target(X), X @ arrays["directed.weight"])
    assert found.weights is None


@pytest.mark.parametrize("solver", [sk.Ridge(), sk.Procrustes(), sk.CSA()])
def test_a_folder_of_affine_maps_is_written_as_it_always_was(solver):
    config, arrays = pack_alignment(alignment_of(solver))
    assert set(config) == {"source", "target", "common", "ranks", "record"}
    assert {name.split(".")[-1] for name in arrays} <= {"center", "weight", "bias", "weights"}


KINDRED = {"joined": joined_alignment, "relative": lambda: alignment_of(ASIF(keep=5))}


@pytest.mark.parametrize("kind", KINDRED)
def test_a_map_of_an_unknown_kind_is_named(kind):
    config, arrays = pack_alignment(KINDRED[kind]())
    config["maps"]["target_map"]["kind"] = "adapter"
    with pytest.raises(ModelUnavailableError, match=r"kind 'adapter'; this version reads affine, joined, relative"):
        unpack_alignment(config, arrays)


@pytest.mark.parametrize(
    ("kind", "key"),
    [("joined", "members"), ("relative", "keep"), ("relative", "power"), ("relative", "centred")],
)
def test_a_map_with_a_missing_setting_is_no_alignment(kind, key):
    config, arrays = pack_alignment(KINDRED[kind]())
    del config["maps"]["source_map"][key]
    with pytest.raises(ModelUnavailableError, match=f"holds no alignment: '{key}'"):
        unpack_alignment(config, arrays)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("joined", "source_map.1.weight"), ("relative", "target_map.anchors"), ("relative", "source_map.center")],
)
def test_a_map_with_a_missing_array_is_no_alignment(kind, name):
    config, arrays = pack_alignment(KINDRED[kind]())
    with pytest.raises(ModelUnavailableError, match=f"holds no alignment: '{name}'"):
        unpack_alignment(config, without(arrays, name))


@pytest.mark.parametrize(
    "broken",
    [{"keep": 61}, {"keep": 0}, {"power": 0}, {"power": "8"}, {"keep": "5"}, {"kind": "joined"}],
    ids=lambda broken: json.dumps(broken),
)
def test_a_relative_map_with_a_wrong_setting_is_no_alignment(broken):
    config, arrays = pack_alignment(alignment_of(ASIF(keep=5)))
    config["maps"]["source_map"] |= broken
    with pytest.raises(ModelUnavailableError, match="holds no alignment"):
        unpack_alignment(config, arrays)


def test_a_directed_map_is_affine():
    config, arrays = pack_alignment(joined_alignment())
    config["maps"]["directed"] = config["maps"]["source_map"]
    with pytest.raises(ModelUnavailableError, match="holds no alignment"):
        unpack_alignment(config, {**arrays, **{k.replace("source_map", "directed"): a for k, a in arrays.items()}})


def test_every_kind_of_the_table_is_under_test():
    affine = alignment_of(sk.Ridge())
    found = [type(one) for one in (affine.source_map, *(make().source_map for make in KINDRED.values()))]
    assert [f"{one.__module__}:{one.__name__}" for one in found] == [its_class for its_class, _, _ in KINDS.values()]


def test_equal_maps_are_the_same_and_others_are_not():
    alignments = [alignment_of(solver) for solver in (sk.Procrustes(), ASIF(keep=5), ASIF(keep=6), Relative())]
    maps = [one.source_map for one in [*alignments, joined_alignment()]]
    again = [one.source_map for one in [alignment_of(sk.Procrustes()), alignment_of(ASIF(keep=5))]]
    for i, one in enumerate(maps):
        assert [same_map(one, other) for other in maps] == [i == j for j in range(len(maps))]
    assert same_map(maps[0], again[0])
    assert same_map(maps[1], again[1])
    moved = replace(maps[0], bias=maps[0].bias + 1)
    assert not same_map(maps[0], moved)


@pytest.mark.parametrize("solver", ["procrustes", "gcca"])
def test_a_joint_alignment_comes_back_from_disk_as_it_was(solver, tmp_path):
    ids = np.arange(60)
    views = {
        "X-ray.scan": sk.Embeddings(X, ids, SOURCE),
        "report": sk.Embeddings(Y, ids, TARGET),
        "CT": sk.Embeddings(X[:, ::-1] + Y[:, :1], ids, sk.Space("ct", 6, "c1")),
    }
    before = sk.align_many(views, solver=solver)
    after = unpack_joint(*through_disk(*pack_joint(before), tmp_path))
    assert after.names == before.names
    assert (after.common, after.record) == (before.common, json.loads(json.dumps(dict(before.record))))
    assert (after.weights is None) == (before.weights is None) == (solver == "procrustes")
    ours, theirs = (one.between("CT", "X-ray.scan") for one in (after, before))
    assert np.array_equal(ours.similarity(X, X), theirs.similarity(X, X))
    assert ours.source.fingerprint == "c1"


@pytest.mark.parametrize("key", ["kind", "common", "spaces", "record"])
def test_a_joint_alignment_with_a_missing_key_is_refused(key):
    config, arrays = pack_joint(sk.align_many({"a": X, "b": Y}))
    with pytest.raises(ModelUnavailableError, match="holds no joint alignment"):
        unpack_joint(without(config, key), arrays)


def test_a_joint_alignment_with_broken_arrays_is_refused():
    config, arrays = pack_joint(sk.align_many({"a": X, "b": Y}))
    with pytest.raises(ModelUnavailableError, match=r"'maps\.1\.weight'"):
        unpack_joint(config, without(arrays, "maps.1.weight"))
    with pytest.raises(ModelUnavailableError, match="holds no joint alignment"):
        unpack_joint(config, {**arrays, "maps.0.weight": arrays["maps.0.weight"][:3]})
    with pytest.raises(ModelUnavailableError, match="no joint alignment of many spaces"):
        unpack_joint(*pack_alignment(alignment_of(sk.Ridge())))


def test_a_kind_of_map_nobody_knows_is_not_packed():
    alignment = alignment_of(sk.Ridge(alpha=0.1))

    class Curved:
        source, target = SOURCE, alignment.source_map.target

        def __call__(self, x):
            return x

    with pytest.raises(UnknownNameError, match="'Curved'; known: AffineMap, JoinedMap, RelativeMap"):
        pack_alignment(replace(alignment, source_map=Curved()))


@pytest.mark.parametrize("kind", ["logit", "llr"])
def test_a_linear_head_comes_back_from_disk_as_it_was(kind, tmp_path):
    before = linear_head(kind)
    after = unpack_linear_head(*through_disk(*pack_head(before), tmp_path))
    assert np.array_equal(after.scores(Y).values, before.scores(Y).values)
    assert (after.space, after.classes, after.kind) == (TARGET, ("a", "b"), kind)


@pytest.mark.parametrize("solver", [sk.CSA(), sk.Procrustes()], ids=["weighed", "not weighed"])
@pytest.mark.parametrize("negative", [True, False], ids=["margin", "cosine"])
@pytest.mark.parametrize("multiclass", [True, False])
def test_a_zero_shot_head_comes_back_from_disk_as_it_was(solver, negative, multiclass, tmp_path):
    alignment = alignment_of(solver)
    before = zero_shot_head(alignment, negative=negative, multiclass=multiclass)
    after = unpack_head(*through_disk(*pack_head(before), tmp_path), alignment)
    ours, theirs = before.scores(X), after.scores(X)
    assert np.array_equal(theirs.values, ours.values)
    assert (theirs.kind, theirs.classes) == (ours.kind, ours.classes)
    assert after.multiclass is multiclass


def test_a_zero_shot_head_without_its_alignment_is_refused():
    with pytest.raises(ModelUnavailableError, match="stored inside a stitched folder"):
        unpack_linear_head(*pack_head(zero_shot_head(alignment_of(sk.CSA()))))


def without(mapping, *keys):
    return {key: value for key, value in mapping.items() if key not in keys}


@pytest.mark.parametrize("key", ["source", "target", "common", "ranks", "record"])
def test_an_alignment_with_a_missing_key_is_no_alignment(key):
    config, arrays = pack_alignment(alignment_of(sk.CSA()))
    with pytest.raises(ModelUnavailableError, match=f"holds no alignment: '{key}'"):
        unpack_alignment(without(config, key), arrays)


@pytest.mark.parametrize("name", ["source_map.center", "target_map.weight", "directed.bias"])
def test_an_alignment_with_a_missing_array_is_no_alignment(name):
    config, arrays = pack_alignment(alignment_of(sk.CSA()))
    with pytest.raises(ModelUnavailableError, match=f"holds no alignment: '{name}'"):
        unpack_alignment(config, without(arrays, name))


@pytest.mark.parametrize(
    "broken",
    [
        {"source": "general"},
        {"source": {"name": "general"}},
        {"source": {"name": "general", "dim": 6, "fingerprint": "g1", "colour": "red"}},
        {"ranks": {}},
        {"ranks": None},
        {"source": {"name": "general", "dim": 7, "fingerprint": "g1"}},
        {"source": {"name": "general", "dim": "6", "fingerprint": "g1"}},
        {"target": {"name": "medical", "dim": 0, "fingerprint": "m1"}},
    ],
    ids=lambda broken: json.dumps(broken)[:50],
)
def test_an_alignment_with_a_wrong_value_is_no_alignment(broken):
    config, arrays = pack_alignment(alignment_of(sk.CSA()))
    with pytest.raises(ModelUnavailableError, match="holds no alignment"):
        unpack_alignment({**config, **broken}, arrays)


@pytest.mark.parametrize("key", ["kind", "classes", "space", "scores"])
def test_a_head_with_a_missing_key_is_no_head(key):
    config, arrays = pack_head(linear_head())
    with pytest.raises(ModelUnavailableError, match="holds no head"):
        unpack_linear_head(without(config, key), arrays)


def test_a_head_with_missing_or_misshapen_arrays_is_no_head():
    config, arrays = pack_head(linear_head())
    with pytest.raises(ModelUnavailableError, match=r"'head\.bias'"):
        unpack_linear_head(config, without(arrays, "head.bias"))
    with pytest.raises(ModelUnavailableError, match="holds no head"):
        unpack_linear_head(config, {**arrays, "head.weight": arrays["head.weight"][:3]})


def test_a_head_of_an_unknown_kind_lists_those_there_are():
    config, arrays = pack_head(linear_head())
    with pytest.raises(StitchError, match="no kind of head is called 'lineal'; nearest: linear"):
        unpack_linear_head({**config, "kind": "lineal"}, arrays)
