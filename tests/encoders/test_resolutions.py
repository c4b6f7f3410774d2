"""Images brought to another number of pixels a side than the checkpoint's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import hf_vit, timm_vit

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.encoders import load_encoder

# name with {folder} in it, checkpoint, pixels of its own, a further resolution
ROWS = {
    "timm": ("timm:{folder}#resolution=", "timm_vit", 32, 48),
    "timm maps": ("timm:{folder}#resolution=", "timm_resnet", 160, 96),
    "hf": ("hf:{folder}#resolution=", "hf_vit", 32, 48),
    "hf without class token": ("hf:{folder}#resolution=", "hf_swin", 32, 64),
    "hf, interpolated by itself": ("hf:{folder}#resolution=", "hf_dinov2", 32, 48),
    "hf maps": ("hf:{folder}#resolution=", "hf_resnet", 32, 64),
    "hf pair with a crop": ("hf:{folder}#modality=image&resolution=", "hf_clip", 32, 48),
    "hf pair": ("hf:{folder}#modality=image&resolution=", "hf_siglip", 32, 48),
    "open_clip": ("open_clip:{folder}#modality=image&resolution=", "open_clip_own", 32, 48),
}


def loaded(row, checkpoint, side):
    pattern, builder, *_ = ROWS[row]
    return load_encoder(pattern.format(folder=checkpoint(builder)) + str(side), device="cpu")


def vectors(encoder, items):
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled)


def shape_of(batch):
    return tuple(batch["pixel_values"].shape if isinstance(batch, dict) else batch.shape)


@pytest.mark.parametrize("row", ROWS)
def test_images_have_the_pixels_asked_for(row, checkpoint, images):
    side = ROWS[row][3]
    encoder = loaded(row, checkpoint, side)
    assert shape_of(encoder.prepare(images)) == (5, 3, side, side)
    assert np.isfinite(vectors(encoder, images)).all()


@pytest.mark.parametrize("row", ROWS)
def test_the_checkpoints_own_resolution_is_the_same_space(row, checkpoint, images):
    pattern, builder, side, _ = ROWS[row]
    plain = load_encoder(pattern.rpartition("resolution=")[0][:-1].format(folder=checkpoint(builder)), device="cpu")
    same = loaded(row, checkpoint, side)
    np.testing.assert_allclose(vectors(same, images), vectors(plain, images), atol=1e-6)
    assert same.space.fingerprint == plain.space.fingerprint


def test_vectors_are_those_of_the_libraries_own_interpolation(checkpoint, images):
    import timm
    from transformers import AutoModel, ViTImageProcessor

    pictures = [Image.fromarray(image).convert("RGB") for image in images]
    batch = ViTImageProcessor(size={"height": 48, "width": 48})(pictures, return_tensors="pt")
    model = AutoModel.from_pretrained(checkpoint("hf_vit")).eval()
    with torch.inference_mode():
        own = model(**batch, interpolate_pos_encoding=True).last_hidden_state[:, 0]
    np.testing.assert_allclose(vectors(loaded("hf", checkpoint, 48), images), own.numpy(), atol=1e-6)
    network = timm.create_model(f"local-dir:{checkpoint('timm_vit')}", pretrained=True, img_size=48).eval()
    settings = {**timm.data.resolve_model_data_config(network), "input_size": (3, 48, 48)}
    transform = timm.data.create_transform(**settings, is_training=False)
    with torch.inference_mode():
        features = network.forward_features(torch.stack([transform(one) for one in pictures]))
        own = network.forward_head(features, pre_logits=True)
    np.testing.assert_allclose(vectors(loaded("timm", checkpoint, 48), images), own.numpy(), atol=1e-5)


def test_the_share_that_is_cropped_stays(checkpoint, images):
    processor = loaded("hf pair with a crop", checkpoint, 48).inputs.processor.to_dict()
    assert dict(processor["size"])["shortest_edge"] == 48
    assert (processor["crop_size"]["height"], processor["crop_size"]["width"]) == (48, 48)


@pytest.mark.parametrize(
    ("builder", "name"), [(hf_vit, "hf:{folder}#resolution=48"), (timm_vit, "timm:{folder}#resolution=48")]
)
def test_a_classifier_reads_the_other_resolution(builder, name, images, tmp_path):
    encoder = load_encoder(name.format(folder=builder(tmp_path / "it")), device="cpu")
    found = vectors(encoder, images)
    scores = encoder.classifier().scores(Embeddings(found, np.arange(5).astype(str), encoder.space))
    assert scores.values.shape == (5, 3)


@pytest.mark.parametrize("text", ["0", "48.0", "large", "5000", "-48", ""])
def test_a_resolution_is_a_number_of_pixels(text, checkpoint):
    for row in ("timm", "hf", "open_clip"):
        with pytest.raises(InputError, match="is no number of pixels from 8 to 4096, such as resolution=384"):
            loaded(row, checkpoint, text)


def test_patches_must_fit_into_it(checkpoint):
    with pytest.raises(InputError, match=r"patches of 16 pixels; resolution=50 is no multiple of that\. Use 48 or 64"):
        loaded("timm", checkpoint, 50)


def test_texts_have_no_resolution(checkpoint):
    for name in (
        f"hf:{checkpoint('hf_bert')}#resolution=48",
        f"hf:{checkpoint('hf_clip')}#modality=text&resolution=48",
        f"open_clip:{checkpoint('open_clip_own')}#modality=text&resolution=48",
    ):
        with pytest.raises(InputError, match="takes texts, which have no resolution"):
            load_encoder(name, device="cpu")


def test_patches_of_native_shapes_have_no_resolution(checkpoint):
    with pytest.raises(InputError, match=r"cannot be brought to resolution=48: its Siglip2ImageProcessor"):
        load_encoder(f"hf:{checkpoint('hf_siglip2')}#modality=image&resolution=48", device="cpu")


def test_a_network_of_one_size_says_so(checkpoint, tmp_path):
    """BEiT without a way to interpolate, say: the error names the resolution, not the processor."""
    import types

    from stitchkit.encoders.hf.inputs import ImageInputs, checked_width

    encoder = loaded("hf", checkpoint, 48)
    plain = types.SimpleNamespace(
        name=encoder.name, modality="image", encode=encoder.encode, prepare=ImageInputs(encoder.inputs.processor)
    )
    with pytest.raises(InputError, match=r"cannot be brought to resolution=48: its network \(vit\) takes image_size"):
        checked_width(plain, ImageInputs(encoder.inputs.processor), encoder.model.config)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("demo:general#resolution=48", "known options: none"),
        ("local:weights.pth#resolution=48", "known options: arch, key, size, mean, std"),
        ("xrv:weights.pth#resolution=48", "known options: key, size"),
        ("onnx:folder#resolution=48", "known options: pool, norm, prompt, output"),
        ("st:org/name#resolution=48", "known options: prompt, prompt_name, norm"),
        ("timm:resnet18#layer=3", "known options: resolution"),
        ("timm:resnet18#frame=3", r"The frame belongs to the item: write film\.dcm#frame=middle"),
        ("hf:org/name#window=40,400", r"The window belongs to the item: write film\.dcm#window=40,400"),
        ("open_clip:org/name#pool=cls", "known options: modality, norm, prompt, resolution"),
    ],
)
def test_a_family_without_a_setting_lists_those_it_has(name, known):
    with pytest.raises(UnknownNameError, match=known):
        load_encoder(name, device="cpu")
