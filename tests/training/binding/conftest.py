"""Two modalities with tiny encoders of their own, on disk, and a recipe that takes seconds."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("peft", reason="tuning needs PEFT: pip install 'stitchkit[train]'")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"no a large small bright dark left right spot seen .".split()]  # noqa: SIM905
TEXTS = [
    f"{size} {tone} spot {side} ." for size in ("large", "small") for tone in ("bright", "dark")
    for side in ("left", "right")
]  # fmt: skip
ROWS = {"xray": 32, "skin": 20}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawing(number: int, rng: np.random.Generator) -> np.ndarray:
    """A grey square with a spot as the text of this number says, and noise."""
    size, tone, side = number // 4, number // 2 % 2, number % 2
    image = rng.normal(120, 6, (32, 32, 3))
    wide, across = (12 if size == 0 else 5), (4 if side == 0 else 18)
    image[8 : 8 + wide, across : across + wide] += 90 if tone == 0 else -90
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with two tables of images and texts, a list of texts, and checkpoints with random weights."""
    import timm
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("binding")
    rng = np.random.default_rng(0)
    for name, count in ROWS.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["id", "path", "text", "patient"])
            for i in range(count):
                Image.fromarray(drawing(i % 8, rng)).save(folder / f"{name}{i}.png")
                table.writerow([f"{name}{i}", f"{name}{i}.png", TEXTS[i % 8], f"{name} {i}"])
    (folder / "texts.txt").write_text(
        "\n".join([*TEXTS, "no spot seen .", "a spot .", "no spot left .", "dark ."]) + "\n"
    )
    for seed, name in enumerate(("bert-a", "bert-b")):
        torch.manual_seed(seed)
        settings = BertConfig(
            vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16, attention_probs_dropout_prob=0.5,
        )  # fmt: skip
        BertModel(settings, add_pooling_layer=False).save_pretrained(folder / name)
        BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder / name)
    torch.manual_seed(5)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, embed_dim=16, num_heads=2)
    arguments = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 16, "num_heads": 2}
    timm.models.save_for_hf(vit, str(folder / "vit"), model_config={"num_classes": 1000}, safe_serialization=True)
    config = json.loads((folder / "vit/config.json").read_text())
    (folder / "vit/config.json").write_text(json.dumps({**config, "model_args": arguments}))
    resnet = timm.create_model("test_resnet", num_classes=4)
    timm.models.save_for_hf(resnet, str(folder / "resnet"), model_config={"num_classes": 4}, safe_serialization=True)
    return folder


@pytest.fixture
def recipe(world, tmp_path):
    """Writes a recipe into the test's own folder; what is given stands beside, or instead of, its own."""

    def make(*, modalities=None, lora=(), training=(), **top):
        encoders = {
            "xray": {"encoder": f"timm:{world / 'vit'}", "text_encoder": f"hf:{world / 'bert-a'}"},
            "skin": {"encoder": f"timm:{world / 'resnet'}", "text_encoder": f"hf:{world / 'bert-b'}"},
        }
        said = {name: {**encoders.get(name, encoders["xray"]), "anchors": str(world / f"{name}.csv"), **given}
                for name, given in (modalities or {"xray": {}, "skin": {}}).items()}  # fmt: skip
        tables = {
            **{f"modalities.{name}": values for name, values in said.items()},
            "lora": {"rank": 2, **dict(lora)},
            "training": {"steps": 12, "batch": 8, "rate": 2e-4, "warmup": 2, "validate_every": 4, "held": 0.25,
                         "temperature": 0.02, **dict(training)},
        }  # fmt: skip
        first = {"kind": "binding", "texts": str(world / "texts.txt"), **top}
        lines = [f"{key} = {json.dumps(value)}" for key, value in first.items() if value is not None]
        for name, values in tables.items():
            lines += [
                f"[{name}]",
                *(f"{key} = {json.dumps(value).replace(': ', ' = ')}" for key, value in values.items()),
            ]
        path = tmp_path / "recipe.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return make
