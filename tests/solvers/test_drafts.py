"""What the search sees of a track: each number against the map that the solver fits."""

from __future__ import annotations

from functools import partial
from importlib import import_module

import numpy as np
import pytest
from laws import evidence, paired, solver_of

from stitchkit.alignment.folds import Folds
from stitchkit.alignment.training_axes import TrainingSets
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import as_embeddings
from stitchkit.solvers import SOLVERS, TRACKS
from stitchkit.solvers.axes import Extent
from stitchkit.solvers.drafts import draft_svd
from stitchkit.solvers.frames import Frame
from stitchkit.solvers.isometric_ridge import IsometricRidgeDraft
from stitchkit.solvers.pls import PLSDraft
from stitchkit.solvers.reduced_rank import ReducedRankDraft

SIZES = {"many": (90, 6, 5), "few": (10, 16, 14), "between": (12, 16, 5)}
CASES = [(size, family, purpose) for size in SIZES for family in TRACKS for purpose in ("match", "head")]
over_cases = pytest.mark.parametrize(("size", "family", "purpose"), CASES)


def tracks_of(family, extent, purpose):
    module, name = TRACKS[family].split(":")
    return getattr(import_module(module), name)(extent, purpose)


def rows_of(size):
    n, d_s, d_t = SIZES[size]
    x, y = paired(n + 20, d_s, d_t, noise=0.8)
    return x[:n], y[:n], x[n:], y[n:]


def training_axes(x, y, held_x, held_y, scale, pca=None):
    """The training set ``x``, ``y`` in its axes, and the held-out rows; scaled by the training rows alone."""
    both = as_embeddings(np.concatenate([x, held_x])), as_embeddings(np.concatenate([y, held_y]))
    folds = Folds.of(*both, [np.arange(len(x)), np.arange(len(x), len(x) + len(held_x))])
    folds.parts[1].gallery.sort()  # equal rows apart: the queries' own targets, in their order
    sets = TrainingSets(both[0].vectors, both[1].vectors, folds.without(1))
    whole = sets.axes(folds, 1, [scale])[scale]
    return whole if pca is None else whole.cut(pca)


def opened(size, family, purpose):
    """Every track of the family with its draft, the anchors it was opened on, and pairs held out."""
    x, y, held_x, held_y = rows_of(size)
    train = evidence(x, y, rows=size != "many" or family == "lowdin")
    for track in tracks_of(family, Extent(len(x), (x.shape[1], y.shape[1])), purpose):
        axes = training_axes(x, y, held_x, held_y, track.scale, track.pca)
        yield track, track.draft(axes), train, held_x, held_y


def fitted(track, at, train):
    return track.open(Frame.of(train, track.scale, track.pca)).alignment(at)


def test_every_family_that_is_searched_is_a_solver():
    assert set(TRACKS) <= set(SOLVERS)
    for family in TRACKS:
        tracks = tracks_of(family, Extent(90, (6, 5)), "match")
        assert tracks
        assert all(track.family == family for track in tracks)


@over_cases
def test_each_strength_is_the_solver_with_that_setting(size, family, purpose):
    for track, _, train, x, y in opened(size, family, purpose):
        for i, strength in enumerate(track.strengths):
            setting = {track.strength: None if strength == "all" else strength}
            fixed = {} if family == "lowdin" else {"scale": track.scale}
            alone = solver_of(family)(**fixed, **track.settings, **setting).fit(train)
            ours = track.open(Frame.of(train, track.scale)).alignment(i, alone.weights if family == "csa" else None)
            np.testing.assert_allclose(ours.to_target(x), alone.to_target(x), atol=1e-7)
            np.testing.assert_allclose(ours.similarity(x, y), alone.similarity(x, y), atol=1e-7)


@over_cases
def test_a_draft_ranks_by_the_similarity_of_the_map(size, family, purpose):
    for track, draft, train, x, y in opened(size, family, purpose):
        for i in range(len(track.strengths)):
            left, right = draft.sides(i)
            expected = fitted(track, i, train)
            given = expected if family == "lowdin" else expected.__class__(expected.source_map, expected.target_map)
            np.testing.assert_allclose(left @ right.T, given.similarity(x, y), atol=1e-6)


@over_cases
def test_separation_is_true_pairs_over_the_spread_of_all_pairs(size, family, purpose):
    for track, draft, train, x, y in opened(size, family, purpose):
        for i, found in enumerate(draft.separation()):
            alignment = fitted(track, i, train)
            left, right = alignment.source_map(x), alignment.target_map(y)
            scores = (left if family != "lowdin" else left * alignment.weights) @ right.T
            assert found == pytest.approx(np.trace(scores) / np.linalg.norm(scores), abs=1e-6), track.strengths[i]


@pytest.mark.parametrize(("size", "family"), [(size, family) for size in SIZES for family in TRACKS])
def test_predictions_and_r2_are_those_of_the_directed_map(size, family):
    for track, draft, train, x, y in opened(size, family, "head"):
        rows, mean = draft.axes.lower()
        for i, found in enumerate(draft.held_out_r2()):
            to_target = fitted(track, i, train).to_target
            np.testing.assert_allclose(draft.predictions(i) @ rows + mean, to_target(x), atol=1e-6)
            if track.scale != "both":
                residual, whole = y - to_target(x), y - to_target.bias
                expected = 1 - (residual**2).sum() / (whole**2).sum()
                assert found == pytest.approx(expected, abs=1e-6), track.strengths[i]


def test_a_principal_part_is_that_of_the_solver():
    x, y, held_x, held_y = rows_of("many")
    axes = training_axes(x, y, held_x, held_y, "both", pca=3)
    track = next(one for one in tracks_of("ridge", Extent(90, (6, 5)), "match") if one.scale == "both")
    given = track.open(Frame.of(evidence(x, y), "both", 3)).alignment(4)
    left, right = track.draft(axes).sides(4)
    np.testing.assert_allclose(left @ right.T, given.similarity(held_x, held_y), atol=1e-8)


@pytest.mark.parametrize("family", ["ridge", "csa"])
def test_freedom_falls_along_the_path(family):
    x, y = paired(220, 40, 30)
    for track in tracks_of(family, Extent(200, (40, 30)), "match"):
        draft = track.draft(training_axes(x[:200], y[:200], x[200:], y[200:], track.scale, track.pca))
        freedom = [draft.freedom(i) for i in range(len(track.strengths))]
        assert freedom == sorted(freedom, reverse=True)
        assert freedom[-1] >= 0


def draft_of(family, x, y, alone=None):
    """A draft of the first track, or of strengths of one's own."""
    axes = training_axes(x[:-20], y[:-20], x[-20:], y[-20:], "none")
    return (alone or tracks_of(family, Extent(len(x) - 20, (x.shape[1], y.shape[1])), "match")[0].draft)(axes)


def test_freedom_of_an_isometry_is_the_size_of_its_manifold():
    draft = draft_of("procrustes", *paired(220, 40, 30))
    frame = {r: (40 * r - r * (r + 1) / 2) + (30 * r - r * (r + 1) / 2) - r * (r - 1) / 2 for r in (30, 24, 16, 12, 8)}
    assert [draft.freedom(i) for i in range(5)] == list(frame.values())  # two frames, one rotation


def test_freedom_of_reduced_rank_and_pls_is_that_of_a_map_of_that_rank():
    x, y = paired(220, 8, 6)
    expected = [6 * 8, 4 * (8 + 6 - 4), 8 + 6 - 1]
    for alone in (partial(ReducedRankDraft, alpha=1e-12, ranks=(None, 4, 1)), partial(PLSDraft, ranks=(None, 4, 1))):
        draft = draft_of("", x, y, alone)
        assert [draft.freedom(i) for i in range(3)] == pytest.approx(expected)


def test_freedom_of_isometric_ridge_goes_from_that_of_least_squares_to_that_of_the_isometry():
    draft = draft_of("", *paired(220, 8, 6), partial(IsometricRidgeDraft, alphas=(1e-9, 1e-3, 1.0, 1e3, 1e9)))
    freedom = [draft.freedom(i) for i in range(5)]
    assert freedom == sorted(freedom, reverse=True)
    assert freedom[0] == pytest.approx(8 * 6)
    assert freedom[-1] == pytest.approx(6 * (8 + 6 - 6) - 6 * 7 / 2)


@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (9, 9)])
def test_a_draft_of_singular_vectors_is_that_of_the_library(library, shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    u, s, v = (to_numpy(one) for one in draft_svd(library(matrix)))
    np.testing.assert_allclose(s, np.linalg.svd(matrix, compute_uv=False), atol=1e-12)
    np.testing.assert_allclose((u * s) @ v.T, matrix, atol=1e-12)
    np.testing.assert_allclose(u.T @ u, np.eye(len(s)), atol=1e-9)


def test_directions_that_the_precision_does_not_show_are_left_out():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(9, 3)) @ rng.normal(size=(3, 8))
    u, _, v = draft_svd(matrix)
    assert u.shape == (9, 3)
    assert v.shape == (8, 3)
    assert draft_svd(np.zeros((4, 3)))[1].tolist() == [0.0]
