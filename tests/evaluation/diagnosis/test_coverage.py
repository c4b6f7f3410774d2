"""Coverage of prompts by anchors: phantoms whose reports are silent about one finding, and literal shares."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.datasets.phantoms import FINDINGS, draw_phantoms, write_report
from stitchkit.evaluation.diagnosis.coverage import embed_positives, prompt_coverage, prompts_of
from stitchkit.evaluation.diagnosis.coverage_warning import coverage_advice, errors

N = 120


@pytest.fixture(scope="module")
def text():
    return sk.load_encoder("demo:text", device="cpu")


def read(text, texts):
    names = np.arange(len(texts)).astype(str)
    return sk.embed(text, sk.Items(names, list(texts), "text"), store=None, progress=False)


@pytest.fixture(scope="module")
def prompts(text):
    return embed_positives(text, sk.read_prompts("phantom"), store=None, progress=False)


@pytest.fixture(scope="module")
def reports(text):
    """Vectors of the same phantoms' reports, silent about one finding or about none."""
    phantoms = draw_phantoms(N, seed=3)

    def silent(*findings):
        return read(text, [write_report(one, seed=3, noise=0.05, silent=findings) for one in phantoms])

    return silent


def test_every_finding_is_covered_where_the_reports_mention_all(reports, prompts):
    found = prompt_coverage(reports(), prompts)
    assert [one.name for one in found] == list(FINDINGS)
    assert all(one.covered for one in found), found


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_that_no_anchor_mentions_is_flagged_and_no_other(reports, prompts, finding):
    found = prompt_coverage(reports(finding), prompts)
    assert [one.name for one in found if not one.covered] == [finding], found


def test_two_silent_findings_are_both_flagged(reports, prompts):
    found = prompt_coverage(reports("effusion", "nodule"), prompts)
    assert [one.name for one in found if not one.covered] == ["effusion", "nodule"]


def ridge_of(covariance):
    d = len(covariance)
    return (1 - np.trace(covariance) ** 2 / np.sum(covariance**2) / d) * np.trace(covariance) / d


def share(directions, covariance, ridge):
    """Share of the squared length of rows (m, d) that the covariance reaches, summed over the rows."""
    reached = covariance @ np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
    return np.sum((directions @ reached) * directions) / np.sum(directions**2)


def leave_one_out(anchors):
    """Share of the anchors that the others reach, each left out with its equals, the ridge scaled with the rows."""
    ridge, missed, length = ridge_of(np.cov(anchors.T, bias=True)), 0.0, 0.0
    for one in np.unique(anchors, axis=0):
        same = (anchors == one).all(axis=1)
        rest, gone = anchors[~same], anchors[same] - anchors[~same].mean(axis=0)
        reached = share(gone, np.cov(rest.T, bias=True), ridge * len(anchors) / len(rest))
        missed += (1 - reached) * np.sum(gone**2)
        length += np.sum(gone**2)
    return 1 - missed / length


def literal(anchors, prompts):
    """Reach, whole, own and the share left out for each prompt (m, d), one direction at a time."""
    covariance, held = np.cov(anchors.T, bias=True), leave_one_out(anchors)
    rows = []
    for i, p in enumerate(prompts - anchors.mean(axis=0)):
        others = np.delete(prompts, i, axis=0) - anchors.mean(axis=0)
        rest = p - others.T @ np.linalg.lstsq(others.T, p, rcond=None)[0]
        whole, own = (share(v[None, :], covariance, ridge_of(covariance)) for v in (p, rest))
        ratio, limit = own / (1 - own) / held * (1 - held), 0.55 / len(prompts) ** 0.2
        kept_up = 0.5 * ratio / limit if ratio < limit else min(0.5 + 0.5 * (ratio - limit) / (1 - limit), 1)
        rows.append([kept_up, whole, own, held])
    return np.array(rows)


@pytest.mark.parametrize("repeats", [1, 4])
def test_shares_are_the_literal_ones(library, repeats):
    rng = np.random.default_rng(0)
    anchors, prompts = rng.normal(size=(50, 12)) * np.geomspace(1, 1e-2, 12) + 3, rng.normal(size=(3, 12)) + 3
    anchors = np.concatenate([anchors, np.repeat(anchors[:5], repeats - 1, axis=0)])
    found = prompt_coverage(library(anchors), library(prompts))
    got = np.array([[one.reach, one.whole, one.own, one.leave_one_out] for one in found])
    np.testing.assert_allclose(got, literal(anchors, prompts), atol=1e-10)


def test_coverage_does_not_change_when_the_space_is_turned_moved_or_scaled():
    rng = np.random.default_rng(1)
    anchors, prompts = rng.normal(size=(60, 10)) * np.geomspace(1, 1e-2, 10), rng.normal(size=(2, 10))
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    before = prompt_coverage(anchors, prompts)
    after = prompt_coverage(1e3 * anchors @ turn + 5, 1e3 * prompts @ turn + 5)
    for a, b in zip(before, after, strict=True):
        assert (a.reach, a.nearest, a.percentile) == pytest.approx((b.reach, b.nearest, b.percentile), abs=1e-9)


def test_anchors_that_vary_alike_everywhere_cover_everything():
    rng = np.random.default_rng(2)
    found = prompt_coverage(rng.normal(size=(4000, 6)), rng.normal(size=(4, 6)))
    assert min(one.reach for one in found) > 0.95


def test_an_anchor_on_the_prompt_is_nearest_and_beyond_all_others():
    rng = np.random.default_rng(3)
    anchors = rng.normal(size=(40, 8))
    (one,) = prompt_coverage(anchors, anchors[:1])
    assert (one.nearest, one.percentile, one.own) == (pytest.approx(1.0), 1.0, None)
    ratio = one.whole / (1 - one.whole) / one.leave_one_out * (1 - one.leave_one_out)
    assert one.reach == pytest.approx(np.interp(ratio, [0, 0.55, 1], [0, 0.5, 1]))


def test_equal_anchors_count_once_among_the_neighbours():
    rng = np.random.default_rng(4)
    anchors, prompt = rng.normal(size=(40, 8)), rng.normal(size=(1, 8))
    (once,), (twice,) = (prompt_coverage(np.tile(anchors, (times, 1)), prompt) for times in (1, 2))
    assert (once.nearest, once.percentile, once.reach) == pytest.approx((twice.nearest, twice.percentile, twice.reach))


def test_what_is_a_prompts_own_outlasts_a_decomposition_that_gives_up(monkeypatch):
    rng, plain, calls = np.random.default_rng(8), np.linalg.svd, []
    anchors, prompts = rng.normal(size=(40, 30)), rng.normal(size=(3, 30))
    expected = [one.own for one in prompt_coverage(anchors, prompts)]

    def gives_up(*args, **how):
        calls.append(how)
        if len(calls) % 2:
            raise np.linalg.LinAlgError("SVD did not converge")
        return plain(*args, **how)

    monkeypatch.setattr(np.linalg, "svd", gives_up)
    np.testing.assert_allclose([one.own for one in prompt_coverage(anchors, prompts)], expected, rtol=0, atol=1e-12)
    assert len(calls) == 6


def test_equal_prompts_have_nothing_of_their_own():
    rng = np.random.default_rng(5)
    prompt = rng.normal(size=8)
    found = prompt_coverage(rng.normal(size=(40, 8)), {"a": prompt[None, :], "b": prompt[None, :]})
    assert [one.own for one in found] == [None, None]


def test_prompts_that_are_the_anchors_own_texts_are_covered_and_a_class_left_out_is_not():
    """One text a class: the anchors' mean is within the span of the prompts, which leave nothing to each alone."""
    rng = np.random.default_rng(10)
    texts = rng.normal(size=64) / 2 + rng.normal(size=(7, 64)) / 8
    kinds = rng.integers(0, 7, 200)
    prompts = {str(i): one[None, :].astype(np.float32) for i, one in enumerate(texts)}
    assert all(one.covered and one.own is not None for one in prompt_coverage(texts[kinds], prompts))
    for gone in range(7):
        found = prompt_coverage(texts[kinds[kinds != gone]], prompts)
        assert [one.name for one in found if not one.covered] == [str(gone)]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_ridge_near_zero_and_scales_leave_reach_finite(scale):
    rng = np.random.default_rng(11)
    simplex = np.eye(6)[np.arange(12) % 6] * scale
    for anchors in (simplex, np.concatenate([simplex, -simplex]), scale * rng.normal(size=(5, 200))):
        found = prompt_coverage(anchors, scale * rng.normal(size=(3, anchors.shape[1])))
        assert all(0 <= one.reach <= 1 and 0 <= one.leave_one_out <= 1 for one in found)


def test_five_anchors_that_hardly_reach_each_other_cover_nothing():
    rng = np.random.default_rng(12)
    found = prompt_coverage(rng.normal(size=(5, 200)), rng.normal(size=(3, 200)))
    assert found[0].leave_one_out < 0.1
    assert not any(one.covered for one in found)


def test_more_anchors_do_not_cover_what_none_of_them_mentions():
    """Findings of one sentence each about a common theme, one never mentioned: its own part stays behind for any n."""
    rng = np.random.default_rng(9)
    theme, own = rng.normal(size=64) / 8, rng.normal(size=(6, 64)) / 8
    prompts = {str(i): (theme + own[i])[None, :] for i in range(6)}

    def reports(n):
        mentioned = (rng.random((n, 6)) < 0.4) * np.array([1.0] * 5 + [0.0])
        return theme * rng.normal(size=(n, 1)) + mentioned @ own + 0.3 * rng.normal(size=(n, 64)) / 8

    for n in (100, 300, 1000, 3000):
        assert [one.covered for one in prompt_coverage(reports(n), prompts)] == [True] * 5 + [False]


def test_many_classes_are_told_apart_by_their_difference_to_the_others():
    rng = np.random.default_rng(6)
    anchors = rng.normal(size=(200, 8)) * ([1.0] * 7 + [1e-3])
    prompts = rng.normal(size=(6, 8)) * ([1.0] * 7 + [0.0])
    prompts[5] += 2.5 * np.eye(8)[7]  # no prompt is much longer than the others, whose mean it is part of
    assert [one.covered for one in prompt_coverage(anchors, prompts)] == [True] * 5 + [False]


def test_what_cannot_be_judged_is_refused(text, prompts):
    anchors = np.random.default_rng(7).normal(size=(20, 8))
    with pytest.raises(SpaceMismatchError, match=r"takes \(n, 8\) vectors"):
        prompt_coverage(anchors, prompts)
    other = sk.Embeddings(np.ones((1, 96)), ["x"], sk.Space("other", 96, "another"))
    with pytest.raises(SpaceMismatchError, match="fingerprint"):
        prompt_coverage(prompts["effusion"], other)
    with pytest.raises(InputError, match="no class of prompts"):
        prompt_coverage(anchors, {})
    with pytest.raises(InputError, match="class a has no prompt"):
        prompt_coverage(anchors, {"a": np.zeros((0, 8))})
    with pytest.raises(InputError, match="2 distinct target vectors"):
        prompt_coverage(np.repeat(anchors[:2], 5, axis=0), anchors[:1])


@pytest.fixture
def worded():
    """Sixty anchors that hardly vary along the last prompt, though half of their texts say it."""
    rng = np.random.default_rng(0)
    space = sk.Space("texts", 8)
    anchors = sk.Embeddings(rng.normal(size=(60, 8)) * [1, 1, 1, 1, 1, 1, 1, 0.01], [f"a{i}" for i in range(60)], space)
    texts = ["Edema. No mass." if i % 2 else "Large hernia. A mass is absent." for i in range(60)]
    sides = {"Edema": ("Edema.",), "Mass": ("Mass.",), "Hernia": ("Hernia.",)}
    rows = sk.Embeddings(np.eye(8)[[0, 1, 7]], ["Edema.", "Mass.", "Hernia."], space)
    return anchors, texts, sk.embed_prompts(rows, sk.PromptSet("three", sides))


def test_texts_decide_over_vectors(worded):
    anchors, texts, prompts = worded
    assert [one.covered for one in prompt_coverage(anchors, prompts)] == [True, True, False]
    found = prompt_coverage(anchors, prompts, texts=texts)
    assert [(one.mentions, one.denied, one.covered) for one in found] == [(30, 0, True), (0, 60, False), (30, 0, True)]
    assert [one.reach for one in found] == [one.reach for one in prompt_coverage(anchors, prompts)]
    assert found[1].unscored


def test_texts_come_as_items_labels_or_beside_embeddings_of_prompts_and_are_joined_by_id(worded):
    anchors, texts, prompts = worded
    plain = prompt_coverage(anchors, prompts, texts=texts)
    order = np.random.default_rng(1).permutation(60)
    items = sk.Items(anchors.ids[order], [texts[i] for i in order], "text")
    assert prompt_coverage(anchors, prompts, texts=items) == plain
    by_class = prompts_of(prompts.embeddings, prompts.prompts.positive)
    assert prompt_coverage(anchors, by_class, texts=texts) == plain
    values = np.stack([[1.0, 0, np.nan] if i % 2 else [np.nan, 0, 1] for i in order])
    labels = sk.Labels(values, anchors.ids[order], ("Edema", "Mass", "Hernia"))
    assert prompt_coverage(anchors, prompts, texts=labels) == plain


def test_a_class_without_words_of_its_own_is_judged_by_vectors(worded):
    anchors, texts, _ = worded
    sides = {"Edema": ("Edema.",), "Lesion": ("Edema.",)}
    rows = sk.Embeddings(np.eye(8)[:1], ["Edema."], anchors.space)
    found = prompt_coverage(anchors, prompts_of(rows, sides), texts=texts)
    assert [(one.mentions, one.denied, one.covered) for one in found] == [
        (None, None, one.reach >= 0.5) for one in found
    ]


def test_texts_that_are_not_the_anchors_are_refused(worded):
    anchors, texts, prompts = worded
    with pytest.raises(InputError, match="60 anchors and 59 texts"):
        prompt_coverage(anchors, prompts, texts=texts[1:])
    with pytest.raises(InputError, match="vectors alone have none"):
        prompt_coverage(anchors, {"a": np.eye(8)[:1]}, texts=texts)
    with pytest.raises(InputError, match="list of texts"):
        prompt_coverage(anchors, prompts, texts="Edema.")


def test_the_warning_names_what_texts_lack_and_states_the_errors_of_vectors(worded):
    anchors, texts, prompts = worded
    (said,) = coverage_advice(prompt_coverage(anchors, prompts, texts=texts))
    assert "no anchor text says Mass" in said
    assert "denied only: Mass by 60" in said
    assert "%" not in said
    (reached,) = coverage_advice(prompt_coverage(anchors, prompts))
    assert "Not covered: Hernia." in reached
    assert "with 50 anchors 37 % of the findings that anchors do mention got this warning, mostly" in reached
    assert "and 6 % of the findings that none mentions did not get it" in reached
    assert "and more with fewer" in errors(12)
    assert "with 300 anchors" in errors(5000)
    assert not list(coverage_advice(prompt_coverage(anchors, prompts)[:2]))


@pytest.fixture(scope="module")
def associations():
    """Scores by association of effusion, which the anchors' reports of the same phantoms never mention."""
    films = draw_phantoms(N, seed=3)
    silent = [write_report(one, seed=3, noise=0.05, silent=("effusion",)) for one in films]
    pool = [write_report(one, seed=9, noise=0.05) for one in draw_phantoms(300, seed=9)]
    severities = 1 + np.array([one.severities for one in films])
    return sk.fit_associations(severities, silent, pool, "phantom")


def test_an_uncovered_finding_has_its_association_in_the_report(reports, prompts, associations):
    found = {one.name: one for one in prompt_coverage(reports("effusion"), prompts, associations=associations)}
    assert found["effusion"].association == associations.association("effusion")
    assert found["effusion"].association.mentions > 20
    assert [one.association for one in found.values() if one.covered] == [None] * 6
    assert not any(one.unscored for one in found.values())
    plain = found["effusion"].to_dict()
    assert plain["association"]["partners"][0]["auroc"].keys() == {"value", "low", "high"}
    assert found["edema"].to_dict()["association"] is None


def test_without_a_pool_an_uncovered_finding_has_the_reason_and_no_score(reports, prompts):
    found = prompt_coverage(reports("effusion"), prompts)
    reasons = {one.name: one.unscored for one in found if one.unscored}
    assert list(reasons) == ["effusion"]
    assert "no pool of unlinked texts was given" in reasons["effusion"]
    assert all(one.association is None for one in found)


def test_reasons_of_uncovered_classes_that_association_cannot_score(associations):
    rng = np.random.default_rng(0)
    anchors = rng.normal(size=(100, 8)) * [1, 1, 1, 1, 1, 1, 1, 0.01]
    unseen = np.eye(8)[7:]
    for name, reason in {"edema": "anchors' texts mention it", "hernia": "not among the classes"}.items():
        (found,) = prompt_coverage(anchors, {name: unseen}, associations=associations)
        assert not found.covered
        assert reason in found.unscored


def test_positives_are_embedded_even_where_they_tell_no_items_apart(text):
    alike = sk.PromptSet(
        "alike", {"Edema": ("Edema.",), "Lesion": ("Edema.",)}, {"Edema": ("Clear.",), "Lesion": ("Clear.",)}
    )
    vectors = embed_positives(text, alike, store=None, progress=False)
    assert {name: some.ids.tolist() for name, some in vectors.items()} == {"Edema": ["Edema."], "Lesion": ["Edema."]}
    with pytest.raises(InputError, match="prompts need the text encoder"):
        embed_positives(sk.load_encoder("demo:medical", device="cpu"), alike)
