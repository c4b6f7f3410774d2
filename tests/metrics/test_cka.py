"""CKA from sums against the literal n x n formulas."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError
from stitchkit.metrics.cka import cka, debiased_cka, debiased_cka_error


def draw(n, widths=(5, 7), seed=0, shared=3):
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(n, shared))
    return tuple(meaning @ rng.normal(size=(shared, d)) + rng.normal(size=(n, d)) for d in widths)


def literal_biased(x, y):
    n = len(x)
    centring = np.eye(n) - 1 / n
    k, l = centring @ x @ x.T @ centring, centring @ y @ y.T @ centring  # noqa: E741
    return np.sum(k * l) / np.sqrt(np.sum(k * k) * np.sum(l * l))


def literal_unbiased_hsic(x, y):
    """Song et al. 2012, as it stands there: n x n kernels with zero diagonals."""
    n, one = len(x), np.ones(len(x))
    k, l = x @ x.T, y @ y.T  # noqa: E741
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    middle = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ l) + middle - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))


def literal_debiased(x, y):
    return literal_unbiased_hsic(x, y) / np.sqrt(literal_unbiased_hsic(x, x) * literal_unbiased_hsic(y, y))


def test_biased_cka_is_the_literal_one(library):
    x, y = draw(40)
    assert cka(sk.Moments.of(*library(x, y))) == pytest.approx(literal_biased(x, y), abs=1e-12)


@pytest.mark.parametrize("n", [4, 5, 40])
def test_debiased_cka_is_the_literal_one(library, n):
    x, y = draw(n)
    assert debiased_cka(*library(x, y), chunk=7) == pytest.approx(literal_debiased(x, y), abs=1e-10)


def test_debiased_cka_does_not_depend_on_chunks_order_or_origin():
    x, y = draw(200)
    x = x[np.argsort(x[:, 0])]  # every chunk has a mean of its own
    y = y + np.linspace(0, 30, 200)[:, None]
    whole = debiased_cka(x, y)
    order = np.random.default_rng(1).permutation(200)
    assert debiased_cka(x, y, chunk=3) == pytest.approx(whole, abs=1e-12)
    assert debiased_cka(x[order], y[order], chunk=11) == pytest.approx(whole, abs=1e-12)
    assert debiased_cka(x + 1e5, y - 1e5, chunk=16) == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("measure", [lambda x, y: cka(sk.Moments.of(x, y)), debiased_cka])
def test_rotating_and_scaling_a_side_changes_nothing(measure):
    x, y = draw(60)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    assert measure(3e-4 * x @ turn, 1e3 * y) == pytest.approx(measure(x, y), abs=1e-11)
    assert measure(x, 2 * x @ turn) == pytest.approx(1, abs=1e-11)


def test_debiased_cka_of_independent_sides_is_zero_within_its_error_where_the_biased_one_is_not():
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(size=(50, 40)), rng.normal(size=(50, 30))) for _ in range(60)]
    found = np.array([debiased_cka(x, y) for x, y in pairs])
    assert abs(found.mean()) < 3 * found.std(ddof=1) / np.sqrt(len(found))
    assert min(cka(sk.Moments.of(x, y)) for x, y in pairs) > 0.3


def test_single_precision_rows_are_added_up_in_double():
    x, y = (side.astype(np.float32) for side in draw(3000))
    exact = debiased_cka(x.astype(np.float64), y.astype(np.float64))
    assert debiased_cka(x, y) == pytest.approx(exact, abs=1e-14)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [1.0, 0.1, 1e6 / 3])
def test_a_side_that_does_not_vary_is_refused_by_name(side, value):
    pair = list(draw(20))
    pair[side] = np.full_like(pair[side], value)
    with pytest.raises(InputError, match=r"all 20 vectors .* the same"):
        cka(sk.Moments.of(*pair))
    with pytest.raises(InputError, match=r"all 20 vectors .* the same"):
        debiased_cka(*pair)


def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="at least 4 rows; got 3"):
        debiased_cka(*draw(3))
    with pytest.raises(InputError, match="20 rows and target has 19"):
        debiased_cka(draw(20)[0], draw(19)[1])
    with pytest.raises(InputError, match="chunk must be at least 1"):
        debiased_cka(*draw(20), chunk=0)


def test_a_spread_that_four_rows_cannot_show_is_refused():
    # one row apart from equal others: its unbiased spread cancels to zero
    x = np.array([[1.0, 0.0]] + [[0.0, 1.0]] * 3)
    with pytest.raises(InputError, match="unbiased spread is zero"):
        debiased_cka(x, draw(4)[1])


def test_the_error_is_the_literal_jackknife():
    rng = np.random.default_rng(12)
    x = rng.normal(size=(50, 4)) + 3
    y = x @ rng.normal(size=(4, 3)) + rng.normal(size=(50, 3))
    parts = np.array_split(np.random.default_rng(5).permutation(50), 7)
    without = [debiased_cka(*(np.delete(side, part, axis=0) for side in (x, y))) for part in parts]
    literal = np.sqrt(6 / 7 * np.sum((np.asarray(without) - np.mean(without)) ** 2))
    assert debiased_cka_error(x, y, groups=7, seed=5) == pytest.approx(literal, rel=1e-9)
