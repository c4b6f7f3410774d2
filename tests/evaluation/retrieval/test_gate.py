"""The gate: which end of the interval counts, what fails, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import beta, binomtest

import stitchkit as sk
from stitchkit.core.errors import InputError, SpaceMismatchError, StitchError, UnknownNameError
from stitchkit.metrics.proportions import by_patient, exact_difference


@pytest.fixture(scope="module")
def world():
    """A good map, a worse one of fewer anchors, and 60 fresh pairs."""
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(260, 8))
    x = meaning @ rng.normal(size=(8, 9)) + 0.6 * rng.normal(size=(260, 9))
    y = meaning @ rng.normal(size=(8, 7)) + 0.6 * rng.normal(size=(260, 7))
    good, worse = (sk.align(x[:n], y[:n], solver=sk.Ridge()) for n in (200, 14))
    return good, worse, x[200:], y[200:]


def test_the_numbers_are_those_of_evaluate_retrieval(world):
    good, _, x, y = world
    found = sk.gate(good, x, y, min_recall_at_1=0.1, min_mrr=0.1)
    assert [one.name for one in found.checks] == ["mrr", "recall@1"]
    recall = sk.evaluate_retrieval(good, x, y, ks=(1,)).forward.recall[1]
    assert found.checks[1].interval.value == pytest.approx(recall.value, abs=1e-12)
    exact = binomtest(round(60 * recall.value), 60).proportion_ci(0.95, method="exact")
    assert found.checks[1].interval[1:] == pytest.approx((exact.low, exact.high), abs=1e-9)
    table = good.similarity(x, y)
    ranks = 1 + (table > np.diag(table)[:, None]).sum(axis=1)
    assert found.checks[0].interval.value == pytest.approx(np.mean(1 / ranks))
    assert found.checks[0].chance == pytest.approx(np.mean(1 / np.arange(1, 61)))


def test_r2_is_scikit_learns(world):
    from sklearn.metrics import r2_score

    good, _, x, y = world
    found = sk.gate(good, x, y, min_r2=-5).checks[0].interval.value
    assert found == pytest.approx(r2_score(y, good.to_target(x), multioutput="variance_weighted"), abs=1e-12)


def test_the_lower_end_of_the_interval_decides_unless_told_otherwise(world):
    good, _, x, y = world
    low, value, high = (getattr(sk.gate(good, x, y, min_mrr=0).checks[0].interval, e) for e in ("low", "value", "high"))
    between = {"lower": (low + value) / 2, "upper": (value + high) / 2}
    assert not sk.gate(good, x, y, min_mrr=between["lower"]).passed
    assert sk.gate(good, x, y, min_mrr=low - 1e-9).passed
    assert sk.gate(good, x, y, min_mrr=between["lower"], by="value").passed
    assert not sk.gate(good, x, y, min_mrr=between["upper"], by="value").passed
    assert sk.gate(good, x, y, min_mrr=between["upper"], by="upper").passed
    assert not sk.gate(good, x, y, min_mrr=high + 1e-9, by="upper").passed


def test_fewer_patients_fail_where_more_pass(world):
    good, _, x, y = world
    limit = sk.gate(good, x, y, min_mrr=0).checks[0].interval.low - 0.01
    assert sk.gate(good, x, y, min_mrr=limit).passed
    ten = sk.gate(good, x, y, min_mrr=limit, groups=np.arange(60) // 6)
    assert ten.patients == 10
    assert not ten.passed
    assert ten.checks[0].interval.value > limit


def test_one_failed_check_fails_the_gate_and_each_has_a_line(world):
    good, _, x, y = world
    found = sk.gate(good, x, y, min_mrr=0.05, min_recall_at_1=0.999)
    assert [one.passed for one in found.checks] == [True, False]
    assert not found.passed
    lines = str(found).splitlines()
    assert lines[0].startswith("passed  mrr")
    assert lines[1].startswith("FAILED  recall@1")
    assert "lower bound" in lines[1]
    assert "below 0.999" in lines[1]
    assert lines[2].startswith("gate FAILED: 1 of 2 checks passed on 60 pairs (patients not known), gallery of 60")
    assert json.loads(json.dumps(found.to_dict()))["passed"] is False


def test_a_map_is_as_good_as_itself_and_a_worse_one_is_caught(world):
    good, worse, x, y = world
    itself = sk.gate(good, x, y, against=good, margin=0)
    assert itself.passed
    assert itself.checks[0].interval == (0, 0, 0)
    assert sk.gate(good, x, y, against=worse).passed
    found = sk.gate(worse, x, y, against=good)
    assert not found.passed
    assert [one.name for one in found.checks] == ["mrr minus the other", "recall@1 minus the other"]
    assert found.checks[0].threshold == -0.02
    assert sk.gate(worse, x, y, against=good, margin=0.99).passed


def reciprocal_ranks(fitted, x, y):
    """One over the place of each pair's target, by the table of similarities."""
    table = fitted.similarity(x, y)
    return 1 / (1 + (table > np.diag(table)[:, None]).sum(axis=1))


def test_a_difference_is_that_of_the_same_pairs(world):
    """Its interval is that of the differences pair by pair: with the pairs of one map moved on, it is far wider."""
    _, _, x, y = world
    rng = np.random.default_rng(7)
    left, right = (np.concatenate([side, side + 0.001 * rng.normal(size=side.shape)]) for side in (x, y))
    near, nearer = (sk.align(left, right, solver=sk.Ridge(alpha=alpha)) for alpha in (0.1, 0.11))
    found = sk.gate(near, x, y, against=nearer, allow_leakage=True).checks[0].interval
    one, other = (reciprocal_ranks(fitted, x, y) for fitted in (near, nearer))
    assert not np.array_equal(one, other)
    assert found == pytest.approx(exact_difference(one, other, np.ones(60)), abs=1e-9)
    apart = exact_difference(one, np.roll(other, 1), np.ones(60))
    assert apart.value == pytest.approx(found.value, abs=1e-12)
    assert apart.high - apart.low > 1.4 * (found.high - found.low)
    itself = exact_difference(one, one, np.ones(60))  # what two maps of equal ranks would have: the least there is
    assert itself.high - itself.low <= found.high - found.low < 1.4 * (itself.high - itself.low)


def test_patients_of_a_difference_are_kept_whole(world):
    good, worse, x, y = world
    patient = np.arange(60) // 3
    found = sk.gate(good, x, y, against=worse, groups=patient).checks[0].interval
    sums = (by_patient(reciprocal_ranks(one, x, y), patient) for one in (good, worse))
    assert found == pytest.approx(exact_difference(*sums, np.full(20, 3.0)), abs=1e-9)


def test_equal_ranks_of_few_pairs_do_not_show_that_two_maps_are_equally_good():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 6))
    one, other = (sk.align(x[:100], x[:100] @ np.eye(6)[::-1], solver=sk.Ridge(alpha=a)) for a in (1e-6, 2e-6))
    for pairs, passed in ((60, False), (300, True)):
        rows = x[100 : 100 + pairs]
        found = sk.gate(one, rows, rows[:, ::-1], against=other)
        assert found.passed == passed
        for check in found.checks:
            assert check.interval.value == 0
            assert check.interval[1:] == pytest.approx(np.array([-1, 1]) * beta.ppf(0.975, 0.5, pairs), abs=1e-9)


def test_one_error_more_never_helps_a_map_through_a_gate():
    rng = np.random.default_rng(0)
    for n, threshold in ((10, 0.70), (30, 0.89), (30, 0.83)):
        x = rng.normal(size=(300, n))
        fitted, verdicts = sk.align(x, x, solver=sk.Procrustes()), []
        for wrong in range(4):
            rows = np.eye(n) * np.where(np.arange(n) < wrong, -1, 1)[:, None] + 1e-3 * rng.normal(size=(n, n))
            found = sk.gate(fitted, rows, np.eye(n), min_recall_at_1=threshold)
            exact = binomtest(n - wrong, n).proportion_ci(method="exact")
            assert found.checks[0].interval == pytest.approx(((n - wrong) / n, exact.low, exact.high), abs=1e-9)
            verdicts.append(found.passed)
        assert verdicts == sorted(verdicts, reverse=True)


def test_a_swapped_encoder_brings_its_own_vectors(world):
    good, _, x, y = world
    rng = np.random.default_rng(5)
    other = x @ rng.normal(size=(9, 11))  # another encoder of the same items
    swapped = sk.align(other, y, solver=sk.Ridge(alpha=1e-6))
    found = sk.gate(swapped, other, y, against=good, against_source=x, allow_leakage=True)
    assert found.passed
    with pytest.raises(SpaceMismatchError, match=r"gated against \(source side\) takes \(n, 9\)"):
        sk.gate(swapped, other, y, against=good, allow_leakage=True)
    with pytest.raises(InputError, match="59 pairs and the candidate's of 60"):
        sk.gate(swapped, other, y, against=good, against_source=x[:59], against_target=y[:59], allow_leakage=True)


def test_the_other_alignments_vectors_are_joined_by_id(world):
    good, worse, x, y = world
    ids = [f"pair {i}" for i in range(60)]
    source, target = sk.Embeddings(x, ids, sk.Space("a", 9)), sk.Embeddings(y, ids, sk.Space("b", 7))
    order = np.random.default_rng(6).permutation(60)
    patients = np.arange(60) // 2
    plain = sk.gate(worse, source, target, groups=patients, against=good)
    mixed = sk.gate(worse, source, target, groups=patients, against=good, against_source=source.take(order))
    assert mixed.checks == plain.checks


def test_every_library_gates_alike(library, world):
    good, _, x, y = world
    found = sk.gate(good, x, y, min_mrr=0.1, min_r2=0.1)
    anew = sk.gate(good, *library(x, y), min_mrr=0.1, min_r2=0.1)
    for one, other in zip(found.checks, anew.checks, strict=True):
        assert other.interval == pytest.approx(one.interval, abs=1e-7)


def test_a_threshold_at_chance_is_pointed_out(world):
    good, _, x, y = world
    found = sk.gate(good, x, y, min_mrr=0.05)
    assert any("no better than chance" in note for note in found.notes)
    assert sk.gate(good, x, y, min_mrr=0.5, by="value").notes == ()


WRONG = {
    "nothing": ({}, InputError, "nothing to check"),
    "percent": ({"min_mrr": 80}, InputError, "from 0 to 1; got 80"),
    "negative": ({"min_recall_at_1": -0.1}, InputError, "from 0 to 1"),
    "r2": ({"min_r2": 1.5}, InputError, "at most 1"),
    "not a number": ({"min_r2": float("nan")}, InputError, "at most 1"),
    "margin": ({"min_mrr": 0.5, "margin": -0.1}, InputError, "margin"),
    "end": ({"min_mrr": 0.5, "by": "lowest"}, UnknownNameError, "nearest: lower"),
    "groups": ({"min_mrr": 0.5, "groups": [1, 2]}, InputError, "60 rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_gated_is_refused(world, case):
    settings, kind, words = WRONG[case]
    good, _, x, y = world
    with pytest.raises(StitchError, match=words) as error:
        sk.gate(good, x, y, **settings)
    assert isinstance(error.value, kind)


def test_few_pairs_are_refused(world):
    good, _, x, y = world
    with pytest.raises(InputError, match="9 pairs are too few"):
        sk.gate(good, x[:9], y[:9], min_mrr=0.1)


def test_a_collapsed_encoder_cannot_pass(world):
    good, _, x, y = world
    with pytest.raises(InputError, match="Has the encoder collapsed"):
        sk.gate(good, x, (y + 1e8).astype(np.float32), min_mrr=0.9)


def test_few_patients_cannot_pass_by_an_interval(world):
    good, _, x, y = world
    few = np.arange(len(x)) % 3
    with pytest.raises(InputError, match="3 patients are too few for an interval"):
        sk.gate(good, x, y, min_mrr=0.1, groups=few)
    found = sk.gate(good, x, y, min_mrr=0.01, groups=few, by="value")
    assert any("the value alone" in note for note in found.notes)


@pytest.mark.parametrize(("patients", "ends"), [(4, False), (5, True)])
def test_checks_on_fewer_than_five_patients_have_a_value_and_no_interval(world, patients, ends):
    good, worse, x, y = world
    found = sk.gate(good, x, y, min_mrr=0.01, min_r2=-1, against=worse, groups=np.arange(len(x)) % patients, by="value")
    assert [one.name for one in found.checks] == ["mrr", "r2", "mrr minus the other", "recall@1 minus the other"]
    assert {one.interval.has_ends for one in found.checks} == {ends}
    assert found.passed
    assert "nan" not in str(found)


def test_ten_pairs_that_are_all_right_do_not_prove_near_certainty():
    x = np.random.default_rng(0).normal(size=(70, 5))
    fitted = sk.align(x[:60], x[:60], solver=sk.Procrustes())
    found = sk.gate(fitted, x[60:], x[60:], min_recall_at_1=0.9)
    assert found.checks[0].interval == (1.0, pytest.approx(0.025**0.1), 1.0)
    assert not found.passed


def test_pairs_that_are_all_wrong_do_not_prove_certainty_either():
    x = np.random.default_rng(0).normal(size=(70, 5))
    fitted = sk.align(x[:60], x[:60], solver=sk.Procrustes())
    found = sk.gate(fitted, x[60:], np.roll(x[60:], 1, axis=0), min_recall_at_1=0.2, by="upper")
    assert found.checks[0].interval == (0.0, 0.0, pytest.approx(1 - 0.025**0.1))
    assert found.passed


def test_mean_reciprocal_rank_has_the_same_bound_where_all_are_right():
    x = np.random.default_rng(0).normal(size=(70, 5))
    fitted = sk.align(x[:60], x[:60], solver=sk.Procrustes())
    assert sk.gate(fitted, x[60:], x[60:], min_mrr=0.9).checks[0].interval.low == pytest.approx(0.025**0.1)


@pytest.mark.parametrize("patients", [30, 12])
@pytest.mark.parametrize("measure", ["min_mrr", "min_recall_at_1"])
def test_no_map_passes_where_one_with_fewer_errors_fails(measure, patients):
    n, rng = 30, np.random.default_rng(0)
    fitted = sk.align(*[rng.normal(size=(300, n))] * 2, solver=sk.Procrustes())
    lows = []
    for wrong in range(5):
        x = np.eye(n)
        x[:wrong] *= -1
        groups = np.arange(n) % patients
        lows.append(sk.gate(fitted, x, np.eye(n), groups=groups, **{measure: 0.5}).checks[0].interval.low)
    assert (np.diff(lows) < 0).all()
