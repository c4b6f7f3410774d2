"""Least squares: the accuracy table, its fallbacks, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from laws import fit, paired
from sklearn.linear_model import LinearRegression

from stitchkit.core.arrays import to_numpy
from stitchkit.core.moments import Evidence, Moments
from stitchkit.solvers.least_squares import LeastSquares

N, D_S, D_T = 20_000, 128, 64


def spread(rng, n, cond):
    """Rows whose centred scatter has this condition number (of singular values)."""
    left = np.linalg.qr(rng.normal(size=(n, D_S)))[0]
    right = np.linalg.qr(rng.normal(size=(D_S, D_S)))[0]
    return left * np.geomspace(1, 1 / cond, D_S) @ right.T * n**0.5


COLUMNS = {  # what the source rows look like -> (rows, cell of the bold row with its fallback, method expected)
    "easy": (lambda rng: rng.normal(size=(N, D_S)), 2e-15, "cholesky"),
    "mean/sd 1e3": (lambda rng: rng.normal(size=(N, D_S)) + 1e3, 2e-15, "cholesky"),
    "mean/sd 1e5": (lambda rng: rng.normal(size=(N, D_S)) + 1e5, 2e-15, "cholesky"),
    "scales 1e-4..1e4": (lambda rng: rng.normal(size=(N, D_S)) * np.geomspace(1e-4, 1e4, D_S), 2e-15, "cholesky"),
    "cond 2e4": (lambda rng: spread(rng, N, 2e4), 3e-11, None),
    "cond 2e6": (lambda rng: spread(rng, N, 2e6), 1e-12, "qr over the rows"),
    "exact duplicate": (lambda rng: rng.normal(size=(N, D_S))[:, [0, *range(D_S - 1)]], 3e-15, "qr over the rows"),
    "n < d": (lambda rng: rng.normal(size=(100, D_S)), 3e-15, None),
}


def centred(rows):
    return (rows - rows.astype(np.longdouble).mean(0)).astype(np.float64)


def reference(a, b):
    """Fitted values (n, d_t) of least squares on centred rows, by the SVD of the rows themselves."""
    u, s, _ = np.linalg.svd(a / np.linalg.norm(a, axis=0), full_matrices=False)
    u = u[:, s > s[0] * 1e-13]
    return u @ (u.T @ b)


@pytest.mark.parametrize("column", COLUMNS)
def test_accuracy_is_that_of_the_table(column):
    rows, cell, method = COLUMNS[column]
    rng = np.random.default_rng(1)
    x = rows(rng)
    y = (x - x.mean(0)) / x.std(0) @ rng.normal(size=(D_S, D_T)) + rng.normal(size=(len(x), D_T))
    a, b = centred(x), centred(y)
    alignment = LeastSquares().fit(Evidence(Moments.of(x, y), None, (x, y)))
    error = np.linalg.norm(a @ alignment.to_target.weight - reference(a, b)) / np.linalg.norm(b)
    assert error < 100 * cell
    assert method is None or alignment.record["method"] == method


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scikit_learn_predicts_the_same(dtype):
    x, y = (rows.astype(dtype) for rows in paired(80, 6, 4))
    reference = LinearRegression().fit(x.astype(np.float64), y.astype(np.float64))
    new = paired(10, 6, 4, seed=5)[0]
    np.testing.assert_allclose(fit(LeastSquares(), x, y).to_target(new), reference.predict(new), atol=1e-11)


@pytest.mark.parametrize(("rows", "method"), [(True, "qr over the rows"), (False, "eigh with a cut")])
def test_a_duplicate_column_is_detected_and_predictions_are_right(library, rows, method):
    x, y = paired(80, 6, 8)
    twice = np.concatenate([x, x[:, :1]], axis=1)
    alignment = fit(LeastSquares(), *library(twice, y), rows=rows)
    assert (alignment.record["method"], alignment.record["rank"]) == (method, 6)
    expected = LinearRegression().fit(x, y).predict(x)
    np.testing.assert_allclose(to_numpy(alignment.to_target(library(twice))), expected, atol=1e-7)


def test_what_the_anchors_do_not_determine_stays_small():
    x, y = paired(20, 40, 4)
    for rows in (True, False):
        weight = fit(LeastSquares(), x, y, rows=rows).to_target.weight
        least = np.linalg.pinv(x - x.mean(0)) @ (y - y.mean(0))
        assert np.linalg.norm(weight) < 3 * np.linalg.norm(least)


def test_few_anchors_are_warned_of_in_the_record():
    assert fit(LeastSquares(), *paired(200, 6, 4)).record["notes"] == []
    assert "12 anchors for 6" in fit(LeastSquares(), *paired(12, 6, 4)).record["notes"][0]
    assert fit(LeastSquares(), *paired(200, 6, 4)).record["method"] == "cholesky"


def test_the_sweep_over_the_rows_may_take_several_chunks(monkeypatch):
    x, y = paired(100, 6, 4)
    twice = np.concatenate([x, x[:, :1]], axis=1)
    whole = fit(LeastSquares(), twice, y)
    monkeypatch.setattr("stitchkit.solvers.least_squares.CHUNK", 7)
    np.testing.assert_allclose(fit(LeastSquares(), twice, y).to_target(twice), whole.to_target(twice), atol=1e-10)
