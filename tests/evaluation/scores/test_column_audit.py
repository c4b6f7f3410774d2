"""Columns that name rows or tell the label are named before anything is fitted."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core.errors import LeakageError
from stitchkit.core.scores import Labels
from stitchkit.core.table_features import TableRows
from stitchkit.evaluation.scores.column_audit import check_columns, notes_on_codes, suspicious_columns

N = 60
RNG = np.random.default_rng(0)
IDS = [f"r{i}" for i in range(N)]
TRUTH = np.eye(3)[np.arange(N) % 3]
PATIENTS = [f"p{i // 2}" for i in range(N)]
LABELS = Labels(TRUTH, IDS, ("nev", "mel", "bcc"), PATIENTS)


def found(**columns):
    return suspicious_columns(TableRows(IDS, columns), LABELS)


def test_the_label_itself_is_named():
    assert "tells the label" in found(dx=[LABELS.classes[i % 3] for i in range(N)])["dx"]


def test_a_finer_label_is_named():
    fine = [f"{LABELS.classes[i % 3]}-{i // 3 % 2}" for i in range(N)]
    assert "tells the label" in found(histology=fine)["histology"]


def test_a_flag_of_one_class_is_named():
    assert "'mel'" in found(excised=TRUTH[:, 1])["excised"]


def test_ids_are_named_and_distinct_measurements_are_not():
    assert "as ids have" in found(case=[f"c{i}" for i in range(N)])["case"]
    assert "as ids have" in found(number=np.arange(1000, 1000 + N))["number"]
    assert found(volume=RNG.normal(size=N)) == {}


def test_names_of_patients_are_named():
    assert "30 patients" in found(owner=[f"name {one}" for one in PATIENTS])["owner"]


def test_measurements_are_no_names_of_patients_whether_these_have_one_row_or_two():
    """A value of its own for every patient is what a measurement of one decimal has."""
    height = np.repeat(np.round(RNG.normal(170, 9, N // 2), 4), 2)
    assert found(height=height) == {}
    alone = Labels(TRUTH, IDS, LABELS.classes, IDS)
    assert suspicious_columns(TableRows(IDS, {"bmi": np.round(RNG.normal(22, 3, N), 4)}), alone) == {}
    assert "30 patients" in found(number=np.repeat(np.arange(N // 2), 2))["number"]  # whole numbers may be names


def test_few_whole_numbers_are_said_to_be_read_as_numbers():
    numbers = {"scanner": RNG.integers(1, 5, N), "age": RNG.integers(20, 90, N), "flag": RNG.integers(0, 2, N)}
    others = {"grade": RNG.choice(["1", "2", "3"], N), "dose": RNG.choice([0.5, 1.0, 1.5], N)}
    rows = TableRows(IDS, numbers | others)
    (note,) = notes_on_codes(rows)
    assert note.startswith("column 'scanner' holds 4 different whole numbers, read as numbers")


def test_ordinary_columns_pass():
    assert (
        found(age=RNG.integers(20, 90, N), sex=RNG.choice(["f", "m", ""], N), site=RNG.choice(list("abcdef"), N)) == {}
    )


def test_few_rows_prove_nothing():
    rows = TableRows(IDS[:6], {"sex": ["f", "m", "m", "f", "m", "m"]})
    assert suspicious_columns(rows, LABELS) == {}


def test_the_error_names_all_of_them_and_permission_makes_it_a_note():
    rows = TableRows(IDS, {"case": [f"c{i}" for i in range(N)], "dx": [LABELS.classes[i % 3] for i in range(N)]})
    with pytest.raises(
        LeakageError, match=r"'case' has a different value .*; column 'dx' tells the label .* Leave them"
    ):
        check_columns(rows, LABELS)
    assert [note[:16] for note in check_columns(rows, LABELS, allow=True)] == ["LEAKAGE: column "] * 2
