"""Cells of operating thresholds: Youden's, and that of a fixed sensitivity, chosen on few positive patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

import stitchkit as sk
import stitchkit.metrics.degrees_of_freedom as degrees
import stitchkit.metrics.threshold_intervals as intervals
from benchmarks.coverage.cells import Bar, Cell, Ends
from benchmarks.coverage.films import SHAPES, Films, Sample, move_for
from benchmarks.coverage.unequal_films import Held
from stitchkit.metrics.threshold_intervals import patients_for_sensitivity

SOURCES = (
    *(Path(__file__).parent / name for name in ("thresholds.py", "cells.py", "films.py", "unequal_films.py")),
    Path(intervals.__file__),
    Path(degrees.__file__),
)
THRESHOLD = "threshold"


def best_of(films: Films) -> float:
    """Youden's threshold of the population, on a grid of 100,001 points."""
    move, back = move_for(films.auroc, films.shape, films.spread), SHAPES[films.shape][1]
    grid = np.linspace(-10, 20, 100_001)
    negatives, positives = ndtr(back(grid)), ndtr(back((grid - move) / films.spread))
    return float(grid[np.argmax(negatives - positives)])


def mirrored(sample: Sample) -> Sample:
    """The sample with labels and scores turned round: few negatives instead of few positives."""
    return Sample(1 - sample.labels, tuple(-one for one in sample.scores), sample.groups, sample.parts)


def trial_of(films: Films, at: float | None, mirror: bool = False) -> Callable[[np.random.Generator], dict[str, Ends]]:
    """Draws one sample and the interval of its threshold."""
    move = move_for(films.auroc, films.shape, films.spread)
    truth = (-1 if mirror else 1) * (best_of(films) if at is None else move + float(ndtri(1 - at)))

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        sample = mirrored(films.draw(rng)) if mirror else films.draw(rng)
        ids = [f"image {row}" for row in range(len(sample.groups))]
        found = sk.choose_thresholds(
            sk.Scores(sample.scores[0], "logit", ids, ("class",)),
            sk.Labels(sample.labels, ids, ("class",), sample.groups),
            rule="youden" if at is None else "sensitivity", at=at, min_positives=5, replicates=400,
            seed=int(rng.integers(2**31)), progress=False,
        )  # fmt: skip
        return {THRESHOLD: Ends(found.low[0], found.high[0], truth)}

    return trial


def _cell(k: int, auroc: float, at: float | None) -> Cell:
    rule = "Youden" if at is None else f"sensitivity {at:g}"
    bars = {THRESHOLD: Bar(91)} if k >= patients_for_sensitivity(at) else {}
    return Cell(
        f"{rule}, {k} positive patients of 120, AUROC {auroc:.2f}", trial_of(Films((k,), auroc), at), bars, 0.15
    )


def _hard() -> list[Cell]:
    """Youden's threshold of groups that hardly overlap, and of patients of whom one has half of the positives."""
    kinds = {
        "one image a patient": {"alone": True},
        "several images": {},
        "t3 scores, one image a patient": {"alone": True, "shape": "t3"},
        "positives half as spread, one image a patient": {"alone": True, "spread": 0.5},
        "negatives are the few, one image a patient": {"alone": True},
    }
    cells = [
        Cell(
            f"Youden, {k} positive patients of 120, AUROC 0.97, {name}",
            trial_of(Films((k,), 0.97, **changed), None, name.startswith("negatives")),
            {THRESHOLD: Bar(91)},
            0.15,
        )
        for k in (20, 12, 10, 8, 5)
        for name, changed in kinds.items()
    ]
    held = {k: Held((k,), 0.9, held=0.5) for k in (40, 12)}
    cells += [
        Cell(
            f"Youden, {k} positive patients, one with half of the positives",
            trial_of(one, None),
            {THRESHOLD: Bar(91)},
            0.15,
        )
        for k, one in held.items()
    ]
    return [
        *cells,
        Cell(
            "sensitivity 0.9, 40 positive patients, one with half of the positives",
            trial_of(held[40], 0.9),
            effort=0.15,
        ),
    ]


CELLS = (
    *(
        _cell(k, auroc, at)
        for at in (None, 0.9, 0.8)
        for k in (40, 20, 12)
        for auroc in ((0.75, 0.9) if at is None else (0.9,))
    ),
    *_hard(),
)
