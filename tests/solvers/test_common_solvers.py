"""One battery of laws over every solver of the table, in every array library."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from laws import (
    BY_MOMENTS,
    CHOSEN,
    CUT,
    DIRECTED,
    EVERY,
    MEETING,
    PLAIN,
    PUBLISHED,
    RIGID,
    SCALED,
    SOURCE_SCALED,
    STANDARDISING,
    STEPPED,
    WEAK,
    evidence,
    fit,
    paired,
    rotation,
    solver_of,
    without,
)

from stitchkit.core.arrays import device_of, to_numpy
from stitchkit.core.errors import EvidenceError, InputError, UnknownNameError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments, total
from stitchkit.solvers import SOLVERS
from stitchkit.solvers.csa import CSA
from stitchkit.solvers.least_squares import LeastSquares
from stitchkit.solvers.procrustes import Procrustes
from stitchkit.solvers.relative import ASIF
from stitchkit.solvers.ridge import Ridge

N = 60
X, Y = paired(N, 5, 5)
NEW_X, NEW_Y = paired(20, 5, 5, seed=0)[0] + 0.3, paired(20, 5, 5, seed=3)[1]


def over(settings):
    return pytest.mark.parametrize("solver", settings.values(), ids=settings.keys())


def seen(alignment, x=NEW_X, y=NEW_Y):
    """What anchors determine: similarities and, where there is a directed map, predictions in the target's units."""
    met = to_numpy(alignment.similarity(x, y))
    return met if alignment.directed is None else np.concatenate([to_numpy(alignment.to_target(x)), met], axis=1)


def test_every_solver_of_the_table_is_under_test():
    assert set(PLAIN) == set(SOLVERS)
    assert set(PLAIN) <= set(WEAK) | set(MEETING)
    assert all(type(PLAIN[name]) is solver_of(name) for name in SOLVERS)


@over(PLAIN)
def test_what_has_no_directed_map_is_known(solver):
    assert (fit(solver, X, Y).directed is None) == (solver in MEETING.values())


@over(WEAK)
def test_a_noise_free_rotation_is_recovered(library, solver):
    turn = rotation(5, 1)
    y, new = 2.5 * X @ turn + 1, 2.5 * NEW_X @ turn + 1
    alignment = fit(solver, *library(X, y))
    predicted = alignment.to_target(library(NEW_X))
    np.testing.assert_allclose(to_numpy(predicted), new, atol=1e-6)
    similarity = to_numpy(alignment.similarity(*library(NEW_X, new)))
    assert (similarity.argmax(axis=1) == np.arange(len(new))).all()
    assert type(predicted) is type(library(X))
    assert device_of(predicted) == device_of(library(X))


@over(EVERY | STEPPED)
def test_libraries_agree(library, solver):
    ours = fit(solver, *library(X, Y))
    np.testing.assert_allclose(seen(ours, *library(NEW_X, NEW_Y)), seen(fit(solver, X, Y)), rtol=0, atol=1e-10)
    if ours.directed is not None:
        assert "float64" in str(ours.to_target.weight.dtype)
        assert type(ours.to_target.weight) is type(library(X))


@over(EVERY)
def test_libraries_agree_with_fewer_anchors_than_dimensions(library, solver):
    x, y = paired(9, 12, 10, seed=4)
    ours, reference = fit(solver, *library(x, y)), fit(solver, x, y)
    np.testing.assert_allclose(seen(ours, *library(x, y)), seen(reference, x, y), rtol=0, atol=1e-10)


@over(EVERY | STEPPED)
def test_single_precision_anchors_are_fitted_in_double(library, solver):
    x, y = X.astype(np.float32), Y.astype(np.float32)
    exact = fit(solver, x.astype(np.float64), y.astype(np.float64))
    ours = fit(solver, *library(x, y))
    np.testing.assert_allclose(seen(ours, *library(NEW_X, NEW_Y)), seen(exact), rtol=0, atol=1e-10)


@over(EVERY | STEPPED)
def test_row_order_is_irrelevant(solver):
    within = np.concatenate([np.random.default_rng(k).permutation(20) + 20 * k for k in range(3)])  # folds stay
    np.testing.assert_allclose(seen(fit(solver, X[within], Y[within])), seen(fit(solver, X, Y)), atol=1e-9)


@over(BY_MOMENTS | STEPPED)
def test_moments_of_folds_added_up_are_as_good_as_the_whole(solver):
    given = evidence(X, Y, rows=False)
    added = Evidence(total(given.folds), given.folds)
    np.testing.assert_allclose(seen(solver.fit(added)), seen(solver.fit(given)), atol=1e-9)


@over(without(BY_MOMENTS, CHOSEN))  # what generalised cross-validation chooses depends on the number of pairs
def test_weights_are_repeated_anchors(solver):
    times = np.random.default_rng(0).integers(1, 4, N)
    again = np.repeat(np.arange(N), times)
    folds = [slice(0, 20), slice(20, 40), slice(40, 60)]
    weighed = Evidence(Moments.of(X, Y, times), [Moments.of(X[one], Y[one], times[one]) for one in folds])
    parts = [again[(again >= one.start) & (again < one.stop)] for one in folds]
    repeated = Evidence(Moments.of(X[again], Y[again]), [Moments.of(X[one], Y[one]) for one in parts])
    np.testing.assert_allclose(seen(solver.fit(weighed)), seen(solver.fit(repeated)), atol=1e-9)


@over(EVERY | STEPPED)
def test_chunking_is_irrelevant(solver):
    np.testing.assert_allclose(seen(fit(solver, X, Y, chunk=7)), seen(fit(solver, X, Y)), atol=1e-9)


@over(PLAIN | CUT | CHOSEN | RIGID | {f"{one.__name__} pca 4": one(pca=4) for one in STANDARDISING})
def test_rotating_the_spaces_rotates_the_map(solver):
    left, right = rotation(5, 2), rotation(5, 3)
    turned, plain = fit(solver, X @ left, Y @ right), fit(solver, X, Y)
    if plain.directed is not None:
        np.testing.assert_allclose(turned.to_target(NEW_X @ left), plain.to_target(NEW_X) @ right, atol=1e-9)
    np.testing.assert_allclose(
        turned.similarity(NEW_X @ left, NEW_Y @ right), plain.similarity(NEW_X, NEW_Y), atol=1e-9
    )


@over(EVERY)
@pytest.mark.parametrize(("by_source", "by_target"), [(1e3, 1), (1, 1e-3), (1e-4, 1e4)])
def test_similarity_does_not_change_when_a_space_is_scaled_or_moved(solver, by_source, by_target):
    scaled = fit(solver, X * by_source + 5, Y * by_target - 3)
    found = scaled.similarity(NEW_X * by_source + 5, NEW_Y * by_target - 3)
    np.testing.assert_allclose(found, fit(solver, X, Y).similarity(NEW_X, NEW_Y), atol=1e-8)


@over(without(DIRECTED, RIGID))  # a rigid map keeps the source's units
def test_predictions_follow_the_targets_units(solver):
    scaled = fit(solver, X * 10 + 5, Y * 100 - 3)
    np.testing.assert_allclose(
        scaled.to_target(NEW_X * 10 + 5), fit(solver, X, Y).to_target(NEW_X) * 100 - 3, rtol=1e-8
    )


SIZES = np.array([1e-3, 1, 20, 300, 5])


@over(PUBLISHED | STEPPED)
def test_scaling_features_is_irrelevant_to_the_predictions_of_the_published_maps(solver):
    scaled, plain = fit(solver, X * SIZES, Y / SIZES), fit(solver, X, Y)
    np.testing.assert_allclose(scaled.to_target(NEW_X * SIZES) * SIZES, plain.to_target(NEW_X), atol=1e-8)


@over(SCALED)
def test_scaling_features_of_both_sides_is_irrelevant_to_what_standardises_both(solver):
    scaled, plain = fit(solver, X * SIZES, Y / SIZES), fit(solver, X, Y)
    np.testing.assert_allclose(
        scaled.similarity(NEW_X * SIZES, NEW_Y / SIZES), plain.similarity(NEW_X, NEW_Y), atol=1e-8
    )
    np.testing.assert_allclose(scaled.to_target(NEW_X * SIZES) * SIZES, plain.to_target(NEW_X), atol=1e-8)


@over(SOURCE_SCALED | {"least squares": PLAIN["least_squares"]})
def test_scaling_source_features_is_irrelevant_to_what_standardises_the_source(solver):
    scaled, plain = fit(solver, X * SIZES, Y), fit(solver, X, Y)
    np.testing.assert_allclose(seen(scaled, NEW_X * SIZES), seen(plain), atol=1e-8)


@over(EVERY)
@pytest.mark.parametrize(("d_s", "d_t"), [(6, 4), (4, 6), (1, 5), (5, 1)])
def test_widths_may_differ(library, solver, d_s, d_t):
    x, y = paired(50, d_s, d_t, seed=6)
    alignment = fit(solver, *library(x, y))
    assert alignment.source_map.target == alignment.target_map.target
    assert np.isfinite(to_numpy(alignment.similarity(*library(x, y)))).all()
    if alignment.directed is not None:
        assert alignment.to_target(library(x)).shape == y.shape
        assert alignment.source_map.rank == alignment.record["rank"] <= min(d_s, d_t)


@over(BY_MOMENTS)
@pytest.mark.parametrize("n", [3, 8])
def test_few_anchors_give_the_same_map_from_rows_and_from_moments(solver, n):
    x, y = paired(n, 12, 10, seed=8)
    mix = np.random.default_rng(1).normal(size=(15, n))
    mix += (1 - mix.sum(axis=1, keepdims=True)) / n
    on_span = mix @ x, mix @ y  # what anchors determine
    by_rows, by_moments = fit(solver, x, y), fit(solver, x, y, rows=False)
    np.testing.assert_allclose(seen(by_rows, *on_span), seen(by_moments, *on_span), atol=1e-7)
    for alignment in (by_rows, by_moments):
        assert alignment.record["rank"] <= n - 1
        assert alignment.record["anchors"] == n
    assert by_rows.record["rank"] == by_moments.record["rank"]


@over(DIRECTED)
@pytest.mark.parametrize("n", [8, N])
def test_the_record_tells_what_share_of_the_anchors_targets_is_explained(solver, n):
    x, y = paired(n, 12, 10, seed=8)
    alignment = fit(solver, x, y)
    standardised = alignment.record["settings"].get("scale") == "both" or solver in PUBLISHED.values()
    unit = y.std(axis=0) if standardised else 1
    missed, whole = (y - alignment.to_target(x)) / unit, (y - y.mean(axis=0)) / unit
    assert alignment.record["r2"] == pytest.approx(1 - np.sum(missed**2) / np.sum(whole**2), abs=1e-9)


@over(WEAK)
def test_few_anchors_are_interpolated_by_what_is_free_to(solver):
    x, y = paired(6, 12, 10, seed=9)
    if any(name in type(solver).__name__ for name in ("Procrustes", "Lowdin")):
        pytest.skip("an isometry bends to nothing: it has no freedom to interpolate")
    if isinstance(getattr(solver, "alpha", None), str):
        pytest.skip("what it chooses is for unseen pairs, not for these")
    np.testing.assert_allclose(fit(solver, x, y).to_target(x), y, atol=1e-6)


def with_constant(rows, constant):
    return np.concatenate([rows, np.full((len(rows), 1), constant)], axis=1)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e5 + 0.1])
@over(without(DIRECTED, CHOSEN))  # the grid of alphas is relative to the mean eigenvalue too
def test_a_constant_dimension_is_harmless(solver, constant):
    setting = next((name for name in ("alpha", "kappa") if hasattr(solver, name)), None)
    # strength is relative to the mean eigenvalue, which one more dead dimension lowers by 5/6
    fair = replace(solver, **{setting: getattr(solver, setting) * 6 / 5}) if setting else solver
    alignment = fit(fair, with_constant(X, constant), with_constant(Y, constant))
    new = with_constant(NEW_X, constant), with_constant(NEW_Y, constant)
    plain = fit(solver, X, Y)
    np.testing.assert_allclose(alignment.to_target(new[0])[:, :5], plain.to_target(NEW_X), atol=1e-7)
    np.testing.assert_allclose(alignment.to_target(new[0])[:, 5], constant, atol=1e-7)
    np.testing.assert_allclose(alignment.similarity(*new), plain.similarity(NEW_X, NEW_Y), atol=1e-7)
    assert alignment.record["rank"] <= 5


@over(DIRECTED)
def test_constant_sides_fit_without_a_word(solver):
    ones = np.ones((N, 5))
    for x, y in ((ones, Y), (X, ones), (ones, ones)):
        alignment = fit(solver, x, y)
        assert np.isfinite(seen(alignment)).all()
        np.testing.assert_allclose(alignment.to_target(x), np.broadcast_to(y.mean(0), y.shape), atol=1e-9)


@over(EVERY | STEPPED)
def test_the_record_is_plain_and_its_r2_is_that_of_the_directed_map(solver):
    alignment = fit(solver, X, Y)
    record = json.loads(json.dumps(alignment.record))
    assert record["solver"] in {*SOLVERS, "preset"}
    assert record["anchors"] == N
    assert record["rank"] == alignment.source_map.rank
    if alignment.directed is not None:
        both = record["solver"] == "preset" or getattr(solver, "scale", "none") == "both"
        residual, whole = Y - alignment.to_target(X), Y - Y.mean(0)
        sizes = Y.std(0) if both else 1
        expected = 1 - ((residual / sizes) ** 2).sum() / ((whole / sizes) ** 2).sum()
        assert record["r2"] == pytest.approx(expected, abs=1e-10)


@over(DIRECTED)
def test_the_record_tells_method_and_condition(solver):
    for x, y in ((X, Y), paired(9, 12, 10, seed=4)):
        record = fit(solver, x, y).record
        assert record["method"].endswith("in the span of the anchors") == (len(x) - 1 < x.shape[1])
        assert 0 < record["rcond"] <= 1


@over(PLAIN)
def test_the_inputs_are_left_alone(solver):
    x, y = X.copy(), Y.copy()
    fit(solver, x, y)
    assert (x == X).all()
    assert (y == Y).all()


@over(PLAIN)
def test_the_same_evidence_gives_the_same_map(solver):
    np.testing.assert_array_equal(seen(fit(solver, X, Y)), seen(fit(solver, X, Y)))


BAD = {
    "ridge": [{"alpha": None}, {"alpha": 0}, {"alpha": -1.0}, {"alpha": float("nan")}, {"alpha": float("inf")}],
    "isometric_ridge": [{"alpha": 0}, {"alpha": -1.0}, {"alpha": float("nan")}, {"alpha": float("inf")}],
    "reduced_rank": [{"rank": 0}, {"alpha": 0}, {"alpha": float("nan")}, {"alpha": float("inf")}],
    "pls": [{"rank": 0}, {"rank": -3}, {"rank": 2.5}],
    "csa": [
        {"kappa": 0},
        {"kappa": -1.0},
        {"kappa": float("nan")},
        {"kappa": float("inf")},
        {"dims": 0},
        {"dims": 1.5},
    ],
    "procrustes": [{"rank": 0}, {"rank": -3}, {"rank": 2.5}, {"pca": 2.5}, {"pca": 0}],
}


@pytest.mark.parametrize(("name", "settings"), [(name, one) for name, some in BAD.items() for one in some], ids=str)
def test_bad_settings_are_refused_when_they_are_set(name, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        solver_of(name)(**settings)


@pytest.mark.parametrize("solver", STANDARDISING)
def test_an_unknown_scale_lists_the_nearest_when_it_is_set(solver):
    with pytest.raises(UnknownNameError, match="nearest: source"):
        solver(scale="sorce")


@pytest.mark.parametrize("solver", STANDARDISING)
def test_no_principal_direction_at_all_is_refused_when_it_is_set(solver):
    with pytest.raises(InputError, match="pca >= 1, or None for all; got 0"):
        solver(pca=0)


@over(PLAIN | CHOSEN | STEPPED)
def test_what_a_solver_needs_and_lacks_is_named(solver):
    assert {"moments"} <= solver.needs <= {"moments", "folds", "anchors"}
    if solver.needs == {"moments"}:
        solver.fit(Evidence(Moments.of(X, Y)))
    else:
        lacking = min(solver.needs - {"moments"})
        with pytest.raises(EvidenceError, match=f"{type(solver).__name__} needs {lacking}"):
            solver.fit(Evidence(Moments.of(X, Y)))


def refuse(*args, **kwargs):
    raise RuntimeError("the arrays left their library")


@pytest.fixture
def only_torch(monkeypatch):
    """numpy.linalg and scipy.linalg raise."""
    import numpy.linalg
    import scipy.linalg

    for module in (numpy.linalg, scipy.linalg):
        for name in module.__all__:
            one = getattr(module, name)
            if callable(one) and not isinstance(one, type):
                monkeypatch.setattr(module, name, refuse)
    torch = pytest.importorskip("torch")
    return torch.asarray(X.copy()), torch.asarray(Y.copy())


@over(EVERY)
def test_torch_arrays_are_solved_by_torch(only_torch, solver):
    x, y = only_torch
    assert fit(solver, x, y).similarity(x, y).shape == (N, N)
    assert fit(solver, x[:4], y[:4]).similarity(x, y).shape == (N, N)


@pytest.mark.parametrize("purpose", ["match", "head"])
def test_torch_arrays_on_a_device_are_searched_by_torch(only_torch, purpose, monkeypatch):
    """Arrays in main memory are lent to numpy; this search sees no numpy."""
    from stitchkit.alignment import training_axes
    from stitchkit.alignment.align import align

    monkeypatch.setattr(training_axes, "lent", lambda array: array)
    x, y = only_torch
    alignment = align(x, y, solver="auto", purpose=purpose)
    assert type(alignment.source_map.weight) is type(x)


def test_the_patch_would_be_noticed(only_torch):
    with pytest.raises(RuntimeError, match="left their library"):
        fit(PLAIN["ridge"], X, Y)


def test_evidence_of_the_battery_adds_up():
    given = evidence(X, Y)
    np.testing.assert_allclose(sum(fold.count for fold in given.folds), given.moments.count)


@over(without(EVERY, CHOSEN))
@pytest.mark.parametrize("total", [1.0, 3.0])
def test_weighted_moments_do_not_meet_rows_that_know_no_weights(solver, total):
    x, y = paired(12, 20, 18, seed=4)
    weights = np.random.default_rng(0).uniform(0.2, 2, 12)
    moments = Moments.of(x, y, weights * total * 12 / weights.sum())
    folds = [Moments.of(x[k::3], y[k::3], weights[k::3]) for k in range(3)]
    with pytest.raises(InputError, match=r"weigh"):
        solver.fit(Evidence(moments, folds, (x, y)))


def test_rows_of_other_pairs_are_refused():
    with pytest.raises(EvidenceError, match="are not what these moments of 12 pairs"):
        solver_of("ridge")().fit(Evidence(Moments.of(*paired(12, 20, 18)), None, paired(13, 20, 18)))


def test_moments_alone_are_not_evidence():
    with pytest.raises(InputError, match=r"Write Evidence\(moments\)"):
        solver_of("ridge")().fit(Moments.of(X, Y))


@pytest.mark.parametrize(
    "made", [lambda v: Procrustes(rank=v(3)), lambda v: Ridge(pca=v(3)), lambda v: ASIF(keep=v(3))]
)
def test_numbers_of_numpy_are_numbers(made):
    x, y = paired(30, 5, 4)
    record = fit(made(np.int64), x, y).record
    assert json.loads(json.dumps(record["settings"])) == json.loads(json.dumps(fit(made(int), x, y).record["settings"]))


@pytest.mark.parametrize(
    "made",
    [
        lambda: Ridge(alpha=True),
        lambda: Ridge(alpha=float("nan")),
        lambda: Procrustes(rcond=float("nan")),
        lambda: Procrustes(rcond=-1),
        lambda: LeastSquares(rcond=2),
        lambda: Procrustes(rank=2.5),
        lambda: ASIF(keep=2.5),
        lambda: ASIF(keep="8"),
        lambda: CSA(kappa="a"),
    ],
)
def test_settings_that_are_no_such_numbers_are_refused(made):
    with pytest.raises(InputError):
        made()


@pytest.mark.parametrize("solver", [Ridge(scale="both"), Ridge(scale="source"), CSA(scale="both")])
def test_dead_outputs_of_an_encoder_are_not_scaled_up(solver):
    """Noise of 1e-33 and 1e-9, as all-MiniLM-L6-v2 has in three of its outputs, on both sides."""
    rng = np.random.default_rng(4)
    dead = np.concatenate([rng.normal(size=(len(X), 1)) * 1e-33, 1e-12 + rng.normal(size=(len(X), 1)) * 1e-9], axis=1)
    found, plain = (
        fit(solver, *(np.concatenate([side, more], axis=1) for side in (X, Y))) for more in (dead, np.zeros_like(dead))
    )
    for one in (found.source_map, found.target_map):
        assert np.abs(one.weight).max() < 1e6
    new = np.concatenate([NEW_X, np.zeros((len(NEW_X), 2))], axis=1)
    np.testing.assert_allclose(found.to_target(new)[:, :5], plain.to_target(new)[:, :5], atol=1e-6)


@pytest.mark.parametrize("solver", [Ridge(scale="both"), CSA(scale="both")])
def test_features_in_units_of_their_own_are_no_dead_outputs(solver):
    """Counts per litre beside shares: eleven digits apart, and all of them tell."""
    units = np.array([6e10, 2e9, 0.05, 0.1, 5e11])
    plain = fit(solver, X, Y)
    found = fit(solver, X * units, Y)
    np.testing.assert_allclose(found.to_target(NEW_X * units), plain.to_target(NEW_X), atol=1e-6)
    tiny = fit(solver, X * 1e-12, Y)  # all in one small unit
    np.testing.assert_allclose(tiny.to_target(NEW_X * 1e-12), plain.to_target(NEW_X), atol=1e-6)
