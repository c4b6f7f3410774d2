"""Cells of R2 and of differences of R2: fixed maps, errors of one size or of many, and few patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import stitchkit.metrics.r2_intervals as intervals
from benchmarks.coverage.cells import Bar, Cell, Ends
from stitchkit.metrics.bootstrap import patient_counts, percentile_interval
from stitchkit.metrics.r2_intervals import r2_difference, r2_interval

SOURCES = (*(Path(__file__).parent / name for name in ("r2.py", "cells.py")), Path(intervals.__file__))
DIMENSIONS, SIGNAL = 8, 2.0
R2, DIFFERENCE, PERCENTILES = "R2", "difference", "percentiles of resamples"
Trial = Callable[[np.random.Generator], dict[str, Ends]]


def trial_of(patients: int, images: int, tails: float) -> Trial:
    """Draws pairs of a map whose errors have the scale exp(``tails`` z), z of the patient, and both intervals."""
    truth = 1 - np.exp(2 * tails**2) / (np.exp(2 * tails**2) + SIGNAL**2)

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        patient = np.repeat(np.arange(patients), rng.integers(1, images + 1, size=patients))
        error = _errors(rng, patient, tails * rng.normal(size=patients))
        missed, spread = _sums(patient, error, _centred(rng, error))
        draws = 1 - _resampled(rng, missed, spread)
        usual = percentile_interval(1 - missed.sum() / spread.sum(), draws)
        return {R2: Ends(*r2_interval(missed, spread)[1:], truth), PERCENTILES: Ends(usual.low, usual.high, truth)}

    return trial


def difference_trial_of(patients: int, images: int, tails: float, larger: float, alike: float) -> Trial:
    """Draws pairs of two maps, the errors of the second ``larger`` times as large, and both intervals.

    The errors of the two correlate ``alike``, and so do the logarithms of their sizes.
    """
    size = np.exp(2 * tails**2)
    truth = (larger**2 - 1) * size / (size + SIGNAL**2)

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        patient = np.repeat(np.arange(patients), rng.integers(1, images + 1, size=patients))
        z, fresh = rng.normal(size=(2, patients))
        fresh = alike * z + np.sqrt(1 - alike**2) * fresh
        own, others = (_errors(rng, patient, np.zeros(patients)) for _ in range(2))
        others = alike * own + np.sqrt(1 - alike**2) * others
        one, other = (np.exp(tails * each)[patient, None] * unit for each, unit in ((z, own), (fresh, others)))
        missed, theirs, spread = _sums(patient, one, larger * other, _centred(rng, one))
        usual = percentile_interval((theirs - missed).sum() / spread.sum(), _resampled(rng, theirs - missed, spread))
        ours = r2_difference(missed, theirs, spread)
        return {DIFFERENCE: Ends(*ours[1:], truth), PERCENTILES: Ends(usual.low, usual.high, truth)}

    return trial


def _errors(rng: np.random.Generator, patient: np.ndarray, logarithm: np.ndarray) -> np.ndarray:
    """Errors (n, d), half of each the patient's, times the exponential of ``logarithm`` (patients,)."""
    shared = rng.normal(size=(len(logarithm), DIMENSIONS))[patient]
    errors: np.ndarray = np.sqrt(0.5) * (shared + rng.normal(size=(len(patient), DIMENSIONS)))
    return np.exp(logarithm)[patient, None] * errors


def _centred(rng: np.random.Generator, error: np.ndarray) -> np.ndarray:
    target = SIGNAL * rng.normal(size=error.shape) + error
    return np.asarray(target - target.mean(axis=0))


def _sums(patient: np.ndarray, *rows: np.ndarray) -> list[np.ndarray]:
    """Squared lengths of each set of rows (n, d), added up by patient."""
    return [np.bincount(patient, np.sum(each**2, axis=1)) for each in rows]


def _resampled(rng: np.random.Generator, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Ratio of two sums in resamples of patients."""
    counts = np.concatenate([*patient_counts(np.arange(len(above)), 200, int(rng.integers(2**31)))])
    return np.asarray((counts @ above) / (counts @ below))


def _held(patients: int, images: int) -> str:
    return f"{patients} patients, {'one pair' if images == 1 else f'1 to {images} pairs'} a patient"


def _cell(patients: int, images: int, tails: float) -> Cell:
    name = f"{_held(patients, images)}, errors of scale exp({tails:g} z)"
    return Cell(name, trial_of(patients, images, tails), {R2: Bar(91)} if tails < 0.8 else {}, 0.5)


def _difference_cell(patients: int, tails: float, larger: float, alike: float) -> Cell:
    name = f"two maps, {_held(patients, 4)}, scale exp({tails:g} z), second {larger:g} times, correlated {alike:g}"
    trial = difference_trial_of(patients, 4, tails, larger, alike)
    return Cell(name, trial, {DIFFERENCE: Bar(91)} if tails < 0.8 else {}, 0.5, (DIFFERENCE,))


CELLS = (
    *(
        _cell(patients, images, tails)
        for tails in (0.0, 0.5, 0.8)
        for images in (1, 4)
        for patients in (10, 20, 40, 100)
    ),
    *(
        _difference_cell(patients, tails, *maps)
        for tails in (0.0, 0.5, 0.8)
        for maps in ((1.0, 0.9), (1.0, 0.3), (1.4, 0.9), (2.0, 0.5))
        for patients in (10, 20, 40, 100)
    ),
)
