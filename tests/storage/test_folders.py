"""Artefact folders and files of embeddings: all or nothing, and never something else's content."""

import json
import os
import struct

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError
from stitchkit.core.space import Space
from stitchkit.storage import digests, tensor_files
from stitchkit.storage import folders as store
from stitchkit.storage.embeddings import read_embeddings, write_embeddings
from stitchkit.storage.folders import read_folder, write_folder
from stitchkit.storage.tensor_files import read_tensors, tensor_bytes

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

    monkeypatch.setattr(store, "write_flushed", full_disk)
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
    path.write_bytes(tensor_bytes(ARRAYS | {"vectors": np.ones((1, 2)), "ids": np.zeros(3, np.uint8)},
                                   {"kind": "embeddings", "stitchkit_format": "99"}))  # fmt: skip
    with pytest.raises(DataError, match="format 99"):
        read_embeddings(path)


def test_the_config_says_its_format(tmp_path):
    folder = write_folder(tmp_path / "a", {}, ARRAYS, "")
    config = json.loads((folder / "config.json").read_text())
    assert config == {"stitchkit_format": store.FORMAT, "stitchkit_sha256": store.digest_of({})}


def flipped(content, place):
    """``content`` with one bit of byte ``place`` flipped."""
    return content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :]


def test_every_flipped_bit_of_a_folder_is_noticed(tmp_path):
    folder = write_folder(tmp_path / "a", {"v": 1.25, "names": ["a", "b"], "encoder": "hf:one"}, ARRAYS, "")
    whole = read_folder(folder)
    for name in ("config.json", "model.safetensors"):
        good = (folder / name).read_bytes()
        for place in range(len(good)):
            (folder / name).write_bytes(flipped(good, place))
            try:
                config, arrays = read_folder(folder)
            except ModelUnavailableError:
                continue
            config["encoder"] = "hf:one"  # may be edited; its fingerprint is checked when it is loaded
            assert (config, arrays.keys()) == (whole[0], whole[1].keys()), (name, place)
            assert name == "config.json", place
        (folder / name).write_bytes(good)


def test_every_flipped_bit_of_embeddings_is_noticed(tmp_path):
    path = write_embeddings(tmp_path / "e.safetensors", some())
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(flipped(good, place))
        with pytest.raises(DataError, match=r"damaged|cut off|lost"):
            read_embeddings(path)


def test_the_same_embeddings_are_the_same_bytes(tmp_path):
    paths = [write_embeddings(tmp_path / f"{i}.safetensors", some()) for i in range(8)]
    assert len({path.read_bytes() for path in paths}) == 1


def test_a_digest_of_each_block_is_kept_and_the_damaged_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_files, "BLOCK_BYTES", 16)
    monkeypatch.setattr(digests.block_digests, "__defaults__", (16,))
    monkeypatch.setitem(digests.check_blocks.__kwdefaults__, "size", 16)
    path = tmp_path / "a.safetensors"
    path.write_bytes(tensor_bytes({"a": np.arange(5.0)}, {"kind": "numbers"}))
    assert len(load_metadata(path)["stitchkit_blocks"].split(",")) == 3
    found = read_tensors(path, DataError)
    assert (found.metadata, found.arrays["a"].tolist()) == ({"kind": "numbers"}, [0, 1, 2, 3, 4])
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size - 12))
    with pytest.raises(DataError, match="damaged in block 2 of 3"):
        read_tensors(path, DataError)


def load_metadata(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ">f4"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (1,)])
def test_other_readers_of_safetensors_read_what_is_written_and_the_other_way_round(tmp_path, kind, shape):
    made = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2).astype(kind)
    path = tmp_path / "a.safetensors"
    path.write_bytes(tensor_bytes({"b": made, "a": np.ones((2, 3))[:, ::2], "c": np.ones(3, np.int8)}))
    theirs = load_file(path)
    assert (theirs["b"].tolist(), theirs["b"].dtype, theirs["b"].shape) == (made.tolist(), np.dtype(kind[-2:]), shape)
    assert theirs["a"].tolist() == [[1, 1], [1, 1]]
    save_file(theirs, path)
    ours = read_tensors(path, DataError)
    assert not ours.digested
    assert all(np.array_equal(ours.arrays[name], array) for name, array in theirs.items())
    assert ours.arrays.keys() == theirs.keys()


def header(text, data=b""):
    return struct.pack("<Q", len(text)) + text.encode() + data


EMPTY = '"dtype":"F32","shape":[0],"data_offsets":[0,0]'
ENTRY = '"dtype":"F32","shape":[2],"data_offsets":[0,8]'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff" * 100, "its header would be"),
        (header("[]"), "no JSON object"),
        (header("{" * 50), "cut off, damaged or no"),
        (header("[" * 100_000), "cut off, damaged or no"),
        (header('{"a":{' + ENTRY + '},"a":{' + ENTRY + "}}", bytes(8)), "stands twice"),
        (header('{"a":{' + ENTRY.replace("F32", "BF16").replace("[2]", "[4]") + "}}", bytes(8)), "type 'BF16'; read"),
        (header('{"a":{' + ENTRY.replace("F32", "F8_E4M3") + "}}", bytes(8)), "of type 'F8_E4M3'; read"),
        (header('{"a":{' + ENTRY.replace("[2]", "[-2]") + "}}", bytes(8)), "shape or place"),
        (header('{"a":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}}', bytes(8)), "of type"),
        (header('{"a":{' + EMPTY.replace("[0]", f"[{2**62},0,8]") + "}}"), "shape or place"),
        (header('{"a":{' + EMPTY.replace("[0]", f"[{2**70},0]") + "}}"), "shape or place"),
        (header('{"a":{' + ENTRY.replace("[2]", "[2.0]") + "}}", bytes(8)), "shape or place"),
        (header('{"a":{' + ENTRY.replace("[2]", "[true]") + "}}", bytes(8)), "shape or place"),
        (header('{"a":{' + ENTRY.replace("[2]", "[99999999999,99999999999]") + "}}", bytes(8)), "shape or place"),
        (header('{"a":{' + ENTRY.replace("8]", "80]") + "}}", bytes(8)), "shape or place"),
        (header('{"a":{' + ENTRY + '},"b":{' + ENTRY + "}}", bytes(8)), "overlap or leave gaps"),
        (header('{"a":{' + ENTRY + "}}", bytes(9)), "1 bytes before its end"),
        (header('{"a":7}'), "none of an array"),
        (header('{"__metadata__":{"a":1}}'), "metadata are no texts"),
        (header('{"__metadata__":{"stitchkit_sha256":"a"}}'), "damaged in its header"),
    ],
)  # fmt: skip
def test_a_crafted_file_of_arrays_is_refused(tmp_path, content, says):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_tensors(path, DataError)


def test_what_the_earlier_format_wrote_is_read_with_a_warning(tmp_path):
    folder = write_folder(tmp_path / "a", {"v": 1}, ARRAYS, "")
    (folder / "config.json").write_text('{"stitchkit_format": 1, "v": 1}')
    save_file(ARRAYS, folder / "model.safetensors")
    with pytest.warns(UserWarning, match="a was written without SHA-256 digests.*Save it again"):
        assert read_folder(folder)[0] == {"v": 1}
    path = write_embeddings(tmp_path / "e.safetensors", some())
    arrays, metadata = load_file(path), load_metadata(path)
    plain = {key: metadata[key] for key in ("kind", "space", "dim", "fingerprint")}
    save_file(arrays, path, {**plain, "stitchkit_format": "1"})
    with pytest.warns(UserWarning, match="without SHA-256 digests"):
        assert read_embeddings(path).ids.tolist() == some().ids.tolist()
    save_file(arrays, path, {**plain, "stitchkit_format": "2"})
    with pytest.raises(DataError, match="has lost the SHA-256 digests"):
        read_embeddings(path)


def test_a_folder_whose_arrays_lost_their_digests_is_refused(tmp_path):
    folder = write_folder(tmp_path / "a", {"v": 1}, ARRAYS, "")
    save_file(ARRAYS, folder / "model.safetensors")
    with pytest.raises(ModelUnavailableError, match="has lost the SHA-256 digests"):
        read_folder(folder)


def test_encoders_in_a_config_and_its_layout_may_be_edited_and_nothing_else(tmp_path):
    folder = write_folder(tmp_path / "a", {"encoder": "hf:one", "v": [1.5, {"b": 1, "a": "ä"}]}, ARRAYS, "")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "encoder": "hf:two"}, sort_keys=True, ensure_ascii=False))
    assert read_folder(folder)[0] == {"encoder": "hf:two", "v": [1.5, {"b": 1, "a": "ä"}]}
    path.write_text(json.dumps({**config, "v": 2}))
    with pytest.raises(ModelUnavailableError, match=r"damaged or was edited.*only encoder and target_encoder may be"):
        read_folder(folder)


@pytest.mark.parametrize("content", [b'{"a": NaN}', b'{"a": 1e999}', b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 9999,
                                     b'{"a": ' + b"9" * 9999 + b"}"])  # fmt: skip
def test_a_crafted_config_is_refused(tmp_path, content):
    folder = write_folder(tmp_path / "a", {}, ARRAYS, "")
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelUnavailableError, match=r"config\.json cannot be parsed"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("arrays", "metadata", "says"),
    [
        ({"ids": b"[1, 2]"}, {}, "no list of texts"),
        ({"ids": b'["a"]'}, {}, "ids"),
        ({"ids": b"\xff"}, {}, "utf-8"),
        ({"vectors": np.full((3, 2), np.nan)}, {}, "not finite|NaN"),
        ({"vectors": np.ones(3)}, {}, "vectors"),
        ({}, {"dim": "many"}, "many"),
        ({}, {"dim": "3"}, "3"),
        ({}, {"dim": None}, "'dim'"),
        ({}, {"space": None}, "'space'"),
    ],
)  # fmt: skip
def test_crafted_embeddings_are_refused(tmp_path, arrays, metadata, says):
    path = write_embeddings(tmp_path / "e.safetensors", some())
    whole = read_tensors(path, DataError)
    changed = {name: np.frombuffer(one, np.uint8) if isinstance(one, bytes) else one for name, one in arrays.items()}
    facts = {key: value for key, value in {**whole.metadata, **metadata}.items() if value is not None}
    path.write_bytes(tensor_bytes({**whole.arrays, **changed}, facts))
    with pytest.raises(DataError, match=says):
        read_embeddings(path)


def test_a_pipe_is_never_replaced_by_a_folder(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is a pipe or a device"):
        write_folder(pipe, {}, {}, "card", overwrite=True)
    assert pipe.is_fifo()
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]
