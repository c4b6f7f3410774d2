"""Tokenizers and image processors that do not fit their model are refused at load, with the values of both."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_encoders import SPECIAL, hf_bert, hf_roberta, hf_vit, tokenizer
from tiny_pairs import hf_clip

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import ModelUnavailableError
from stitchkit.encoders import load_encoder
from stitchkit.encoders.load_checks import check_levels


def loaded(folder, options="", family="hf"):
    return load_encoder(f"{family}:{folder}{options}", device="cpu")


def refuses(folder, message, options="", family="hf"):
    with pytest.raises(ModelUnavailableError, match=message):
        loaded(folder, options, family)


def with_tokens(folder, *tokens, special=False):
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(folder)
    own.add_tokens(list(tokens), special_tokens=special)
    own.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("build", [hf_bert, hf_roberta])
def test_added_tokens_without_a_row_are_refused(build, special, tmp_path):
    folder = with_tokens(build(tmp_path / "m"), "pneumothorax", "edema", special=special)
    refuses(
        folder, r"largest token id is 21 \('edema'\), and the embedding has 20 rows, 0 to 19, so that 2 of its tokens"
    )


def test_the_vocabulary_of_another_model_is_refused(tmp_path):
    from transformers import BertTokenizerFast

    folder = hf_bert(tmp_path / "m")
    words = {word: i for i, word in enumerate([*SPECIAL, *(f"word{i}" for i in range(90))])}
    BertTokenizerFast(vocab=words).save_pretrained(folder)
    refuses(folder, r"largest token id is 94 \('word89'\), and the embedding has 20 rows")


def test_the_text_half_of_a_pair_is_checked_too(tmp_path):
    folder = with_tokens(hf_clip(tmp_path / "m"), "pneumothorax")
    refuses(folder, "'pneumothorax'", "#modality=text")
    assert loaded(folder, "#modality=image").space.dim == 8


def test_a_model_with_rows_to_spare_loads(tmp_path):
    from transformers import BertModel

    folder = hf_bert(tmp_path / "m")
    model = BertModel.from_pretrained(folder)
    model.resize_token_embeddings(64)
    model.save_pretrained(folder)
    encoder = loaded(with_tokens(folder, "pneumothorax"))
    assert np.isfinite(to_numpy(encoder.encode(encoder.prepare(["left pneumothorax"])).pooled)).all()


def test_a_model_of_characters_has_no_rows_to_compare(tmp_path, monkeypatch):
    from transformers import CanineConfig, CanineModel, CanineTokenizer
    from transformers.models.canine import tokenization_canine

    monkeypatch.setattr(tokenization_canine, "UNICODE_VOCAB_SIZE", 60_000)  # up to its special tokens, not a million
    config = CanineConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                          num_hash_buckets=32, local_transformer_stride=16, downsampling_rate=1,
                          max_position_embeddings=256)  # fmt: skip
    CanineModel(config).save_pretrained(tmp_path)
    CanineTokenizer().save_pretrained(tmp_path)
    assert loaded(tmp_path).space.dim == 16


def image_folder(folder, model="ViT", processor="ViT", sizes=None, **settings):
    """A vision model of 32 pixels with an image processor set to ``settings``."""
    import transformers

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
             "image_size": 32, "patch_size": 8, **(sizes or {})}  # fmt: skip
    if model == "ResNet":
        small = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], **(sizes or {})}
    if model == "Dinov2":
        del small["intermediate_size"]
    getattr(transformers, f"{model}Model")(getattr(transformers, f"{model}Config")(**small)).save_pretrained(folder)
    getattr(transformers, f"{processor}ImageProcessor")(**settings).save_pretrained(folder)
    return folder


SQUARE = {"height": 32, "width": 32}


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"size": {"height": 96, "width": 96}}, r"\(3, 96, 96\)"),
        ({"size": {"height": 32, "width": 16}}, r"\(3, 32, 16\)"),
        (
            {"processor": "Bit", "size": {"shortest_edge": 64}, "crop_size": {"height": 40, "width": 40}},
            r"\(3, 40, 40\)",
        ),
    ],
)
def test_images_of_a_size_that_the_model_does_not_take_are_refused(tmp_path, settings, shape):
    refuses(
        image_folder(tmp_path, **settings), f"does not fit its model: it makes images of shape {shape}.*image_size = 32"
    )


def test_the_image_half_of_a_pair_is_checked_too(tmp_path):
    folder = hf_clip(tmp_path / "m")
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (file := folder / name).is_file():
            file.write_text(file.read_text().replace("32", "48"))
    refuses(folder, r"images of shape \(3, 48, 48\).*image_size = 32", "#modality=image")
    assert loaded(folder, "#modality=text").space.dim == 8


@pytest.mark.parametrize(
    "settings",
    [
        {"processor": "Bit", "size": {"shortest_edge": 32}, "do_center_crop": False},
        {"processor": "CLIP", "size": {"shortest_edge": 32}, "do_center_crop": False},
        {"do_resize": False, "size": SQUARE},
        {"processor": "Bit", "do_resize": False, "do_center_crop": False},
    ],
)
@pytest.mark.parametrize("model", ["ViT", "Dinov2", "ResNet"])
def test_a_processor_that_leaves_images_at_their_shapes_is_refused(tmp_path, model, settings):
    refuses(
        image_folder(tmp_path, model, **settings),
        "makes no input of two images of different shapes.*it is set to do_resize",
    )


def test_a_model_of_another_number_of_channels_is_refused(tmp_path):
    folder = image_folder(tmp_path, sizes={"num_channels": 1}, size=SQUARE)
    refuses(folder, r"images of shape \(3, 32, 32\).*num_channels = 1")


def test_a_model_that_takes_any_size_loads(tmp_path):
    folder = image_folder(tmp_path / "d", "Dinov2", sizes={"image_size": 56}, size=SQUARE)
    assert loaded(folder).space.dim == 16
    folder = image_folder(tmp_path / "r", "ResNet", size={"height": 40, "width": 24})
    assert loaded(folder, "#pool=pooler").space.dim == 16


CAFFE = {"image_mean": [123.7, 116.8, 103.9], "image_std": [1.0, 1.0, 1.0]}
HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_rescale": False, **HALVES}, "do_rescale = False its pixels go from 0 to 255, and mean 0.5"),
        ({"do_rescale": False, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}, "0.485"),
        ({"do_rescale": True, "rescale_factor": 1.0, **HALVES}, "rescale_factor = 1 its pixels go from 0 to 255"),
        (
            {"do_rescale": True, "image_mean": [123.7, 116.8, 103.9], "image_std": [58.4, 57.1, 57.4]},
            "from 0 to 1, and",
        ),
        ({"do_rescale": True, **CAFFE}, "from 0 to 1, and mean"),
        ({"do_rescale": True, "rescale_factor": 1 / 255**2, **HALVES}, "contradicts itself"),
        ({"do_rescale": True, "image_mean": [0.0] * 3, "image_std": [255.0] * 3}, "deviation 255"),
        ({"image_mean": [0.5] * 3, "image_std": [0.0] * 3}, "deviation 0"),
    ],
)
def test_grey_levels_that_contradict_the_normalisation_are_refused(tmp_path, settings, message):
    refuses(image_folder(tmp_path, size=SQUARE, **settings), message)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_rescale": False, **CAFFE},
        {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3},
        {"do_rescale": False, "image_mean": [0.0] * 3, "image_std": [255.0] * 3},
        {"do_rescale": False, "do_normalize": False},
        {"do_rescale": False, "image_mean": [0.0] * 3, "image_std": [1.0] * 3},
        {"do_normalize": False, **CAFFE},
        {"do_rescale": True, "image_mean": [0.0] * 3, "image_std": [1.0] * 3},
        {"do_rescale": True, "rescale_factor": 1 / 127.5, **HALVES},
    ],
)
def test_grey_levels_of_every_sound_convention_load(tmp_path, settings):
    assert loaded(image_folder(tmp_path, size=SQUARE, **settings)).space.dim == 16


def test_a_mean_of_another_number_of_channels_is_refused(tmp_path):
    refuses(
        image_folder(tmp_path, size=SQUARE, image_mean=[0.5] * 2, image_std=[0.5] * 2), "makes no input of an image"
    )


def changed_timm(folder, copy, **settings):
    copy = shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    config["pretrained_cfg"].update(settings)
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": [123.7, 116.8, 103.9], "std": [58.4, 57.1, 57.4]}, "from 0 to 1, and mean"),
        ({"mean": [0.0] * 3, "std": [255.0] * 3}, "deviation 255"),
        ({"mean": [0.5] * 2, "std": [0.5] * 2}, "makes no input of an image"),
    ],
)
def test_preprocessing_of_timm_that_does_not_fit_is_refused(checkpoint, tmp_path, settings, message):
    refuses(changed_timm(checkpoint("timm_vit"), tmp_path / "m", **settings), message, family="timm")


def test_inputs_that_a_timm_model_does_not_take_are_refused(checkpoint, monkeypatch):
    """timm sets the input size by the model, whatever the config says; its own entries may still be wrong."""
    import timm

    own = timm.data.resolve_model_data_config
    monkeypatch.setattr(timm.data, "resolve_model_data_config", lambda m: {**own(m), "input_size": (3, 96, 96)})
    refuses(checkpoint("timm_vit"), r"images of shape \(3, 96, 96\).*takes images of \(32, 32\)", family="timm")


def test_timm_sets_the_size_of_images_by_the_model(checkpoint, tmp_path):
    encoder = loaded(changed_timm(checkpoint("timm_vit"), tmp_path / "m", input_size=[3, 96, 96]), family="timm")
    assert encoder.prepare([np.zeros((50, 60), np.uint8)]).shape == (1, 3, 32, 32)


def test_a_timm_model_that_takes_any_size_loads(checkpoint, tmp_path):
    folder = changed_timm(checkpoint("timm_resnet"), tmp_path / "m", input_size=[3, 64, 48])
    assert loaded(folder, family="timm").space.dim == 96


def test_levels_of_nothing_are_refused():
    with pytest.raises(ModelUnavailableError, match="contradicts itself"):
        check_levels("mine", 1.0, [np.nan] * 3, [0.5] * 3, "do_rescale = True")


def test_padding_to_the_largest_of_a_batch_is_refused(checkpoint, tmp_path, monkeypatch):
    """A processor whose shapes follow the batch: the vector of an image would follow its neighbours."""
    from stitchkit.encoders.hf.inputs import ImageInputs

    own = ImageInputs.__call__

    def padded(self, items):
        batch = own(self, items)
        return {"pixel_values": torch.nn.functional.pad(batch["pixel_values"], (0, 8 * (len(items) - 1)))}

    monkeypatch.setattr(ImageInputs, "__call__", padded)
    refuses(hf_vit(tmp_path / "m"), r"an image \(3, 32, 32\) alone and \(3, 32, 40\) beside another")


def test_the_tokenizer_of_the_tiny_models_fits_them(tmp_path):
    folder = hf_bert(tmp_path / "m")
    tokenizer(folder)
    assert loaded(folder).space.dim == 16
