"""Adapters of PEFT: vectors equal those of the model that PEFT holds, and an adapter of another model is refused."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import stitchkit as sk
from stitchkit.core.errors import MissingExtraError, ModelUnavailableError
from stitchkit.encoders.adapters import adapted
from stitchkit.encoders.names import EncoderName
from stitchkit.training.binding.recipe import AdapterRecipe
from stitchkit.training.binding.towers import add_adapters

peft = pytest.importorskip("peft")
TEXTS = ["the heart is large .", "lungs are clear ."]


def trained_adapter(encoder, folder: Path, targets: list[str] | str) -> Path:
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


def changed(folder: Path, target: Path, **settings) -> Path:
    """A copy of an adapter with other settings."""
    shutil.copytree(folder, target)
    before = json.loads((target / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps({**before, **settings}))
    return target


@pytest.fixture(scope="module")
def bert(checkpoint, tmp_path_factory) -> tuple[str, Path]:
    """The name of a text encoder, and an adapter of it."""
    name, folder = f"hf:{checkpoint('hf_bert')}", tmp_path_factory.mktemp("adapter") / "lora"
    return name, trained_adapter(sk.load_encoder(name, device="cpu"), folder, ["query", "value"])


def test_a_pattern_that_is_none_is_the_fault_of_the_adapter(bert, tmp_path):
    name, lora = bert
    folder = changed(lora, tmp_path / "pattern", target_modules="(((")
    with pytest.raises(ModelUnavailableError, match=r"adapter in .*pattern does not fit .*says: missing \)"):
        sk.load_encoder(f"{name}#adapter={folder}", device="cpu")


KINDS = {
    "PROMPT_TUNING": lambda: peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=4),
    "PREFIX_TUNING": lambda: peft.PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=4),
    "POLY": lambda: peft.PolyConfig(r=2, target_modules=["query"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_adapters_that_cannot_be_merged_are_named(kind, checkpoint, tmp_path):
    name = f"hf:{checkpoint('hf_bert')}"
    folder = tmp_path / "adapter"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        peft.get_peft_model(sk.load_encoder(name, device="cpu").model, KINDS[kind]()).save_pretrained(folder)
    with pytest.raises(ModelUnavailableError, match=rf"is of the kind '{kind}', which cannot be merged"):
        sk.load_encoder(f"{name}#adapter={folder}", device="cpu")


def test_lora_that_waits_for_tokens_cannot_be_merged(bert, tmp_path):
    name, lora = bert
    folder = changed(lora, tmp_path / "waits", alora_invocation_tokens=[1, 2])
    with pytest.raises(ModelUnavailableError, match="kind 'LORA' with alora_invocation_tokens, which cannot be merged"):
        sk.load_encoder(f"{name}#adapter={folder}", device="cpu")


def test_an_adapter_of_the_other_half_is_refused(checkpoint, tmp_path):
    clip = f"hf:{checkpoint('hf_clip')}"
    text = sk.load_encoder(f"{clip}#modality=text", device="cpu")
    folder = trained_adapter(text, tmp_path / "adapter", ".*text_model.*q_proj")
    sk.load_encoder(f"{clip}#modality=text&adapter={folder}", device="cpu")
    with pytest.raises(ModelUnavailableError, match=r"changes nothing in the encoder .*modality=image.*'base_model"):
        sk.load_encoder(f"{clip}#modality=image&adapter={folder}", device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_their_tensor(bert, tmp_path, value):
    name, lora = bert
    folder = shutil.copytree(lora, tmp_path / "broken")
    tensors = load_file(folder / "adapter_model.safetensors")
    broken = sorted(tensors)[2]
    tensors[broken][0, 0] = value
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(ModelUnavailableError, match=f"NaN or infinity in its tensor '{broken}'"):
        sk.load_encoder(f"{name}#adapter={folder}", device="cpu")


@pytest.mark.parametrize(
    ("base", "name", "warned"),
    [
        ("org/base", "hf:org/other", True),
        ("hf:org/base#pool=cls", "hf:org/other@main", True),
        ("timm/vit", "timm:resnet", True),
        ("Org/Base", "hf:org/base#pool=cls", False),
        ("timm:vit", "timm:vit", False),
        ("bert-a", "hf:org/other", False),
        ("/home/ann/base", "hf:org/other", False),
        ("org/base", "hf:{checkpoint}", False),
        (None, "hf:org/other", False),
    ],
)
def test_an_adapter_of_another_repository_is_warned_of(bert, tmp_path, base, name, warned):
    checkpoint, lora = bert
    folder = changed(lora, tmp_path / "other", base_model_name_or_path=base)
    parsed = EncoderName.parse(name.format(checkpoint=checkpoint.removeprefix("hf:")))
    named = replace(parsed, options={**parsed.options, "adapter": str(folder)})
    model = sk.load_encoder(checkpoint, device="cpu").model
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adapted(model, named)
    words = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    assert len(words) == warned
    assert all("was trained on" in one and repr(named.repository) in one for one in words)


def test_the_hub_is_not_asked_for_the_model_of_an_adapter(bert, tmp_path, monkeypatch):
    name, lora = bert
    folder = changed(lora, tmp_path / "other", base_model_name_or_path="org/base")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    asked = []
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *at, **_: asked.append(at))
    sk.load_encoder(f"{name}#adapter={folder}", device="cpu", offline=True)
    assert asked == []


@pytest.mark.parametrize("whole", [True, False])
def test_an_adapter_of_embeddings_is_merged_whether_or_not_they_lie_beside_it(tmp_path, whole):
    from transformers import LlamaConfig, LlamaModel

    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaModel(LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=8, **sizes)).eval()
    fresh, ids = copy.deepcopy(model), torch.arange(6)[None]
    config = peft.LoraConfig(r=2, target_modules=["embed_tokens", "q_proj"], init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        peft.get_peft_model(model, config).eval().save_pretrained(tmp_path / "lora", save_embedding_layers=whole)
    with torch.inference_mode():
        merged = adapted(fresh, EncoderName.parse(f"hf:org/base#adapter={tmp_path / 'lora'}"))
        torch.testing.assert_close(merged(ids).last_hidden_state, model(ids).last_hidden_state, atol=1e-5, rtol=0)


def test_without_peft_the_extra_is_named(checkpoint, tmp_path, monkeypatch):
    name = f"hf:{checkpoint('hf_bert')}"
    folder = trained_adapter(sk.load_encoder(name, device="cpu"), tmp_path / "adapter", ["query", "value"])
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[train\]'"):
        sk.load_encoder(f"{name}#adapter={folder}", device="cpu")
