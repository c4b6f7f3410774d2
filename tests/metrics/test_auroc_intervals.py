"""Intervals of AUROC: against DeLong in loops, laws that hold for any method, and samples that are hard."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core.errors import InputError
from stitchkit.metrics.auroc import auroc, auroc_within
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_differences,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)


def drawn(patients=40, positives=12, seed=0, *, classes=3, levels=None, shift=1.2):
    """Scores (n, c), labels (n, c) and patients (n,), one to six rows each; classes share patients."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), rng.integers(1, 7, size=patients))
    ill = np.stack([rng.permutation(patients) < positives for _ in range(classes)], axis=1)
    labels = ill[groups].astype(float)
    scores = rng.normal(size=(patients, classes))[groups] + rng.normal(size=labels.shape) + shift * labels
    if levels is not None:
        scores = np.clip(np.round(scores), -(levels // 2), levels - levels // 2 - 1)
    return scores, labels, groups


def ends(found):
    return np.asarray([(one.low, one.high) for one in found])


def same(one, other):
    assert ends(auroc_intervals(one)) == pytest.approx(ends(auroc_intervals(other)), abs=1e-12)
    assert macro_auroc_interval(one) == pytest.approx(macro_auroc_interval(other), abs=1e-12)


def wins(a, b):
    return 1.0 if a > b else 0.5 if a == b else 0.0


def obuchowski(scores, labels, groups):
    """Variance of the AUROC of clustered items, in loops, with the correction of each side's and patient's share."""

    def kept(mine, side):
        share = len(mine) / len(side)
        together = sum((np.sum(groups[side] == one) / len(side)) ** 2 for one in np.unique(groups))
        return min(1 - share, 1 - 2 * share + together) ** 0.5

    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    m, n = len(positives), len(negatives)
    value = sum(wins(scores[i], scores[j]) for i in positives for j in negatives) / (m * n)
    total = 0.0
    for patient in np.unique(groups):
        mine, others = [i for i in positives if groups[i] == patient], [j for j in negatives if groups[j] == patient]
        above = sum(sum(wins(scores[i], scores[j]) for j in negatives) / n - value for i in mine) / m
        below = sum(sum(wins(scores[i], scores[j]) for i in positives) / m - value for j in others) / n
        total += (above / kept(mine, positives) + below / kept(others, negatives)) ** 2
    return value, total


@pytest.mark.parametrize("levels", [None, 4])
def test_the_variance_is_that_of_clustered_placements(levels):
    scores, labels, groups = drawn(seed=1, levels=levels)
    pulls = AurocPulls.of(scores, labels, groups)
    for j in range(3):
        value, variance = obuchowski(scores[:, j], labels[:, j], groups)
        assert pulls.value[j] == pytest.approx(value, abs=1e-12)
        assert np.sum(pulls.pull[:, j] ** 2) == pytest.approx(variance, rel=1e-10)


def literal_degrees(scores, other, labels, groups):
    """Degrees of freedom of the variance of a paired difference, from the matrix of its quadratic form."""
    pull = AurocPulls.of(scores[:, None], labels[:, None], groups).pull[:, 0]
    squares = (pull - AurocPulls.of(other[:, None], labels[:, None], groups).pull[:, 0]) ** 2
    degrees = []
    for side in (1, 0):
        share = np.asarray([np.mean(groups[labels == side] == one) for one in np.unique(groups)])
        k = len(share)
        centred = share[:, None] * (np.eye(k) - share)  # (k, k): what a patient adds, from independent patients' means
        form = centred.T @ np.diag(1 / (1 - 2 * share + share @ share)) @ centred
        degrees.append((share @ share, np.trace(form) ** 2 / np.trace(form @ form)))
    crowding, normal = max(degrees)
    return min(normal, 2 + 2 / max(np.sum(squares**2) / np.sum(squares) ** 2 - crowding, 1e-9))


@pytest.mark.parametrize("noise", [0.3, 3.0])
@pytest.mark.parametrize("positives", [6, 12, 35])
def test_degrees_of_freedom_fall_with_unequal_patients_and_with_long_tails(positives, noise):
    scores, labels, groups = drawn(seed=23, positives=positives, patients=45)
    other = scores + noise * np.random.default_rng(0).normal(size=scores.shape)
    found = auroc_differences(AurocPulls.of(scores, labels, groups), AurocPulls.of(other, labels, groups))
    for j, one in enumerate(found):
        literal = literal_degrees(scores[:, j], other[:, j], labels[:, j], groups)
        assert one.degrees - 4 == pytest.approx(literal, rel=1e-9)


def test_equal_patients_without_long_tails_have_one_degree_less_than_there_are():
    labels = (np.arange(200) < 20).astype(float)[:, None]
    one, other = (np.random.default_rng(seed).permutation(200)[:, None].astype(float) for seed in (1, 2))
    found = auroc_differences(AurocPulls.of(one, labels), AurocPulls.of(other, labels))[0]
    assert found.degrees - 4 == pytest.approx(19)


def test_without_patients_the_variance_is_that_of_delong():
    scores, labels, _ = drawn(seed=2, classes=1)
    x, y = scores[labels == 1], scores[labels == 0]
    value = np.mean([wins(a, b) for a in x for b in y])
    above, below = ([np.mean([wins(a, b) for b in y]) for a in x], [np.mean([wins(a, b) for a in x]) for b in y])
    delong = np.var(above, ddof=1) / len(x) + np.var(below, ddof=1) / len(y)
    assert np.sum(AurocPulls.of(scores, labels).pull ** 2) == pytest.approx(delong, rel=1e-10)
    assert value == pytest.approx(AurocPulls.of(scores, labels).value[0], abs=1e-12)


@pytest.mark.parametrize("levels", [None, 5])
def test_the_value_is_the_auroc(levels):
    scores, labels, groups = drawn(seed=3, levels=levels)
    parts = groups % 3
    for j in range(3):
        assert AurocPulls.of(scores, labels, groups).value[j] == auroc(scores[:, j], labels[:, j])
        within = AurocPulls.of(scores, labels, groups, parts).value[j]
        assert within == pytest.approx(auroc_within(scores[:, j], labels[:, j], parts), abs=1e-12)


# laws


@pytest.mark.parametrize("parts", [False, True])
def test_order_of_rows_names_of_patients_and_increasing_functions_change_nothing(parts):
    scores, labels, groups = drawn(seed=4, levels=9)
    folds = groups % 2 if parts else None
    base = AurocPulls.of(scores, labels, groups, folds)
    order = np.random.default_rng(0).permutation(len(groups))
    names = np.asarray([f"patient {one}" for one in 97 * groups % 101])
    folds_in_order = None if folds is None else folds[order]
    same(base, AurocPulls.of(scores[order], labels[order], names[order], folds_in_order))
    same(base, AurocPulls.of(np.exp(scores), labels, groups, folds))


def test_repeating_every_row_of_every_patient_changes_nothing():
    scores, labels, groups = drawn(seed=5)
    again = np.tile(np.arange(len(groups)), 3)
    once, thrice = AurocPulls.of(scores, labels, groups), AurocPulls.of(scores[again], labels[again], groups[again])
    same(once, thrice)
    other = scores + np.random.default_rng(1).normal(size=scores.shape)
    apart = macro_auroc_difference(once, AurocPulls.of(other, labels, groups))
    repeated = macro_auroc_difference(thrice, AurocPulls.of(other[again], labels[again], groups[again]))
    assert apart.interval == pytest.approx(repeated.interval, abs=1e-12)


def test_repeating_rows_as_patients_of_their_own_narrows():
    scores, labels, groups = drawn(seed=6, classes=1)
    together = AurocPulls.of(np.tile(scores, (3, 1)), np.tile(labels, (3, 1)), np.tile(groups, 3))
    apart = AurocPulls.of(np.tile(scores, (3, 1)), np.tile(labels, (3, 1)))
    widths = [np.diff(ends(auroc_intervals(one)))[0, 0] for one in (together, apart)]
    assert widths[1] < 0.7 * widths[0]


@pytest.mark.parametrize("levels", [None, 3])
def test_the_other_label_and_the_other_sign_are_mirrors(levels):
    scores, labels, groups = drawn(seed=7, levels=levels)
    base = AurocPulls.of(scores, labels, groups)
    same(base, AurocPulls.of(-scores, 1 - labels, groups))
    mirrored = ends(auroc_intervals(AurocPulls.of(-scores, labels, groups)))
    assert 1 - mirrored[:, ::-1] == pytest.approx(ends(auroc_intervals(base)), abs=1e-12)


def test_exchanging_two_methods_changes_the_sign_alone():
    scores, labels, groups = drawn(seed=8)
    one = AurocPulls.of(scores, labels, groups)
    other = AurocPulls.of(scores + np.random.default_rng(0).normal(size=scores.shape), labels, groups)
    forth = [*auroc_differences(one, other), macro_auroc_difference(one, other)]
    for there, back in zip(forth, [*auroc_differences(other, one), macro_auroc_difference(other, one)], strict=True):
        assert there.interval == pytest.approx(tuple(-back.interval[i] for i in (0, 2, 1)), abs=1e-12)
        assert there.p == pytest.approx(back.p)


def test_a_mean_over_one_class_is_that_class():
    scores, labels, groups = drawn(seed=9, classes=1)
    one = AurocPulls.of(scores, labels, groups)
    other = AurocPulls.of(scores**3, 1 - labels, groups)
    assert macro_auroc_interval(one) == pytest.approx(auroc_intervals(one)[0], abs=1e-12)
    assert macro_auroc_difference(one, other)[0] == pytest.approx(auroc_differences(one, other)[0][0], abs=1e-12)


def test_a_mean_over_copies_of_a_class_has_its_variance_and_over_others_less():
    scores, labels, groups = drawn(seed=10, classes=6, patients=80)
    single = AurocPulls.of(scores[:, :1], labels[:, :1], groups)
    copies = AurocPulls.of(np.repeat(scores[:, :1], 6, axis=1), np.repeat(labels[:, :1], 6, axis=1), groups)
    assert macro_auroc_interval(copies) == pytest.approx(macro_auroc_interval(single), abs=1e-12)
    over = macro_auroc_interval(AurocPulls.of(scores, labels, groups))
    alone = auroc_intervals(AurocPulls.of(scores, labels, groups))
    assert over.high - over.low < 0.7 * np.mean([one.high - one.low for one in alone])


def test_a_part_is_judged_alone_and_its_scale_does_not_matter():
    scores, labels, groups = drawn(seed=11, patients=90, positives=30)
    parts = groups % 3
    base = AurocPulls.of(scores, labels, groups, parts)
    same(base, AurocPulls.of(100.0 * parts[:, None] + (1 + parts[:, None]) * scores, labels, groups, parts))
    same(AurocPulls.of(scores, labels, groups), AurocPulls.of(scores, labels, groups, np.full(len(groups), "a")))


def test_patients_of_a_part_without_pairs_do_not_count():
    scores, labels, groups = drawn(seed=12, classes=1)
    extra = np.r_[scores, np.full((4, 1), 9.0)], np.r_[labels, np.ones((4, 1))], np.r_[groups, 100 + np.arange(4)]
    parts = np.r_[np.zeros(len(groups)), np.ones(4)]
    same(AurocPulls.of(scores, labels, groups), AurocPulls.of(*extra, parts))


def test_draws_are_averaged():
    scores, labels, groups = drawn(seed=13)
    noise = np.random.default_rng(0).normal(size=(2, *scores.shape))
    each = [AurocPulls.of(scores + one, labels, groups) for one in noise]
    same(AurocPulls.mean_of([each[0], each[0]]), each[0])
    over = AurocPulls.mean_of(each)
    assert over.value == pytest.approx((each[0].value + each[1].value) / 2)
    assert np.all(np.sum(over.pull**2, axis=0) <= np.mean([np.sum(one.pull**2, axis=0) for one in each], axis=0))


# samples that are hard


def apart(positives, patients=120):
    labels = np.zeros((patients, 1))
    labels[-positives:] = 1
    return np.arange(float(patients))[:, None], labels


@pytest.mark.parametrize("distinct", [True, False])
def test_perfect_separation_has_width_that_shrinks_with_patients(distinct):
    lows = []
    for positives in (2, 3, 5, 8, 12, 20, 40):
        scores, labels = apart(positives)
        found = auroc_intervals(AurocPulls.of(scores if distinct else labels, labels))[0]
        assert found.value == found.high == 1
        lows.append(found.low)
        mirrored = auroc_intervals(AurocPulls.of(-scores if distinct else -labels, labels))[0]
        assert mirrored == pytest.approx((0, 0, 1 - found.low), abs=1e-12)
    assert np.all(np.diff(lows) > 0)
    assert 0 < lows[0] < 0.5 < lows[2] < 0.75 < lows[4] < 0.95 < lows[-1] < 0.995


def test_one_more_error_lowers_the_low_end():
    scores, labels = apart(12)
    lows = []
    for errors in range(12):
        moved = scores.copy()
        moved[-1 - np.arange(errors), 0] = 50.5 + np.arange(errors) / 100
        lows.append(auroc_intervals(AurocPulls.of(moved, labels))[0].low)
    assert np.all(np.diff(lows) < 0)


def test_a_mean_of_perfect_classes_has_width():
    labels = np.zeros((120, 3))
    for j in range(3):
        labels[10 * j : 10 * j + 10, j] = 1
    found = macro_auroc_interval(AurocPulls.of(labels + np.linspace(0, 0.5, 120)[:, None], labels))
    assert found.value == found.high == 1
    assert 0.9 < found.low < 0.999


def test_two_perfect_methods_differ_by_nothing_within_some_width():
    scores, labels = apart(12)
    other = scores.copy()
    other[-12:] = other[:-13:-1]
    found = auroc_differences(AurocPulls.of(scores, labels), AurocPulls.of(other, labels))[0]
    assert found.interval.value == 0
    assert -0.2 < found.interval.low < 0 < found.interval.high < 0.2
    assert found.p == 1


def test_scores_of_the_same_order_differ_by_exactly_nothing():
    scores, labels, groups = drawn(seed=14)
    one, other = AurocPulls.of(scores, labels, groups), AurocPulls.of(np.exp(scores), labels, groups)
    for found in (*auroc_differences(one, other), macro_auroc_difference(one, other)):
        assert found.interval == (0, 0, 0)
        assert (found.p, found.standard_error) == (1, 0)


def test_equal_scores_are_one_half_for_sure():
    _, labels, groups = drawn(seed=15)
    pulls = AurocPulls.of(np.full(labels.shape, 0.3), labels, groups)
    assert all(one == (0.5, 0.5, 0.5) for one in auroc_intervals(pulls))
    assert macro_auroc_interval(pulls) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("levels", [2, 3])
def test_tied_scores_have_intervals_about_as_wide_as_scores_without_ties(levels):
    scores, labels, groups = drawn(seed=16, patients=200, positives=60)
    tied = np.digitize(scores, [0.5] if levels == 2 else [0.0, 1.0]).astype(float)
    for coarse, fine in zip(
        auroc_intervals(AurocPulls.of(tied, labels, groups)),
        auroc_intervals(AurocPulls.of(scores, labels, groups)),
        strict=True,
    ):
        assert coarse.low < coarse.value < coarse.high
        assert 0.7 < (coarse.high - coarse.low) / (fine.high - fine.low) < 1.5


@pytest.mark.parametrize("side", [0.0, 1.0])
def test_a_side_of_one_patient_keeps_its_value_and_has_no_ends(side):
    scores, labels = apart(1)
    groups = np.r_[np.arange(119), 119, 119]
    scores, labels = np.r_[scores, [[60.0]]], np.r_[labels, [[1.0]]]
    if side == 0:
        labels = 1 - labels
    pulls = AurocPulls.of(scores, labels, groups)
    found = auroc_intervals(pulls)[0]
    assert found.value == auroc(scores[:, 0], labels[:, 0])
    assert np.isnan([found.low, found.high]).all()
    gap = auroc_differences(pulls, pulls)[0]
    assert gap.interval.value == 0
    assert np.isnan([gap.interval.low, gap.interval.high, gap.p]).all()


@pytest.mark.parametrize("kind", [0.0, 1.0, np.nan])
def test_a_class_without_pairs_is_nan_and_leaves_the_others_alone(kind):
    scores, labels, groups = drawn(seed=17)
    labels[:, 1] = kind
    found = ends(auroc_intervals(AurocPulls.of(scores, labels, groups)))
    assert np.isnan(found[1]).all()
    others = AurocPulls.of(scores, labels, groups).of_columns([0, 2])
    assert found[[0, 2]] == pytest.approx(ends(auroc_intervals(others)))
    assert not np.isnan(macro_auroc_interval(others)).any()


def test_rows_whose_label_is_not_known_are_left_out_of_that_class_alone():
    scores, labels, groups = drawn(seed=18)
    unknown = np.random.default_rng(0).random(labels.shape) < 0.3
    found = auroc_intervals(AurocPulls.of(scores, np.where(unknown, np.nan, labels), groups))
    for j in range(3):
        rows = ~unknown[:, j]
        alone = auroc_intervals(AurocPulls.of(scores[rows, j : j + 1], labels[rows, j : j + 1], groups[rows]))[0]
        assert found[j] == pytest.approx(alone, abs=1e-12)


def test_the_p_value_is_that_of_the_interval():
    scores, labels, groups = drawn(seed=19, patients=60, positives=20)
    one, sides = AurocPulls.of(scores, labels, groups), set()
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(size=scores.shape)
        other = AurocPulls.of(scores + (0.2 + seed / 6) * noise, labels, groups)
        for found in (*auroc_differences(one, other), macro_auroc_difference(one, other)):
            outside = found.interval.low > 0 or found.interval.high < 0
            assert (found.p < 0.05) == outside
            sides.add(outside)
        found = macro_auroc_difference(one, other)
        touching = macro_auroc_difference(one, other, level=1 - found.p).interval
        assert min(abs(touching.low), abs(touching.high)) == pytest.approx(0, abs=1e-9)
    assert sides == {True, False}


def test_the_end_nearer_to_one_half_is_further_away():
    scores, labels = apart(12)
    good, worse = scores.copy(), scores.copy()
    good[-1], worse[-3:, 0] = 106.5, [60.5, 80.5, 100.5]
    one, other = AurocPulls.of(good, labels), AurocPulls.of(worse, labels)
    found = auroc_intervals(other)[0]
    assert found.value - found.low > 1.5 * (found.high - found.value)
    gap = auroc_differences(one, other)[0].interval
    assert gap.high - gap.value > 1.2 * (gap.value - gap.low)


def test_infinite_scores_are_ranks_like_others():
    scores, labels, groups = drawn(seed=22, levels=7)
    far = np.where(scores == scores.max(), np.inf, np.where(scores == scores.min(), -np.inf, scores))
    same(AurocPulls.of(scores, labels, groups), AurocPulls.of(far, labels, groups))


def test_a_higher_level_is_wider():
    scores, labels, groups = drawn(seed=20)
    pulls = AurocPulls.of(scores, labels, groups)
    narrow, wide = ends(auroc_intervals(pulls, level=0.8)), ends(auroc_intervals(pulls, level=0.99))
    assert np.all(wide[:, 0] < narrow[:, 0])
    assert np.all(wide[:, 1] > narrow[:, 1])


def test_shapes_that_differ_and_scores_that_are_missing_are_refused():
    scores, labels, groups = drawn(seed=21)
    with pytest.raises(InputError, match=r"one shape \(n, c\); got"):
        AurocPulls.of(scores, labels[:, :2], groups)
    scores[3, 1] = np.nan
    with pytest.raises(InputError, match=r"1 of .* scores are NaN"):
        AurocPulls.of(scores, labels, groups)


def test_twelve_positive_patients_are_covered_where_the_percentile_bootstrap_misses():
    held = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(100), 3)
        labels = (groups < 12).astype(float)[:, None]
        scores = rng.normal(size=100)[groups, None] + rng.normal(size=(300, 1)) + 3.29 * labels  # AUROC .95
        found = auroc_intervals(AurocPulls.of(scores, labels, groups))[0]
        held += found.low <= 0.95 <= found.high
    assert held >= 137  # 91 %; the percentile bootstrap holds it in 85 %


def covered(draw, truth, times=200):
    """Share of samples whose interval, of ``draw(rng)``, holds the truth."""
    found = [draw(np.random.default_rng(seed)) for seed in range(times)]
    return np.mean([one.low <= truth <= one.high for one in found])


def test_a_difference_is_covered_where_one_patient_has_most_positives():
    def draw(rng):
        sizes = np.r_[120, rng.integers(1, 7, size=99)]  # twelve positive patients, one with three of four images
        groups = np.repeat(np.arange(100), sizes)
        labels = (groups < 12).astype(float)[:, None]
        both = (rng.normal(size=100)[groups, None] + rng.normal(size=labels.shape) for _ in range(2))
        return auroc_differences(*(AurocPulls.of(one + 0.4 * labels, labels, groups) for one in both))[0].interval

    assert covered(draw, 0.0) >= 0.9  # 87 % if the patient is one of twelve


def test_scores_with_a_long_lower_tail_are_covered_near_one():
    def draw(rng):
        labels = (np.arange(420) % 21 == 0).astype(float)[:, None]  # 20 positives
        scores = -np.exp(-rng.normal(size=labels.shape)) + 5.355 * labels  # AUROC .97
        return auroc_intervals(AurocPulls.of(scores, labels))[0]

    assert covered(draw, 0.97, 300) >= 0.93  # 59 % with the degrees of freedom of normal placements


def test_a_difference_of_means_over_classes_of_different_patients_is_half_as_sure_as_satterthwaite_says():
    """With four classes of twenty patients each the rule adds up to 4 x 19 degrees; placements have long tails."""
    rng = np.random.default_rng(0)
    labels = np.zeros((400, 4))
    for c in range(4):
        labels[20 * c : 20 * c + 20, c] = 1
    one, other = (AurocPulls.of(labels + rng.normal(size=labels.shape), labels) for _ in range(2))
    degrees = macro_auroc_difference(one, other).degrees - 4
    assert 19 < degrees < 0.6 * 4 * 19
    assert macro_auroc_difference(one.of_columns([0]), other.of_columns([0])).degrees - 4 == pytest.approx(19)
