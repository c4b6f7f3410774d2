"""``python -m benchmarks.choice [match] [head] [nets] [--sizes 10 25 50] [--draws 12]``: the choice, task by task.

For each task and number of anchors: the mean over draws that ``sk.align`` reaches on fresh pairs, and that of the best
single solver, which is found after the fact. ``match`` is recall@1 among 200 (balanced accuracy where texts are few),
``head`` what random linear heads read (accuracy of one of ten classes, mean AUROC of fourteen), ``nets`` the accuracy
of a net's own head on the features of another net.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import stitchkit as sk
from benchmarks.choice.families import FAMILIES, FRESH
from stitchkit.metrics.auroc import auroc
from stitchkit.metrics.ranks import distinct_rows, true_ranks
from stitchkit.threads import one_blas_thread

QUIET = {"progress": False, "anchor_hashes": False}
MATCHING = {
    **{f"Procrustes, {scale}": sk.Procrustes(scale=scale) for scale in ("none", "source", "both")},
    "Procrustes, rank 16": sk.Procrustes(rank=16),
    **{f"ridge {alpha:g}": sk.Ridge(alpha=alpha) for alpha in (0.1, 1.0, 10.0)},
    "ridge 1, both": sk.Ridge(alpha=1.0, scale="both"),
    **{f"CSA {kappa:g}": sk.CSA(kappa=kappa) for kappa in (0.01, 0.1, 1.0)},
    "CSA 1, both, 16": sk.CSA(kappa=1.0, scale="both", pca=16),
    "Löwdin": sk.Lowdin(),
    **{f"rank {r}, {alpha:g}": sk.ReducedRank(rank=r, alpha=alpha) for r, alpha in ((8, 0.1), (16, 1.0), (8, 10.0))},
}
DRIVING = {
    **{f"Procrustes, {scale}": sk.Procrustes(scale=scale) for scale in ("none", "source", "both")},
    **{f"ridge {alpha:g}": sk.Ridge(alpha=alpha) for alpha in (0.01, 0.1, 1.0, 10.0)},
    **{f"isometric ridge {alpha:g}": sk.IsometricRidge(alpha=alpha) for alpha in (0.1, 1.0, 10.0)},
    "ridge 1, source": sk.Ridge(alpha=1.0, scale="source"),
}
Draw = tuple[np.ndarray, np.ndarray, dict[str, Any], Callable[[Any], float]]  # anchors, words for align, judge


def matching(n: int, draws: int) -> Iterator[tuple[str, list[Draw]]]:
    """Every family's draws, judged by what is found among fresh pairs."""
    for name, make in FAMILIES.items():
        made = [make(n + FRESH, seed) for seed in range(draws)]
        yield name, [(x[:n], y[:n], {}, _named(x[n:], y[n:])) for x, y in made]


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


def driving(n: int, draws: int) -> Iterator[tuple[str, list[Draw]]]:
    """Every family but that of few texts, with random heads of one class of ten and of fourteen findings."""
    for name, make in FAMILIES.items():
        if "texts" in name:
            continue
        made = [make(n + FRESH, seed) for seed in range(draws)]
        for classes in (10, 14):
            yield f"{name}, {classes} classes", [_headed(*pair, n, classes, s) for s, pair in enumerate(made)]


def _headed(x: np.ndarray, y: np.ndarray, n: int, classes: int, seed: int) -> Draw:
    rng, one = np.random.default_rng(seed + 9), classes == 10
    weight = rng.normal(size=(y.shape[1], classes)) * (1 if one else 1 + 3 * rng.random(classes))
    head = _head(weight, -y.mean(axis=0) @ weight, multiclass=one)
    wanted = head.scores(y[n:]).values

    def judge(alignment: Any) -> float:
        found = head.scores(alignment.to_target(x[n:])).values
        if one:
            return float(np.mean(found.argmax(axis=1) == wanted.argmax(axis=1)))
        present = wanted > np.quantile(wanted, 0.85, axis=0)
        return float(np.mean([auroc(found[:, c], present[:, c]) for c in range(classes)]))

    return x[:n], y[:n], {"purpose": "head", "head": head}, judge


def _head(weight: np.ndarray, bias: np.ndarray, *, multiclass: bool) -> sk.LinearHead:
    space, names = sk.Space("array", len(weight), None), tuple(f"class {i}" for i in range(len(bias)))
    return sk.LinearHead(space, names, weight, bias, multiclass=multiclass)


def nets(n: int, draws: int) -> Iterator[tuple[str, list[Draw]]]:
    """Six pairs of small nets on digits, each net once as source and once as target."""
    from benchmarks.choice import nets as small

    if not _TRAINED:
        _TRAINED.append(small.digits())
    features, digit = _TRAINED[0]
    for i in range(len(features)):
        source, target = features[i], features[(i + 1) % len(features)]
        head = _head(target.weight, target.bias, multiclass=True)

        def judge(alignment: Any, head: sk.LinearHead = head, test: np.ndarray = source.test) -> float:
            return float(np.mean(head.scores(alignment.to_target(test)).values.argmax(axis=1) == digit))

        order = [np.random.default_rng(seed).permutation(len(source.train))[:n] for seed in range(draws)]
        words = {"purpose": "head", "head": head}
        yield f"digits, net {i + 1} to another", [(source.train[r], target.train[r], words, judge) for r in order]


_TRAINED: list[Any] = []
TASKS = {"match": (matching, MATCHING), "head": (driving, DRIVING), "nets": (nets, DRIVING)}


def compared(draws: list[Draw], solvers: dict[str, Any]) -> tuple[float, str, float, Counter[str]]:
    """Mean of the choice, the best single solver with its mean, and what was chosen."""
    reached: dict[str, list[float]] = {name: [] for name in ("auto", *solvers)}
    chosen: Counter[str] = Counter()
    for x, y, words, judge in draws:
        purpose = {"purpose": words["purpose"]} if words else {}
        for name, solver in solvers.items():
            reached[name].append(judge(sk.align(x, y, solver=solver, **purpose, **QUIET)))
        auto = sk.align(x, y, nested=False, **words, **QUIET)
        reached["auto"].append(judge(auto))
        chosen[auto.record["solver"]] += 1
    means = {name: float(np.mean(values)) for name, values in reached.items()}
    best = max(solvers, key=lambda name: means[name])
    return means["auto"], best, means[best], chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choice", description=__doc__)
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 25, 50, 100, 300])
    parser.add_argument("--draws", type=int, default=12)
    given = parser.parse_args()
    with one_blas_thread():
        _tables(given.tasks or list(TASKS), given.sizes, given.draws)
    return 0


def _tables(kinds: list[str], sizes: list[int], draws: int) -> None:
    for kind in kinds:
        make, solvers = TASKS[kind]
        for n in sizes:
            gaps = {}
            for name, made in make(n, draws):
                auto, best, value, chosen = compared(made, solvers)
                gaps[name] = auto - value
                what = ", ".join(f"{family} {count}" for family, count in chosen.most_common())
                print(
                    f"{kind} {n:5d} {name:28s} auto {auto:.3f}, best {value:.3f} {best:22s} chosen: {what}", flush=True
                )
            worst = min(gaps, key=lambda name: gaps[name])
            print(
                f"{kind} {n:5d} mean gap {np.mean(list(gaps.values())):+.4f}, worst {gaps[worst]:+.3f} {worst}",
                flush=True,
            )


if __name__ == "__main__":
    raise SystemExit(main())
