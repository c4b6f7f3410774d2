"""``python -m benchmarks.choice.anchors [--draws 20]``: rules of ``choose_anchors`` against random picks.

Of 500 rows 40 are made anchors; 200 fresh pairs are matched by Procrustes. Printed are the mean reciprocal rank of
random picks and what each rule adds to it, with its standard error over draws of the pairs. "directions" gives the rule
rows of unit length: what it did before lengths counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

import stitchkit as sk
from benchmarks.choice.families import Pairs, shared_latent
from stitchkit.metrics.ranks import pair_ranks

ROWS, FRESH, ANCHORS, RANDOM = 500, 200, 40, 5
RULES = ("kmeans", "farthest", "leverage", "diverse-text")


def lengths_with_signal(n: int, seed: int, *, spread: float) -> Pairs:
    """A latent of log-normal size under noise of one size: long rows say more."""
    space, rng = np.random.default_rng(1234 + seed), np.random.default_rng(seed)
    latent = rng.normal(size=(n, 24)) * np.exp(spread * rng.normal(size=(n, 1)))
    x, y = (latent @ space.normal(size=(24, width)) / 3 + 0.8 * rng.normal(size=(n, width)) for width in (64, 48))
    return x, y


FAMILIES: dict[str, Callable[[int, int], Pairs]] = {
    "isotropic": lambda n, seed: shared_latent(n, seed, noise=1.5),
    "heavy tails": lambda n, seed: shared_latent(n, seed, tails=3, decay=1.5, noise=1.0),
    "hubs": lambda n, seed: shared_latent(n, seed, hubs=1.0, noise=1.2),
    "clusters": lambda n, seed: shared_latent(n, seed, clusters=40, noise=0.6),
    "falling spectrum": lambda n, seed: shared_latent(n, seed, decay=3, noise=0.5),
    "outliers among targets": lambda n, seed: shared_latent(n, seed, outliers=0.05, noise=1.2),
    "lengths with signal": lambda n, seed: lengths_with_signal(n, seed, spread=1.0),
    "lengths with some signal": lambda n, seed: lengths_with_signal(n, seed, spread=0.5),
}


def directions(rows: np.ndarray) -> np.ndarray:
    """Centred rows at unit length."""
    centred = rows - rows.mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))


def one_draw(family: str, seed: int) -> dict[str, float]:
    """Mean reciprocal rank of random picks, and the gain of each rule over it."""
    x, y = FAMILIES[family](ROWS + FRESH, seed)

    def score(rows: np.ndarray) -> float:
        fitted = sk.align(x[rows], y[rows], solver="procrustes", nested=False, progress=False)
        return float(pair_ranks(*fitted.unit_rows(x[ROWS:], y[ROWS:]), np.arange(FRESH)).reciprocal.mean())

    def gain(rule: str, source: np.ndarray, other: np.ndarray) -> float:
        return score(sk.choose_anchors(source, ANCHORS, method=rule, other=other, seed=seed)) - by_chance

    pool = x[:ROWS], y[:ROWS]
    picks = (sk.choose_anchors(pool[0], ANCHORS, method="random", seed=again) for again in range(RANDOM))
    by_chance = float(np.mean([score(rows) for rows in picks]))
    found = {"random": by_chance} | {rule: gain(rule, *pool) for rule in RULES}
    return found | {f"{rule}, directions": gain(rule, *map(directions, pool)) for rule in RULES[1:]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choice.anchors", description=__doc__)
    parser.add_argument("--draws", type=int, default=20, help="draws of the pairs (20)")
    options = parser.parse_args()
    names = ("random", *RULES, *(f"{rule}, directions" for rule in RULES[1:]))
    print(f"| pairs | {' | '.join(names)} |\n|{' --- |' * (len(names) + 1)}")
    for family in FAMILIES:
        draws = [one_draw(family, seed) for seed in range(options.draws)]
        cells = [f"{np.mean([one['random'] for one in draws]):.3f}"]
        for name in names[1:]:
            gains = [one[name] for one in draws]
            cells.append(f"{np.mean(gains):+.3f} ± {np.std(gains, ddof=1) / len(gains) ** 0.5:.3f}")
        print(f"| {family} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
