"""Few pairs and unpaired pools: the whole choice beside the matching alone, written out in plain numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.harness import Case, Row

PAIRS, POOL, STEPS = 25, 685, 16


def sides_of(n: int, *widths: int) -> list[np.ndarray]:
    """Rows of each side: kinds of items in common, directions of falling spread, and a part of each side's own."""
    rng = np.random.default_rng(0)
    spread = (1 + np.arange(120)) ** -0.8
    kinds = 2 * rng.normal(size=(12, 120)) * spread
    meaning = kinds[rng.integers(12, size=n)] + rng.normal(size=(n, 120)) * spread
    sides = []
    for d in widths:
        turn = np.linalg.qr(rng.normal(size=(d, 120)))[0]
        own = 0.5 * rng.normal(size=(n, 120)) * spread
        sides.append((meaning + own) @ turn.T + 0.01 * rng.normal(size=(n, d)))
    return sides


def carriers(cross: np.ndarray, rank: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Leading singular directions, weighed."""
    u, s, vh = np.linalg.svd(cross, full_matrices=False)
    weight = (s[:rank] / s[0]) ** (power / 2)
    return u[:, :rank] * weight, vh[:rank].T * weight


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def literal(anchors: Sequence[np.ndarray], pools: Sequence[np.ndarray], members: Sequence[Any]) -> list[tuple]:
    """Soft matching as it is written down: float64, a whole decomposition a step, 30 rounds a plan."""
    sides = []
    for some, pool in zip(anchors, pools, strict=True):
        seen = np.concatenate([some, pool])
        centre = seen.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(seen.T, bias=True))
        sides.append((some - centre, pool - centre, centre, values[::-1][:300], vectors[:, ::-1][:, :300]))
    found = []
    for exponent, power, rank in members:
        (a, p, left, x0), (b, q, right, y0) = (_tempered(side, exponent) for side in sides)
        first = len(a) - 1
        f, g = carriers(a.T @ b, first, power)
        for step in range(STEPS):
            heat = 0.1 * 0.4 ** (step / (STEPS - 1))
            scores = unit(p @ f) @ unit(q @ g).T
            kernel = np.exp((scores - scores.max()) / heat)
            v = np.ones(len(q))
            for _ in range(30):
                u = 1 / len(p) / (kernel @ v)
                v = 1 / len(q) / (u @ kernel)
            cross = a.T @ b / len(a) + (p * u[:, None]).T @ (kernel @ (q * v[:, None]))
            f, g = carriers(cross, round(first * (rank / first) ** ((step + 1) / STEPS)), power)
        found.append((x0, left @ f, y0, right @ g))
    return found


def _tempered(side: tuple, exponent: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    anchors, pool, centre, values, vectors = side
    scale = (values + 1e-3 * values[0]) ** (-exponent / 2)
    basis = vectors * scale / np.sqrt(np.sum(values * scale**2))
    return anchors @ basis, pool @ basis, basis, centre


def pooled() -> Case:
    """``sk.align`` with pools, choice of branch and all, beside the soft matchings in it: whole, and without folds."""
    import stitchkit as sk
    from stitchkit.alignment.folds import assign
    from stitchkit.solvers.pools.ensemble import members_for

    x, y = sides_of(PAIRS + 2 * POOL + 300, 256, 384)
    anchors = x[:PAIRS], y[:PAIRS]
    pools = x[PAIRS : PAIRS + POOL], y[PAIRS + POOL : PAIRS + 2 * POOL]
    fresh = x[PAIRS + 2 * POOL :], y[PAIRS + 2 * POOL :]
    parts = [np.setdiff1d(np.arange(PAIRS), held) for held in assign(PAIRS, None, seed=0, k=4)]

    def theirs() -> list:
        every = [np.arange(PAIRS), *parts]
        return [literal([side[rows] for side in anchors], pools, members_for(len(rows))) for rows in every]

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        if results["align"].record["branch"] not in ("soft", "hard"):
            raise AssertionError("these pools help, and were not taken")
        soft = sk.align(*anchors, pool=pools, solver=sk.SoftMatching())
        whole = results["soft matchings alone, numpy float64"][0]
        expected = np.mean([unit((fresh[0] - a) @ f) @ unit((fresh[1] - b) @ g).T for a, f, b, g in whole], axis=0)
        apart = float(np.abs(soft.similarity(*fresh) - expected).max())
        if apart > 0.05:
            raise AssertionError(f"soft matching differs from its literal form by {apart}")
        return {"cosines of fresh items": apart}

    ours = {"align": lambda: sk.align(*anchors, pool=pools)}
    return Case({"soft matchings alone, numpy float64": theirs, **ours}, check)


ROWS = [Row("align-pools", "25 pairs, pools 685 x 256, 685 x 384", pooled, cpu=True)]
