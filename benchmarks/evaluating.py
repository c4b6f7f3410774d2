"""Evaluating many resamples, and tables of scores on disk, against scikit-learn's and pandas' ways."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Case, Row
from benchmarks.probing import beyond

REPLICATES = 2000


def _scored(n: int, c: int) -> tuple[Any, Any]:
    """Logits and labels of ``n`` items of one to three a patient, and of ``c`` classes from common to rare."""
    import stitchkit as sk

    rng = np.random.default_rng(0)
    truth = (rng.random((n, c)) < np.geomspace(0.4, 0.02, c)).astype(np.float64)
    patients = np.repeat(np.arange(n), rng.integers(1, 4, n))[:n]
    ids, classes = [f"film {row}" for row in range(n)], tuple(f"finding {one}" for one in range(c))
    labels = sk.Labels(truth, ids, classes, [f"patient {one}" for one in patients.tolist()])
    return sk.Scores(truth + rng.standard_normal((n, c)), "logit", ids, classes), labels


def _evaluation(n: int, c: int, some: int) -> Callable[[], Case]:
    """``evaluate`` against a loop over ``roc_auc_score``, of which ``some`` resamples are run and scaled up."""

    def build() -> Case:
        from sklearn.metrics import roc_auc_score

        import stitchkit as sk
        from stitchkit.metrics.bootstrap import patient_counts
        from stitchkit.metrics.rankings import Ranking

        scores, labels = _scored(n, c)
        x, y = scores.values, labels.values

        def literal(rows: np.ndarray) -> list[float]:
            return [float(roc_auc_score(y[rows, one], x[rows, one])) for one in range(c)]

        def loop() -> list[list[float]]:
            rng = np.random.default_rng(0)
            return [literal(rng.integers(0, n, n)) for _ in range(some)]

        def check(results: Mapping[str, Any]) -> dict[str, float]:
            judged = results["evaluate"].main.classes
            of_sample = np.abs(np.subtract([judged[one].value for one in labels.classes], literal(np.arange(n)))).max()
            counts = next(iter(patient_counts(labels.groups, 2, 0, np.float32)))
            ours = [Ranking.of(x[:, one], y[:, one], counts).auroc() for one in range(c)]
            theirs = [literal(np.repeat(np.arange(n), row.astype(int))) for row in counts]
            error = float(max(of_sample, np.abs(np.transpose(ours) - theirs).max()))
            if error > 1e-12:
                raise AssertionError(f"AUROCs differ by {error}")
            return {"AUROC": error}

        def ours() -> Any:
            return sk.evaluate(scores, labels, replicates=REPLICATES, progress=False)

        return Case({"roc_auc_score": loop, "evaluate": ours}, check, {"roc_auc_score": some / REPLICATES})

    return build


def writing() -> Case:
    """``write_scores`` against ``DataFrame.to_csv``: the same bytes."""
    import pandas as pd

    from stitchkit.storage.scores import write_scores

    folder = tempfile.TemporaryDirectory()
    scores, _ = _scored(50_000, 200)
    frame = pd.DataFrame(scores.values, columns=list(scores.classes))
    frame.insert(0, "id", scores.ids)
    frame.insert(1, "kind", scores.kind)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        if len({path.read_bytes() for path in results.values()}) > 1:
            raise AssertionError("the files differ")
        return {"MB beyond the scores": _bounded(ours)}

    def theirs() -> Path:
        path = Path(folder.name) / "theirs.csv"
        frame.to_csv(path, index=False)
        return path

    def ours() -> Path:
        return write_scores(Path(folder.name) / "ours.csv", scores)

    return Case({"pandas to_csv": theirs, "write_scores": ours}, check)


def reading() -> Case:
    """``read_scores`` against ``read_csv`` with numbers as exact."""
    import pandas as pd

    from stitchkit.storage.scores import read_scores, write_scores

    folder = tempfile.TemporaryDirectory()
    scores, _ = _scored(50_000, 200)
    write_scores(Path(folder.name) / "scores.csv", scores)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        if not all(np.array_equal(values, scores.values) for values in results.values()):
            raise AssertionError("numbers do not come back bit for bit")
        return {"MB, the scores' own 80 included": _bounded(ours)}

    def theirs() -> np.ndarray:
        frame = pd.read_csv(Path(folder.name) / "scores.csv", float_precision="round_trip")
        return frame.iloc[:, 2:].to_numpy()

    def ours() -> np.ndarray:
        return read_scores(Path(folder.name) / "scores.csv").values

    return Case({"pandas read_csv": theirs, "read_scores": ours}, check)


def _bounded(work: Callable[[], Any]) -> float:
    """The megabytes that ``work`` takes, at most 300."""
    megabytes = beyond(work)
    if megabytes > 300:
        raise AssertionError(f"{megabytes:.0f} MB")
    return megabytes


ROWS = [
    Row("evaluate-5k", "5,000 items, 14 findings, 2,000 resamples", _evaluation(5_000, 14, 20), cpu=True),
    Row("evaluate-50k", "50,000 items, 14 findings, 2,000 resamples", _evaluation(50_000, 14, 5), cpu=True),
    Row("evaluate-200", "2,000 items, 200 classes, 2,000 resamples", _evaluation(2_000, 200, 4), cpu=True),
    Row("write-scores", "50,000 x 200", writing, cpu=True, quick=False),
    Row("read-scores", "50,000 x 200", reading, cpu=True, quick=False),
]
