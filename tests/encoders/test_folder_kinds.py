"""Folders that are something else are named for what they are, with a next step that leads on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import TEXTS, hf_bert, tokenizer
from tiny_pairs import changed, hf_clip

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.encoders import load_encoder


def loaded(folder, options="", family="hf", **settings):
    return load_encoder(f"{family}:{folder}{options}", device="cpu", **settings)


def refuses(folder, message, error=ModelUnavailableError, family="hf", options=""):
    with pytest.raises(error, match=message):
        loaded(folder, options, family)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


OTHERS = {
    "open_clip": (("open_clip_config.json", "open_clip_pytorch_model.bin"), "an open_clip checkpoint", "pip install"),
    "open_clip weights": (("open_clip_model.safetensors",), "an open_clip checkpoint", "open_clip:FOLDER#modality"),
    "adapter": (("adapter_config.json", "adapter_model.safetensors"), "a PEFT adapter", "hf:BASE#adapter="),
    "diffusers": (("model_index.json", "unet/config.json"), "a diffusers pipeline", "text_encoder"),
    "onnx": (("onnx/model.onnx", "tokenizer.json"), "an ONNX export .onnx/model.onnx", "Load it as onnx:FOLDER"),
    "openvino": (("openvino_model.xml", "openvino_model.bin"), "an OpenVINO export", "made from"),
    "gguf": (("model-q4.gguf",), "a GGUF file", "made from"),
    "keras": (("tf_model.h5",), "a TensorFlow checkpoint", "from_tf=True"),
    "saved model": (("saved_model.pb", "variables/variables.index"), "a TensorFlow checkpoint", "python: encoder"),
    "flax": (("flax_model.msgpack",), "a Flax checkpoint", "from_flax=True"),
    "monai": (("configs/metadata.json", "models/model.pt"), "a MONAI bundle", "python: encoder"),
    "spacy": (("config.cfg", "meta.json"), "a spaCy pipeline", "python: encoder"),
    "data": (("dataset_infos.json",), "a data set, no model", "model's folder"),
    "training": (("optimizer.pt", "trainer_state.json"), "a training state", "save_pretrained"),
    "tokenizer": (("tokenizer.json", "tokenizer_config.json"), "a tokenizer without a model", "Copy config.json"),
    "processor": (("preprocessor_config.json",), "an image processor without a model", "Copy config.json"),
    "below": (("snapshots/abc/config.json",), "Its folder snapshots/abc holds one", "Load .*snapshots/abc"),
    "empty": ((), "It is empty", "Copy the whole folder"),
    "unknown": (("weights.npz",), "not a checkpoint of this family", "Copy the whole folder from its source"),
}  # fmt: skip


@pytest.mark.parametrize("family", ["hf", "timm"])
@pytest.mark.parametrize("kind", OTHERS)
def test_folders_of_something_else_are_named_with_the_next_step(tmp_path, kind, family):
    files, what, step = OTHERS[kind]
    refuses(touch(tmp_path, *files), f"{what}.*{step}", family=family)


@pytest.mark.parametrize("file", ["model.onnx", "tf_model.h5", "flax_model.msgpack", "open_clip_pytorch_model.bin"])
def test_a_config_beside_weights_of_another_kind_is_named(checkpoint, tmp_path, file):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "m")
    (folder / "model.safetensors").unlink()
    kinds = {"model.onnx": "ONNX", "tf_model.h5": "TensorFlow", "flax_model.msgpack": "Flax"}
    refuses(touch(folder, file), f"holds no weights.*It is an? {kinds.get(file, 'open_clip')}")


def test_a_pipeline_without_weights_says_so(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "m")
    (folder / "model.safetensors").unlink()
    lines = [{"type": f"sentence_transformers.models.{kind}", "path": path}
             for kind, path in (("Transformer", ""), ("Pooling", "1_Pooling"))]  # fmt: skip
    (touch(folder, "1_Pooling/config.json") / "modules.json").write_text(json.dumps(lines))
    refuses(folder, "holds no weights.*Copy the weights next to config.json")


def test_an_adapter_names_its_base_and_is_refused_beside_whole_weights_too(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "m")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    refuses(folder, f"a PEFT adapter of 'org/base'.*hf:org/base#adapter={folder}")
    for base, name in (
        ("timm:vit", "timm:vit#adapter="),
        ("hf:bert-a#modality=text", "hf:bert-a#modality=text&adapter="),
        ("", "hf:BASE#adapter="),
        ("hf:", "hf:BASE#adapter="),
        (None, "hf:BASE#adapter="),
    ):
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        refuses(folder, f"Load its model with it: {name}{folder} ")
    (folder / "adapter_config.json").write_text("[broken")
    refuses(folder, "a PEFT adapter of another model")


def test_a_config_of_another_family_names_that_family(checkpoint, tmp_path):
    refuses(checkpoint("timm_vit"), f"is one of timm.*Load timm:{checkpoint('timm_vit')}")
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "m")
    (folder / "config.json").write_text(json.dumps({"stitchkit_format": 2, "kind": "alignment"}))
    refuses(folder, f"Load stitchkit:{folder}")


def test_an_unknown_model_type_names_the_code_it_needs(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "cxrnet"}
    (folder / "config.json").write_text(json.dumps(config))
    refuses(folder, r"model type 'cxrnet', which transformers \S+ does not know\. A later version may know it")
    code = {"auto_map": {"AutoModel": "modeling_x.M"}}
    (folder / "config.json").write_text(json.dumps(config | code))
    refuses(folder, r"\(auto_map: modeling_x\.M\), which is not run unasked.*then pass trust_remote_code=True")


def test_weights_of_other_shapes_are_named_with_both(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 17}))
    words = r"'embeddings\.word_embeddings\.weight' has the shape \(20, 16\) in the checkpoint and \(17, 16\)"
    refuses(folder, words)
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    refuses(
        folder, r"\(32,\) in the checkpoint and \(48,\) in the model that config.json describes, and so with 5 others"
    )


def test_a_pooler_of_another_shape_matters_where_it_is_used(checkpoint, tmp_path):
    def cut(state):
        state["pooler.dense.weight"] = torch.ones(3, 16)

    folder = changed(checkpoint("hf_bert"), tmp_path / "m", cut)
    assert loaded(folder).space.dim == 16
    refuses(folder, r"'pooler\.dense\.weight' has the shape \(3, 16\)", options="#pool=pooler")


def test_shapes_of_a_pair_and_of_timm_are_named_too(checkpoint, tmp_path):
    def cut(state):
        state["text_projection.weight"] = torch.ones(5, 16)

    folder = changed(hf_clip(tmp_path / "a"), tmp_path / "b", cut)
    refuses(folder, r"'text_projection\.weight' has the shape \(5, 16\)", options="#modality=text")
    folder = shutil.copytree(checkpoint("timm_vit"), tmp_path / "t")
    state = load_file(folder / "model.safetensors")
    save_file({**state, "norm.weight": torch.ones(5)}, folder / "model.safetensors", metadata={"format": "pt"})
    refuses(folder, r"size mismatch for norm\.weight.*\[5\].*\[16\]", family="timm")


SMALL = {"vocab_size": 20, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def t5_like(family, folder, head="Model"):
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL)
    getattr(transformers, f"{family}{head}")(config).save_pretrained(folder)
    tokenizer(folder)
    return folder


@pytest.mark.parametrize("head", ["Model", "ForConditionalGeneration"])
@pytest.mark.parametrize("family", ["T5", "MT5", "UMT5", "LongT5"])
def test_the_encoder_that_the_message_advises_to_save_loads(tmp_path, family, head):
    import transformers

    whole, alone = t5_like(family, tmp_path / "whole", head), tmp_path / "alone"
    refuses(whole, f"is an encoder with a decoder.*{family}EncoderModel.from_pretrained", InputError)
    encoder_class = getattr(transformers, f"{family}EncoderModel")
    encoder_class.from_pretrained(whole).save_pretrained(alone)
    transformers.AutoTokenizer.from_pretrained(whole).save_pretrained(alone)
    own = transformers.AutoTokenizer.from_pretrained(alone)([TEXTS[0]], return_tensors="pt")
    with torch.inference_mode():
        states = encoder_class.from_pretrained(alone).eval()(
            input_ids=own["input_ids"], attention_mask=own["attention_mask"]
        )
    encoder = loaded(alone)
    found = to_numpy(encoder.encode(encoder.prepare([TEXTS[0]])).pooled)
    np.testing.assert_allclose(found, states.last_hidden_state.mean(dim=1).numpy(), atol=1e-5)
    config = json.loads((alone / "config.json").read_text())
    (alone / "config.json").write_text(json.dumps(config | {"is_encoder_decoder": True}))  # as published ones say
    assert loaded(alone).space.fingerprint == encoder.space.fingerprint


def test_an_encoder_without_its_tokenizer_says_so(tmp_path):
    import transformers

    transformers.T5EncoderModel(transformers.T5Config(**SMALL)).save_pretrained(tmp_path)
    refuses(tmp_path, "its vocabulary file is missing")


def test_a_pipeline_on_a_whole_t5_takes_its_encoder_as_the_library_does(tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    folder = t5_like("T5", tmp_path)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    lines = [{"name": one, "path": path, "type": f"sentence_transformers.models.{one}"} for path, one in kinds.items()]
    (touch(folder, "1_Pooling/config.json") / "modules.json").write_text(json.dumps(lines))
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    )
    wanted = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    encoder = loaded(folder)
    np.testing.assert_allclose(to_numpy(encoder.encode(encoder.prepare(TEXTS)).pooled), wanted, atol=1e-5)


def test_models_without_an_encoder_class_get_no_advice_that_leads_nowhere(tmp_path):
    from transformers import BartConfig, BartModel

    sizes = {f"{part}_{key}": value for part in ("encoder", "decoder")
             for key, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))}  # fmt: skip
    BartModel(BartConfig(vocab_size=20, d_model=16, max_position_embeddings=24, **sizes)).save_pretrained(tmp_path)
    tokenizer(tmp_path)
    refuses(tmp_path, r"\(bart\) is an encoder with a decoder.*no class for its encoder alone.*get_encoder", InputError)


def test_a_long_reason_is_not_cut(tmp_path, monkeypatch):
    import transformers

    folder = hf_bert(tmp_path / "m")
    reason = "\n".join(f"line {i} of what went wrong" for i in range(20))

    def fails(*_, **__):
        raise OSError(reason)

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fails)
    refuses(folder, "line 0 of what went wrong line 1 .* line 19 of what went wrong")
