"""What is known before fitting, and the search for the best pair of layers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError
from stitchkit.evaluation.patient_draws import PatientDraws, patient_means
from stitchkit.evaluation.spaces.stitchability import effective_rank
from stitchkit.metrics.cka import debiased_cka
from stitchkit.metrics.neighbourhoods import mutual_knn


def draw(n=150, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(n, 6))
    return tuple(meaning @ rng.normal(size=(6, d)) + noise * rng.normal(size=(n, d)) for d in (9, 7))


def test_related_spaces_are_told_from_unrelated_ones():
    x, y = draw()
    related, unrelated = (
        sk.stitchability(x, other, 5) for other in (y, y[np.random.default_rng(1).permutation(len(y))])
    )
    assert related.p_value == pytest.approx(1 / 201)
    assert related.overlap.low > related.chance
    assert "something to find" in related.sentence
    assert unrelated.p_value > 0.05
    assert unrelated.overlap.low < unrelated.chance < unrelated.overlap.high
    assert "Check that row i" in unrelated.sentence


def test_its_numbers_are_those_of_the_metrics(library):
    x, y = draw(60)
    found = sk.stitchability(*library(x, y), 4, shuffles=20, replicates=20)
    assert found.overlap.value == pytest.approx(mutual_knn(x, y, 4), abs=1e-12)
    assert found.debiased == pytest.approx(debiased_cka(x, y), abs=1e-10)
    assert found.cka == pytest.approx(sk.cka(sk.Moments.of(x, y)), abs=1e-12)
    assert (found.n, found.judged, found.dims, found.chance) == (60, 60, (9, 7), 4 / 59)


def test_p_values_of_unrelated_spaces_are_even():
    rng = np.random.default_rng(2)
    found = [
        sk.stitchability(rng.normal(size=(40, 4)), rng.normal(size=(40, 4)), 3, shuffles=39, replicates=1).p_value
        for _ in range(80)
    ]
    assert np.mean(np.array(found) <= 0.2) == pytest.approx(0.2, abs=0.14)  # three standard errors of 80 draws


def test_effective_rank_is_the_participation_ratio_of_the_spectrum():
    assert effective_rank(np.diag([1.0, 1.0, 1.0, 0.0])) == pytest.approx(3.0)
    values = np.geomspace(1, 1e-3, 6)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    assert effective_rank(turn @ np.diag(values) @ turn.T) == pytest.approx(values.sum() ** 2 / np.sum(values**2))


def test_neighbourhoods_of_many_items_are_those_of_a_draw():
    x, y = draw(200)
    found = sk.stitchability(x, y, 5, rows=80, shuffles=20, replicates=20)
    rows = np.sort(np.random.default_rng(0).permutation(200)[:80])
    assert (found.judged, found.chance) == (80, 5 / 79)
    assert found.overlap.value == pytest.approx(mutual_knn(x[rows], y[rows], 5))
    assert "80 of 200 items, drawn" in str(found)


def test_embeddings_are_paired_by_id():
    x, y = draw(50)
    ids, order = np.arange(50).astype(str), np.random.default_rng(3).permutation(50)
    left = sk.Embeddings(x, ids, sk.Space("a", 9))
    right = sk.Embeddings(y[order], ids[order], sk.Space("b", 7))
    settings = {"shuffles": 20, "replicates": 20}
    assert sk.stitchability(left, right, 5, **settings) == sk.stitchability(x, y, 5, **settings)
    with pytest.raises(DataError, match="not in the embeddings of 'b'"):
        sk.stitchability(left, right.take(np.arange(40)), 5)


def test_few_pairs_for_the_directions_are_called_few():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 60))
    assert "40 pairs are few" in sk.stitchability(x, x, 5).sentence


def unrelated(sizes, seed, noise=0.3, width=6):
    """Patients with rows of their own, alike on each side, and nothing that the sides share."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    sides = [rng.normal(size=(len(sizes), width))[patients] for _ in range(2)]
    return patients, *(side + noise * rng.normal(size=side.shape) for side in sides)


def test_unrelated_patients_of_many_rows_are_no_agreement():
    patients, x, y = unrelated(np.full(40, 10), 0)
    found = sk.stitchability(x, y, groups=patients)
    assert sk.stitchability(x, y).p_value < 0.01  # what shuffled rows make of it
    assert found.p_value > 0.05
    assert found.overlap.low < found.chance < found.overlap.high
    assert abs(found.debiased) < 0.1 < sk.stitchability(x, y).debiased
    assert "shuffled patients" in found.sentence
    assert (found.patients, found.judged, found.draws, found.chance) == (40, 40, 20, 10 / 39)


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_p_values_of_unrelated_patients_are_even_whatever_their_numbers_of_rows(noise):
    found = []
    for seed in range(80):
        sizes = np.random.default_rng(seed).integers(1, 25, size=30)
        patients, x, y = unrelated(sizes, seed, noise, width=4)
        how = {"shuffles": 39, "replicates": 1, "seed": seed}
        found.append(sk.stitchability(x, y, 3, groups=patients, **how).p_value)
    assert np.mean(np.array(found) <= 0.2) == pytest.approx(0.2, abs=0.14)  # three standard errors of 80 draws


def test_related_patients_are_told_from_chance():
    rng = np.random.default_rng(9)
    patients = np.repeat(np.arange(40), rng.integers(1, 12, size=40))
    meaning = rng.normal(size=(40, 4))[patients] + 0.3 * rng.normal(size=(len(patients), 4))
    found = sk.stitchability(meaning @ rng.normal(size=(4, 6)), meaning @ rng.normal(size=(4, 5)), 5, groups=patients)
    assert found.p_value == pytest.approx(1 / 201)
    assert found.overlap.low > 2 * found.chance
    assert "one row each, 20 draws" in str(found)


def test_neighbours_of_patients_are_those_among_one_row_of_each():
    patients, x, y = unrelated([3, 1, 5, 2, 4, 2, 3, 1, 2], 1)
    draws = PatientDraws.of(len(x), patients, 3, most=5000, seed=4)
    assert (np.sort(patients[draws.rows], axis=1) == np.arange(9)).all()
    assert {*draws.rows.reshape(-1)} == {*range(23)}  # 20 draws leave none of these rows out
    found = sk.stitchability(x, y, 3, groups=patients, shuffles=5, replicates=5, seed=4)
    assert found.overlap.value == pytest.approx(np.mean([mutual_knn(x[rows], y[rows], 3) for rows in draws.rows]))


def test_one_row_a_patient_is_what_no_groups_are():
    x, y = draw(60)
    plain, grouped = (sk.stitchability(x, y, 5, groups=groups, shuffles=20) for groups in (None, np.arange(60)))
    assert (grouped.patients, plain.patients) == (60, None)
    assert replace(grouped, patients=None, debiased=plain.debiased, debiased_se=plain.debiased_se) == plain
    assert grouped.debiased == pytest.approx(plain.debiased, abs=1e-12)
    assert grouped.debiased_se == pytest.approx(plain.debiased_se, abs=1e-12)


def test_groups_are_rows_or_a_mapping_of_ids():
    patients, x, y = unrelated([4] * 12, 2)
    ids = [f"film {i}" for i in range(48)]
    sides = [sk.Embeddings(v, ids, sk.Space(name, 6)) for v, name in ((x, "a"), (y, "b"))]
    by_id = {one: f"p{patient}" for one, patient in zip(reversed(ids), reversed(patients), strict=True)}
    how = {"k": 3, "replicates": 20}
    pair = {0: sides[0]}, {1: sides[1]}
    assert sk.stitchability(*sides, groups=by_id, **how) == sk.stitchability(*sides, groups=patients, **how)
    assert sk.search_layers(*pair, groups=by_id, **how) == sk.search_layers(*pair, groups=patients, **how)
    for verb in (lambda **g: sk.stitchability(*sides, **g), lambda **g: sk.search_layers(*pair, **g)):
        with pytest.raises(InputError, match="no entry for 48 anchors"):
            verb(groups={"another": 1})
        with pytest.raises(InputError, match="47 groups came with 48 rows"):
            verb(groups=patients[:47])
        with pytest.raises(InputError, match="all 48 rows are of one patient"):
            verb(groups=np.zeros(48))


def test_few_patients_lower_k_and_are_called_few():
    patients, x, y = unrelated([10] * 5, 3)
    found = sk.stitchability(x, y, groups=patients)
    assert (found.k, found.judged, found.chance) == (2, 5, 0.5)
    assert found.sentence.startswith("5 patients are too few")


def test_means_of_patients_are_the_literal_ones(library):
    patients, x, _ = unrelated([3, 1, 700, 5], 5)
    order = np.random.default_rng(0).permutation(len(x))
    x, patients = x[order] + 1e8, patients[order]
    first = list(dict.fromkeys(patients.tolist()))
    expected = [np.mean(x[patients == one] - 1e8, axis=0) for one in first]
    np.testing.assert_allclose(patient_means(library(x), patients) - 1e8, expected, rtol=0, atol=3e-8)


def test_it_prints_chance_beside_the_overlap_and_turns_into_json():
    found = sk.stitchability(*draw(40), 5, shuffles=20, replicates=20)
    assert "chance 0.128" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["overlap"]["value"] == found.overlap.value


def test_one_dimension_is_enough():
    x = np.random.default_rng(5).normal(size=(30, 1))
    found = sk.stitchability(x, -2 * x, 3, shuffles=20, replicates=20)
    assert (found.cka, found.effective) == (pytest.approx(1.0), pytest.approx((1.0, 1.0)))


def test_what_cannot_be_judged_is_refused():
    x, y = draw(20)
    with pytest.raises(InputError, match="got 3 pairs; at least 4"):
        sk.stitchability(x[:3], y[:3], 1)
    with pytest.raises(InputError, match=r"k = 20 .* got 20"):
        sk.stitchability(x, y, 20)
    with pytest.raises(InputError, match="the same"):
        sk.stitchability(x, np.ones_like(y), 5)
    with pytest.raises(InputError, match="20 rows and target has 19"):
        sk.stitchability(x, y[:19], 5)
    with pytest.raises(InputError, match="rows above k = 5"):
        sk.stitchability(x, y, 5, rows=5)


@pytest.fixture(scope="module")
def layers():
    rng = np.random.default_rng(6)
    meaning = rng.normal(size=(150, 5))

    def layer(noise, width=8):
        return meaning @ rng.normal(size=(5, width)) + noise * rng.normal(size=(150, width))

    return {"early": layer(20.0), "middle": layer(2.0), "late": layer(0.2)}, {0: layer(8.0), 11: layer(0.2)}


def test_the_layers_that_agree_best_win_clearly(layers):
    found = sk.search_layers(*layers, k=5)
    assert (found.best.source, found.best.target, found.clear, found.rivals) == ("late", "11", True, 0)
    assert len(found.pairs) == 6
    values = [one.overlap.value for one in found.pairs]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(mutual_knn(layers[0]["late"], layers[1][11], 5))
    assert all(one.behind.low > 0 for one in found.pairs[1:])
    assert "wins clearly" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["clear"] is True


def test_a_copy_of_the_best_layer_makes_the_win_unclear(layers):
    x, y = layers
    nearly = x["late"] + 1e-3 * np.random.default_rng(7).normal(size=x["late"].shape)
    found = sk.search_layers({**x, "copy": nearly}, y, k=5)
    assert (found.clear, found.rivals) == (False, 1)
    assert "1 of the other 7 pairs are not clearly behind" in found.sentence


def test_layers_that_share_nothing_are_not_ranked_as_if_they_did():
    rng = np.random.default_rng(8)
    found = sk.search_layers({"a": rng.normal(size=(100, 4))}, {"b": rng.normal(size=(100, 4))}, k=5)
    assert not found.clear
    assert "beyond chance" in found.sentence


def test_layers_agree_on_patients_and_not_on_their_rows():
    patients, x, y = unrelated(np.full(40, 10), 0)
    rows, whole = (sk.search_layers({"a": x}, {"b": y}, groups=groups) for groups in (None, patients))
    assert (rows.clear, whole.clear) == (True, False)
    assert (rows.patients, whole.patients, whole.chance) == (None, 40, 10 / 39)
    assert "No pair of layers agrees beyond chance" in whole.sentence
    assert "400 items of 40 patients, one row each" in str(whole)
    assert whole.best.overlap == sk.stitchability(x, y, groups=patients).overlap


def noise(n=60, widths=(8, 7), seed=10):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=(n, d)) for d in widths)


def test_rows_that_stand_several_times_are_no_agreement():
    once = noise()
    x, y = (np.tile(side, (3, 1)) for side in once)
    found = sk.stitchability(x, y)
    assert found.p_value > 0.05
    assert (found.judged, found.patients, found.repeats, found.chance) == (60, None, 120, 10 / 59)
    assert found.overlap.value == pytest.approx(mutual_knn(*once))
    assert found.debiased == pytest.approx(debiased_cka(*once), abs=1e-12)
    assert "120 of 180 items repeat another's vector exactly and count with it as one" in str(found)
    assert "60 items, one row each" in str(found)
    layers = sk.search_layers({"a": x}, {"b": y})
    assert (layers.clear, layers.repeats, layers.patients) == (False, 120, None)
    assert layers.p_value == found.p_value
    assert "count with it as one" in str(layers)


def test_patients_that_share_a_vector_count_as_one():
    x, y = (np.concatenate([side, side[:1]]) for side in noise(30))
    found = sk.stitchability(x, y, 5, groups=np.arange(31), shuffles=20)
    assert (found.patients, found.judged, found.repeats) == (30, 30, 1)


def test_the_best_of_many_pairs_of_layers_is_held_against_the_best_of_many():
    shared = {"shuffles": 39, "replicates": 1, "k": 3}
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y = ({i: rng.normal(size=(30, 4)) for i in range(3)} for _ in range(2))
        found.append(sk.search_layers(x, y, seed=seed, **shared))
    small = np.mean([one.p_value <= 0.2 for one in found])
    assert small == pytest.approx(0.2, abs=0.16)  # three standard errors of 60 draws
    assert all(not one.clear for one in found if one.p_value > 0.05)


def test_the_p_value_of_one_pair_of_layers_is_that_of_stitchability(layers):
    x, y = layers
    for name in x:
        pair = sk.search_layers({name: x[name]}, {0: y[0]}, k=5)
        assert pair.p_value == sk.stitchability(x[name], y[0], 5).p_value
    whole = sk.search_layers(x, y, k=5)
    assert whole.p_value == pytest.approx(1 / 201)
    assert "p = 0.005 for the best of 6" in whole.sentence


def test_the_debiased_cka_has_an_error():
    rng = np.random.default_rng(11)
    values = [sk.stitchability(*noise(seed=rng.integers(1 << 30)), 5, shuffles=1, replicates=1) for _ in range(60)]
    spread = np.std([one.debiased for one in values])
    error = np.sqrt(np.mean([one.debiased_se**2 for one in values]))
    assert spread < 1.2 * error < 2.4 * spread  # a jackknife of unrelated sides is too large, by up to 1.4
    assert f"+- {values[0].debiased_se:.3f}  (0 if unrelated)" in str(values[0])
    few = sk.stitchability(*noise(5), 2)
    assert few.debiased_se is not None
    assert sk.stitchability(*noise(4), 2).debiased_se is None


def test_layers_of_other_items_are_refused(layers):
    x, y = layers
    with pytest.raises(InputError, match="layer 11 has 140 rows, the first one 150"):
        sk.search_layers(x, {11: y[11][:140]})
    with pytest.raises(InputError, match="y must name at least one layer"):
        sk.search_layers(x, {})
    with pytest.raises(InputError, match="x must name at least one layer"):
        sk.search_layers(x["late"], y)
    with pytest.raises(InputError, match="k = 150"):
        sk.search_layers(x, y, k=150)


def test_a_sample_of_the_patients_is_drawn_once():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5))
    groups = np.arange(120) // 3
    whole, some = (sk.stitchability(x, 2 * x, groups=groups, k=5, rows=rows, replicates=20) for rows in (40, 20))
    assert (whole.judged, whole.draws > 1, whole.complete) == (40, True, True)
    assert (some.judged, some.draws, some.complete) == (20, 1, False)
    assert some.compared == "20 of 40 patients, drawn"
