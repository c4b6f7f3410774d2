"""How much a number hangs on the wording: literal draws, and the two ends of sensitivity."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.prompts import draw_prompts
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_differences,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)

N, D = 300, 6
RNG = np.random.default_rng(0)
MEANING = RNG.normal(size=(N, D))
TURN = np.linalg.qr(RNG.normal(size=(D, D)))[0]
CLASSES = ("a", "b")
TEXTS = {label: tuple(f"{label} {i}" for i in range(5)) for label in CLASSES}
AGAINST = {label: tuple(f"no {label} {i}" for i in range(5)) for label in CLASSES}
PROMPTS = sk.PromptSet("mine", TEXTS, AGAINST)
FITTED = sk.align(MEANING, MEANING @ TURN, solver="procrustes", nested=False, progress=False)
FILMS = sk.Embeddings(MEANING, [f"f{i}" for i in range(N)], FITTED.source)
TRUTH = sk.Labels((MEANING[:, :2] + 0.5 * RNG.normal(size=(N, 2)) > 0.3).astype(float), FILMS.ids, CLASSES,
                  np.arange(N) // 3)  # fmt: skip


def said(noise):
    """Vectors of all prompts: the class's axis, or against it, and as much noise as asked."""
    rng = np.random.default_rng(1)
    rows = {}
    for c, label in enumerate(CLASSES):
        for text in TEXTS[label]:
            rows[text] = np.eye(D)[c] + noise * rng.normal(size=D)
        for text in AGAINST[label]:
            rows[text] = -np.eye(D)[c] + noise * rng.normal(size=D)
    return sk.Embeddings(np.stack(list(rows.values())) @ TURN, list(rows), FITTED.target)


def test_each_draw_is_a_zero_shot_head_of_its_own():
    found = sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, TRUTH, draws=4, seed=7)
    for i in range(4):
        head = sk.zeroshot(FITTED, said(1.0), draw_prompts(PROMPTS, 1, 7 + i))
        for c, row in enumerate(found.classes):
            literal = roc_auc_score(TRUTH.values[:, c], head.scores(FILMS).values[:, c])
            assert row.draws[i] == pytest.approx(literal)
    whole = sk.zeroshot(FITTED, said(1.0), PROMPTS).scores(FILMS).values
    for c, row in enumerate(found.classes):
        assert row.ensemble.value == pytest.approx(roc_auc_score(TRUTH.values[:, c], whole[:, c]))
        assert row.gain.value == pytest.approx(row.ensemble.value - np.mean(row.draws))
        assert row.ensemble.low < row.ensemble.value < row.ensemble.high
    assert found.macro.ensemble.value == pytest.approx(np.mean([row.ensemble.value for row in found.classes]))
    assert found.patients == N // 3


def test_wordings_that_mean_the_same_do_not_matter_and_noisy_ones_do():
    same = sk.prompt_sensitivity(FITTED, said(0.0), PROMPTS, FILMS, TRUTH, draws=6)
    noisy = sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, TRUTH, draws=6)
    assert np.ptp(same.macro.draws) < 1e-9
    assert same.macro.gain.value == pytest.approx(0, abs=1e-9)
    assert np.ptp(noisy.macro.draws) > 0.02
    assert noisy.macro.gain.low > 0
    text = str(noisy)
    assert "1 prompt a class and side" in text
    assert f"{noisy.macro.gain.value:+.3f}" in text
    assert noisy.to_dict()["rows"][0]["label"] == "macro"


def test_more_prompts_a_draw_come_nearer_to_all():
    one, four = (sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, TRUTH, k=k, draws=8)
                 for k in (1, 4))  # fmt: skip
    assert abs(four.macro.gain.value) < one.macro.gain.value
    whole = sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, TRUTH, k=5, draws=2)
    assert whole.macro.draws == pytest.approx([whole.macro.ensemble.value] * 2)


def test_bad_settings_and_rare_classes_are_named():
    with pytest.raises(InputError, match="k=0"):
        sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, TRUTH, k=0)
    with pytest.raises(DataError, match="no class has 400 positive and negative patients"):
        sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, TRUTH, min_positives=400)
    rare = sk.Labels(np.stack([TRUTH.values[:, 0], np.arange(N) < 2], axis=1), FILMS.ids, CLASSES)
    found = sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, rare, draws=2)
    assert list(found.not_judged) == ["b"]


def test_intervals_are_of_placements_with_the_draws_averaged():
    found = sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, TRUTH, draws=4, seed=7)
    sets = [PROMPTS, *(draw_prompts(PROMPTS, 1, 7 + i) for i in range(4))]
    scored = [sk.zeroshot(FITTED, said(1.0), one).scores(FILMS).values for one in sets]
    whole, *drawn = (AurocPulls.of(values, TRUTH.values, TRUTH.groups) for values in scored)
    mean = AurocPulls.mean_of(drawn)
    assert [row.ensemble for row in found.classes] == auroc_intervals(whole)
    assert [row.gain for row in found.classes] == [one.interval for one in auroc_differences(whole, mean)]
    assert found.macro.ensemble == macro_auroc_interval(whole)
    assert found.macro.gain == macro_auroc_difference(whole, mean).interval
    assert found.notes == ()


def test_classes_that_one_patient_holds_have_no_intervals_nor_has_their_mean():
    people = np.where(np.arange(N) < 240, 0, np.arange(N))  # of 61 patients one has four in five films
    held = sk.Labels(TRUTH.values, FILMS.ids, CLASSES, people)
    found = sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, held, draws=2)
    for row in (*found.classes, found.macro):
        assert not row.ensemble.has_ends
        assert not row.gain.has_ends
    assert "no interval where few patients have most positives or negatives of a class" in " ".join(found.notes)
    assert "nan" not in str(found)


def test_a_class_of_few_patients_has_values_alone_and_a_note():
    values = np.stack([TRUTH.values[:, 0], np.arange(N) < 9], axis=1).astype(float)
    few = sk.Labels(values, FILMS.ids, CLASSES, TRUTH.groups)  # b is present in three patients
    assert "9 positives" in sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, few, draws=2).not_judged["b"]
    found = sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, few, draws=2, min_positives=1)
    assert [(row.ensemble.has_ends, row.gain.has_ends) for row in found.classes] == [(True, True), (False, False)]
    assert found.macro.ensemble.has_ends
    assert "b (3 positive patients)" in str(found)
    assert "nan" not in str(found)


def test_a_mean_that_few_patients_carry_has_no_interval_and_a_note():
    few = np.repeat((np.arange(N) < 9)[:, None], 2, axis=1).astype(float)
    labels = sk.Labels(few, FILMS.ids, CLASSES, TRUTH.groups)  # both in the same three patients
    found = sk.prompt_sensitivity(FITTED, said(1.0), PROMPTS, FILMS, labels, draws=2, min_positives=1)
    assert not found.macro.ensemble.has_ends
    assert not found.macro.gain.has_ends
    assert any(note.startswith("no interval of the mean over classes") for note in found.notes)
    assert "nan" not in str(found)
