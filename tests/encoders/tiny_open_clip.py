"""Tiny open_clip checkpoints with random weights, in its own format: its text tower and one of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny_encoders import WORDS

VISION = {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8}
OWN_TEXT = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
LEVELS = {"mean": [0.481, 0.458, 0.408], "std": [0.269, 0.261, 0.276]}


def _save(model: Any, config: dict[str, Any], folder: Path) -> Path:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": LEVELS}))
    return folder


def open_clip_own(folder: Path, *, seed: int = 0) -> Path:
    """A CLIP of width 8 with open_clip's own towers; its tokenizer comes with the library."""
    import open_clip
    import torch

    torch.manual_seed(seed)
    config = {"embed_dim": 8, "vision_cfg": VISION, "text_cfg": OWN_TEXT}
    return _save(open_clip.CLIP(**config), config, folder)


def open_clip_hf(folder: Path, *, seed: int = 3) -> Path:
    """A CLIP of width 8 whose text tower is a BERT, as in BiomedCLIP; tokenizer and its config lie in the folder."""
    import open_clip
    import torch
    from transformers import BertConfig, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24,
    ).save_pretrained(folder)  # fmt: skip
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder)
    torch.manual_seed(seed)
    text = {
        "hf_model_name": str(folder), "hf_tokenizer_name": "org/elsewhere", "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 24, "hf_model_pretrained": False,
    }  # fmt: skip
    config = {"embed_dim": 8, "vision_cfg": VISION, "text_cfg": text}
    model = open_clip.CustomTextCLIP(**config)
    return _save(model, {**config, "text_cfg": {**text, "hf_model_name": "org/elsewhere"}}, folder)


OPEN_CLIP = {"open_clip_own": open_clip_own, "open_clip_hf": open_clip_hf}
OPEN_CLIP_TABLE = {
    "open-clip-image": ("open_clip:{folder}#modality=image", "open_clip_own", 8),
    "open-clip-resolution": ("open_clip:{folder}#modality=image&resolution=48", "open_clip_own", 8),
    "open-clip-text": ("open_clip:local-dir:{folder}#modality=text", "open_clip_own", 8),
    "open-clip-text-prompt": ("open_clip:{folder}#modality=text&prompt=an x-ray of ", "open_clip_own", 8),
    "open-clip-unit": ("open_clip:{folder}#modality=image&norm=unit", "open_clip_own", 8),
    "open-clip-hf-image": ("open_clip:{folder}#modality=image", "open_clip_hf", 8),
    "open-clip-hf-text": ("open_clip:{folder}#modality=text", "open_clip_hf", 8),
}
