"""Metadata explain a score: seldom by chance, however many rare classes there are, and nearly always where they do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from stitchkit import Labels, Scores, evaluate
from stitchkit.evaluation.scores.metadata_shortcuts import MetadataAlone
from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals, macro_auroc_interval
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.multiplicity import holm

NAMES = [f"finding {c}" for c in range(14)]


def drawn(seed, positives, patients=300):
    """Patients (n,), labels (n, c) and a function of shifts (c,) that draws scores."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), rng.integers(1, 4, size=patients))
    labels = np.stack([rng.permutation(patients) < some for some in positives], axis=1)[groups].astype(float)

    def scores(shifts):
        noise = rng.normal(size=(patients, len(positives)))[groups] + rng.normal(size=labels.shape)
        return noise / np.sqrt(2) + np.asarray(shifts) * labels

    return groups, labels, scores


def rare(seed):
    return np.random.default_rng([seed, 1]).integers(8, 21, size=14)


def alone_of(pulls):
    classes = dict(zip(NAMES, auroc_intervals(pulls), strict=False))
    return MetadataAlone.of(pulls, classes), classes


def test_unrelated_metadata_are_seldom_a_shortcut_of_fourteen_rare_classes():
    said = one_by_one = 0
    for seed in range(120):
        groups, labels, scores = drawn(seed, rare(seed))
        metadata, judged = (AurocPulls.of(scores(np.zeros(14)), labels, groups) for _ in range(2))
        alone, classes = alone_of(metadata)
        of_scores = dict(zip(NAMES, auroc_intervals(judged), strict=True))
        said += alone.explain_macro(macro_auroc_interval(judged)) or bool(alone.explained(of_scores))
        one_by_one += any(classes[name].low > max(of_scores[name].value - 0.05, 0.5) for name in NAMES)
    assert said <= 6  # 5 %
    assert one_by_one >= 18  # each class looked at as though it were the only one


def test_a_class_that_metadata_tell_is_found_among_others():
    found = 0
    for seed in range(40):
        groups, labels, scores = drawn(seed, [60, *rare(seed)[1:]])
        metadata = AurocPulls.of(scores([0.954, *[0.0] * 13]), labels, groups)  # AUROC .75
        alone, _ = alone_of(metadata)
        explained = alone.explained({name: Interval(0.65, 0.6, 0.7) for name in NAMES})
        found += NAMES[0] in explained
    assert found >= 36


def test_classes_are_above_chance_by_holms_method():
    sets = set()
    for seed in range(12):
        groups, labels, scores = drawn(seed, [12, 20, 40, 15, 30], patients=120)
        pulls = AurocPulls.of(scores([0.6, 0.5, 0.4, 0.3, 0.0]), labels, groups)
        p = []
        for c in range(5):
            one = pulls.of_columns([c])
            if one.value[0] <= 0.5:
                p.append(1.0)
                continue
            touching = brentq(lambda level, one=one: auroc_intervals(one, level)[0].low - 0.5, 0.0, 1 - 1e-12)
            p.append((1 - touching) / 2)
        alone, _ = alone_of(pulls)
        expected = [name for name, adjusted in zip(NAMES, holm(np.asarray(p)), strict=False) if adjusted < 0.025]
        assert list(alone.above) == expected
        sets.add(len(expected))
    assert len(sets) >= 3


def test_one_class_alone_needs_no_correction():
    for seed in range(20):
        groups, labels, scores = drawn(seed, [15], patients=100)
        pulls = AurocPulls.of(scores([0.7]), labels, groups)
        alone, classes = alone_of(pulls)
        assert bool(alone.above) == (classes[NAMES[0]].low > 0.5) == alone.macro_above


def test_classes_without_an_interval_are_no_shortcut_and_cost_the_others_nothing():
    groups, labels, scores = drawn(0, [40, 3])
    pulls = AurocPulls.of(scores([1.0, 9.0]), labels, groups)
    both = auroc_intervals(pulls)
    classes = {"many": both[0], "few": Interval(both[1].value, np.nan, np.nan)}
    alone = MetadataAlone.of(pulls, classes)
    assert alone.above == ("many",)
    assert not alone.classes["few"].has_ends
    assert alone.explained({"many": Interval(0.6, 0.5, 0.7), "few": Interval(0.6, np.nan, np.nan)}) == ["many"]


@pytest.mark.parametrize(("score", "expected"), [(0.70, True), (0.99, False)])
def test_metadata_well_below_the_score_do_not_explain_it(score, expected):
    groups, labels, scores = drawn(3, [40, 40])
    pulls = AurocPulls.of(scores([1.0, 1.0]), labels, groups)
    alone, _ = alone_of(pulls)
    assert alone.explain_macro(Interval(score, score - 0.1, 1.0)) is expected
    assert bool(alone.explained({name: Interval(score, score - 0.1, 1.0) for name in NAMES[:2]})) is expected


def test_the_rule_is_that_of_evaluate():
    said = 0
    for seed in range(15):
        groups, labels, scores = drawn(seed, rare(seed), patients=200)
        n = len(groups)
        known = Labels(labels, [f"i{i}" for i in range(n)], tuple(NAMES), groups.astype(str),
                       {"scanner": np.random.default_rng(seed).choice(["a", "b"], n)})  # fmt: skip
        first = np.flatnonzero(groups < 100)
        rest = np.flatnonzero(groups >= 100)
        judged = Scores(scores(np.zeros(14))[rest], "logit", known.ids[rest], tuple(NAMES))
        result = evaluate(judged, known, anchors=known.ids[first], metadata=("scanner",), min_positives=1, replicates=1)
        said += any(note.startswith("SHORTCUT") for note in result.notes)
    assert said == 0
