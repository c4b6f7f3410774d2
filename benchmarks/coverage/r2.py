"""Cells of R2: a fixed map, errors of one size or of many, and few patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import stitchkit.metrics.r2_intervals as intervals
from benchmarks.coverage.cells import Bar, Cell, Ends
from stitchkit.metrics.bootstrap import patient_counts, percentile_interval
from stitchkit.metrics.r2_intervals import r2_interval

SOURCES = (*(Path(__file__).parent / name for name in ("r2.py", "cells.py")), Path(intervals.__file__))
DIMENSIONS, SIGNAL = 8, 2.0
R2, PERCENTILES = "R2", "percentiles of resamples"


def trial_of(patients: int, images: int, tails: float) -> Callable[[np.random.Generator], dict[str, Ends]]:
    """Draws pairs of a map whose errors have the scale exp(``tails`` z), z of the patient, and both intervals."""
    truth = 1 - np.exp(2 * tails**2) / (np.exp(2 * tails**2) + SIGNAL**2)

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        patient = np.repeat(np.arange(patients), rng.integers(1, images + 1, size=patients))
        shape = (len(patient), DIMENSIONS)
        own = np.sqrt(0.5) * (rng.normal(size=(patients, DIMENSIONS))[patient] + rng.normal(size=shape))
        error = np.exp(tails * rng.normal(size=patients))[patient, None] * own
        target = SIGNAL * rng.normal(size=shape) + error
        squares = np.sum(error**2, axis=1), np.sum((target - target.mean(axis=0)) ** 2, axis=1)
        missed, spread = (np.bincount(patient, one, patients) for one in squares)
        found = {R2: Ends(*r2_interval(missed, spread)[1:], truth)}
        counts = np.concatenate([*patient_counts(np.arange(patients), 200, int(rng.integers(2**31)))])
        draws = 1 - (counts @ missed) / (counts @ spread)
        usual = percentile_interval(1 - missed.sum() / spread.sum(), draws)
        return {**found, PERCENTILES: Ends(usual.low, usual.high, truth)}

    return trial


def _cell(patients: int, images: int, tails: float) -> Cell:
    held = "one pair" if images == 1 else f"1 to {images} pairs"
    name = f"{patients} patients, {held} a patient, errors of scale exp({tails:g} z)"
    return Cell(name, trial_of(patients, images, tails), {R2: Bar(91)} if tails < 0.8 else {}, 0.5)


CELLS = tuple(
    _cell(patients, images, tails) for tails in (0.0, 0.5, 0.8) for images in (1, 4) for patients in (10, 20, 40, 100)
)
