"""Cells of operating thresholds: Youden's, and that of a fixed sensitivity, chosen on few positive patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import ndtri

import stitchkit as sk
import stitchkit.metrics.threshold_intervals as intervals
from benchmarks.coverage.cells import Bar, Cell, Ends
from benchmarks.coverage.films import Films, move_for
from stitchkit.metrics.threshold_intervals import patients_for_sensitivity

SOURCES = (
    *(Path(__file__).parent / name for name in ("thresholds.py", "cells.py", "films.py")),
    Path(intervals.__file__),
)
THRESHOLD = "threshold"


def trial_of(films: Films, at: float | None) -> Callable[[np.random.Generator], dict[str, Ends]]:
    """Draws one sample and the interval of its threshold."""
    move = move_for(films.auroc, films.shape, films.spread)
    truth = move / 2 if at is None else move + float(ndtri(1 - at))

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        sample = films.draw(rng)
        ids = [f"image {row}" for row in range(len(sample.groups))]
        found = sk.choose_thresholds(
            sk.Scores(sample.scores[0], "logit", ids, ("class",)),
            sk.Labels(sample.labels, ids, ("class",), sample.groups),
            rule="youden" if at is None else "sensitivity", at=at, replicates=400, seed=int(rng.integers(2**31)),
            progress=False,
        )  # fmt: skip
        return {THRESHOLD: Ends(found.low[0], found.high[0], truth)}

    return trial


def _cell(k: int, auroc: float, at: float | None) -> Cell:
    rule = "Youden" if at is None else f"sensitivity {at:g}"
    bars = {THRESHOLD: Bar(91)} if k >= patients_for_sensitivity(at) else {}
    return Cell(
        f"{rule}, {k} positive patients of 120, AUROC {auroc:.2f}", trial_of(Films((k,), auroc), at), bars, 0.15
    )


CELLS = tuple(
    _cell(k, auroc, at)
    for at in (None, 0.9, 0.8)
    for k in (40, 20, 12)
    for auroc in ((0.75, 0.9) if at is None else (0.9,))
)
