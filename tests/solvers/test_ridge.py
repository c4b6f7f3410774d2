"""Ridge against scikit-learn and a literal dual form; its strength against refits that leave one out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import sklearn.linear_model
from laws import fit, paired

from stitchkit.core.errors import EvidenceError, UnknownNameError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments
from stitchkit.solvers.frames import Frame
from stitchkit.solvers.ridge import ALPHAS, Ridge
from stitchkit.solvers.strengths import gcv, loo

NEW = paired(10, 6, 4, seed=5)[0]


@pytest.mark.parametrize("alpha", [1e-6, 0.1, 10, 1e4])
@pytest.mark.parametrize("n", [5, 80])
def test_scikit_learn_predicts_the_same(alpha, n):
    x, y = paired(n, 6, 4)
    penalty = alpha * ((x - x.mean(0)) ** 2).sum() / 6
    reference = sklearn.linear_model.Ridge(alpha=penalty).fit(x, y)
    for rows in (True, False):
        np.testing.assert_allclose(fit(Ridge(alpha=alpha), x, y, rows=rows).to_target(NEW), reference.predict(NEW),
                                   atol=1e-8)  # fmt: skip


def test_standardising_first_is_what_scaling_means():
    x, y = paired(80, 6, 4)
    by_x, by_y = x.std(0, ddof=1), y.std(0, ddof=1)
    for scale, sizes in (("source", np.ones(4)), ("both", by_y)):
        a, b = (x - x.mean(0)) / by_x, (y - y.mean(0)) / sizes
        reference = sklearn.linear_model.Ridge(alpha=0.3 * (a**2).sum() / 6).fit(a, b)
        expected = reference.predict((NEW - x.mean(0)) / by_x) * sizes + y.mean(0)
        np.testing.assert_allclose(fit(Ridge(alpha=0.3, scale=scale), x, y).to_target(NEW), expected, atol=1e-10)


def test_a_strong_penalty_predicts_the_mean():
    x, y = paired(80, 6, 4)
    np.testing.assert_allclose(fit(Ridge(alpha=1e12), x, y).to_target(NEW), np.tile(y.mean(0), (10, 1)), atol=1e-9)


@pytest.mark.parametrize("alpha", [1e-4, 0.1, 10])
def test_with_fewer_anchors_than_dimensions_it_is_the_dual_form(alpha):
    x, y = paired(50, 300, 20, noise=1.0)
    new = paired(10, 300, 20, seed=3)[0]
    a, b = x - x.mean(0), y - y.mean(0)
    penalty = alpha * (a**2).sum() / 300
    dual = a.T @ np.linalg.solve(a @ a.T + penalty * np.eye(50), b)  # X'(XX' + lam I)^-1 Y
    alignment = fit(Ridge(alpha=alpha), x, y)
    np.testing.assert_allclose(alignment.to_target.weight, dual, atol=1e-10)
    np.testing.assert_allclose(alignment.to_target(new), (new - x.mean(0)) @ dual + y.mean(0), atol=1e-9)
    assert alignment.record["method"] == "eigh in the span of the anchors"


# --- the strength that a rule finds -----------------------------------------------------------------------------

SHAPES = [(12, 6, 4), (40, 6, 4), (9, 14, 4), (7, 6, 4), (3, 5, 2)]  # n = d + 1 and n < d too
PENALTIES = [1e-6, 1e-2, 1.0, 1e3]


def brute(x, y, penalty):
    """Squared error of each pair by ridge refitted without it, mean and all."""
    errors = []
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        model = sklearn.linear_model.Ridge(alpha=penalty, solver="svd").fit(x[rest], y[rest])
        errors.append(((model.predict(x[i : i + 1]) - y[i]) ** 2).sum())
    return np.mean(errors)


@pytest.mark.parametrize(("n", "d_s", "d_t"), SHAPES)
def test_leaving_one_out_is_what_refitting_gives(n, d_s, d_t):
    x, y = paired(n, d_s, d_t, noise=0.7)
    curve = loo(Frame.of(Evidence(Moments.of(x, y), None, (x, y))), x, y)
    for penalty in PENALTIES:
        assert curve(penalty) == pytest.approx(brute(x, y, penalty), rel=1e-6)


@pytest.mark.parametrize(("n", "d_s", "d_t"), SHAPES)
def test_generalised_cross_validation_is_its_formula(n, d_s, d_t):
    x, y = paired(n, d_s, d_t, noise=0.7)
    a, b = x - x.mean(0), y - y.mean(0)
    for rows in (None, (x, y)):
        curve = gcv(Frame.of(Evidence(Moments.of(x, y), None, rows)))
        for penalty in PENALTIES:
            hat = a @ np.linalg.solve(a.T @ a + penalty * np.eye(d_s), a.T) + 1 / n
            literal = n * ((b - hat @ b) ** 2).sum() / (n - np.trace(hat)) ** 2
            assert curve(penalty) == pytest.approx(literal, rel=1e-5 if n <= d_s + 1 else 1e-10)


def test_generalised_cross_validation_keeps_its_digits_where_anchors_are_few():
    x, y = paired(9, 14, 4, noise=0.7)
    curve = gcv(Frame.of(Evidence(Moments.of(x, y), None, (x, y))))
    tiny = [curve(10.0**-k) for k in range(6, 14)]  # residual and freedom both vanish, their quotient does not
    np.testing.assert_allclose(tiny, tiny[-1], rtol=1e-5)


def test_leaving_one_out_keeps_its_digits_where_anchors_are_few():
    x, y = paired(200, 260, 4, noise=0.7)
    curve = loo(Frame.of(Evidence(Moments.of(x, y), None, (x, y))), x, y)
    tiny = [curve(10.0**-k) for k in range(5, 12)]
    np.testing.assert_allclose(tiny, tiny[0], rtol=1e-4)


@pytest.mark.parametrize("noise", [0.5, 3.0])
@pytest.mark.parametrize(("n", "d"), [(30, 6), (60, 6), (20, 30)])
def test_scikit_learn_leaves_one_out_and_chooses_the_same(n, d, noise):
    x, y = paired(n, d, 4, noise=noise)
    unit = ((x - x.mean(0)) ** 2).sum() / d
    reference = sklearn.linear_model.RidgeCV(alphas=np.array(ALPHAS) * unit, gcv_mode="svd").fit(x, y)
    alignment = fit(Ridge(alpha="loo"), x, y)
    assert alignment.record["settings"]["alpha"] * unit == pytest.approx(reference.alpha_)
    assert alignment.record["strength"]["rule"] == "loo"
    assert alignment.record["strength"]["error"] / 4 == pytest.approx(-reference.best_score_)
    np.testing.assert_allclose(alignment.to_target(x), reference.predict(x), atol=1e-8)


@pytest.mark.parametrize("rule", ["gcv", "loo"])
@pytest.mark.parametrize("scale", ["none", "source", "both"])
def test_the_chosen_strength_is_the_best_of_the_grid(rule, scale):
    x, y = paired(40, 6, 4, noise=1.0)
    record = fit(Ridge(alpha=rule, scale=scale), x, y).record
    assert record["settings"]["alpha"] in ALPHAS
    frame = Frame.of(Evidence(Moments.of(x, y), None, (x, y)), scale)
    curve = gcv(frame) if rule == "gcv" else loo(frame, x, y)
    unit = np.trace(frame.ss) / 6
    errors = [curve(alpha * unit) for alpha in ALPHAS]
    assert record["strength"]["error"] == pytest.approx(min(errors))
    assert record["settings"]["alpha"] == ALPHAS[int(np.argmin(errors))]
    assert record["notes"] == []


@pytest.mark.parametrize("rule", ["gcv", "loo"])
def test_the_grid_grows_where_its_end_wins_and_ends_with_a_note(rule):
    x = paired(60, 6, 4)[0]
    turned = x @ np.random.default_rng(1).normal(size=(6, 4))
    hardly = fit(Ridge(alpha=rule), x, turned).record  # without noise the least penalty is the best
    assert hardly["settings"]["alpha"] == pytest.approx(1e-10)
    assert "still prefers less than alpha 1e-10" in hardly["notes"][0]
    assert (hardly["strength"]["from"], hardly["strength"]["tried"]) == (pytest.approx(1e-10), len(ALPHAS) + 8)
    noise = np.random.default_rng(3).normal(size=(60, 4))
    much = fit(Ridge(alpha=rule), x, noise - x @ np.linalg.lstsq(x - x.mean(0), noise)[0]).record
    assert much["settings"]["alpha"] > 1e5  # nothing of y is linear in x
    assert "still prefers more than alpha 1e+09" in much["notes"][0]


def test_growing_stops_where_the_best_lies_inside():
    x, y = paired(300, 6, 4, noise=3e-5)
    record = fit(Ridge(alpha="gcv"), x, y).record
    assert 1e-10 < record["settings"]["alpha"] < 1e-6
    assert record["notes"] == []


@pytest.mark.parametrize("rule", ["gcv", "loo"])
def test_anchors_that_do_not_tell_strengths_apart_give_a_note(rule):
    x, y = paired(2, 6, 4)
    record = fit(Ridge(alpha=rule), x, y).record
    assert record["settings"]["alpha"] == 0.1
    assert "do not tell" in record["notes"][0]


def test_leaving_one_out_needs_rows_of_equal_weight():
    x, y = paired(30, 6, 4)
    assert Ridge(alpha="loo").needs == {"moments", "anchors"}
    assert Ridge(alpha="gcv").needs == Ridge().needs == {"moments"}
    with pytest.raises(EvidenceError, match="Ridge needs anchors"):
        Ridge(alpha="loo").fit(Evidence(Moments.of(x, y)))
    weighted = Evidence(Moments.of(x, y, np.linspace(1, 2, 30)), None, (x, y))
    with pytest.raises(EvidenceError, match="30 pairs were made of, or the pairs have weights"):
        Ridge(alpha="loo").fit(weighted)


def test_an_unknown_rule_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="no rule for alpha is called 'gvc'; nearest: gcv"):
        Ridge(alpha="gvc")


def test_the_grid_has_two_strengths_a_decade():
    np.testing.assert_allclose([b / a for a, b in pairwise(ALPHAS)], 10**0.5)
