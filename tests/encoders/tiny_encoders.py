"""Tiny checkpoints with random weights, written in each library's own format, and the table of tests over them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, *"a the heart is large lung lungs are clear no effusion seen left right .".split()]  # noqa: SIM905
TEXTS = ["the heart is large .", "no", "lungs are clear . no effusion seen .", "left lung"]


def timm_vit(folder: Path, *, num_classes: int = 3, seed: int = 0) -> Path:
    """A timm vision transformer of width 16, two layers, 32 x 32 pixels."""
    import timm
    import torch

    torch.manual_seed(seed)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, num_classes=num_classes, depth=2, embed_dim=16, num_heads=2
    )
    labels = {"label_names": [f"finding {i}" for i in range(num_classes)]} if num_classes else {}
    timm.models.save_for_hf(
        model, str(folder), model_config={"num_classes": num_classes, **labels}, safe_serialization=True
    )
    return folder


def timm_resnet(folder: Path) -> Path:
    """timm's own smallest residual network, with feature maps instead of tokens, without class names."""
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=4)
    timm.models.save_for_hf(model, str(folder), model_config={"num_classes": 4}, safe_serialization=True)
    return folder


def _save_image_model(model: object, folder: Path) -> Path:
    from transformers import ViTImageProcessor

    model.save_pretrained(folder)  # type: ignore[attr-defined]
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def hf_vit(folder: Path, *, seed: int = 0) -> Path:
    """A transformers ViT for image classification; its classifier reads the class token."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        id2label={0: "no finding", 1: "effusion", 2: "edema"}, label2id={"no finding": 0, "effusion": 1, "edema": 2},
    )  # fmt: skip
    return _save_image_model(ViTForImageClassification(config), folder)


def hf_swin(folder: Path) -> Path:
    """A Swin transformer for image classification: no class token, its classifier reads the pooler."""
    import torch
    from transformers import SwinConfig, SwinForImageClassification

    torch.manual_seed(0)
    config = SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=2, num_labels=3
    )
    return _save_image_model(SwinForImageClassification(config), folder)


def hf_dinov2(folder: Path) -> Path:
    """DINOv2 for image classification: its classifier reads class token and patch mean, side by side."""
    import torch
    from transformers import Dinov2Config, Dinov2ForImageClassification

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8, num_labels=3
    )
    return _save_image_model(Dinov2ForImageClassification(config), folder)


def hf_resnet(folder: Path) -> Path:
    """A transformers ResNet: feature maps instead of tokens."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=3)
    return _save_image_model(ResNetForImageClassification(config), folder)


def tokenizer(folder: Path) -> None:
    """A lower-casing word tokenizer of twenty words."""
    from transformers import BertTokenizerFast

    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder)


def hf_bert(folder: Path, *, seed: int = 0, pooler: bool = True) -> Path:
    """A BERT of width 16 that takes 24 tokens."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=pooler).save_pretrained(folder)
    tokenizer(folder)
    return folder


def hf_roberta(folder: Path) -> Path:
    """A RoBERTa, which counts positions from after the padding index: 24 positions hold 22 tokens."""
    import torch
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, pad_token_id=1,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(folder)
    tokenizer(folder)
    return folder


def hf_gpt2(folder: Path, *, side: str = "left") -> Path:
    """A GPT-2 of width 16 that takes 24 tokens; its tokenizer pads on the left, as those of decoders do."""
    import torch
    from transformers import BertTokenizerFast, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(WORDS), n_positions=24, n_embd=16, n_layer=2, n_head=2, bos_token_id=2, eos_token_id=3,
        initializer_range=0.2,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}, padding_side=side).save_pretrained(folder)
    return folder


PYTHON = """
import numpy as np
import torch
from PIL import Image

from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space


def thumbnails(items):
    grey = [Image.fromarray(np.asarray(item)).convert("L").resize((4, 4)) for item in items]
    return np.stack([np.asarray(image).ravel() / 255 for image in grey])


def lengths(items):
    return [[len(text), text.count("a") + 1] for text in items]


lengths.modality = "text"


class Thumbnails(torch.nn.Module):
    def __init__(self, dim="5", weights=""):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(16, int(dim))
        self.drop = torch.nn.Dropout(0.5)

    def prepare(self, items):
        return torch.as_tensor(thumbnails(items), dtype=torch.float32)

    def forward(self, batch):
        return self.drop(self.linear(batch))


class Whole:
    name = "mine"
    modality = "image"
    space = Space("mine", 16, "0123456789abcdef")

    def prepare(self, items):
        return torch.as_tensor(thumbnails(items), dtype=torch.float32)

    def encode(self, batch):
        return Encoded(batch)


def load_thumbnails(dim):
    return Thumbnails(dim)


bare = torch.nn.Linear(2, 2)
number = 3


class Speech:
    modality = "speech"

    def __call__(self, items):
        return np.ones((len(items), 2))


def flat(items):
    return np.ones(len(items))


def nan(items):
    return np.full((len(items), 2), np.nan)
"""


def python_file(folder: Path) -> Path:
    """A folder with ``mine.py``: encoders of every kind that the contract allows, and some that it does not."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(textwrap.dedent(PYTHON))
    return folder


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "timm_vit": timm_vit,
    "timm_resnet": timm_resnet,
    "hf_vit": hf_vit,
    "hf_swin": hf_swin,
    "hf_dinov2": hf_dinov2,
    "hf_resnet": hf_resnet,
    "hf_bert": hf_bert,
    "hf_roberta": hf_roberta,
    "hf_gpt2": hf_gpt2,
    "python_file": python_file,
}

# a name with {folder} in it, the checkpoint it needs, width of its vectors
TABLE = {
    "timm-local-dir": ("timm:local-dir:{folder}", "timm_vit", 16),
    "timm-path": ("timm:{folder}", "timm_vit", 16),
    "timm-resolution": ("timm:{folder}#resolution=48", "timm_vit", 16),
    "timm-maps": ("timm:local-dir:{folder}", "timm_resnet", 96),
    "hf-vit-cls": ("hf:{folder}", "hf_vit", 16),
    "hf-vit-mean": ("hf:local-dir:{folder}#pool=mean", "hf_vit", 16),
    "hf-vit-layer": ("hf:{folder}#pool=cls&layer=1", "hf_vit", 16),
    "hf-swin-mean": ("hf:{folder}", "hf_swin", 16),
    "hf-swin-pooler": ("hf:{folder}#pool=pooler", "hf_swin", 16),
    "hf-dinov2": ("hf:{folder}", "hf_dinov2", 16),
    "hf-maps": ("hf:{folder}", "hf_resnet", 16),
    "hf-maps-pooler": ("hf:{folder}#pool=pooler", "hf_resnet", 16),
    "hf-bert-mean": ("hf:{folder}", "hf_bert", 16),
    "hf-bert-cls": ("hf:local-dir:{folder}#pool=cls", "hf_bert", 16),
    "hf-bert-pooler": ("hf:{folder}#pool=pooler", "hf_bert", 16),
    "hf-bert-layer": ("hf:{folder}#layer=0", "hf_bert", 16),
    "hf-bert-prompt": ("hf:{folder}#prompt=the lung .", "hf_bert", 16),
    "hf-roberta": ("hf:{folder}", "hf_roberta", 16),
    "hf-gpt2-last": ("hf:{folder}", "hf_gpt2", 16),
    "hf-gpt2-mean": ("hf:{folder}#pool=mean", "hf_gpt2", 16),
    "hf-gpt2-layer": ("hf:{folder}#pool=last&layer=1", "hf_gpt2", 16),
    "hf-vit-resolution": ("hf:{folder}#resolution=48", "hf_vit", 16),
    "python-function": ("python:{folder}/mine.py:thumbnails", "python_file", 16),
    "python-texts": ("python:{folder}/mine.py:lengths", "python_file", 2),
    "python-module": ("python:{folder}/mine.py:Thumbnails#dim=7", "python_file", 7),
    "python-loader": ("python:{folder}/mine.py:load_thumbnails#dim=3", "python_file", 3),
    "python-encoder": ("python:{folder}/mine.py:Whole", "python_file", 16),
}
