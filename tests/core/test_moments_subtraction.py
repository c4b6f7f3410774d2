"""Moments without a part: what the rest is, how many digits that costs, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from literal_moments import error, literal

from stitchkit.core.errors import InputError
from stitchkit.core.moments.moments import Moments
from stitchkit.core.moments.subtraction import EPS, subtraction_loss

RNG = np.random.default_rng(7)
N, D_S, D_T = 211, 6, 4
X = RNG.normal(size=(N, D_S)) * [1, 10, 0.1, 1, 5, 1] + 3
Y = X @ RNG.normal(size=(D_S, D_T)) + RNG.normal(size=(N, D_T))


def test_taking_a_part_out_gives_the_rest():
    rest = Moments.of(X, Y) - Moments.of(X[:60], Y[:60])
    reference = literal(X[60:], Y[60:])
    assert rest.count == N - 60
    assert error(rest, reference) < 1e-13
    np.testing.assert_allclose(rest.mean_s, reference["mean_s"], rtol=1e-12)


def test_a_lossy_subtraction_warns():
    x = np.concatenate([X[:60] * 100, X[60:]])
    with pytest.warns(UserWarning, match=r"lost [67] digits"):
        rest = Moments.of(x, Y) - Moments.of(x[:60], Y[:60])
    assert error(rest, literal(X[60:], Y[60:])) < 1e-8


def test_a_subtraction_that_would_lose_everything_is_refused():
    x = np.concatenate([X[:60] * 1e6, X[60:]])
    with pytest.raises(InputError, match=r"1[0-9] digits are lost.*Build the moments again"):
        Moments.of(x, Y) - Moments.of(x[:60], Y[:60])


def test_more_than_there_is_cannot_be_taken_out():
    some = Moments.of(X[:5], Y[:5])
    for part in (some, Moments.of(X[:9], Y[:9])):
        with pytest.raises(InputError, match=f"{part.count} pairs out of 5"):
            some - part


def test_what_is_constant_in_the_rest_has_no_scatter_at_all():
    x = X.copy()
    x[:, 2] -= 3
    x[60:, 2] = 0.25  # varies only in the part that is taken out
    with pytest.warns(UserWarning, match="of 1 column the subtraction left nothing but rounding"):
        rest = Moments.of(x, Y) - Moments.of(x[:60], Y[:60])
    assert rest.scatter_ss[2, 2] == 0
    assert not rest.scatter_ss[2, :].any()
    assert not rest.scatter_st[2, :].any()
    with pytest.warns(UserWarning, match="left nothing but rounding"):
        one_pair = Moments.of(X, Y) - Moments.of(X[1:], Y[1:])
    assert not one_pair.scatter_ss.any()
    assert not one_pair.scatter_tt.any()


def sites(larger=1, offset=0.0, seed=1, n=2000):
    """Rows of a site, ``larger`` times as many as the rest and ``offset`` standard deviations away, and the rest."""
    rng = np.random.default_rng(seed)
    many = n * larger // (larger + 1)
    x, y = rng.normal(size=(n, 5)), rng.normal(size=(n, 3))
    x[:many] += offset
    y[:many] -= offset
    return (x[:many], y[:many]), (x[many:], y[many:])


@pytest.mark.parametrize(
    ("larger", "offset", "worst"), [(1, 0, 5e-15), (99, 0, 2e-13), (1, 1e2, 2e-11), (1, 1e4, 2e-7)]
)
def test_the_error_of_the_rest_stays_within_what_the_loss_says(larger, offset, worst):
    measured = []
    for seed in range(5):
        site, rest = sites(larger, offset, seed)
        whole = Moments.of(*(np.concatenate(pair) for pair in zip(site, rest, strict=True)))
        part = Moments.of(*site)
        loss = subtraction_loss(whole, part)
        taken = whole - part if loss < 1e4 else warned(whole, part)
        measured.append(error(taken, literal(*rest)))
        assert measured[-1] < 50 * EPS * loss
        assert taken.count == len(rest[0])
    assert max(measured) < worst


def warned(whole, part):
    with pytest.warns(UserWarning, match="digits in the worst column"):
        return whole - part


def test_the_loss_is_the_ratio_of_the_scatters():
    site, rest = sites(3)
    part, left = Moments.of(*site), Moments.of(*rest)
    whole = part + left
    ratios = [
        np.diag(whole.scatter_ss) / np.diag(left.scatter_ss),
        np.diag(whole.scatter_tt) / np.diag(left.scatter_tt),
    ]
    assert subtraction_loss(whole, part) == pytest.approx(max(map(max, ratios)), rel=1e-12)


def test_far_from_the_origin_a_site_is_taken_out_as_well_as_near_it():
    site, rest = sites()
    whole = Moments.of(np.concatenate([site[0], rest[0]]) + 1e8, np.concatenate([site[1], rest[1]]))
    left = whole - Moments.of(site[0] + 1e8, site[1])
    assert error(left, literal(rest[0] + 1e8, rest[1])) < 1e-13


def test_adding_it_back_gives_the_whole_again():
    site, rest = sites(9)
    whole = Moments.of(*site) + Moments.of(*rest)
    again = (whole - Moments.of(*site)) + Moments.of(*site)
    assert again.count == whole.count
    np.testing.assert_allclose(again.scatter_st, whole.scatter_st, atol=1e-11)


def test_weights_are_taken_out_with_their_pairs():
    weights = np.random.default_rng(2).uniform(0.1, 3, size=N)
    rest = Moments.of(X, Y, weights) - Moments.of(X[:60], Y[:60], weights[:60])
    assert rest.weight == pytest.approx(weights[60:].sum(), rel=1e-13)
    assert error(rest, literal(X[60:], Y[60:], weights[60:])) < 1e-13
    light = Moments.of(X[:60], Y[:60], 2 * weights[:60])
    with pytest.raises(InputError, match="nothing would remain"):
        Moments.of(X[:70], Y[:70], 1e-3 * np.ones(70)) - light


def test_what_was_never_in_the_sum_is_refused():
    whole = Moments.of(X[60:], Y[60:])
    with pytest.raises(InputError, match=r"source column \d.*never in this sum.*Take out only what was added"):
        whole - Moments.of(X[:60] * 10, Y[:60])
    with pytest.raises(InputError, match=r"target column 1 .*never in this sum"):
        whole - Moments.of(X[60:120], Y[60:120] * [1, 40, 1, 1])


def test_a_part_that_leaves_impossible_correlations_is_refused():
    x = np.random.default_rng(0).normal(size=(200, 1))
    whole, part = Moments.of(x, x), Moments.of(x[:90], -x[:90])  # scatters fit, the pairing does not
    with pytest.raises(InputError, match="correlated by more than 1"):
        whole - part


@pytest.mark.parametrize("offset", [1e10, 1e12])
def test_a_site_so_far_off_that_nothing_is_left_of_the_rest_is_told(offset):
    site = Moments.of(X[:60] + offset, Y[:60])
    with pytest.warns(UserWarning, match="they count as constant. If they vary in what remains, build the moments"):
        rest = (site + Moments.of(X[60:], Y[60:])) - site
    assert not rest.scatter_ss.any()
