"""Choosing a strength: the ridge path with folds against scikit-learn, the dual form, the whole search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

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
        return np.mean([RidgeDraft(one, ALPHAS).explained() for one in axes], axis=0)

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


def whole_search() -> Case:
    """``sk.align`` as it is called, choice and nested estimate included, beside scikit-learn's grid of one ridge."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    import stitchkit as sk

    x, y = (rows.astype(np.float64) for rows in pairs(2000, 512, 384))

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        if not results["align"].record["held_out"]["recall@1"] > 0.5:
            raise AssertionError("the search found no map")
        return {}

    peer = GridSearchCV(Ridge(), {"alpha": np.logspace(0, 6, 20)}, cv=5)
    contestants = {
        "scikit-learn GridSearchCV, ridge only": lambda: peer.fit(x, y),
        "align": lambda: sk.align(x, y),
        "align, nested=False": lambda: sk.align(x, y, nested=False),
    }
    return Case(contestants, check)


ROWS = [
    Row("ridge-folds", "10,000 x 512 -> 512, 20 strengths x 5 folds", ridge_folds),
    Row("ridge-dual", "500 x 2048 -> 512", ridge_dual),
    Row("align", "2,000 x 512 -> 384", whole_search),
]
