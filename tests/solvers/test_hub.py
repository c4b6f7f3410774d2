"""Composition through a hub: against the direct alignment, a literal version, and the Gaussian likelihood."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import EvidenceError, InputError, SpaceMismatchError, UnknownNameError
from stitchkit.core.moments.moments import Moments
from stitchkit.core.space import Space
from stitchkit.solvers.hub import HubComposition, log_likelihood_ratio

D_A, D_H, D_B, Q = 7, 6, 5, 4
RNG = np.random.default_rng(11)
TO_A, TO_H, TO_B = (RNG.normal(size=(Q, d)) for d in (D_A, D_H, D_B))


def items(n, seed, *, mean=0.0, noise=0.5, hub_noise=0.0):
    """Vectors of A, hub and B of the same items: one Gaussian latent, and a hub that shows all of it."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, Q)) + mean
    return tuple(
        z @ load + by * rng.normal(size=(n, load.shape[1])) + 1
        for load, by in ((TO_A, noise), (TO_H, hub_noise), (TO_B, noise))
    )


def moments(n, seeds=(1, 2), **how):
    """Moments of A-hub and hub-B pairs, of different items and different number."""
    (a, h, _), (_, other_h, b) = items(n, seeds[0], **how), items(n // 2, seeds[1], **how)
    return Moments.of(a, h), Moments.of(other_h, b)


def root(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**power) @ vectors.T


def literal(a_hub, hub_b, kappa, hub_kappa):
    """Carriers and directed weight, term by term."""

    def eased(c, by):
        return c + by * np.trace(c) / len(c) * np.eye(len(c))

    c_a, c_b = eased(a_hub.scatter_ss / a_hub.count, kappa), eased(hub_b.scatter_tt / hub_b.count, kappa)
    hub = (a_hub.scatter_tt + hub_b.scatter_ss) / (a_hub.count + hub_b.count)
    k = a_hub.scatter_st / a_hub.count @ np.linalg.inv(eased(hub, hub_kappa)) @ hub_b.scatter_st / hub_b.count
    return (
        np.linalg.svd(root(c_a, -0.5) @ k @ root(c_b, -0.5)),
        np.linalg.solve(c_a, k),
        root(c_a, -0.5),
        root(c_b, -0.5),
    )


NEW_A, NEW_H, NEW_B = items(30, 5)


def test_a_decomposition_that_gives_up_is_tried_another_way(monkeypatch):
    expected, plain, calls = HubComposition().fit(*moments(60)), np.linalg.svd, []

    def gives_up(*args, **how):
        calls.append(how)
        if len(calls) == 1:
            raise np.linalg.LinAlgError("SVD did not converge")
        return plain(*args, **how)

    monkeypatch.setattr(np.linalg, "svd", gives_up)
    found = HubComposition().fit(*moments(60))
    np.testing.assert_allclose(found.similarity(NEW_A, NEW_B), expected.similarity(NEW_A, NEW_B), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("kappa", "hub_kappa", "power"), [(0.1, 0.1, 1.0), (1e-3, 1.0, 0.5), (2.0, 1e-4, 0.0)])
def test_the_formula_holds(library, kappa, hub_kappa, power):
    (a, h, _), (_, other_h, b) = items(80, 1), items(50, 2)
    solver = HubComposition(kappa, hub_kappa, power=power)
    alignment = solver.fit(Moments.of(*library(a, h)), Moments.of(*library(other_h, b)))
    (u, c, vh), weight, white_a, white_b = literal(Moments.of(a, h), Moments.of(other_h, b), kappa, hub_kappa)
    left, right = (NEW_A - a.mean(0)) @ white_a @ u[:, : len(c)], (NEW_B - b.mean(0)) @ white_b @ vh.T
    keep = c > 1e-12 * c[0]
    left, right, c = left[:, : len(c)][:, keep], right[:, keep], c[keep]
    norms = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    found = alignment.similarity(*library(NEW_A, NEW_B))
    weights = np.clip(c, 0, 1) ** power
    np.testing.assert_allclose(to_numpy(found), (left * weights) @ right.T / norms, rtol=0, atol=1e-10)
    np.testing.assert_allclose(alignment.record["carriers"], c, rtol=0, atol=1e-12)
    predicted = alignment.to_target(library(NEW_A))
    np.testing.assert_allclose(to_numpy(predicted), (NEW_A - a.mean(0)) @ weight + b.mean(0), atol=1e-10)
    assert type(found) is type(predicted) is type(library(a))


def test_with_many_items_it_approaches_the_direct_canonical_correlations():
    a, _, b = items(200_000, 3)
    centred = a - a.mean(0), b - b.mean(0)
    whitened = [x @ root(x.T @ x / len(x), -0.5) for x in centred]
    direct = np.linalg.svd(whitened[0].T @ whitened[1] / len(a), compute_uv=False)[:Q]
    errors = []
    for n in (300, 3_000, 200_000):
        found = np.asarray(HubComposition(1e-8, 1e-8).fit(*moments(n)).record["carriers"])
        errors.append(abs(found[:Q] - direct).max())
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 5e-3


def of_the_model(n=1000, noise=0.5):
    """Moments as the Gaussian model has them, without sampling, and the covariances A-A, A-B, B-B."""

    def covariance(left, right):
        return left.T @ right + (noise**2 * np.eye(left.shape[1]) if left is right and left is not TO_H else 0)

    def pair(left, right, count):
        spaces = Space.of_array(left.shape[1]), Space.of_array(right.shape[1])
        scatters = [count * covariance(*both) for both in ((left, left), (left, right), (right, right))]
        return Moments(count, np.zeros(left.shape[1]), np.zeros(right.shape[1]), *scatters, *spaces)

    direct = covariance(TO_A, TO_A), covariance(TO_A, TO_B), covariance(TO_B, TO_B)
    return (pair(TO_A, TO_H, n), pair(TO_H, TO_B, 3 * n)), direct


def test_the_composition_of_the_models_own_moments_is_its_direct_regression_and_correlation():
    pair, (c_a, c_ab, c_b) = of_the_model()
    found = HubComposition(1e-9, 1e-9).fit(*pair)
    np.testing.assert_allclose(found.to_target.weight, np.linalg.solve(c_a, c_ab), atol=1e-6)
    direct = np.linalg.svd(root(c_a, -0.5) @ c_ab @ root(c_b, -0.5), compute_uv=False)
    np.testing.assert_allclose(found.record["carriers"][:Q], direct[:Q], atol=1e-6)


def test_weights_of_pairs_count_as_repeated_pairs():
    (a, h, _), (_, other_h, b) = items(40, 1), items(30, 2)
    times = np.arange(40) % 3
    weighed = HubComposition(center="hub").fit(Moments.of(a, h, times), Moments.of(other_h, b))
    again = np.repeat(np.arange(40), times)
    repeated = HubComposition(center="hub").fit(Moments.of(a[again], h[again]), Moments.of(other_h, b))
    np.testing.assert_allclose(weighed.similarity(NEW_A, NEW_B), repeated.similarity(NEW_A, NEW_B), atol=1e-9)


def test_what_the_hub_does_not_show_is_not_linked():
    (a, h, _), (_, other_h, b) = items(4_000, 1), items(4_000, 2)
    blind = np.random.default_rng(0).normal(size=h.shape)
    seen = HubComposition().fit(Moments.of(a, h), Moments.of(other_h, b)).record["carriers"][0]
    unseen = HubComposition().fit(Moments.of(a, blind), Moments.of(other_h, b)).record["carriers"][0]
    assert seen > 0.5
    assert unseen < 0.1


def test_scaling_turning_and_moving_each_space_changes_nothing():
    (a, h, _), (_, other_h, b) = items(80, 1), items(50, 2)
    turns = [np.linalg.qr(RNG.normal(size=(d, d)))[0] for d in (D_A, D_H, D_B)]

    def moved(x, i):
        return 10.0 ** (i - 1) * x @ turns[i] + 3

    plain = HubComposition().fit(Moments.of(a, h), Moments.of(other_h, b))
    other = HubComposition().fit(Moments.of(moved(a, 0), moved(h, 1)), Moments.of(moved(other_h, 1), moved(b, 2)))
    np.testing.assert_allclose(
        other.similarity(moved(NEW_A, 0), moved(NEW_B, 2)), plain.similarity(NEW_A, NEW_B), atol=1e-9
    )
    np.testing.assert_allclose(other.to_target(moved(NEW_A, 0)), moved(plain.to_target(NEW_A), 2), atol=1e-9)


def test_a_pair_of_sets_with_one_mean_does_not_care_which_mean_is_taken():
    (a, h, _), (_, other_h, b) = items(80, 1), items(50, 2)
    other_h = other_h - other_h.mean(0) + h.mean(0)
    pair = Moments.of(a, h), Moments.of(other_h, b)
    own, hub = (HubComposition(center=one).fit(*pair) for one in ("own", "hub"))
    np.testing.assert_allclose(own.similarity(NEW_A, NEW_B), hub.similarity(NEW_A, NEW_B), atol=1e-10)
    assert own.record["hub_gap"] < 1e-12


def test_sets_drawn_differently_are_put_right_by_the_means_in_the_hub():
    (a, h, _), (_, other_h, b) = items(20_000, 1, mean=-1.5), items(10_000, 2, mean=1.5)
    pair = Moments.of(a, h), Moments.of(other_h, b)
    own, hub = (HubComposition(1e-6, 1e-6, center=one).fit(*pair) for one in ("own", "hub"))
    fresh_a, _, fresh_b = items(5_000, 7, mean=-0.5)  # where the mean of both sets together lies

    def miss(alignment):
        return float(((alignment.to_target(fresh_a) - fresh_b).mean(axis=0) ** 2).sum() / fresh_b.var(axis=0).sum())

    assert miss(hub) < 1e-2
    assert miss(own) > 0.5
    np.testing.assert_allclose(hub.source_map.center, 1 - 0.5 * TO_A.sum(axis=0), atol=0.1)
    np.testing.assert_allclose(hub.target_map.center, 1 - 0.5 * TO_B.sum(axis=0), atol=0.1)
    assert own.record["hub_gap"] > 0.5
    assert any("means in the hub" in note for note in own.record["notes"])
    assert not any("means in the hub" in note for note in hub.record["notes"])


def test_sets_of_different_kind_are_matched_about_their_own_means():
    (a, h, _), (_, other_h, b) = items(4_000, 1), items(4_000, 2)
    alignment = HubComposition().fit(Moments.of(a, h), Moments.of(other_h + 40, b - 7))  # other words, same meaning
    plain = HubComposition().fit(Moments.of(a, h), Moments.of(other_h, b))
    np.testing.assert_allclose(alignment.similarity(NEW_A, NEW_B - 7), plain.similarity(NEW_A, NEW_B), atol=1e-9)


@pytest.mark.parametrize("kappa", [0.1, 1.0])
def test_the_coverage_is_the_share_of_the_link_that_the_hubs_other_pairs_show(library, kappa):
    (a, h, _), (_, other_h, b) = items(80, 1), items(50, 2)
    other_h = other_h * np.array([1, 1, 1, 0.1, 0.01, 0])
    found = HubComposition(kappa, 0.2).fit(Moments.of(*library(a, h)), Moments.of(*library(other_h, b))).record
    c_a, c_ah, c_h = np.cov(a.T, bias=True), (a - a.mean(0)).T @ (h - h.mean(0)) / 80, np.cov(other_h.T, bias=True)
    link = c_ah.T @ np.linalg.solve(c_a + kappa * np.trace(c_a) / D_A * np.eye(D_A), c_ah)
    shown = link @ np.linalg.solve(c_h + 0.2 * np.trace(c_h) / D_H * np.eye(D_H), c_h)
    assert found["hub_coverage"] == pytest.approx(np.trace(shown) / np.trace(link), abs=1e-10)


def test_pairs_of_another_kind_are_noticed_and_pairs_of_the_same_are_not():
    (a, h, _), (_, other_h, b) = items(400, 1, hub_noise=0.1), items(400, 2, hub_noise=0.1)
    first = np.linalg.svd(TO_H)[2][:2]  # the other pairs vary along two of four directions
    unlike = other_h.mean(0) + (other_h - other_h.mean(0)) @ first.T @ first
    same, other = (HubComposition().fit(Moments.of(a, h), Moments.of(rows, b)) for rows in (other_h, unlike))
    assert same.record["hub_coverage"] > 0.85 > other.record["hub_coverage"] > 0.2
    note = next(note for note in other.record["notes"] if "of what 'array' and the hub share" in note)
    assert f"{other.record['hub_coverage']:.2f}" in note
    assert "sk.align_many" in note
    assert len(same.record["notes"]) == 2


def test_the_note_on_distant_sets_gives_advice_that_helps():
    rng, hits = np.random.default_rng(5), {"own": [], "classes' mean": []}
    for _ in range(5):
        classes, kind = rng.normal(size=(4, 8)), 12 * rng.normal(size=8)
        to_a, to_b, label = rng.normal(size=(8, 20)), rng.normal(size=(8, 9)), rng.integers(4, size=300)
        h, other_h = classes[label] + kind, rng.normal(size=(300, 8))
        a = (h - kind) @ to_a + rng.normal(size=(300, 20))

        def b_of(rows, to_b=to_b):
            return np.tanh(0.2 * rows @ to_b)  # what holds among the other pairs does not hold far from them

        found = HubComposition().fit(Moments.of(a, h), Moments.of(other_h, b_of(other_h)))
        assert found.record["hub_gap"] > 0.5
        assert any("take the mean of the classes' own vectors off" in note for note in found.record["notes"])
        assert not any("center" in note for note in found.record["notes"])
        named = b_of(classes + kind)
        for how, vectors in (
            ("own", named),
            ("classes' mean", named - named.mean(axis=0) + found.target_map.center),
        ):
            hits[how].append((found.similarity(a, vectors).argmax(axis=1) == label).mean())
    assert np.mean(hits["classes' mean"]) > np.mean(hits["own"]) + 0.1


def test_pairs_are_found_that_were_never_seen_and_weights_help():
    rng = np.random.default_rng(0)
    loads = [rng.normal(size=(8, 30)) for _ in range(3)]

    def draw(n):
        z = rng.normal(size=(n, 8))
        return [z @ load + 1.5 * rng.normal(size=(n, 30)) for load in loads]

    (a, h, _), (_, other_h, b), (new_a, _, new_b) = draw(400), draw(300), draw(100)
    pair = Moments.of(a, h), Moments.of(other_h, b)
    hits = [
        float(
            (HubComposition(weighted=one).fit(*pair).similarity(new_a, new_b).argmax(axis=1) == np.arange(100)).mean()
        )
        for one in (True, False)
    ]
    assert hits[0] > max(hits[1], 0.3)


def gaussian_ratio(x, y, c):
    """log p(x, y) - log p(x) - log p(y) for unit Gaussians that correlate by ``c`` direction by direction."""
    from scipy.stats import multivariate_normal, norm

    joint = sum(
        multivariate_normal(cov=[[1, one], [one, 1]]).logpdf(np.stack([x[:, j], y[:, j]], axis=1))
        for j, one in enumerate(c)
    )
    return joint - norm.logpdf(x).sum(axis=1) - norm.logpdf(y).sum(axis=1)


def test_the_log_likelihood_ratio_is_that_of_the_gaussian_densities(library):
    (a, h, _), (_, other_h, b) = items(80, 1), items(50, 2)
    alignment = HubComposition().fit(Moments.of(*library(a, h)), Moments.of(*library(other_h, b)))
    found = to_numpy(log_likelihood_ratio(alignment, *library(NEW_A, NEW_B)))
    x, y = (to_numpy(m(library(v))) for m, v in ((alignment.source_map, NEW_A), (alignment.target_map, NEW_B)))
    c = alignment.record["carriers"]
    for i in (0, 7):
        expected = gaussian_ratio(np.broadcast_to(x[i], y.shape), y, c)
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-9)
    ids = [str(i) for i in range(30)]
    named = log_likelihood_ratio(alignment, Embeddings(NEW_A, ids, Space.of_array(D_A)), NEW_B)
    np.testing.assert_allclose(named, found, atol=1e-10)


def test_the_log_likelihood_ratio_clips_what_is_too_strong_and_is_positive_for_pairs():
    alignment = HubComposition(1e-8, 1e-8).fit(*moments(20_000, noise=0.01))
    assert max(alignment.record["carriers"]) > 0.995
    found = log_likelihood_ratio(alignment, NEW_A, NEW_B, ceiling=0.9)
    x, y = alignment.source_map(NEW_A), alignment.target_map(NEW_B)
    expected = gaussian_ratio(x, y, np.minimum(alignment.record["carriers"], 0.9))
    np.testing.assert_allclose(np.diag(found), expected, atol=1e-9)
    pair = HubComposition().fit(*moments(20_000))
    a, _, b = items(2_000, 8)
    ratio = log_likelihood_ratio(pair, a, b)
    assert np.diag(ratio).mean() > 0 > ratio.mean()
    assert log_likelihood_ratio(replace(pair, weights=None), a[:3], b[:3]) == pytest.approx(ratio[:3, :3])


def test_the_log_likelihood_ratio_refuses_what_has_no_carriers():
    alignment = HubComposition().fit(*moments(100))
    bare = Alignment(alignment.source_map, alignment.target_map)
    with pytest.raises(EvidenceError, match="was not composed through a hub"):
        log_likelihood_ratio(bare, NEW_A, NEW_B)
    for ceiling in (0, 1, 1.5, float("nan")):
        with pytest.raises(InputError, match="ceiling lies between 0 and 1"):
            log_likelihood_ratio(alignment, NEW_A, NEW_B, ceiling=ceiling)


def test_the_record_is_plain_and_says_that_no_pair_was_seen():
    record = json.loads(json.dumps(HubComposition(dims=3, weighted=False).fit(*moments(100)).record))
    assert record["solver"] == "hub"
    assert record["anchors"] == [100, 50]
    assert record["rank"] == record["settings"]["dims"] == len(record["carriers"]) == 3
    assert "no pair of 'array' and 'array' was seen" in record["notes"][0]


@pytest.mark.parametrize("dims", [1, 3, 4, 100])
def test_fewer_carriers_are_the_first_ones(dims):
    whole, cut = HubComposition().fit(*moments(100)), HubComposition(dims=dims).fit(*moments(100))
    k = min(dims, whole.record["rank"])
    np.testing.assert_allclose(cut.source_map(NEW_A), whole.source_map(NEW_A)[:, :k], atol=1e-12)
    assert cut.weights.shape == (k,)
    if dims == 100:
        np.testing.assert_allclose(cut.to_target(NEW_A), whole.to_target(NEW_A), atol=1e-12)


def test_few_pairs_and_constant_sides_fit_without_a_word():
    few = HubComposition().fit(*moments(6))
    assert few.record["rank"] <= 2
    assert np.isfinite(few.similarity(NEW_A, NEW_B)).all()
    (a, h, _), (_, other_h, b) = items(20, 1), items(20, 2)
    flat = HubComposition().fit(Moments.of(a, np.ones_like(h)), Moments.of(other_h, b))
    assert np.isfinite(flat.to_target(NEW_A)).all()
    np.testing.assert_allclose(flat.to_target(NEW_A), np.broadcast_to(b.mean(0), NEW_B.shape), atol=1e-12)


def test_another_hub_is_refused():
    (a, h, _), (_, other_h, b) = items(20, 1), items(20, 2)
    ids = [str(i) for i in range(20)]

    def named(rows, name, mark):
        return Embeddings(rows, ids, Space(name, rows.shape[1], mark))

    left = Moments.of(named(a, "xray", "fa"), named(h, "text", "f1"))
    right = Moments.of(named(other_h, "other text", "f2"), named(b, "ct", "fb"))
    with pytest.raises(SpaceMismatchError, match=r"the hub takes vectors of 'text' .*'other text'"):
        HubComposition().fit(left, right)
    with pytest.raises(SpaceMismatchError, match=r"the hub takes \(n, 6\) .*got \(n, 5\)"):
        HubComposition().fit(left, Moments.of(b, other_h))
    same = HubComposition().fit(left, Moments.of(named(other_h, "text", "f1"), named(b, "ct", "fb")))
    assert (same.source.name, same.target.name) == ("xray", "ct")
    assert same.source_map.target.fingerprint is not None
    assert same.record["hub"] == "text"


BAD = [
    {"kappa": 0},
    {"kappa": float("nan")},
    {"hub_kappa": -1},
    {"hub_kappa": float("inf")},
    {"dims": 0},
    {"power": -1.0},
    {"power": 1.5},
    {"power": float("nan")},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_settings_are_refused_when_they_are_set(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        HubComposition(**bad)


def test_an_unknown_centre_lists_the_nearest_and_one_pair_is_too_few():
    with pytest.raises(UnknownNameError, match="nearest: own"):
        HubComposition(center="owm")
    (a, h, _), (_, other_h, b) = items(20, 1), items(20, 2)
    with pytest.raises(InputError, match="got 1 anchor; this needs at least 2"):
        HubComposition().fit(Moments.of(a[:1], h[:1]), Moments.of(other_h, b))
