"""Tiny checkpoints of sentence-transformers with random weights, saved by the library itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_encoders import hf_bert

PROMPTS = {"query": "the lung . ", "passage": "left . "}


def _modules() -> Any:
    try:
        from sentence_transformers.sentence_transformer import modules
    except ImportError:  # before version 6
        from sentence_transformers import models as modules
    return modules


def st_bert(folder: Path, *, seed: int = 0, pool: str = "mean", default: str | None = None, **settings: Any) -> Path:
    """A BERT of width 16 with a mean, a Dense of width 6 and a Normalize, and two prompts."""
    import torch
    from sentence_transformers import SentenceTransformer

    kinds = _modules()
    bert = kinds.Transformer(str(hf_bert(folder.parent / f"{folder.name}-bert", seed=seed)))
    torch.manual_seed(seed)
    model = SentenceTransformer(
        modules=[bert, kinds.Pooling(16, pooling_mode=pool), kinds.Dense(16, 6), kinds.Normalize()],
        prompts=PROMPTS, default_prompt_name=default, device="cpu", **settings,
    )  # fmt: skip
    model.save(str(folder), create_model_card=False)
    return folder


def st_static(folder: Path) -> Path:
    """A table of word vectors and no transformer, which hf: does not read."""
    import torch
    from sentence_transformers import SentenceTransformer
    from tiny_onnx import tokenizer_json
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(tokenizer_json(folder.parent / "words") / "tokenizer.json"))
    static = _modules().StaticEmbedding(tokenizer, embedding_dim=10)
    SentenceTransformer(modules=[static], device="cpu").save(str(folder), create_model_card=False)
    return folder


SENTENCES = {"st_bert": st_bert, "st_static": st_static}
SENTENCE_TABLE = {
    "st": ("st:{folder}", "st_bert", 6),
    "st-prompt": ("st:local-dir:{folder}#prompt=the heart . ", "st_bert", 6),
    "st-prompt-name": ("st:{folder}#prompt_name=query", "st_bert", 6),
    "st-static-unit": ("st:{folder}#norm=unit", "st_static", 10),
}
