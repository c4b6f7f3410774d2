"""Cells of average precision, balanced accuracy and macro F1: rare findings, few items a class, one method and two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

import stitchkit.metrics.auroc_intervals as auroc_intervals
import stitchkit.metrics.average_precision_intervals as precision_intervals
import stitchkit.metrics.class_means as class_means
import stitchkit.metrics.degrees_of_freedom as degrees_of_freedom
from benchmarks.coverage.cells import Bar, Cell, Ends
from stitchkit.core.least_patients import MEAN_PATIENTS, WIDE_BELOW
from stitchkit.evaluation.scores.class_patients import enough_on_average
from stitchkit.evaluation.scores.multiclass_measures import MulticlassMeasures as Answers
from stitchkit.metrics.average_precision_intervals import (
    PrecisionPulls,
    macro_precision_difference,
    macro_precision_interval,
)
from stitchkit.metrics.bootstrap import Interval

SOURCES = (
    *(Path(__file__).parent / name for name in ("precision.py", "cells.py")),
    Path(precision_intervals.__file__),
    *(Path(one.__file__) for one in (class_means, auroc_intervals, degrees_of_freedom)),
)
PATIENTS, IMAGES = 120, 4  # of a sample with one rare finding; images of a patient where these are several: 1 to 4
OWN, ALIKE = 0.5, 0.7  # share of a patient in the variance of scores; correlation of two methods' scores
LESS = 0.06  # AUROC that the worse method lacks
QUANTILES = (np.arange(20_000) + 0.5) / 20_000
AP, F1, BALANCED = "average precision", "macro F1", "balanced accuracy"
EQUAL, WORSE = "minus an equally good method", "minus a worse method"
BAR, FEW = Bar(93), Bar(91)  # the second with the note on few patients
ITEMS = 200_000  # of the sample that a true recall or F1 is that of


def skewed(normal: np.ndarray) -> np.ndarray:
    """A score with a long tail to the left."""
    return -np.exp(-normal)


def back(score: np.ndarray) -> np.ndarray:
    """The inverse of :func:`skewed`."""
    return np.where(score < 0, -np.log(np.maximum(-score, 1e-300)), 40.0)


@cache
def move_for(auroc: float, tail: bool) -> float:
    """By how much the scores of positives must be moved up."""
    if not tail:
        return float(ndtri(auroc) * np.sqrt(2))
    at = skewed(ndtri(QUANTILES))
    return float(brentq(lambda move: np.mean(ndtr(back(at + move))) - auroc, 0, 100))


@cache
def true_precision(move: float, share: float, tail: bool) -> float:
    """Average precision in a population with this ``share`` of positives, by quadrature."""
    normal = ndtri(QUANTILES)
    above = 1 - ndtr(back(skewed(normal) + move) if tail else normal + move)
    return float(np.mean(share * (1 - QUANTILES) / (share * (1 - QUANTILES) + (1 - share) * above)))


@dataclass(frozen=True)
class Patients:
    """Patients of classes, scored by a method, an equally good one and a worse one.

    Parameters
    ----------
    sizes
        Patients of each class, one class a patient.
    images
        Each patient has 1 to ``images`` items, equally often.
    moves
        By how much scores of an item's class are moved up, in the first two methods and in the third.
    tail
        Scores with a long tail to the left.
    """

    sizes: tuple[int, ...]
    images: int
    moves: tuple[float, float]
    tail: bool = False

    def draw(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Scores (n, c) of the three methods, classes (n,) and patients (n,)."""
        patients = sum(self.sizes)
        groups = np.repeat(np.arange(patients), rng.permutation(np.resize(np.arange(1, self.images + 1), patients)))
        truth = np.repeat(np.arange(len(self.sizes)), self.sizes)[groups]
        shape = len(groups), len(self.sizes)

        def normal() -> np.ndarray:
            if self.images == 1:
                return rng.normal(size=shape)
            own = rng.normal(size=(patients, shape[1]))[groups]
            return np.sqrt(OWN) * own + np.sqrt(1 - OWN) * rng.normal(size=shape)

        shared, scores = normal(), []
        for move in (self.moves[0], *self.moves):
            mixed = np.sqrt(ALIKE) * shared + np.sqrt(1 - ALIKE) * normal()
            scores.append((skewed(mixed) if self.tail else mixed) + move * np.eye(shape[1])[truth])
        return scores, truth, groups


def rare_trial(positives: int, auroc: float, images: int, tail: bool) -> Callable[..., dict[str, Ends]]:
    """Draws one sample of a rare finding, and the intervals of its average precision and of two differences."""
    moves = move_for(auroc, tail), move_for(auroc - LESS, tail)
    population = Patients((PATIENTS - positives, positives), images, moves, tail)

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        scores, truth, groups = population.draw(rng)
        labels = (truth == 1).astype(float)[:, None]
        # share of positive images: patients of all sizes are equally likely to be positive
        truths = [true_precision(move, positives / PATIENTS, tail) for move in (moves[0], *moves)]
        first, *others = (PrecisionPulls.of(one[:, 1:], labels, groups) for one in scores)
        found = {AP: ends(macro_precision_interval(first), truths[0])}
        for name, other, value in zip((EQUAL, WORSE), others, truths[1:], strict=True):
            found[name] = ends(macro_precision_difference(first, other), truths[0] - value)
        return found

    return trial


def ends(interval: Interval, truth: float) -> Ends:
    """Ends of an interval with the true value."""
    return Ends(interval.low, interval.high, truth)


@cache
def true_answers(sizes: tuple[int, ...], moves: tuple[float, float]) -> list[dict[str, float]]:
    """Balanced accuracy and macro F1 of the better and of the worse method, of a large sample with as many a class."""
    from sklearn.metrics import balanced_accuracy_score, f1_score

    times = max(ITEMS // sum(sizes), 1)
    scores, truth, _ = Patients(tuple(times * size for size in sizes), 1, moves).draw(np.random.default_rng(7))
    called = [one.argmax(axis=1) for one in scores[1:]]
    return [
        {BALANCED: balanced_accuracy_score(truth, one), F1: f1_score(truth, one, average="macro")} for one in called
    ]


def classes_trial(sizes: tuple[int, ...], moves: tuple[float, float], images: int) -> Callable[..., dict[str, Ends]]:
    """Draws items of exactly one class, and the intervals of macro average precision and of the best-scored class."""
    population = Patients(sizes, images, moves)
    shares = np.asarray(sizes) / sum(sizes)

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        scores, truth, groups = population.draw(rng)
        better, worse = (
            {AP: precision, **one} for precision, one in zip(precise, true_answers(sizes, moves), strict=True)
        )
        pulls = [PrecisionPulls.of(one, np.eye(len(sizes))[truth], groups) for one in scores]
        answers = [Answers.of(one.argmax(axis=1), truth, len(sizes), groups) for one in scores]
        single = answers[0].intervals()
        found = {BALANCED: single["balanced_accuracy"], F1: single["f1"]}
        if printed := enough_on_average(pulls[0].shares):
            found[AP] = macro_precision_interval(pulls[0])
        result = {name: ends(one, better[name]) for name, one in found.items()}
        for words, at, other in ((EQUAL, 1, better), (WORSE, 2, worse)):
            apart = answers[0].differences(answers[at])
            gaps = {BALANCED: apart["balanced_accuracy"], F1: apart["f1"]}
            if printed:
                gaps[AP] = macro_precision_difference(pulls[0], pulls[at])
            result |= {f"{name} {words}": ends(gap, better[name] - other[name]) for name, gap in gaps.items()}
        return result

    precise = [float(np.mean([true_precision(move, float(share), False) for share in shares])) for move in moves]
    return trial


KINDS = {"one image a patient": (1, False), "1 to 4 images": (IMAGES, False), "one image, left tail": (1, True)}
POSITIVES, AUROCS = (5, 8, 12, 40), (0.7, 0.85, 0.96)
SIZES = {"20 x 2": (2,) * 20, "10 x 3": (3,) * 10, "3 x 5": (5,) * 3, "10 x 5": (5,) * 10, "30, 10 and 3": (30, 10, 3),
         "4 x 12": (12,) * 4, "3 x 40": (40,) * 3}  # fmt: skip
MOVES = {"a weak method": (1.2, 0.7), "a strong method": (3.0, 2.2)}


def rare_name(positives: int, auroc: float, kind: str) -> str:
    """Name of a cell with one rare finding."""
    return f"{positives} positive patients of {PATIENTS}, AUROC {auroc:.2f}, {kind}"


def _rare() -> list[Cell]:
    return [
        Cell(
            rare_name(positives, auroc, kind),
            rare_trial(positives, auroc, *settings),
            {AP: BAR if positives >= WIDE_BELOW else FEW, EQUAL: BAR, WORSE: BAR if positives >= WIDE_BELOW else FEW},
            effort=0.25,
        )
        for positives in POSITIVES
        for auroc in AUROCS
        for kind, settings in KINDS.items()
    ]


def _classes() -> list[Cell]:
    names = [f"{name} {words}".rstrip() for words in ("", EQUAL, WORSE) for name in (AP, BALANCED, F1)]
    cells = []
    for sizes, numbers in SIZES.items():
        for method, moves in MOVES.items():
            usual = BAR if min(numbers) >= WIDE_BELOW else FEW
            bars = {name: BAR if name.endswith(EQUAL) else usual for name in names}
            if np.mean(numbers) < MEAN_PATIENTS:  # there is no interval
                bars = {name: bar for name, bar in bars.items() if not name.startswith(AP) and name != F1}
            images = IMAGES if sizes in ("4 x 12", "10 x 5") else 1
            held = "1 to 4 images a patient" if images > 1 else "one image a patient"
            name = f"classes of {sizes} patients, {held}, {method}"
            cells.append(Cell(name, classes_trial(numbers, moves, images), bars, effort=0.1))
    return cells


CELLS = (*_rare(), *_classes())
