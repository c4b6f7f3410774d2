"""Findings that no anchor mentions, scored by company: the literal formula, rivals, laws and refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, SpaceMismatchError, UnknownNameError
from stitchkit.evaluation.associations.associations import AssociationScores
from stitchkit.evaluation.associations.cooccurrence import Cooccurrence, permuted_weights
from stitchkit.evaluation.associations.partner_scores import held_out_partners, ridge_fits
from stitchkit.metrics.auroc import auroc

NAMES = ("Congestion", "Edema", "Effusion", "Mass", "Nodule")
PROMPTS = sk.PromptSet("five", {name: (f"There is {name}.",) for name in NAMES})


def text(*present):
    return " ".join(f"{name}." for name in present) or "Clear lungs."


def worlds(n, seed, *, together=0.8, silent=("Congestion",)):
    """Findings (n, 5) of which congestion comes mostly with edema and effusion, vectors that show them, and texts."""
    rng = np.random.default_rng(seed)
    shown = rng.random((n, 5)) < [0.2, 0.15, 0.2, 0.2, 0.2]
    shown[:, 1] |= shown[:, 0] & (rng.random(n) < together)
    shown[:, 2] |= shown[:, 0] & (rng.random(n) < together / 2)
    x = shown @ np.random.default_rng(99).normal(size=(5, 12)) + 0.7 * rng.normal(size=(n, 12))
    heard = [text(*(name for name, one in zip(NAMES, row, strict=True) if one and name not in silent)) for row in shown]
    return shown.astype(float), x, heard


def pool_of(n=800, seed=7, **how):
    return worlds(n, seed, silent=(), **how)[2]


@pytest.fixture(scope="module")
def fit():
    _, x, texts = worlds(300, 1)
    return sk.fit_associations(x, texts, pool_of(), PROMPTS, groups=np.arange(300) // 2)


HAND = [  # 3 of edema and congestion, 2 of edema alone, 1 of mass and congestion, 2 of mass alone, 4 normal
    *[text("Edema", "Congestion")] * 3, *[text("Edema")] * 2, text("Mass", "Congestion"), *[text("Mass")] * 2,
    *["Clear lungs."] * 3, "No edema, no congestion.",
]  # fmt: skip


def test_weights_counts_and_scores_are_the_literal_ones():
    _, x, texts = worlds(200, 3, silent=("Congestion", "Effusion", "Nodule"))
    found = sk.fit_associations(x, texts, HAND, PROMPTS, findings=["Congestion"])
    assert found.partners == ("Edema", "Mass", "No Finding")
    together, expected = np.array([3, 1, 0]), np.array([4 * 5 / 12, 4 * 3 / 12, 4 * 4 / 12])
    literal = np.log((together + 0.5) / (expected + 0.5))
    np.testing.assert_allclose(found.weights, [literal], rtol=1e-12)
    one = found.association("Congestion")
    assert (one.mentions, one.alone, one.normal.together) == (4, 0, 0)
    assert [(partner.name, partner.together, round(partner.expected, 9)) for partner in one.partners] == [
        ("Edema", 3, round(20 / 12, 9)), ("Mass", 1, 1.0),
    ]  # fmt: skip
    said = np.array([["Edema" in one, "Mass" in one, "Clear" in one] for one in texts], dtype=float)
    centre = x.mean(axis=0)
    rows = x - centre
    penalty = found.strength * np.trace(rows.T @ rows) / 12 * np.eye(12)
    weight = np.linalg.solve(rows.T @ rows + penalty, rows.T @ (said - said.mean(axis=0)))
    fresh = worlds(40, 4)[1]
    p = (fresh - centre) @ weight + said.mean(axis=0)
    scores = found.scores(fresh)
    np.testing.assert_allclose(scores.association.values, (p @ literal)[:, None], atol=1e-10)
    np.testing.assert_allclose(scores.abnormal.values, -p[:, 2:], atol=1e-10)


def test_chance_of_company_is_that_of_draws_without_replacement():
    from scipy.stats import fisher_exact

    rng = np.random.default_rng(0)
    one, other = rng.random((60, 1)) < 0.4, rng.random((60, 3)) < [0.3, 0.5, 0.2]
    counts = Cooccurrence.of(one, other)
    for g in range(3):
        table = [[np.sum(one[:, 0] & (other[:, g] == side)) for side in (True, False)],
                 [np.sum(~one[:, 0] & (other[:, g] == side)) for side in (True, False)]]  # fmt: skip
        assert counts.p_values()[0, g] == pytest.approx(fisher_exact(table, alternative="greater").pvalue, rel=1e-9)


def test_company_ranks_the_silent_finding_better_than_its_rivals(fit):
    truth, x, _ = worlds(600, 2)
    ids = [f"film{i}" for i in range(600)]
    labels = sk.Labels(truth, ids, NAMES, np.arange(600))
    items = sk.Embeddings(x, ids, sk.Space("films", 12))
    result = fit.scores(items).evaluate(labels, replicates=200)
    assert result.table.main.macro.value > 0.7
    assert result.table.methods[1].name == "'abnormal' alone"
    assert result.table.methods[1].difference.low > 0.02
    assert result.null().value == result.table.main.macro.value
    assert result.null("Congestion").share < 0.1
    assert fit.association("Congestion").company[:1] == ("Edema",)
    assert "weights permuted: mean" in str(result)
    with pytest.raises(UnknownNameError, match="Congestion"):
        result.null("Congestoin")
    json.dumps(result.to_dict())


def test_without_company_the_score_is_no_better_than_permuted_weights():
    shares, gains = [], []
    for seed in range(6):
        _, x, texts = worlds(400, 10 + seed, together=0.0)
        found = sk.fit_associations(x, texts, pool_of(400, seed=30 + seed, together=0.0), PROMPTS)
        fresh, items, _ = worlds(800, 50 + seed, together=0.0)
        scores = found.scores(items)
        labels = sk.Labels(fresh, scores.ids, NAMES)
        result = scores.evaluate(labels, replicates=50)
        shares.append(result.null().share)
        gains.append(result.null().value - result.null().mean)
        assert len(found.association("Congestion").company) == 0
    assert max(shares) > 0.2
    assert abs(np.mean(gains)) < 0.03


def test_a_finding_without_company_says_so():
    _, x, texts = worlds(200, 3)
    pool = [*worlds(300, 5)[2], *[text("Congestion")] * 9]
    found = sk.fit_associations(x, texts, pool, PROMPTS)
    shown = str(found)
    assert "9 pool texts, 9 of them without any anchored finding; mentioned with no anchored finding more" in shown
    assert "expect scores near chance" in shown
    assert "fewer than 10 pool texts mention Congestion" in shown


def test_partners_are_judged_out_of_fold_with_patients_whole():
    """Vectors that name the patient tell mentions of seen patients alone: held out they are at chance."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 5)
    told = np.repeat(rng.random((40, 2)) < 0.5, 5, axis=0)
    texts = [text(*(name for name, one in zip(("Edema", "Mass"), row, strict=True) if one)) for row in told]
    x = np.eye(40)[people] + 0.01 * rng.normal(size=(200, 40))
    aurocs = {}
    for groups in (people, None):
        found = sk.fit_associations(x, texts, pool_of(), PROMPTS, findings=["Congestion"], groups=groups)
        aurocs[groups is None] = [one.auroc.value for one in found.association("Congestion").partners]
        assert found.patients == (None if groups is None else 40)
    assert max(aurocs[False]) < 0.65
    assert min(aurocs[True]) > 0.9


def test_held_out_aurocs_are_the_literal_ones():
    truth, x, texts = worlds(150, 4, silent=("Mass",))
    people = (np.arange(150) // 3).astype(str)
    y = np.column_stack([truth[:, [0, 1, 2, 4]], truth[:, [0, 1, 2, 4]].sum(axis=1) == 0])
    held = held_out_partners(x, y, people, folds=5, seed=0)
    wins = pairs = 0.0
    for number in np.unique(held.fold):
        inside = held.fold == number
        assert not set(people[inside]) & set(people[~inside])
        literal = ridge_fits(x[~inside], y[~inside], [held.strength])[0](x[inside])
        np.testing.assert_allclose(held.scores[inside], literal, atol=1e-12)
        p, edema = literal[:, 1], y[inside, 1] == 1
        gaps = p[edema][:, None] - p[~edema][None, :]
        wins, pairs = wins + (gaps > 0).sum() + (gaps == 0).sum() / 2, pairs + gaps.size
    found = sk.fit_associations(x, texts, pool_of(), PROMPTS, groups=people)
    edema = next(one for one in found.associations[0].partners if one.name == "Edema")
    assert edema.auroc.value == pytest.approx(wins / pairs)
    assert 0.5 < edema.auroc.low <= edema.auroc.value <= edema.auroc.high


@pytest.mark.parametrize("shape", [(80, 12), (20, 60)])
def test_ridge_is_the_closed_form_however_wide(shape):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape) + 5, rng.random((shape[0], 3)) < 0.4
    rows = x - x.mean(axis=0)
    mean = np.trace(rows.T @ rows) / min(shape[0] - 1, shape[1])
    for strength, fit in zip((0.01, 1.0), ridge_fits(x, y.astype(float), (0.01, 1.0)), strict=True):
        weight = np.linalg.solve(rows.T @ rows + strength * mean * np.eye(shape[1]), rows.T @ (y - y.mean(axis=0)))
        np.testing.assert_allclose(fit.weight, weight, atol=1e-10)
        np.testing.assert_allclose(fit(x), rows @ weight + y.mean(axis=0), atol=1e-10)


def test_permutations_keep_the_normal_item_in_place_and_follow_the_seed(fit):
    weights = np.array([[1.0, 2.0, 3.0, -4.0], [5.0, 6.0, 7.0, -8.0]])
    draws = permuted_weights(weights, 199, 3)
    assert draws.shape == (199, 2, 4)
    assert np.array_equal(draws[:, :, 3], np.tile([-4.0, -8.0], (199, 1)))
    assert np.array_equal(np.sort(draws[:, 0, :3], axis=1), np.tile([1.0, 2.0, 3.0], (199, 1)))
    assert np.array_equal(draws[:, 1, :3], draws[:, 0, :3] + 4)  # one permutation for all findings
    assert np.array_equal(draws, permuted_weights(weights, 199, 3))
    assert not np.array_equal(draws, permuted_weights(weights, 199, 4))
    assert fit.permuted.shape == (199, 1, 5)
    scores = fit.scores(worlds(9, 2)[1])
    np.testing.assert_allclose(scores.permutation(198).values, scores.partner_scores @ fit.permuted[198].T, atol=1e-12)
    for draw in (-1, 199):
        with pytest.raises(InputError, match="there are 199 permutations, 0 to 198"):
            scores.permutation(draw)


def same_scores(one, other, fresh, moved=None):
    left, right = one.scores(fresh), other.scores(fresh if moved is None else moved)
    np.testing.assert_allclose(right.association.values, left.association.values, atol=1e-8)
    np.testing.assert_allclose(right.abnormal.values, left.abnormal.values, atol=1e-8)
    assert right.partners == left.partners


def test_order_of_anchors_and_pool_does_not_matter(fit):
    _, x, texts = worlds(300, 1)
    order, pool = np.random.default_rng(0).permutation(300), pool_of()
    shuffled = [pool[i] for i in np.random.default_rng(1).permutation(len(pool))]
    again = sk.fit_associations(
        x[order], [texts[i] for i in order], shuffled, PROMPTS, groups=(np.arange(300) // 2)[order]
    )
    same_scores(fit, again, worlds(50, 2)[1])
    assert [one.name for one in again.associations[0].partners] == [one.name for one in fit.associations[0].partners]


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
def test_a_scaled_rotated_and_shifted_source_has_the_same_scores(fit, scale):
    rng = np.random.default_rng(0)
    _, x, texts = worlds(300, 1)
    turn, shift = np.linalg.qr(rng.normal(size=(12, 12)))[0], scale * rng.normal(size=12)
    again = sk.fit_associations(scale * x @ turn + shift, texts, pool_of(), PROMPTS, groups=np.arange(300) // 2)
    fresh = worlds(50, 2)[1]
    same_scores(fit, again, fresh, scale * fresh @ turn + shift)
    for one, other in zip(fit.associations[0].partners, again.associations[0].partners, strict=True):
        assert other.auroc == pytest.approx(one.auroc, abs=1e-9)


def test_every_pool_text_twice_keeps_the_order_of_the_partners(fit):
    _, x, texts = worlds(300, 1)
    twice = sk.fit_associations(x, texts, pool_of() * 2, PROMPTS, groups=np.arange(300) // 2)
    assert twice.associations[0].mentions == 2 * fit.associations[0].mentions
    assert twice.pool_distinct == fit.pool_distinct
    np.testing.assert_allclose(twice.weights[:, :-1], fit.weights[:, :-1], atol=0.1)


def test_every_array_library_gives_the_same_scores(fit, library):
    _, x, texts = worlds(300, 1)
    again = sk.fit_associations(library(x), texts, pool_of(), PROMPTS, groups=np.arange(300) // 2)
    fresh = worlds(50, 2)[1]
    same_scores(fit, again, fresh, library(fresh))


def test_labels_of_texts_stand_for_texts(fit):
    _, x, texts = worlds(300, 1)
    ids = [f"film{i}" for i in range(300)]
    pool = pool_of()
    classes = (*NAMES, "No Finding")
    tables = [
        sk.Labels([[float(name in one) for name in classes] for one in some], named, classes)
        for some, named in ((texts, ids), (pool, [f"report{i}" for i in range(len(pool))]))
    ]
    order = np.random.default_rng(0).permutation(300)
    vectors = sk.Embeddings(x, ids, sk.Space("films", 12))
    people = dict(zip(ids, np.arange(300) // 2, strict=True))
    for prompts in (None, PROMPTS):
        again = sk.fit_associations(
            vectors, tables[0].take(order), tables[1], prompts, groups=people
        )  # fmt: skip
        same_scores(fit, again, worlds(50, 2)[1])
        assert any("it was not checked that the pool's are none of the anchors'" in note for note in again.notes)
    assert sk.fit_associations(x, texts, tables[1], PROMPTS).weights.tolist() == fit.weights.tolist()


def test_a_column_of_a_table_is_texts(fit):
    import pandas

    _, x, texts = worlds(300, 1)
    for column in (np.asarray, pandas.Series, tuple):
        again = sk.fit_associations(x, column(texts), column(pool_of()), PROMPTS)
        assert again.weights.tolist() == fit.weights.tolist()


def test_an_anchor_set_brings_its_texts_and_patients(fit):
    _, x, texts = worlds(300, 1)
    ids = np.array([f"film{i}" for i in range(300)])
    order = np.random.default_rng(0).permutation(300)
    films = sk.Items(ids, [np.zeros((2, 2))] * 300, "image")
    anchors = sk.AnchorSet(ids, films, sk.Items(ids, texts, "text"), np.arange(300) // 2).take(order)
    vectors = sk.Embeddings(x, ids, sk.Space("films", 12))
    again = sk.fit_associations(vectors, anchors, pool_of(), PROMPTS)
    same_scores(fit, again, worlds(50, 2)[1])
    assert (again.anchors, again.patients) == (300, 150)


def test_prompts_go_by_name_and_no_finding_is_a_normal_item():
    texts = ["There is edema.", "There is a mass.", "Clear lungs.", "There is edema and a mass."] * 10
    x = np.random.default_rng(0).normal(size=(40, 4))
    pool = ["There is atelectasis and edema."] * 5 + ["Clear."] * 5
    found = sk.fit_associations(x, texts, pool, "nih15")
    assert found.partners == ("Mass", "Edema", "No_Finding")
    assert found.findings == ("Atelectasis",)
    assert "none of 10 pool texts mentions it in the words of the prompts" in found.unscored["Hernia"]
    assert "Hernia: no score: none of 10 pool texts" in str(found)
    assert "No_Finding" not in found.unscored


BAD = {
    "no pool": ({"pool": None}, InputError, "no score by association: no pool of unlinked texts was given"),
    "an empty pool": ({"pool": []}, InputError, "no pool of unlinked texts was given, .* Give texts"),
    "a pool of one text": ({"pool": "Edema."}, InputError, "the pool is a list of texts; got a single text"),
    "numbers in the pool": ({"pool": ["Edema.", 3.0]}, InputError, "row 1 of the pool is of type float"),
    "a pool of images": (
        {"pool": sk.Items(["a"], [np.zeros((2, 2))], "image")}, InputError, "the pool holds images",
    ),
    "a number for a pool": ({"pool": 5}, InputError, "the pool takes texts, text items or labels; got int"),
    "no mention in the pool": ({"pool": ["Edema again."] * 9}, DataError, "none of 9 pool texts mentions it"),
    "denials in the pool": ({"pool": ["No congestion."] * 9}, DataError, "none of 9 pool texts mentions it"),
    "the anchors' own texts": ({"pool": worlds(300, 1)[2]}, DataError, "all 300 pool texts are texts of anchors"),
    "one anchored finding": (
        {"texts": [text("Edema"), "Clear."] * 150}, InputError, "mention only 'Edema'; association needs at least two",
    ),
    "no anchored finding": ({"texts": ["Clear."] * 300}, InputError, "mention none; association needs at least two"),
    "no normal anchor": (
        {"texts": [text("Edema"), text("Mass")] * 150}, InputError, "the rival to show .* Add anchors of normal items",
    ),
    "a finding that anchors mention": (
        {"findings": ["Edema"]}, InputError, r"\d+ of 300 anchor texts mention 'Edema', .*zeroshot",
    ),
    "an unknown finding": ({"findings": ["Congestoin"]}, UnknownNameError, "nearest: Congestion"),
    "one name for findings": ({"findings": "Congestion"}, InputError, "findings= takes a list of names; got a single"),
    "an empty list of findings": ({"findings": []}, InputError, "findings= takes a list of names; got none"),
    "an unknown normal class": ({"no_finding": "Normal"}, UnknownNameError, "no_finding= names the class"),
    "a normal class to score": (
        {"no_finding": "Congestion", "findings": ["Congestion"]}, InputError, "stands for a normal item",
    ),
    "every finding mentioned": (
        {"texts": [text(*NAMES), "Clear."] * 150}, InputError, "the anchors mention all 5 findings",
    ),
    "too few texts": ({"texts": ["Edema."] * 3}, InputError, "3 texts came with 300 vectors"),
    "one patient": ({"groups": ["a"] * 300}, InputError, "the 300 anchors are of one patient"),
    "vectors that are all the same": ({"vectors": np.ones((300, 4))}, InputError, "300 anchors have the same vector"),
    "too few groups": ({"groups": ["a"] * 3}, InputError, "3 groups came with 300 rows"),
    "no prompts": ({"prompts": None}, InputError, "Give prompts="),
    "an unknown prompt set": ({"prompts": "nih51"}, UnknownNameError, "nih15"),
    "classes that exclude each other": (
        {"prompts": replace(PROMPTS, multiclass=True)}, InputError, "its classes keep no company",
    ),
    "one fold": ({"folds": 1}, InputError, "folds must be a whole number of at least 2; got 1"),
    "no permutation": ({"permutations": 0}, InputError, "permutations must be a whole number of at least 1; got 0"),
    "half a permutation": ({"permutations": 0.5}, InputError, "permutations must be a whole number"),
    "a negative seed": ({"seed": -1}, InputError, "seed must be a whole number from 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_the_next_step(case):
    change, error, message = BAD[case]
    _, x, texts = worlds(300, 1)
    given = {"vectors": x, "texts": texts, "pool": pool_of(), "prompts": PROMPTS, **change}
    with pytest.raises(error, match=message):
        sk.fit_associations(**given)


def test_pool_texts_of_anchors_are_counted_and_named():
    _, x, texts = worlds(300, 1)
    strange = [f"{one} Report of another hospital." for one in pool_of()]
    for own in (0, 50):
        pool = [*(one.upper() + " " for one in texts[:own]), *strange]
        found = sk.fit_associations(x, texts, pool, PROMPTS)
        notes = [one for one in found.notes if "texts of anchors as well" in one]
        said = f"{own} of {len(pool)} pool texts are texts of anchors as well: they mention no finding that is scored"
        assert [one.startswith(said) for one in notes] == [True] * (own > 0)


def test_items_of_another_encoder_are_refused():
    _, x, texts = worlds(300, 1)
    vectors = sk.Embeddings(x, [str(i) for i in range(300)], sk.Space("films", 12, "one"))
    found = sk.fit_associations(vectors, texts, pool_of(), PROMPTS)
    with pytest.raises(SpaceMismatchError):
        found.scores(sk.Embeddings(x, vectors.ids, sk.Space("others", 12, "two")))
    with pytest.raises(SpaceMismatchError):
        found.scores(x[:, :5])


def test_the_result_prints_and_becomes_json(fit):
    shown, plain = str(fit), json.loads(json.dumps(fit.to_dict()))
    for said in ("Congestion", "Edema", "AUROC held out", "no company stays near chance", "beside their rivals"):
        assert said in shown
    (one,) = plain["findings"]
    assert one["mentions"] == fit.associations[0].mentions
    assert {"name", "weight", "together", "expected", "p_value", "anchors", "auroc"} == set(one["partners"][0])
    assert set(one["partners"][0]["auroc"]) == {"value", "low", "high"}
    scores = fit.scores(worlds(50, 2)[1])
    assert len(scores) == 50
    json.dumps(scores.to_dict())
    assert "rank correlation with 'abnormal' alone" in str(scores)
    assert 0 < scores.likeness["Congestion"] <= 1


def test_a_score_that_does_not_vary_has_no_rank_correlation():
    ids, weights = np.array(["a", "b"]), np.ones((3, 1, 2))
    flat = AssociationScores(ids, ("Edema",), ("Mass", "No Finding"), np.ones((2, 2)), weights[0], weights, ())
    assert flat.likeness == {"Edema": None}
    assert "not defined" in str(flat)


def test_scores_of_all_kinds_are_refused_by_calibration(fit):
    truth, x, _ = worlds(200, 2)
    scores = fit.scores(x)
    labels = sk.Labels(truth, scores.ids, NAMES)
    for one in (scores.association, scores.abnormal, scores.permutation(0)):
        for verb in (sk.calibrate, sk.choose_thresholds, sk.conformal_sets):
            with pytest.raises(InputError, match="rank items by the findings that accompany Congestion"):
                verb(one, labels)


def test_leakage_is_refused_when_scores_are_judged(fit):
    truth, x, _ = worlds(100, 2)
    scores = fit.scores(x)
    with pytest.raises(sk.StitchError, match="anchors"):
        scores.evaluate(sk.Labels(truth, scores.ids, NAMES), anchors=scores.ids[:20], replicates=20)
    assert auroc(scores.association.column("Congestion"), truth[:, 0]) > 0.6


def test_partners_have_the_interval_of_pairs_within_folds_and_few_patients_the_value_alone():
    from stitchkit.evaluation.associations.partner_scores import held_out_partners, partner_aurocs
    from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals

    rng = np.random.default_rng(0)
    people = np.arange(240) // 2
    y = np.stack([rng.random(240) < 0.3, people < 3, np.zeros(240)], axis=1).astype(float)
    held = held_out_partners(y + rng.normal(size=y.shape), y, people, folds=3, seed=0)
    first, few, none = partner_aurocs(held, y, people)
    expected = auroc_intervals(AurocPulls.of(held.scores, y, people, held.fold))
    assert first == expected[0]
    assert few.value == expected[1].value
    assert not few.has_ends
    assert none is None
