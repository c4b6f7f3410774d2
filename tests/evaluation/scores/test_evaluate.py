"""The verb ``evaluate``: paired intervals, baselines beside every number, and everything a reader must be told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    roc_auc_score,
)

from stitchkit import AnchorSet, Embeddings, Items, Labels, Scores, Space, choose_thresholds, evaluate
from stitchkit.core.errors import DataError, InputError, LeakageError, UnknownNameError
from stitchkit.evaluation.scores.metadata_shortcuts import MetadataAlone
from stitchkit.evaluation.scores.results import Evaluation
from stitchkit.evaluation.scores.tables import auroc_rows
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)
from stitchkit.metrics.average_precision_intervals import (
    PrecisionPulls,
    macro_precision_difference,
    macro_precision_interval,
    precision_intervals,
)
from stitchkit.metrics.bootstrap import Interval, patient_counts
from stitchkit.metrics.class_means import class_mean_difference, recalls_and_f1
from stitchkit.metrics.decisions import multiclass_differences, multiclass_intervals
from stitchkit.metrics.probability_intervals import brier_interval

CLASSES = ("edema", "effusion")
FEW = 200  # replicates, where the number does not matter


def labels_of(n=240, *, seed=0, classes=CLASSES, share=0.3, a_patient=2, columns=None):
    rng = np.random.default_rng(seed)
    values = (rng.random((n, len(classes))) < share).astype(float)
    groups = None if a_patient is None else np.array([f"p{i // a_patient}" for i in range(n)])
    return Labels(values, [f"i{i}" for i in range(n)], classes, groups, columns or {})


def scores_of(labels, *, seed=1, signal=1.5, rows=None):
    """Noisy logits of the labelled items (or of some rows of them)."""
    rng = np.random.default_rng(seed)
    values = signal * np.nan_to_num(labels.values) + rng.normal(size=labels.values.shape)
    rows = slice(None) if rows is None else rows
    return Scores(values[rows], "logit", labels.ids[rows], labels.classes)


def literal(scores, labels, counts, measure=average_precision_score):
    """Macro measure of each resample by repeating rows and asking scikit-learn; NaN where a class is undefined."""
    found = []
    for row in counts.astype(int):
        s, y = np.repeat(scores.values, row, axis=0), np.repeat(labels.values, row, axis=0)
        known = [~np.isnan(column) for column in y.T]
        kinds = [len(np.unique(y[rows, c])) for c, rows in enumerate(known)]
        each = [measure(y[rows, c], s[rows, c]) for c, rows in enumerate(known) if kinds[c] == 2]
        found.append(np.mean(each) if len(each) == len(kinds) else np.nan)
    return np.array(found)


def resamples(labels, replicates, seed=0):
    return np.concatenate(list(patient_counts(labels.groups, replicates, seed)))


def notes_of(result):
    return "\n".join(result.notes)


# progress


def test_rows_and_decisions_are_counted_for_whoever_watches_and_silence_is_kept(capfd):
    labels = labels_of()
    first, scores = scores_of(labels, rows=slice(120)), scores_of(labels, rows=slice(120, None))
    levels = choose_thresholds(first, labels.take(np.arange(120)), replicates=20)
    settings = {"thresholds": levels, "replicates": 30}
    for wanted in (None, False):
        evaluate(scores, labels, **settings, progress=wanted)
        assert capfd.readouterr() == ("", "")
    evaluate(scores, labels, **settings, progress=True)
    rows, decisions = capfd.readouterr().err.splitlines()
    assert rows.startswith("resampling patients, rows of the table 30/30 ")  # chance, the only probabilities
    assert decisions.startswith("intervals of decisions, classes 2/2 ")


# numbers


def pulls_of(scores, labels):
    return AurocPulls.of(scores.values, labels.values, labels.groups)


def test_aurocs_have_the_intervals_of_placements_over_patients():
    labels = labels_of(120)
    labels.values[:10, 1] = np.nan
    scores, other = scores_of(labels), scores_of(labels, seed=2, signal=0.8)
    result = evaluate(scores, labels, others={"other": other}, replicates=FEW, min_positives=1)
    ours, theirs = pulls_of(scores, labels), pulls_of(other, labels)
    assert list(result.main.classes.values()) == auroc_intervals(ours)
    assert result.main.macro == macro_auroc_interval(ours)
    assert result.method("other").macro == macro_auroc_interval(theirs)
    assert result.method("other").difference == macro_auroc_difference(ours, theirs).interval


@pytest.mark.parametrize("settings", [{"replicates": 3}, {"replicates": 30, "seed": 5}])
def test_only_measures_of_probabilities_hang_on_resamples(settings):
    labels = labels_of(120)
    said = Scores(1 / (1 + np.exp(-scores_of(labels).values)), "probability", labels.ids, CLASSES)
    found, again = (evaluate(said, labels, **one).main.measures for one in ({"replicates": FEW}, settings))
    assert [name for name in found if found[name] != again[name]] == ["brier", "ece"]


def test_average_precisions_have_the_intervals_of_derivatives_over_patients():
    labels = labels_of(120)
    labels.values[:10, 1] = np.nan
    scores, other = scores_of(labels), scores_of(labels, seed=2, signal=0.8)
    result = evaluate(scores, labels, others={"other": other}, replicates=FEW, min_positives=1)
    ours, theirs = (PrecisionPulls.of(one.values, labels.values, labels.groups) for one in (scores, other))
    found = result.method("other").measures["average_precision"]
    assert list(found.classes.values()) == precision_intervals(theirs)
    assert found.macro == macro_precision_interval(theirs)
    assert found.difference == macro_precision_difference(ours, theirs)
    assert found.macro.value == pytest.approx(literal(other, labels, np.ones((1, 120)))[0])


def test_brier_scores_equal_a_literal_bootstrap_over_patients():
    labels = labels_of(120)
    labels.values[:10, 1] = np.nan
    scores, other = (
        Scores(1 / (1 + np.exp(-one.values)), "probability", labels.ids, CLASSES)
        for one in (scores_of(labels), scores_of(labels, seed=2, signal=0.8))
    )
    result = evaluate(scores, labels, others={"other": other}, replicates=60, min_positives=1, seed=3)
    ours, theirs = (literal(one, labels, resamples(labels, 60, 3), brier_score_loss) for one in (scores, other))
    points = [literal(one, labels, np.ones((1, 120)), brier_score_loss)[0] for one in (scores, other)]
    found = result.method("other").measures["brier"]
    assert found.macro == pytest.approx(brier_interval(points[1], theirs), abs=1e-12)
    expected = points[0] - points[1], *np.quantile(ours - theirs, [0.025, 0.975])
    assert found.difference == pytest.approx(expected, abs=1e-12)


def test_perfect_separation_has_a_width():
    labels = labels_of(120)
    found = evaluate(Scores(labels.values + 0.0, "logit", labels.ids, CLASSES), labels, replicates=FEW).main
    for one in (*found.classes.values(), found.macro):
        assert (one.value, one.high) == (1, 1)
        assert 0.8 < one.low < 0.999


def test_classes_of_exclusive_labels_have_the_same_intervals_one_against_the_rest():
    _, labels = exclusive()
    scores = scores_of(labels)
    found = evaluate(scores, labels, multiclass=True, replicates=FEW).main
    assert list(found.classes.values()) == auroc_intervals(pulls_of(scores, labels))


def test_a_class_has_its_own_auroc_and_interval():
    labels = labels_of()
    scores = scores_of(labels)
    both = evaluate(scores, labels, replicates=FEW).main
    for c, label in enumerate(CLASSES):
        assert both.classes[label].value == pytest.approx(roc_auc_score(labels.values[:, c], scores.values[:, c]))
        alone = evaluate(Scores(scores.values[:, [c]], "logit", scores.ids, (label,)), labels, replicates=FEW).main
        assert both.classes[label] == pytest.approx(alone.classes[label], abs=1e-12)
    assert both.macro.value == pytest.approx(np.mean([one.value for one in both.classes.values()]))


def test_the_difference_of_a_method_with_itself_is_exactly_zero():
    labels = labels_of()
    scores = scores_of(labels)
    twin = evaluate(scores, labels, others={"twin": scores}, replicates=FEW).method("twin")
    assert twin.difference == (0.0, 0.0, 0.0)


def test_paired_differences_are_narrower_than_the_rows_they_compare():
    labels = labels_of()
    scores = scores_of(labels)
    near = Scores(scores.values + 0.2 * np.random.default_rng(5).normal(size=(240, 2)), "logit", scores.ids, CLASSES)
    result = evaluate(scores, labels, others={"near": near}, replicates=FEW)
    gap, own = result.method("near").difference, result.main.macro
    assert gap.high - gap.low < 0.6 * (own.high - own.low)


def test_the_main_row_has_no_difference_and_is_called_as_asked():
    labels = labels_of()
    result = evaluate(scores_of(labels), labels, name="stitched", replicates=FEW)
    assert (result.main.name, result.main.difference) == ("stitched", None)


def test_chance_is_one_half_without_width():
    labels = labels_of()
    chance = evaluate(scores_of(labels), labels, replicates=FEW).method("chance")
    assert chance.macro == (0.5, 0.5, 0.5)
    assert set(chance.classes.values()) == {Interval(0.5, 0.5, 0.5)}


def test_shuffled_labels_give_an_interval_around_one_half():
    labels = labels_of(600, a_patient=1)
    scores = scores_of(labels)
    shuffled = Labels(np.random.default_rng(9).permutation(labels.values), labels.ids, CLASSES, labels.groups)
    macro = evaluate(scores, shuffled, replicates=FEW).main.macro
    assert macro.low < 0.5 < macro.high
    assert evaluate(scores, labels, replicates=FEW).main.macro.low > 0.7


def test_repeating_every_row_of_all_patients_changes_no_interval():
    labels = labels_of(120)
    scores = scores_of(labels)
    rows = np.repeat(np.arange(120), 3)
    ids = [f"r{i}" for i in range(360)]
    more = Labels(labels.values[rows], ids, CLASSES, labels.groups[rows])
    again = evaluate(Scores(scores.values[rows], "logit", ids, CLASSES), more, replicates=FEW).main
    assert again.macro == pytest.approx(evaluate(scores, labels, replicates=FEW).main.macro, abs=1e-12)


def test_patients_with_many_rows_widen_the_interval():
    labels = labels_of(60, a_patient=1)
    rows = np.repeat(np.arange(60), 4)  # four films a patient, alike
    values, ids = scores_of(labels).values[rows], [f"r{i}" for i in range(240)]
    scores = Scores(values, "logit", ids, CLASSES)
    known = evaluate(scores, Labels(labels.values[rows], ids, CLASSES, labels.groups[rows]), replicates=FEW).main.macro
    naive = evaluate(scores, Labels(labels.values[rows], ids, CLASSES), replicates=FEW).main.macro
    assert naive.high - naive.low < 0.7 * (known.high - known.low)


def test_the_seed_decides_and_nothing_else_does():
    labels = labels_of()
    scores = scores_of(labels)
    first, again, other = (evaluate(scores, labels, replicates=FEW, seed=seed).to_dict() for seed in (1, 1, 2))
    assert first == again
    assert first["methods"] != other["methods"]


def test_scores_labels_and_others_are_joined_by_id():
    labels = labels_of()
    scores, other = scores_of(labels), scores_of(labels, seed=2)
    plain = evaluate(scores, labels, others={"other": other}, replicates=FEW)
    order = np.random.default_rng(0).permutation(240)
    turned = Scores(other.values[order], "logit", other.ids[order], CLASSES)
    assert evaluate(scores, labels.take(order), others={"other": turned}, replicates=FEW) == plain
    swapped = Scores(other.values[:, ::-1], "logit", other.ids, CLASSES[::-1])
    assert evaluate(scores, labels, others={"other": swapped}, replicates=FEW) == plain


def test_patients_may_be_given_beside_the_labels():
    labels = labels_of()
    bare = Labels(labels.values, labels.ids, CLASSES)
    given = evaluate(scores_of(labels), bare, groups=labels.groups, replicates=FEW)
    assert given == evaluate(scores_of(labels), labels, replicates=FEW)
    with pytest.raises(InputError, match="3 groups came with 240 rows"):
        evaluate(scores_of(labels), bare, groups=["a", "b", "c"])


# which classes and rows count


def test_unknown_labels_are_left_out_class_by_class():
    labels = labels_of()
    scores = scores_of(labels)
    labels.values[:80, 0] = np.nan
    result = evaluate(scores, labels, replicates=FEW)
    assert result.n == 240
    assert result.positives["edema"] == int(labels.values[80:, 0].sum())
    expected = roc_auc_score(labels.values[80:, 0], scores.values[80:, 0])
    assert result.main.classes["edema"].value == pytest.approx(expected)
    wild = Scores(np.where(np.isnan(labels.values), 1e6, scores.values), "logit", scores.ids, CLASSES)
    assert evaluate(wild, labels, replicates=FEW) == result  # what an unlabelled item scores is of no interest


@pytest.mark.parametrize("rare", ["positives", "negatives"])
def test_classes_with_too_few_patients_of_a_kind_are_listed_not_judged(rare):
    labels = labels_of(classes=("edema", "hernia"))
    labels.values[:, 1] = (np.arange(240) < 18) == (rare == "positives")  # of nine patients
    result = evaluate(scores_of(labels), labels, replicates=FEW)
    assert list(result.main.classes) == ["edema"]
    assert result.main.macro == result.main.classes["edema"]
    assert list(result.not_judged) == ["hernia"]
    first, last = ("18", "222") if rare == "positives" else ("222", "18")
    ends = ("9", "111") if rare == "positives" else ("111", "9")
    reason = f"{first} positives and {last} negatives, of {ends[0]} and {ends[1]} patients, fewer than 10"
    assert reason in result.not_judged["hernia"]
    assert result.positives["hernia"] == int(first)
    assert result.positive_patients["hernia"] == int(ends[0])
    assert list(evaluate(scores_of(labels), labels, min_positives=9, replicates=FEW).not_judged) == []


def test_items_count_where_patients_are_not_known():
    labels = labels_of(classes=("edema", "hernia"), a_patient=None)
    labels.values[:, 1] = np.arange(240) < 18
    assert evaluate(scores_of(labels), labels, min_positives=18, replicates=FEW).not_judged == {}
    reason = evaluate(scores_of(labels), labels, min_positives=19, replicates=FEW).not_judged["hernia"]
    assert "18 positives and 222 negatives, fewer than 19" in reason
    assert evaluate(scores_of(labels), labels, replicates=FEW).positive_patients == {}


def rare_class(*patients, a_patient=2, n=240):
    """Labels of two classes, the second present in all items of so many patients."""
    labels = labels_of(n, classes=("edema", "hernia"), a_patient=a_patient)
    labels.values[:, 1] = np.arange(n) < patients[0] * a_patient
    return labels


def has_ends(one):
    return np.isfinite([one.low, one.high]).all()


def test_a_class_with_three_positive_patients_has_a_value_and_no_interval():
    labels = rare_class(3)
    scores = scores_of(labels)
    result = evaluate(scores, labels, min_positives=1, replicates=FEW)
    hernia = result.main.classes["hernia"]
    assert hernia.value == pytest.approx(roc_auc_score(labels.values[:, 1], scores.values[:, 1]))
    for method in result.methods:
        for measure in method.measures.values():
            assert [has_ends(one) for one in measure.classes.values()] == [True, False]
    assert result.main.macro == macro_auroc_interval(pulls_of(scores, labels))
    assert has_ends(result.main.macro)
    assert "fewer than 5 positive or negative patients: hernia (3 positive patients)" in notes_of(result)
    (line,) = [line for line in str(result).splitlines() if line.startswith("  hernia")]
    assert line == f"  hernia  {hernia.value:.3f}  (6 positive of 3 patients)"
    plain = evaluate(scores, labels, replicates=FEW)
    assert "6 positives and 234 negatives, of 3 and 117 patients, fewer than 10" in plain.not_judged["hernia"]
    assert f"AUROC {hernia.value:.3f}" in plain.not_judged["hernia"]  # outside the macro, the value alone


@pytest.mark.parametrize("present", [True, False])
def test_a_side_of_one_patient_leaves_the_macro_without_an_interval(present):
    labels = rare_class(1)
    labels.values[:, 1] = labels.values[:, 1] == present
    scores, other = scores_of(labels), scores_of(labels, seed=2)
    result = evaluate(scores, labels, others={"other": other}, min_positives=1, replicates=FEW)
    assert result.main.macro.value == pytest.approx(literal(scores, labels, np.ones((1, 240)), roc_auc_score)[0])
    for method in result.methods:
        for name in ("auroc", "average_precision"):
            measure = method.measures[name]
            assert not has_ends(measure.macro)
            assert measure.difference is None or not has_ends(measure.difference)
    assert has_ends(result.main.classes["edema"])
    side = "positive" if present else "negative"
    assert "no interval of macro AUROC, macro average precision and their differences" in notes_of(result)
    assert f"hernia (1 {side} patient). A min_positives of 2" in notes_of(result)
    lines = str(result).splitlines()
    assert any(
        line == f"scores  {result.main.macro.value:.3f}" or line.startswith(f"scores  {result.main.macro.value:.3f}  ")
        for line in lines
    )
    assert "nan" not in str(result)


@pytest.mark.parametrize(("patients", "interval", "noted"), [(4, False, False), (5, True, True), (14, True, True),
                                                            (15, True, False)])  # fmt: skip
def test_few_patients_are_noted(patients, interval, noted):
    labels = rare_class(patients, a_patient=3)
    result = evaluate(scores_of(labels), labels, min_positives=1, replicates=FEW)
    assert has_ends(result.main.classes["hernia"]) == interval
    words = f"fewer than 15 positive or negative patients are wide and approximate: hernia ({patients} positive"
    assert (words in notes_of(result)) == noted


def test_a_class_without_any_positive_is_never_judged():
    labels = labels_of()
    labels.values[:, 1] = 0
    result = evaluate(scores_of(labels), labels, min_positives=0, replicates=FEW)
    assert list(result.not_judged) == ["effusion"]


def test_no_class_that_can_be_judged_is_a_data_error():
    labels = labels_of(20)
    with pytest.raises(
        DataError,
        match=r"no class can be judged among 20 items: edema: 4 positives and 16 negatives, of 4 and 10 "
        "patients, fewer than 50",
    ):
        evaluate(scores_of(labels), labels, min_positives=50)


def test_an_unknown_class_lists_the_nearest_labels():
    labels = labels_of()
    scores = Scores(scores_of(labels).values, "logit", labels.ids, ("edema", "efusion"))
    with pytest.raises(UnknownNameError, match="no labelled class is called 'efusion'; nearest: effusion"):
        evaluate(scores, labels)


def test_labelled_classes_that_are_not_scored_are_left_alone():
    labels = labels_of()
    scores = scores_of(labels)
    result = evaluate(Scores(scores.values[:, 1:], "logit", scores.ids, ("effusion",)), labels, replicates=FEW)
    assert list(result.positives) == ["effusion"]


def test_a_scored_item_without_a_label_is_named():
    labels = labels_of()
    with pytest.raises(DataError, match=r"1 of 240 items have no label, the first is 'i239'; .* such as 'i0'"):
        evaluate(scores_of(labels), labels.take(np.arange(239)))


def test_another_row_must_cover_the_same_items():
    labels = labels_of()
    some = scores_of(labels, rows=np.arange(200))
    with pytest.raises(DataError, match="the scores called 'short'"):
        evaluate(scores_of(labels), labels, others={"short": some})


@pytest.mark.parametrize("taken", ["ours", "chance"])
def test_two_rows_of_one_name_are_refused(taken):
    labels = labels_of()
    with pytest.raises(InputError, match=taken):
        evaluate(scores_of(labels), labels, name="ours", others={taken: scores_of(labels, seed=2)}, replicates=FEW)


def test_scores_that_are_no_numbers_are_refused_with_the_item():
    labels = labels_of()
    values = scores_of(labels).values
    values[7, 1] = np.nan
    with pytest.raises((InputError, DataError), match="'i7'"):
        evaluate(Scores(values, "logit", labels.ids, CLASSES), labels, replicates=FEW)


def test_a_class_that_one_patient_holds_has_no_interval_and_a_note():
    sizes = np.r_[60, np.full(19, 3), np.full(40, 3)]  # 20 patients with edema, one of whom has half of its images
    people = np.repeat(np.arange(60), sizes)
    values = np.stack([people < 20, people % 2 == 0], axis=1).astype(float)
    values[people == 0, 1] = np.nan
    labels = Labels(values, [f"i{i}" for i in range(len(people))], CLASSES, people.astype(str))
    result = evaluate(scores_of(labels), labels, replicates=FEW)
    edema, effusion = result.main.classes.values()
    assert edema.has_ends
    assert effusion.has_ends
    held = np.where(people < 17, 0, people)  # 17 of the patients are one: 4 are left
    few = Labels(values, labels.ids, CLASSES, held.astype(str))
    assert "fewer than 5" in notes_of(evaluate(scores_of(few), few, min_positives=1, replicates=FEW))
    held = np.where(people < 12, 0, people)  # 9 are left
    few = Labels(values, labels.ids, CLASSES, held.astype(str))
    result = evaluate(scores_of(few), few, min_positives=1, replicates=FEW)
    edema, effusion = result.main.classes.values()
    assert not edema.has_ends
    assert effusion.has_ends
    assert result.main.macro.has_ends  # effusion is of many
    assert "edema (9 positive patients count as 1.6)" in notes_of(result)
    alone = few.of_classes(("edema",))
    assert not evaluate(scores_of(alone), alone, min_positives=1, replicates=FEW).main.macro.has_ends


def test_intervals_need_no_resample_that_has_every_class():
    labels = labels_of(40, a_patient=1)
    labels.values[:, 1] = np.arange(40) < 2
    result = evaluate(scores_of(labels), labels, min_positives=1, replicates=400)
    assert np.isfinite(result.main.macro).all()
    assert np.isfinite(result.main.measures["average_precision"].macro).all()
    assert "resamples" not in notes_of(result)


# leakage


def test_items_and_patients_on_both_sides_are_refused():
    labels = labels_of()
    scores = scores_of(labels, rows=np.arange(100, 240))
    with pytest.raises(LeakageError, match="1 item "):
        evaluate(scores, labels, anchors=["i3", "i100"])
    labels.groups[99] = labels.groups[100]
    with pytest.raises(LeakageError, match="1 patient "):
        evaluate(scores, labels, anchors=labels.ids[:100])
    allowed = evaluate(scores, labels, anchors=labels.ids[:100], allow_leakage=True, replicates=FEW)
    assert "LEAKAGE: 1 patient has both" in str(allowed)


def test_the_anchor_sets_own_patients_count_when_its_items_have_no_labels():
    labels = labels_of(a_patient=1)
    anchors = AnchorSet(["x", "y"], texts(2), texts(2), np.array(["p5", "nobody"]))
    with pytest.raises(LeakageError, match="1 patient "):
        evaluate(scores_of(labels), labels, anchors=anchors)


def texts(n):
    return Items([f"t{i}" for i in range(n)], ["A report."] * n, "text")


def test_unknown_patients_are_said():
    labels = labels_of(a_patient=None)
    result = evaluate(scores_of(labels, rows=np.arange(100, 240)), labels, anchors=labels.ids[:100], replicates=FEW)
    assert result.patients is None
    assert "patients not known" in str(result)
    assert "overlap of patients between anchors and test items was not checked" in notes_of(result)


@pytest.mark.parametrize("labelled", [0, 50])
def test_anchors_whose_patients_nobody_knows_are_not_called_free_of_overlap(labelled):
    labels = labels_of(a_patient=1)
    anchors = [*labels.ids[:labelled], *(f"elsewhere{i}" for i in range(50))]  # no label, so no patient either
    result = evaluate(scores_of(labels, rows=np.arange(100, 240)), labels, anchors=anchors, replicates=FEW)
    assert "no patient has both anchors and test items" not in notes_of(result)
    assert "not known" in notes_of(result)


def test_patients_apart_are_said_too():
    labels = labels_of()
    result = evaluate(scores_of(labels, rows=np.arange(100, 240)), labels, anchors=labels.ids[:100], replicates=FEW)
    assert "no patient has both anchors and test items" in result.notes
    assert (result.n, result.patients, result.anchors) == (140, 70, 100)


# baselines


@pytest.fixture
def vectors():
    """Labels, and source vectors that follow them: 100 anchors, 140 test items."""
    labels = labels_of(columns={"view": np.random.default_rng(4).choice(["AP", "PA"], 240)})
    rng = np.random.default_rng(5)
    x = labels.values @ rng.normal(size=(2, 8)) + rng.normal(size=(240, 8))
    return labels, Embeddings(x, labels.ids, Space("general", 8, "f1"))


def test_the_probe_and_the_metadata_baseline_are_fitted_on_the_anchors(vectors):
    labels, embeddings = vectors
    scores = scores_of(labels, rows=np.arange(100, 240))
    every = {"anchors": labels.ids[:100], "embeddings": embeddings, "metadata": ("view",), "replicates": FEW}
    result = evaluate(scores, labels, **every)
    assert [one.name for one in result.methods] == ["scores", "chance", "probe on the anchors", "metadata only"]
    assert result.method("probe on the anchors").macro.low > 0.6
    assert result.method("metadata only").macro.value == pytest.approx(0.5, abs=0.1)
    assert "the metadata-only baseline used view" in result.notes
    labels.values[:100] = np.random.default_rng(8).permutation(labels.values[:100])
    fooled = evaluate(scores, labels, **every)
    assert fooled.method("probe on the anchors").macro.value < 0.65
    assert fooled.main == result.main


def test_the_probe_is_the_public_one(vectors):
    from stitchkit import fit_probe

    labels, embeddings = vectors
    rows = np.arange(100, 240)
    result = evaluate(scores_of(labels, rows=rows), labels, anchors=labels.ids[:100], embeddings=embeddings,
                      replicates=FEW)  # fmt: skip
    head = fit_probe(embeddings.take(np.arange(100)), labels)
    expected = evaluate(head.scores(embeddings.take(rows)), labels, replicates=FEW).main
    assert result.method("probe on the anchors").macro == expected.macro


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no probe and no metadata-only baseline: no anchors were given"),
        ({"anchors": ["elsewhere"]}, "no probe and no metadata-only baseline: no anchor is among the labels"),
        ({"anchors": [f"i{i}" for i in range(100)]}, "no probe: give embeddings="),
        ({"anchors": [f"i{i}" for i in range(100)]}, "no metadata-only baseline: give items="),
    ],
)
def test_baselines_that_are_missing_are_named(given, said):
    labels = labels_of()
    result = evaluate(scores_of(labels, rows=np.arange(100, 240)), labels, replicates=FEW, **given)
    assert said in notes_of(result)
    assert said in str(result)


def test_too_few_labelled_anchors_cost_the_baselines_not_the_evaluation(vectors):
    labels, embeddings = vectors
    scores = scores_of(labels, rows=np.arange(100, 240))
    result = evaluate(scores, labels, anchors=labels.ids[:3], embeddings=embeddings, metadata=("view",),
                      replicates=FEW)  # fmt: skip
    assert "probe on the anchors" not in [one.name for one in result.methods]
    assert "no probe" in notes_of(result)


def test_a_class_that_no_anchor_is_labelled_for_does_not_stop_the_others(vectors):
    labels, embeddings = vectors
    labels.values[:100, 1] = np.nan
    result = evaluate(scores_of(labels, rows=np.arange(100, 240)), labels, anchors=labels.ids[:100],
                      embeddings=embeddings, replicates=FEW)  # fmt: skip
    probe = result.method("probe on the anchors")
    assert probe.classes["effusion"].value == 0.5
    assert probe.classes["edema"].value > 0.6


def test_an_unknown_metadata_column_lists_the_nearest(vectors):
    labels, _ = vectors
    with pytest.raises(UnknownNameError, match="'veiw'; nearest: view"):
        evaluate(scores_of(labels, rows=np.arange(100, 240)), labels, anchors=labels.ids[:100], metadata=("veiw",))


# shortcuts


@pytest.fixture
def films(tmp_path):
    """120 anchors and 120 test files; ``films(labels, planted)`` draws those with edema larger if planted."""

    def draw(labels, planted):
        rng = np.random.default_rng(6)
        paths = []
        for i, row in enumerate(labels.values):
            pixels = rng.integers(0, 256, (12, 12), dtype=np.uint8)
            # rows of nothing take fewer bytes
            pixels[6 if planted and not row[0] else 12 if planted else rng.integers(4, 12) :] = 0
            paths.append(tmp_path / f"{planted}{i}.png")
            Image.fromarray(pixels).save(paths[-1])
        images = Items(labels.ids, paths, "image")
        rows = np.arange(120)
        side = images.take(rows)
        return AnchorSet(labels.ids[:120], side, side, labels.groups[:120]), images.take(rows + 120)

    return draw


def test_a_planted_shortcut_through_file_size_is_exposed(films):
    labels = labels_of(classes=("edema",))
    anchors, test = films(labels, True)
    result = evaluate(scores_of(labels, rows=np.arange(120, 240)), labels, anchors=anchors, items=test, replicates=FEW)
    assert result.method("metadata only").macro.value > 0.95
    assert "SHORTCUT" in notes_of(result)
    assert "must not be read as a diagnosis" in str(result)
    assert "file_bytes" in notes_of(result)


def test_items_that_were_given_are_not_asked_for(films):
    labels = labels_of(classes=("edema",))
    anchors, test = films(labels, True)
    scores = scores_of(labels, rows=np.arange(120, 240))
    result = evaluate(scores, labels, anchors=anchors.ids, items=test, replicates=FEW)  # ids have no files
    assert "give items=" not in notes_of(result)
    assert "no metadata-only baseline" in notes_of(result)


def test_honest_files_give_no_such_note(films):
    labels = labels_of(classes=("edema",))
    anchors, test = films(labels, False)
    result = evaluate(scores_of(labels, rows=np.arange(120, 240)), labels, anchors=anchors, items=test, replicates=FEW)
    assert result.method("metadata only").macro.value == pytest.approx(0.5, abs=0.15)
    assert "SHORTCUT" not in str(result)


def test_a_shortcut_through_a_named_column_is_exposed():
    labels = labels_of(classes=("edema",))
    labels = Labels(labels.values, labels.ids, ("edema",), labels.groups,
                    {"view": np.where(labels.values[:, 0] > 0, "AP", "PA")})  # fmt: skip
    scores = scores_of(labels, rows=np.arange(100, 240))
    assert "SHORTCUT" in notes_of(
        evaluate(scores, labels, anchors=labels.ids[:100], metadata=("view",), replicates=FEW)
    )
    assert "SHORTCUT" not in notes_of(evaluate(scores, labels, anchors=labels.ids[:100], replicates=FEW))


def test_a_shortcut_for_one_class_is_named_even_if_the_mean_hides_it():
    labels = labels_of(400)
    labels = Labels(labels.values, labels.ids, CLASSES, labels.groups,
                    {"view": np.where(labels.values[:, 1] > 0, "AP", "PA")})  # fmt: skip
    scores = scores_of(labels, rows=np.arange(200, 400), signal=3.0)
    result = evaluate(scores, labels, anchors=labels.ids[:200], metadata=("view",), replicates=FEW)
    (warning,) = [note for note in result.notes if "SHORTCUT" in note]
    assert "effusion" in warning
    assert "edema" not in warning


def test_scores_at_chance_are_not_called_a_shortcut():
    labels = labels_of(columns={"view": np.random.default_rng(4).choice(["AP", "PA"], 240)})
    scores = scores_of(labels, rows=np.arange(100, 240), signal=0.0)
    result = evaluate(scores, labels, anchors=labels.ids[:100], metadata=("view",), replicates=FEW)
    assert "SHORTCUT" not in notes_of(result)


@pytest.mark.parametrize("signal", [0.0, -1.0])
def test_metadata_that_tell_a_class_are_no_shortcut_of_scores_at_chance(signal):
    labels = labels_of(400)
    labels = Labels(labels.values, labels.ids, CLASSES, labels.groups,
                    {"view": np.where(labels.values[:, 1] > 0, "AP", "PA")})  # fmt: skip
    scores = scores_of(labels, rows=np.arange(200, 400), signal=signal)
    result = evaluate(scores, labels, anchors=labels.ids[:200], metadata=("view",), replicates=FEW)
    assert "SHORTCUT" not in notes_of(result)
    (note,) = [one for one in result.notes if one.startswith("not above chance")]
    assert "metadata alone, without the picture, reaches" in note


# the result


@pytest.fixture
def result(vectors) -> Evaluation:
    labels, embeddings = vectors
    labels.values[:, 1] = np.arange(240) % 60 == 0
    return evaluate(scores_of(labels, rows=np.arange(100, 240)), labels, anchors=labels.ids[:100], metadata=("view",),
                    embeddings=embeddings, replicates=FEW, name="stitched")  # fmt: skip


def test_the_result_can_be_written_as_strict_json_and_read_back(result):
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [one["name"] for one in plain["methods"]] == [one.name for one in result.methods]
    assert plain["methods"][0]["macro"] == result.main.macro._asdict()
    assert plain["methods"][0]["difference"] is None
    assert plain["methods"][1]["difference"]["value"] == pytest.approx(result.main.macro.value - 0.5)
    assert plain["settings"] == {"replicates": FEW, "level": 0.95, "seed": 0, "min_positives": 10}
    assert plain["notes"] == list(result.notes)
    assert plain["not_judged"] == result.not_judged


def test_what_is_printed_says_what_a_reader_needs(result):
    text = str(result)
    lines = text.splitlines()
    assert "1 class on 140 items (70 patients), 100 anchors; scores are logits" in lines[0]
    for one in result.methods:
        (line,) = [line for line in lines if line.startswith(one.name)]
        assert str(one.macro) in line
        assert (one.difference is None) or f"{one.difference.value:+.3f}" in line
    assert f"{result.main.classes['edema']}  (37 positive of 35 patients)" in text
    assert f"not judged: {result.not_judged['effusion']}" in text
    assert all(f"note: {note}" in lines for note in result.notes)
    assert "95 %" in text


def test_a_row_is_found_by_its_name(result):
    assert result.method("stitched") is result.main
    assert result.method("chance").macro.value == 0.5


@pytest.mark.parametrize(("kind", "said"), [("margin", "margins"), ("probability", "probabilities")])
def test_the_kind_of_the_scores_is_told(kind, said):
    labels = labels_of()
    scores = scores_of(labels)
    squeezed = Scores(1 / (1 + np.exp(-scores.values)), kind, scores.ids, CLASSES)
    told = evaluate(squeezed, labels, replicates=FEW)
    assert told.kind == kind
    assert f"scores are {said}" in str(told)
    assert told.main.macro == pytest.approx(evaluate(scores, labels, replicates=FEW).main.macro)


# further measures


def test_average_precision_stands_beside():
    labels = labels_of(120)
    scores = scores_of(labels)
    found = evaluate(scores, labels, replicates=FEW).main.measures["average_precision"]
    for c, label in enumerate(CLASSES):
        literal = average_precision_score(labels.values[:, c], scores.values[:, c])
        assert found.classes[label].value == pytest.approx(literal)
        assert found.classes[label].low < literal < found.classes[label].high
    assert found.macro.value == pytest.approx(np.mean([one.value for one in found.classes.values()]))


def test_probabilities_are_judged_as_such_and_other_scores_are_not():
    labels = labels_of()
    scores = scores_of(labels)
    assert set(evaluate(scores, labels, replicates=FEW).main.measures) == {"auroc", "average_precision"}
    said = Scores(1 / (1 + np.exp(-scores.values)), "probability", scores.ids, CLASSES)
    found = evaluate(said, labels, others={"logits": scores}, replicates=FEW)
    brier = found.main.measures["brier"]
    assert brier.classes["edema"].value == pytest.approx(brier_score_loss(labels.values[:, 0], said.values[:, 0]))
    assert "brier" not in found.method("logits").measures
    chance = found.method("chance").measures["brier"]
    share = labels.values.mean(axis=0)
    assert chance.macro.value == pytest.approx(np.mean(share * (1 - share)))
    assert chance.difference.value == pytest.approx(brier.macro.value - chance.macro.value)
    assert sum(one.n for one in found.reliability["edema"]) == len(labels)
    assert "Brier score" in str(found)


def exclusive(n=240, classes=("a", "b", "c"), seed=0):
    best = np.random.default_rng(seed).choice(3, n, p=[0.6, 0.3, 0.1])
    return best, Labels(np.eye(3)[best], [f"i{i}" for i in range(n)], classes, [f"p{i // 2}" for i in range(n)])


def test_the_best_of_exclusive_classes_is_judged_with_chance_beside_it():
    best, labels = exclusive()
    scores = scores_of(labels)
    found = evaluate(scores, labels, multiclass=True, replicates=FEW)
    called = scores.values.argmax(axis=1)
    measures = found.main.measures
    assert measures["accuracy"].macro.value == pytest.approx((called == best).mean())
    assert measures["balanced_accuracy"].macro.value == pytest.approx(balanced_accuracy_score(best, called))
    assert measures["f1"].macro.value == pytest.approx(f1_score(best, called, average="macro"))
    assert measures["accuracy"].classes == {}
    chance = found.method("chance").measures
    assert chance["balanced_accuracy"].macro.value == pytest.approx(1 / 3)
    assert chance["accuracy"].macro.value == pytest.approx((best == 0).mean())  # always the commonest
    assert measures["accuracy"].macro == multiclass_intervals(called, best, 3, labels.groups)["accuracy"]
    recall, f1 = recalls_and_f1(called, best, 3, labels.groups)
    assert (measures["balanced_accuracy"].macro, measures["f1"].macro) == (recall.interval(), f1.interval())
    always = np.zeros(len(best), dtype=int)
    shares = multiclass_differences(called, always, best, 3, labels.groups)
    assert {name: chance[name].difference for name in shares} == shares
    differ = np.bincount(np.arange(240) // 2, called != always) / 2
    literal = class_mean_difference(f1, recalls_and_f1(always, best, 3, labels.groups)[1], differ)
    assert chance["f1"].difference == pytest.approx(literal)


def test_classes_of_few_items_are_named_where_the_best_class_is_judged():
    best = np.repeat(np.arange(3), [20, 20, 2])
    ids = [f"i{i}" for i in range(42)]
    labels = Labels(np.eye(3)[best], ids, ("a", "b", "c"))
    found = evaluate(scores_of(labels), labels, multiclass=True, replicates=FEW)
    note = (
        "balanced accuracy and macro F1 count 1 class of fewer than 15 items (c has 2 items): their intervals are wide"
    )
    assert note in notes_of(found)
    assert "no interval of macro F1" not in notes_of(found)
    assert has_ends(found.main.measures["f1"].macro)
    assert "balanced accuracy" not in notes_of(evaluate(scores_of(labels), labels, replicates=FEW))


def test_macro_f1_of_two_items_a_class_has_no_interval_and_its_difference_has_one():
    labels = Labels(np.eye(8)[np.arange(16) // 2], [f"i{i}" for i in range(16)], tuple("abcdefgh"))
    scores, other = scores_of(labels), scores_of(labels, seed=2)
    found = evaluate(scores, labels, others={"other": other}, multiclass=True, min_positives=2, replicates=FEW)
    for method in found.methods:
        assert not has_ends(method.measures["f1"].macro)
        assert has_ends(method.measures["balanced_accuracy"].macro)
    assert has_ends(found.method("other").measures["f1"].difference)
    assert "no interval of macro F1: classes have 2.0 items on average" in notes_of(found)


def test_labels_of_several_classes_an_item_have_no_best_class():
    labels = labels_of()
    with pytest.raises(DataError, match="do not have exactly one class"):
        evaluate(scores_of(labels), labels, multiclass=True)


def test_findings_that_few_patients_carry_have_no_macro_interval():
    rng = np.random.default_rng(11)
    truth = np.zeros((40, 2))
    truth[:2] = 1
    ids = [f"film{i}" for i in range(40)]
    one, other = (Scores(rng.normal(size=(40, 2)), "logit", ids, ("A", "B")) for _ in range(2))
    labels = Labels(truth, ids, ("A", "B"))
    found = evaluate(one, labels, others={"other": other}, min_positives=2, replicates=20, progress=False)
    for measure in ("auroc", "average_precision"):
        assert not found.main.measures[measure].macro.has_ends
        assert not found.method("other").measures[measure].difference.has_ends
    assert any(note.startswith("no interval of means over classes") and "2 patients" in note for note in found.notes)
    truth[2:8, 0] = 1
    more = evaluate(one, Labels(truth, ids, ("A", "B")), min_positives=2, replicates=20, progress=False)
    assert all(more.main.measures[measure].macro.has_ends for measure in ("auroc", "average_precision"))
    assert not any(note.startswith("no interval of means") for note in more.notes)


def test_metadata_explain_no_mean_that_few_patients_carry():
    rng = np.random.default_rng(0)
    truth = np.zeros((300, 6))
    truth[:4] = 1
    pulls = AurocPulls.of(rng.normal(size=(300, 6)) + 3 * truth, truth)
    labels = Labels(truth, [f"film{i}" for i in range(300)], tuple("ABCDEF"))
    row = auroc_rows({"metadata": pulls}, labels, labels.classes)["metadata"]
    assert MetadataAlone.of(pulls, row.classes).explain_macro(Interval(0.8, 0.7, 0.9))
    alone = MetadataAlone.of(pulls, row.classes, row.macro)
    assert not alone.macro_above
    assert not alone.explain_macro(Interval(0.8, 0.7, 0.9))


def test_calibration_errors_of_few_patients_have_no_interval():
    rng = np.random.default_rng(0)
    for people, ends in ((50, (False, False)), (80, (True, False)), (130, (True, True))):
        said = rng.uniform(0.2, 0.8, size=(people, 2))
        ids = [f"film{i}" for i in range(people)]
        labels = Labels((rng.random(said.shape) < said).astype(float), ids, ("A", "B"))
        scores = Scores(said, "probability", ids, ("A", "B"))
        found = evaluate(scores, labels, min_positives=5, replicates=20, progress=False)
        measured = found.main.measures["ece"]
        assert (measured.classes["A"].has_ends, measured.macro.has_ends) == ends
        assert any("calibration errors of fewer than 60" in note for note in found.notes) == (people < 120)


def test_an_evaluation_needs_a_resample():
    scores = Scores(np.zeros((2, 1)), "logit", ["a", "b"], ("A",))
    with pytest.raises(InputError, match="at least 1 resample"):
        evaluate(scores, Labels(np.array([[0.0], [1.0]]), ["a", "b"], ("A",)), replicates=0)


def test_macro_average_precision_of_two_items_a_class_has_no_interval():
    labels = Labels(np.eye(8)[np.arange(16) // 2], [f"i{i}" for i in range(16)], tuple("abcdefgh"))
    scores, other = scores_of(labels), scores_of(labels, seed=2)
    found = evaluate(scores, labels, others={"other": other}, min_positives=2, replicates=FEW)
    for method in found.methods:
        measure = method.measures["average_precision"]
        assert not has_ends(measure.macro)
        assert measure.difference is None or not has_ends(measure.difference)
    assert has_ends(found.main.macro)
    assert "no interval of macro average precision: classes have 2.0 items on average" in notes_of(found)


def test_measures_of_probabilities_of_four_patients_have_no_interval_either():
    labels = labels_of(40, a_patient=10)
    probable = Scores(1 / (1 + np.exp(-scores_of(labels).values)), "probability", labels.ids, CLASSES)
    other = Scores(1 - probable.values, "probability", labels.ids, CLASSES)
    result = evaluate(probable, labels, others={"other": other}, min_positives=1, replicates=FEW)
    assert [one.measures["brier"].macro.has_ends for one in result.methods[:2]] == [False, False]
    assert not result.method("other").measures["brier"].difference.has_ends
    assert not any("to be trusted" in note for note in result.notes)
