"""Many spaces: joint moments, generalised Procrustes and GCCA against the two-space solvers and literal versions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from laws import rotation

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments
from stitchkit.solvers import MANY
from stitchkit.solvers.csa import CSA
from stitchkit.solvers.gcca import GCCA, POWERS
from stitchkit.solvers.generalised_procrustes import GeneralisedProcrustes
from stitchkit.solvers.many import JointMoments, joint_total
from stitchkit.solvers.procrustes import Procrustes

N = 70
WIDTHS = {"a": 6, "b": 5, "c": 8}
LOADS = {name: np.random.default_rng(i).normal(size=(4, d)) for i, (name, d) in enumerate(WIDTHS.items())}


def views_of(n, seed, *, noise=0.4, names="abc"):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4)) * [2, 1.5, 1, 0.7]
    return {k: z @ LOADS[k] + noise * rng.normal(size=(n, WIDTHS[k])) + i for i, k in enumerate(names)}


def joint_moments(views, library=None, **how):
    arrays = {name: x if library is None else library(x) for name, x in views.items()}
    return JointMoments.of({name: as_embeddings(x) for name, x in arrays.items()}, **how)


def folds_of(views, k=3):
    n = len(next(iter(views.values())))
    return [joint_moments({name: x[i::k] for name, x in views.items()}) for i in range(k)] if n else []


def similarities(joint, views):
    """All pairs of spaces, side by side."""
    names = list(views)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return np.concatenate([to_numpy(joint.between(a, b).similarity(views[a], views[b])) for a, b in pairs])


VIEWS, NEW = views_of(N, 1), views_of(25, 2)
EVERY = {
    "procrustes": GeneralisedProcrustes(kappa=0, tolerance=1e-14),
    "procrustes rank 2": GeneralisedProcrustes(kappa=0, rank=2, tolerance=1e-14),
    "procrustes each": GeneralisedProcrustes(kappa=0, scale="each", tolerance=1e-14),
    "procrustes with a ridge": GeneralisedProcrustes(tolerance=1e-14),
    "gcca": GCCA(),
    "gcca each": GCCA(kappa=0.01, scale="each"),
    "gcca dims 3": GCCA(dims=3),
    "gcca power 1": GCCA(power=1.0),
}
over = pytest.mark.parametrize("solver", EVERY.values(), ids=EVERY.keys())


def test_every_solver_of_the_table_is_under_test():
    from importlib import import_module

    for address in MANY.values():
        module, _, attribute = address.partition(":")
        assert getattr(import_module(module), attribute) in {type(one) for one in EVERY.values()}


# joint moments


def test_joint_moments_are_the_means_and_the_scatter(library):
    m = joint_moments(VIEWS, library)
    beside = np.concatenate(list(VIEWS.values()), axis=1)
    np.testing.assert_allclose(to_numpy(m.scatter), (N - 1) * np.cov(beside.T), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.concatenate([to_numpy(one) for one in m.means]), beside.mean(0), rtol=1e-13)
    assert m.bounds == [(0, 6), (6, 11), (11, 19)]
    assert m.count == N


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize("away", [0, 1e6])
def test_chunks_and_parts_add_up_to_the_whole(library, chunk, away):
    views = {name: x + away for name, x in VIEWS.items()}
    parts = [joint_moments({name: x[a:b] for name, x in views.items()}, library) for a, b in ((0, 9), (9, 50), (50, N))]
    whole = joint_moments(VIEWS, library)
    for other in (joint_moments(views, library, chunk=chunk), joint_total(parts)):
        np.testing.assert_allclose(to_numpy(other.scatter), to_numpy(whole.scatter), rtol=0, atol=1e-10 + away * 1e-13)
        assert other.count == N


def test_means_of_a_hundred_million_lose_no_digit(library):
    views = {name: x + 1e8 * (i + 1) for i, (name, x) in enumerate(VIEWS.items())}
    near = {name: x - 1e8 * (i + 1) for i, (name, x) in enumerate(views.items())}  # exact: what rounding left of them
    exact = joint_moments(near)
    cuts = ((0, 9), (9, 10), (10, 50), (50, N))
    parts = [joint_moments({name: x[a:b] for name, x in views.items()}, library) for a, b in cuts]
    for found in (joint_moments(views, library), joint_moments(views, library, chunk=7), joint_total(parts)):
        scale = np.abs(exact.scatter).max()
        np.testing.assert_allclose(to_numpy(found.scatter), exact.scatter, rtol=0, atol=1e-13 * scale)
        moved = [to_numpy(one) - 1e8 * (i + 1) for i, one in enumerate(found.means)]
        mean = np.concatenate(moved) + to_numpy(found.tail)
        np.testing.assert_allclose(mean, np.concatenate(exact.means), rtol=0, atol=1e-13)
    held, all_of_it = parts[2], joint_total(parts)
    about = to_numpy(held.about(all_of_it.means))
    rows = np.concatenate([near[name][10:50] for name in near], axis=1)
    away = np.concatenate([to_numpy(one) - 1e8 * (i + 1) for i, one in enumerate(all_of_it.means)])
    np.testing.assert_allclose(about, (rows - away).T @ (rows - away), rtol=0, atol=1e-13 * scale)


def test_squares_that_overflow_are_refused():
    with np.errstate(all="ignore"), pytest.raises(InputError, match="squares of rows 0 to 69 of 'a', 'b', 'c' overf"):
        joint_moments({**VIEWS, "b": VIEWS["b"] * 1e200})


def test_joint_moments_refuse_what_does_not_fit():
    with pytest.raises(InputError, match=r"'a' has 70 rows and 'b' has 69; row i of every view"):
        joint_moments({**VIEWS, "b": VIEWS["b"][:-1]})
    with pytest.raises(InputError, match="at least two; got 1"):
        joint_moments({"a": VIEWS["a"]})
    with pytest.raises(InputError, match="chunk must be at least 1"):
        joint_moments(VIEWS, chunk=0)
    with pytest.raises(InputError, match=r"\['a', 'b', 'c'\] cannot be added to those of \['b', 'a', 'c'\]"):
        joint_moments(VIEWS) + joint_moments({name: VIEWS[name] for name in "bac"})
    with pytest.raises(InputError, match=r"joint moments \('b'\)"):
        joint_moments(VIEWS) + joint_moments({**VIEWS, "b": VIEWS["c"]})


# laws of both solvers


@over
def test_libraries_agree(library, solver):
    parts = [joint_moments({name: x[i::3] for name, x in VIEWS.items()}, library) for i in range(3)]
    joint = solver.fit(parts)
    found = similarities(joint, {name: library(x) for name, x in NEW.items()})
    np.testing.assert_allclose(found, similarities(solver.fit(folds_of(VIEWS)), NEW), rtol=0, atol=1e-9)
    assert type(joint.map_of("a").weight) is type(library(VIEWS["a"]))


@over
def test_turned_copies_of_one_latent_are_matched_perfectly(solver):
    rng = np.random.default_rng(3)
    z, new = (rng.normal(size=(n, 5)) * [3, 2, 1.5, 1, 0.5] for n in (60, 20))
    turns = {name: (10.0**i * rotation(5, i), i) for i, name in enumerate("abcd")}
    views, fresh = ({name: x @ t + by for name, (t, by) in turns.items()} for x in (z, new))
    joint = solver.fit(folds_of(views))
    for a in "abcd":
        for b in "abcd":
            similarity = joint.between(a, b).similarity(fresh[a], fresh[b])
            if (
                not getattr(solver, "dims", None)
                and getattr(solver, "scale", "") == "none"
                and solver != EVERY["procrustes rank 2"]
            ):
                assert (similarity.argmax(axis=1) == np.arange(20)).all()
            if isinstance(solver, GeneralisedProcrustes) and solver.scale == "none":
                np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-9)
                np.testing.assert_allclose(joint.map_of(a)(fresh[a]), joint.map_of(b)(fresh[b]), atol=1e-8)


@over
def test_scaling_and_moving_a_space_changes_no_similarity(solver):
    by = {"a": (1e3, 5), "b": (1, -3), "c": (1e-4, 0)}
    moved, new = ({k: s * x[k] + t for k, (s, t) in by.items()} for x in (VIEWS, NEW))
    found = similarities(solver.fit(folds_of(moved)), new)
    np.testing.assert_allclose(found, similarities(solver.fit(folds_of(VIEWS)), NEW), rtol=0, atol=1e-7)


@over
def test_turning_a_space_changes_no_similarity_where_features_are_not_scaled(solver):
    moved, new = ({k: x[k] @ rotation(WIDTHS[k], i + 7) for i, k in enumerate("abc")} for x in (VIEWS, NEW))
    found = similarities(solver.fit(folds_of(moved)), new)
    same = np.allclose(found, similarities(solver.fit(folds_of(VIEWS)), NEW), rtol=0, atol=1e-6)
    assert same == (solver.scale == "none")


@over
def test_scaling_features_changes_no_similarity_where_features_are_scaled(solver):
    by = {k: np.geomspace(1e-3, 1e3, d) for k, d in WIDTHS.items()}
    moved, new = ({k: by[k] * x[k] for k in "abc"} for x in (VIEWS, NEW))
    found = similarities(solver.fit(folds_of(moved)), new)
    same = np.allclose(found, similarities(solver.fit(folds_of(VIEWS)), NEW), rtol=0, atol=1e-6)
    assert same == (solver.scale == "each")


@over
def test_the_order_of_the_spaces_is_irrelevant(solver):
    turned = {name: VIEWS[name] for name in "cab"}
    found = similarities(solver.fit(folds_of(turned)), NEW)
    np.testing.assert_allclose(found, similarities(solver.fit(folds_of(VIEWS)), NEW), rtol=0, atol=1e-6)


@over
def test_the_common_axes_do_not_hang_on_signs_of_a_decomposition(monkeypatch, solver):
    joint, plain, flips = solver.fit(folds_of(VIEWS)), np.linalg.eigh, np.random.default_rng(0)

    def turned(matrix):
        values, vectors = plain(matrix)
        return values, vectors * flips.choice([-1.0, 1.0], size=len(values))

    monkeypatch.setattr(np.linalg, "eigh", turned)  # every sign is as good a decomposition
    again = solver.fit(folds_of(VIEWS))
    for name in "abc":
        np.testing.assert_allclose(joint.map_of(name)(NEW[name]), again.map_of(name)(NEW[name]), rtol=0, atol=1e-6)
    first = joint.map_of("a").weight
    if solver.scale == "none":
        assert (first.max(axis=0) >= -first.min(axis=0) - 1e-12).all()


def test_a_decomposition_that_gives_up_is_tried_another_way(monkeypatch):
    solver, plain, calls = GeneralisedProcrustes(kappa=0, tolerance=1e-14), np.linalg.svd, []
    joint = solver.fit(folds_of(VIEWS))

    def gives_up_at_first(*args, **how):
        calls.append(how)
        if len(calls) % 2 and how.get("compute_uv", True):
            raise np.linalg.LinAlgError("SVD did not converge")
        return plain(*args, **how)

    monkeypatch.setattr(np.linalg, "svd", gives_up_at_first)
    again = solver.fit(folds_of(VIEWS))
    np.testing.assert_allclose(similarities(again, NEW), similarities(joint, NEW), rtol=0, atol=1e-8)


@pytest.mark.parametrize("rank", [None, 2])
def test_the_common_axes_of_procrustes_are_the_first_spaces_principal_ones(rank):
    joint = GeneralisedProcrustes(kappa=0, rank=rank, tolerance=1e-14).fit(folds_of(VIEWS))
    spread = np.cov(joint.map_of("a")(VIEWS["a"]).T)
    np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-12)
    assert (np.diff(np.diag(spread)) <= 1e-12).all()


@over
def test_the_record_is_plain(solver):
    record = json.loads(json.dumps(solver.fit(folds_of(VIEWS)).record))
    assert record["solver"] in ("generalised procrustes", "gcca")
    assert (record["anchors"], record["spaces"]) == (N, ["a", "b", "c"])
    assert record["rank"] == min(5, getattr(solver, "rank", None) or getattr(solver, "dims", None) or 5)
    assert record["notes"] == []


@over
def test_few_items_and_constant_features_fit_without_a_word(solver):
    few = {name: x[:4] for name, x in VIEWS.items()}
    joint = solver.fit(folds_of(few, 2))
    assert joint.record["rank"] <= 3
    assert np.isfinite(similarities(joint, NEW)).all()
    dead = {name: np.concatenate([x, np.full((N, 1), 1e5 + 0.1)], axis=1) for name, x in VIEWS.items()}
    assert np.isfinite(similarities(solver.fit(folds_of(dead)), {k: dead[k][:9] for k in dead})).all()


@over
def test_constant_spaces_and_one_item_are_refused(solver):
    with pytest.raises(InputError, match="all 70 vectors of 'b' are the same"):
        solver.fit([joint_moments({**VIEWS, "b": np.full((N, 5), 0.1)})])
    with pytest.raises(InputError, match="got 1 anchor"):
        solver.fit([joint_moments({name: x[:1] for name, x in VIEWS.items()})])


# generalised Procrustes


def test_two_spaces_give_the_similarity_of_procrustes():
    for names in ("ab", "ca"):
        views = {name: VIEWS[name] for name in names}
        x, y = views.values()
        plain = Procrustes().fit(Evidence(Moments.of(x, y)))
        joint = GeneralisedProcrustes(kappa=0).fit([joint_moments(views)])
        new = [NEW[name] for name in names]
        np.testing.assert_allclose(joint.between(*names).similarity(*new), plain.similarity(*new), atol=1e-9)
        assert joint.record["rank"] == plain.record["rank"]
        s = np.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)), compute_uv=False).sum()
        sizes = np.sqrt(((x - x.mean(0)) ** 2).sum() * ((y - y.mean(0)) ** 2).sum())
        assert joint.record["agreement"] == pytest.approx(s / sizes, abs=1e-12)


def test_the_agreement_never_falls_and_ends_where_nothing_improves():
    square = {name: VIEWS[name][:, :5] for name in "abc"}  # equal widths: R_i are rotations
    m = joint_moments(square)
    sums = [
        GeneralisedProcrustes(kappa=0, sweeps=k, tolerance=0).fit([m]).record["agreement"] for k in (1, 2, 3, 5, 9, 40)
    ]
    assert (np.diff(sums) >= -1e-14).all()
    joint = GeneralisedProcrustes(kappa=0, tolerance=1e-15).fit([m])
    images = {name: joint.map_of(name)(x) for name, x in square.items()}
    rng = np.random.default_rng(0)
    loss = sum(((images[p] - images[q]) ** 2).sum() for p in "abc" for q in "abc")
    for _ in range(200):  # Gower's sum of squares is not lowered by any small turn of any space
        name, skew = rng.choice(list("abc")), rng.normal(size=(5, 5)) * 1e-3
        turn = np.linalg.qr(np.eye(5) + skew - skew.T)[0]
        turn = turn * np.sign(np.diag(turn))
        moved = {**images, name: images[name] @ turn}
        assert sum(((moved[p] - moved[q]) ** 2).sum() for p in "abc" for q in "abc") >= loss - 1e-9


def test_it_agrees_with_a_literal_alternation_over_the_rows():
    square = {name: VIEWS[name][:, :5] - VIEWS[name][:, :5].mean(0) for name in "abc"}
    rows = [x / np.linalg.norm(x) for x in square.values()]
    best = 0.0
    for seed in range(10):
        turns = [rotation(5, 31 * seed + i) for i in range(3)]
        for _ in range(500):
            for i in range(3):
                mean = sum(rows[j] @ turns[j] for j in range(3) if j != i)
                u, _, vh = np.linalg.svd(rows[i].T @ mean)
                turns[i] = u @ vh
        images = [x @ t for x, t in zip(rows, turns, strict=True)]
        best = max(best, sum((images[i] * images[j]).sum() for i in range(3) for j in range(i)) / 3)
    found = GeneralisedProcrustes(kappa=0, tolerance=1e-15).fit([joint_moments(square)]).record["agreement"]
    assert found == pytest.approx(best, abs=1e-9)


def test_sweeps_that_do_not_suffice_are_told():
    joint = GeneralisedProcrustes(kappa=0, sweeps=1, tolerance=0).fit([joint_moments(VIEWS)])
    assert joint.record["settings"]["sweeps"] == 1
    assert "1 sweeps did not settle" in joint.record["notes"][0]


# GCCA


def test_with_a_ridge_every_map_is_ridge_regression_of_the_consensus():
    from sklearn.linear_model import Ridge

    plain, ridge = (
        GeneralisedProcrustes(kappa=kappa, tolerance=1e-14).fit([joint_moments(VIEWS)]) for kappa in (0.0, 0.1)
    )
    consensus = np.mean([plain.map_of(name)(x) for name, x in VIEWS.items()], axis=0)
    for name, x in VIEWS.items():
        sized = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0).sum())
        strength = 0.1 * (sized**2).sum() / x.shape[1]
        fitted = Ridge(alpha=strength, fit_intercept=False).fit(sized, consensus)
        np.testing.assert_allclose(ridge.map_of(name)(x), fitted.predict(sized), atol=1e-10)


def test_a_ridge_keeps_exactly_rotated_spaces_together():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 5)) * [3, 2, 1, 0.5, 0.1]
    views = {name: 10.0**i * z @ rotation(5, i) + i for i, name in enumerate("abc")}
    joint = GeneralisedProcrustes(kappa=0.1, tolerance=1e-15).fit([joint_moments(views)])
    a, b, c = (joint.map_of(name)(x) for name, x in views.items())
    np.testing.assert_allclose(b, a, atol=1e-9)
    np.testing.assert_allclose(c, a, atol=1e-9)


@pytest.mark.parametrize("kappa", [-0.1, float("inf"), True])
def test_a_strength_that_is_none_is_refused(kappa):
    with pytest.raises(InputError, match="kappa must be finite"):
        GeneralisedProcrustes(kappa=kappa)


def test_two_spaces_give_the_directions_of_canonical_correlation():
    views = {name: VIEWS[name] for name in "ab"}
    x, y = (v - v.mean(0) for v in views.values())
    joint = GCCA(kappa=1e-10).fit([joint_moments(views)])
    plain = CSA(kappa=1e-10).fit(Evidence(Moments.of(x, y), [Moments.of(x[:35], y[:35]), Moments.of(x[35:], y[35:])]))
    for name, one in (("a", plain.source_map), ("b", plain.target_map)):
        for j in range(5):
            ours, theirs = joint.map_of(name).weight[:, j], one.weight[:, j]
            cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
            assert abs(cosine) == pytest.approx(1, abs=1e-7)
    q_x, q_y = np.linalg.qr(x)[0], np.linalg.qr(y)[0]
    rho = np.linalg.svd(q_x.T @ q_y, compute_uv=False)
    np.testing.assert_allclose(joint.record["eigenvalues"], 1 + rho, atol=1e-7)


@pytest.mark.parametrize("kappa", [1e-6, 0.1, 2.0])
def test_it_is_the_eigenproblem_of_the_projections_over_the_rows(kappa):
    joint = GCCA(kappa=kappa).fit([joint_moments(VIEWS)])
    centred = {name: x - x.mean(0) for name, x in VIEWS.items()}
    inverse = {
        name: np.linalg.inv(x.T @ x + kappa * (x**2).sum() / x.shape[1] * np.eye(x.shape[1]))
        for name, x in centred.items()
    }
    values, g = np.linalg.eigh(sum(x @ inverse[name] @ x.T for name, x in centred.items()))  # n x n
    values, g = values[::-1][:5], g[:, ::-1][:, :5]
    np.testing.assert_allclose(joint.record["eigenvalues"], values, atol=1e-9)
    for name, x in centred.items():
        onto = inverse[name] @ x.T @ g  # ridge regression of g
        ours = joint.map_of(name).weight
        sign = np.sign((onto * ours).sum(axis=0))
        np.testing.assert_allclose(
            ours / np.linalg.norm(ours, axis=0), sign * onto / np.linalg.norm(onto, axis=0), atol=1e-7
        )
        ratio = np.linalg.norm(ours, axis=0) / np.linalg.norm(onto, axis=0)
        np.testing.assert_allclose(ratio / ratio[0], 1, atol=1e-7)


def held_out_images(solver, views, k=3):
    """For each fold, the images of its items about the training means under the maps of the other folds."""
    folds, found = folds_of(views, k), []
    for i in range(k):
        without = solver.fit([folds[j] for j in range(k) if j != i])
        found.append({name: without.map_of(name)(x[i::k]) for name, x in views.items()})
    return found


def correlations(images):
    """Mean over pairs of spaces of the correlation along each direction, with its sign."""
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    size = {name: np.linalg.norm(x, axis=0) for name, x in images.items()}
    return np.mean([(images[p] * images[q]).sum(0) / size[p] / size[q] for p, q in pairs], axis=0)


@pytest.mark.parametrize("power", [1.0, 0.5, 0.25])
def test_directions_are_weighed_by_what_held_out_items_correlate(power):
    joint = GCCA(power=power).fit(folds_of(VIEWS))
    expected = np.mean([np.maximum(correlations(one), 0) for one in held_out_images(GCCA(), VIEWS)], axis=0)
    np.testing.assert_allclose(joint.weights, expected**power, atol=1e-9)
    assert joint.record["folds"] == 3
    assert joint.record["settings"]["power"] == power


def test_directions_that_a_fold_lacks_take_the_mean_of_its_last_ones():
    rng = np.random.default_rng(4)
    loads = {name: rng.normal(size=(12, 40)) for name in "abc"}
    z = rng.normal(size=(24, 12))
    views = {name: z @ load + 0.3 * rng.normal(size=(24, 40)) for name, load in loads.items()}
    joint = GCCA(power=1.0).fit(folds_of(views))  # 23 directions; folds of 16 show 15
    expected = []
    for images in held_out_images(GCCA(), views):
        rho = correlations(images)
        assert len(rho) == 15
        expected.append(np.concatenate([np.maximum(rho, 0), np.full(8, max(rho[-1:].mean(), 0))]))
    np.testing.assert_allclose(joint.weights, np.mean(expected, axis=0), atol=1e-9)


@pytest.mark.parametrize("kappa", [1e-3, 0.1, 1.0, 30.0])
def test_the_exponent_separates_held_out_pairs_best(kappa):
    views = views_of(60, 9, noise=1.5)
    images = held_out_images(GCCA(kappa=kappa), views)
    rho, reached = [np.maximum(correlations(one), 0) for one in images], {}
    for power in POWERS:
        scores = []
        for i, one in enumerate(images):
            weights = np.mean([other for j, other in enumerate(rho) if j != i], axis=0) ** power
            every = [(one[p] * weights) @ one[q].T for p, q in (("a", "b"), ("a", "c"), ("b", "c"))]
            true = sum(np.diag(s).mean() for s in every)
            scores.append(true / np.sqrt(sum((s**2).mean() for s in every)))
        reached[power] = np.mean(scores)
    assert GCCA(kappa=kappa).fit(folds_of(views)).record["settings"]["power"] == max(reached, key=reached.get)


def recall(joint, views):
    names = list(views)
    pairs = [(a, b) for a in names for b in names if a != b]
    found = [joint.between(a, b).similarity(views[a], views[b]).argmax(axis=1) for a, b in pairs]
    return np.mean([one == np.arange(len(one)) for one in found])


def clustered(n, rng, centres, loads):
    z = centres[rng.integers(len(centres), size=n)] + 0.7 * rng.normal(size=(n, 30))
    return {name: z @ load + 0.4 * rng.normal(size=(n, load.shape[1])) for name, load in loads.items()}


def isotropic(n, rng, centres, loads):
    z = rng.normal(size=(n, 30))
    return {name: z @ load + 0.8 * rng.normal(size=(n, load.shape[1])) for name, load in loads.items()}


@pytest.mark.parametrize(("family", "kappa"), [(clustered, 1.0), (isotropic, 0.01)], ids=["clusters", "small ridge"])
def test_the_chosen_exponent_is_worth_it_where_one_exponent_fails(family, kappa):
    reached = {None: [], 1.0: [], 0.5: [], 0.0: []}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        centres = 2 * rng.normal(size=(12, 30))
        loads = {name: rng.normal(size=(30, d)) / 30**0.5 for name, d in (("a", 64), ("b", 96), ("c", 48))}
        folds, new = folds_of(family(150, rng, centres, loads), 5), family(200, rng, centres, loads)
        for power, values in reached.items():
            values.append(recall(GCCA(kappa=kappa, power=power).fit(folds), new))
    mean = {power: np.mean(values) for power, values in reached.items()}
    assert mean[None] >= max(mean.values()) - 0.01
    assert mean[None] >= min(mean[1.0], mean[0.0]) + 0.05


def test_noise_gets_little_weight_although_it_correlates_in_sample():
    rng = np.random.default_rng(0)
    noise = {name: rng.normal(size=(40, 30)) for name in "abc"}
    joint = GCCA(kappa=1e-3, power=1.0).fit(folds_of(noise, 5))
    assert joint.record["eigenvalues"][0] > 2.5
    assert joint.weights.max() < 0.35


def test_one_fold_gives_no_weights_and_says_so():
    joint = GCCA().fit([joint_moments(VIEWS)])
    assert joint.weights is None
    assert joint.record["settings"]["power"] is None
    assert "no items were held out" in joint.record["notes"][0]


@pytest.mark.parametrize("n", [4, 5, 7])
def test_folds_of_one_or_two_items_are_weighed_without_a_word(n):
    few = {name: x[:n] for name, x in VIEWS.items()}
    joint = GCCA().fit([joint_moments({name: x[:1] for name, x in few.items()}),
                        joint_moments({name: x[1:] for name, x in few.items()})])  # fmt: skip
    assert np.isfinite(joint.weights).all()
    assert joint.record["settings"]["power"] in POWERS


def test_a_third_space_helps_the_other_two():
    loads = [np.random.default_rng(i).normal(size=(10, 40)) for i in range(3)]

    def draw(n, rng):
        z = rng.normal(size=(n, 10))
        return {name: z @ load + 2.5 * rng.normal(size=(n, 40)) for name, load in zip("abc", loads, strict=True)}

    hits = {"with": [], "without": []}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        views, new = draw(60, rng), draw(100, rng)
        for how, names in (("with", "abc"), ("without", "ab")):
            joint = GCCA().fit(folds_of({name: views[name] for name in names}, 5))
            found = joint.between("a", "b").similarity(new["a"], new["b"])
            hits[how].append((found.argmax(axis=1) == np.arange(100)).mean())
    assert np.mean(hits["with"]) > np.mean(hits["without"])


BAD = [
    (GCCA, {"kappa": 0}),
    (GCCA, {"kappa": float("nan")}),
    (GCCA, {"dims": 0}),
    (GCCA, {"power": -0.5}),
    (GCCA, {"power": 2.0}),
    (GCCA, {"power": float("nan")}),
    (GeneralisedProcrustes, {"rank": 0}),
    (GeneralisedProcrustes, {"sweeps": 0}),
]


@pytest.mark.parametrize(("solver", "bad"), BAD, ids=str)
def test_bad_settings_are_refused_when_they_are_set(solver, bad):
    words = "sweep" if "sweeps" in bad else next(iter(bad))
    with pytest.raises(InputError, match=words):
        solver(**bad)


@pytest.mark.parametrize("solver", [GCCA, GeneralisedProcrustes])
def test_an_unknown_scale_lists_the_nearest(solver):
    with pytest.raises(UnknownNameError, match="nearest: each"):
        solver(scale="eahc")
