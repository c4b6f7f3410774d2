"""Samples of films: scores of one or two methods, labels and patients, with AUROC known from the distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import t

ICC = 0.5  # share of a patient in the variance of scores
ALIKE = 0.7  # correlation of two methods' scores
CLASSES_ALIKE = 0.5  # correlation of scores between classes
LABELS_ALIKE = 0.3  # correlation, between classes, of what decides which patients are positive
IMAGES = 6  # images of a patient: 1 to 6, equally often

# distributions of scores: a function of a standard normal, and its inverse
SHAPES: dict[str, tuple[Callable, Callable]] = {
    "normal": (lambda z: z, lambda x: x),
    "lognormal": (np.exp, lambda x: np.log(np.maximum(x, 1e-300))),
    "left-skewed": (lambda z: -np.exp(-z), lambda x: np.where(x < 0, -np.log(np.maximum(-x, 1e-300)), 40.0)),
    "t3": (lambda z: t.ppf(ndtr(z), 3), lambda x: ndtri(t.cdf(x, 3))),
}


@dataclass(frozen=True)
class Sample:
    """Labels (n, c), scores (n, c) of each method, patients (n,) and folds (n,)."""

    labels: np.ndarray
    scores: tuple[np.ndarray, ...]
    groups: np.ndarray
    parts: np.ndarray | None


@dataclass(frozen=True)
class Films:
    """A population of films.

    Parameters
    ----------
    positives
        Number of positive patients in each class; fixed, as are the patients.
    auroc
        True value in every class (before rounding, and before some positives are missed).
    less
        What a second method has less; None for one method.
    patients
        How many there are.
    by_image
        Half of the images of a positive patient are positive, at least one; else all.
    alone
        One image a patient.
    crowded
        Every tenth patient has thirty images.
    shape
        Distribution of scores; positives are moved up.
    spread
        Standard deviation of positives over that of negatives, for normal scores.
    levels
        Number of values that scores are rounded to; 0 for none.
    folds
        Folds of patients whose scores have scales of their own; 0 for none.
    missed
        Chance that all images of a positive patient score as negatives do.
    """

    positives: tuple[int, ...]
    auroc: float
    less: float | None = None
    patients: int = 120
    by_image: bool = False
    alone: bool = False
    crowded: bool = False
    shape: str = "normal"
    spread: float = 1.0
    levels: int = 0
    folds: int = 0
    missed: float = 0.0

    @property
    def truths(self) -> tuple[float, ...]:
        """AUROC of each method. Pairs of one patient, one in some hundred, are taken as those of two."""
        wanted = (self.auroc,) if self.less is None else (self.auroc, self.auroc - self.less)
        if self.levels:
            wanted = tuple(rounded_auroc(move_for(one, self.shape, self.spread), self.levels) for one in wanted)
        return tuple((1 - self.missed) * one + self.missed / 2 for one in wanted)

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample."""
        sizes = np.ones(self.patients, dtype=int)
        if not self.alone:
            sizes = np.resize(np.arange(1, IMAGES + 1), self.patients)
            if self.crowded:
                sizes[::10] = 5 * IMAGES
            sizes = rng.permutation(sizes)
        groups = np.repeat(np.arange(self.patients), sizes)
        ill = self._ill(rng)
        labels = ill[groups]
        if self.by_image:
            sure = np.cumsum(sizes) - sizes + rng.integers(0, 1000, self.patients) % sizes
            shown = rng.random(labels.shape) < 0.5
            shown[sure] = True
            labels = labels & shown
        up = labels & ~(rng.random(ill.shape) < self.missed)[groups] if self.missed else labels
        shared = self._field(rng, groups)
        scores = [self._scores(shared, up, self.auroc)]
        if self.less is not None:
            fields = [np.sqrt(ALIKE) * shared + np.sqrt(1 - ALIKE) * self._field(rng, groups) for _ in range(2)]
            values = (self.auroc, self.auroc - self.less)
            scores = [self._scores(one, up, value) for one, value in zip(fields, values, strict=True)]
        parts = groups % self.folds if self.folds else None
        if parts is not None:
            scores = [(1 + parts[:, None]) * one + 2 * parts[:, None] for one in scores]
        return Sample(labels.astype(float), tuple(scores), groups, parts)

    def _ill(self, rng: np.random.Generator) -> np.ndarray:
        """Positive patients (k, c): those with the largest of correlated normal values."""
        shared, own = rng.normal(size=(self.patients, 1)), rng.normal(size=(self.patients, len(self.positives)))
        value = np.sqrt(LABELS_ALIKE) * shared + np.sqrt(1 - LABELS_ALIKE) * own
        rank = np.argsort(np.argsort(-value, axis=0), axis=0)
        return rank < np.asarray(self.positives)

    def _field(self, rng: np.random.Generator, groups: np.ndarray) -> np.ndarray:
        """Standard normal scores (n, c), correlated within patients and between classes."""
        patients, classes = self.patients, len(self.positives)

        def of_width(width: int) -> np.ndarray:
            own, image = rng.normal(size=(patients, width)), rng.normal(size=(len(groups), width))
            return np.sqrt(ICC) * own[groups] + np.sqrt(1 - ICC) * image

        if classes == 1:
            return of_width(1)
        return np.sqrt(CLASSES_ALIKE) * of_width(1) + np.sqrt(1 - CLASSES_ALIKE) * of_width(classes)

    def _scores(self, normal: np.ndarray, up: np.ndarray, auroc: float) -> np.ndarray:
        move = move_for(auroc, self.shape, self.spread)
        scores = SHAPES[self.shape][0](np.where(up, self.spread, 1.0) * normal) + move * up
        return np.digitize(scores, edges(self.levels)).astype(float) if self.levels else scores


@cache
def move_for(auroc: float, shape: str, spread: float) -> float:
    """By how much positives must be moved up, by quadrature over 20,000 quantiles."""
    if shape == "normal":
        return float(ndtri(auroc) * np.sqrt(1 + spread**2))
    forth, back = SHAPES[shape]
    at = forth(ndtri((np.arange(20_000) + 0.5) / 20_000))
    return float(brentq(lambda move: np.mean(ndtr(back(at + move))) - auroc, 0, 100))


def edges(levels: int) -> np.ndarray:
    """Where normal scores are cut into ``levels`` values: from 0 in steps of 1, or on both sides of the middle."""
    return np.arange(levels - 1) - (levels - 2) / 2 + 0.5


def rounded_auroc(move: float, levels: int) -> float:
    """AUROC of normal scores that are cut, ties half."""
    cut = np.concatenate([[-np.inf], edges(levels), [np.inf]])
    positive, negative = np.diff(ndtr(cut - move)), np.diff(ndtr(cut))
    return float(positive @ (np.cumsum(negative) - negative / 2))
