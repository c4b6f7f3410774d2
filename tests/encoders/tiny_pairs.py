"""Tiny CLIP-like checkpoints with random weights, written in transformers' own format, added to the common table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tiny_encoders import BUILDERS, TABLE, WORDS
from tiny_files import FILE_TABLE, FILES
from tiny_onnx import ONNX, ONNX_TABLE
from tiny_open_clip import OPEN_CLIP, OPEN_CLIP_TABLE
from tiny_sentences import SENTENCE_TABLE, SENTENCES
from tiny_xrays import XRAY_TABLE, XRAYS

from stitchkit.core.arrays import to_numpy

HALF = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {**HALF, "max_position_embeddings": 24}
PIXELS = {**HALF, "image_size": 32, "patch_size": 8}
LETTERS = [chr(code) for code in range(97, 123)]
START, END = "<|startoftext|>", "<|endoftext|>"


def _words(**settings: Any) -> Any:
    """The lower-casing word tokenizer of the other tiny encoders."""
    from transformers import BertTokenizerFast

    return BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}, **settings)


def _letters() -> Any:
    """A CLIP tokenizer that has merged nothing: a token for every letter."""
    from transformers import CLIPTokenizer

    pieces = [*LETTERS, ".", *[letter + "</w>" for letter in LETTERS], ".</w>", START, END]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=40)


def _save(model: Any, images: Any, tokenizer: Any, kind: str, folder: Path) -> Path:
    """The checkpoint with the processor of its own class."""
    import transformers

    model.save_pretrained(folder)
    getattr(transformers, kind)(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def hf_clip(folder: Path, *, seed: int = 0) -> Path:
    """A CLIP of width 8 that takes 40 tokens and reads the end token."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(seed)
    tokenizer = _letters()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={**HALF, "max_position_embeddings": 40, "vocab_size": len(tokenizer), "projection_dim": 8, **ends},
        vision_config={**PIXELS, "projection_dim": 8}, projection_dim=8,
    )  # fmt: skip
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return _save(CLIPModel(config), images, tokenizer, "CLIPProcessor", folder)


def hf_siglip(folder: Path, *, mask: bool = False) -> Path:
    """A SigLIP, which reads the last of 24 positions; its tokenizer gives no mask unless asked to."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    torch.manual_seed(0)
    ends = {"bos_token_id": 2, "eos_token_id": 3}
    config = SiglipConfig(
        text_config={**TEXT, "vocab_size": len(WORDS), "projection_size": 16, **ends}, vision_config=PIXELS
    )
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    tokenizer = _words(model_max_length=24, model_input_names=["input_ids", "attention_mask"][: 1 + mask])
    return _save(SiglipModel(config), images, tokenizer, "SiglipProcessor", folder)


def hf_siglip2(folder: Path) -> Path:
    """A SigLIP 2 of native shapes: patches of one image, padded, with the mask and the shape."""
    import torch
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Tokenizer

    torch.manual_seed(0)
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", ".", *LETTERS]
    tokenizer = Siglip2Tokenizer(
        vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], padding_side="right",
        model_input_names=["input_ids"],
    )  # fmt: skip
    config = Siglip2Config(
        text_config={**HALF, "max_position_embeddings": 64, "vocab_size": len(pieces), "projection_size": 16,
                     "bos_token_id": 2, "eos_token_id": 1},
        vision_config={**HALF, "num_patches": 16, "patch_size": 8},
    )  # fmt: skip
    images = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    return _save(Siglip2Model(config), images, tokenizer, "Siglip2Processor", folder)


def hf_chinese_clip(folder: Path) -> Path:
    """A Chinese CLIP: a BERT without pooler, whose first token is projected."""
    import torch
    from transformers import ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel

    torch.manual_seed(0)
    config = ChineseCLIPConfig(
        text_config={**TEXT, "vocab_size": len(WORDS)}, vision_config={**PIXELS, "projection_dim": 8}, projection_dim=8
    )
    images = ChineseCLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    return _save(ChineseCLIPModel(config), images, _words(), "ChineseCLIPProcessor", folder)


def hf_altclip(folder: Path) -> Path:
    """An AltCLIP: a RoBERTa and a second projection inside the text encoder."""
    import torch
    from transformers import AltCLIPConfig, AltCLIPModel, CLIPImageProcessor

    torch.manual_seed(0)
    config = AltCLIPConfig(
        text_config={**TEXT, "vocab_size": len(WORDS), "project_dim": 8, "pad_token_id": 0},
        vision_config={**PIXELS, "projection_dim": 8}, projection_dim=8,
    )  # fmt: skip
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return _save(AltCLIPModel(config), images, _words(), "AltCLIPProcessor", folder)


def hf_dual(folder: Path) -> Path:
    """A ViT and a BERT joined by two projections of their poolers' outputs."""
    import torch
    from transformers import (
        BertConfig,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    torch.manual_seed(0)
    config = VisionTextDualEncoderConfig(
        vision_config=ViTConfig(**PIXELS, initializer_range=0.3).to_dict(),
        text_config=BertConfig(**TEXT, vocab_size=len(WORDS), initializer_range=0.3).to_dict(),
        projection_dim=8,
    )
    images = ViTImageProcessor(size={"height": 32, "width": 32})
    return _save(VisionTextDualEncoderModel(config), images, _words(), "VisionTextDualEncoderProcessor", folder)


PAIRS = {  # builder, width of its vectors
    "hf_clip": (hf_clip, 8),
    "hf_siglip": (hf_siglip, 16),
    "hf_siglip2": (hf_siglip2, 16),
    "hf_chinese_clip": (hf_chinese_clip, 8),
    "hf_altclip": (hf_altclip, 8),
    "hf_dual": (hf_dual, 8),
}
ALL_BUILDERS = {
    **BUILDERS,
    **FILES,
    **ONNX,
    **OPEN_CLIP,
    **SENTENCES,
    **XRAYS,
    **{name: build for name, (build, _) in PAIRS.items()},
}
ALL_TABLE = {
    **TABLE,
    **{
        f"{name.replace('_', '-')}-{modality}": (f"hf:{{folder}}#modality={modality}", name, dim)
        for name, (_, dim) in PAIRS.items()
        for modality in ("image", "text")
    },
    **FILE_TABLE,
    **ONNX_TABLE,
    **OPEN_CLIP_TABLE,
    **SENTENCE_TABLE,
    **XRAY_TABLE,
    "hf-clip-resolution": ("hf:{folder}#modality=image&resolution=48", "hf_clip", 8),
    "hf-siglip-resolution": ("hf:{folder}#modality=image&resolution=48", "hf_siglip", 16),
    "hf-clip-text-unit": ("hf:local-dir:{folder}#modality=text&norm=unit", "hf_clip", 8),
}


def half(folder: Path, modality: str, options: str = "", **settings: Any) -> Any:
    """The image or the text encoder of a pair."""
    from stitchkit.encoders import load_encoder

    return load_encoder(f"hf:{folder}#modality={modality}{options}", device="cpu", **settings)


def vectors(encoder: Any, items: Any) -> np.ndarray:
    """Vectors (b, d) of decoded items."""
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled)


def changed(folder: Path, copy: Path, change: Callable[[dict], object]) -> Path:
    """A copy of a checkpoint whose weights went through ``change``."""
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folder, copy)
    state = load_file(copy / "model.safetensors")
    change(state)
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    return copy
