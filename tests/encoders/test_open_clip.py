"""The family open_clip: equal to the library's own calls, and every way a folder of it can be wrong."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import TEXTS
from tiny_open_clip import open_clip_own
from tiny_pairs import vectors

import stitchkit as sk
from stitchkit.core.errors import (
    InputError,
    MissingExtraError,
    ModelUnavailableError,
    SpaceMismatchError,
    StitchError,
    UnknownNameError,
)

open_clip = pytest.importorskip("open_clip")


@pytest.fixture(params=["open_clip_own", "open_clip_hf"])
def folder(request, checkpoint):
    return checkpoint(request.param)


@pytest.fixture
def own(checkpoint, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(checkpoint("open_clip_own"), tmp_path / "own")


def half(folder, modality, options=""):
    return sk.load_encoder(f"open_clip:{folder}#modality={modality}{options}", device="cpu")


def test_vectors_are_those_of_the_library(folder, images):
    kept = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    tower = {"text_cfg": {**kept, "hf_model_name": str(folder)}} if "hf_model_name" in kept else {}
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}", **tower)
    model.eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    pictures = [Image.fromarray(one).convert("RGB") for one in images]
    with torch.inference_mode():
        seen = model.encode_image(torch.stack([transform(one) for one in pictures])).numpy()
        read = model.encode_text(tokens).numpy()
    np.testing.assert_allclose(vectors(half(folder, "image"), images), seen, atol=1e-6)
    np.testing.assert_allclose(vectors(half(folder, "text"), TEXTS), read, atol=1e-6)
    unit = vectors(half(folder, "image", "&norm=unit"), images)
    np.testing.assert_allclose(unit, seen / np.linalg.norm(seen, axis=1, keepdims=True), atol=1e-6)


def test_the_two_halves_are_a_pair_and_those_of_other_weights_are_not(folder, tmp_path):
    image, text = half(folder, "image"), half(folder, "text")
    assert image.pair == text.pair
    assert sk.clip_alignment(image, text).record["solver"] == "none: a CLIP-like pair"
    other = half(open_clip_own(tmp_path / "other", seed=1), "text")
    with pytest.raises(SpaceMismatchError, match="do not come from one checkpoint"):
        sk.clip_alignment(image, other)


def test_an_encoder_of_equal_width_and_other_weights_is_refused(folder, images, tmp_path):
    one, other = half(folder, "image"), half(open_clip_own(tmp_path / "other", seed=1), "image")
    x = sk.embed(one, images, store=None)
    alignment = sk.align(x, sk.Embeddings(x.vectors[:, ::-1], x.ids, sk.Space("y", 8, "y")), solver="procrustes")
    with pytest.raises(SpaceMismatchError):
        alignment.to_target(sk.embed(other, images, store=None))


def test_settings_that_change_vectors_change_the_fingerprint(own):
    marks = {half(own, "image").space.fingerprint, half(own, "text").space.fingerprint}
    marks.add(half(own, "text", "&prompt=a film of ").space.fingerprint)
    settings = json.loads((own / "open_clip_config.json").read_text())
    settings["preprocess_cfg"]["interpolation"] = "bilinear"
    (own / "open_clip_config.json").write_text(json.dumps(settings))
    marks.add(half(own, "image").space.fingerprint)
    assert len(marks) == 4


def test_a_text_longer_than_the_context_is_cut(checkpoint):
    encoder = half(checkpoint("open_clip_own"), "text")
    long = vectors(encoder, ["opacity " * 60, "opacity " * 80])
    np.testing.assert_array_equal(long[0], long[1])
    assert encoder.prepare(["opacity " * 60]).shape == (1, 24)


def test_texts_that_the_vocabulary_lacks_are_known(checkpoint):
    assert half(checkpoint("open_clip_hf"), "text").knows(["the heart .", "zzz qqq"]) == [True, False]
    assert half(checkpoint("open_clip_own"), "text").knows(["zzz qqq"]) == [True]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ("", InputError, "holds two encoders. Choose one: open_clip:"),
        ("#modality=sound", UnknownNameError, "no modality is called 'sound'"),
        ("#modality=image&prompt=a", InputError, "images, which have no prompt"),
        ("#modality=text&pool=cls", UnknownNameError, "known options: modality, norm, prompt"),
        ("#modality=text&norm=two", UnknownNameError, "no norm is called"),
        ("@main#modality=text", InputError, "no revisions"),
    ],
)
def test_odd_names_are_refused(own, options, error, words):
    with pytest.raises(error) as caught:
        sk.load_encoder(f"open_clip:{own}{options}", device="cpu")
    assert words in str(caught.value)


def _cut(own):
    file = own / "open_clip_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _page(own):
    (own / "open_clip_model.safetensors").write_text("<!doctype html>log in")


def _pointer(own):
    (own / "open_clip_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def _pickle(own):
    (own / "open_clip_model.safetensors").unlink()
    torch.save({"model": _Odd()}, own / "open_clip_pytorch_model.bin")


def _layer_missing(own):
    from safetensors.torch import load_file, save_file

    file = own / "open_clip_model.safetensors"
    state = load_file(file)
    save_file({key: value for key, value in state.items() if "ln_final" not in key}, file)


class _Odd:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "cut short"),
        (_page, "is a web page"),
        (_pointer, "git-LFS pointer"),
        (_pickle, "pickle that would run code"),
        (_layer_missing, "ln_final"),
        (lambda own: (own / "open_clip_model.safetensors").unlink(), "holds no weights"),
        (lambda own: (own / "open_clip_config.json").unlink(), "open_clip"),
        (lambda own: (own / "open_clip_config.json").write_text("{"), "is not JSON"),
        (lambda own: (own / "open_clip_config.json").write_text('{"model_cfg": {"text_cfg": 3}}'), "text_cfg"),
        (lambda own: (own / "open_clip_config.json").write_text(
            '{"model_cfg": {"embed_dim": 8, "vision_cfg": {"layers": 100000}, "text_cfg": {}}}'), "100000"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused(own, damage, words):
    damage(own)
    with pytest.raises(ModelUnavailableError) as caught:
        half(own, "text")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["ViT-B-32/nope", "ViT-Q-32/openai", "ViT-B-32", "openai"])
def test_unknown_architectures_and_tags_list_the_nearest(name):
    with pytest.raises(UnknownNameError, match=r"nearest|known"):
        sk.load_encoder(f"open_clip:{name}#modality=text")


def test_weights_of_the_hub_are_not_asked_for_offline():
    with pytest.raises(StitchError, match="hub calls are forbidden"):
        sk.load_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k#modality=text", offline=True)


def test_levels_of_another_range_are_refused(own):
    settings = json.loads((own / "open_clip_config.json").read_text())
    settings["preprocess_cfg"] = {"mean": [123.0] * 3, "std": [58.0] * 3}
    (own / "open_clip_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelUnavailableError, match="contradicts itself"):
        half(own, "image")


def test_a_missing_library_is_named_with_the_extra(own, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[open-clip\]'"):
        half(own, "image")
