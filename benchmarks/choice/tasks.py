"""Tasks that need no data: the synthetic families, matched and read by heads, and small nets on digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import stitchkit as sk
from benchmarks.choice.cells import Cell, Draw, Kind
from benchmarks.choice.families import FAMILIES, FRESH
from benchmarks.choice.rivals import DRIVING, MATCHING
from stitchkit.metrics.auroc import auroc
from stitchkit.metrics.ranks import distinct_rows, true_ranks

SIZES = (10, 25, 50, 100, 300, 1200)
NET_SIZES = (10, 25, 50, 100, 300, 800)  # of 1,000 training images
HERE = Path(__file__).parent


def matching(family: str, n: int, seed: int) -> Draw:
    """A family's pairs, judged by what is found among 200 fresh ones; where texts are few, by balanced accuracy."""
    x, y = FAMILIES[family](n + FRESH, seed)
    return Draw(x[:n], y[:n], _named(x[n:], y[n:]))


def _named(x: np.ndarray, y: np.ndarray) -> Callable[[Any], float]:
    _, first, which = np.unique(distinct_rows(y), return_index=True, return_inverse=True)

    def judge(alignment: Any) -> float:
        if len(first) < 20:
            guessed = alignment.similarity(x, y[first]).argmax(axis=1)
            return float(np.mean([(guessed[which == k] == k).mean() for k in range(len(first))]))
        parts = [slice(a, a + 200) for a in range(0, len(x) - 199, 200)]
        ranks = [true_ranks(alignment.similarity(x[part], y[part]), np.arange(200)).middle for part in parts]
        return float(np.mean(np.concatenate(ranks) == 1))

    return judge


def driving(family: str, classes: int, n: int, seed: int) -> Draw:
    """A family's pairs and a random head of one class of ten (accuracy), or of fourteen findings (mean AUROC)."""
    x, y = FAMILIES[family](n + FRESH, seed)
    rng, one = np.random.default_rng(seed + 9), classes == 10
    weight = rng.normal(size=(y.shape[1], classes)) * (1 if one else 1 + 3 * rng.random(classes))
    head = head_of(weight, -y.mean(axis=0) @ weight, multiclass=one)
    wanted = head.scores(y[n:]).values

    def judge(alignment: Any) -> float:
        found = head.scores(alignment.to_target(x[n:])).values
        if one:
            return float(np.mean(found.argmax(axis=1) == wanted.argmax(axis=1)))
        present = wanted > np.quantile(wanted, 0.85, axis=0)
        return float(np.mean([auroc(found[:, c], present[:, c]) for c in range(classes)]))

    return Draw(x[:n], y[:n], judge, "head", head)


def head_of(weight: np.ndarray, bias: np.ndarray, *, multiclass: bool) -> sk.LinearHead:
    """A head of weights (d_t, c) over classes without names of their own."""
    space, names = sk.Space("array", len(weight), None), tuple(f"class {i}" for i in range(len(bias)))
    return sk.LinearHead(space, names, weight, bias, multiclass=multiclass)


@cache
def _digits() -> Any:
    from benchmarks.choice import nets

    return nets.digits()


def between_nets(i: int, n: int, seed: int) -> Draw:
    """The features of net ``i`` and of the next one, whose head names the digits of test images."""
    features, digit = _digits()
    source, target = features[i], features[(i + 1) % len(features)]
    head = head_of(target.weight, target.bias, multiclass=True)

    def judge(alignment: Any) -> float:
        return float(np.mean(head.scores(alignment.to_target(source.test)).values.argmax(axis=1) == digit))

    rows = np.random.default_rng(seed).permutation(len(source.train))[:n]
    return Draw(source.train[rows], target.train[rows], judge, "head", head)


def _cells(name: str, draw: Callable[..., Draw], sizes: tuple[int, ...]) -> list[Cell]:
    return [Cell(name, n, partial(draw, n)) for n in sizes]


def kinds() -> dict[str, Kind]:
    """The kinds that need no data, by name."""
    sources = (HERE / "tasks.py", HERE / "families.py")
    match = [cell for one in FAMILIES for cell in _cells(one, partial(matching, one), SIZES)]
    head = [
        cell
        for one in FAMILIES
        for classes in (10, 14)
        if "texts" not in one
        for cell in _cells(f"{one}, {classes} classes", partial(driving, one, classes), SIZES)
    ]
    nets = [
        cell
        for i in range(6)
        for cell in _cells(f"digits, net {i + 1} to another", partial(between_nets, i), NET_SIZES)
    ]
    found = (
        Kind("match", "recall@1 among 200; balanced accuracy where texts are few", tuple(match), MATCHING, sources),
        Kind("head", "accuracy of ten classes, mean AUROC of fourteen findings", tuple(head), DRIVING, sources),
        Kind("nets", "accuracy of a net's head", tuple(nets), DRIVING, (HERE / "tasks.py", HERE / "nets.py")),
    )
    return {one.name: one for one in found}
