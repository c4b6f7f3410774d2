"""``python -m benchmarks.choice.prompted [--sizes 20 50] [--draws 10]``: the gain of choosing a map by its prompts.

For each synthetic task and number of anchors the mean over draws of what a zero-shot head reads from fresh items:
balanced accuracy where one class applies, macro AUROC where several may. Once the map is chosen by ranks of texts, once
by the prompts; the same folds, the same families.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

import stitchkit as sk
from stitchkit.metrics.auroc import auroc
from stitchkit.runtime.threads import one_blas_thread

FRESH, WIDTHS = 1200, (40, 32)
P5, P4 = (0.55, 0.2, 0.12, 0.08, 0.05), (0.5, 0.25, 0.15, 0.1)


@dataclass(frozen=True)
class Task:
    """Anchors, then fresh items; what is true of all; and the prompts' vectors (c, d_t)."""

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray  # (n,) classes, or (n, c) findings
    positive: np.ndarray
    negative: np.ndarray | None = None

    def prompts(self) -> sk.PromptVectors:
        """The prompts as ``sk.align`` takes them."""
        names = [f"class {i}" for i in range(len(self.positive))]
        against = {} if self.negative is None else {name: (f"no {name}",) for name in names}
        named = sk.PromptSet("task", {name: (name,) for name in names}, against, self.truth.ndim == 1)
        rows = self.positive if self.negative is None else np.concatenate([self.positive, self.negative])
        return sk.embed_prompts(sk.Embeddings(rows, named.texts, sk.Space("array", rows.shape[1])), named)


def _sources(meaning: np.ndarray, world: np.random.Generator, rng: np.random.Generator) -> np.ndarray:
    """Source vectors of what items mean (n, d_s), under more variance that no text mentions."""
    own = rng.normal(size=(len(meaning), 20)) @ world.normal(size=(20, WIDTHS[0]))
    return meaning + 0.9 * own + 0.8 * rng.normal(size=own.shape)


def classes(
    n: int,
    seed: int,
    *,
    shares: tuple[float, ...] = P5,
    apart: float = 0.8,
    wrong: float = 0.0,
    twins: bool = False,
    opposite: bool = False,
    wordings: int = 1,
    spread: float = 0.0,
    moved: float = 0.0,
) -> Task:
    """One of several classes.

    Parameters
    ----------
    apart
        Distance of the classes among the sources.
    wrong
        Share of anchors whose text names any class.
    twins
        Two classes are nearly equal on both sides.
    opposite
        The texts of two classes lie opposite each other, their sources close together.
    wordings, spread
        Texts of a class, and how far they lie from its mean.
    moved
        How far a class's prompt lies from the mean of its texts.
    """
    world, rng = np.random.default_rng(7000 + seed), np.random.default_rng(seed)
    c, whole = len(shares), n + FRESH
    texts, common = world.normal(size=(c, WIDTHS[1])), world.normal(size=WIDTHS[1])
    centres = world.normal(size=(c, WIDTHS[0]))
    if twins:
        texts[1] = texts[0] + 0.35 * world.normal(size=WIDTHS[1])
        centres[1] = centres[0] + 0.5 * world.normal(size=WIDTHS[0])
    if opposite:
        texts[1], texts[2] = -texts[0], 0.3 * texts[2]
        centres[1] = 0.9 * centres[0] + 0.6 * world.normal(size=WIDTHS[0])
    said = texts[:, None, :] + spread * world.normal(size=(c, wordings, WIDTHS[1])) + 2 * common
    prompts = texts + moved * world.normal(size=texts.shape) + 2 * common
    which = np.concatenate([np.arange(c), rng.choice(c, size=whole - c, p=shares)])
    named = np.where(rng.random(whole) < wrong, rng.integers(c, size=whole), which)
    y = said[named, rng.integers(wordings, size=whole)]
    return Task(_sources(apart * centres[which], world, rng), y, which, prompts)


def findings(
    n: int, seed: int, *, count: int = 6, missed: float = 0.1, noise: float = 0.3, denied: float = 0.4
) -> Task:
    """Any number of findings; a report adds up what it says of each, and words of its own."""
    world, rng = np.random.default_rng(7000 + seed), np.random.default_rng(seed)
    there, absent = world.normal(size=(count, WIDTHS[1])), 0.6 * world.normal(size=(count, WIDTHS[1]))
    truth = rng.random((n + FRESH, count)) < np.asarray([0.4, 0.25, 0.15, 0.1, 0.1, 0.06])[:count]
    said = truth & (rng.random(truth.shape) >= missed)
    not_said = ~said & (rng.random(truth.shape) < denied)
    y = said @ there + not_said @ absent + 2 * world.normal(size=WIDTHS[1])
    y = y + noise * rng.normal(size=(n + FRESH, 8)) @ world.normal(size=(8, WIDTHS[1]))
    base = 0.3 * y.mean(axis=0)
    x = _sources(0.9 * truth @ world.normal(size=(count, WIDTHS[0])), world, rng)
    return Task(x, y, truth, there + base, absent + base)


def _rare(task: Task) -> Task:
    """The third finding alone."""
    third = slice(2, 3)
    return replace(task, truth=task.truth[:, third], positive=task.positive[third], negative=task.negative[third])


TASKS: dict[str, Callable[[int, int], Task]] = {
    "five classes": classes,
    "five classes, close": lambda n, s: classes(n, s, apart=0.45),
    "seven classes, one common": lambda n, s: classes(n, s, shares=(0.6, 0.1, 0.1, 0.08, 0.05, 0.04, 0.03), apart=0.7),
    "two classes": lambda n, s: classes(n, s, shares=(0.7, 0.3), apart=0.5),
    "three even classes": lambda n, s: classes(n, s, shares=(0.4, 0.3, 0.3), apart=0.5),
    "wrong texts": lambda n, s: classes(n, s, shares=P4, wrong=0.25),
    "twins": lambda n, s: classes(n, s, shares=(0.3, 0.3, 0.2, 0.1, 0.1), twins=True),
    "opposite texts": lambda n, s: classes(n, s, shares=(0.5, 0.3, 0.2), apart=0.7, opposite=True),
    "ten wordings a class": lambda n, s: classes(n, s, shares=P4, wordings=10, spread=0.6, moved=0.3),
    "a text for each anchor": lambda n, s: classes(n, s, shares=P4, wordings=2000, spread=0.9, moved=0.3),
    "templates of findings": lambda n, s: findings(n, s, count=3, missed=0.0, noise=0.0, denied=1.0),
    "reports": findings,
    "reports, prompts without negatives": lambda n, s: replace(findings(n, s, noise=0.5), negative=None),
    "reports, noisy": lambda n, s: findings(n, s, missed=0.25, noise=0.8),
    "reports, one finding": lambda n, s: _rare(findings(n, s)),
}


def reached(task: Task, n: int, prompts: sk.PromptVectors, by: sk.PromptVectors | None) -> float:
    """What the prompts read from fresh items through the map that ``by``, or the texts' ranks, choose."""
    fitted = sk.align(task.x[:n], task.y[:n], prompts=by, nested=False, progress=False, anchor_hashes=False)
    scores = sk.zeroshot(fitted, prompts.embeddings, prompts.prompts).scores(task.x[n:]).values
    truth = task.truth[n:]
    if truth.ndim == 1:
        guessed = scores.argmax(axis=1)
        return float(np.mean([(guessed[truth == k] == k).mean() for k in range(scores.shape[1])]))
    return float(np.mean([auroc(scores[:, k], truth[:, k]) for k in range(scores.shape[1])]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choice.prompted", description=__doc__)
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--sizes", nargs="+", type=int, default=[20, 50, 100, 200, 400])
    parser.add_argument("--draws", type=int, default=10)
    given = parser.parse_args()
    gains = []
    with one_blas_thread():
        for name in given.tasks or list(TASKS):
            for n in given.sizes:
                pairs = []
                for seed in range(given.draws):
                    task = TASKS[name](n, seed)
                    prompts = task.prompts()
                    pairs.append([reached(task, n, prompts, by) for by in (None, prompts)])
                texts, chosen = np.mean(pairs, axis=0)
                gains.append((chosen - texts, f"{name}, {n}"))
                print(f"{name:36s} {n:5d} by texts {texts:.3f}, by prompts {chosen:.3f}", flush=True)
    worst = min(gains)
    print(f"mean gain {np.mean([gain for gain, _ in gains]):+.4f}, worst {worst[0]:+.3f} {worst[1]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
