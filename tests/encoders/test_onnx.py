"""The family onnx: equal to the reference evaluator of ONNX, and every way a folder of it can be wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_encoders import TEXTS, WORDS
from tiny_onnx import WIDTH, image_model, onnx_image, onnx_text, save, text_model, tokenizer_json
from tiny_pairs import vectors

import stitchkit as sk
from stitchkit.core.errors import (
    InputError,
    MissingExtraError,
    ModelUnavailableError,
    SpaceMismatchError,
    UnknownNameError,
)

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(checkpoint("onnx_text"), tmp_path / "own")


def loaded(folder, options=""):
    return sk.load_encoder(f"onnx:{folder}{options}", device="cpu")


def refuses(folder, words, options="", error=ModelUnavailableError):
    with pytest.raises(error) as caught:
        loaded(folder, options)
    assert words in str(caught.value)


def reference(folder, text, output="last_hidden_state"):
    """Output of one text by the library's own slow evaluator and the library tokenizers."""
    from onnx.reference import ReferenceEvaluator
    from tokenizers import Tokenizer

    file = next(one for one in (folder / "model.onnx", folder / "onnx" / "model.onnx") if one.is_file())
    read = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text)
    feeds = {"input_ids": read.ids, "attention_mask": read.attention_mask, "token_type_ids": read.type_ids}
    model = ReferenceEvaluator(onnx.load(file))
    return model.run([output], {key: np.array([value]) for key, value in feeds.items()})[0][0]


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_token_vectors_are_pooled_by_the_option(checkpoint, pool):
    folder = checkpoint("onnx_text")
    tokens = [reference(folder, text) for text in TEXTS]
    wanted = np.stack([one.mean(axis=0) if pool == "mean" else one[0] for one in tokens])
    np.testing.assert_allclose(vectors(loaded(folder, f"#pool={pool}"), TEXTS), wanted, atol=1e-6)
    unit = vectors(loaded(folder, f"#pool={pool}&norm=unit"), TEXTS)
    np.testing.assert_allclose(unit, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    if pool == "mean":
        np.testing.assert_array_equal(vectors(loaded(folder), TEXTS), vectors(loaded(folder, "#pool=mean"), TEXTS))


def test_a_pooled_output_is_taken_as_it_is_with_the_prompt_before_every_text(checkpoint):
    folder = checkpoint("onnx_two")
    wanted = np.stack([reference(folder, f"the lung . {text}", "sentence") for text in TEXTS])
    encoder = loaded(folder, "#output=sentence&prompt=the lung . ")
    np.testing.assert_allclose(vectors(encoder, TEXTS), wanted, rtol=1e-5, atol=1e-6)


def test_images_are_those_of_the_image_processor(checkpoint, images):
    from onnx.reference import ReferenceEvaluator
    from transformers import AutoImageProcessor

    folder = checkpoint("onnx_image")
    pictures = [np.repeat(image[..., None], 3, axis=2) for image in images]
    pixels = AutoImageProcessor.from_pretrained(folder)(images=pictures, return_tensors="np")["pixel_values"]
    (wanted,) = ReferenceEvaluator(onnx.load(folder / "model.onnx")).run(None, {"pixel_values": pixels})
    np.testing.assert_allclose(vectors(loaded(folder), images), wanted, atol=1e-5)


def test_texts_are_cut_at_the_length_that_the_tokenizer_states(checkpoint):
    encoder = loaded(checkpoint("onnx_text"))
    assert encoder.prepare(["lung " * 60])["input_ids"].shape == (1, 24)
    assert encoder.knows(["the heart .", "zzz"]) == [True, False]


def test_what_changes_vectors_changes_the_fingerprint(folder, checkpoint):
    marks = [loaded(folder, one).space.fingerprint for one in ("", "#pool=cls", "#norm=unit", "#prompt=a ")]
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 12, "cls_token": "[CLS]"}))
    marks.append(loaded(folder).space.fingerprint)
    two = shutil.copytree(checkpoint("onnx_two"), folder / "two")
    marks.append(loaded(two, "#output=sentence").space.fingerprint)
    data = two / "onnx" / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-4] + b"\0\0\0\0")
    marks.append(loaded(two, "#output=sentence").space.fingerprint)
    assert len(set(marks)) == 7


def test_an_encoder_of_equal_width_and_other_weights_is_refused(folder, tmp_path):
    other = loaded(onnx_text(tmp_path / "other", seed=5))
    x = sk.embed(loaded(folder), TEXTS, store=None)
    alignment = sk.align(x, sk.Embeddings(x.vectors[:, ::-1], x.ids, sk.Space("y", WIDTH, "y")), solver="procrustes")
    with pytest.raises(SpaceMismatchError):
        alignment.to_target(sk.embed(other, TEXTS, store=None))


def test_a_fixed_batch_size_of_one_is_said_and_items_go_alone(tmp_path, images):
    with pytest.warns(UserWarning, match="fixed batch size of 1"):
        one = loaded(onnx_text(tmp_path / "one", batch=1))
    many = loaded(onnx_text(tmp_path / "many"))
    np.testing.assert_allclose(vectors(one, TEXTS), vectors(many, TEXTS), atol=1e-6)
    with pytest.warns(UserWarning, match="fixed batch size of 1"):
        seen = loaded(onnx_image(tmp_path / "seen", batch=1))
    assert vectors(seen, images).shape == (5, WIDTH)
    refuses(onnx_text(tmp_path / "four", batch=4), "takes batches of 4 items only. Export it with a dynamic batch axis")


def test_a_model_without_a_mask_is_given_texts_alone(tmp_path):
    with pytest.warns(UserWarning, match="another vector beside others"):
        bare = loaded(onnx_text(tmp_path / "bare", mask=False))
    np.testing.assert_allclose(vectors(bare, TEXTS), vectors(loaded(onnx_text(tmp_path / "m")), TEXTS), atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # of the tool that quantises
def test_a_dynamically_quantised_model_is_given_texts_alone(tmp_path):
    """It takes the scale of its numbers from the whole batch."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    folder = onnx_text(tmp_path / "m")
    quantization.quantize_dynamic(folder / "model.onnx", folder / "q.onnx")
    (folder / "q.onnx").replace(folder / "model.onnx")
    encoder = loaded(folder)
    assert encoder.alone
    together = vectors(encoder, TEXTS)
    np.testing.assert_array_equal(together, np.concatenate([vectors(encoder, [text]) for text in TEXTS]))


@pytest.mark.parametrize("batch", ["b", 1])
def test_a_fixed_length_is_filled(tmp_path, batch, recwarn):
    fixed = loaded(onnx_text(tmp_path / "fixed", length=10, batch=batch))
    assert fixed.prepare(["no"])["input_ids"].shape == (1, 10)
    np.testing.assert_allclose(vectors(fixed, TEXTS), vectors(loaded(onnx_text(tmp_path / "free")), TEXTS), atol=1e-6)


def test_nothing_is_written_or_reported_by_the_runtime(folder, tmp_path):
    """Of version 1.32, onnxruntime writes an id of the machine at import, and sends reports, unless told not to."""
    code = f"import stitchkit as sk; sk.load_encoder('onnx:{folder}', device='cpu')"
    home = tmp_path / "home"
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", code], check=True, env={**kept, "HOME": str(home)})
    assert not [file for file in home.rglob("*") if "onnx" in str(file).lower()]


def test_threads_are_those_of_torch(folder):
    import stitchkit.encoders.onnx_folder as family

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert family._options(onnxruntime).intra_op_num_threads == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ("#pool=max", UnknownNameError, "no pooling is called 'max'"),
        ("#pool=output", InputError, "Use pool=mean or pool=cls"),
        ("#layer=2", UnknownNameError, "known options: pool, norm, prompt, output"),
        ("#output=logits", UnknownNameError, "last_hidden_state"),
        ("@main", InputError, "no revisions"),
    ],
)
def test_odd_names_are_refused(folder, options, error, words):
    refuses(folder, words, options, error)


def test_options_that_do_not_fit_the_output_are_refused(checkpoint):
    refuses(checkpoint("onnx_two"), "has 2 outputs: last_hidden_state ('b', 't', 12), sentence", "", InputError)
    refuses(checkpoint("onnx_two"), "Use pool=output", "#output=sentence&pool=mean", InputError)
    refuses(checkpoint("onnx_image"), "images, which have no prompt", "#prompt=a", InputError)
    with pytest.raises(InputError, match="Use float32"):
        sk.load_encoder(f"onnx:{checkpoint('onnx_text')}", device="cpu", dtype="float16")


def test_an_output_as_wide_as_its_text_is_no_vector(tmp_path):
    refuses(
        onnx_text(tmp_path / "it", outputs=("floats",)), "is 3 wide for one text and 23 for another", "", InputError
    )


def _cut(folder):
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-200])


def _other_inputs(folder):
    model = text_model()
    model.graph.input[1].name = model.graph.node[3].input[0] = "padding"
    save(model, folder / "model.onnx")


def _both_inputs(folder):
    model = text_model()
    model.graph.input.append(image_model().graph.input[0])
    save(model, folder / "model.onnx")


def _not_finite(folder):
    model = text_model()
    weight = next(one for one in model.graph.initializer if one.name == "weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full((WIDTH, WIDTH), np.nan, np.float32), "weight"))
    save(model, folder / "model.onnx")


def _outside(folder):
    save(text_model(), folder / "model.onnx", external=True)
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content.replace(b"model.onnx.data", b"../a/model.data"))


def _no_data(folder):
    save(text_model(), folder / "model.onnx", external=True)
    (folder / "model.onnx.data").unlink()


def _cut_data(folder):
    save(text_model(), folder / "model.onnx", external=True)
    (folder / "model.onnx.data").write_bytes((folder / "model.onnx.data").read_bytes()[:-200])


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (_cut, ModelUnavailableError, "cannot be loaded"),
        (_other_inputs, ModelUnavailableError, "takes input_ids, padding, token_type_ids; encoders take"),
        (_both_inputs, ModelUnavailableError, "texts and images"),
        (_not_finite, InputError, "gives NaN"),
        (_outside, ModelUnavailableError, "outside its folder"),
        (_no_data, ModelUnavailableError, "keeps weights in model.onnx.data, which is not in"),
        (_cut_data, ModelUnavailableError, "cannot be loaded"),
        (lambda at: (at / "model.onnx").write_text("<!doctype html>log in"), ModelUnavailableError, "is a web page"),
        (lambda at: (at / "model.onnx").write_text("version https://git-lfs.github.com"), ModelUnavailableError, "LFS"),
        (lambda at: (at / "model.onnx").write_bytes(b""), ModelUnavailableError, "is empty"),
        (lambda at: (at / "model.onnx").rename(at / "q8.onnx"), ModelUnavailableError, "It has q8.onnx: copy the one"),
        (lambda at: (at / "model.onnx").unlink(), ModelUnavailableError, "holds no model.onnx or onnx/model.onnx"),
        (lambda at: (at / "tokenizer.json").unlink(), ModelUnavailableError, "holds no tokenizer.json"),
        (lambda at: (at / "tokenizer.json").write_text("{"), ModelUnavailableError, "cannot be read as a tokenizer"),
        (lambda at: (at / "tokenizer_config.json").write_text("[]"), ModelUnavailableError, "not a JSON object"),
        (lambda at: save(image_model(), at / "model.onnx"), ModelUnavailableError, "holds no preprocessor_config.json"),
        (lambda at: save(text_model(("count",)), at / "model.onnx"), InputError, "has 1 tokens for texts of 3"),
        (lambda at: save(text_model(words=15), at / "model.onnx"), ModelUnavailableError, "largest token id, 19 ('.')"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused(folder, damage, error, words):
    damage(folder)
    with pytest.raises(error) as caught:
        loaded(folder)
    assert words in str(caught.value)


def test_an_output_of_four_axes_is_refused(tmp_path):
    refuses(onnx_image(tmp_path / "map", outputs=("map",)), "has the shape (2, 12, 4, 4)", "", InputError)


def test_a_size_that_the_model_does_not_take_is_named(tmp_path):
    from transformers import ViTImageProcessor

    folder = onnx_image(tmp_path / "m")
    ViTImageProcessor(size={"height": 40, "width": 40}).save_pretrained(folder)
    refuses(folder, "model takes images of shape [3, 32, 32]")


def test_a_folder_that_is_not_there_and_a_file_are_refused(folder):
    refuses(folder / "nothing", "there is no folder")
    refuses(folder / "model.onnx", "Give the folder that holds it")


def test_a_tokenizer_without_its_settings_is_read_by_its_own_padding(tmp_path):
    folder = tokenizer_json(onnx_text(tmp_path / "m"), words=WORDS)
    (folder / "tokenizer_config.json").unlink()
    np.testing.assert_array_equal(vectors(loaded(folder), TEXTS), vectors(loaded(onnx_text(tmp_path / "o")), TEXTS))


def test_a_missing_library_is_named_with_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[onnx\]'"):
        loaded(folder)
