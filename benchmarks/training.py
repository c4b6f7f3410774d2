"""A step of contrastive training beside open_clip's CLIP of the same shapes: time, memory, and what loading costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Case, Row

SHAPES = {  # width, layers, heads, dim, side, patch; pairs of a batch
    "small": ({"width": 384, "layers": 8, "heads": 6, "dim": 256}, 128, 16, 32),
    "base": ({"width": 768, "layers": 12, "heads": 12, "dim": 512}, 224, 16, 16),
}
CONTEXT, VOCABULARY = 77, 49408
PEER, SEPARATE, SHARED = "open_clip CLIP", "separate", "shared"
SCRIPT = """
import json, sys
import torch
import open_clip
from benchmarks.training import step_of
torch.set_num_threads(int(sys.argv[3]))
def status(key): return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key)) / 1024
torch.nn.Linear(8, 8)(torch.zeros(1, 8)).sum().backward()
before = status("VmRSS")
step = step_of(sys.argv[1], sys.argv[2])
for _ in range(3): step()
print(json.dumps({"MiB": status("VmHWM") - before}))
"""


def step_of(name: str, size: str) -> Callable[[], float]:
    """A contestant's step: both passes forward, the loss, backward, and AdamW; the loss comes back."""
    shape, side, patch, batch = SHAPES[size]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, side, side, generator=rng).to(device)
    ids = torch.randint(1, VOCABULARY - 2, (batch, CONTEXT), generator=rng)
    ids[:, 0], ids[:, -1] = VOCABULARY - 2, VOCABULARY - 1  # start and end: all 77 places are used
    ids = ids.to(device)
    torch.manual_seed(0)
    network, loss_of = (_peer if name == PEER else _ours)(name, shape, side, patch)
    network.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(images, ids)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _peer(name: str, shape: Mapping[str, int], side: int, patch: int) -> tuple[Any, Callable[..., torch.Tensor]]:
    import open_clip

    width, head = shape["width"], shape["width"] // shape["heads"]
    vision = {"layers": shape["layers"], "width": width, "head_width": head, "patch_size": patch, "image_size": side}
    text = {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": width, "heads": shape["heads"],
            "layers": shape["layers"]}  # fmt: skip
    network, contrast = open_clip.CLIP(shape["dim"], vision, text), open_clip.ClipLoss()
    return network, lambda images, ids: contrast(*network(images, ids))


def _ours(name: str, shape: Mapping[str, int], side: int, patch: int) -> tuple[Any, Callable[..., torch.Tensor]]:
    from stitchkit.encoders.pair_network import ImageInput, TextInput
    from stitchkit.encoders.shared.network import SharedNetwork, SharedShape

    inputs = {"image": ImageInput(side, patch, 3), "text": TextInput(CONTEXT, VOCABULARY, VOCABULARY - 1)}
    network = SharedNetwork(SharedShape(**shape, shared=() if name == SEPARATE else None, inputs=inputs))
    objective = _objective(network.shape, equal_captions=False)

    def loss_of(images: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        outputs = {one: objective.outputs(network, one, batch) for one, batch in (("image", images), ("text", ids))}
        return objective.loss(outputs, _facts(torch.arange(len(images), device=images.device), outputs))

    return torch.nn.ModuleList([network, objective]), loss_of


def _objective(shape: Any, **settings: Any) -> Any:
    """The objective of recipes that name none."""
    from stitchkit.training.objectives import objective_type

    kind = objective_type("clip")
    return kind(kind.Settings(**settings), shape)


def _facts(captions: torch.Tensor, modalities: Iterable[str]) -> Any:
    """Facts about a batch whose rows have all modalities."""
    from stitchkit.training.objectives.objective import BatchFacts

    present = torch.ones(len(captions), dtype=torch.bool, device=captions.device)
    return BatchFacts(captions, dict.fromkeys(modalities, present))


def steps(size: str) -> Case:
    """One step of each."""
    batch = SHAPES[size][-1]

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        for name, loss in results.items():
            if not abs(loss - np.log(batch)) < 2:  # before anything is learnt
                raise AssertionError(f"{name} begins at {loss}")
        return {f"first loss, {name}": loss for name, loss in results.items()} | {"GFLOP, separate": _gflop(size)}

    return Case({name: step_of(name, size) for name in (PEER, SEPARATE, SHARED)}, check)


def _gflop(size: str) -> float:
    """Of the separate form's step, to be held against what the device can do."""
    from torch.utils.flop_counter import FlopCounterMode

    step = step_of(SEPARATE, size)
    with FlopCounterMode(display=False) as counted:
        step()
    return counted.get_total_flops() / 1e9


def memory(size: str) -> Case:
    """The most memory of three steps, in a process of its own each."""

    def run(name: str) -> dict[str, float]:
        told = subprocess.run(
            [sys.executable, "-c", SCRIPT, name, size, str(torch.get_num_threads())],
            check=True,
            capture_output=True,
            text=True,
        )
        return json.loads(told.stdout)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        peer = results[PEER]["MiB"]
        return {f"MiB, {name}": one["MiB"] for name, one in results.items()} | {
            f"of the peer's, {name}": one["MiB"] / peer for name, one in results.items()
        }

    return Case({name: (lambda name=name: run(name)) for name in (PEER, SEPARATE, SHARED)}, check)


def loading() -> Case:
    """Fetching a batch (crops of packed images, tokens of reports) beside the step of the smallest network on it."""
    from tokenizers import Tokenizer

    from stitchkit.datasets.phantoms import make_phantoms
    from stitchkit.encoders.pair_network import ImageInput, TextInput
    from stitchkit.encoders.shared.encoder import ImageBatch, TextBatch
    from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
    from stitchkit.training.loading import Batches
    from stitchkit.training.modality_data import ImageData, TextData
    from stitchkit.training.pairs import TrainingPairs, number_captions
    from stitchkit.training.recipes import SIZES
    from stitchkit.training.vocabularies import Vocabulary

    tiny, films = SIZES["tiny"], make_phantoms(512, seed=1, size=72)
    words = Vocabulary.of_captions(films.reports, 2048)
    reading = TextBatch(Tokenizer.from_str(words.text), tiny["context"], words.start, words.end)
    reading_images = ImageBatch(tiny["side"], 72, (0.5,), (0.25,))
    images = ImageData(films.images[..., None], np.arange(512), reading_images, seed=0, moving=True)
    data = {"image": images, "text": TextData(films.reports, reading)}
    pairs = TrainingPairs.complete(films.ids, data, number_captions(films.reports))
    batches = Batches(pairs, 128, 128, 0)
    text = TextInput(tiny["context"], words.size, words.end)
    inputs = {"image": ImageInput(tiny["side"], tiny["patch"], 1), "text": text}
    network = SharedNetwork(SharedShape(tiny["width"], tiny["layers"], tiny["heads"], tiny["dim"], inputs=inputs))
    objective = _objective(network.shape)
    optimizer = torch.optim.AdamW([*network.parameters(), *objective.parameters()], lr=1e-5)
    rows, (kept,), _ = batches.fetch(0)
    facts = pairs.facts(rows, torch.device("cpu"))

    def step() -> int:
        outputs = {
            name: objective.outputs(network, name, data[name].to_inputs(rows_of_one))
            for name, rows_of_one in kept.items()
        }
        optimizer.zero_grad(set_to_none=True)
        objective.loss(outputs, facts).backward()
        optimizer.step()
        return len(facts.captions)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        if results["step"] != 128 or len(results["fetching"][0]) != 128:
            raise AssertionError("a batch is not whole")
        return {}

    return Case({"step": step, "fetching": lambda: batches.fetch(1)}, check)


ROWS = [
    Row("training-step", "width 384, 8 layers, 128 px, 77 tokens, batch 32", lambda: steps("small")),
    Row("training-memory", "the same, most of three steps", lambda: memory("small"), quick=False),
    Row("training-step-base", "ViT-B/16, 224 px, 77 tokens, batch 16", lambda: steps("base"), quick=False),
    Row("training-memory-base", "the same, most of three steps", lambda: memory("base"), quick=False),
    Row("training-loading", "width 96, 3 layers, 64 px, 64 tokens, batch 128", loading),
]
