"""Training sets in their axes: rows and moments give the same, and single precision where it resolves everything."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.alignment import training_axes
from stitchkit.alignment.align import align
from stitchkit.alignment.folds import Folds, assign
from stitchkit.alignment.training_axes import SIDES, TrainingSets, from_rows
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import as_embeddings
from stitchkit.solvers.ridge import RidgeDraft


def sets_of(x, y):
    folds = Folds.of(as_embeddings(x), as_embeddings(y), assign(x.shape[0], None, seed=0))
    return folds, TrainingSets(x, y, folds.evidence().moments)


def data(n, d_s, d_t, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d_s)) * np.geomspace(5, 0.2, d_s)
    return x + offset, x @ rng.normal(size=(d_s, d_t)) + rng.normal(size=(n, d_t)) - offset


def ranked(axes):
    left, right = RidgeDraft(axes, (0.1,)).sides(0)
    return left @ right.T


@pytest.mark.parametrize("scale", SIDES)
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_rows_and_moments_give_the_same_axes(scale, offset, monkeypatch):
    x, y = data(120, 9, 7, offset=offset)
    folds, sets = sets_of(x, y)
    by_moments = sets.axes(folds, 2, [scale])[scale]
    train = np.concatenate([part.rows for i, part in enumerate(folds.parts) if i != 2])
    for target, values in ((False, by_moments.source_values), (True, by_moments.target_values)):
        held = folds.parts[2].gallery if target else folds.parts[2].queries
        side = from_rows(sets.side(target, SIDES[scale][target]), np.sort(train), held)
        np.testing.assert_allclose(side.values, values, rtol=1e-7)
        inside = by_moments.gallery if target else by_moments.queries
        np.testing.assert_allclose(np.abs(side.held), np.abs(inside), atol=1e-5)


@pytest.mark.parametrize(("n", "d_s", "d_t"), [(30, 50, 40), (30, 50, 6), (30, 6, 50), (90, 100, 20)])
def test_the_dual_form_ranks_as_the_features_do(n, d_s, d_t):
    x, y = data(n, d_s, d_t)
    folds, sets = sets_of(x, y)
    axes = sets.axes(folds, 0, ["none"])["none"]
    train = np.concatenate([part.rows for part in folds.parts[1:]])
    from stitchkit.core.evidence import Evidence
    from stitchkit.core.moments.moments import Moments
    from stitchkit.solvers.ridge import Ridge

    fitted = Ridge(alpha=0.1).fit(Evidence(Moments.of(x[train], y[train]), None, (x[train], y[train])))
    expected = fitted.similarity(x[folds.parts[0].queries], y[folds.parts[0].gallery])
    np.testing.assert_allclose(ranked(axes), expected, atol=1e-6)


def test_single_precision_is_for_wide_matrices_whose_values_it_resolves():
    wide = 160
    tame = sets_of(*data(400, wide, 8))
    assert tame[1].axes(tame[0], 0, ["none"])["none"].queries.dtype == np.float64  # the narrow target is exact
    both = sets_of(*data(400, wide, wide))
    assert both[1].axes(both[0], 0, ["none"])["none"].queries.dtype == np.float32
    x, y = data(400, wide, wide)
    x[:, -1] *= 1e-6
    steep = sets_of(x, y)
    assert steep[1].axes(steep[0], 0, ["none"])["none"].source_values.dtype == np.float64


def test_lower_brings_target_coordinates_back(library):
    x, y = data(60, 9, 7)
    folds, sets = sets_of(*library(x, y))
    for scale in SIDES:
        axes = sets.axes(folds, 1, [scale])[scale]
        rows, mean = axes.lower()
        back = to_numpy(axes.gallery @ rows + mean)
        np.testing.assert_allclose(back, y[folds.parts[1].gallery], atol=1e-8)


def test_arrays_of_torch_in_main_memory_are_lent(library):
    x, y = library(*data(60, 9, 7))
    folds, sets = sets_of(x, y)
    found = sets.axes(folds, 0, ["none"])["none"].queries
    assert type(found) is type(training_axes.lent(x))


def test_small_directions_that_carry_everything_are_seen_in_wide_spaces():
    """Twenty large directions are unrelated; what is shared is 250 times smaller."""
    rng, width, n = np.random.default_rng(5), 160, 700
    shared = rng.normal(size=(n + 100, width))
    size = np.full(width, 4e-3)
    size[:20] = 1
    sides = []
    for noise in (0.0, 0.3):
        rows = shared + noise * rng.normal(size=shared.shape)
        rows[:, :20] = rng.normal(size=(n + 100, 20))
        sides.append(rows * size @ np.linalg.qr(rng.normal(size=(width, width)))[0])
    x, y = sides
    fitted = align(x[:n], y[:n], solver="csa")
    assert fitted.record["held_out"]["mrr"] > 0.9
    found = fitted.similarity(x[n:], y[n:]).argmax(axis=1)
    assert np.mean(found == np.arange(100)) > 0.9
