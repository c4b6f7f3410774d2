"""Tiny ONNX models with random weights, written by the library onnx, with tokenizer or image processor beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_encoders import SPECIAL, WORDS

WIDTH = 12


def _graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, np.ndarray]) -> Any:
    import onnx
    from onnx import helper, numpy_helper

    tensors = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def save(model: Any, file: Path, *, external: bool = False) -> Path:
    """The model on disk, with its weights inside or in a file beside it."""
    import onnx

    file.parent.mkdir(parents=True, exist_ok=True)
    data = {"save_as_external_data": True, "location": f"{file.name}.data", "size_threshold": 100} if external else {}
    onnx.save(model, file, **data)
    return file


def text_model(
    outputs: Sequence[str] = ("last_hidden_state",), *, seed: int = 0, batch: int | str = "b", length: int | str = "t",
    mask: bool = True, types: bool = True, width: int = WIDTH, words: int = len(WORDS),
) -> Any:  # fmt: skip
    """Token vectors (b, t, d) that know the mean of their text, and their projected mean (b, d) as ``sentence``."""
    from onnx import TensorProto, helper

    rng = np.random.default_rng(seed)
    weights = {
        "table": rng.normal(size=(words, width)).astype(np.float32),
        "kinds": rng.normal(size=(2, width)).astype(np.float32),
        "weight": rng.normal(size=(width, width)).astype(np.float32),
        "project": rng.normal(size=(width, width)).astype(np.float32),
        "axis": np.array([2]),
        "tokens": np.array([1]),
    }
    ids, ones = ["input_ids"], "attention_mask"
    nodes = [helper.make_node("Gather", ["table", *ids], ["plain"])]
    if types:
        nodes += [helper.make_node("Gather", ["kinds", "token_type_ids"], ["kind"]),
                  helper.make_node("Add", ["plain", "kind"], ["vectors"])]  # fmt: skip
    else:
        nodes += [helper.make_node("Identity", ["plain"], ["vectors"])]
    if not mask:
        ones = "ones"
        nodes += [helper.make_node("Sub", ["input_ids", "input_ids"], ["zeros"]),
                  helper.make_node("Add", ["zeros", "one"], ["ones"])]  # fmt: skip
        weights["one"] = np.array([1])
    nodes += [
        helper.make_node("Cast", [ones], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["floats", "axis"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"]),
        helper.make_node("ReduceSum", ["column", "tokens"], ["count"]),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Add", ["vectors", "mean"], ["mixed"]),
        helper.make_node("MatMul", ["mixed", "weight"], ["turned"]),
        helper.make_node("Tanh", ["turned"], ["last_hidden_state"]),
        helper.make_node("MatMul", ["mean", "project"], ["projected"]),
        helper.make_node("Squeeze", ["projected", "tokens"], ["sentence"]),
    ]
    names = ["input_ids", *["attention_mask"] * mask, *["token_type_ids"] * types]
    takes = [helper.make_tensor_value_info(one, TensorProto.INT64, [batch, length]) for one in names]
    shapes = {"last_hidden_state": [batch, length, width], "sentence": [batch, width], "column": [batch, length, 1],
              "count": [batch, 1, 1], "floats": [batch, length]}  # fmt: skip
    gives = [helper.make_tensor_value_info(one, TensorProto.FLOAT, shapes[one]) for one in outputs]
    return _graph(nodes, takes, gives, weights)


def image_model(
    outputs: Sequence[str] = ("pooled",), *, seed: int = 0, batch: int | str = "b", width: int = WIDTH
) -> Any:
    """A strided convolution: its map (b, d, 4, 4), the map as tokens (b, 16, d), and its mean (b, d)."""
    from onnx import TensorProto, helper

    rng = np.random.default_rng(seed)
    weights = {"kernel": rng.normal(size=(width, 3, 8, 8)).astype(np.float32) / 8, "flat": np.array([0, width, -1])}
    nodes = [
        helper.make_node("Conv", ["pixel_values", "kernel"], ["turned"], strides=[8, 8]),
        helper.make_node("Relu", ["turned"], ["map"]),
        helper.make_node("Reshape", ["map", "flat"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["tokens"], ["pooled"], axes=[1], keepdims=0),
    ]
    takes = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [batch, 3, 32, 32])]
    shapes = {"map": [batch, width, 4, 4], "tokens": [batch, 16, width], "pooled": [batch, width]}
    gives = [helper.make_tensor_value_info(one, TensorProto.FLOAT, shapes[one]) for one in outputs]
    return _graph(nodes, takes, gives, weights)


def tokenizer_json(folder: Path, *, words: Sequence[str] = WORDS) -> Path:
    """A ``tokenizer.json`` of the library tokenizers, and the length that its model takes."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 24, "cls_token": "[CLS]"}))
    return folder


def image_processor(folder: Path) -> Path:
    from transformers import ViTImageProcessor

    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def onnx_text(folder: Path, **settings: Any) -> Path:
    save(text_model(**settings), folder / "model.onnx")
    return tokenizer_json(folder)


def onnx_two(folder: Path) -> Path:
    """Two outputs, in the place and with the weights beside it as Hugging Face's exports have them."""
    save(text_model(("last_hidden_state", "sentence"), seed=1), folder / "onnx" / "model.onnx", external=True)
    return tokenizer_json(folder)


def onnx_image(folder: Path, **settings: Any) -> Path:
    save(image_model(**settings), folder / "model.onnx")
    return image_processor(folder)


def onnx_tokens(folder: Path) -> Path:
    return onnx_image(folder, outputs=("tokens",), seed=2)


ONNX = {"onnx_text": onnx_text, "onnx_two": onnx_two, "onnx_image": onnx_image, "onnx_tokens": onnx_tokens}
ONNX_TABLE = {
    "onnx-text-mean": ("onnx:{folder}", "onnx_text", WIDTH),
    "onnx-text-cls": ("onnx:local-dir:{folder}#pool=cls", "onnx_text", WIDTH),
    "onnx-text-prompt": ("onnx:{folder}#prompt=the lung .&norm=unit", "onnx_text", WIDTH),
    "onnx-text-output": ("onnx:{folder}#output=sentence", "onnx_two", WIDTH),
    "onnx-text-chosen": ("onnx:{folder}#output=last_hidden_state&pool=mean", "onnx_two", WIDTH),
    "onnx-image-output": ("onnx:{folder}", "onnx_image", WIDTH),
    "onnx-image-mean": ("onnx:{folder}", "onnx_tokens", WIDTH),
}
