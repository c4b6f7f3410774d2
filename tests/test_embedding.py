"""The embedding verb: order, laziness, the store, resuming, memory, and what it refuses before any work."""

import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from stitchkit import embedding
from stitchkit.core.anchors import AnchorSet
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.embedding import embed
from stitchkit.runtime import progress
from stitchkit.storage.embedding_cache import EmbeddingStore
from stitchkit.storage.embeddings import read_embeddings


class FakeEncoder:
    """Numpy only; counts what it is asked and can be told to fail."""

    def __init__(self, modality="text", fingerprint="f1", dim=3, bears=10**9):
        self.name = self.modality = modality
        self.space = Space(f"fake {modality}", dim, fingerprint)
        self.bears = bears  # largest batch that fits into its memory
        self.batches = []
        self.special = {}

    @property
    def seen(self):
        return sum(map(len, self.batches))

    def prepare(self, items):
        return list(items)

    def encode(self, batch):
        if len(batch) > self.bears:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2269 GiB")
        self.batches.append(batch)
        return Encoded(np.stack([self.vector(item) for item in batch]))

    def vector(self, item):
        if isinstance(item, str):
            return np.asarray(self.special.get(item, [len(item), sum(map(ord, item)), 1.0]), np.float32)
        values = np.asarray(item, np.float32)
        return np.array([values.mean() + 1, values.std(), values.flat[0]], np.float32)


TEXTS = ["a", "bbb", "cc", "bbb", "dddd", "e"]


@pytest.fixture
def text():
    return FakeEncoder()


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for n in range(7):
        Image.fromarray(np.full((4, 5), 10 * n + 1, np.uint8)).save(folder / f"{n}.png")
    return folder


def test_vectors_come_in_the_order_of_the_items_whatever_the_batch(text, tmp_path):
    expected = np.stack([text.vector(item) for item in TEXTS])
    for size in (1, 2, 100):
        done = embed(text, TEXTS, batch_size=size, store=None)
        np.testing.assert_array_equal(done.vectors, expected)
        assert done.ids.tolist() == ["0", "1", "2", "3", "4", "5"]
        assert done.space is text.space
        assert done.vectors.dtype == np.float32


def test_equal_items_are_encoded_once_and_long_texts_first(text):
    embed(text, TEXTS, batch_size=2, store=None)
    assert text.batches == [["dddd", "bbb"], ["cc", "a"], ["e"]]


def test_what_is_stored_is_not_encoded_again(text, tmp_path):
    first = embed(text, TEXTS, store=tmp_path)
    assert text.seen == 5
    more = embed(text, [*TEXTS[::-1], "new"], store=tmp_path)
    assert text.seen == 6
    np.testing.assert_array_equal(more.vectors[:6], first.vectors[::-1])
    embed(FakeEncoder(fingerprint="f2"), TEXTS, store=EmbeddingStore(tmp_path))
    changed = FakeEncoder(fingerprint="f2")
    embed(changed, TEXTS, store=tmp_path)
    assert changed.seen == 0


def test_without_store_or_fingerprint_nothing_is_kept(text, tmp_path, monkeypatch):
    monkeypatch.setenv("STITCHKIT_CACHE", str(tmp_path / "cache"))
    embed(text, TEXTS, store=None)
    embed(FakeEncoder(fingerprint=None), TEXTS)
    assert not (tmp_path / "cache").exists()
    embed(text, TEXTS)
    assert (tmp_path / "cache").exists()


def test_half_precision_is_kept_apart_and_overflow_is_named(text, tmp_path):
    half = embed(text, TEXTS, store=tmp_path, dtype="float16")
    assert half.vectors.dtype == np.float16
    embed(text, TEXTS, store=tmp_path)
    assert text.seen == 10
    text.special["big"] = [1e6, 0, 1]
    with pytest.raises(InputError, match="'0' does not fit into float16"):
        embed(text, ["big"], store=None, dtype="float16")


@pytest.mark.parametrize(
    ("vector", "says"), [([np.nan, 0, 1], "NaN"), ([np.inf, 0, 1], "NaN or inf"), ([0, 0, 0], "zeros")]
)
def test_an_unusable_vector_names_its_item_and_the_sound_ones_stay_stored(text, tmp_path, vector, says):
    text.special["bbb"] = vector
    items = Items(["p1", "p2", "p3", "p4"], ["a", "cc", "bbb", "dddd"], "text")
    with pytest.raises(InputError, match=f"item 'p3' .*{says}"):
        embed(text, items, batch_size=2, store=tmp_path)
    assert text.seen == 2
    text.special.clear()
    embed(text, items, batch_size=2, store=tmp_path)
    assert text.batches[1:] == [["bbb", "cc"], ["a"]]


def test_a_run_that_is_interrupted_goes_on_where_it_was(text, tmp_path):
    texts = [f"text {n:03d}" for n in range(100)]
    real, calls = text.encode, []

    def interrupted(batch):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real(batch)

    text.encode = interrupted
    with pytest.raises(KeyboardInterrupt):
        embed(text, texts, batch_size=10, store=tmp_path)
    done = embed(text, texts, batch_size=10, store=tmp_path)
    assert text.seen == 100
    np.testing.assert_array_equal(done.vectors, np.stack([text.vector(one) for one in texts]))


def test_shards_are_put_away_while_the_work_goes_on(text, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_SHARD_BATCHES", 2)
    seen = []
    real = text.encode
    shelf = EmbeddingStore(tmp_path).open(text.space).folder

    def watched(batch):
        path = shelf / "manifest.jsonl"
        seen.append(path.read_text().count("\n") if path.exists() else 0)
        return real(batch)

    text.encode = watched
    embed(text, [f"text {n}" for n in range(8)], batch_size=1, store=tmp_path)
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3]


def test_when_memory_runs_out_the_batch_is_halved_and_stays_so(text):
    text.bears = 3
    texts = [f"text {n:03d}" for n in range(40)]
    with pytest.warns(UserWarning, match="ran out of memory") as said:
        done = embed(text, texts, batch_size=16, store=None)
    assert len(said) == 3  # 8, 4, 2
    assert max(map(len, text.batches)) == 2
    np.testing.assert_array_equal(done.vectors, np.stack([text.vector(one) for one in texts]))


def test_memory_that_does_not_hold_one_item_is_an_error(text):
    text.bears = 0
    with pytest.raises(InputError, match="on a single item"):
        embed(text, ["a"], store=None)


def test_other_errors_of_the_encoder_pass_through(text):
    def broken(batch):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    text.encode = broken
    with pytest.raises(RuntimeError, match="mat1"):
        embed(text, TEXTS, store=None)


def test_an_encoder_that_breaks_its_promise_is_named():
    with pytest.raises(InputError, match=r"shape \(1, 3\) from 1 item; its space says \(1, 5\)"):
        embed(FakeEncoder(dim=5), ["a"], store=None)


def test_a_folder_a_table_and_lists_of_images_give_the_same_vectors(scans, tmp_path):
    vision = FakeEncoder("image")
    folder = embed(vision, scans, store=None, batch_size=3)
    assert folder.ids.tolist() == [f"{n}.png" for n in range(7)]
    (scans / "t.csv").write_text("path\n" + "".join(f"{n}.png\n" for n in range(7)))
    images = [Image.open(scans / f"{n}.png") for n in range(7)]
    for given in (
        str(scans / "t.csv"),
        sorted(scans.glob("*.png")),
        [str(path) for path in sorted(scans.glob("*.png"))],
        images,
        [np.asarray(image) for image in images],
        np.stack([np.asarray(image.convert("RGB")) for image in images]),
    ):
        done = embed(vision, given, store=tmp_path / "store", batch_size=3)
        np.testing.assert_array_equal(done.vectors, folder.vectors)
    assert done.ids.tolist() == [str(n) for n in range(7)]
    for image in images:
        image.close()


def test_a_renamed_image_is_found_again_and_a_changed_one_is_not(scans, tmp_path):
    vision = FakeEncoder("image")
    embed(vision, scans, store=tmp_path / "store")
    (scans / "0.png").rename(scans / "zero.png")
    Image.fromarray(np.full((4, 5), 99, np.uint8)).save(scans / "1.png")
    embed(vision, scans, store=tmp_path / "store")
    assert vision.seen == 8


def test_only_the_next_batch_is_decoded_ahead(scans, monkeypatch):
    vision, lock, decoded = FakeEncoder("image"), threading.Lock(), []
    real_read, real_encode = embedding.read_image, vision.encode

    def read(path):
        with lock:
            decoded.append(path)
        return real_read(path)

    def encode(batch):
        assert len(decoded) <= vision.seen + 2 * len(batch) + 1
        return real_encode(batch)

    monkeypatch.setattr(embedding, "read_image", read)
    vision.encode = encode
    embed(vision, scans, store=None, batch_size=2)
    assert len(decoded) == 7


def test_a_damaged_image_is_named_and_the_good_ones_stay_stored(scans, tmp_path):
    vision = FakeEncoder("image")
    whole = (scans / "5.png").read_bytes()
    (scans / "5.png").write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"5\.png is damaged or cut off"):
        embed(vision, scans, store=tmp_path / "store", batch_size=2)
    (scans / "5.png").write_bytes(whole)
    before = vision.seen
    embed(vision, scans, store=tmp_path / "store", batch_size=2)
    assert (before, vision.seen) == (4, 7)


def test_an_empty_image_is_found_before_any_work(scans, tmp_path):
    vision = FakeEncoder("image")
    (scans / "6.png").write_bytes(b"")
    with pytest.raises(DataError, match="0 bytes"):
        embed(vision, scans, store=tmp_path / "store")
    assert vision.seen == 0


PAIR = AnchorSet(["1"], Items(["1"], ["a.png"], "image"), Items(["1"], ["a"], "text"))


@pytest.mark.parametrize(
    ("items", "says"),
    [
        (PAIR.source_items, "reads texts and was given 1 image"),
        (PAIR, "two sides"),
        ([], "no items"),
        (["a", ""], "'1' .row 1. is an empty text"),
        (["a", " \t\n"], "'1' .row 1. is an empty text"),
        (["a", "\u200b"], "'1' .row 1. is a text of invisible characters alone"),
        (["a", "\ufeff\u00ad \u2060"], "'1' .row 1. is a text of invisible"),
        (["\u3164\u2800", "a"], "'0' .row 0. is a text of invisible"),
        (["a", "\x00\x1f"], "'1' .row 1. is a text of invisible"),
        (["a", "\u034f\ufe0f\U000e0101\ufffe"], "'1' .row 1. is a text of invisible"),
        (["a", "cut \ud83d here"], r"'1' .row 1. is a text with half of a surrogate pair .U\+D83D at character 4"),
        (["a", "b\udc80"], r"half of a surrogate pair .U\+DC80 at character 1"),
        (["\ud83d\ude00", "a"], "'0' .row 0. is a text with half of a surrogate pair"),
        (["a", 3], "is a int, not a text"),
        (["a.png", "b.jpg"], "names of image files"),
        ({"a": 1}, "got dict"),
        (7, "got int"),
    ],
)
def test_wrong_items_are_refused_before_any_work(text, items, says):
    with pytest.raises(InputError, match=says):
        embed(text, items, store=None)
    assert text.seen == 0


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([3.5], "is a float, not an image"),
        ([np.ones((3, 8, 8))], r"shape \(3, 8, 8\), not an image"),
        ([np.ones((0, 8))], "not an image"),
        (np.ones((8, 8)), "not clearly a list"),
        (Image.new("L", (2, 2)), "into a list"),
        (PAIR.target_items, "reads images and was given 1 text"),
    ],
)
def test_wrong_images_are_refused_before_any_work(items, says):
    with pytest.raises(InputError, match=says):
        embed(FakeEncoder("image"), items, store=None)


def test_wrong_settings_are_refused_before_any_work(text, tmp_path):
    with pytest.raises(UnknownNameError, match="nearest: float16"):
        embed(text, TEXTS, dtype="float61")
    with pytest.raises(InputError, match="batch_size=0"):
        embed(text, TEXTS, batch_size=0)
    with pytest.raises(InputError, match=r"\.safetensors"):
        embed(text, TEXTS, out=tmp_path / "e.npz")
    with pytest.raises(DataError, match="there is no file or folder"):
        embed(text, "a single text")
    with pytest.raises(DataError, match="ids are repeated"):
        embed(FakeEncoder("image"), ["a.png", "a.png"])
    assert text.seen == 0


def test_out_writes_what_is_returned(text, tmp_path):
    done = embed(text, TEXTS, store=None, out=tmp_path / "e.safetensors")
    np.testing.assert_array_equal(read_embeddings(tmp_path / "e.safetensors").vectors, done.vectors)


def test_a_cache_that_cannot_be_written_is_said_and_done_without(text, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STITCHKIT_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not stored"):
        assert len(embed(text, TEXTS)) == 6
    with pytest.raises(InputError, match=r"store .*file cannot be written"):
        embed(text, TEXTS, store=tmp_path / "file")


def test_a_disk_that_fills_up_ends_the_storing_not_the_run(text, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_SHARD_BATCHES", 1)

    def full(self, keys, vectors):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stitchkit.storage.embedding_cache.SpaceCache.append", full)
    with pytest.warns(UserWarning, match="No space left") as said:
        assert len(embed(text, TEXTS, batch_size=1, store=tmp_path)) == 6
    assert len(said) == 1


def test_embedding_into_a_log_is_silent_unless_progress_is_wanted(text, capfd, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    embed(text, TEXTS, batch_size=1, store=None)
    embed(text, TEXTS, batch_size=1, store=None, progress=False)
    assert capfd.readouterr() == ("", "")
    embed(text, TEXTS, store=None, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "embedding with fake text" in err
    assert "5/5" in err
    assert "/s" in err


def test_vectors_of_torch_are_taken_as_they_are(text):
    torch = pytest.importorskip("torch")
    real = text.encode
    text.encode = lambda batch: Encoded(torch.from_numpy(real(batch).pooled).requires_grad_())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = embed(text, TEXTS, store=None)
    assert isinstance(done.vectors, np.ndarray)


def test_dark_sixteen_bit_images_are_warned_of_once_a_run(tmp_path):
    from stitchkit.encoders.images import rgb

    class Reader(FakeEncoder):
        def prepare(self, items):
            return [np.asarray(rgb(item, "L")) for item in items]

    for n in range(5):
        dark = np.linspace(0, 4000 + n, 80).reshape(8, 10).astype(np.uint16)
        Image.fromarray(dark).save(tmp_path / f"{n}.png")
    with pytest.warns(UserWarning, match="5 of 5 16-bit images use less than a quarter") as heard:
        embed(Reader("image"), tmp_path, batch_size=2, store=None)
    assert len(heard) == 1
