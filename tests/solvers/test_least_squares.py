"""Least squares: scikit-learn, what is done about duplicates, and what the record warns of; digits stand elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from laws import fit, paired
from sklearn.linear_model import LinearRegression

from stitchkit.core.arrays import to_numpy
from stitchkit.solvers.least_squares import LeastSquares


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
    assert alignment.record["fallback"].startswith("cholesky: ")
    assert alignment.record["rcond"] < 1e-14
    assert "rank 6 of 7" in alignment.record["notes"][-1]
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
    plain = fit(LeastSquares(), *paired(200, 6, 4)).record
    assert (plain["method"], plain["fallback"]) == ("cholesky", None)
    assert 0.01 < plain["rcond"] <= 1


def test_the_sweep_over_the_rows_may_take_several_chunks(monkeypatch):
    x, y = paired(100, 6, 4)
    twice = np.concatenate([x, x[:, :1]], axis=1)
    whole = fit(LeastSquares(), twice, y)
    monkeypatch.setattr("stitchkit.solvers.least_squares.CHUNK", 7)
    np.testing.assert_allclose(fit(LeastSquares(), twice, y).to_target(twice), whole.to_target(twice), atol=1e-10)
