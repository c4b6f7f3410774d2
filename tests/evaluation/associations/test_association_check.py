"""Anchored findings scored as though no anchor mentioned them: what association is worth where the truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_associations import NAMES, PROMPTS, pool_of, text, worlds

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError
from stitchkit.metrics.auroc import auroc_within
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)


@pytest.fixture(scope="module")
def mentioned():
    """Anchors that mention all findings; congestion keeps the company of edema."""
    truth, x, texts = worlds(400, 1, silent=())
    return truth, x, texts


def test_a_finding_with_company_beats_both_rivals(mentioned):
    _, x, texts = mentioned
    result = sk.evaluate_associations(x, texts, pool_of(), PROMPTS, groups=np.arange(400) // 2)
    table = result.table
    assert tuple(table.main.classes) == NAMES
    assert (table.n, table.patients, table.kind) == (400, 200, "association")
    assert table.main.classes["Congestion"].value > table.methods[1].classes["Congestion"].value + 0.02
    assert result.null("Congestion").share < 0.05
    assert result.null("Mass").share > 0.05
    assert result.null().value == pytest.approx(table.main.macro.value)
    shown = str(result)
    assert "scores are by association" in shown
    assert "not for one that no anchor mentions" in shown
    json.dumps(result.to_dict())


def test_each_finding_is_scored_by_anchors_of_other_folds_that_do_not_mention_it(mentioned, monkeypatch):
    from stitchkit.evaluation.associations import check as association_check

    truth, x, texts = mentioned
    people = np.arange(400) // 2
    seen = []
    real = association_check.ridge_fits

    def spied(rows, y, strengths):
        seen.append((rows, y))
        return real(rows, y, strengths)

    monkeypatch.setattr(association_check, "ridge_fits", spied)
    sk.evaluate_associations(x, texts, pool_of(), PROMPTS, groups=people)
    row = {vector.tobytes(): i for i, vector in enumerate(x)}
    assert len(seen) == 25
    for call, (rows, y) in enumerate(seen):
        kept = [row[vector.tobytes()] for vector in rows]
        assert not truth[kept, call // 5].any()
        assert y.shape[1] == 5  # four other findings and the normal item
        assert len(np.setdiff1d(people, people[kept])) >= 40  # a fold of patients at least


def test_rows_have_the_intervals_of_pairs_within_folds(mentioned, monkeypatch):
    from stitchkit.evaluation.associations import check as association_check

    _, x, texts = mentioned
    people, seen = np.arange(400) // 2, []
    real = association_check._fold_aurocs
    monkeypatch.setattr(association_check, "_fold_aurocs", lambda *given: (seen.append(given), real(*given))[1])
    table = sk.evaluate_associations(x, texts, pool_of(), PROMPTS, groups=people).table
    ((scored, truth, fold),) = seen
    labels = truth.of_classes(tuple(scored)).values
    assert len(set(truth.groups)) == 200
    pulls = [
        AurocPulls.of(np.stack([rows[at] for rows in scored.values()], axis=1), labels, truth.groups, fold)
        for at in (0, 1)
    ]
    for method, one in zip(table.methods, pulls, strict=True):
        assert list(method.classes.values()) == auroc_intervals(one)
        assert method.macro == macro_auroc_interval(one)
    assert table.methods[1].difference == macro_auroc_difference(*pulls).interval
    assert table.positive_patients["Edema"] == len(set(people[truth.values[:, truth.classes.index("Edema")] == 1]))


def test_noise_is_at_chance():
    rng = np.random.default_rng(0)
    _, _, texts = worlds(300, 3, silent=())
    result = sk.evaluate_associations(rng.normal(size=(300, 8)), texts, pool_of(), PROMPTS)
    assert result.table.main.macro.low < 0.5 < result.table.main.macro.high
    assert result.table.methods[1].difference.low < 0 < result.table.methods[1].difference.high


def test_what_cannot_be_judged_is_listed_with_its_reason(mentioned):
    truth, x, texts = mentioned
    rare = [f"{one} There is Fracture." if i < 3 else one for i, one in enumerate(texts)]
    more = sk.PromptSet("six", {**PROMPTS.positive, "Fracture": ("There is Fracture.",)})
    pool = [one.replace("Nodule.", "") for one in pool_of()]
    table = sk.evaluate_associations(x, rare, pool, more).table
    assert "3 positives" in table.not_judged["Fracture"]
    assert "none of 800 pool texts mentions it" in table.not_judged["Nodule"]
    assert "Fracture" not in table.main.classes
    assert table.positives["Nodule"] == truth[:, 4].sum()


def test_two_anchored_findings_leave_only_one_partner():
    _, x, _ = worlds(200, 1)
    texts = [text("Edema"), text("Mass"), "Clear."] * 66 + ["Clear."] * 2
    with pytest.raises(DataError, match=r"Edema: of 5 findings .* mention only 'Mass'; association needs at least two"):
        sk.evaluate_associations(x, texts, pool_of(), PROMPTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool": None}, "no pool of unlinked texts was given"),
        ({"folds": 1}, "folds must be"),
        ({"min_positives": 0}, "min_positives must be"),
        ({"texts": ["Clear."] * 400}, "association needs at least two"),
    ],
)
def test_bad_input_is_refused(mentioned, change, message):
    _, x, texts = mentioned
    with pytest.raises(InputError, match=message):
        sk.evaluate_associations(**{"vectors": x, "texts": texts, "pool": pool_of(), "prompts": PROMPTS, **change})


def test_pairs_of_two_folds_do_not_count():
    rng = np.random.default_rng(0)
    scores, labels, parts = rng.normal(size=60), rng.random(60) < 0.4, rng.integers(3, size=60)
    moved = scores + 100 * parts  # every fold on a scale of its own
    gaps = [scores[i] - scores[j] for i in range(60) for j in range(60)
            if parts[i] == parts[j] and labels[i] and not labels[j]]  # fmt: skip
    literal = np.mean(np.asarray(gaps) > 0)
    assert auroc_within(moved, labels, parts) == pytest.approx(literal)
    assert auroc_within(scores, labels, parts) == pytest.approx(literal)
    assert np.isnan(auroc_within(scores, parts == 1, parts))
