"""CKA through d x d moments. Peers: latentis, and the n x n formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.data import pairs
from benchmarks.harness import Case, Row


def against_latentis() -> Case:
    """Linear CKA at n = 4,000 against latentis, which holds n x n."""
    import torch
    from latentis.measure.cka import CKA, CKAMode

    import stitchkit as sk
    from stitchkit.metrics.cka import cka

    x, y = pairs(4000, 512, 512)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    measure = CKA(mode=CKAMode.LINEAR)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        theirs = results["latentis"]
        theirs = float(theirs["score"] if isinstance(theirs, Mapping) else theirs)
        fast = _near(results["fast moments"], results["moments"], 1e-6)
        return {"difference to latentis float32": _near(results["moments"], theirs, 1e-2), "fast to exact": fast}

    contestants = {
        "latentis": lambda: measure(tx, ty),
        "moments": lambda: cka(sk.Moments.of(x, y)),
        "fast moments": lambda: cka(sk.Moments.of(x, y, precision="fast")),
    }
    return Case(contestants, check)


def against_square() -> Case:
    """Linear CKA at n = 16,384 against centred n x n Gram matrices in float32."""
    import stitchkit as sk
    from stitchkit.metrics.cka import cka

    x, y = pairs(16_384, 512, 512)

    def square() -> float:
        k, m = (_gram(rows) for rows in (x, y))
        return float(np.sum(k * m, dtype=np.float64) / np.sqrt(_square(k) * _square(m)))

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        fast = _near(results["fast moments"], results["moments"], 1e-6)
        return {"difference": _near(results["moments"], results["n x n"], 1e-4), "fast to exact": fast}

    contestants = {
        "n x n": square,
        "moments": lambda: cka(sk.Moments.of(x, y)),
        "fast moments": lambda: cka(sk.Moments.of(x, y, precision="fast")),
    }
    return Case(contestants, check)


def hundred_thousand() -> Case:
    """Linear CKA at n = 100,000, where an n x n matrix would be 80 GB, beside the pass alone; in d x d memory."""
    import tracemalloc

    import stitchkit as sk
    from stitchkit.metrics.cka import cka

    x, y = pairs(100_000, 512, 512)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        tracemalloc.start()
        again = cka(sk.Moments.of(x, y))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if again != results["CKA"] or peak > 300e6:
            raise AssertionError(f"CKA {again} against {results['CKA']}, {peak / 1e6:.0f} MB")
        return {"MB": peak / 1e6}

    return Case({"moments alone": lambda: sk.Moments.of(x, y), "CKA": lambda: cka(sk.Moments.of(x, y))}, check)


def _gram(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=0)
    return centred @ centred.T


def _square(gram: np.ndarray) -> float:
    return float(np.sum(gram * gram, dtype=np.float64))


def _near(found: float, expected: float, tolerance: float) -> float:
    if not abs(found - expected) <= tolerance:
        raise AssertionError(f"CKA {found} against {expected}")
    return abs(found - expected)


ROWS = [
    Row("cka-4k", "4,000 x 512, 512", against_latentis),
    Row("cka-16k", "16,384 x 512, 512", against_square),
    Row("cka-100k", "100,000 x 512, 512", hundred_thousand),
]
