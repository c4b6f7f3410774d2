"""Learning curves: the law against its own data and scipy, the draws, and what is not foretold."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, LeakageError, NoDirectedMapError, StitchError, UnknownNameError
from stitchkit.evaluation.retrieval import learning_curve as learning_curves
from stitchkit.evaluation.retrieval.curve_intervals import DrawnSums
from stitchkit.evaluation.retrieval.measured_curves import LearningCurve
from stitchkit.evaluation.retrieval.power_law import fit_power_law, size_for, value_at
from stitchkit.solvers.relative import Relative

SIZES = np.asarray([10, 20, 40, 80, 160, 320])
FEW = {"patients": 60, "replicates": 100}  # for curves that are drawn many times


@cache
def measured(a, b, c, *, seed=0, draws=5, patients=200, noise=0.02, replicates=400):
    """A curve whose mean follows a law: draws and patients each with their own error."""
    rng = np.random.default_rng(seed)
    sums = np.clip(
        (a - b * SIZES**-c)[None, :, None]
        + noise * rng.normal(size=(draws, len(SIZES), 1)) * SIZES[:, None] ** -0.5 * 3
        + 0.3 * rng.normal(size=(1, 1, patients)),
        -1,
        2,
    )
    drawn = DrawnSums(sums, np.ones(patients), SIZES / 10_000)
    values, resampled = drawn.values, drawn.resampled("mrr", replicates, seed)
    laws = learning_curves._laws(SIZES, values, resampled)
    return LearningCurve(
        "mrr", SIZES, values, resampled, laws, 0.0, patients, None, patients, (), {}, None, drawn.intervals("mrr")
    )


def test_a_size_at_which_all_pairs_are_right_has_a_width():
    values, drawn = np.ones((6, 5)), np.ones((50, 6))
    found = LearningCurve("recall@1", SIZES, values, drawn, None, 0.0, 90, 30, 90, (), {}).mean
    assert all((one.value, one.high) == (1, 1) and one.low == pytest.approx(0.025 ** (1 / 30)) for one in found)
    assert LearningCurve("r2", SIZES, values, drawn, None, 0.0, 90, 30, 90, (), {}).mean[0].low == 1


@pytest.mark.parametrize("law", [(0.95, 2.0, 0.7), (0.8, 1.2, 0.5), (1.0, 4.0, 0.9)])
def test_a_law_without_noise_comes_back(law):
    a, b, c = law
    fitted = fit_power_law(SIZES * 1.0, (a - b * SIZES**-c)[None, :], np.full(6, 0.01))
    assert value_at(fitted, 1280)[0] == pytest.approx(a - b * 1280**-c, abs=1e-4)  # the grid's step in c
    assert size_for(fitted, a - b * 640**-c)[0] == pytest.approx(640, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_the_law_is_scipys_constrained_least_squares(seed):
    from scipy.optimize import least_squares

    rng = np.random.default_rng(seed)
    values = 0.9 - 1.5 * SIZES**-0.6 + 0.01 * rng.normal(size=6)
    error = rng.uniform(0.01, 0.03, 6)
    found = fit_power_law(SIZES * 1.0, values[None, :], error)[0]
    kept = slice(0 if np.argmax(np.diff(values)) == 0 else int(np.argmax(np.diff(values))) + 1, None)

    def loss(p):
        return ((p[0] - p[1] * (SIZES / 320) ** -p[2] - values) / error)[kept]

    starts = [least_squares(loss, [0.9, 0.1, c], bounds=([-5, 0, 0.05], [1, 9, 1])) for c in (0.1, 0.5, 0.9)]
    best = min(starts, key=lambda one: one.cost)
    own = 0.5 * np.sum(loss([found[0], found[1] * 320 ** -found[2], found[2]]) ** 2)
    assert own <= best.cost + 1e-5


def test_the_interval_covers_a_known_law_about_as_often_as_it_says():
    a, b, c = 0.9, 2.0, 0.6
    true = a - b * 1280**-c
    forecasts = [measured(a, b, c, seed=seed, **FEW).at(1280) for seed in range(40)]
    assert np.mean([found.low <= true <= found.high for found in forecasts]) >= 0.8
    assert np.mean([found.low <= true + 0.2 <= found.high for found in forecasts[:9]]) <= 0.4


def test_the_number_of_anchors_covers_the_truth():
    a, b, c = 0.9, 2.0, 0.6
    hits = []
    for seed in range(40):
        needed = measured(a, b, c, seed=seed, **FEW).anchors_for(a - b * 200**-c)
        hits.append(needed.anchors is not None and needed.anchors.low <= 200 <= needed.anchors.high)
    assert np.mean(hits) >= 0.8


def test_a_slow_start_is_left_to_the_measured_curve():
    values = 1 / (1 + (60 / SIZES) ** 1.2)  # rises like an S in log n, which no power law does
    fitted = fit_power_law(SIZES * 1.0, values[None, :], np.full(6, 0.01))
    assert value_at(fitted, 1280)[0] == pytest.approx(1 / (1 + (60 / 1280) ** 1.2), abs=0.02)


def test_a_curve_that_bends_less_than_the_law_is_within_the_forecast():
    """A curve that goes on in a straight line: the value is the law's, the high end is a straight line's."""
    rng = np.random.default_rng(3)
    straight = 0.1 * np.log2(SIZES / 10)
    sums = straight[None, :, None] + 0.02 * rng.normal(size=(5, 6, 1)) + 0.1 * rng.normal(size=(1, 1, 200))
    drawn = DrawnSums(sums, np.ones(200), SIZES / 10_000)
    values, resampled = drawn.values, drawn.resampled("mrr", 300, 0)
    laws = learning_curves._laws(SIZES, values, resampled)
    laws[:, 1] *= 0.5  # a law that is flatter beyond
    laws[:, 0] = values[-1].mean() + laws[:, 1] * 320.0 ** -laws[:, 2]
    curve = LearningCurve("mrr", SIZES, values, resampled, laws, 0.0, 200, None, 200, (), {})
    at, law = curve.at(1280), value_at(laws, 1280)
    assert at.value == pytest.approx(law[0])
    assert at.low == pytest.approx(min(np.quantile(law[1:], 0.025), curve.mean[-1].low))
    assert at.high > np.quantile(law[1:], 0.975) + 0.02
    needed, plain = curve.anchors_for(0.53), np.maximum(size_for(laws, 0.53), 320)
    assert needed.anchors.low < np.quantile(plain[1:], 0.025, method="inverted_cdf")
    assert needed.anchors.low >= 10


def test_a_target_beyond_the_curve_is_not_reached():
    curve = measured(0.9, 2.0, 0.6)
    for value in (0.95, 1.0):
        needed = curve.anchors_for(value)
        assert not needed.reached
        assert needed.anchors is None
        assert "not reached within 1280 anchors" in str(needed)


def test_a_target_below_the_curve_is_reached_at_once():
    needed = measured(0.9, 2.0, 0.6).anchors_for(0.05)
    assert needed.reached
    assert "with 10 anchors, the fewest" in str(needed)


def test_within_the_measured_sizes_the_curve_itself_is_read():
    curve = measured(0.9, 2.0, 0.6)
    assert curve.at(40).value == pytest.approx(curve.values[2].mean())
    assert curve.anchors_for(float(curve.values[3].mean())).anchors.value == pytest.approx(80, abs=1)


@pytest.mark.parametrize("n", [9, 1281])
def test_nothing_is_said_beyond_the_horizon(n):
    curve = measured(0.9, 2.0, 0.6)
    assert curve.horizon == 1280
    with pytest.raises(InputError, match="Ask for 10 to 1280"):
        curve.at(n)


@pytest.mark.parametrize("value", [0, 1.01, float("nan")])
def test_a_target_out_of_range_is_refused(value):
    with pytest.raises(InputError, match="at most 1"):
        measured(0.9, 2.0, 0.6).anchors_for(value)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 12))
    return x, x @ np.linalg.qr(rng.normal(size=(12, 12)))[0] + 1.5 * rng.normal(size=(300, 12))


SETTINGS = {"sizes": [15, 40, 100], "draws": 3, "solver": sk.Procrustes(), "replicates": 50}


@pytest.fixture(scope="module")
def curve(pairs):
    return sk.learning_curve(*pairs, **SETTINGS)


def test_each_value_is_the_literal_one(pairs, monkeypatch):
    x, y = pairs
    used = []
    real = learning_curves.align

    def spy(source, target, **settings):
        used.append(source.ids.astype(int))
        return real(source, target, **settings)

    monkeypatch.setattr(learning_curves, "align", spy)
    curve = sk.learning_curve(x, y, **SETTINGS)
    away = np.random.default_rng(0).permutation(300)[:75]
    for draw in range(3):
        for j, n in enumerate(SETTINGS["sizes"]):
            rows = used[3 * draw + j]
            assert len(set(rows.tolist())) == n
            assert not set(rows.tolist()) & set(away.tolist())
            assert set(used[3 * draw].tolist()) <= set(rows.tolist())  # nested
            table = sk.align(x[rows], y[rows], solver=sk.Procrustes()).similarity(x[away], y[away])
            ranks = 1 + (table > np.diag(table)[:, None]).sum(axis=1)
            assert curve.values[j, draw] == pytest.approx(np.mean(1 / ranks), abs=1e-12)
    assert set(used[0].tolist()) != set(used[3].tolist())


def test_more_anchors_do_better_and_the_table_says_what_on(curve):
    means = [one.value for one in curve.mean]
    assert means == sorted(means)
    assert all(one.low <= one.value <= one.high for one in curve.mean)
    for words in ("75 held-out pairs", "gallery of 75", "chance 0.065", "3 draws", "the law itself may be wrong"):
        assert words in str(curve)
    assert curve.to_dict()["sizes"] == [15, 40, 100]


def test_patients_are_held_out_whole(pairs, monkeypatch):
    patients = np.arange(300) // 3
    used = []
    real = learning_curves.align
    monkeypatch.setattr(
        learning_curves, "align", lambda s, t, **k: used.append(patients[s.ids.astype(int)]) or real(s, t, **k)
    )
    curve = sk.learning_curve(*pairs, **{**SETTINGS, "draws": 1}, groups=patients)
    assert (curve.pairs, curve.patients) == (75, 25)
    assert np.unique(np.concatenate(used)).size <= 75
    for taken in used:
        whole = np.unique(taken, return_counts=True)[1]
        assert sorted(whole.tolist())[1:] == [3] * (len(whole) - 1)  # patient by patient, the last one cut
    late = np.setdiff1d(np.arange(100), np.concatenate(used))
    assert late.size >= 25


def test_given_pairs_are_held_out(pairs, library):
    x, y = library(*pairs)
    far = sk.learning_curve(x[:200, :], y[:200, :], held_out=(x[200:, :], y[200:, :]), **SETTINGS)
    near = sk.learning_curve(*(side[:200] for side in pairs), held_out=tuple(side[200:] for side in pairs), **SETTINGS)
    np.testing.assert_allclose(far.values, near.values, atol=1e-9)
    assert far.pairs == 100


def test_r2_and_recall_can_be_followed(pairs):
    for metric, purpose in (("r2", "match"), ("recall@5", "match"), (None, "head")):
        curve = sk.learning_curve(*pairs, **SETTINGS, metric=metric, purpose=purpose)
        assert curve.metric == (metric or "r2")
        assert curve.values[-1].mean() > curve.values[0].mean()
    assert curve.chance == 0


def test_one_draw_gives_values_without_intervals(pairs):
    curve = sk.learning_curve(*pairs, **{**SETTINGS, "draws": 1})
    assert not any(one.has_ends for one in (*curve.mean, curve.at(70), curve.at(200)))
    assert all(np.isfinite(one.value) for one in (*curve.mean, curve.at(70), curve.at(200)))
    needed = curve.anchors_for(float(curve.values[1].mean()))
    assert needed.anchors.value == 40
    assert not needed.anchors.has_ends
    assert "nan" not in f"{needed} {curve}"
    assert any(note.startswith("no intervals: one draw") for note in curve.notes)


def test_draws_that_are_nearly_the_whole_pool_tell_nothing_of_draws(pairs):
    curve = sk.learning_curve(*pairs, **{**SETTINGS, "sizes": [200, 225]})
    assert not any(one.has_ends for one in curve.mean)
    assert any("measure a size of at most 135" in note for note in curve.notes)


def test_the_whole_pool_has_the_draws_of_smaller_sizes_in_its_interval(pairs):
    curve = sk.learning_curve(*pairs, **{**SETTINGS, "sizes": [50, 100, 225], "draws": 5, "metric": "r2"})
    assert np.ptp(curve.values[-1]) == pytest.approx(0, abs=1e-9)
    assert curve.mean[-1].high - curve.mean[-1].low > 3 * np.ptp(curve.values[1])
    assert any("by what smaller sizes show" in note for note in curve.notes)


def test_fewer_than_five_held_out_patients_have_no_interval(pairs):
    x, y = pairs
    held = (x[200:], y[200:], 1000 + np.arange(100) % 4)
    curve = sk.learning_curve(x[:200], y[:200], groups=np.arange(200), held_out=held, **SETTINGS)
    assert not any(one.has_ends for one in (*curve.mean, curve.at(300)))
    assert any(note.startswith("no interval of the curve: 4 patients") for note in curve.notes)


def test_between_sizes_ends_are_interpolated_in_the_logarithm(curve):
    middle = curve.at(np.sqrt(40 * 100))
    for at in range(3):
        assert middle[at] == pytest.approx((curve.mean[1][at] + curve.mean[2][at]) / 2)
    assert curve.at(40) == pytest.approx(curve.mean[1])


def test_two_sizes_have_no_law(pairs):
    curve = sk.learning_curve(*pairs, **{**SETTINGS, "sizes": [20, 40]})
    assert curve.laws is None
    with pytest.raises(InputError, match="at least 3 sizes"):
        curve.anchors_for(0.5)


@pytest.fixture(scope="module")
def heads():
    """Pairs of a source of eight dimensions, enough for sizes on either side of them."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 8))
    return x, x @ rng.normal(size=(8, 5)) + 2 * rng.normal(size=(400, 5))


def r2_curve(pairs, sizes, **settings):
    return sk.learning_curve(*pairs, sizes=sizes, draws=2, solver="ridge", metric="r2", replicates=40, **settings)


@pytest.mark.parametrize("sizes", [[4, 5, 6], [4, 8, 16], [4, 6, 8, 10, 15], [4, 6, 16, 30]], ids=str)
def test_r2_is_not_forecast_from_sizes_around_the_dimensions(heads, sizes):
    curve = r2_curve(heads, sizes)
    assert curve.laws is None
    assert curve.horizon == sizes[-1]
    assert curve.to_dict()["law"] is None
    assert any("no forecast beyond" in note and "8 dimensions" in note for note in curve.notes)
    with pytest.raises(InputError, match=r"crosses the source's 8 dimensions.*3 sizes of at least 16; there are [012]"):
        curve.at(2 * sizes[-1])
    with pytest.raises(InputError, match="crosses the source's 8 dimensions"):
        curve.anchors_for(0.999)
    assert curve.at(sizes[-1]).value == pytest.approx(curve.values[-1].mean())


def test_r2_is_not_read_between_sizes_on_either_side_of_the_dimensions(heads):
    curve = r2_curve(heads, [4, 7, 12, 40])
    with pytest.raises(InputError, match="r2 at about 9 anchors is not known from 7 and 12"):
        curve.at(9)
    for n in (5, 7, 12, 20):
        assert np.isfinite(curve.at(n).low)
    low, high = (float(one.mean()) for one in curve.values[1:3])
    with pytest.raises(InputError, match="is not known from 7 and 12"):
        curve.anchors_for((max(low, 0) + high) / 2)
    assert curve.anchors_for(float(curve.values[3].mean())).reached


def test_r2_is_forecast_from_sizes_well_above_the_dimensions_alone(heads):
    curve, alone = r2_curve(heads, [4, 16, 40, 100, 200]), r2_curve(heads, [16, 40, 100, 200])
    np.testing.assert_allclose(curve.laws[0], alone.laws[0])
    assert curve.horizon == 800
    assert curve.at(400).low < curve.at(400).value <= 1


def test_ranks_are_forecast_across_the_dimensions(heads):
    curve = sk.learning_curve(*heads, sizes=[4, 8, 16], draws=2, solver="procrustes", metric="mrr", replicates=20)
    assert curve.horizon == 64
    assert curve.at(64).value > 0


def test_the_default_sizes_go_from_ten_to_all_that_is_left(pairs):
    curve = sk.learning_curve(*pairs, **{**SETTINGS, "sizes": None, "draws": 1})
    assert curve.sizes[0] == 10
    assert curve.sizes[-1] == 225
    assert any("one draw does not show" in note for note in curve.notes)


WRONG = {
    "too large": ({"sizes": [20, 226]}, InputError, "226 is larger than the 225"),
    "too small": ({"sizes": [1, 20]}, InputError, "at least 2"),
    "no share": ({"held_out": 1.0}, InputError, "held_out"),
    "few held out": ({"held_out": 0.02}, InputError, "6 to judge by"),
    "metric": ({"metric": "mmr"}, UnknownNameError, "nearest: mrr"),
    "purpose": ({"purpose": "macht"}, UnknownNameError, "match"),
    "draws": ({"draws": 0}, InputError, "draws=0"),
    "no map": (
        {"solver": Relative(), "metric": "r2"},
        NoDirectedMapError,
        "map",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_measured_is_refused(pairs, case):
    settings, kind, words = WRONG[case]
    with pytest.raises(StitchError, match=words) as error:
        sk.learning_curve(*pairs, **{**SETTINGS, **settings})
    assert isinstance(error.value, kind)


def test_patients_or_items_on_both_sides_are_refused(pairs):
    x, y = pairs
    with pytest.raises(LeakageError, match="100 patients are both held out and drawn from"):
        sk.learning_curve(x[:200], y[:200], groups=np.arange(200), held_out=(x[200:], y[200:], np.arange(100)))
    sides = [sk.Embeddings(side, [f"item {i}" for i in range(300)], sk.Space("s", 12)) for side in pairs]
    few, late = ([side.take(rows) for side in sides] for rows in (np.arange(200), np.arange(190, 300)))
    with pytest.raises(LeakageError, match="10 items are both held out and drawn from"):
        sk.learning_curve(*few, held_out=tuple(late), **SETTINGS)


def test_patients_of_one_side_only_are_refused(pairs):
    x, y = pairs
    with pytest.raises(InputError, match=r"groups= names patients and held_out does not.*\(source, target, groups\)"):
        sk.learning_curve(x[:200], y[:200], groups=np.arange(200), held_out=(x[200:], y[200:]))
    with pytest.raises(InputError, match=r"held_out names patients and groups= does not"):
        sk.learning_curve(x[:200], y[:200], held_out=(x[200:], y[200:], np.arange(100)))


def test_equal_vectors_without_ids_are_one_item(pairs):
    x, y = pairs
    with pytest.raises(LeakageError, match="40 items are both held out and drawn from"):
        sk.learning_curve(x[:240], y[:240], held_out=(x[200:], y[200:]), **SETTINGS)


def test_copies_of_a_patient_do_not_lead_the_search_astray():
    rng = np.random.default_rng(3)  # noise, each pair four times: to a search without patients it looks like knowledge
    x, y = (np.repeat(rng.normal(size=(40, d)), 4, axis=0) + 0.05 * rng.normal(size=(160, d)) for d in (80, 30))
    held = (rng.normal(size=(40, 80)), rng.normal(size=(40, 30)), np.arange(1000, 1040))
    more = {"sizes": [100, 160], "draws": 1, "solver": "ridge", "purpose": "head", "replicates": 10}
    kept = sk.learning_curve(x, y, groups=np.arange(160) // 4, held_out=held, **more).values
    loose = sk.learning_curve(x, y, held_out=held[:2], **more).values
    assert kept.min() > -0.2
    assert loose.max() < -0.4


def test_repeats_of_a_vector_are_never_drawn_and_held_out(pairs, monkeypatch):
    x, y = (np.repeat(side[:100], 3, axis=0) for side in pairs)
    used = []
    real = learning_curves.align
    monkeypatch.setattr(learning_curves, "align", lambda s, t, **k: used.append(s.ids.astype(int)) or real(s, t, **k))
    curve = sk.learning_curve(x, y, **SETTINGS)
    drawn = np.unique(np.concatenate(used) // 3)
    assert curve.pairs == 75
    assert len(drawn) <= 75
    assert any("200 of 300 pairs repeat another's source vector" in note for note in curve.notes)
    rng = np.random.default_rng(5)
    noise = [np.repeat(rng.normal(size=(60, 40)), 3, axis=0) for _ in range(2)]
    found = sk.learning_curve(*noise, **SETTINGS)
    assert "no size is clearly above chance" in str(found)  # it was far above while repeats stood on both sides


def test_a_value_at_chance_needs_no_anchors_and_is_refused(curve):
    with pytest.raises(InputError, match=r"mrr 0.05 is no better than chance, which is 0.065.*above chance"):
        curve.anchors_for(0.05)
    assert curve.anchors_for(0.2).reached
    assert not any("above chance" in note for note in curve.notes)


def test_a_law_at_the_end_of_its_exponents_is_called_a_guess():
    steep = measured(0.9, 30.0, 1.6, noise=0)
    notes = learning_curves._findings(steep)
    assert any("exponent 1.00 is at the end of what is tried (0.05 to 1)" in note for note in notes)
    assert not learning_curves._findings(measured(0.9, 2.0, 0.6, noise=0))


def test_a_forecast_is_not_surer_than_the_largest_measured_size():
    """All held-out pairs are right in every draw: a forecast keeps the width of so many patients."""
    sums = np.minimum(np.linspace(0.5, 1.4, 6), 1.0)[None, :, None] * np.ones((5, 6, 20))
    drawn = DrawnSums(sums, np.ones(20), SIZES / 10_000)
    values, resampled = drawn.values, drawn.resampled("mrr", 300, 0)
    laws, ends = learning_curves._laws(SIZES, values, resampled), tuple(drawn.intervals("mrr"))
    curve = LearningCurve("mrr", SIZES, values, resampled, laws, 0.0, 20, None, 20, (), {}, intervals=ends)
    assert curve.mean[-1].low < 0.95
    assert curve.at(4 * SIZES[-1]).low <= curve.mean[-1].low
    assert curve.at(4 * SIZES[-1]).high == 1
