"""CLIP-like checkpoints: each half as an encoder, equal to transformers' own features."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import TEXTS
from tiny_pairs import PAIRS, changed, half, hf_siglip, vectors

from stitchkit.core.errors import (
    InputError,
    MissingExtraError,
    ModelUnavailableError,
    UnknownNameError,
)
from stitchkit.encoders import load_encoder
from stitchkit.encoders.hf import pairs as hf_pairs

FULL = ("hf_siglip", "hf_siglip2")


def own(folder, images, texts):
    """What transformers' own processor and model make of images and texts: two (b, d) arrays at length one."""
    from transformers import AutoModel, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    kind = model.config.model_type
    rgb = [Image.fromarray(image).convert("RGB") for image in images]
    padding = "max_length" if kind in ("siglip", "siglip2") else True
    # the processor of SigLIP 2 has patches of its own in mind, whatever its image processor says
    patches = {"patch_size": 8, "max_num_patches": 16} if kind == "siglip2" else {}
    inputs = processor(images=rgb, text=texts, padding=padding, return_tensors="pt", **patches)
    with torch.inference_mode():
        output = model(**inputs)
    return output.image_embeds.numpy(), output.text_embeds.numpy()


# vectors


@pytest.mark.parametrize("builder", PAIRS)
def test_vectors_of_unit_norm_are_what_the_whole_model_compares(checkpoint, images, builder):
    folder = checkpoint(builder)
    for modality, items, wanted in zip(("image", "text"), (images, TEXTS), own(folder, images, TEXTS), strict=True):
        found = vectors(half(folder, modality, "&norm=unit"), items)
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("builder", PAIRS)
def test_vectors_are_the_projected_features_as_the_model_gives_them(checkpoint, images, builder):
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder = checkpoint(builder)
    model = AutoModel.from_pretrained(folder).eval()
    rgb = [Image.fromarray(image).convert("RGB") for image in images]
    pixels = AutoImageProcessor.from_pretrained(folder)(rgb, return_tensors="pt")
    length = model.config.text_config.max_position_embeddings
    padding = {"padding": "max_length", "max_length": length} if builder in FULL else {"padding": True}
    words = AutoTokenizer.from_pretrained(folder)(TEXTS, return_tensors="pt", **padding)
    with torch.inference_mode():
        wanted = (model.get_image_features(**pixels).pooler_output, model.get_text_features(**words).pooler_output)
    for modality, items, expected in zip(("image", "text"), (images, TEXTS), wanted, strict=True):
        np.testing.assert_allclose(vectors(half(folder, modality), items), expected.numpy(), atol=1e-6)


def test_the_prompt_is_put_before_every_text(checkpoint):
    folder = checkpoint("hf_clip")
    prompted = half(folder, "text", "&prompt=the lung . ")
    wanted = vectors(half(folder, "text"), ["the lung . " + text for text in TEXTS])
    np.testing.assert_allclose(vectors(prompted, TEXTS), wanted, atol=1e-6)


@pytest.mark.parametrize(("builder", "length"), [("hf_clip", 40), ("hf_siglip", 24), ("hf_siglip2", 64)])
def test_texts_are_cut_at_the_context_and_siglips_are_padded_to_it(checkpoint, builder, length):
    encoder = half(checkpoint(builder), "text")
    batch = encoder.prepare(["lung " * 200])
    assert batch["input_ids"].shape == (1, length)
    short = encoder.prepare(["lung"])["input_ids"]
    assert (short.shape[1] == length) == (builder in FULL)
    assert np.isfinite(vectors(encoder, ["lung " * 200])).all()


def test_a_clip_text_that_is_cut_keeps_its_end_token(checkpoint):
    ids = half(checkpoint("hf_clip"), "text").prepare(["lung " * 200, "lung"])["input_ids"]
    end = ids.max()
    assert ids[0, -1] == end
    assert ids[0, -2] != end


def test_a_mask_goes_to_siglip_only_if_its_tokenizer_gives_one(checkpoint, tmp_path, images):
    bare, masked = checkpoint("hf_siglip"), hf_siglip(tmp_path / "masked", mask=True)
    assert "attention_mask" not in half(bare, "text").prepare(TEXTS)
    assert "attention_mask" in half(masked, "text").prepare(TEXTS)
    found = vectors(half(masked, "text", "&norm=unit"), TEXTS)
    np.testing.assert_allclose(found, own(masked, images, TEXTS)[1], atol=1e-6)
    assert half(bare, "text").space.fingerprint != half(masked, "text").space.fingerprint


def test_a_tokenizer_that_should_lower_case_and_does_not_is_told(checkpoint, tmp_path):
    """What transformers makes of a SigLIP 2 checkpoint of one image size, whose tokenizer is Gemma's."""
    from transformers import GemmaTokenizer

    folder = shutil.copytree(checkpoint("hf_siglip"), tmp_path / "copy")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "a", "A", "▁"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    GemmaTokenizer(vocab=vocab, merges=[], do_lower_case=True).save_pretrained(folder)
    with pytest.warns(UserWarning, match="but keeps capitals"):
        half(folder, "text")


def test_padding_does_not_change_text_vectors(checkpoint):
    for builder in PAIRS:
        encoder = half(checkpoint(builder), "text")
        np.testing.assert_allclose(vectors(encoder, ["no", "lung " * 15])[:1], vectors(encoder, ["no"]), atol=1e-6)


def test_a_text_encoder_that_follows_the_padding_is_refused(checkpoint, monkeypatch):
    monkeypatch.setattr(hf_pairs, "FULL_LENGTH", ())
    with pytest.raises(InputError, match="gives a text another vector beside a longer one"):
        half(checkpoint("hf_siglip"), "text")


def test_the_half_that_is_not_used_is_let_go(checkpoint):
    for modality, other in (("image", "text"), ("text", "vis")):
        kept = [name for name, _ in half(checkpoint("hf_clip"), modality).model.named_children()]
        assert len(kept) == 2
        assert not any(name.startswith(other) for name in kept)


# names and what is refused


def test_a_pair_without_a_modality_is_refused_with_the_two_there_are(checkpoint):
    folder = checkpoint("hf_clip")
    with pytest.raises(InputError, match="holds an image and a text encoder") as caught:
        load_encoder(f"hf:{folder}#norm=unit", device="cpu")
    for modality in ("image", "text"):
        name = f"hf:{folder}#norm=unit&modality={modality}"
        assert name in str(caught.value)
        assert load_encoder(name, device="cpu").modality == modality


@pytest.mark.parametrize(
    ("builder", "options", "error", "message"),
    [
        ("hf_clip", "modality=words", UnknownNameError, "no modality is called 'words'"),
        ("hf_bert", "modality=words", UnknownNameError, "no modality is called 'words'"),
        ("hf_bert", "modality=image", InputError, "holds one encoder, which takes texts. Leave out modality="),
        ("hf_vit", "modality=text", InputError, "has no text side: stitch one"),
        ("hf_clip", "modality=image&pool=cls", InputError, "not pooled again. Leave out pool="),
        ("hf_clip", "modality=text&layer=1", InputError, "not pooled again. Leave out layer="),
        ("hf_clip", "modality=text&norm=l2", UnknownNameError, "no norm is called 'l2'"),
        ("hf_clip", "modality=image&prompt=a", InputError, "images, which have no prompt"),
        ("hf_clip", "tower=image", UnknownNameError, "'tower', which hf encoders do not have; known .*, modality"),
    ],
)
def test_options_that_do_not_fit_are_refused(checkpoint, builder, options, error, message):
    with pytest.raises(error, match=message):
        load_encoder(f"hf:{checkpoint(builder)}#{options}", device="cpu")


def test_a_modality_may_be_said_of_a_single_encoder(checkpoint):
    said, plain = (load_encoder(f"hf:{checkpoint('hf_bert')}{o}", device="cpu") for o in ("#modality=text", ""))
    assert said.space.fingerprint == plain.space.fingerprint


def test_items_of_the_other_modality_are_refused(checkpoint, images):
    image, text = (half(checkpoint("hf_clip"), modality) for modality in ("image", "text"))
    with pytest.raises(InputError, match="takes texts; item 0 of the batch is a ndarray"):
        text.prepare(images)
    with pytest.raises(InputError, match="got str"):
        image.prepare(TEXTS)


def test_two_parts_that_are_no_pair_are_refused_before_the_weights_are_read(checkpoint, tmp_path):
    from transformers import LlavaConfig

    folder = shutil.copytree(checkpoint("hf_clip"), tmp_path / "copy")
    LlavaConfig().save_pretrained(folder)
    with pytest.raises(InputError, match=r"\(llava\) is no CLIP-like pair: its model has no .*get_text_features"):
        half(folder, "image")


def test_a_model_with_more_parts_than_a_pair_is_refused(checkpoint, monkeypatch):
    monkeypatch.setattr(hf_pairs, "STARTS", {"image": "vision", "text": "text"})
    with pytest.raises(InputError, match=r"not made of an image and a text encoder alone \(it has 'visual_proj"):
        half(checkpoint("hf_clip"), "image")


@pytest.mark.parametrize("lost", ["visual_projection.weight", "text_model.final_layer_norm.weight"])
def test_weights_missing_from_either_half_are_refused(checkpoint, tmp_path, lost):
    folder = changed(checkpoint("hf_clip"), tmp_path / "copy", lambda state: state.pop(lost))
    for modality in ("image", "text"):
        with pytest.raises(ModelUnavailableError, match=lost):
            half(folder, modality)


def test_a_pooler_missing_from_a_pair_is_refused(checkpoint, tmp_path):
    lost = "text_model.pooler.dense.weight"
    folder = changed(checkpoint("hf_dual"), tmp_path / "copy", lambda state: state.pop(lost))
    with pytest.raises(ModelUnavailableError, match=rf"lacks 1 weights of the model, such as '{lost}'"):
        half(folder, "text")


def test_old_buffers_are_dropped(checkpoint, tmp_path):
    def old(state):
        for part in ("text_model", "vision_model"):
            state[f"{part}.embeddings.position_ids"] = torch.arange(24)[None]

    folder = changed(checkpoint("hf_clip"), tmp_path / "copy", old)
    for modality in ("image", "text"):
        assert half(folder, modality).space.fingerprint == half(checkpoint("hf_clip"), modality).space.fingerprint


def test_the_library_a_tokenizer_needs_is_named(checkpoint, tmp_path):
    """SigLIP's own tokenizer needs sentencepiece; where that is installed, its model file is missing here."""
    folder = shutil.copytree(checkpoint("hf_siglip"), tmp_path / "copy")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "SiglipTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    try:
        import sentencepiece  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="pip install sentencepiece"):
            half(folder, "text")
    else:
        with pytest.raises(ModelUnavailableError):
            half(folder, "text")


def test_a_pair_on_a_hub_out_of_reach_is_explained():
    with pytest.raises(
        ModelUnavailableError, match=r"https://huggingface\.co/org/name .*HF_HUB_OFFLINE|HF_HUB_OFFLINE"
    ):
        load_encoder("hf:org/name#modality=text", device="cpu")


def test_loading_a_half_says_nothing(checkpoint, capfd):
    half(checkpoint("hf_clip"), "image")
    assert capfd.readouterr().err == ""


# fingerprints


def marks(folder, options=""):
    return [half(folder, modality, options).space.fingerprint for modality in ("image", "text")]


@pytest.mark.parametrize(
    ("key", "same"),
    [
        ("visual_projection.weight", (False, True)),
        ("vision_model.post_layernorm.weight", (False, True)),
        ("text_projection.weight", (True, False)),
        ("text_model.embeddings.token_embedding.weight", (True, False)),
        ("logit_scale", (True, True)),
    ],
)
def test_a_fingerprint_follows_the_weights_of_its_own_half(checkpoint, tmp_path, key, same):
    def nudge(state):
        state[key] = state[key] + 1e-3

    folder = changed(checkpoint("hf_clip"), tmp_path / "copy", nudge)
    found = [one == other for one, other in zip(marks(folder), marks(checkpoint("hf_clip")), strict=True)]
    assert found == list(same)


def test_a_fingerprint_follows_norm_prompt_preprocessing_and_activation(checkpoint, tmp_path):
    folder = checkpoint("hf_clip")
    plain = marks(folder)
    seen = {*plain, *marks(folder, "&norm=unit"), half(folder, "text", "&prompt=a").space.fingerprint}
    assert len(seen) == 5
    copy = shutil.copytree(folder, tmp_path / "pixels")
    file = copy / "processor_config.json"
    file.write_text(file.read_text().replace("0.48145466", "0.5"))
    assert [one == other for one, other in zip(marks(copy), plain, strict=True)] == [False, True]
    copy = shutil.copytree(folder, tmp_path / "activation")
    (copy / "config.json").write_text((copy / "config.json").read_text().replace("quick_gelu", "gelu"))
    assert [one == other for one, other in zip(marks(copy), plain, strict=True)] == [False, False]
