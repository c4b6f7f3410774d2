"""What the documents promise of bad texts, bad encoders and bad files, in every family that can meet it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import warnings

import numpy as np
import pytest
import torch
from tiny_pairs import ALL_TABLE as TABLE

import stitchkit as sk
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.core.roles import Encoded
from stitchkit.encoders import ENCODERS, RUNS_HUB_CODE, load_encoder

# a row of the common table for each family and modality
ROWS = ["timm-path", "hf-vit-cls", "hf-bert-mean", "hf-gpt2-last", "hf-clip-image", "hf-clip-text", "hf-siglip-text",
        "local-timm", "local-torchvision", "onnx-text-mean", "onnx-image-mean", "open-clip-image", "open-clip-text",
        "open-clip-hf-text", "python-module", "st", "xrv-densenet"]  # fmt: skip
TEXTS = [row for row in ROWS if ("text" in row or row in ("hf-bert-mean", "hf-gpt2-last", "st"))]
LONG, SHORT = " ".join(["lung"] * 200), "no effusion"


@pytest.fixture(scope="module")
def loaded(checkpoint):
    """Encoders of the table by row, loaded once."""
    made = {}

    def encoder(row):
        if row not in made:
            pattern, builder, _ = TABLE[row]
            made[row] = load_encoder(pattern.format(folder=checkpoint(builder)), device="cpu")
        return made[row]

    return encoder


def vectors(encoder, items):
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled)


@pytest.mark.parametrize("row", TEXTS)
def test_a_text_longer_than_the_context_is_counted_and_cut_at_its_end(row, loaded):
    encoder = loaded(row)
    items = sk.Items(["a", "b", "c"], [SHORT, LONG, LONG + " effusion"], "text")
    with pytest.warns(UserWarning, match=r"2 of 3 texts are longer than .* reads, the first is item 'b'") as heard:
        found = sk.embed(encoder, items, store=None, progress=False)
    assert len(heard) == 1
    np.testing.assert_allclose(found.vectors[1], found.vectors[2], atol=1e-6)  # they differ behind the cut
    assert np.abs(found.vectors[0] - found.vectors[1]).max() > 1e-4


@pytest.mark.parametrize("row", TEXTS)
def test_texts_that_fit_are_not_warned_of(row, loaded):
    encoder = loaded(row)
    assert list(encoder.cuts([SHORT, "a", LONG])) == [False, False, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sk.embed(encoder, [SHORT, "lungs are clear"], store=None, progress=False)


@pytest.mark.parametrize("row", [row for row in TEXTS if row != "hf-clip-text"])  # where a word is a token
def test_the_longest_text_that_fits_is_told_from_one_token_more(row, loaded):
    encoder = loaded(row)
    count = next(n for n in range(1, 90) if encoder.cuts([" ".join(["lung"] * (n + 1))])[0])
    fits, other = (" ".join([*["lung"] * (count - 1), last]) for last in ("no", "left"))
    beyond, alike = (" ".join([*["lung"] * count, last]) for last in ("no", "left"))
    assert list(encoder.cuts([fits, beyond])) == [False, True]
    assert np.abs(vectors(encoder, [fits]) - vectors(encoder, [other])).max() > 1e-6
    np.testing.assert_allclose(vectors(encoder, [beyond]), vectors(encoder, [alike]), atol=1e-6)


class Broken:
    """An encoder whose output is spoiled by ``spoil(pooled, number of the batch)``."""

    def __init__(self, inner, spoil):
        self.inner, self.spoil, self.batches = inner, spoil, 0
        self.name, self.space, self.modality = inner.name, inner.space, inner.modality

    def prepare(self, items):
        return self.inner.prepare(items)

    def encode(self, batch):
        self.batches += 1
        return Encoded(self.spoil(self.inner.encode(batch).pooled.clone(), self.batches))


def nan_in_the_second(pooled, batch):
    pooled[1, 0] = torch.nan
    return pooled


@pytest.mark.parametrize("row", ROWS)
def test_a_vector_of_nan_is_refused_by_its_item_or_left_out(row, loaded, items):
    inner = loaded(row)
    given = sk.Items(["a", "b", "c", "d"], items(inner.modality)[:4], inner.modality)
    for run in range(2):
        encoder = Broken(inner, nan_in_the_second)
        first = inner.modality == "image"  # texts go by their length
        named = "b" if first else str(given.ids[np.argsort([-len(one) for one in given.values], kind="stable")[1]])
        if run == 0:
            with pytest.raises(InputError, match=f"made of item '{named}' holds NaN or infinity"):
                sk.embed(encoder, given, store=None, progress=False)
            continue
        with pytest.warns(UserWarning, match="1 of 4"):
            found = sk.embed(encoder, given, store=None, progress=False, on_error="skip")
        assert [one for one, _ in found.left_out] == [named]
        assert np.isfinite(found.vectors).all()


@pytest.mark.parametrize("row", ROWS)
def test_a_width_that_changes_between_batches_is_refused(row, loaded, items):
    inner = loaded(row)
    encoder = Broken(inner, lambda pooled, batch: pooled if batch == 1 else pooled[:, 1:])
    dim = inner.space.dim
    with pytest.raises(
        InputError, match=rf"made vectors of shape \(1, {dim - 1}\) from 1 item; its space says \(1, {dim}"
    ):
        sk.embed(encoder, items(inner.modality)[:2], batch_size=1, store=None, progress=False)


# row -> files of weights in its folder
WEIGHTS = {
    "timm-path": ["model.safetensors"],
    "hf-vit-cls": ["model.safetensors"],
    "hf-bert-mean": ["model.safetensors"],
    "hf-clip-text": ["model.safetensors"],
    "local-timm": ["resnet.pth"],
    "local-torchvision": ["last.ckpt"],
    "onnx-text-mean": ["model.onnx"],
    "onnx-text-output": ["onnx/model.onnx", "onnx/model.onnx.data"],
    "open-clip-image": ["open_clip_model.safetensors"],
    "open-clip-hf-text": ["open_clip_model.safetensors"],
    "st": ["model.safetensors", "2_Dense/model.safetensors"],
    "xrv-densenet": ["densenet.pt"],
}
FILES = [(row, file) for row, files in WEIGHTS.items() for file in files]
FAULTS = {
    "empty": (lambda content: b"", "is empty"),
    "half": (lambda content: content[: len(content) // 2], None),
    "web page": (lambda content: b"<!DOCTYPE html><html>sign in</html>", "is a web page, not the file itself"),
    "pointer": (
        lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "is a git-LFS pointer"
    ),
}  # fmt: skip


def copy_of(row, checkpoint, tmp_path):
    pattern, builder, _ = TABLE[row]
    folder = shutil.copytree(checkpoint(builder), tmp_path / "copy")
    return folder, pattern.format(folder=folder)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("row", "file"), FILES)
def test_a_file_that_is_no_weights_is_refused_by_name(row, file, fault, checkpoint, tmp_path):
    folder, name = copy_of(row, checkpoint, tmp_path)
    change, message = FAULTS[fault]
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    if fault == "half" and file.endswith(".safetensors"):
        message = "header announces .*; the copy was cut short|is not a whole safetensors file"
    with pytest.raises(ModelUnavailableError, match=message) as caught:
        load_encoder(name, device="cpu")
    shown = caught.value.message
    assert os.path.basename(file) in shown or str(folder) in shown
    assert any(word in shown.lower() for word in ("again", "copy", "save"))  # the next step


class Runs:
    """A pickle of this writes a file when it is opened."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


PICKLES = {  # row -> file that is replaced, its name as a pickle
    "timm-path": ("model.safetensors", "pytorch_model.bin"),
    "hf-vit-cls": ("model.safetensors", "pytorch_model.bin"),
    "hf-bert-mean": ("model.safetensors", "pytorch_model.bin"),
    "hf-clip-image": ("model.safetensors", "pytorch_model.bin"),
    "local-timm": ("resnet.pth", "resnet.pth"),
    "open-clip-image": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    "st": ("model.safetensors", "pytorch_model.bin"),
    "xrv-densenet": ("densenet.pt", "densenet.pt"),
}


@pytest.mark.parametrize("row", PICKLES)
def test_a_pickle_that_runs_code_is_refused_and_not_run(row, checkpoint, tmp_path):
    folder, name = copy_of(row, checkpoint, tmp_path)
    good, bad = PICKLES[row]
    (folder / good).unlink()
    torch.save({"weight": torch.zeros(2), "code": Runs(tmp_path / "ran")}, folder / bad)
    with pytest.raises(
        ModelUnavailableError, match=r"pickle that would run code when opened, so they are refused\. Conv"
    ):
        load_encoder(name, device="cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("row", ["local-timm", "xrv-densenet", "timm-path", "hf-bert-mean", "open-clip-image", "st"])
def test_a_plain_pickle_is_refused_too(row, checkpoint, tmp_path):
    folder, name = copy_of(row, checkpoint, tmp_path)
    good, bad = PICKLES[row]
    (folder / good).unlink()
    with (folder / bad).open("wb") as file:
        pickle.dump({"code": Runs(tmp_path / "ran")}, file, protocol=2)
    with pytest.raises(ModelUnavailableError):
        load_encoder(name, device="cpu")
    assert not (tmp_path / "ran").exists()


IDS = {
    "demo": "text", "hf": "org/name", "local": "weights.pth", "onnx": "folder", "open_clip": "hf-hub:org/name",
    "python": "mine.py:Mine", "st": "org/name", "stitchkit": "folder", "timm": "hf-hub:org/name", "xrv": "weights.pt",
}  # fmt: skip


@pytest.mark.parametrize("family", sorted(ENCODERS))
def test_code_of_a_repository_needs_a_whole_commit(family):
    if family not in RUNS_HUB_CODE:
        with pytest.raises(InputError, match=r"trust_remote_code has no meaning for"):
            load_encoder(f"{family}:{IDS[family]}", trust_remote_code=True)
        return
    if family == "stitchkit":
        return  # the encoder that its folder names is asked, as below
    for revision in ("", "@main", "@v1.0", "@abc1234", "@" + "g" * 40, "@" + "a" * 39, "@" + "A" * 40):
        with pytest.raises(InputError, match=r"would run whatever the repository holds today\. Pin the commit"):
            load_encoder(f"{family}:org/name{revision}", trust_remote_code=True)


def test_a_stitched_folder_passes_the_same_question_on(tmp_path):
    text = load_encoder("demo:text", device="cpu")
    rng = np.random.default_rng(0)
    x, y = (sk.Embeddings(rng.normal(size=(40, text.space.dim)), np.arange(40).astype(str), text.space) for _ in "xy")
    sk.save(sk.stitch(text, sk.align(x, y, solver="ridge", nested=False, progress=False)), tmp_path / "stitched")
    config = json.loads((tmp_path / "stitched" / "config.json").read_text())
    (tmp_path / "stitched" / "config.json").write_text(json.dumps({**config, "encoder": "hf:org/name@main"}))
    with pytest.raises((InputError, ModelUnavailableError), match="Pin the commit"):
        load_encoder(f"stitchkit:{tmp_path / 'stitched'}", trust_remote_code=True)


def test_these_tables_name_every_family():
    assert set(IDS) == set(ENCODERS)
    assert {TABLE[row][0].partition(":")[0] for row in ROWS} == set(ENCODERS) - {"demo", "stitchkit"}
    assert {TABLE[row][0].partition(":")[0] for row in WEIGHTS} == set(ENCODERS) - {"demo", "stitchkit", "python"}
