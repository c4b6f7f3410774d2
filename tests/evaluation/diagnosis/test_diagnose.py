"""Every part of a diagnosis against a literal version, and what it says of alignments that are wrong in one way."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, LeakageError, SpaceMismatchError, UnknownNameError
from stitchkit.evaluation.diagnosis import diagnose as diagnostics
from stitchkit.evaluation.diagnosis import leverage
from stitchkit.evaluation.diagnosis.leverage import hat_values

QUICK = {"replicates": 50}


def draw(n=160, noise=0.2, seed=0, private=0.3):
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(n, 6))
    x = meaning @ rng.normal(size=(6, 8)) + private * rng.normal(size=(n, 8))
    return x, meaning @ rng.normal(size=(6, 7)) + noise * rng.normal(size=(n, 7))


@pytest.fixture(scope="module")
def pairs():
    x, y = draw()
    return sk.align(x[:100], y[:100], solver=sk.Ridge(alpha=1e-3)), (x[:100], y[:100]), (x[100:], y[100:])


@pytest.fixture(scope="module")
def fresh(pairs):
    alignment, anchors, held = pairs
    return sk.diagnose(alignment, *held, pairs="held-out", anchors=anchors)


def test_a_good_alignment_gets_good_numbers_and_no_alarm(fresh):
    assert fresh.fit.r2 > 0.8
    assert fresh.cosines.above > 0.95
    assert fresh.retrieval.forward.recall[1].low > 10 * fresh.retrieval.forward.chance(1)
    assert fresh.flagged <= 3
    assert "beyond chance: held-out" in fresh.verdict
    assert not any("in-sample" in one for one in fresh.advice)


def test_the_residual_is_that_of_scikit_learn(pairs, fresh):
    from sklearn.metrics import r2_score

    alignment, _, (x, y) = pairs
    guessed = alignment.to_target(x)
    assert fresh.fit.r2 == pytest.approx(r2_score(y, guessed, multioutput="variance_weighted"), abs=1e-12)
    assert fresh.fit.relative == pytest.approx(np.linalg.norm(y - guessed) / np.linalg.norm(y - y.mean(axis=0)))


def test_cosines_are_those_of_the_similarity_matrix(pairs, fresh):
    alignment, _, (x, y) = pairs
    table = alignment.similarity(x, y)
    true, random = np.diag(table), table[~np.eye(len(x), dtype=bool)]
    np.testing.assert_allclose(fresh.cosines.true, np.quantile(true, [0.05, 0.25, 0.5, 0.75, 0.95]), atol=1e-12)
    exact = np.mean(true[:, None] > random[None, :])
    assert fresh.cosines.above == pytest.approx(exact, abs=0.02)  # random pairs are drawn
    assert sum(fresh.cosines.of_true) == pytest.approx(1)
    assert sum(fresh.cosines.of_random) == pytest.approx(1)


def test_retrieval_is_that_of_evaluate_retrieval(pairs, fresh):
    alignment, _, held = pairs
    assert fresh.retrieval == sk.evaluate_retrieval(alignment, *held)


def test_hubs_are_counted_in_the_similarity_matrix(pairs, fresh):
    alignment, _, held = pairs
    table = alignment.similarity(*held)
    for hubs, scores in zip(fresh.hubs, (table, table.T), strict=True):
        order = np.argsort(-scores, axis=1)[:, :10]
        np.testing.assert_array_equal(hubs.in_degree, np.bincount(order.ravel(), minlength=60))


def test_the_spectrum_is_that_of_the_directed_weight(pairs, fresh):
    expected = np.linalg.svd(pairs[0].directed.weight, compute_uv=False)
    np.testing.assert_allclose(fresh.spectrum.values, expected, atol=1e-12)
    assert fresh.spectrum.effective == pytest.approx(np.sum(expected**2) ** 2 / np.sum(expected**4))


def test_without_a_directed_map_the_spectrum_is_that_of_the_similarity(pairs):
    alignment, _, held = pairs
    alone = replace(alignment, directed=None, weights=np.linspace(1, 2, alignment.source_map.target.dim))
    found = sk.diagnose(alone, *held, pairs="held-out", **QUICK)
    form = (alone.source_map.weight * alone.weights) @ alone.target_map.weight.T
    values = np.linalg.svd(form, compute_uv=False)
    np.testing.assert_allclose(found.spectrum.values, values, atol=1e-12)
    assert (found.fit, found.spectrum.of) == (None, "similarity")
    true = np.diag(alone.similarity(*held))  # the weights count here as well
    np.testing.assert_allclose(found.cosines.true, np.quantile(true, [0.05, 0.25, 0.5, 0.75, 0.95]), atol=1e-12)
    assert "meet in a common one only" in str(found)


def test_relative_representations_have_no_spectrum_and_no_residual(pairs):
    _, anchors, held = pairs
    found = sk.diagnose(sk.align(*anchors, solver=sk.Relative()), *held, pairs="held-out", anchors=anchors, **QUICK)
    assert (found.fit, found.spectrum) == (None, None)
    assert "the maps are not affine" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_hat_values_are_the_diagonal_of_the_hat_matrix(library):
    x = np.random.default_rng(1).normal(size=(30, 4)) + 3
    wide = np.column_stack([np.ones(30), x])
    h, ridge = hat_values(library(x))
    np.testing.assert_allclose(h, np.diag(wide @ np.linalg.inv(wide.T @ wide) @ wide.T), atol=1e-12)
    assert (ridge, h.sum()) == (0.0, pytest.approx(5))


def test_with_few_rows_leverages_are_those_of_a_ridge_at_the_mean_variance():
    x = np.random.default_rng(2).normal(size=(12, 20))
    c = x - x.mean(axis=0)
    inner = c.T @ c + np.trace(c.T @ c) / 20 * np.eye(20)
    h, ridge = hat_values(x)
    np.testing.assert_allclose(h, 1 / 12 + np.diag(c @ np.linalg.inv(inner) @ c.T), atol=1e-12)
    assert ridge == 1.0
    assert h.max() < 0.99


def test_leverages_outlast_a_decomposition_that_gives_up(monkeypatch):
    x, plain, calls = np.random.default_rng(3).normal(size=(30, 4)), np.linalg.svd, []
    expected = hat_values(x)[0]

    def gives_up(*args, **how):
        calls.append(how)
        if len(calls) == 1:
            raise np.linalg.LinAlgError("SVD did not converge")
        return plain(*args, **how)

    monkeypatch.setattr(np.linalg, "svd", gives_up)
    np.testing.assert_allclose(hat_values(x)[0], expected, rtol=0, atol=1e-12)


def test_an_anchor_far_from_the_others_has_high_leverage(pairs):
    alignment, (x, y), _ = pairs
    far = x.copy()
    far[17] = 40 * far[17]
    found = sk.diagnose(alignment, far, y, **QUICK)
    assert found.leverage.high[0] == "17"
    assert found.leverage.largest > 0.9
    assert any("leans on" in one and "17" in one for one in found.advice)


def test_swapped_pairs_are_the_outliers():
    x, y = draw(noise=0.05, private=0.05)
    wrong = y.copy()
    wrong[[3, 50]] = y[[50, 3]]
    alignment = sk.align(x, wrong, solver=sk.Ridge(alpha=1e-3))
    found = sk.diagnose(alignment, x, wrong, **QUICK)
    assert {one.id for one in found.outliers[:2]} == {"3", "50"}
    assert all(one.flagged for one in found.outliers[:2])
    assert found.outliers[0].leverage is not None
    assert any("3" in one and "mispaired" in one for one in found.advice)


def test_shuffled_pairs_are_said_not_to_match(pairs):
    alignment, _, (x, y) = pairs
    found = sk.diagnose(alignment, x, y[np.random.default_rng(3).permutation(len(y))], pairs="held-out", **QUICK)
    assert "no better than by chance" in found.verdict
    assert found.advice[0].startswith("True pairs are not found beyond chance")
    assert found.cosines.above == pytest.approx(0.5, abs=0.1)


def test_a_shift_of_one_side_is_a_modality_gap(pairs):
    alignment, anchors, held = pairs
    straight, moved = (
        sk.diagnose(alignment, held[0] + step, held[1], pairs="held-out", anchors=anchors, **QUICK)
        for step in (0.0, 30.0)
    )
    assert straight.gap.common < 0.5 < moved.gap.common
    assert straight.gap.raw is None
    assert any("spreads apart" in one for one in moved.advice)


def test_the_gap_is_the_distance_of_the_means_over_the_spread():
    x = np.random.default_rng(4).normal(size=(80, 5))
    alignment = sk.align(x, x + 2, solver=sk.Procrustes())
    found = sk.diagnose(alignment, x, x + 2, **QUICK)
    spread = np.sqrt(np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1)))
    assert found.gap.raw == pytest.approx(2 * np.sqrt(5) / spread)
    assert found.gap.common == pytest.approx(0, abs=1e-12)


def test_it_says_which_pairs_the_numbers_are_of(pairs):
    alignment, anchors, held = pairs
    inside = sk.diagnose(alignment, *anchors, **QUICK)
    assert inside.pairs == "anchors"
    assert any("taken to be the anchors" in note for note in inside.notes)
    assert any("in-sample" in one for one in inside.advice)
    alone = sk.diagnose(alignment, *held, pairs="held-out", prompts=held[1][:2], **QUICK)
    assert any("leverage was measured on the held-out pairs instead" in note for note in alone.notes)
    assert any("coverage of the prompts was not judged" in note for note in alone.notes)
    assert alone.coverage is None


def test_the_fits_own_held_out_number_is_quoted(pairs):
    _, anchors, _ = pairs
    alignment = sk.align(*anchors)
    found = sk.diagnose(alignment, *anchors, **QUICK)
    assert any(f"R@1 {alignment.record['held_out']['recall@1']:.3f}" in note for note in found.notes)


def test_patients_are_kept_whole_and_apart(pairs):
    alignment, _, (x, y) = pairs
    two = np.arange(60) // 30
    found = sk.diagnose(alignment, x, y, pairs="held-out", groups=two, **QUICK)
    table = alignment.similarity(x, y)[two[:, None] != two[None, :]]
    assert found.groups == 2
    assert min(found.cosines.random) >= table.min()
    assert found.cosines.pairs < 20 * 60 * 0.6
    with pytest.raises(InputError, match="no two pairs differ"):
        sk.diagnose(alignment, x, y, pairs="held-out", groups=np.zeros(60), **QUICK)


def test_equal_targets_are_counted_and_never_a_random_pair(pairs):
    alignment, _, (x, y) = pairs
    same = np.tile(y[:20], (3, 1))
    found = sk.diagnose(alignment, np.tile(x[:20], (3, 1)), same, pairs="held-out", **QUICK)
    assert found.duplicates == 40
    assert any("40 of 60 targets equal an earlier one" in note for note in found.notes)
    two = sk.diagnose(alignment, x, np.tile(y[:2], (30, 1)), pairs="held-out", **QUICK)
    assert 0.4 < two.cosines.pairs / (20 * 60) < 0.6  # half of all pairs have one target


def test_prompts_that_no_anchor_reaches_are_named(pairs):
    alignment, anchors, held = pairs
    rng = np.random.default_rng(5)
    axes = np.linalg.svd(anchors[1] - anchors[1].mean(axis=0))[2]
    seen = {"seen": anchors[1].mean(axis=0) + 3 * axes[:1], "unseen": anchors[1].mean(axis=0) + 3 * axes[-1:]}
    found = sk.diagnose(alignment, *held, pairs="held-out", anchors=anchors, prompts=seen, **QUICK)
    assert found.uncovered == ("unseen",)
    assert "1 of 2 prompts is not covered" in found.verdict
    assert found.advice[0].startswith("Not covered: unseen")
    assert "NOT COVERED" in str(found)
    other = sk.Embeddings(rng.normal(size=(1, 5)), ["a"], sk.Space("elsewhere", 5))
    with pytest.raises(SpaceMismatchError, match="elsewhere"):
        sk.diagnose(alignment, *held, prompts=other)


def test_it_is_the_same_in_every_library(pairs, library):
    _, anchors, held = pairs
    expected = sk.diagnose(sk.align(*anchors, solver=sk.Procrustes()), *held, pairs="held-out", prompts=held[1][:2],
                           anchors=anchors, **QUICK)  # fmt: skip
    alignment = sk.align(*library(*anchors), solver=sk.Procrustes())
    known = library(*anchors)
    found = sk.diagnose(
        alignment, *library(*held), pairs="held-out", prompts=library(held[1][:2]), anchors=known, **QUICK
    )
    assert found.fit.r2 == pytest.approx(expected.fit.r2, abs=1e-9)
    np.testing.assert_allclose(found.cosines.true, expected.cosines.true, atol=1e-9)
    assert found.retrieval == expected.retrieval
    assert found.outliers[0].id == expected.outliers[0].id
    np.testing.assert_allclose([one.reach for one in found.coverage], [one.reach for one in expected.coverage])


def test_it_turns_into_json_and_back_into_the_same_numbers(fresh):
    plain = json.loads(json.dumps(fresh.to_dict(), allow_nan=False))
    assert plain["fit"]["r2"] == fresh.fit.r2
    assert plain["retrieval"]["forward"]["recall"]["1"]["chance"] == fresh.retrieval.forward.chance(1)
    assert plain["hubs"][0]["in_degree"] == fresh.hubs[0].in_degree.tolist()
    assert plain["advice"] == list(fresh.advice)


def test_what_cannot_be_diagnosed_is_refused(pairs):
    alignment, anchors, (x, y) = pairs
    with pytest.raises(UnknownNameError, match="kind of pairs"):
        sk.diagnose(alignment, x, y, pairs="fresh")
    with pytest.raises(InputError, match="Leave them out"):
        sk.diagnose(alignment, x, y, anchors=anchors)
    with pytest.raises(InputError, match="got 3 pairs; at least 4"):
        sk.diagnose(alignment, x[:3], y[:3], k=1)
    with pytest.raises(InputError, match=r"k = 10 .* got 10"):
        sk.diagnose(alignment, x[:10], y[:10])
    with pytest.raises(InputError, match="the same"):
        sk.diagnose(alignment, x, np.ones_like(y))
    with pytest.raises(SpaceMismatchError, match="source side"):
        sk.diagnose(alignment, x[:, :5], y)
    ids = np.arange(60).astype(str)
    left, right = sk.Embeddings(x, ids, sk.Space("a", 8)), sk.Embeddings(y[:40], ids[:40], sk.Space("b", 7))
    with pytest.raises(DataError, match="20 of 60 ids"):
        sk.diagnose(alignment, left, right)


def test_one_dimension_can_be_diagnosed():
    x = np.random.default_rng(6).normal(size=(40, 1))
    found = sk.diagnose(sk.align(x, 2 * x, solver=sk.Ridge(alpha=1e-6)), x, 2 * x, **QUICK)
    assert found.fit.r2 == pytest.approx(1, abs=1e-6)
    json.dumps(found.to_dict(), allow_nan=False)


def test_anchors_among_the_held_out_pairs_are_refused(pairs):
    alignment, anchors, (x, y) = pairs
    with pytest.raises(LeakageError, match="60 items are both anchors and held out"):
        sk.diagnose(alignment, x, y, pairs="held-out", anchors=(x, y))
    ids = np.array([f"p{i}" for i in range(160)])
    left, right = (sk.Embeddings(np.concatenate(both), ids, sk.Space("s", both[0].shape[1]))
                   for both in zip(anchors, (x, y), strict=True))  # fmt: skip
    known, fresh = ([side.take(rows) for side in (left, right)] for rows in (np.arange(100), np.arange(95, 160)))
    with pytest.raises(LeakageError, match="5 items are both anchors and held out"):
        sk.diagnose(alignment, *fresh, pairs="held-out", anchors=tuple(known))
    late = [side.take(np.arange(100, 160)) for side in (left, right)]
    patients = {one: i // 7 for i, one in enumerate(ids.tolist())}  # 98 to 104 are one patient
    with pytest.raises(LeakageError, match="1 patient is both anchors and held out"):
        sk.diagnose(alignment, *late, pairs="held-out", anchors=(*known, patients), groups=patients)
    own = {one: i // 5 for i, one in enumerate(ids.tolist())}
    found = sk.diagnose(alignment, *late, pairs="held-out", anchors=(*known, own), groups=own, **QUICK)
    assert found.groups == 12
    assert not any("known for only one" in note for note in found.notes)
    half = sk.diagnose(alignment, *late, pairs="held-out", anchors=tuple(known), groups=own, **QUICK)
    assert any("known for only one of anchors and held-out pairs" in note for note in half.notes)
    with pytest.raises(InputError, match="got 4 things"):
        sk.diagnose(alignment, *late, pairs="held-out", anchors=(*known, own, own))


@pytest.fixture(scope="module")
def shuffled():
    """Anchors whose targets were shuffled, and a map chosen on them that finds them again in-sample."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(80, 60)), rng.normal(size=(80, 50))
    return sk.align(x, y), x, y


def test_the_verdict_on_anchors_is_that_of_what_the_fit_held_out(shuffled, pairs):
    alignment, x, y = shuffled
    found = sk.diagnose(alignment, x, y, **QUICK)
    held = alignment.record["held_out"]
    assert found.retrieval.forward.recall[1].low > 0.5  # in-sample it looks like a success
    assert found.verdict.startswith(
        f"Held out when it was chosen: mean reciprocal rank {held['mrr']:.3f}, chance {held['chance_mrr']:.3f}: "
        f"true pairs are not clearly found."
    )
    assert "Check that row i of both sides is one item" in found.advice[0]
    assert found.to_dict()["held_out"]["value"] == held["mrr"]
    _, anchors, _ = pairs
    good = sk.diagnose(sk.align(*anchors), *anchors, **QUICK)
    assert "Held out when it was chosen" in good.verdict
    assert "true pairs are found beyond chance." in good.verdict
    assert not any("Check that row i" in one for one in good.advice)


def test_where_nothing_was_held_out_there_is_no_verdict(pairs):
    alignment, anchors, _ = pairs
    found = sk.diagnose(alignment, *anchors, **QUICK)
    assert found.held_out is None
    assert found.verdict.startswith("In-sample numbers only, so no verdict: give held-out pairs.")
    assert not any("Check that row i" in one for one in found.advice)


def test_anchors_that_are_not_even_found_in_sample_are_no_success(pairs):
    _, (x, y), _ = pairs
    found = sk.diagnose(sk.align(x, y), x, y[::-1].copy(), **QUICK)
    assert found.verdict.startswith("True pairs are found no better than by chance: in-sample")
    assert "Check that row i" in found.advice[0]


def test_a_head_is_judged_by_the_r2_it_held_out(shuffled):
    _, x, y = shuffled
    alignment = sk.align(x, y, purpose="head", solver="ridge")
    assert set(alignment.record["held_out"]) >= {"r2", "se"}
    flat = replace(alignment, record={**alignment.record, "held_out": {"r2": -0.01, "se": 0.02}})
    near = sk.diagnose(flat, x, y, **QUICK)
    assert near.verdict.startswith("Held out when it was chosen: R2 -0.010, chance 0.000: the targets are not clearly")
    assert "predicted" in near.advice[0]
    assert "Check that row i" in near.advice[0]


def test_held_out_pairs_are_judged_by_themselves(pairs):
    _, anchors, held = pairs
    found = sk.diagnose(sk.align(*anchors), *held, pairs="held-out", anchors=anchors, **QUICK)
    assert found.held_out is None
    assert "beyond chance: held-out R@1" in found.verdict


def test_sides_of_one_name_are_called_source_and_target(fresh):
    assert (fresh.source, fresh.target) == ("source", "target")
    ways = fresh.retrieval.forward.name, fresh.retrieval.backward.name
    assert ways == ("source to target", "target to source")
    assert "array" not in str(fresh)


def test_a_pair_that_stands_several_times_is_listed_once():
    x, y = draw(noise=0.05, private=0.05)
    wrong = y.copy()
    wrong[[3, 50]] = y[[50, 3]]
    alignment = sk.align(x, wrong, solver=sk.Ridge(alpha=1e-3))
    rows = np.concatenate([np.arange(160), [3, 3, 50]])
    once, thrice = (sk.diagnose(alignment, x[some], wrong[some], **QUICK) for some in (np.arange(160), rows))
    assert {one.id for one in thrice.outliers[:2]} == {"3", "50"}
    assert len({one.id for one in thrice.outliers}) == len(thrice.outliers)
    assert not {one.id for one in thrice.outliers} & {"160", "161", "162"}
    assert once.flagged >= 2


def test_prompts_that_are_no_vectors_are_refused_with_the_way_to_make_them(pairs):
    alignment, anchors, _ = pairs
    texts = {"effusion": ("a pleural effusion",), "normal": ("no finding",)}
    for prompts in (sk.PromptSet("chest", texts), "chest", texts, ["a pleural effusion"]):
        with pytest.raises(InputError, match=r"embed_prompts\(text_encoder.*\{class: vectors of its prompts\}"):
            sk.diagnose(alignment, *anchors, prompts=prompts)


def test_embedded_prompts_are_judged_by_their_positives(pairs):
    alignment, anchors, _ = pairs
    rng = np.random.default_rng(3)
    prompts = sk.PromptSet("mine", {"a": ("A.", "An a."), "b": ("B.",)}, {"a": ("No a.",), "b": ("No b.",)})
    vectors = sk.Embeddings(rng.normal(size=(5, alignment.target.dim)), prompts.texts, alignment.target)
    by_class = {name: vectors.of_ids(texts) for name, texts in prompts.positive.items()}
    ours, reference = (
        sk.diagnose(alignment, *anchors, prompts=one).coverage for one in (sk.embed_prompts(vectors, prompts), by_class)
    )
    assert ours == reference


def test_a_few_distinct_targets_do_not_make_a_good_map_a_bad_one():
    """Three texts for 120 images: back from three targets nothing can be shown, forward much is."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 120)
    texts = rng.normal(size=(3, 6))
    x = 3 * np.eye(8)[kind] + rng.normal(size=(120, 8))
    found = sk.diagnose(sk.align(x, texts[kind], progress=False), x, texts[kind], replicates=100)
    assert "no better than by chance" not in found.verdict
    assert not any("not found beyond chance" in one for one in found.advice)


def associations_of(x):
    """Scores by association of congestion from the vectors of pairs whose texts never mention it."""
    texts = [("Edema." if i % 3 else "") + ("Mass." if i % 2 else "") or "Clear." for i in range(len(x))]
    names = ("Congestion", "Edema", "Mass")
    prompts = sk.PromptSet("three", {name: (name,) for name in names})
    pool = ["Congestion, edema."] * 12 + ["Edema."] * 4 + ["Mass."] * 10 + ["Clear."] * 20
    return sk.fit_associations(x, texts, pool, prompts)


def test_company_of_an_uncovered_prompt_stands_in_table_json_and_page():
    from stitchkit.reports.diagnosis_page import page

    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6))
    y = np.concatenate([x, 1e-3 * rng.normal(size=(80, 1))], axis=1)
    alignment = sk.align(x, y, nested=False)
    prompts = {"Congestion": np.eye(7)[6:], "Edema": np.eye(7)[:1]}
    found = sk.diagnose(alignment, x, y, prompts=prompts, associations=associations_of(x), replicates=20)
    assert found.uncovered == ("Congestion",)
    plain = json.loads(json.dumps(found.to_dict()))["coverage"][0]
    assert (plain["association"]["mentions"], plain["association"]["company"]) == (12, ["Edema"])
    for shown in (str(found), page(found)):
        assert "12 pool texts, 0 of them without any anchored finding; mentioned more often than by chance" in shown
        assert "AUROC held out" in shown
        assert "keeps no company stays near chance" in shown
        assert "no score by association" not in shown
    without = sk.diagnose(alignment, x, y, prompts=prompts, replicates=20)
    assert "no score by association for Congestion: no pool of unlinked texts was given" in str(without)
    assert "No score by association for Congestion: no pool of unlinked texts was given" in page(without)
    with pytest.raises(InputError, match=r"associations belong to the coverage of prompts.*prompts="):
        sk.diagnose(alignment, x, y, associations=associations_of(x), replicates=20)


def test_anchor_texts_are_counted_and_decide_what_is_covered():
    from stitchkit.reports.diagnosis_page import page

    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6))
    y = np.concatenate([x, 1e-3 * rng.normal(size=(80, 1))], axis=1)
    alignment = sk.align(x, y, nested=False)
    names = ("Congestion", "Edema")
    by_class = {
        name: sk.Embeddings(np.eye(7)[[row]], [name], sk.Space.of_array(7))
        for name, row in zip(names, (6, 0), strict=True)
    }
    texts = ["Congestion." if i % 4 else "No edema." for i in range(80)]
    found = sk.diagnose(alignment, x, y, prompts=by_class, texts=texts, replicates=20)
    assert found.uncovered == ("Edema",)
    assert [(one.mentions, one.denied) for one in found.coverage] == [(60, 0), (0, 20)]
    assert "said by 60 anchor texts, denied by 0, reach 0.03" in str(found)
    assert any("no anchor text says Edema" in one and "Edema by 20" in one for one in found.advice)
    assert not any("texts were not given" in one for one in found.notes)
    for shown in ("said in anchor texts", "no anchor text says Edema"):
        assert shown in page(found)
    plain = sk.diagnose(alignment, x, y, prompts=by_class, replicates=20)
    assert plain.uncovered == ("Congestion",)
    assert any("texts were not given" in one for one in plain.notes)
    assert any(
        "with 50 anchors 37 % of the findings that anchors do mention got this warning, mostly" in one
        for one in plain.advice
    )
    assert "said in anchor texts" not in page(plain)


def test_texts_need_prompts_and_anchors(pairs):
    alignment, anchors, held = pairs
    with pytest.raises(InputError, match=r"texts belong to the coverage of prompts.*prompts="):
        sk.diagnose(alignment, *anchors, texts=["a"] * len(anchors[0]))
    prompts = np.eye(len(anchors[1][0]))[:1]
    with pytest.raises(InputError, match=r"texts are those of the anchors.*anchors="):
        sk.diagnose(alignment, *held, pairs="held-out", prompts={"a": prompts}, texts=["a"])


def test_neighbourhoods_of_many_pairs_are_an_estimate_and_say_so(monkeypatch, pairs):
    alignment, anchors, _ = pairs
    whole = sk.diagnose(alignment, *anchors, **QUICK)
    assert "estimate" not in str(whole)
    monkeypatch.setattr(diagnostics, "NEAR", 60)
    found = sk.diagnose(alignment, *anchors, **QUICK)
    assert "estimate from 60 of 100 items, drawn" in str(found)
    assert (found.before.judged, found.before.n) == (60, 100)
    assert found.before.cka == whole.before.cka
    assert found.before.overlap.value == pytest.approx(whole.before.overlap.value, abs=0.15)
    grouped = sk.diagnose(alignment, *anchors, groups=[f"p{row // 1}" for row in range(100)], **QUICK)
    assert "estimate from 60 of 100 patients, drawn" in str(grouped)
    assert sk.diagnose(alignment, *anchors, k=70, **QUICK).before.judged == 71  # one more than the neighbours


@pytest.mark.parametrize("case", ["plain", "scales", "near repeat", "repeat", "constant"])
def test_hat_values_are_those_of_singular_values_where_a_factor_serves_and_where_not(monkeypatch, library, case):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 5)) + 3
    x *= np.geomspace(1e-4, 1e4, 5) if case == "scales" else 1
    more = {"near repeat": x[:, :1] + 1e-6 * rng.normal(size=(60, 1)), "repeat": x[:, :1], "constant": np.ones((60, 1))}
    x = np.concatenate([x, more[case]], axis=1) if case in more else x
    found = hat_values(library(x))[0]
    factored = leverage._by_cholesky(x - x.mean(axis=0)) is not None
    assert factored == (case in ("plain", "scales"))
    monkeypatch.setattr(leverage, "_by_cholesky", lambda rows: None)
    np.testing.assert_allclose(found, hat_values(x)[0], atol=1e-9)
    assert found.sum() == pytest.approx(7 if case == "near repeat" else 6)
