"""Alignments and heads as plain configuration and arrays: nothing is lost, and what is broken is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.artefacts import pack_alignment, pack_head, unpack_alignment, unpack_head, unpack_linear_head
from stitchkit.core.errors import ModelUnavailableError, NoDirectedMapError, StitchError, UnknownNameError
from stitchkit.core.heads import ZeroShotHead
from stitchkit.store import read_folder, write_folder

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
}


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


def test_only_affine_maps_are_packed():
    alignment = alignment_of(sk.Ridge(alpha=0.1))

    class Curved:
        source, target = SOURCE, alignment.source_map.target

        def __call__(self, x):
            return x

    with pytest.raises(UnknownNameError, match="'Curved'; nearest: AffineMap"):
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
