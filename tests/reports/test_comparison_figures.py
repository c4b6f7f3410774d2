"""Figures of comparisons and learning curves draw what was measured."""

from __future__ import annotations

import io

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.reports.comparison_figures import comparison_figure, learning_curve_figure


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8))
    return x, x + 1.5 * rng.normal(size=(200, 8))


def test_a_curve_is_drawn_with_its_law_and_chance(pairs, tmp_path):
    settings = {"draws": 2, "solver": sk.Procrustes(), "replicates": 30}
    curve = sk.learning_curve(*pairs, sizes=[10, 30, 90], **settings)
    figure = learning_curve_figure(curve, target=0.3)
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["measured"].get_xdata(), [10, 30, 90])
    np.testing.assert_allclose(lines["measured"].get_ydata(), curve.values.mean(axis=1))
    assert lines["extrapolated"].get_xdata()[-1] == pytest.approx(360)
    assert lines["extrapolated"].get_ydata()[-1] == pytest.approx(curve.at(360).value)
    assert lines["chance"].get_ydata()[0] == curve.chance
    assert axes.get_title() == str(curve.anchors_for(0.3))
    figure.savefig(io.BytesIO(), format="svg")
    short = learning_curve_figure(sk.learning_curve(*pairs, sizes=[10, 30], **settings))
    assert "extrapolated" not in {line.get_label() for line in short.axes[0].get_lines()}


def test_a_comparison_is_drawn_best_first(pairs):
    found = sk.compare(*pairs, solvers={"a": sk.Ridge(), "b": sk.Procrustes(), "c": sk.LeastSquares()})
    axes = comparison_figure(found).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.name for row in found.rows]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    dots = [float(line.get_xdata()[0]) for line in axes.get_lines() if line.get_marker() == "o"]
    assert dots == [row.measures["mrr"].value for row in found.rows]
