"""Checkpoint folders of other libraries: tiny ones in their own formats, and the encoders that read them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mutations import Change, Target, change_arrays, change_bytes, change_json, change_tensors
from PIL import Image

import stitchkit as sk
from stitchkit.encoders.folder_kinds import describe_folder

TESTS = Path(__file__).parents[1]
FEW = 5  # examples of a target that loads a model each time
_ITEMS = {"image": [Image.linear_gradient("L"), Image.new("RGB", (60, 40), 9)], "text": ["no effusion seen .", "a"]}
_SETTINGS: tuple[Change, ...] = (change_bytes, change_json, change_json, change_json)
_WEIGHTS: tuple[Change, ...] = (change_bytes, change_tensors)
POOLING = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
DENSE = {"in_features": 16, "out_features": 6, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
PIPELINE = {"prompts": {"query": "a "}, "default_prompt_name": "query", "truncate_dim": 4}


def of_tests(place: str) -> ModuleType:
    """A module of another folder of the tests."""
    path = TESTS / place
    if path.stem not in sys.modules:
        if str(path.parent) not in sys.path:  # what it imports lies beside it
            sys.path.append(str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[path.stem]


def _tiny(builder: str) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        of_tests("encoders/tiny_encoders.py")
        return of_tests("encoders/tiny_pairs.py").ALL_BUILDERS[builder](folder / "m")

    return make


def _put(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content), "utf-8")


def _pipeline(folder: Path) -> None:
    """A sentence-transformers pipeline of a BERT, a pooling, a dense layer and a norm."""
    import torch
    from safetensors.torch import save_file

    _tiny("hf_bert")(folder)
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    lines = [{"path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
             for i, kind in enumerate(kinds)]  # fmt: skip
    files = {"modules.json": lines, "sentence_bert_config.json": {"max_seq_length": 20, "do_lower_case": True},
             "config_sentence_transformers.json": PIPELINE, "1_Pooling/config.json": POOLING,
             "2_Dense/config.json": DENSE}  # fmt: skip
    for name, content in files.items():
        _put(folder / "m", name, content)
    state = torch.nn.Linear(16, 6).state_dict()
    save_file({f"linear.{key}": value for key, value in state.items()}, folder / "m" / "2_Dense" / "model.safetensors")


def _adapter(folder: Path) -> None:
    _put(folder / "m", "adapter_config.json", {"base_model_name_or_path": "org/name", "peft_type": "LORA", "r": 8})


def _loaded(family: str, *options: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        return [_use(f"{family}:{folder / 'm'}{option}") for option in options or ("",)]

    return read


def _use(name: str) -> object:
    encoder = sk.load_encoder(name, device="cpu")
    vectors = encoder.encode(encoder.prepare(_ITEMS[encoder.modality])).pooled
    return vectors, encoder.classifier() if hasattr(encoder, "classifier") and encoder.modality == "image" else None


def _checkpoint(make: Callable[[Path], object], read: Callable[[Path], object]) -> Target:
    return Target(make, read, {"*.json": _SETTINGS, "*.safetensors": _WEIGHTS}, FEW)


def _demo(folder: Path) -> None:
    from stitchkit.encoders.demo import WEIGHTS

    shutil.copy(WEIGHTS / "text.safetensors", folder)


def _use_demo(folder: Path) -> object:
    from stitchkit.encoders.demo import read_encoder

    encoder = read_encoder(folder / "text.safetensors")
    return encoder.encode(encoder.prepare(_ITEMS[encoder.modality])).pooled


CHECKPOINTS = {
    "demo weights": Target(_demo, _use_demo, {"*.safetensors": (change_bytes, change_arrays, change_arrays)}, FEW),
    "hf texts": _checkpoint(_tiny("hf_bert"), _loaded("hf")),
    "hf images": _checkpoint(_tiny("hf_vit"), _loaded("hf")),
    "hf maps": _checkpoint(_tiny("hf_resnet"), _loaded("hf")),
    "hf pairs": _checkpoint(_tiny("hf_clip"), _loaded("hf", "#modality=image", "#modality=text")),
    "sentence pipelines": _checkpoint(_pipeline, _loaded("hf")),
    "timm images": _checkpoint(_tiny("timm_vit"), _loaded("timm")),
    "adapters": Target(_adapter, lambda folder: describe_folder(folder / "m"), {"*.json": _SETTINGS}),
}
