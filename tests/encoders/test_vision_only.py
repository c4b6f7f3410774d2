"""Checkpoints that look like a CLIP-like pair and hold its vision encoder alone."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pairs import vectors

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.encoders import load_encoder
from stitchkit.encoders.clip_pairs import clip_alignment

NO_TEXT = r"has no text side: stitch one\. Load its images as '[a-z_]+:[^']*', fit a map .* with sk\.align"


def kept(folder, copy, keep, file="model.safetensors"):
    """A copy of a checkpoint with the weights whose name ``keep`` is true of."""
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folder, copy)
    state = {key: one for key, one in load_file(copy / file).items() if keep(key)}
    save_file(state, copy / file, metadata={"format": "pt"})
    return copy


@pytest.fixture(params=["pair without text", "tower alone", "tower with projection"])
def tower(request, checkpoint, tmp_path):
    """A folder with the vision encoder of a CLIP."""
    import transformers

    folder = checkpoint("hf_clip")
    if request.param == "pair without text":
        return kept(folder, tmp_path / "tower", lambda key: key.startswith("vis"))
    kind = "CLIPVisionModel" + ("WithProjection" if "projection" in request.param else "")
    getattr(transformers, kind).from_pretrained(folder).save_pretrained(tmp_path / "tower")
    shutil.copy(folder / "processor_config.json", tmp_path / "tower")
    return tmp_path / "tower"


def test_a_vision_tower_of_transformers_loads_by_itself(tower, checkpoint, images):
    from transformers import AutoProcessor, CLIPModel

    encoder = load_encoder(f"hf:{tower}#pool=pooler", device="cpu")
    folder = checkpoint("hf_clip")
    pixels = AutoProcessor.from_pretrained(folder).image_processor(
        [Image.fromarray(one).convert("RGB") for one in images], return_tensors="pt"
    )
    with torch.inference_mode():
        own = CLIPModel.from_pretrained(folder).eval().vision_model(**pixels).pooler_output
    assert encoder.modality == "image"
    np.testing.assert_allclose(vectors(encoder, images), own.numpy(), atol=1e-6)
    same = load_encoder(f"hf:{tower}#modality=image&pool=pooler", device="cpu")
    assert same.space.fingerprint == encoder.space.fingerprint


def test_the_text_side_of_a_vision_tower_is_refused_with_the_way_to_one(tower):
    with pytest.raises(InputError, match=NO_TEXT):
        load_encoder(f"hf:{tower}#modality=text", device="cpu")


@pytest.fixture(params=["projected", "without projection"])
def open_tower(request, checkpoint, tmp_path):
    plain = request.param == "projected"
    return kept(
        checkpoint("open_clip_own"), tmp_path / "tower",
        lambda key: key.startswith("visual.") and (plain or key != "visual.proj"), "open_clip_model.safetensors",
    )  # fmt: skip


def test_a_vision_tower_of_open_clip_loads_by_itself(open_tower, checkpoint, images):
    import open_clip

    whole, _, transform = open_clip.create_model_and_transforms(f"local-dir:{checkpoint('open_clip_own')}")
    encoder = load_encoder(f"open_clip:{open_tower}", device="cpu")
    batch = torch.stack([transform(Image.fromarray(one).convert("RGB")) for one in images])
    tower = whole.visual.eval()
    if encoder.space.dim == 16:
        tower.proj = None
    with torch.inference_mode():
        np.testing.assert_allclose(vectors(encoder, images), tower(batch).numpy(), atol=1e-6)
    with pytest.raises(InputError, match="is not half of a CLIP-like pair"):
        clip_alignment(encoder, load_encoder(f"open_clip:{checkpoint('open_clip_own')}#modality=text", device="cpu"))


def test_the_text_side_of_an_open_clip_tower_is_refused_with_the_way_to_one(open_tower):
    with pytest.raises(InputError, match=NO_TEXT):
        load_encoder(f"open_clip:{open_tower}#modality=text", device="cpu")


def test_a_timm_tower_has_no_text_side(checkpoint):
    with pytest.raises(InputError, match=NO_TEXT):
        load_encoder(f"timm:{checkpoint('timm_vit')}#modality=text", device="cpu")


def test_a_pair_that_lacks_some_of_its_text_weights_is_still_damaged(checkpoint, tmp_path):
    folder = kept(checkpoint("hf_clip"), tmp_path / "damaged", lambda key: key != "text_projection.weight")
    with pytest.raises(ModelUnavailableError, match="lacks 1 weights of the model, such as 'text_projection"):
        load_encoder(f"hf:{folder}#modality=image", device="cpu")


def test_a_tower_that_lacks_a_weight_is_refused(checkpoint, tmp_path):
    folder = kept(checkpoint("open_clip_own"), tmp_path / "damaged", lambda key: key.startswith("visual.") and
                  key != "visual.ln_post.bias", "open_clip_model.safetensors")  # fmt: skip
    with pytest.raises(ModelUnavailableError, match=r"1 missing \(visual\.ln_post\.bias\)"):
        load_encoder(f"open_clip:{folder}", device="cpu")
