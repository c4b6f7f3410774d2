"""Numbers of patients, with one rule for rows whose patients are not known: each counts as one of its own."""

from __future__ import annotations

from typing import overload

import numpy as np

from stitchkit.core.wording import counted


@overload
def count_patients(groups: np.ndarray) -> int: ...
@overload
def count_patients(groups: None) -> None: ...
@overload
def count_patients(groups: np.ndarray | None) -> int | None: ...
def count_patients(groups: np.ndarray | None) -> int | None:
    """Number of patients among ``groups`` (n,); None where patients are not known.

    Examples
    --------
    >>> count_patients(np.asarray(["p", "q", "p"])), count_patients(None)
    (2, None)
    """
    return None if groups is None else len(np.unique(groups))


def patients_or_rows(groups: np.ndarray | None, n: int) -> int:
    """Number of patients among ``groups`` (n,); of the ``n`` rows where patients are not known.

    Examples
    --------
    >>> patients_or_rows(np.asarray(["p", "q", "p"]), 3), patients_or_rows(None, 3)
    (2, 3)
    """
    return n if groups is None else count_patients(groups)


def patient_of_each(groups: np.ndarray | None, n: int) -> np.ndarray:
    """Patient (n,) of each of ``n`` rows; a number of its own where patients are not known.

    Examples
    --------
    >>> patient_of_each(None, 3).tolist()
    [0, 1, 2]
    """
    return np.arange(n) if groups is None else groups


def patients_in_words(patients: int | None) -> str:
    """Number of patients with its noun, or that they are not known.

    Examples
    --------
    >>> patients_in_words(3), patients_in_words(None)
    ('3 patients', 'patients not known')
    """
    return "patients not known" if patients is None else counted(patients, "patient")
