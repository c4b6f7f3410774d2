"""Adapters of PEFT: vectors equal those of the model that PEFT holds, and an adapter of another model is refused."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import stitchkit as sk
from stitchkit.core.errors import MissingExtraError, ModelUnavailableError
from stitchkit.encoders.names import EncoderName
from stitchkit.training.binding.recipe import AdapterRecipe
from stitchkit.training.binding.towers import add_adapters

peft = pytest.importorskip("peft")
TEXTS = ["the heart is large .", "lungs are clear ."]


def trained_adapter(encoder, folder: Path, targets: list[str]) -> Path:
    """An adapter of random weights for the encoder's model, which is changed in place."""
    torch.manual_seed(3)
    config = peft.LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT's own calls of transformers
        peft.get_peft_model(encoder.model, config).eval().save_pretrained(folder)
    return folder


def vectors_of(encoder, items) -> np.ndarray:
    return encoder.encode(encoder.prepare(items)).pooled.numpy()


IMAGES = [np.random.default_rng(i).integers(0, 255, (40, 40, 3), dtype=np.uint8) for i in range(2)]
CASES = {
    "hf_bert": ("hf", ["query", "value"], TEXTS),
    "hf_vit": ("hf", ["q_proj", "v_proj"], IMAGES),
    "timm_vit": ("timm", ["qkv"], IMAGES),
}


@pytest.mark.parametrize("kind", CASES)
def test_vectors_equal_those_of_the_model_that_peft_holds(checkpoint, tmp_path, kind):
    family, targets, items = CASES[kind]
    name = f"{family}:{checkpoint(kind)}"
    plain = sk.load_encoder(name, device="cpu")
    before, fingerprint = vectors_of(plain, items), plain.space.fingerprint
    folder = trained_adapter(plain, tmp_path / "adapter", targets)
    merged = sk.load_encoder(f"{name}#adapter={folder}", device="cpu")
    np.testing.assert_allclose(vectors_of(merged, items), vectors_of(plain, items), atol=1e-5)
    assert np.abs(vectors_of(merged, items) - before).max() > 1e-3
    assert merged.space.fingerprint != fingerprint
    assert not any(one.requires_grad for one in merged.model.parameters())


def test_a_half_of_a_pair_takes_an_adapter(checkpoint, tmp_path):
    name = f"hf:{checkpoint('hf_clip')}#modality=text"
    plain = sk.load_encoder(name, device="cpu")
    adapter = add_adapters(plain, AdapterRecipe(rank=2), seed=(0,))  # as the tuning of a binding does
    for one in adapter.parameters():
        if one.requires_grad:
            torch.nn.init.normal_(one, std=0.1)
    adapter.save_pretrained(folder := tmp_path / "adapter")
    merged = sk.load_encoder(f"{name}&adapter={folder}", device="cpu")
    np.testing.assert_allclose(vectors_of(merged, TEXTS), vectors_of(plain, TEXTS), atol=1e-5)


def test_the_folder_of_an_adapter_is_made_absolute(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adapter").mkdir()
    name = EncoderName.parse("hf:org/name#pool=mean&adapter=adapter").resolve()
    assert name.options == {"pool": "mean", "adapter": str(tmp_path / "adapter")}
    assert name.public == "hf:org/name#pool=mean&adapter=adapter"


def test_adapters_that_do_not_fit_are_refused(checkpoint, tmp_path):
    name = f"hf:{checkpoint('hf_bert')}"
    folder = trained_adapter(sk.load_encoder(name, device="cpu"), tmp_path / "adapter", ["query", "value"])
    with pytest.raises(ModelUnavailableError, match=r"does not fit the model of .*Name the model that it was trained"):
        sk.load_encoder(f"timm:{checkpoint('timm_vit')}#adapter={folder}", device="cpu")
    with pytest.raises(ModelUnavailableError, match="does not fit"):  # of twice as many layers
        sk.load_encoder(f"hf:{checkpoint('hf_roberta')}#adapter={folder}", device="cpu")
    with pytest.raises(ModelUnavailableError, match=r"there is no .*nowhere"):
        sk.load_encoder(f"{name}#adapter={tmp_path / 'nowhere'}", device="cpu")
    torn = shutil.copytree(folder, tmp_path / "torn")
    weights = (torn / "adapter_model.safetensors").read_bytes()
    (torn / "adapter_model.safetensors").write_bytes(weights[:-9])
    with pytest.raises(ModelUnavailableError, match="the copy was cut short"):
        sk.load_encoder(f"{name}#adapter={torn}", device="cpu")
    (torn / "adapter_model.safetensors").write_bytes(weights)
    for settings in ([], {}, {"peft_type": "LORA", "r": "two"}, {"peft_type": "LORA", "target_modules": ["query"]}):
        (torn / "adapter_config.json").write_text(json.dumps(settings))
        with pytest.raises(ModelUnavailableError, match="adapter"):
            sk.load_encoder(f"{name}#adapter={torn}", device="cpu")


def test_without_peft_the_extra_is_named(checkpoint, tmp_path, monkeypatch):
    name = f"hf:{checkpoint('hf_bert')}"
    folder = trained_adapter(sk.load_encoder(name, device="cpu"), tmp_path / "adapter", ["query", "value"])
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[train\]'"):
        sk.load_encoder(f"{name}#adapter={folder}", device="cpu")
