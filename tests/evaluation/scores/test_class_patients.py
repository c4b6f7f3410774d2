"""Patients of classes: what is counted, which classes are judged, and what is said of few."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit import Labels
from stitchkit.core.least_patients import LEAST_PATIENTS, MEAN_PATIENTS, MIN_POSITIVES, WIDE_BELOW
from stitchkit.evaluation.scores.class_patients import (
    carriers,
    count_class_patients,
    judged_classes,
    note_on_carriers,
    note_on_precision,
    notes_on_patients,
    positive_patients,
    where_carried,
    where_enough,
)
from stitchkit.metrics.bootstrap import Interval

NAN = float("nan")


def labels_of(values, groups=None, classes=("Edema",)):
    values = np.asarray(values, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    return Labels(values, [f"i{i}" for i in range(len(values))], classes, groups)


def test_patients_are_counted_once_and_on_both_sides_if_they_have_both():
    numbers = count_class_patients(labels_of([1, 1, 0, 0, NAN, 1], ["a", "a", "a", "b", "c", "d"]))["Edema"]
    assert (numbers.items, numbers.patients, numbers.known) == ((3, 2), (2, 2), True)
    assert str(numbers) == "3 positives and 2 negatives, of 2 and 2 patients"
    assert numbers.fewer == "2 positive patients"


def test_items_are_patients_where_these_are_not_known():
    numbers = count_class_patients(labels_of([1, 1, 0, NAN]))["Edema"]
    assert (numbers.items, numbers.patients) == ((2, 1), (2, 1))
    assert str(numbers) == "2 positives and 1 negative"
    assert numbers.fewer == "1 negative"
    assert positive_patients(labels_of([1, 0])) == {}


def test_items_count_only_in_parts_that_have_both():
    truth = labels_of([1, 1, 0, 1, 0, 0], ["a", "b", "c", "d", "e", "f"])
    numbers = count_class_patients(truth, np.asarray([0, 0, 0, 1, 2, 2]))["Edema"]
    assert (numbers.items, numbers.patients) == ((2, 1), (2, 1))
    assert "in folds that have both" in str(numbers)


@pytest.mark.parametrize("side", [0, 1])
def test_classes_need_enough_patients_on_both_sides(side):
    values = np.full(200, float(1 - side))
    values[:20] = side  # of ten patients
    truth = labels_of(values, [f"p{i // 2}" for i in range(200)])
    assert judged_classes(truth, 10)[0] == ["Edema"]
    judged, not_judged, positives = judged_classes(truth, 11)
    assert (judged, positives["Edema"]) == ([], 20 if side else 180)
    assert not_judged["Edema"].endswith("patients, fewer than 11")


def test_nothing_is_judged_without_both_kinds_even_at_zero():
    assert judged_classes(labels_of([1, 1, 1]), 0)[0] == []
    assert judged_classes(labels_of([1, 0, NAN]), 0)[0] == ["Edema"]


def test_thresholds_are_in_order():
    assert 2 < LEAST_PATIENTS < MIN_POSITIVES < WIDE_BELOW


@pytest.mark.parametrize(
    ("patients", "ends", "words"),
    [
        (1, False, ["no interval where", "no interval of macro AUROC"]),
        (2, False, ["no interval where"]),
        (LEAST_PATIENTS - 1, False, ["no interval where"]),
        (LEAST_PATIENTS, True, ["intervals of classes"]),
        (WIDE_BELOW - 1, True, ["intervals of classes"]),
        (WIDE_BELOW, True, []),
    ],
)
def test_few_patients_have_no_interval_or_a_note(patients, ends, words):
    numbers = count_class_patients(labels_of(np.arange(100) < 3 * patients, [f"p{i // 3}" for i in range(100)]))
    notes = notes_on_patients(numbers, ["Edema"])
    assert [note.startswith(word) for note, word in zip(notes, words, strict=True)] == [True] * len(words)
    assert all(f"Edema ({patients} positive patient" in note for note in notes)
    assert len(note_on_precision(numbers, ["Edema"])) == (patients < MEAN_PATIENTS)
    found = where_enough({"Edema": Interval(0.8, 0.6, 0.9)}, numbers)["Edema"]
    assert found.value == 0.8
    assert found.has_ends == ends
    assert str(found) == ("0.800 [0.600, 0.900]" if ends else "0.800")
    assert found.signed == ("+0.800 [+0.600, +0.900]" if ends else "+0.800")


def dominated(share, patients=10, side=1):
    """A class with ten images of each of ten patients of one side, but for one who holds ``share`` of these images."""
    most = round(share / (1 - share) * 10 * (patients - 1))
    groups = np.repeat([f"p{i}" for i in range(patients + 50)], [most] + [10] * (patients + 49))
    values = np.full(len(groups), 1.0 - side)
    values[: most + 10 * (patients - 1)] = side
    return labels_of(values, groups)


def test_the_effective_number_counts_equal_patients_as_what_they_are():
    numbers = count_class_patients(dominated(0.1))["Edema"]
    assert numbers.effective == pytest.approx((10, 50))
    assert count_class_patients(labels_of([1, 1, 0, NAN]))["Edema"].effective == (2, 1)
    assert count_class_patients(labels_of([1, 1]))["Edema"].effective == (2, 0)


@pytest.mark.parametrize("side", [0, 1])
def test_a_patient_with_most_items_of_a_side_is_not_one_of_ten(side):
    kind = "positive" if side else "negative"
    for share, ends in ((0.1, True), (0.5, True), (0.6, False), (0.9, False)):
        numbers = count_class_patients(dominated(share, side=side))
        count = 1 / (share**2 + (1 - share) ** 2 / 9)
        assert min(numbers["Edema"].effective) == pytest.approx(count, rel=0.02)
        assert numbers["Edema"].fewest == 10
        found = where_enough({"Edema": Interval(0.8, 0.6, 0.9)}, numbers)["Edema"]
        assert found.has_ends == ends
        (note,) = notes_on_patients(numbers, ["Edema"])
        assert ("intervals of classes" in note) == ends
        if not ends:
            assert note.startswith("no interval where few patients have most positives or negatives of a class")
            assert f"Edema (10 {kind} patients count as {min(numbers['Edema'].effective):.1f})" in note
            assert "keep fewer items of those with most" in note


def test_a_class_of_few_patients_is_named_once():
    numbers = count_class_patients(dominated(0.9, patients=4))
    (note,) = notes_on_patients(numbers, ["Edema"])
    assert "fewer than 5" in note


def test_a_mean_over_classes_that_few_patients_hold_is_carried_by_none():
    most, equal = dominated(0.8), dominated(0.1)
    assert carriers(most, ["Edema"]) == 0
    assert carriers(equal, ["Edema"]) == 10
    both = Labels(np.repeat(most.values, 2, axis=1), most.ids, ("Edema", "Mass"), most.groups)
    assert carriers(both, ["Edema", "Mass"]) == 0
    both.values[:, 1] = np.arange(len(most)) % 2
    assert carriers(both, ["Edema", "Mass"]) >= 10
    assert note_on_carriers(0, "means") == []


def test_classes_that_are_not_judged_get_no_note():
    assert notes_on_patients(count_class_patients(labels_of(np.arange(50) < 3)), []) == []


def test_a_mean_is_carried_by_the_patients_of_all_its_classes():
    values = np.zeros((12, 2))
    values[:3, 0], values[2:6, 1] = 1, 1
    truth = labels_of(values, classes=("Edema", "Mass"))
    assert carriers(truth, ["Edema"]) == 3
    assert carriers(truth, ["Edema", "Mass"]) == 6
    people = [f"p{min(i, 5) // 2}" for i in range(12)]  # the first six items are of three patients
    assert carriers(labels_of(values, people, ("Edema", "Mass")), ["Edema", "Mass"]) == 3


def test_negatives_may_be_carried_by_fewer_than_positives():
    values = np.ones((12, 2))
    values[:2] = 0
    assert carriers(labels_of(values, classes=("Edema", "Mass")), ["Edema", "Mass"]) == 2


def test_unknown_labels_carry_nothing():
    assert carriers(labels_of([1, NAN, NAN, 1, 0, 0, 0]), ["Edema"]) == 2


def test_items_of_a_fold_with_one_kind_carry_nothing():
    truth = labels_of([1, 1, 0, 1, 0, 0, 0])
    folds = np.asarray([0, 0, 0, 1, 2, 2, 2])
    assert (carriers(truth, ["Edema"]), carriers(truth, ["Edema"], folds)) == (3, 1)


@pytest.mark.parametrize(("people", "ends"), [(1, False), (LEAST_PATIENTS - 1, False), (LEAST_PATIENTS, True)])
def test_a_mean_that_few_patients_carry_has_no_ends_and_a_note(people, ends):
    mean = Interval(0.8, 0.6, 0.9)
    assert where_carried(mean, people) == (
        mean if ends else (0.8, pytest.approx(NAN, nan_ok=True), pytest.approx(NAN, nan_ok=True))
    )
    assert [f"{people} patient" in note for note in note_on_carriers(people, "means")] == [True] * (not ends)
