"""Numbers of patients, known and not known."""

from __future__ import annotations

import numpy as np

from stitchkit.core.patients import count_patients, patient_of_each, patients_in_words, patients_or_rows

GROUPS = np.asarray(["p", "q", "p"])


def test_patients_are_counted_once():
    assert count_patients(GROUPS) == patients_or_rows(GROUPS, 3) == 2
    assert patient_of_each(GROUPS, 3) is GROUPS


def test_where_patients_are_not_known_each_row_is_one():
    assert count_patients(None) is None
    assert patients_or_rows(None, 3) == 3
    assert patient_of_each(None, 3).tolist() == [0, 1, 2]


def test_patients_in_words():
    assert [patients_in_words(n) for n in (None, 1, 1200)] == ["patients not known", "1 patient", "1,200 patients"]
