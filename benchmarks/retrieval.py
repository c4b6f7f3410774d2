"""Retrieval: top-5 of many classes, recall@k with full ranks. Peers: torch, numpy, faiss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.data import units
from benchmarks.harness import Case, Row


def top_five() -> Case:
    """The five best of 200 classes for 100,000 rows against a softmax and a full sort in torch."""
    import torch

    from stitchkit.core.neighbours import nearest

    rows, classes = units(100_000, 512), units(200, 512, seed=1)
    t_rows, t_classes = torch.from_numpy(rows), torch.from_numpy(classes)

    def peer() -> Any:
        return torch.softmax(100 * t_rows @ t_classes.T, dim=1).argsort(dim=1, descending=True)[:, :5]

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        product = rows @ classes.T
        theirs = np.take_along_axis(product, results["torch softmax + argsort"].numpy(), axis=1)
        error = float(np.abs(theirs - results["numpy"].scores).max())
        if error > 1e-5:
            raise AssertionError(f"the five best scores differ by {error}")
        return {"scores": error}

    contestants = {
        "torch softmax + argsort": peer,
        "numpy": lambda: nearest(rows, classes, 5),
        "torch": lambda: nearest(t_rows, t_classes, 5),
    }
    return Case(contestants, check)


def recall() -> Case:
    """Full ranks of 16,384 queries among 16,384: a full sort, faiss' flat index for the first ten, ours."""
    import faiss
    import torch

    from stitchkit.metrics.ranks import pair_ranks, recall_at

    queries, truth = units(16_384, 256), np.arange(16_384)
    gallery = queries + 0.08 * np.random.default_rng(2).standard_normal(queries.shape, dtype=np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    t_queries, t_gallery = torch.from_numpy(queries), torch.from_numpy(gallery)

    def flat() -> np.ndarray:
        index = faiss.IndexFlatIP(256)
        index.add(gallery)
        return (index.search(queries, 10)[1] == truth[:, None]).argmax(axis=1)

    def full_sort() -> np.ndarray:
        order = np.argsort(-(queries @ gallery.T), axis=1)
        return (order == truth[:, None]).argmax(axis=1) + 1

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        literal = results["full argsort"]
        errors = {f"R@{k}": abs(recall_at(results["numpy"], k) - float(np.mean(literal <= k))) for k in (1, 5, 10)}
        if max(errors.values()) > 2e-4:
            raise AssertionError(f"recall differs from a full sort: {errors}")
        return {"recall": max(errors.values())}

    contestants = {
        "faiss flat, ten best": flat,
        "full argsort": full_sort,
        "numpy": lambda: pair_ranks(queries, gallery, truth),
        "torch": lambda: pair_ranks(t_queries, t_gallery, truth),
    }
    return Case(contestants, check)


def asif() -> Case:
    """Sparse relative vectors, the 800 largest of 10,000 anchors, against torch's topk and scatter."""
    import torch

    import stitchkit as sk
    from stitchkit.core.relative import RelativeMap

    anchors, rows = units(10_000, 256), units(4096, 256, seed=1)
    t_anchors, t_rows = torch.from_numpy(anchors), torch.from_numpy(rows)
    spaces = sk.Space.of_array(256), sk.Space("sparse", 10_000)

    def peer() -> Any:
        cosine = t_rows @ t_anchors.T
        value, where = cosine.topk(800, dim=1)
        sparse = torch.zeros_like(cosine).scatter_(1, where, value.clamp(min=0) ** 8)
        return sparse / sparse.norm(dim=1, keepdim=True)

    def ours(anchors: Any, rows: Any) -> Any:
        return RelativeMap(*spaces, anchors, None, keep=800, power=8)(rows)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        def unit(rows: np.ndarray) -> np.ndarray:
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        theirs = results["torch topk + scatter"].numpy()
        # two products may round a cosine to either side of the threshold, so whole vectors are compared
        error = float(np.max(1 - np.sum(theirs * unit(np.asarray(results["numpy"])), axis=1, dtype=np.float64)))
        if error > 1e-6:
            raise AssertionError(f"sparse vectors differ: 1 - cosine is up to {error}")
        return {"1 - cosine": error}

    contestants = {
        "torch topk + scatter": peer,
        "numpy": lambda: ours(anchors, rows),
        "torch": lambda: ours(t_anchors, t_rows),
    }
    return Case(contestants, check)


ROWS = [
    Row("top-5", "100,000 x 512, 200 classes", top_five),
    Row("recall", "16,384 x 16,384, d = 256", recall),
    Row("asif", "4,096 x 10,000 anchors, 800 kept", asif),
]
