"""Intervals of average precision: derivatives against numerical ones, and laws that no interval may break."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from stitchkit.core.errors import InputError
from stitchkit.metrics.auroc_intervals import AurocPulls
from stitchkit.metrics.average_precision_intervals import (
    PrecisionPulls,
    macro_precision_difference,
    macro_precision_interval,
    precision_intervals,
)

CLASSES = 3


def sample(seed=0, patients=30, levels=0, unknown=0.0):
    """Scores of two methods, labels and patients, with ties if ``levels``."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    labels = (rng.random((len(groups), CLASSES)) < 0.3).astype(float)
    labels[:2], labels[-2:] = 1, 0
    shared = rng.normal(size=labels.shape) + rng.normal(size=(patients, CLASSES))[groups] + labels
    both = [shared + 0.5 * rng.normal(size=labels.shape) for _ in range(2)]
    if levels:
        both = [np.round(one * levels / 4) for one in both]
    labels[rng.random(labels.shape) < unknown] = np.nan
    return *both, labels, groups


def weighted(scores, labels, weights):
    """Average precision with a weight for every row, by scikit-learn."""
    known = ~np.isnan(labels)
    return average_precision_score(labels[known], scores[known], sample_weight=weights[known])


@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_values_are_those_of_scikit_learn(levels, unknown):
    scores, _, labels, groups = sample(levels=levels, unknown=unknown)
    found = PrecisionPulls.of(scores, labels, groups).value
    expected = [weighted(s, y, np.ones(len(groups))) for s, y in zip(scores.T, labels.T, strict=True)]
    assert np.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("levels", [0, 4])
def test_pulls_and_bias_are_numerical_derivatives_by_patients_weights(levels):
    scores, _, labels, groups = sample(1, levels=levels, unknown=0.1)
    pulls, step = PrecisionPulls.of(scores, labels, groups), 1e-4
    for j in range(CLASSES):
        positive, negative = labels[:, j] == 1, labels[:, j] == 0

        def moved(rows, by, j=j):
            return weighted(scores[:, j], labels[:, j], np.where(rows, 1 + by, 1.0))

        bias = 0.0
        for g in range(30):
            own = groups == g
            parts = [
                (moved(own & side, step) - moved(own & side, -step))
                / (2 * step)
                / np.sqrt(1 - (own & side).sum() / side.sum())
                for side in (positive, negative)
            ]
            assert pulls.pull[g, j] == pytest.approx(sum(parts), abs=1e-7)
            bias += (moved(own, step) - 2 * pulls.value[j] + moved(own, -step)) / step**2 / 2
        assert pulls.bias[j] == pytest.approx(bias, abs=1e-4)


@pytest.mark.parametrize("levels", [0, 4])
def test_repeating_every_row_changes_nothing(levels):
    scores, other, labels, groups = sample(2, levels=levels)
    once = [PrecisionPulls.of(one, labels, groups) for one in (scores, other)]
    twice = [
        PrecisionPulls.of(np.repeat(one, 3, 0), np.repeat(labels, 3, 0), np.repeat(groups, 3))
        for one in (scores, other)
    ]
    assert np.allclose(macro_precision_interval(once[0]), macro_precision_interval(twice[0]), atol=1e-9)
    assert np.allclose(macro_precision_difference(*once), macro_precision_difference(*twice), atol=1e-9)


def test_the_order_of_rows_and_the_names_of_patients_decide_nothing():
    scores, _, labels, groups = sample(3, levels=4)
    order = np.random.default_rng(0).permutation(len(groups))
    names = np.char.add("patient ", groups.astype(str))
    plain = macro_precision_interval(PrecisionPulls.of(scores, labels, groups))
    assert np.allclose(plain, macro_precision_interval(PrecisionPulls.of(scores[order], labels[order], names[order])))


def test_only_the_order_of_scores_counts():
    scores, _, labels, groups = sample(4)
    one, other = (PrecisionPulls.of(part, labels, groups) for part in (scores, np.exp(scores)))
    assert np.allclose(precision_intervals(one), precision_intervals(other))
    assert macro_precision_difference(one, other) == (0, 0, 0)


def test_a_difference_the_other_way_round_is_its_mirror_image():
    scores, second, labels, groups = sample(5)
    one, other = (PrecisionPulls.of(part, labels, groups) for part in (scores, second))
    there, back = macro_precision_difference(one, other), macro_precision_difference(other, one)
    assert np.allclose(there, (-back.value, -back.high, -back.low))
    assert there.low <= there.value <= there.high


@pytest.mark.parametrize("seed", range(20))
def test_ends_hold_the_value_and_lie_between_0_and_1(seed):
    scores, second, labels, groups = sample(seed, patients=8)
    one, other = (PrecisionPulls.of(part, labels, groups) for part in (scores, second))
    for found in [*precision_intervals(one), macro_precision_interval(one)]:
        assert 0 <= found.low <= found.value <= found.high <= 1
    gap = macro_precision_difference(one, other)
    assert -1 <= gap.low <= gap.value <= gap.high <= 1


def test_a_perfect_ranking_has_a_width_that_shrinks_with_the_positives():
    lows = []
    for positives in (5, 12, 40):
        labels = (np.arange(200) < positives).astype(float)[:, None]
        found = precision_intervals(PrecisionPulls.of(labels, labels))[0]
        assert found.value == found.high == 1
        lows.append(found.low)
    assert 0.2 < lows[0] < lows[1] < lows[2] < 0.98


def test_equal_scores_have_the_interval_of_a_share_of_positives():
    labels = (np.arange(100) < 20).astype(float)[:, None]
    found = precision_intervals(PrecisionPulls.of(np.zeros((100, 1)), labels))[0]
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.13, 0.29), abs=0.02)  # Wilson's are .133 and .289


@pytest.mark.parametrize("side", [0, 1])
def test_one_patient_on_a_side_has_no_interval(side):
    scores, second, labels, groups = sample(6)
    labels[:, 0] = np.where(groups == 3, side, 1 - side)
    one, other = (PrecisionPulls.of(part, labels, groups) for part in (scores, second))
    assert not precision_intervals(one)[0].has_ends
    assert all(found.has_ends for found in precision_intervals(one)[1:])
    assert not macro_precision_interval(one).has_ends
    assert not macro_precision_difference(one, other).has_ends


@pytest.mark.parametrize("label", [0.0, 1.0, np.nan])
def test_a_class_of_one_kind_has_no_value(label):
    scores, _, labels, groups = sample(7)
    labels[:, 1] = label
    assert np.isnan(precision_intervals(PrecisionPulls.of(scores, labels, groups))[1]).all()


def test_draws_that_are_all_alike_are_as_one_and_given_ranks_are_used():
    scores, _, labels, groups = sample(8)
    ranks = AurocPulls.of(scores, labels, groups)
    one, given = PrecisionPulls.of(scores, labels, groups), PrecisionPulls.of(scores, labels, groups, ranks)
    assert macro_precision_interval(one) == macro_precision_interval(given)
    assert np.allclose(macro_precision_interval(one), macro_precision_interval(PrecisionPulls.mean_of([one] * 3)))


def test_shapes_and_nan_scores_are_refused():
    with pytest.raises(InputError, match=r"\(3, 1\) and \(4, 1\)"):
        PrecisionPulls.of(np.zeros((3, 1)), np.zeros((4, 1)))
    with pytest.raises(InputError, match="1 of 3 scores are NaN"):
        PrecisionPulls.of(np.array([[0.0], [np.nan], [1.0]]), np.array([[0.0], [1.0], [1.0]]))


def test_two_methods_that_are_equally_good_are_told_apart_by_chance_alone():
    rng, apart = np.random.default_rng(9), 0
    truth = np.repeat(np.eye(6), 4, axis=0)  # four items a class
    for _ in range(100):
        shared = rng.normal(size=truth.shape) + 1.5 * truth
        pair = [PrecisionPulls.of(shared + 0.6 * rng.normal(size=truth.shape), truth) for _ in range(2)]
        found = macro_precision_difference(*pair)
        apart += not found.low <= 0 <= found.high
    assert apart <= 6
