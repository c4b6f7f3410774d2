"""Damaged items: by default the first ends the work; with ``on_error="skip"`` they are left out and listed."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.datasets.embeddable_items import left_out_path
from stitchkit.embedding import embed
from stitchkit.storage.embeddings import read_embeddings


class MeanEncoder:
    """The mean grey or the length of an item; refuses some items in ``prepare``."""

    def __init__(self, modality="image", refuses=lambda item: False):
        self.name = self.modality = modality
        self.space = Space(f"mean {modality}", 2, f"mean {modality}")
        self.refuses, self.encoded = refuses, 0

    def prepare(self, items):
        for item in items:
            if self.refuses(item):
                raise DataError("the item is refused by the encoder. Leave it out.")
        return items

    def encode(self, batch):
        self.encoded += len(batch)
        return Encoded(np.stack([self.vector(item) for item in batch]))

    def vector(self, item):
        if isinstance(item, str):
            return np.array([len(item), np.nan if item == "nan" else 1.0], np.float32)
        return np.array([np.asarray(item, np.float32).mean() + 1, 1], np.float32)


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for k in range(9):
        Image.new("L", (20, 20), 10 * k).save(folder / f"{k}.png")
    (folder / "1.png").write_bytes(b"")  # found by its size
    whole = (folder / "4.png").read_bytes()
    (folder / "4.png").write_bytes(whole[:-30])  # found when it is decoded
    (folder / "6.png").write_bytes((folder / "4.png").read_bytes())  # the same content again
    (folder / "7.png").write_bytes(b"<!doctype html>")
    return folder


DAMAGED = ["1.png", "4.png", "6.png", "7.png"]
SOUND = ["0.png", "2.png", "3.png", "5.png", "8.png"]


@pytest.mark.parametrize("batch_size", [1, 2, 32])
@pytest.mark.parametrize("stored", [True, False])
def test_damaged_files_are_left_out_with_their_reasons(films, tmp_path, batch_size, stored):
    store = tmp_path / "store" if stored else None
    for _ in range(2):  # the second time from the store
        with pytest.warns(UserWarning, match=r"4 of 9 items were left out; the first, '1\.png': .*0 bytes") as said:
            found = embed(MeanEncoder(), films, on_error="skip", batch_size=batch_size, store=store)
        assert len(said) == 1
        assert found.ids.tolist() == SOUND
        np.testing.assert_array_equal(found.vectors[:, 0], [1, 21, 31, 51, 81])
        assert [name for name, _ in found.left_out] == DAMAGED
        assert all(f"{name[0]}.png" in reason for name, reason in found.left_out if name != "6.png")


def test_the_first_damaged_file_is_raised_by_default(films):
    with pytest.raises(DataError, match=r"1\.png"):
        embed(MeanEncoder(), films, store=None)
    with pytest.raises(UnknownNameError, match="damaged items"):
        embed(MeanEncoder(), films, store=None, on_error="ignore")


def test_a_table_beside_the_output_lists_them(films, tmp_path):
    out = tmp_path / "e.safetensors"
    with pytest.warns(UserWarning, match="4 of 9"):
        found = embed(MeanEncoder(), films, on_error="skip", store=None, out=out)
    assert read_embeddings(out).ids.tolist() == SOUND
    with left_out_path(out).open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "reason"], *map(list, found.left_out)]
    for name in DAMAGED:
        (films / name).unlink()
    embed(MeanEncoder(), films, on_error="skip", store=None, out=out)  # nothing left out: no old list stays
    assert left_out_path(out).read_text() == "id,reason\n"


def test_another_table_at_that_place_is_left_alone(films, tmp_path):
    (tmp_path / "e.left_out.csv").write_text("path,text\n")
    with pytest.raises(InputError, match="no table of left-out items"):
        embed(MeanEncoder(), films, on_error="skip", store=None, out=tmp_path / "e.safetensors")
    assert not (tmp_path / "e.safetensors").exists()


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_empty_texts_refused_items_and_unusable_vectors_are_left_out(batch_size):
    encoder = MeanEncoder("text", refuses=lambda item: item == "refused")
    texts = ["a", "", "nan", "refused", "bb", "refused", "nan", "ccc", None]
    with pytest.warns(UserWarning, match="6 of 9"):
        found = embed(encoder, texts, on_error="skip", store=None, batch_size=batch_size)
    assert found.ids.tolist() == ["0", "4", "7"]
    np.testing.assert_array_equal(found.vectors[:, 0], [1, 2, 3])
    reasons = dict(found.left_out)
    assert list(reasons) == ["1", "2", "3", "5", "6", "8"]
    words = ("empty text", "NaN", "refused", "refused", "NaN", "NoneType")
    assert all(word in reason for word, reason in zip(words, reasons.values(), strict=True))


def test_a_pil_image_of_a_damaged_file_is_an_error_of_the_data_and_left_out(films):
    images = [Image.open(films / "0.png"), Image.open(films / "4.png"), np.ones((3, 3), np.uint8), np.ones(3)]
    with pytest.raises(DataError, match="cannot be decoded"):
        embed(MeanEncoder(), images[:3], store=None)
    with pytest.warns(UserWarning, match="2 of 4"):
        found = embed(MeanEncoder(), images, on_error="skip", store=None)
    assert found.ids.tolist() == ["0", "2"]
    for image in images[:2]:
        image.close()


def test_no_sound_item_is_an_error(films):
    for name in SOUND:
        (films / name).unlink()
    with pytest.raises(DataError, match=r"none of 4 items can be embedded; the first, '1\.png'"):
        embed(MeanEncoder(), films, on_error="skip", store=None)
    with pytest.raises(DataError, match="none of 2 items"):
        embed(MeanEncoder("text"), ["", " "], on_error="skip", store=None)


def test_faults_of_the_encoder_and_its_device_are_never_skipped():
    encoder = MeanEncoder("text")
    encoder.encode = lambda batch: Encoded(np.ones((len(batch), 5), np.float32))
    with pytest.raises(InputError, match="made vectors of shape"):
        embed(encoder, ["a", "b"], on_error="skip", store=None)

    def out_of_memory(batch):
        raise RuntimeError("CUDA out of memory")

    encoder.encode = out_of_memory
    with pytest.raises(InputError, match="on a single item"):
        embed(encoder, ["a"], on_error="skip", store=None)


def test_nothing_is_said_where_all_items_are_sound(films):
    for name in DAMAGED:
        (films / name).unlink()
    assert embed(MeanEncoder(), films, on_error="skip", store=None).left_out == ()
