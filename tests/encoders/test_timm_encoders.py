"""timm: pooling, classifiers, and weights that do not fill the model."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_encoders import timm_vit

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.encoders import load_encoder


def vectors(encoder, items):
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled)


def own_model(folder):
    import timm

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    return model, timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)


@pytest.mark.parametrize("builder", ["timm_vit", "timm_resnet"])
def test_vectors_and_logits_are_timms_own(checkpoint, images, builder):
    folder = checkpoint(builder)
    encoder = load_encoder(f"timm:{folder}", device="cpu")
    model, transform = own_model(folder)
    batch = torch.stack([transform(Image.fromarray(image).convert("RGB")) for image in images])
    with torch.inference_mode():
        pooled = model.forward_head(model.forward_features(batch), pre_logits=True)
        logits = model(batch)
    found = vectors(encoder, images)
    np.testing.assert_allclose(found, pooled.numpy(), atol=1e-6)
    head = encoder.classifier()
    scores = head.scores(Embeddings(found, np.arange(5).astype(str), encoder.space))
    np.testing.assert_allclose(scores.values, logits.numpy(), atol=1e-4)
    names = {"timm_vit": [f"finding {i}" for i in range(3)], "timm_resnet": [f"class {i}" for i in range(4)]}
    assert list(head.classes) == names[builder]


def test_tokens_are_those_of_transformers_and_positions_of_maps(checkpoint, images, tmp_path):
    tokens = load_encoder(f"timm:{checkpoint('timm_vit')}", device="cpu")
    assert tokens.encode(tokens.prepare(images)).tokens.shape == (5, 5, 16)
    maps = load_encoder(f"timm:{checkpoint('timm_resnet')}", device="cpu")
    found = maps.encode(maps.prepare(images))
    assert found.tokens.shape == (5, 25, 96)
    np.testing.assert_allclose(found.tokens.mean(dim=1), found.pooled, atol=1e-6)


def test_a_norm_behind_the_mean_is_done_at_each_position(images, tmp_path):
    import timm

    torch.manual_seed(0)
    model = timm.create_model("test_convnext", num_classes=2)
    timm.models.save_for_hf(model, str(tmp_path), model_config={"num_classes": 2}, safe_serialization=True)
    encoder = load_encoder(f"timm:{tmp_path}", device="cpu")
    batch = encoder.prepare(images)
    tokens = encoder.encode(batch).tokens
    own = encoder.model
    with torch.inference_mode():
        wanted = own.head.norm(own.forward_features(batch)).flatten(2).transpose(1, 2)
    np.testing.assert_allclose(tokens, wanted, atol=1e-6)
    assert encoder.maps == "head"
    half = load_encoder(f"timm:{tmp_path}", device="cpu", dtype="bfloat16")
    assert half.maps == "head"


def test_a_trunk_without_classifier_says_so_and_is_the_same_space(checkpoint, tmp_path):
    bare = load_encoder(f"timm:{timm_vit(tmp_path / 'bare', num_classes=0)}", device="cpu")
    with pytest.raises(InputError, match="no linear classifier"):
        bare.classifier()
    folder = shutil.copytree(checkpoint("timm_vit"), tmp_path / "copy")
    state = load_file(folder / "model.safetensors")
    save_file({**state, "head.weight": state["head.weight"] + 1}, folder / "model.safetensors")
    one, other = (load_encoder(f"timm:{f}", device="cpu").space.fingerprint for f in (checkpoint("timm_vit"), folder))
    assert one == other


def test_a_classifier_in_half_precision_is_found(checkpoint):
    half = load_encoder(f"timm:{checkpoint('timm_vit')}", device="cpu", dtype="bfloat16").classifier()
    whole = load_encoder(f"timm:{checkpoint('timm_vit')}", device="cpu").classifier()
    np.testing.assert_allclose(half.weight, whole.weight, rtol=1e-2)


@pytest.mark.parametrize("change", ["weight", "mean", "interpolation"])
def test_the_fingerprint_follows_weights_and_preprocessing(checkpoint, tmp_path, change):
    folder = shutil.copytree(checkpoint("timm_vit"), tmp_path / "copy")
    if change == "weight":
        state = load_file(folder / "model.safetensors")
        state["cls_token"][0, 0, 3] += 1e-3
        save_file(state, folder / "model.safetensors")
    else:
        config = json.loads((folder / "config.json").read_text())
        config["pretrained_cfg"][change] = {"mean": [0.4, 0.5, 0.5], "interpolation": "bilinear"}[change]
        (folder / "config.json").write_text(json.dumps(config))
    one, other = (load_encoder(f"timm:{f}", device="cpu").space.fingerprint for f in (checkpoint("timm_vit"), folder))
    assert one != other


def test_weights_that_timm_would_leave_random_are_refused(checkpoint, tmp_path):
    """With another number of classes timm loads without strictness and only logs what is missing."""
    folder = shutil.copytree(checkpoint("timm_vit"), tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["model_args"]["num_classes"] = 5
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailableError, match=r"Missing keys \(head"):
        load_encoder(f"timm:{folder}", device="cpu")


def test_one_channel_is_kept_and_five_are_refused(tmp_path, images):
    import timm

    for channels in (1, 5):
        torch.manual_seed(0)
        model = timm.create_model("test_resnet", num_classes=0, in_chans=channels)
        data = {"mean": [0.5] * channels, "std": [0.5] * channels}
        timm.models.save_for_hf(
            model,
            str(tmp_path / str(channels)),
            model_config={"num_classes": 0},
            safe_serialization=True,
            data_config=data,
        )
    encoder = load_encoder(f"timm:{tmp_path}/1", device="cpu")
    assert encoder.prepare(images).shape == (5, 1, 160, 160)
    assert vectors(encoder, images).shape == (5, 96)
    with pytest.raises(InputError, match="takes 5 channels"):
        load_encoder(f"timm:{tmp_path}/5", device="cpu")


def test_a_transformers_folder_is_pointed_to_its_family(checkpoint):
    with pytest.raises(ModelUnavailableError, match=f"load hf:{checkpoint('hf_vit')}"):
        load_encoder(f"timm:{checkpoint('hf_vit')}", device="cpu")
