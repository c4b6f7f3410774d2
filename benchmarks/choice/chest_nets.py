"""Small nets on PneumoniaMNIST: the features of one drive the head of another.

``pneumoniamnist/pneumoniamnist.npz`` in the folder of real data: paediatric chest films of 28 x 28 pixels, normal or
pneumonia. The nets of :mod:`benchmarks.choice.nets` are trained on 1,500 training films, anchors are drawn from the
others, and the validation films are judged by balanced accuracy. The archive names no patients: films count alone.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

import stitchkit as sk
from benchmarks.choice import nets
from benchmarks.choice.cells import Cell, Draw, Kind
from benchmarks.choice.rivals import DRIVING
from benchmarks.choice.tasks import head_of

SIZES, TRAINED, STRIDE = (10, 25, 50, 100), 1500, 4
SIDES = ("train", "val")


@cache
def chest(data: Path) -> tuple[list[nets.Features], np.ndarray]:
    """Features of the six nets, and the label of each validation film."""
    with np.load(data / "pneumoniamnist" / "pneumoniamnist.npz") as archive:
        films = {side: torch.tensor(archive[f"{side}_images"][:, None] / 255, dtype=torch.float32) for side in SIDES}
        label = {side: archive[f"{side}_labels"].ravel().astype(np.int64) for side in SIDES}
    order = np.random.default_rng(0).permutation(len(films["train"]))
    trained, anchors = order[:TRAINED], order[TRAINED:]
    inputs = films["train"][trained], label["train"][trained], films["train"][anchors], films["val"]
    return nets.six(*inputs, stride=STRIDE), label["val"]


def between(data: Path, i: int, n: int, seed: int) -> Draw:
    """The features of net ``i`` and of the next one, whose head reads the validation films."""
    features, label = chest(data)
    source, target = features[i], features[(i + 1) % len(features)]
    head = head_of(target.weight, target.bias, multiclass=True)

    def judge(alignment: sk.Alignment) -> float:
        guessed = head.scores(alignment.to_target(source.test)).values.argmax(axis=1)
        return float(np.mean([(guessed[label == c] == c).mean() for c in np.unique(label)]))

    rows = np.random.default_rng(seed).permutation(len(source.train))[:n]
    return Draw(source.train[rows], target.train[rows], judge, "head", head)


def kind(data: Path) -> Kind:
    """Cells of the six pairs of nets."""
    names = [f"{blocks} -> {nets.NETS[(i + 1) % 6][0]} blocks, pair {i + 1}" for i, (blocks, _) in enumerate(nets.NETS)]
    cells = [Cell(name, n, partial(between, data, i, n)) for i, name in enumerate(names) for n in SIZES]
    sources = (Path(__file__), Path(nets.__file__))
    return Kind("pneumonia", "balanced accuracy of a net's head", tuple(cells), DRIVING, sources)
