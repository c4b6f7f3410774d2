"""What the search is told about a track: each number against its literal meaning."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from laws import evidence, paired, solver_of

from stitchkit.core.moments import Evidence, Moments
from stitchkit.solvers import SOLVERS, TRACKS
from stitchkit.solvers.frames import Frame

SIZES = {"many": (90, 6, 5), "few": (10, 16, 14)}
CASES = [(size, family, purpose) for size in SIZES for family in TRACKS for purpose in ("match", "head")]
over_cases = pytest.mark.parametrize(("size", "family", "purpose"), CASES)


def tracks_of(family, given, purpose):
    module, name = TRACKS[family].split(":")
    return getattr(import_module(module), name)(given, purpose)


def opened(size, family, purpose):
    """Every track of the family with its path, the anchors it was opened on, and pairs held out."""
    n, d_s, d_t = SIZES[size]
    x, y = paired(n + 20, d_s, d_t, noise=0.8)
    train = evidence(x[:n], y[:n], rows=size == "few")
    held = Evidence(Moments.of(x[n:], y[n:]), None, (x[n:], y[n:]) if size == "few" else None)
    for track in tracks_of(family, train, purpose):
        yield track, track.open(Frame.of(train, track.scale)), train, held, x[n:], y[n:]


def test_every_family_that_is_searched_is_a_solver():
    assert set(TRACKS) <= set(SOLVERS)
    for family in TRACKS:
        tracks = tracks_of(family, evidence(*paired(90, 6, 5)), "match")
        assert tracks
        assert all(track.family == family for track in tracks)


@over_cases
def test_each_strength_is_the_solver_with_that_setting(size, family, purpose):
    for track, path, train, _, x, y in opened(size, family, purpose):
        for i, strength in enumerate(track.strengths):
            setting = {track.strength: None if strength == "all" else strength}
            alone = solver_of(family)(scale=track.scale, **track.settings, **setting).fit(train)
            np.testing.assert_allclose(path.alignment(i).to_target(x), alone.to_target(x), atol=1e-7)
            ours = path.alignment(i, alone.weights)
            np.testing.assert_allclose(ours.similarity(x, y), alone.similarity(x, y), atol=1e-7)


@over_cases
def test_separation_is_true_pairs_over_the_spread_of_all_pairs(size, family, purpose):
    for track, path, _, held, x, y in opened(size, family, purpose):
        for i, found in enumerate(path.separation(held)):
            alignment = path.alignment(i)
            scores = alignment.source_map(x) @ alignment.target_map(y).T
            assert found == pytest.approx(np.trace(scores) / np.linalg.norm(scores), abs=1e-8), track.strengths[i]


@pytest.mark.parametrize(("size", "family"), [(size, family) for size in SIZES for family in TRACKS])
def test_explained_is_the_held_out_r2_in_the_targets_units(size, family):
    for track, path, _, held, x, y in opened(size, family, "head"):
        for i, found in enumerate(path.explained(held)):
            to_target = path.alignment(i).to_target
            residual, whole = y - to_target(x), y - to_target.bias
            assert found == pytest.approx(1 - (residual**2).sum() / (whole**2).sum(), abs=1e-8), track.strengths[i]


@pytest.mark.parametrize("family", ["ridge", "csa"])
def test_freedom_falls_along_the_path(family):
    x, y = paired(200, 40, 30)
    given = evidence(x, y)
    for track in tracks_of(family, given, "match"):
        path = track.open(Frame.of(given, track.scale))
        freedom = [path.freedom(i) for i in range(len(track.strengths))]
        assert freedom == sorted(freedom, reverse=True)
        assert freedom[-1] >= 0


def test_freedom_of_an_isometry_is_the_size_of_its_manifold():
    given = evidence(*paired(200, 40, 30))
    track = tracks_of("procrustes", given, "match")[0]
    path = track.open(Frame.of(given, track.scale))
    frame = {r: (40 * r - r * (r + 1) / 2) + (30 * r - r * (r + 1) / 2) - r * (r - 1) / 2 for r in (30, 24, 16, 12, 8)}
    assert [path.freedom(i) for i in range(len(track.strengths))] == list(frame.values())  # two frames, one rotation
