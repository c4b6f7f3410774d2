"""Choosing a strength: the ridge path with folds against scikit-learn, the dual form, the whole search."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.data import pairs
from benchmarks.harness import Case, Row

ALPHAS = np.logspace(-3, 3, 20)


def ridge_folds() -> Case:
    """20 strengths x 5 folds by held-out R2 against scikit-learn's grid search on the same folds."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, PredefinedSplit

    from stitchkit.alignment.folds import Folds, assign
    from stitchkit.alignment.training_axes import TrainingSets
    from stitchkit.core.embeddings import as_embeddings
    from stitchkit.solvers.ridge import RidgeDraft

    x, y = (rows.astype(np.float64) for rows in pairs(10_000, 512, 512))
    members = assign(len(x), None, seed=0)
    of_row = np.empty(len(x), dtype=int)
    for k, rows in enumerate(members):
        of_row[rows] = k
    mean_eigenvalue = float(np.sum((x - x.mean(0)) ** 2)) / 512
    absolute = ALPHAS * mean_eigenvalue

    def ours() -> np.ndarray:
        folds = Folds.of(as_embeddings(x), as_embeddings(y), members)
        sets = TrainingSets(x, y, folds.evidence().moments)
        axes = (sets.axes(folds, k, ["none"])["none"] for k in range(len(members)))
        return np.mean([RidgeDraft(one, ALPHAS).held_out_r2() for one in axes], axis=0)

    def theirs() -> Any:
        search = GridSearchCV(Ridge(), {"alpha": absolute * 0.8}, cv=PredefinedSplit(of_row), scoring="r2", refit=False)
        return search.fit(x, y)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        peer = results["scikit-learn GridSearchCV"].cv_results_["mean_test_score"]
        mine = results["drafts in principal axes"]
        if abs(int(np.argmax(peer)) - int(np.argmax(mine))) > 1:  # their R2 weighs targets equally, ours by variance
            raise AssertionError(f"best strengths differ: {np.argmax(peer)} and {np.argmax(mine)}")
        return {"R2 at the best": float(abs(peer.max() - mine.max()))}

    return Case({"scikit-learn GridSearchCV": theirs, "drafts in principal axes": ours}, check)


def ridge_dual() -> Case:
    """Fewer anchors than dimensions: the fit in the span of the rows against the primal one."""
    import stitchkit as sk

    x, y = (rows.astype(np.float64) for rows in pairs(500, 2048, 512))
    moments = sk.Moments.of(x, y)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        dual, primal = (results[name].to_target(x) for name in ("span of the rows", "primal"))
        error = float(np.abs(dual - primal).max() / np.abs(primal).max())
        if error > 1e-8:
            raise AssertionError(f"dual and primal differ by {error}")
        return {"prediction": error}

    solver = sk.Ridge(alpha=0.1)
    contestants = {
        "primal": lambda: solver.fit(sk.Evidence(moments)),
        "span of the rows": lambda: solver.fit(sk.Evidence(moments, None, (x, y))),
    }
    return Case(contestants, check)


def searched(n: int, d_s: int, d_t: int, *, grid: bool = False, noise: float = 2.0, memory: bool = False) -> Case:
    """``sk.align`` as it is called beside scikit-learn's ridge of 20 strengths: a grid of 5 folds, or leave-one-out.

    With little noise every map finds every pair, so that no path can be dropped early. ``memory`` also measures the
    most that numpy holds at once beyond the input.
    """
    from sklearn.linear_model import Ridge, RidgeCV
    from sklearn.model_selection import GridSearchCV

    import stitchkit as sk

    x, y = (rows.astype(np.float64) for rows in pairs(n, d_s, d_t, noise=noise))
    alphas = np.logspace(0, 6, 20)
    peer = GridSearchCV(Ridge(), {"alpha": alphas}, cv=5) if grid else RidgeCV(alphas)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        held_out = results["align"].record["held_out"]
        if not held_out["mrr"] > held_out["chance_mrr"]:
            raise AssertionError("the search found no map")
        measured = {"held-out recall@1": held_out["recall@1"]}
        return measured | {"MB beyond the input": peak(lambda: sk.align(x, y))} if memory else measured

    name = "scikit-learn GridSearchCV" if grid else "scikit-learn RidgeCV"
    return Case({name: lambda: peer.fit(x, y), "align": lambda: sk.align(x, y)}, check)


def peak(work: Callable[[], Any]) -> float:
    """Most megabytes that numpy holds at once during ``work``, beyond those before it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return (tracemalloc.get_traced_memory()[1] - before) / 1e6
    finally:
        tracemalloc.stop()


def threads(n: int, d_s: int, d_t: int) -> Case:
    """The search under a caller's limit of all threads against one: neither time nor numbers may change."""
    import stitchkit as sk

    x, y = (rows.astype(np.float64) for rows in pairs(n, d_s, d_t, noise=2.0))

    def run(count: int) -> Any:
        with threadpool_limits(limits=count, user_api="blas"):
            return sk.align(x, y)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        one, every = (results[name].record["held_out"]["mrr"] for name in ("one BLAS thread", "all threads"))
        return {"held-out mrr": abs(one - every)}

    return Case({"one BLAS thread": lambda: run(1), "all threads": lambda: run(os.cpu_count() or 1)}, check)


def driven(classes: int) -> Case:
    """The search for a head beside the search for matching."""
    import stitchkit as sk

    x, y = (rows.astype(np.float64) for rows in pairs(2000, 768, 512, noise=2.0))
    rng, names = np.random.default_rng(0), tuple(f"class {i}" for i in range(classes))
    weight = rng.normal(size=(512, classes))
    head = sk.LinearHead(sk.Space("array", 512, None), names, weight, np.zeros(classes), multiclass=classes > 100)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        return {"agreement": results["purpose='head'"].record["held_out"]["agreement"]}

    contestants = {
        "purpose='match'": lambda: sk.align(x, y),
        "purpose='head'": lambda: sk.align(x, y, purpose="head", head=head),
    }
    return Case(contestants, check)


ROWS = [
    Row("ridge-folds", "10,000 x 512 -> 512, 20 strengths x 5 folds", ridge_folds),
    Row("ridge-dual", "500 x 2048 -> 512", ridge_dual),
    Row("align-100", "100 x 512 -> 384", partial(searched, 100, 512, 384, grid=True), cpu=True),
    Row("align-300", "300 x 256 -> 256", partial(searched, 300, 256, 256, grid=True), cpu=True),
    Row(
        "align-100-easy", "100 x 512 -> 384, noise .5", partial(searched, 100, 512, 384, grid=True, noise=0.5), cpu=True
    ),
    Row(
        "align-300-easy", "300 x 256 -> 256, noise .5", partial(searched, 300, 256, 256, grid=True, noise=0.5), cpu=True
    ),
    Row("align-1k", "1,000 x 512 -> 384", partial(searched, 1000, 512, 384), cpu=True),
    Row("align-2k", "2,000 x 768 -> 512", partial(searched, 2000, 768, 512, memory=True), cpu=True),
    Row("align-wide", "500 x 2,048 -> 768", partial(searched, 500, 2048, 768), cpu=True),
    Row("align-10k", "10,000 x 768 -> 768", partial(searched, 10_000, 768, 768), quick=False, cpu=True),
    Row("align-threads", "1,000 x 512 -> 384", partial(threads, 1000, 512, 384), cpu=True),
    Row("align-head-14", "2,000 x 768 -> 512, 14 classes", partial(driven, 14), cpu=True),
    Row("align-head-1000", "2,000 x 768 -> 512, 1,000 classes", partial(driven, 1000), cpu=True),
]
