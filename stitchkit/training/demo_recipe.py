"""The recipe of the embedded encoders: seeded, stops on steps, minutes on one thread.

``python -m stitchkit.training.demo_recipe [OUT]`` writes the three weight files (float16).
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from stitchkit.datasets.phantoms import FINDINGS, draw_phantoms, make_phantoms, write_report
from stitchkit.datasets.shapes import KINDS, make_shapes
from stitchkit.encoders.demo import WEIGHTS, TextNet, VisionNet, features_of, new_net, text_batch, vision_batch
from stitchkit.storage.atomic_writes import replace_file

__all__ = ["DemoRecipe", "train_demo_encoders"]


@dataclass(frozen=True, slots=True)
class DemoRecipe:
    """Everything that decides the demo weights."""

    seed: int = 2024
    # of phantoms, shapes, weights and batches
    dims: tuple[int, int, int] = (256, 128, 96)
    # widths of the general, the medical and the text space
    shapes: int = 16_000
    # pictures the general encoder sees
    general_steps: int = 1100
    # batches of ``batch`` shapes
    phantoms: int = 6_000
    # films the medical encoder sees
    noise: float = 0.05
    # chance that a finding is misreported in its labels
    medical_steps: int = 1000
    # batches of ``batch`` films
    batch: int = 64
    # images a step
    rate: float = 3e-3
    # peak learning rate of the vision encoders (one cycle)
    decay: float = 2e-2
    # weight decay of all three
    facts: int = 6_000
    # phantoms whose reports the text encoder reads
    wordings: int = 4
    # reports of each
    text_steps: int = 800
    # batches of ``text_batch`` pairs of reports
    text_batch: int = 256
    # pairs a step
    text_rate: float = 4e-3
    # peak learning rate of the text encoder
    temperature: float = 0.2
    # of the contrast between two wordings


def train_demo_encoders(recipe: DemoRecipe, out: Path) -> None:
    """Train the three encoders and write ``general``, ``medical`` and ``text`` ``.safetensors`` under ``out``.

    Parameters
    ----------
    recipe
        Everything that decides the weights.
    out
        Folder, made if absent.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, train in (("text", _train_text), ("general", _train_general), ("medical", _train_medical)):
        torch.manual_seed(recipe.seed)
        net, classes = train(recipe)
        _save(name, net, classes, out)


def _train_general(recipe: DemoRecipe) -> tuple[nn.Module, tuple[str, ...]]:
    """A network trained on shapes and their quadrants, and its classes; it never sees a chest."""
    images, labels = make_shapes(recipe.shapes, seed=recipe.seed)
    classes = tuple(f"{kind} {quadrant}" for kind in KINDS for quadrant in range(4))
    net = new_net("image", recipe.dims[0], len(classes))
    _train_vision(recipe, "general", net, images, torch.as_tensor(labels), recipe.general_steps)
    return net, classes


def _train_medical(recipe: DemoRecipe) -> tuple[nn.Module, tuple[str, ...]]:
    """A network trained on the findings that a (noisy) report names, and its classes."""
    films = make_phantoms(recipe.phantoms, seed=recipe.seed, noise=recipe.noise)
    net = new_net("image", recipe.dims[1], len(FINDINGS))
    reported = torch.as_tensor(films.reported).float()
    _train_vision(recipe, "medical", net, films.images, reported, recipe.medical_steps)
    return net, FINDINGS


def _train_vision(
    recipe: DemoRecipe,
    name: str,
    net: nn.Module,
    images: np.ndarray,
    labels: Tensor,
    steps: int,
) -> None:
    rng = np.random.default_rng([recipe.seed, 40])
    loss = nn.BCEWithLogitsLoss() if labels.is_floating_point() else nn.CrossEntropyLoss()
    rows = _batches(rng, len(images), recipe.batch)

    def step() -> Tensor:
        chosen = next(rows)
        batch = _shift_randomly(rng, images[chosen])
        logits = net.get_submodule("classify")(net(vision_batch(batch)))
        wrong: Tensor = loss(logits, labels[torch.as_tensor(chosen)])
        return wrong

    _descend(name, net.to(memory_format=torch.channels_last), step, steps, recipe.rate, recipe.decay)


def _shift_randomly(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
    """The batch moved by up to four pixels."""
    down, across = rng.integers(-4, 5, size=2)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4)), mode="edge")
    side = images.shape[1]
    return padded[:, 4 + down : 4 + down + side, 4 + across : 4 + across + side]


def _train_text(recipe: DemoRecipe) -> tuple[nn.Module, tuple[str, ...]]:
    """Two reports of the same facts lie closer than reports of different facts; no image is seen."""
    facts = draw_phantoms(recipe.facts, seed=recipe.seed)
    read = [[features_of(write_report(one, seed=recipe.seed + k)) for k in range(recipe.wordings)] for one in facts]
    net = TextNet(recipe.dims[2])
    rng = np.random.default_rng([recipe.seed, 41])
    rows = _batches(rng, len(read), recipe.text_batch)

    def step() -> Tensor:
        chosen = next(rows)
        pairs = [rng.choice(recipe.wordings, 2, replace=False) for _ in chosen]
        one, two = (net(text_batch([read[r][p[k]] for r, p in zip(chosen, pairs, strict=True)])) for k in (0, 1))
        one, two = (nn.functional.normalize(part - part.mean(0), dim=1) for part in (one, two))
        near = one @ two.T / recipe.temperature
        same = torch.arange(len(near))
        return nn.functional.cross_entropy(near, same) + nn.functional.cross_entropy(near.T, same)

    _descend("text", net, step, recipe.text_steps, recipe.text_rate, recipe.decay)
    return net, ()


def _batches(rng: np.random.Generator, n: int, batch: int) -> Iterator[np.ndarray]:
    """Rows of one batch after another, shuffled anew each round, for ever."""
    while True:
        order = rng.permutation(n)
        for start in range(0, n - batch + 1, batch):
            yield order[start : start + batch]


def _descend(name: str, net: nn.Module, step: Callable[[], Tensor], steps: int, rate: float, decay: float) -> None:
    """AdamW with one cycle of the learning rate; leaves the network in evaluation mode."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    net.train()
    for done in range(1, steps + 1):
        optimizer.zero_grad(set_to_none=True)
        loss = step()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if done % 100 == 0 or done == steps:
            sys.stderr.write(f"\rdemo:{name} step {done}/{steps} loss {loss.item():.3f} ")
    sys.stderr.write("\n")
    net.eval()


def _save(name: str, net: nn.Module, classes: tuple[str, ...], out: Path) -> None:
    """Weights in float16 with the few facts that loading needs."""
    keep: dict[str, Any] = {
        key: value.half().contiguous() for key, value in net.state_dict().items() if value.is_floating_point()
    }
    modality = "image" if isinstance(net, VisionNet) else "text"
    dim = net.get_submodule("project").out_features
    facts = {"name": name, "modality": modality, "dim": dim, "classes": classes}
    # one metadata key: safetensors writes several in no fixed order, and the file should repeat byte for byte
    replace_file(out / f"{name}.safetensors", save(keep, metadata={"demo": json.dumps(facts)}))


def main() -> None:
    """Train with the committed recipe on one thread."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_demo_encoders(DemoRecipe(), Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS)


if __name__ == "__main__":
    main()
