"""The cache of embeddings: what was appended is found, and nothing else, whatever happened in between."""

import contextlib
import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.space import Space
from stitchkit.core.wording import counted
from stitchkit.datasets.content_keys import as_keys, content_key
from stitchkit.storage.embedding_cache import EmbeddingStore, default_root

SPACE = Space("demo", 4, "f1")


def keys_of(numbers):
    return as_keys([hashlib.blake2b(str(n).encode(), digest_size=16).digest() for n in numbers])


def vectors_of(numbers):
    return np.stack([np.full(4, n + 0.5, np.float32) for n in numbers])


@pytest.fixture
def shelf(tmp_path):
    shelf = EmbeddingStore(tmp_path).open(SPACE)
    shelf.append(keys_of(range(5)), vectors_of(range(5)))
    shelf.append(keys_of(range(5, 8)), vectors_of(range(5, 8)))
    return shelf


def again(shelf):
    return EmbeddingStore(shelf.folder.parent.parent).open(SPACE)


def test_what_was_appended_is_found_and_read_in_any_order_and_by_a_new_process(shelf):
    for one in (shelf, again(shelf)):
        rows = one.find(keys_of([6, 99, 0, 6]))
        assert (rows >= 0).tolist() == [True, False, True, True]
        np.testing.assert_array_equal(one.read(rows[[0, 2, 3]]), vectors_of([6, 0, 6]))
        assert len(one) == 8
        assert one.read(np.array([], int)).shape == (0, 4)


def test_an_empty_shelf_finds_nothing(tmp_path):
    shelf = EmbeddingStore(tmp_path).open(SPACE)
    assert shelf.find(keys_of([1, 2])).tolist() == [-1, -1]
    shelf.append(keys_of([]), np.empty((0, 4)))
    assert len(shelf) == 0


def test_shelves_keep_spaces_and_precisions_apart(shelf, tmp_path):
    for space, dtype in ((Space("demo", 4, "f2"), "float32"), (SPACE, "float16")):
        assert EmbeddingStore(tmp_path).open(space, dtype).find(keys_of([0])).tolist() == [-1]
    renamed = EmbeddingStore(tmp_path).open(Space("another name", 4, "f1"))
    assert (renamed.find(keys_of([0])) >= 0).all()
    half = EmbeddingStore(tmp_path).open(SPACE, "float16")
    half.append(keys_of([0]), vectors_of([0]))
    assert half.read(half.find(keys_of([0]))).dtype == np.float16


def test_a_space_without_fingerprint_and_wrong_shapes_are_refused(shelf, tmp_path):
    with pytest.raises(InputError, match="no fingerprint"):
        EmbeddingStore(tmp_path).open(Space("array", 4))
    with pytest.raises(InputError, match="float16 or float32"):
        EmbeddingStore(tmp_path).open(SPACE, "float64")
    with pytest.raises(InputError, match="width 4"):
        shelf.append(keys_of([1]), np.ones((1, 3)))


def test_rows_beyond_the_manifest_are_cut_off(shelf):
    for name in ("vectors.bin", "keys.bin"):
        with (shelf.folder / name).open("ab") as file:
            file.write(b"half a batch")
    with (shelf.folder / "manifest.jsonl").open("ab") as file:
        file.write(b'{"start": 8, "rows"')
    opened = again(shelf)
    assert len(opened) == 8
    assert (opened.folder / "vectors.bin").stat().st_size == 8 * 16
    opened.append(keys_of([8]), vectors_of([8]))
    assert (again(shelf).find(keys_of(range(9))) >= 0).all()


@pytest.mark.parametrize("name", ["vectors.bin", "keys.bin"])
def test_a_shard_with_a_wrong_checksum_is_dropped_once_and_said(shelf, name):
    with (shelf.folder / name).open("r+b") as file:
        file.seek(3)
        file.write(b"\xff\xff")
    opened = again(shelf)
    with pytest.warns(UserWarning, match="5 stored rows"):
        rows = opened.find(keys_of(range(8)))
    assert (rows >= 0).tolist() == [False] * 5 + [True] * 3
    np.testing.assert_array_equal(opened.read(rows[5:]), vectors_of([5, 6, 7]))
    later = again(shelf)  # not said twice
    assert (later.find(keys_of(range(8))) >= 0).sum() == 3
    later.append(keys_of(range(5)), vectors_of(range(5)))
    rows = again(shelf).find(keys_of(range(8)))
    np.testing.assert_array_equal(again(shelf).read(rows), vectors_of(range(8)))


def test_a_file_that_lost_its_end_loses_only_those_rows(shelf):
    with (shelf.folder / "vectors.bin").open("r+b") as file:
        file.truncate(6 * 16)
    opened = again(shelf)
    with pytest.warns(UserWarning, match="3 stored rows"):
        rows = opened.find(keys_of(range(8)))
    assert (rows >= 0).sum() == 5
    opened.append(keys_of([5]), vectors_of([5]))
    np.testing.assert_array_equal(again(shelf).read(again(shelf).find(keys_of([5, 1]))), vectors_of([5, 1]))


def test_a_damaged_manifest_line_hides_its_shard_only(shelf):
    manifest = shelf.folder / "manifest.jsonl"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(["{broken", lines[1]]) + "\n")
    opened = again(shelf)
    assert (opened.find(keys_of(range(8))) >= 0).sum() == 3
    opened.append(keys_of(range(5)), vectors_of(range(5)))
    np.testing.assert_array_equal(again(shelf).read(again(shelf).find(keys_of(range(8)))), vectors_of(range(8)))


def test_two_writers_do_not_overwrite_each_other(shelf):
    other = again(shelf)
    shelf.append(keys_of([20]), vectors_of([20]))
    other.append(keys_of([21]), vectors_of([21]))
    shelf.append(keys_of([22]), vectors_of([22]))
    opened = again(shelf)
    np.testing.assert_array_equal(opened.read(opened.find(keys_of([22, 21, 20]))), vectors_of([22, 21, 20]))
    assert (shelf.find(keys_of([20, 21, 22])) >= 0).all()


SAME_ROWS = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_embedding_cache import SPACE, EmbeddingStore, keys_of, vectors_of
shelf = EmbeddingStore(Path(sys.argv[2])).open(SPACE)
Path(sys.argv[2], "ready" + sys.argv[3]).touch()
while not Path(sys.argv[2], "go").exists():
    time.sleep(0.005)
for start in range(0, 400, 20):
    shelf.append(keys_of(range(start, start + 20)), vectors_of(range(start, start + 20)))
"""


def test_processes_that_embed_the_same_items_store_each_row_once(tmp_path):
    words = [sys.executable, "-c", SAME_ROWS, str(Path(__file__).parent), str(tmp_path)]
    children = [subprocess.Popen([*words, str(number)]) for number in range(3)]
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("ready*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [child.wait(timeout=120) for child in children] == [0, 0, 0]
    shelf = EmbeddingStore(tmp_path).open(SPACE)
    assert len(shelf) == 400
    assert (shelf.folder / "vectors.bin").stat().st_size == 400 * 16
    np.testing.assert_array_equal(shelf.read(shelf.find(keys_of(range(400)))), vectors_of(range(400)))


def test_known_keys_and_repeats_are_not_stored_again(shelf):
    other = again(shelf)
    shelf.append(keys_of([20, 21]), vectors_of([20, 21]))
    other.append(keys_of([21, 3, 22, 22]), vectors_of([21, 3, 22, 22]))
    other.append(keys_of([20, 22]), vectors_of([20, 22]))
    assert len(other) == len(again(shelf)) == 8 + 3
    np.testing.assert_array_equal(other.read(other.find(keys_of([22, 20, 21]))), vectors_of([22, 20, 21]))


@pytest.mark.parametrize("name", ["vectors.bin", "keys.bin"])
def test_keys_whose_rows_are_damaged_are_stored_again(shelf, name):
    opened = again(shelf)
    with (shelf.folder / name).open("r+b") as file:
        file.write(b"\xff\xff\xff")
    with pytest.warns(UserWarning, match="5 stored rows"):
        opened.append(keys_of([0, 7]), vectors_of([0, 7]))
    assert len(opened) == 3 + 1
    np.testing.assert_array_equal(again(shelf).read(again(shelf).find(keys_of([0, 7]))), vectors_of([0, 7]))


CRAFTED = [
    '{"start": 8, "rows": true, "vectors": 1, "keys": 1}',
    '{"start": 8.0, "rows": 1, "vectors": 1, "keys": 1}',
    '{"start": "8", "rows": 1, "vectors": 1, "keys": 1}',
    '{"start": null, "rows": 1, "vectors": 1, "keys": 1}',
    '{"start": [8], "rows": 1, "vectors": 1, "keys": 1}',
    '{"start": -1, "rows": 1, "vectors": 1, "keys": 1}',
    '{"start": 8, "rows": 0, "vectors": 1, "keys": 1}',
    '{"start": 8, "rows": -5, "vectors": 1, "keys": 1}',
    '{"start": 8, "rows": 1, "vectors": 1, "keys": NaN}',
    '{"start": 8, "rows": 1, "vectors": {}, "keys": 1}',
    '{"start": 8, "start": 0, "rows": 1, "vectors": 1, "keys": 1}',
    '{"start": 4, "rows": 2, "vectors": 1, "keys": 1}',
    '{"start": 0, "rows": 8, "vectors": 1, "keys": 1}',
    '{"start": 7, "rows": 1, "vectors": 1, "keys": 1}',
    '{"drop": "5"}',
    '{"drop": null}',
    '{"drop": [0]}',
    '{"drop": -1}',
    '{"drop": true}',
    '{"drop": 1e2}',
    "[" * 100_000,
    "1" * 5000,
    "[1, 2]",
    "null",
]


@pytest.mark.parametrize("line", CRAFTED, ids=[line[:60] for line in CRAFTED])
def test_a_crafted_manifest_line_is_passed_over(shelf, line):
    with (shelf.folder / "manifest.jsonl").open("a") as file:
        file.write(line + "\n")
    opened = again(shelf)
    assert (opened.find(keys_of(range(8))) >= 0).all()
    opened.append(keys_of([8]), vectors_of([8]))
    np.testing.assert_array_equal(again(shelf).read(again(shelf).find(keys_of(range(9)))), vectors_of(range(9)))


@pytest.mark.parametrize(
    ("start", "rows"), [(8, 1), (10**10, 1), (8, 10**25), (10**25, 1), (2**63 - 1, 2**63 - 1), (0, 10**11), (7, 2)]
)
def test_a_manifest_line_beyond_the_files_takes_no_room(shelf, start, rows):
    with (shelf.folder / "manifest.jsonl").open("a") as file:
        file.write(json.dumps({"start": start, "rows": rows, "vectors": 1, "keys": 1}) + "\n")
    opened = again(shelf)
    overlaps = start < 8
    with (
        contextlib.nullcontext()
        if overlaps
        else pytest.warns(UserWarning, match=f"{counted(rows, 'stored row')} .* dropped")
    ):
        assert (opened.find(keys_of(range(8))) >= 0).all()
    opened.append(keys_of([8]), vectors_of([8]))
    opened.append(keys_of([9, 10]), vectors_of([9, 10]))
    assert (shelf.folder / "vectors.bin").stat().st_size == 11 * 16
    later = again(shelf)
    np.testing.assert_array_equal(later.read(later.find(keys_of(range(11)))), vectors_of(range(11)))
    assert len(later) == 11


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_embedding_cache import SPACE, EmbeddingStore, keys_of, vectors_of
shelf = EmbeddingStore(Path(sys.argv[2])).open(SPACE)
start = int(sys.argv[3])
while True:
    numbers = range(start, start + 50)
    shelf.append(keys_of(numbers), vectors_of(numbers))
    start += 50
"""


def test_a_killed_writer_leaves_only_whole_shards(tmp_path):
    chance = random.Random(0)

    def noted():
        return sum(path.stat().st_size for path in tmp_path.glob("*/*/manifest.jsonl"))

    for turn in range(3):
        words = [str(Path(__file__).parent), str(tmp_path), str(turn * 10**6)]
        before, deadline = noted(), time.monotonic() + 60
        child = subprocess.Popen([sys.executable, "-c", WRITER, *words])
        while noted() < before + 200:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(chance.random() / 50)
        child.kill()
        child.wait()
    shelf = EmbeddingStore(tmp_path).open(SPACE)
    shards = [json.loads(line) for line in (shelf.folder / "manifest.jsonl").read_text().splitlines()]
    assert len(shelf) == 50 * len(shards) > 0
    for turn in range(3):
        numbers = np.arange(turn * 10**6, turn * 10**6 + 50)
        rows = shelf.find(keys_of(numbers))
        np.testing.assert_array_equal(shelf.read(rows), vectors_of(numbers))
    stored = np.sort(shelf.read(np.arange(len(shelf)))[:, 0])
    assert len(np.unique(stored)) == len(shelf)


def test_no_name_and_no_text_is_kept(tmp_path):
    shelf = EmbeddingStore(tmp_path).open(SPACE)
    shelf.append(as_keys([content_key("Jane Doe has an effusion.", "text")]), vectors_of([1]))
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"Jane" not in path.read_bytes()


def test_equal_content_has_an_equal_key_whatever_its_name(tmp_path):
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    for name in ("a.png", "b.png"):
        image.save(tmp_path / name)
    same = {content_key(tmp_path / name, "image") for name in ("a.png", "b.png")}
    assert len(same) == 1
    different = [
        content_key("a", "text"),
        content_key("b", "text"),
        content_key(image, "image"),
        content_key(image.rotate(180), "image"),
        content_key(np.asarray(image), "image"),
        content_key(np.asarray(image).reshape(4, 3), "image"),
        content_key(np.asarray(image).astype(np.float32), "image"),
        *same,
    ]
    assert len(set(different)) == len(different)
    assert all(len(key) == 16 for key in different)


def test_keys_of_deep_images_are_new_since_they_are_read_otherwise(tmp_path):
    """Keys of 8-bit images stay, so that what a store holds of them stays of use."""
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    deep = Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4))
    image.save(tmp_path / "a.png")
    deep.save(tmp_path / "b.png")
    deep.save(tmp_path / "c.tif")

    def plain(prefix, content):
        return hashlib.blake2b(prefix + content, digest_size=16).digest()

    as_before = {name: plain(b"file\0", (tmp_path / name).read_bytes()) for name in ("a.png", "b.png", "c.tif")}
    same = {name for name, key in as_before.items() if content_key(tmp_path / name, "image") == key}
    assert same == {"a.png"}
    assert content_key(np.asarray(image), "image") == plain(b"array\0|u1(3, 4)\0", image.tobytes())
    assert content_key(np.asarray(deep), "image") != plain(b"array\0<u2(3, 4)\0", deep.tobytes())


def test_a_missing_or_empty_image_has_no_key(tmp_path):
    with pytest.raises(DataError, match="no readable image"):
        content_key(tmp_path / "absent.png", "image")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match="0 bytes"):
        content_key(tmp_path / "empty.png", "image")


def test_the_cache_lies_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("STITCHKIT_CACHE", str(tmp_path))
    assert default_root() == tmp_path
    assert EmbeddingStore().open(SPACE).folder.is_relative_to(tmp_path)
    monkeypatch.delenv("STITCHKIT_CACHE")
    assert default_root().parts[-2:] == (".cache", "stitchkit")
