"""Moments on disk: every bit comes back, and nothing else is taken for them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from crafted import with_arrays
from safetensors.numpy import load_file

import stitchkit as sk
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.moments.moments import Moments
from stitchkit.core.space import Space
from stitchkit.storage.embeddings import write_embeddings
from stitchkit.storage.moments import load_moments, save_moments
from stitchkit.storage.tensor_files import read_arrays

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(50, 4)) + 1e8, RNG.normal(size=(50, 3))
IDS = np.arange(50).astype(str)
NAMES = ("mean_s", "mean_t", "tail_s", "tail_t", "scatter_ss", "scatter_st", "scatter_tt")


def weighted():
    source = Embeddings(X, IDS, Space("röntgen", 4, "f1"))
    return Moments.of(source, Embeddings(Y, IDS, Space("text", 3)), RNG.uniform(0.1, 2, size=50))


def test_every_bit_comes_back(tmp_path):
    moments = weighted()
    path = save_moments(moments, tmp_path / "new" / "site.safetensors")
    back = load_moments(path)
    for name in NAMES:
        assert np.array_equal(getattr(back, name), getattr(moments, name))
        assert getattr(back, name).dtype == np.float64
    assert (back.count, back.weight) == (moments.count, moments.weight)
    assert (back.source, back.target) == (Space("röntgen", 4, "f1"), Space("text", 3))
    assert [one.name for one in path.parent.iterdir()] == ["site.safetensors"]


def test_what_comes_back_fits_the_same_map(tmp_path):
    moments = Moments.of(RNG.normal(size=(50, 4)), Y)
    back = sk.load(sk.save(moments, tmp_path / "m.safetensors"))
    weights = [sk.Ridge().fit(sk.Evidence(one)).to_target.weight for one in (moments, back)]
    assert np.array_equal(*weights)


def test_moments_of_any_library_are_saved(library, tmp_path):
    moments = Moments.of(*library(X, Y))
    back = load_moments(save_moments(moments, tmp_path / "m.safetensors"))
    assert type(back.scatter_st) is np.ndarray
    np.testing.assert_allclose(back.scatter_st, Moments.of(X, Y).scatter_st, atol=1e-12)


def test_sites_that_shared_only_files_add_up(tmp_path):
    parts = [Moments.of(X[a:b], Y[a:b]) for a, b in ((0, 20), (20, 50))]
    paths = [save_moments(part, tmp_path / f"{i}.safetensors") for i, part in enumerate(parts)]
    one, other = map(load_moments, paths)
    whole = Moments.of(X, Y)
    np.testing.assert_allclose((one + other).scatter_ss, whole.scatter_ss, atol=1e-12 * whole.scatter_ss.max())


def test_the_file_holds_sums_and_no_rows(tmp_path):
    path = save_moments(weighted(), tmp_path / "m.safetensors")
    assert {name: array.shape for name, array in load_file(path).items()} == {
        "mean_s": (4,),
        "mean_t": (3,),
        "tail_s": (4,),
        "tail_t": (3,),
        "scatter_ss": (4, 4),
        "scatter_st": (4, 3),
        "scatter_tt": (3, 3),
    }


def test_earlier_moments_are_replaced_only_when_asked_and_other_files_never(tmp_path):
    path = save_moments(weighted(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"exists.*overwrite=True"):
        save_moments(Moments.of(X[:7], Y[:7]), path)
    assert load_moments(path).count == len(X)
    assert load_moments(save_moments(Moments.of(X[:7], Y[:7]), path, overwrite=True)).count == 7
    other = write_embeddings(tmp_path / "e.safetensors", Embeddings(X, IDS, Space("a", 4, "f")))
    before = other.read_bytes()
    with pytest.raises(InputError, match="is embeddings, not moments; it was left alone"):
        save_moments(weighted(), other)
    assert other.read_bytes() == before


@pytest.mark.parametrize(("name", "match"), [("m.npz", "Change the ending"), ("", "Change the ending")])
def test_another_ending_is_refused(tmp_path, name, match):
    with pytest.raises(InputError, match=match):
        save_moments(weighted(), tmp_path / name)


def test_a_folder_is_no_place_for_moments(tmp_path):
    (tmp_path / "m.safetensors").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        save_moments(weighted(), tmp_path / "m.safetensors")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = save_moments(weighted(), tmp_path / "m.safetensors")
    before = path.read_bytes()

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_moments(Moments.of(X, Y), path, overwrite=True)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, -1])
def test_a_file_that_is_cut_off_is_refused(tmp_path, kept):
    path = save_moments(weighted(), tmp_path / "m.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(DataError, match=r"m\.safetensors is cut off.*again"):
        load_moments(path)


def test_what_is_no_file_of_moments_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file of moments"):
        load_moments(tmp_path / "m.safetensors")
    other = write_embeddings(tmp_path / "e.safetensors", Embeddings(X, IDS, Space("a", 4, "f")))
    with pytest.raises(DataError, match="is a safetensors file of embeddings, not of moments"):
        load_moments(other)
    (tmp_path / "p.safetensors").write_text("<!DOCTYPE html><html>")
    with pytest.raises(DataError, match="web page"):
        load_moments(tmp_path / "p.safetensors")


def rewritten(path, change):
    """The file with its arrays and metadata changed by ``change(arrays, metadata, about)``."""
    tensors = read_arrays(path, DataError)
    about = json.loads(tensors.metadata["moments"])
    change(tensors.arrays, tensors.metadata, about)
    with_arrays(path, tensors.arrays, {**tensors.metadata, "moments": json.dumps(about)})


CHANGES = {
    "another format": (lambda a, m, t: m.update(format="3"), "has format 3; this version reads 2. Update"),
    "an array is missing": (lambda a, m, t: a.pop("tail_s"), "'tail_s'"),
    "count is missing": (lambda a, m, t: t.pop("count"), "'count'"),
    "count is zero": (lambda a, m, t: t.update(count=0), "count 0"),
    "another width": (lambda a, m, t: t["source"].update(dim=5), r"moments of \(5, 3\)"),
    "NaN": (lambda a, m, t: a["scatter_st"].__setitem__((0, 0), np.nan), "scatter_st holds NaN or infinity"),
    "single precision": (lambda a, m, t: a.update(mean_s=a["mean_s"].astype(np.float32)), "mean_s is float32"),
    "not symmetric": (lambda a, m, t: a["scatter_ss"].__setitem__((0, 1), 5.0), "scatter_ss is no scatter"),
    "negative": (lambda a, m, t: a["scatter_tt"].__setitem__((1, 1), -1.0), "scatter_tt is no scatter"),
    "no weight": (lambda a, m, t: t.update(weight="0x0.0p+0"), "the weight is 0.0"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path, name):
    change, match = CHANGES[name]
    path = save_moments(weighted(), tmp_path / "m.safetensors")
    rewritten(path, change)
    with pytest.raises(DataError, match=match):
        load_moments(path)


def test_moments_that_are_not_finite_are_not_saved(tmp_path):
    good = weighted()
    with np.errstate(invalid="ignore"):
        parts = [np.full_like(getattr(good, name), np.nan) for name in ("mean_s", "mean_t")]
    broken = Moments(5, *parts, good.scatter_ss, good.scatter_st, good.scatter_tt, good.source, good.target)
    with pytest.raises(InputError, match="mean_s of these moments holds NaN"):
        save_moments(broken, tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []
