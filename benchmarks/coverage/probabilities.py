"""Cells of Brier scores and of calibration errors: few patients, calibrated and not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import expit, logit, ndtr

import stitchkit.metrics.probability_intervals as intervals
from benchmarks.coverage.cells import Bar, Cell, Ends
from stitchkit.evaluation.scores.results import BRIER, ECE
from stitchkit.evaluation.scores.tables import interval_of
from stitchkit.metrics.bootstrap import patient_counts
from stitchkit.metrics.reliability import Misses, reliability_bins

SOURCES = (
    *(Path(__file__).parent / name for name in ("probabilities.py", "cells.py")),
    Path(intervals.__file__),
)
RESAMPLES = 400
IMAGES = 4  # of a patient: 1 to 4
BAR = Bar(91)


@dataclass(frozen=True)
class Said:
    """Patients with probabilities; the logit of what is true is ``shift + slope`` times that of what is said."""

    patients: int
    shift: float = 0.0
    slope: float = 1.0
    centre: float = -1.0

    def true(self, said: np.ndarray) -> np.ndarray:
        return np.asarray(expit(self.shift + self.slope * logit(said)))

    def draw(self, rng: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities, labels and patients (n,); half of what is not known of a label is the patient's."""
        groups = np.repeat(np.arange(patients), rng.integers(1, IMAGES + 1, patients))

        def normal() -> np.ndarray:
            return (rng.normal(size=patients)[groups] + rng.normal(size=len(groups))) / 2**0.5

        said = expit(self.centre + 1.3 * normal())
        return said, (ndtr(normal()) < self.true(said)).astype(float), groups


@cache
def truths_of(population: Said) -> tuple[float, float]:
    """Brier score and calibration error, over ten bins, of 200,000 patients."""
    said, _, _ = population.draw(np.random.default_rng(6), 200_000)
    true, bins = population.true(said), reliability_bins(said)
    brier = float(np.mean(true * (1 - said) ** 2 + (1 - true) * said**2))
    return brier, float(np.abs(np.bincount(bins, said - true)).sum() / len(said))


def said_trial(population: Said) -> Callable[[np.random.Generator], dict[str, Ends]]:
    """Draws one sample and the intervals of its Brier score and calibration error."""

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        said, seen, groups = population.draw(rng, population.patients)
        missed, once = Misses.of(said, seen), np.ones((1, len(said)))
        counts = np.concatenate(list(patient_counts(groups, RESAMPLES, int(rng.integers(2**31)))))
        brier = interval_of(BRIER)(float(missed.brier(once)[0]), missed.brier(counts))
        error = interval_of(ECE)(float(missed.calibration_error(once)[0]), missed.calibration_error(counts))
        truth = truths_of(population)
        return {BRIER: Ends(brier.low, brier.high, truth[0]), ECE: Ends(error.low, error.high, truth[1])}

    return trial


KINDS = {
    "perfect": (0.0, 1.0),
    "a little too low": (0.3, 1.0),
    "too low": (0.8, 1.0),
    "too sure": (0.0, 0.5),
    "too unsure": (-0.4, 2.0),
}


def _said() -> list[Cell]:
    return [
        Cell(
            f"{n} patients, {share} positive, {kind}",
            said_trial(Said(n, shift, slope, centre)),
            {BRIER: BAR, ECE: BAR},
            effort=0.2,
        )
        for n in (60, 120, 500)
        for share, centre in (("a third", -1.0), ("a tenth", -2.5))
        for kind, (shift, slope) in KINDS.items()
    ]


CELLS = tuple(_said())
