"""Probes, zero-shot scores, evaluation and diagnosis: against scikit-learn, plain numpy, and one thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.data import pairs, units
from benchmarks.harness import Case, Row

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def _labelled(n: int, d: int, c: int) -> tuple[np.ndarray, Any]:
    """Vectors (n, d) and labels of c classes, from common to rare."""
    import stitchkit as sk

    rng = np.random.default_rng(0)
    shared = rng.standard_normal((n, 20))
    x = shared @ rng.standard_normal((20, d)) + 2 * rng.standard_normal((n, d))
    y = shared[:, :c] + rng.standard_normal((n, c)) > np.linspace(0, 2, c)
    ids = [f"i{row}" for row in range(n)]
    return x.astype(np.float32), sk.Labels(y.astype(float), ids, tuple(f"c{one}" for one in range(c)))


def _by_scikit_learn(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The strength of the best mean held-out AUROC, and the scores (n, c) of the refitted regressions."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import StandardScaler

    features = StandardScaler().fit_transform(x.astype(np.float64))
    classes = range(y.shape[1])

    def scores(strength: float, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=5000)
        fits = [model.fit(features[train], y[train, c]).decision_function(features[test]) for c in classes]
        return np.stack(fits, axis=1)

    splits = list(KFold(5, shuffle=True, random_state=0).split(features))
    means = []
    for strength in STRENGTHS:
        held = np.empty(y.shape)
        for train, test in splits:
            held[test] = scores(strength, train, test)
        means.append(np.mean([roc_auc_score(y[:, c], held[:, c]) for c in classes]))
    best, every = STRENGTHS[int(np.argmax(means))], np.arange(len(x))
    return best, scores(best, every, every)


def _probe(n: int, d: int, c: int) -> Callable[[], Case]:
    def build() -> Case:
        import stitchkit as sk

        x, labels = _labelled(n, d, c)

        def check(results: Mapping[str, Any]) -> dict[str, float]:
            best, expected = results["scikit-learn"]
            found = results["fit_probe"]
            if not np.array_equal(found.weight, sk.fit_probe(x, labels, strengths=(best,)).weight):
                raise AssertionError(f"the strength chosen is not scikit-learn's {best}")
            error = np.abs(found.scores(x).values - expected).max() / np.abs(expected).max()
            if error > 5e-3:  # scikit-learn's default tolerance
                raise AssertionError(f"scores differ by {error}")
            return {"scores to scikit-learn's": float(error)}

        contestants = {
            "scikit-learn": lambda: _by_scikit_learn(x, labels.values),
            "fit_probe": lambda: sk.fit_probe(x, labels),
        }
        return Case(contestants, check)

    return build


def probe_threads() -> Case:
    """``fit_probe`` on all of BLAS's threads against one."""
    from threadpoolctl import threadpool_limits

    import stitchkit as sk

    x, labels = _labelled(500, 232, 14)

    def run(threads: int) -> Any:
        with threadpool_limits(limits=threads, user_api="blas"):
            return sk.fit_probe(x, labels)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        one, every = (results[name].weight for name in ("one BLAS thread", "default threads"))
        if not np.allclose(one, every):
            raise AssertionError("the number of threads changes the probe")
        return {"weights": float(np.abs(one - every).max())}

    cores = os.cpu_count() or 1
    return Case({"one BLAS thread": lambda: run(1), "default threads": lambda: run(cores)}, check)


def zero_shot_scores() -> Case:
    """Margins of 14 classes for a million float32 vectors, against the same in plain numpy, 8,192 rows at a time."""
    from stitchkit.core.heads import ZeroShotHead
    from stitchkit.core.maps import AffineMap
    from stitchkit.core.space import Space

    n, d, k, c = 1_000_000, 512, 384, 14
    x = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    rng = np.random.default_rng(1)
    source, common = Space.of_array(d), Space("common", k)
    to_common = AffineMap(source, common, 0.1 * rng.normal(size=d), rng.normal(size=(d, k)), np.zeros(k), k)
    positive, negative = (units(c, k, seed=seed).astype(np.float64) for seed in (2, 3))
    head = ZeroShotHead(to_common, tuple(f"c{one}" for one in range(c)), positive, negative)

    def plain() -> np.ndarray:
        center, weight = to_common.center.astype(np.float32), to_common.weight.astype(np.float32)
        toward = (positive - negative).astype(np.float32).T.copy()
        scores = np.empty((n, c), dtype=np.float32)
        for a in range(0, n, 8192):
            rows = (x[a : a + 8192] - center) @ weight
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            scores[a : a + 8192] = rows @ toward
        return scores

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        error = float(np.abs(results["head"].values - results["numpy"]).max())
        megabytes = beyond(lambda: head.scores(x))
        if error > 2e-6 or megabytes > 200:
            raise AssertionError(f"scores differ by {error}; {megabytes:.0f} MB beyond the input")
        return {"scores": error, "MB beyond the input": megabytes}

    return Case({"numpy": plain, "head": lambda: head.scores(x)}, check)


def resampled_ranks() -> Case:
    """AUROC and average precision of 14 classes on 700 items in 100 resamples, against scikit-learn's of each."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    from stitchkit.metrics.bootstrap import patient_counts
    from stitchkit.metrics.rankings import Ranking

    x, labels = _labelled(700, 14, 14)
    weights = next(iter(patient_counts(np.arange(700), 100, 0)))
    truth, columns = labels.values, range(14)

    def theirs() -> np.ndarray:
        measures = (roc_auc_score, average_precision_score)
        return np.asarray(
            [[[m(truth[:, c], x[:, c], sample_weight=w) for w in weights] for c in columns] for m in measures]
        )

    def ours() -> np.ndarray:
        ranks = [Ranking.of(x[:, c], truth[:, c], weights) for c in columns]
        return np.asarray([[one.auroc() for one in ranks], [one.average_precision() for one in ranks]])

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        error = float(np.abs(results["scikit-learn"] - results["rankings"]).max())
        if error > 1e-12:
            raise AssertionError(f"measures differ by {error}")
        return {"measures": error}

    return Case({"scikit-learn": theirs, "rankings": ours}, check)


def diagnosis() -> Case:
    """``diagnose`` on 3,000 pairs, beside the two products of similarities and resamples that nothing can spare."""
    import stitchkit as sk

    x, y = pairs(3000, 512, 384, noise=2.0)
    alignment = sk.align(x, y, solver=sk.Ridge(alpha=0.1), progress=False)
    rows, columns = alignment.unit_rows(x, y)

    def least() -> int:
        drawn = np.random.default_rng(0).multinomial(3000, np.full(3000, 1 / 3000), size=2000)
        found = [(side @ other.T).argmax(axis=1) for side, other in ((rows, columns), (columns, rows)) for _ in "ab"]
        return int(drawn[0, 0]) + len(found)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        found = results["diagnose"]
        table = rows @ columns.T
        recall = float(np.mean(table.argmax(axis=1) == np.arange(3000)))
        error = abs(found.retrieval.forward.recall[1].value - recall)
        if error > 1e-3:
            raise AssertionError(f"recall@1 is {recall}, the diagnosis says otherwise by {error}")
        return {"recall@1": error}

    return Case({"four products and 2,000 resamples": least, "diagnose": lambda: sk.diagnose(alignment, x, y)}, check)


def beyond(work: Callable[[], Any]) -> float:
    """The most memory that ``work`` takes beyond what is held before, in MB, by the process's resident set."""
    seen, done = [], threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(_resident())
            time.sleep(0.002)

    before, watcher = _resident(), threading.Thread(target=watch)
    watcher.start()
    kept = work()
    done.set()
    watcher.join()
    del kept
    return max(seen) - before


def _resident() -> float:
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


ROWS = [
    Row("probe", "500 x 232, 14 classes, 5 strengths x 5 folds", _probe(500, 232, 14), cpu=True),
    Row("probe-wide", "300 x 1024, 5 classes", _probe(300, 1024, 5), cpu=True),
    Row("probe-tall", "5,000 x 384, 5 classes", _probe(5000, 384, 5), cpu=True, quick=False),
    Row("probe-threads", "500 x 232, 14 classes", probe_threads, cpu=True),
    Row("zero-shot-million", "1,000,000 x 512 -> 14", zero_shot_scores, cpu=True),
    Row("resampled-ranks", "700 items, 14 classes, 100 resamples", resampled_ranks, cpu=True),
    Row("diagnose", "3,000 x 512 -> 384", diagnosis, cpu=True),
]
