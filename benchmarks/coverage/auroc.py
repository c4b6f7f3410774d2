"""Cells of AUROC, its mean over classes, and paired differences: patients of unequal sizes, few of them positive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import stitchkit.metrics.auroc_intervals as intervals
import stitchkit.metrics.degrees_of_freedom as degrees
from benchmarks.coverage.cells import Bar, Cell, Ends
from benchmarks.coverage.films import Films
from benchmarks.coverage.rivals import rivals_trial
from benchmarks.coverage.unequal_films import Held
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_differences,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)

SOURCES = (
    *(Path(__file__).parent / name for name in ("auroc.py", "cells.py", "films.py", "unequal_films.py", "rivals.py")),
    Path(intervals.__file__),
    Path(degrees.__file__),
)
ONE, MACRO, DIFFERENCE, MACRO_DIFFERENCE = "AUROC", "macro AUROC", "difference", "macro difference"
MIXED = (40, 30, 20, 12, 8)
FOURTEEN = (40, 36, 32, 28, 24, 20, 18, 16, 14, 12, 10, 8, 8, 8)
RARE = 12  # positive patients from which the first bar counts; the second from 8


def trial_of(films: Films) -> Callable[[np.random.Generator], dict[str, Ends]]:
    """Draws one sample and its intervals: of the class or of the mean over classes."""

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        sample = films.draw(rng)
        pulls = [AurocPulls.of(one, sample.labels, sample.groups, sample.parts) for one in sample.scores]
        single = len(films.positives) == 1
        found, found_of = auroc_intervals(pulls[0])[0] if single else macro_auroc_interval(pulls[0]), {}
        found_of[ONE if single else MACRO] = Ends(found.low, found.high, films.truths[0])
        if len(pulls) == 2:
            apart = (auroc_differences(*pulls)[0] if single else macro_auroc_difference(*pulls)).interval
            found_of[DIFFERENCE if single else MACRO_DIFFERENCE] = Ends(
                apart.low, apart.high, films.truths[0] - films.truths[1]
            )
        return found_of

    return trial


def cell_of(name: str, films: Films, barred: bool = True) -> Cell:
    """A cell with the bar of its number of positive patients."""
    fewest = min(films.positives)
    bar = Bar(93, 4) if fewest >= RARE else Bar(91) if fewest >= 8 and len(films.positives) == 1 else None
    if len(films.positives) > 1:
        bar = Bar(93, 4) if np.median(films.positives) >= RARE else Bar(91)
    single = len(films.positives) == 1
    quantities = (ONE, DIFFERENCE) if single else (MACRO, MACRO_DIFFERENCE)
    bars = dict.fromkeys(quantities, bar) if bar is not None and barred else {}
    return Cell(name, trial_of(films), bars, two_sided=quantities[1:])


def _single() -> list[Cell]:
    return [
        cell_of(
            f"{k} positive patients of 120, AUROC {auroc:.2f}, {'images' if by_image else 'patients'} labelled",
            Films((k,), auroc, by_image=by_image),
        )
        for k in (40, 20, 12, 8, 5, 3)
        for auroc in (0.7, 0.85, 0.95, 0.97)
        for by_image in (False, True)
    ]


def _shapes() -> list[Cell]:
    cells = []
    for k in (20, 12, 8):
        base = Films((k,), 0.85)
        changed = {
            "lognormal scores": replace(base, shape="lognormal"),
            "t3 scores": replace(base, shape="t3"),
            "left-skewed scores": replace(base, shape="left-skewed"),
            "left-skewed scores, AUROC .95": replace(base, shape="left-skewed", auroc=0.95),
            "left-skewed scores, AUROC .97": replace(base, shape="left-skewed", auroc=0.97),
            "positives twice as spread, AUROC .95": replace(base, spread=2.0, auroc=0.95),
            "scores of 3 values": replace(base, levels=3),
            "scores of 5 values": replace(base, levels=5),
            "three folds with scales of their own": replace(base, folds=3),
            "every tenth patient with thirty images": replace(base, crowded=True),
            "one image a patient": replace(base, alone=True),
            "one image a patient, AUROC .97": replace(base, alone=True, auroc=0.97),
        }
        cells += [cell_of(f"{k} positive patients, {name}", films) for name, films in changed.items()]
        missed = replace(base, auroc=0.99, missed=0.1)  # the sample often shows nothing of it: no bar, what remains
        cells.append(cell_of(f"{k} positive patients, one in ten scores as a negative", missed, barred=False))
    return cells


def _unequal() -> list[Cell]:
    """Two methods on other scores, and on patients who differ much in their numbers of images."""
    cells = []
    for k in (20, 12, 8):
        base = Films((k,), 0.85, 0.05)
        crowded = replace(base, crowded=True)
        changed = {
            "lognormal scores, two methods, 0.85 and 0.80": replace(base, shape="lognormal"),
            "t3 scores, two methods, 0.85 and 0.80": replace(base, shape="t3"),
            "left-skewed scores, two methods, 0.95 and 0.90": replace(base, shape="left-skewed", auroc=0.95),
            "positives twice as spread, two methods, 0.95 and 0.90": replace(base, spread=2.0, auroc=0.95),
            "every tenth patient with thirty images, two methods, 0.50 and 0.50": replace(crowded, auroc=0.5, less=0.0),
            "every tenth patient with thirty images, two methods, 0.60 and 0.60": replace(crowded, auroc=0.6, less=0.0),
            "every tenth patient with thirty images, two methods, 0.70 and 0.65": replace(crowded, auroc=0.7),
        }
        if k < 20:
            for auroc in (0.6, 0.85):
                held = Held((k,), auroc, 0.0, held=0.5)
                changed[f"one with half of the positives, two methods, {auroc:.2f} and {auroc:.2f}"] = held
        cells += [cell_of(f"{k} positive patients, {name}", films) for name, films in changed.items()]
    five = Films((12,) * 5, 0.6, 0.0, crowded=True)
    several = {
        "every tenth patient with thirty images, two methods, 0.60 and 0.60": five,
        "left-skewed scores, two methods, 0.95 and 0.90": replace(
            five, auroc=0.95, less=0.05, crowded=False, shape="left-skewed"
        ),
    }
    cells += [cell_of(f"classes with 5 x 12 positive patients, {name}", films) for name, films in several.items()]
    return cells + [  # too few for an interval by their effective number, 1.7: the tables have none
        cell_of(
            f"{k} positive patients, one with three quarters of the positives, two methods, 0.60 and 0.60",
            Held((k,), 0.6, 0.0, held=0.75),
            barred=False,
        )
        for k in (12, 8)
    ]


def _pairs() -> list[Cell]:
    pairs = ((0.85, 0.0), (0.85, 0.05), (0.97, 0.0), (0.97, 0.05))
    cells = [
        cell_of(
            f"{k} positive patients, two methods, {auroc:.2f} and {auroc - less:.2f}",
            Films((k,), auroc, less, by_image=True),
        )
        for k in (40, 20, 12, 8, 5)
        for auroc, less in pairs
    ]
    few = {"5 x 12": (12,) * 5, "5 x 8": (8,) * 5, "40, 30, 20, 12, 8": MIXED, "14 from 40 to 8": FOURTEEN}
    return cells + [
        cell_of(
            f"classes with {name} positive patients, two methods, {auroc:.2f} and {auroc - less:.2f}",
            Films(positives, auroc, less, by_image=True),
        )
        for name, positives in few.items()
        for auroc, less in (pairs if len(positives) < 14 else pairs[1:4:2])
    ]


def _rivals() -> list[Cell]:
    compared = {
        f"compared: {k} positive patients, AUROC {auroc:.2f}": Films((k,), auroc, by_image=True)
        for k in (40, 12, 8)
        for auroc in (0.85, 0.97)
    }
    for k in (12, 8):
        compared[f"compared: {k} positive patients, 0.85 and 0.80"] = Films((k,), 0.85, 0.05, by_image=True)
    compared["compared: classes with 5 x 12 positive patients"] = Films((12,) * 5, 0.85, by_image=True)
    compared["compared: classes with 5 x 12 positive patients, 0.85 and 0.80"] = Films(
        (12,) * 5, 0.85, 0.05, by_image=True
    )
    return [Cell(name, rivals_trial(films), effort=0.25) for name, films in compared.items()]


CELLS = (*_single(), *_shapes(), *_unequal(), *_pairs(), *_rivals())
