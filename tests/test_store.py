"""Artefact folders and files of embeddings: all or nothing, and never something else's content."""

import json

import numpy as np
import pytest

from stitchkit import store
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError
from stitchkit.core.space import Space
from stitchkit.store import read_embeddings, read_folder, write_embeddings, write_folder

ARRAYS = {
    "weight": np.arange(6.0).reshape(2, 3).T,  # not contiguous
    "half": np.ones(3, np.float16),
    "scalar": np.array(2.5),
    "none": np.zeros((0, 4), np.float32),
}


def test_a_folder_comes_back_as_it_was(tmp_path):
    config = {"name": "demo", "n": np.int64(3), "rho": np.array([0.5, 0.25]), "nested": {"path": tmp_path / "x"}}
    folder = write_folder(tmp_path / "new" / "stitched", config, ARRAYS, "# Card\n")
    back, arrays = read_folder(folder)
    assert back == {"name": "demo", "n": 3, "rho": [0.5, 0.25], "nested": {"path": (tmp_path / "x").as_posix()}}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert (folder / "README.md").read_text() == "# Card\n"
    assert [path.name for path in folder.parent.iterdir()] == ["stitched"]


def test_an_existing_folder_is_refused_unless_it_is_an_artefact_to_overwrite(tmp_path):
    folder = write_folder(tmp_path / "a", {"v": 1}, ARRAYS, "")
    (folder / "report.html").write_text("old")
    with pytest.raises(InputError, match="not empty"):
        write_folder(folder, {"v": 2}, ARRAYS, "")
    write_folder(folder, {"v": 2}, ARRAYS, "", overwrite=True)
    assert read_folder(folder)[0] == {"v": 2}
    assert not (folder / "report.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    home = tmp_path / "home"
    home.mkdir()
    write_folder(home, {"v": 1}, ARRAYS, "")  # empty: nothing to lose
    (home / "config.json").unlink()
    with pytest.raises(InputError, match="something else than an artefact"):
        write_folder(home, {}, ARRAYS, "", overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        write_folder(home / "README.md", {}, ARRAYS, "")


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    for bad in ({"x": float("nan")}, {"x": object()}, {"stitchkit_format": 2}):
        with pytest.raises(InputError):
            write_folder(tmp_path / "a", bad, ARRAYS, "")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_folder_and_no_litter(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "a", {"v": 1}, ARRAYS, "")

    def full_disk(path, content):
        if path.name == "README.md":
            raise OSError("no space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(store, "_write", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_folder(folder, {"v": 2}, ARRAYS, "", overwrite=True)
    assert read_folder(folder)[0] == {"v": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def broken(folder, name, content):
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: broken(f, "model.safetensors", b"<!DOCTYPE html>\n" * 99), "web page"),
        (lambda f: broken(f, "model.safetensors", b"version https://git-lfs.github.com/spec/v1"), "LFS"),
        (lambda f: broken(f, "model.safetensors", (f / "model.safetensors").read_bytes()[:-5]), "cut off"),
        (lambda f: broken(f, "model.safetensors", b""), "cut off"),
        (lambda f: broken(f, "config.json", b'{"a":'), "cannot be parsed"),
        (lambda f: broken(f, "config.json", b"<html>"), "web page"),
        (lambda f: broken(f, "config.json", b"[]"), "format None"),
        (lambda f: broken(f, "config.json", b'{"stitchkit_format": 99}'), "format 99.*Update stitchkit"),
        (lambda f: broken(f, "config.json", b'{"model_type": "vit"}'), "saved by stitchkit"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused_by_name(tmp_path, damage, says):
    folder = write_folder(tmp_path / "a", {"v": 1}, ARRAYS, "")
    damage(folder)
    with pytest.raises(ModelUnavailableError, match=says):
        read_folder(folder)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ModelUnavailableError, match="no artefact folder"):
        read_folder(tmp_path / "absent")


def some(dtype="float32", fingerprint="f1"):
    vectors = (np.arange(6).reshape(3, 2) + 1).astype(dtype)
    return Embeddings(vectors, np.array(["ä/1.png", "b,\n2", "c"]), Space("demo enc", 2, fingerprint))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_embeddings_come_back_with_ids_precision_and_space(tmp_path, dtype):
    path = write_embeddings(tmp_path / "sub" / "e.safetensors", some(dtype))
    back = read_embeddings(path)
    np.testing.assert_array_equal(back.vectors, some(dtype).vectors)
    assert back.vectors.dtype == dtype
    assert back.ids.tolist() == some().ids.tolist()
    assert back.space == some().space
    write_embeddings(path, some(fingerprint=None))  # the same kind of file may be replaced
    assert read_embeddings(path).space.fingerprint is None
    assert [one.name for one in path.parent.iterdir()] == ["e.safetensors"]


def test_embeddings_of_another_library_or_of_integers_are_written_too(tmp_path):
    torch = pytest.importorskip("torch")
    half = torch.ones((3, 2), dtype=torch.bfloat16)
    path = write_embeddings(tmp_path / "e.safetensors", Embeddings(half, some().ids, some().space))
    assert read_embeddings(path).vectors.dtype == np.float32
    path = write_embeddings(path, some("int32"))
    assert read_embeddings(path).vectors.dtype == np.float64


def test_embeddings_are_not_written_over_something_else(tmp_path):
    folder = write_folder(tmp_path / "a", {}, ARRAYS, "")
    with pytest.raises(InputError, match="left alone"):
        write_embeddings(folder / "model.safetensors", some())
    (tmp_path / "b.safetensors").write_text("mine")
    with pytest.raises(InputError, match="unreadable"):
        write_embeddings(tmp_path / "b.safetensors", some())
    for wrong in ("e.npy", "a.safetensors"):
        (tmp_path / "a.safetensors").mkdir(exist_ok=True)
        with pytest.raises(InputError):
            write_embeddings(tmp_path / wrong, some())


def test_what_holds_no_embeddings_is_refused(tmp_path):
    with pytest.raises(DataError, match="no file of embeddings"):
        read_embeddings(tmp_path / "absent.safetensors")
    folder = write_folder(tmp_path / "a", {}, ARRAYS, "")
    with pytest.raises(DataError, match="holds no embeddings"):
        read_embeddings(folder / "model.safetensors")
    path = write_embeddings(tmp_path / "e.safetensors", some())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="cut off"):
        read_embeddings(path)
    path.write_text("<html>")
    with pytest.raises(DataError, match="web page"):
        read_embeddings(path)
    path.unlink()
    path.write_bytes(store.packed(ARRAYS | {"vectors": np.ones((1, 2)), "ids": np.zeros(3, np.uint8)},
                                   {"kind": "embeddings", "stitchkit_format": "99"}))  # fmt: skip
    with pytest.raises(DataError, match="format 99"):
        read_embeddings(path)


def test_the_config_says_its_format(tmp_path):
    folder = write_folder(tmp_path / "a", {}, ARRAYS, "")
    assert json.loads((folder / "config.json").read_text()) == {"stitchkit_format": store.FORMAT}
